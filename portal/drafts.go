package portal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// maxImageTries is how often an image that the homeserver does not hand out is
// asked for before the message goes with a link instead.
const maxImageTries = 6

// wording is what decides how a message reads in Teams besides its content. It
// has to come out the same whenever a message is converted again.
type wording struct {
	// message is the outbox row of the message itself; nil for a message that
	// was written in Teams.
	message *database.OutboxRow
	relayed bool
	late    bool
	quote   *msgconv.Quote
	// kept is what Teams keeps beside the body of a message that was written there.
	kept *msgconv.Kept
	// writer uploads the message's file; where it is nil, the one of account does.
	writer  teams.Writer
	account string
}

// wordingOf decides how a message reads. Whether it is late is measured at its
// first post, which is recorded.
func (s *Sender) wordingOf(message *database.OutboxRow, parts []database.SentPart, relayed bool, quote *msgconv.Quote) wording {
	if message == nil {
		return wording{}
	}
	first := s.o.Now()
	if len(parts) > 0 {
		first = parts[0].StartedAt
		relayed = parts[0].AccountID != message.SenderUserID
	}
	return wording{message: message, relayed: relayed, late: first.Sub(message.EventAt) > s.o.LateAfter, quote: quote}
}

// drafts converts a payload. row is whose payload it is: the message or an edit.
func (s *Sender) drafts(ctx context.Context, row *database.OutboxRow, w wording) ([]teams.Draft, error) {
	var content event.MessageEventContent
	if err := json.Unmarshal(row.Payload, &content); err != nil {
		return nil, &failure{reason: "unreadable outbox row", message: errUnreadable.Error(), err: err}
	}
	message := row.EventID
	if row.Kind == database.KindEdit {
		message = row.TargetEventID
	}
	env := msgconv.TeamsEnv{
		People: s.people(), Texts: s.o.Texts,
		Link:  s.o.Link(id.RoomID(row.RoomID), id.EventID(message)),
		Reply: w.quote, Kept: w.kept,
	}
	if w.message != nil && (w.relayed || w.late) {
		env.Author = &msgconv.Author{Late: w.late, At: w.message.EventAt.In(s.o.Texts.Zone())}
		if w.relayed {
			env.Author.Name = authorName(w.message)
		}
	}
	if content.Mentions != nil && content.Mentions.Room {
		env.RoomMention = s.roomMention(ctx, row)
	}
	var err error
	if env.Image, err = s.image(ctx, row, &content); err != nil {
		return nil, err
	}
	if env.Image == nil {
		if env.File, env.FileProblem, err = s.file(ctx, row, w, &content); err != nil {
			return nil, err
		}
		env.FileProblem = spoken(s.o.Texts, env.FileProblem)
	}
	drafts, err := msgconv.ToTeams(&content, env)
	if err != nil {
		return nil, &failure{reason: "not convertible", message: err.Error(), err: err}
	} else if len(drafts) == 0 {
		return nil, &failure{reason: "not convertible", message: msgconv.ErrNothingToSend.Error()}
	}
	return drafts, nil
}

// authorName is how a relayed message names its author.
func authorName(row *database.OutboxRow) string {
	if row.SenderName != "" {
		return row.SenderName
	}
	return row.SenderMXID
}

// roomMention returns the channel for @room, where the sender may notify it.
func (s *Sender) roomMention(ctx context.Context, row *database.OutboxRow) *msgconv.RoomMention {
	ch, ok := ParsePortal(networkid.PortalID(row.Portal))
	levels, err := s.o.Bridge.Matrix.GetPowerLevels(ctx, id.RoomID(row.RoomID))
	if err != nil || !ok || levels == nil {
		return nil
	}
	if levels.GetUserLevel(id.UserID(row.SenderMXID)) < levels.Notifications.Room() {
		return nil
	}
	name := s.o.Texts.Say(texts.Channel)
	if conv, err := s.o.DB.Conversations.Get(ctx, row.Portal); err == nil && conv != nil && conv.Name != "" {
		name = conv.Name
	}
	return &msgconv.RoomMention{ChannelID: ch.ChannelID, ChannelName: name}
}

// image fetches the picture of an m.image or sticker that is small enough to go
// inline; nil without an error means that a link has to do.
func (s *Sender) image(ctx context.Context, row *database.OutboxRow, c *event.MessageEventContent) (*teams.InlineImage, error) {
	if c.MsgType != event.MsgImage && c.MsgType != event.CapMsgSticker {
		return nil, nil
	}
	if c.Info != nil && int64(c.Info.Size) > s.o.MaxImage {
		return nil, nil
	}
	uri := c.URL
	if c.File != nil {
		uri = c.File.URL
	}
	if uri == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var data []byte
	err := s.o.Bridge.Bot.DownloadMediaToFile(ctx, uri, c.File, false, func(f *os.File) (err error) {
		info, err := f.Stat()
		if err != nil {
			return err
		} else if info.Size() > s.o.MaxImage {
			return errTooLarge
		}
		if _, err = f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		data, err = io.ReadAll(io.LimitReader(f, s.o.MaxImage))
		return err
	})
	if err != nil {
		if s.linksInstead(row, err) {
			zerolog.Ctx(ctx).Warn().Err(err).Msg("Sending a link instead of an image")
			return nil, nil
		}
		return nil, fmt.Errorf("download image: %w", err)
	}
	kind := http.DetectContentType(data)
	if !strings.HasPrefix(kind, "image/") {
		return nil, nil
	}
	return &teams.InlineImage{ID: "1", ContentType: kind, Data: data}, nil
}

func (s *Sender) linksInstead(row *database.OutboxRow, err error) bool {
	var hs mautrix.HTTPError
	if errors.Is(err, errTooLarge) || row.Attempts >= maxImageTries {
		return true
	}
	if errors.As(err, &hs) {
		_, own := homeserverReason(hs)
		return own
	}
	return false
}

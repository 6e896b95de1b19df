package portal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/texts"
)

// digestPrefix is what the ids of digests begin with; they stand in the sent
// parts where other parts have the id of an event.
const digestPrefix = "~digest:"

// maxDigest is how many messages go into one digest at most.
const maxDigest = 1000

// plan puts a digest together where a row is late and too many are waiting
// behind it. What is in a digest is written down with its wording before
// anything is posted, so that a post which has to be looked for, or made again,
// says the same. It sets the row's digest.
func (s *Sender) plan(ctx context.Context, row *database.OutboxRow) error {
	above := s.o.DigestAbove(row.Portal)
	if above <= 0 || row.Kind != database.KindMessage || row.State != database.StateQueued || row.Digest != "" ||
		!s.late(row) {
		return nil
	}
	if n, err := s.o.DB.Outbox.CountQueued(ctx, row.Portal); err != nil || n <= above {
		return err
	}
	if _, err := s.o.Writers.Relay(ctx, row, ""); errors.Is(err, ErrNoAccount) {
		return nil // nobody could post it; those who signed in post their own
	} else if err != nil {
		return fmt.Errorf("choose a relay account: %w", err)
	}
	return s.o.DB.DoTxn(ctx, nil, func(ctx context.Context) error { return s.planInTxn(ctx, row, above) })
}

func (s *Sender) planInTxn(ctx context.Context, row *database.OutboxRow, above int) error {
	// The time makes it another one where the same row begins a digest again, after
	// it went by itself and came back.
	digestID := fmt.Sprintf("%s%s:%d:%d", digestPrefix, row.Portal, row.ID, s.o.Now().UnixMilli())
	rows, err := s.o.DB.Digests.Take(ctx, digestID, row.Portal, database.KindMessage, maxDigest)
	if err != nil {
		return err
	}
	chosen, err := s.choose(ctx, rows, above)
	if err != nil || len(chosen) == 0 {
		return err
	}
	reacted, err := s.foldReactions(ctx, digestID, row.Portal, chosen)
	if err != nil {
		return err
	}
	var entries []database.DigestEntry
	var taken []*database.OutboxRow
	part, used := 0, 0
	var from, to time.Time
	for _, c := range chosen {
		if c.alone {
			// It goes by itself, between the post before and the one after it.
			part, used = part+1, msgconv.DigestRoom
			continue
		}
		r := c.row
		e := database.DigestEntry{EventID: r.EventID, Position: len(entries), HTML: c.html, Reactions: encodeReactions(reacted[r.EventID])}
		size := len(renderEntry(s.o.Texts, e))
		if part == 0 || used+size > msgconv.DigestRoom {
			part, used = part+1, 0
		}
		used += size
		e.Part = part
		entries, taken = append(entries, e), append(taken, r)
		if r.ID == row.ID {
			row.Digest = digestID
		}
		if from.IsZero() || r.EventAt.Before(from) {
			from = r.EventAt
		}
		if r.EventAt.After(to) {
			to = r.EventAt
		}
	}
	why, err := s.o.Waited(ctx, taken)
	if err != nil {
		return err
	}
	from, to = from.In(s.o.Texts.Zone()), to.In(s.o.Texts.Zone())
	zerolog.Ctx(ctx).Info().Int("messages", len(entries)).Str("digest", digestID).Msg("A long backlog goes to Teams as a digest")
	return s.o.DB.Digests.Plan(ctx, database.Digest{
		ID: digestID, Portal: row.Portal, Head: msgconv.DigestHead(s.o.Texts, why, from, to, len(entries)),
		Notice: msgconv.DigestNotice(s.o.Texts, why, from, to, len(entries)), Created: s.o.Now(),
	}, entries)
}

// foldReactions takes the reactions that wait for messages of a digest into it.
func (s *Sender) foldReactions(ctx context.Context, digestID, portal string, messages []digestable) (map[string][]msgconv.DigestReaction, error) {
	in := make(map[string]bool, len(messages))
	for _, m := range messages {
		in[m.row.EventID] = !m.alone
	}
	rows, err := s.o.DB.Digests.Take(ctx, digestID, portal, database.KindReaction, 10*maxDigest)
	if err != nil {
		return nil, err
	}
	out := map[string][]msgconv.DigestReaction{}
	for _, r := range rows {
		reaction, ok := digestReaction(r)
		if !ok || !in[r.TargetEventID] {
			if err = s.o.DB.Digests.Leave(ctx, r.ID); err != nil {
				return nil, err
			}
			continue
		}
		out[r.TargetEventID] = append(out[r.TargetEventID], reaction)
	}
	return out, nil
}

// digestFragment converts a message; false for one that has no place in a
// digest, because it can't be converted or is longer than a post.
func (s *Sender) digestFragment(row *database.OutboxRow) (html string, ok bool) {
	if s.goesAsFile(row) {
		return "", false
	}
	drafts, err := s.digestDrafts(row, row)
	if err != nil || len(drafts) != 1 || len(drafts[0]) > msgconv.DigestRoom {
		return "", false
	}
	return drafts[0], true
}

// digestDrafts converts a payload for a digest: with author and time, without
// pictures, and without mentions, which would ping people hours later. message
// is the message's own row, row whose payload it is: the message or an edit.
func (s *Sender) digestDrafts(message, row *database.OutboxRow) ([]string, error) {
	var content event.MessageEventContent
	if err := json.Unmarshal(row.Payload, &content); err != nil {
		return nil, fmt.Errorf("decode message: %w", err)
	}
	env := msgconv.TeamsEnv{
		People: nobody{s.o.Directory}, Texts: s.o.Texts,
		Link:   s.o.Link(id.RoomID(row.RoomID), id.EventID(message.EventID)),
		Author: &msgconv.Author{Name: authorName(message), Late: true, At: message.EventAt.In(s.o.Texts.Zone())},
	}
	if message.RootEventID != "" {
		env.Reply = &msgconv.Quote{Link: s.o.Link(id.RoomID(message.RoomID), id.EventID(message.RootEventID))}
	}
	drafts, err := msgconv.ToTeams(&content, env)
	if err != nil {
		return nil, fmt.Errorf("convert message: %w", err)
	}
	out := make([]string, len(drafts))
	for i, d := range drafts {
		out[i] = d.HTML
	}
	return out, nil
}

// nobody knows names, but has nobody mentioned.
type nobody struct{ msgconv.People }

// Person implements msgconv.People.
func (n nobody) Person(mxid id.UserID) (userID, name string, ok bool) {
	_, name, _ = n.People.Person(mxid)
	return "", name, false
}

func digestReaction(row *database.OutboxRow) (msgconv.DigestReaction, bool) {
	emoji, err := msgconv.EmojiToTeams(string(row.Payload))
	return msgconv.DigestReaction{EventID: row.EventID, Emoji: emoji, Name: authorName(row)}, err == nil
}

func encodeReactions(list []msgconv.DigestReaction) string {
	if len(list) == 0 {
		return ""
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return ""
	}
	return string(raw)
}

func decodeReactions(raw string) []msgconv.DigestReaction {
	var list []msgconv.DigestReaction
	if raw == "" || json.Unmarshal([]byte(raw), &list) != nil {
		return nil
	}
	return list
}

func renderEntry(x texts.Texts, e database.DigestEntry) string {
	return msgconv.DigestEntry(x, e.HTML, e.Deleted, decodeReactions(e.Reactions))
}

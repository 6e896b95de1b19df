package portal

import (
	"context"
	"fmt"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2"
	brdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"

	"teamsbridge/database"
	"teamsbridge/teams"
)

// digestNotice tells the room of a digest once, in an event of the bot that
// stands for the digest's post from then on: what people in Teams reply to it
// comes into the thread under that event. Posting does not wait for it: should
// it fail, the next sweep tries again.
func (s *Sender) digestNotice(ctx context.Context, d *database.Digest) {
	if d.NoticeEvent != "" {
		return
	}
	if err := s.tellDigest(ctx, d); err != nil && ctx.Err() == nil {
		zerolog.Ctx(ctx).Warn().Err(err).Str("digest", d.ID).Msg("Could not tell a room of its digest, will try again")
	}
}

func (s *Sender) tellDigest(ctx context.Context, d *database.Digest) error {
	parts, err := s.o.DB.Sent.ByEvent(ctx, d.ID)
	if err != nil {
		return err
	}
	if len(parts) == 0 || parts[0].Part != 0 || parts[0].RemoteID == "" {
		return nil // its first post is not known to be in Teams yet
	}
	key := "digest:" + d.ID
	return s.loop.Do(ctx, networkid.PortalID(d.Portal), func(ctx context.Context, p *bridgev2.Portal, _ *bridgev2.UserLogin) error {
		now := s.o.Now()
		resp, err := s.o.Bridge.Bot.SendMessage(s.o.WithKey(ctx, key), p.MXID, event.EventMessage, &event.Content{
			Parsed: &event.MessageEventContent{MsgType: event.MsgNotice, Body: d.Notice, Mentions: &event.Mentions{}},
			Raw:    map[string]any{SourceField: key},
		}, &bridgev2.MatrixSendExtra{Timestamp: now})
		if err != nil {
			return fmt.Errorf("send notice of a digest: %w", err)
		}
		row := &brdb.Message{
			ID:   MessageID(teams.ChannelRef{TeamID: parts[0].TeamID, ChannelID: parts[0].ChannelID}, parts[0].RemoteID),
			MXID: resp.EventID, Room: p.PortalKey, SenderMXID: s.o.Bridge.Bot.GetMXID(), Timestamp: now,
			Metadata: &MessageMetadata{Outbound: true, Relayed: true, Prints: []string{parts[0].Fingerprint}},
		}
		if _, err = s.o.Bridge.GetGhostByID(ctx, row.SenderID); err != nil {
			return fmt.Errorf("get ghost of notice: %w", err)
		}
		err = s.o.DB.DoTxn(ctx, nil, func(ctx context.Context) error {
			known, err := s.o.Bridge.DB.Message.GetFirstPartByID(ctx, "", row.ID)
			if err != nil {
				return fmt.Errorf("look for the notice's row: %w", err)
			} else if known == nil {
				if err = s.o.Bridge.DB.Message.Insert(ctx, row); err != nil {
					return fmt.Errorf("store the notice's row: %w", err)
				}
			}
			return s.o.DB.Digests.SetNotice(ctx, d.ID, row.MXID.String())
		})
		if err == nil {
			d.NoticeEvent = row.MXID.String()
		}
		return err
	})
}

// sweepDigests tells rooms that could not be told, and finishes the digests of
// which everything is in Teams.
func (s *Sender) sweepDigests(ctx context.Context) {
	open, err := s.o.DB.Digests.Open(ctx)
	if err != nil {
		if ctx.Err() == nil {
			zerolog.Ctx(ctx).Err(err).Msg("Could not look over the digests")
		}
		return
	}
	for i := range open {
		d := &open[i]
		if err = s.reword(ctx, d); err != nil {
			zerolog.Ctx(ctx).Err(err).Str("digest", d.ID).Msg("Could not look over the digests")
			continue
		}
		s.digestNotice(ctx, d)
		if d.NoticeEvent == "" || ctx.Err() != nil {
			continue
		}
		if err = s.o.DB.Digests.FinishIfSent(ctx, d.ID); err != nil && ctx.Err() == nil {
			zerolog.Ctx(ctx).Err(err).Msg("Could not finish a digest")
		}
	}
}

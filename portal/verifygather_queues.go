package portal

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// readQueues reads what the outbox, the journal and the ledger say.
func (g *gathering) readQueues(ctx context.Context) error {
	var events, ids []string
	for _, e := range g.s.events {
		if !e.Own {
			events = append(events, e.ID)
		}
		if e.Edit != "" {
			events = append(events, e.Edit)
		}
	}
	for _, removed := range g.s.removed {
		if removed.Redaction != "" && !removed.Own {
			events = append(events, removed.Redaction)
		}
	}
	for _, r := range g.s.reactions {
		if !r.Own {
			events = append(events, r.ID)
		}
	}
	for _, t := range g.s.teams {
		ids = append(ids, t.ID)
	}
	outbox, err := g.v.o.DB.Outbox.ByEvents(ctx, events)
	if err != nil {
		return err
	}
	for _, row := range outbox {
		row.Payload = nil
		g.s.outbox[row.EventID] = row
	}
	open, err := g.v.o.DB.Journal.Open(ctx, events)
	if err != nil {
		return err
	}
	for _, event := range open {
		g.s.journal[event] = true
	}
	edited, err := g.v.o.DB.Outbox.EditedTargets(ctx, g.portal)
	if err != nil {
		return err
	}
	for _, event := range edited {
		g.s.edited[event] = true
	}
	ledger, err := g.v.o.DB.Inbox.ByMessages(ctx, g.portal, ids)
	if err != nil {
		return err
	}
	for _, row := range ledger {
		row.Payload = nil
		g.s.ledger[row.MessageID] = row
	}
	return nil
}

// readReactions reads the rows of reactions on messages that have any.
func (g *gathering) readReactions(ctx context.Context) error {
	wanted := map[string]bool{}
	var relayed []string
	for _, t := range g.s.teams {
		if len(t.Reactions) > 0 {
			wanted[string(MessageID(g.ch, t.ID))] = true
		}
		if slices.ContainsFunc(t.Reactions, func(r teamsReaction) bool { return r.Relay }) {
			relayed = append(relayed, t.ID)
		}
	}
	for _, r := range g.s.reactions {
		if at, known := g.byMX[r.Target]; known {
			wanted[string(g.s.rows[at].Message)] = true
			relayed = append(relayed, g.s.rows[at].Remote)
		}
	}
	ids := make([]string, 0, len(wanted))
	for message := range wanted {
		ids = append(ids, message)
	}
	err := chunked(ids, func(marks string, args []any) error {
		rows, err := g.v.o.Bridge.DB.Reaction.QueryMany(ctx, `SELECT bridge_id, message_id, message_part_id, sender_id, sender_mxid, emoji_id, emoji,
			room_id, room_receiver, mxid, timestamp, metadata FROM reaction WHERE bridge_id=$1 AND room_receiver='' AND message_id IN (`+marks+`)`,
			append([]any{g.v.o.Bridge.ID}, args...)...)
		if err != nil {
			return fmt.Errorf("read reaction rows: %w", err)
		}
		for _, r := range rows {
			meta := reactionMetaOf(r)
			g.s.reactRows = append(g.s.reactRows, reactionRow{
				Event: r.MXID.String(), Message: r.MessageID, reactionKey: reactionKey{r.SenderID, r.EmojiID},
				Outbound: meta.OutboxEvent != "", Relayed: meta.Relayed, Queued: meta.Queued, Removing: meta.Removing, AckMS: meta.AckMS,
			})
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(relayed)
	for _, remote := range slices.Compact(relayed) {
		sent, err := g.v.o.DB.SentReactions.ByTarget(ctx, g.portal, remote)
		if err != nil {
			return err
		}
		g.s.sentReact = append(g.s.sentReact, sent...)
	}
	return nil
}

// chunked calls fn with the placeholders and arguments of some values at a
// time; the placeholders begin at $2.
func chunked(values []string, fn func(marks string, args []any) error) error {
	for chunk := range slices.Chunk(values, 100) {
		marks, args := make([]string, len(chunk)), make([]any, len(chunk))
		for i, value := range chunk {
			marks[i], args[i] = "$"+strconv.Itoa(i+2), value
		}
		if err := fn(strings.Join(marks, ", "), args); err != nil {
			return err
		}
	}
	return nil
}

package portal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"maunium.net/go/mautrix/bridgev2"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// deletePost deletes what an account posted.
func (r *repair) deletePost(ctx context.Context, f *Finding) error {
	if f.other == "" {
		return &repairError{why: whyNoAccount}
	}
	if err := r.isThere(ctx, f.stays); err != nil {
		return err
	}
	w, err := r.v.o.Writers.Exactly(ctx, &database.OutboxRow{Portal: r.report.Portal, SenderUserID: f.other}, f.other)
	if err != nil {
		return err
	}
	landed := r.v.o.Echo.takeOff(r.report.Portal, f.other)
	defer landed()
	refs := []teams.MessageRef{{ChannelRef: r.report.Channel, RootID: f.root, ID: f.Message}}
	var parts []database.SentPart
	if f.Class == DeletedInMatrix {
		if parts, err = r.v.o.DB.Sent.ByEvent(ctx, f.Event.String()); err != nil {
			return err
		}
		for _, p := range parts {
			if p.State == database.StateSent && p.RemoteID != f.Message {
				refs = append(refs, partRef(p))
			}
		}
	}
	for _, ref := range slices.Backward(refs) {
		if err = w.Delete(ctx, ref); err != nil && !isMissing(err) {
			return fmt.Errorf("delete: %w", err)
		}
	}
	if f.Class != DeletedInMatrix {
		return r.acceptChanged(ctx, f)
	}
	for _, p := range parts {
		if err = r.v.o.DB.Sent.SetDeleted(ctx, p.EventID, p.Part, true); err != nil {
			return err
		}
	}
	return r.inLoop(ctx, f, func(ctx context.Context, p *bridgev2.Portal, f *Finding) error {
		row, err := p.Bridge.DB.Message.GetPartByMXID(ctx, f.Event)
		if err != nil || row == nil {
			return err
		}
		meta := metaOf(row)
		meta.Deleted, meta.Deleting, meta.ContentHash = true, false, ""
		return p.Bridge.DB.Message.Update(ctx, row)
	})
}

// isThere makes sure that a message is there, where one is named: of two that say
// the same somebody may have deleted one since they were compared.
func (r *repair) isThere(ctx context.Context, ref teams.MessageRef) error {
	if ref.ID == "" {
		return nil
	}
	ref.ChannelRef = r.report.Channel
	m, err := r.v.o.Reader.Message(ctx, ref)
	if isMissing(err) || err == nil && !m.Deleted.IsZero() {
		return &repairError{why: whyOnly}
	} else if err != nil {
		return fmt.Errorf("read the other message: %w", err)
	}
	return nil
}

// deletePart deletes one post of a message that was written in several.
func (r *repair) deletePart(ctx context.Context, f *Finding) error {
	w, err := r.v.o.Writers.Exactly(ctx, &database.OutboxRow{Portal: r.report.Portal, SenderUserID: f.other}, f.other)
	if err != nil {
		return err
	}
	landed := r.v.o.Echo.takeOff(r.report.Portal, f.other)
	defer landed()
	if err = w.Delete(ctx, teams.MessageRef{ChannelRef: r.report.Channel, RootID: f.root, ID: f.Message}); err != nil && !isMissing(err) {
		return fmt.Errorf("delete a part: %w", err)
	}
	return r.acceptChanged(ctx, f)
}

// react makes a reaction in Teams, or takes it back.
func (r *repair) react(ctx context.Context, f *Finding) error {
	if f.fix == fixReact && f.other == "" || f.other == "" {
		return &repairError{why: whyNoAccount}
	}
	emoji, err := msgconv.EmojiToTeams(f.Emoji)
	if err != nil {
		return &repairError{why: err.Error()}
	}
	w, err := r.v.o.Writers.Exactly(ctx, &database.OutboxRow{Portal: r.report.Portal, SenderUserID: f.other}, f.other)
	if err != nil {
		return err
	}
	ref := teams.MessageRef{ChannelRef: r.report.Channel, RootID: f.root, ID: f.Message}
	if f.fix == fixReact {
		err = w.React(ctx, ref, emoji)
	} else if err = w.Unreact(ctx, ref, emoji); isMissing(err) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("react: %w", err)
	}
	return r.acceptChanged(ctx, f)
}

// acceptChanged brings what was changed in Teams into the ledger at once,
// without waiting for the notification.
func (r *repair) acceptChanged(ctx context.Context, f *Finding) error {
	delete(r.messages, f.Message)
	m, err := r.fetch(ctx, f)
	if isMissing(err) {
		return nil
	} else if err != nil {
		return err
	}
	if err = r.v.o.Ingest.Accept(ctx, teams.SourceRepair, []teams.Message{m}); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	r.redelivered = append(r.redelivered, m.ID)
	return nil
}

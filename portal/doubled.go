package portal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// healBatch is how many duplicates are read at once.
const healBatch = 50

// Doubled tells that a source change became two events, which is kept already
// (database.Echoes.Doubled). It does not block.
func (in *Ingest) Doubled() {
	select {
	case in.doubled <- struct{}{}:
	default:
	}
}

// runHealing redacts duplicates until ctx ends: at the start what the process
// before has left, then whenever there are new ones. What fails is tried again
// at the next sweep.
func (in *Ingest) runHealing(ctx context.Context) {
	sweep := time.NewTicker(in.o.Sweep)
	defer sweep.Stop()
	for {
		left, err := in.heal(ctx)
		if err != nil && ctx.Err() == nil {
			zerolog.Ctx(ctx).Warn().Err(err).Msg("Could not remove a message that is there twice, will try again")
		}
		again := sweep.C
		if !left && err == nil {
			again = nil
		}
		select {
		case <-in.doubled:
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}

// heal deals with the duplicates that are known, and tells whether some are left.
func (in *Ingest) heal(ctx context.Context) (left bool, err error) {
	doubled, err := in.o.DB.Echoes.Doubled(ctx, healBatch)
	if err != nil {
		return true, err
	}
	var errs []error
	for _, echo := range doubled {
		if err := in.healOne(ctx, echo); err != nil {
			errs = append(errs, fmt.Errorf("event %s: %w", echo.EventID, err))
		}
	}
	if len(errs) == 0 && len(doubled) == healBatch {
		in.Doubled()
	}
	return len(errs) > 0, errors.Join(errs...)
}

func (in *Ingest) healOne(ctx context.Context, dup database.Echo) error {
	p, err := in.o.Bridge.GetPortalByMXID(ctx, id.RoomID(dup.RoomID))
	if err != nil {
		return fmt.Errorf("get portal: %w", err)
	} else if p == nil {
		return in.o.DB.Echoes.Healed(ctx, dup, "", "")
	}
	// Inside the loop, so that the row of a send that has just been answered is there.
	err = in.loop.Do(ctx, p.ID, func(ctx context.Context, p *bridgev2.Portal, _ *bridgev2.UserLogin) error {
		return in.healInRoom(ctx, p, dup)
	})
	if errors.Is(err, errNoRoom) {
		return in.o.DB.Echoes.Healed(ctx, dup, "", "")
	}
	return err
}

// healInRoom redacts one of two events of a source change: the younger, unless
// that is the one by which the bridge knows the message, to which replies,
// edits and reactions point.
func (in *Ingest) healInRoom(ctx context.Context, p *bridgev2.Portal, dup database.Echo) error {
	first, err := in.o.DB.Echoes.Get(ctx, dup.SourceKey)
	if err != nil {
		return err
	} else if first == nil {
		if err = in.comesForth(ctx, p, dup); err != nil {
			return err
		}
		return in.o.DB.Echoes.Healed(ctx, dup, "", "")
	} else if first.EventID == dup.EventID || first.RoomID != dup.RoomID {
		return in.o.DB.Echoes.Healed(ctx, dup, "", "")
	}
	if marked, since, ok := parseMark(dup.SourceKey); ok {
		return in.healMark(ctx, p, dup, *first, marked, since)
	}
	remove, kept := eventID(dup.EventID), ""
	if known, err := in.isRow(ctx, p, remove); err != nil {
		return err
	} else if known {
		remove, kept = eventID(first.EventID), dup.EventID
		if both, err := in.isRow(ctx, p, remove); err != nil {
			return err
		} else if both {
			return in.o.DB.Echoes.Healed(ctx, dup, "", "")
		}
	}
	if err = in.redactDouble(ctx, p, remove, dup.SourceKey); err != nil {
		return err
	}
	return in.o.DB.Echoes.Healed(ctx, dup, kept, remove.String())
}

// comesForth makes an event count for its source change where the other one of
// the two was taken back meanwhile. One that no row knows may have to go as well:
// it is judged like any echo that is new.
func (in *Ingest) comesForth(ctx context.Context, p *bridgev2.Portal, dup database.Echo) error {
	counts, err := in.isRow(ctx, p, eventID(dup.EventID))
	if err != nil {
		return err
	}
	if _, _, isMark := parseMark(dup.SourceKey); !counts && !isMark {
		counts, err = in.isDuplicate(ctx, p, eventID(dup.EventID), dup.SourceKey)
		dup.At = in.o.Now()
	}
	if err != nil || !counts {
		return err
	}
	if _, err = in.o.DB.Echoes.Record(ctx, []database.Echo{dup}); err == nil {
		in.orphans.signal()
	}
	return err
}

// healMark removes what the row of a marked message does not know of: its mark
// is taken away by what the row says.
func (in *Ingest) healMark(ctx context.Context, p *bridgev2.Portal, dup, first database.Echo, marked, since string) error {
	row, err := in.o.DB.Outbox.ByEvent(ctx, marked)
	if err != nil {
		return err
	}
	kept := ""
	if row != nil {
		switch row.Mark {
		case dup.EventID, first.EventID:
			kept = row.Mark
		case intended + since:
			// The answer is on its way, or never comes: from now on it is this one.
			if err = in.o.DB.Outbox.ReplaceMark(ctx, row.ID, row.Mark, first.EventID); err != nil {
				return err
			}
			if row, err = in.o.DB.Outbox.ByEvent(ctx, marked); err != nil || row == nil {
				return err
			}
			kept = row.Mark
		}
	}
	for _, one := range []database.Echo{dup, first} {
		if one.EventID == kept {
			continue
		}
		if err = in.redactDouble(ctx, p, eventID(one.EventID), dup.SourceKey); err != nil {
			return err
		}
	}
	return in.o.DB.Echoes.Healed(ctx, dup, kept, "")
}

// redactDouble takes an event away that shows what another one shows, or what
// nothing is to show any more.
func (in *Ingest) redactDouble(ctx context.Context, p *bridgev2.Portal, remove id.EventID, key string) error {
	there, err := in.isDuplicate(ctx, p, remove, key)
	if err != nil || !there {
		return err
	}
	_, err = p.Bridge.Bot.SendMessage(in.o.WithKey(ctx, "doubled:"+remove.String()), p.MXID, event.EventRedaction, &event.Content{
		Parsed: &event.RedactionEventContent{Redacts: remove},
	}, &bridgev2.MatrixSendExtra{Timestamp: in.o.Now()})
	if err != nil {
		return fmt.Errorf("redact duplicate: %w", err)
	}
	zerolog.Ctx(ctx).Warn().Str("portal", string(p.ID)).Stringer("event_id", remove).Msg("Removed a message that was there twice")
	in.o.Metrics.Count(MetricIngestDoubt, "doubled")
	return nil
}

// isRow reports whether the bridge knows a message or a reaction by the event.
func (in *Ingest) isRow(ctx context.Context, p *bridgev2.Portal, evt id.EventID) (bool, error) {
	if row, err := p.Bridge.DB.Message.GetPartByMXID(ctx, evt); err != nil {
		return false, fmt.Errorf("get message row: %w", err)
	} else if row != nil {
		return true, nil
	}
	row, err := p.Bridge.DB.Reaction.GetByMXID(ctx, evt)
	if err != nil {
		return false, fmt.Errorf("get reaction row: %w", err)
	}
	return row != nil, nil
}

// isDuplicate reports whether an event still shows what another shows too. Two
// edits or redactions of an event look like one, and a redacted event has no
// source key any more.
func (in *Ingest) isDuplicate(ctx context.Context, p *bridgev2.Portal, evt id.EventID, key string) (bool, error) {
	got, err := p.Bridge.Bot.GetEvent(ctx, p.MXID, evt)
	var refused mautrix.HTTPError
	switch {
	case errors.Is(err, mautrix.MNotFound):
		return false, nil
	case errors.As(err, &refused), ctx.Err() != nil:
		return false, fmt.Errorf("get duplicate: %w", err)
	case err != nil:
		return true, nil // it is there, and can't be decrypted
	}
	if got.Type.Type == event.EventRedaction.Type || got.Content.Raw[SourceField] != key {
		return false, nil
	}
	relation, _ := got.Content.Raw["m.relates_to"].(map[string]any)
	return relation["rel_type"] != string(event.RelReplace), nil
}

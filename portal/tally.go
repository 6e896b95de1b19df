package portal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

const (
	// tallyBatch is how many polls are looked at in one go.
	tallyBatch = 100
	// tallyRetry is the pause after a failure.
	tallyRetry = time.Second
	// parkedRest is how long a poll rests whose message is parked: somebody may
	// have that sent later.
	parkedRest = time.Minute
)

// TallyOptions configures a Tally. Zero durations mean the default.
type TallyOptions struct {
	Common
	// Wake tells the sender that a portal has a row.
	Wake func(portal string)
	// Rest is how long after a vote Teams is told of it, with all the others that
	// were cast meanwhile. Default 5 s.
	Rest time.Duration
	// Sweep is how often it is looked for votes of which nobody told. Default 30 s.
	Sweep time.Duration
}

// Tally brings votes in polls to Teams: a poll that has changed becomes one edit
// of its message, with the votes as they are then. It runs beside the Sender.
type Tally struct {
	o    TallyOptions
	wake chan struct{}
	// reopened is set when nothing is left that the encryption key does not open;
	// Run's.
	reopened bool
}

// NewTally makes a Tally; it counts while Run runs.
func NewTally(o TallyOptions) *Tally {
	o.setDefaults()
	if o.Wake == nil {
		o.Wake = func(string) {}
	}
	def(&o.Rest, 5*time.Second)
	def(&o.Sweep, 30*time.Second)
	return &Tally{o: o, wake: make(chan struct{}, 1)}
}

// Voted tells that a poll has changed (OutboxOptions.Voted). It does not block.
func (t *Tally) Voted() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Run counts until ctx ends, and begins with what an earlier process has left.
func (t *Tally) Run(ctx context.Context) {
	ctx = t.o.Logger.WithContext(ctx)
	for ctx.Err() == nil {
		rest, err := t.round(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			zerolog.Ctx(ctx).Err(err).Msg("Could not bring votes to Teams, will try again")
			rest = tallyRetry
		}
		timer := time.NewTimer(rest)
		select {
		case <-timer.C:
		case <-t.wake:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// round looks after the polls that are due, and returns how long the next one
// has to rest yet.
func (t *Tally) round(ctx context.Context) (time.Duration, error) {
	var errs []error
	if err := t.reopen(ctx); err != nil {
		errs = append(errs, err)
	}
	polls, err := t.o.DB.Polls.Dirty(ctx, tallyBatch)
	if err != nil {
		return 0, err
	}
	for i := range polls {
		if rest := polls[i].DirtyAt.Add(t.o.Rest).Sub(t.o.Now()); rest > 0 {
			return min(rest, t.o.Sweep), errors.Join(errs...)
		}
		if err = t.bring(ctx, &polls[i]); err != nil { // one poll's trouble is not another's
			errs = append(errs, fmt.Errorf("poll %s: %w", polls[i].EventID, err))
		}
	}
	if len(polls) == tallyBatch {
		return 0, errors.Join(errs...)
	}
	return t.o.Sweep, errors.Join(errs...)
}

// What became of a poll that had changed, for MetricPolls.
const (
	tallyQueued = "edit"
	tallyMerged = "merged into what waits"
	tallyGone   = "the poll is not in Teams"
	tallyParked = "the poll is parked"
	tallyKnown  = "the vote was in the outbox before"
)

// bring puts what a poll has come to into the outbox. Nobody can see it half
// done: the poll is clean exactly when its votes are in a row's payload.
func (t *Tally) bring(ctx context.Context, seen *database.Poll) error {
	what := ""
	err := t.o.DB.DoTxn(ctx, nil, func(ctx context.Context) error {
		p, err := t.o.DB.Polls.Claim(ctx, seen.EventID, seen.DirtyAt)
		if err != nil || p == nil {
			return err
		}
		what, err = t.enqueue(ctx, p)
		return err
	})
	if err != nil || what == "" {
		return err
	}
	t.o.Metrics.Count(MetricPolls, what)
	zerolog.Ctx(ctx).Debug().Str("portal", seen.Portal).Str("event_id", seen.EventID).Str("outcome", what).Msg("Votes were counted")
	if what == tallyQueued || what == tallyMerged {
		t.o.Wake(seen.Portal)
	}
	return nil
}

// enqueue finds the way for a poll's votes: into its message or an edit of it
// that waits, else into an edit of its own.
func (t *Tally) enqueue(ctx context.Context, p *database.Poll) (what string, err error) {
	message, err := t.o.DB.Outbox.ByEvent(ctx, p.EventID)
	if err != nil {
		return "", err
	} else if message != nil && message.State == database.StateParked {
		return tallyParked, t.o.DB.Polls.Postpone(ctx, p.EventID, t.o.Now().Add(parkedRest))
	}
	stored, err := t.o.Bridge.DB.Message.GetPartByMXID(ctx, id.EventID(p.EventID))
	if err != nil {
		return "", fmt.Errorf("get message row of poll: %w", err)
	}
	if message != nil && isLost(message) || stored != nil && (metaOf(stored).Deleted || metaOf(stored).Deleting) {
		return tallyGone, nil
	}
	payload, err := pollPayload(ctx, t.o.DB, t.o.Texts, p)
	if err != nil {
		return "", err
	}
	if merged, err := t.merge(ctx, p, message, payload); err != nil || merged {
		return tallyMerged, err
	}
	row := &database.OutboxRow{
		EventID: p.LastEvent, Portal: p.Portal, RoomID: p.RoomID, Kind: database.KindEdit,
		TargetEventID: p.EventID, RootEventID: p.EventID, Payload: payload,
		SenderMXID: p.SenderMXID, SenderUserID: p.SenderUserID, SenderName: p.SenderName, EventAt: t.o.Now(),
	}
	inserted, err := t.o.DB.Outbox.Enqueue(ctx, row)
	if err != nil {
		return "", err
	} else if !inserted {
		return tallyKnown, nil
	}
	// What was refused before says less than this.
	return tallyQueued, t.o.DB.Outbox.Supersede(ctx, p.Portal, p.EventID, reasonNewerEdit)
}

// merge makes what waits say what the poll has come to; merged is false where
// nothing does, or Teams may have it already.
func (t *Tally) merge(ctx context.Context, p *database.Poll, message *database.OutboxRow, payload []byte) (merged bool, err error) {
	if message != nil {
		if merged, err = t.o.DB.Outbox.ReplacePayload(ctx, message.ID, payload); err != nil {
			return false, err
		}
	}
	waiting, err := t.o.DB.Outbox.ByTarget(ctx, p.EventID)
	if err != nil {
		return false, err
	}
	for _, row := range waiting {
		if row.Kind != database.KindEdit {
			continue
		}
		replaced, err := t.o.DB.Outbox.ReplacePayload(ctx, row.ID, payload)
		if err != nil {
			return false, err
		}
		merged = replaced // what waits last is what Teams will show
	}
	return merged, nil
}

// isTally reports whether a row is an edit that counts votes. What becomes of it
// nobody is told: its poll's author did not write it.
func isTally(row *database.OutboxRow) bool {
	return row.Kind == database.KindEdit && row.RootEventID != ""
}

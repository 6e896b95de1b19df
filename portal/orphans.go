package portal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.mau.fi/util/dbutil"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/teams"
)

// An orphan is an event of ours that no row knows and that Teams does not show:
// its send had no answer, and before it was repeated, which would have found it,
// Teams took back what it shows. The homeserver may make it minutes later, and
// the bridge may have been restarted since, so it is not waited for. Its echo
// tells: what was confirmed and is in no row, although the ledger is done with
// its message, is taken back.

const (
	// orphanWatch is how long after a send without an answer, and after the
	// bridge began, an echo is looked at at once. Later it is at the next sweep.
	orphanWatch = 10 * time.Minute
	// orphanLookback is how far before the last echo of the process before the
	// first look begins.
	orphanLookback = time.Hour
	// orphanOverlap is by how much looks overlap: a transaction may take its time.
	orphanOverlap = time.Minute
	// orphanBatch is how many are judged in one look.
	orphanBatch = 200
)

type orphans struct {
	wake chan struct{}

	mu sync.Mutex
	// until is how long echoes are looked at at once, since from when on.
	until, since time.Time
	// news says that there were echoes since the last look, soon that the next
	// one is due, looking that it is on, left that some could not be judged yet.
	news, soon, looking, left bool
	// awaited are the portals whose ledgers have to be done first.
	awaited map[string]struct{}
	// redacted are events that this process has redacted, and when.
	redacted map[id.EventID]time.Time
}

func newOrphans(now time.Time) *orphans {
	o := &orphans{wake: make(chan struct{}, 1), awaited: map[string]struct{}{}, redacted: map[id.EventID]time.Time{}}
	o.watch(now)
	o.signal() // for what the process before has left
	return o
}

// watch makes echoes be looked at at once for a time.
func (o *orphans) watch(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.until = now.Add(orphanWatch)
}

// signal makes a look due.
func (o *orphans) signal() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.signalLocked()
}

func (o *orphans) signalLocked() {
	o.soon = true
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *orphans) echoed(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.news = true
	if now.Before(o.until) {
		o.signalLocked()
	}
}

// drained tells that a ledger has nothing pending, of a conversation that was in
// doubt or not.
func (o *orphans) drained(portal string, doubt bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, awaited := o.awaited[portal]; doubt || awaited {
		delete(o.awaited, portal)
		o.signalLocked()
	}
}

func (o *orphans) await(portal string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.awaited[portal] = struct{}{}
}

func (o *orphans) isRedacted(evt id.EventID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ok := o.redacted[evt]
	return ok
}

func (o *orphans) noteRedacted(evt id.EventID, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.redacted[evt] = now
}

// begin begins a look and returns from when on.
func (o *orphans) begin() (since time.Time, due bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	due = o.news || o.soon || o.left
	o.news, o.soon, o.looking = false, false, due
	return o.since, due
}

// end ends a look; young says that what was confirmed just now is to be looked at.
func (o *orphans) end(since time.Time, left, young bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left, o.looking = left, false
	if !since.IsZero() {
		o.since = since
		for evt, at := range o.redacted {
			if at.Before(since.Add(-orphanOverlap)) {
				delete(o.redacted, evt)
			}
		}
	}
	if young {
		o.signalLocked()
	}
}

func (o *orphans) busy() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.soon || o.looking || o.left {
		return 1
	}
	return 0
}

// Echoed tells that the homeserver has confirmed sends, which is kept already
// (database.Echoes). It does not block.
func (in *Ingest) Echoed() { in.orphans.echoed(in.o.Now()) }

// runOrphans takes orphans back until ctx ends.
func (in *Ingest) runOrphans(ctx context.Context) {
	sweep := time.NewTicker(in.o.Sweep)
	defer sweep.Stop()
	for {
		select {
		case <-in.orphans.wake:
			grace := time.NewTimer(in.o.OrphanGrace)
			select {
			case <-grace.C:
			case <-ctx.Done():
				grace.Stop()
				return
			}
		case <-sweep.C:
		case <-ctx.Done():
			return
		}
		if err := in.findOrphans(ctx); err != nil && ctx.Err() == nil {
			zerolog.Ctx(ctx).Warn().Err(err).Msg("Could not look for events that were taken back, will try again")
		}
	}
}

// findOrphans judges what was confirmed since the last look and is in no row.
func (in *Ingest) findOrphans(ctx context.Context) error {
	now := in.o.Now()
	since, due := in.orphans.begin()
	if !due {
		return nil
	}
	next, left, young := time.Time{}, true, false
	defer func() { in.orphans.end(next, left, young) }()
	if since.IsZero() {
		last, err := in.o.DB.Echoes.Last(ctx)
		if err != nil {
			return err
		}
		since = last.Add(-orphanLookback)
	}
	found, err := in.unclaimed(ctx, since)
	if err != nil {
		return err
	}
	next, left = now.Add(-orphanOverlap), false
	if len(found) == orphanBatch {
		next, young = found[len(found)-1].At, true
		if !next.After(since) {
			next = since.Add(time.Millisecond)
		}
	}
	var errs []error
	for _, echo := range found {
		if in.orphans.isRedacted(eventID(echo.EventID)) {
			continue
		} else if echo.At.After(now.Add(-in.o.OrphanGrace)) {
			young = true // its row may be just being stored
			continue
		}
		err := in.judgeOrphan(ctx, echo)
		if err == nil {
			continue
		} else if !errors.Is(err, errAwaited) {
			errs = append(errs, fmt.Errorf("event %s: %w", echo.EventID, err))
		}
		left = true
		if echo.At.Before(next) {
			next = echo.At
		}
	}
	return errors.Join(errs...)
}

// unclaimed returns what was confirmed since a time and shows something, and is
// in no message or reaction row.
func (in *Ingest) unclaimed(ctx context.Context, since time.Time) ([]database.Echo, error) {
	db := in.o.Bridge.DB
	rows, err := db.Query(ctx, `
		SELECT e.source_key, e.event_id, e.room_id, e.seen_at FROM teams_echo e
		WHERE e.seen_at >= $1 AND e.event_id <> ''
			AND (e.source_key LIKE '%/new:%' OR e.source_key LIKE '%/again:%' OR e.source_key LIKE '%/gone:%' OR e.source_key LIKE '%/react:%')
			AND NOT EXISTS (SELECT 1 FROM message m WHERE m.bridge_id = $2 AND m.mxid = e.event_id)
			AND NOT EXISTS (SELECT 1 FROM reaction r WHERE r.bridge_id = $2 AND r.mxid = e.event_id)
		ORDER BY e.seen_at LIMIT $3`, since.UnixMilli(), db.BridgeID, orphanBatch)
	found, err := dbutil.NewRowIterWithError(rows, func(row dbutil.Scannable) (e database.Echo, err error) {
		var at int64
		err = row.Scan(&e.SourceKey, &e.EventID, &e.RoomID, &at)
		e.At = time.UnixMilli(at)
		return e, err
	}, err).AsList()
	if err != nil {
		return nil, fmt.Errorf("list events without a row: %w", err)
	}
	return found, nil
}

// errAwaited says that the ledger is not done with a message yet.
var errAwaited = errors.New("its message is on its way")

// judgeOrphan takes an event back if it is an orphan; an error means that nobody
// knows yet.
func (in *Ingest) judgeOrphan(ctx context.Context, echo database.Echo) error {
	p, err := in.o.Bridge.GetPortalByMXID(ctx, id.RoomID(echo.RoomID))
	if err != nil {
		return fmt.Errorf("get portal: %w", err)
	} else if p == nil {
		return nil
	}
	ch, isChannel := ParsePortal(p.ID)
	messageID, ok := sourceMessage(echo.SourceKey)
	if !isChannel || !ok {
		return nil
	}
	// Inside the loop, where no delivery is between its event and its row.
	err = in.loop.Do(ctx, p.ID, func(ctx context.Context, p *bridgev2.Portal, _ *bridgev2.UserLogin) error {
		kind, err := in.isOrphan(ctx, p, echo, teams.MessageRef{ChannelRef: ch, ID: messageID})
		if err != nil || kind == noOrphan {
			return err
		}
		return in.takeBack(ctx, p, echo, kind)
	})
	switch {
	case errors.Is(err, errNoRoom):
		return nil
	case errors.Is(err, errAwaited):
		in.orphans.await(string(p.ID))
	}
	return err
}

// orphanKind is why an event is to go, if it is.
type orphanKind int

const (
	noOrphan orphanKind = iota
	// besideAnother means that another event shows the message.
	besideAnother
	// goneInTeams means that Teams has taken the message back.
	goneInTeams
)

// isOrphan judges an event that no row knows. What no delivery can explain is
// left alone, and for Verifier to judge.
func (in *Ingest) isOrphan(ctx context.Context, p *bridgev2.Portal, echo database.Echo, ref teams.MessageRef) (orphanKind, error) {
	// Since it was listed it may have been found to be one of two.
	if now, err := in.o.DB.Echoes.Get(ctx, echo.SourceKey); err != nil || now == nil || now.EventID != echo.EventID {
		return noOrphan, err
	}
	if known, err := in.isRow(ctx, p, eventID(echo.EventID)); err != nil || known {
		return noOrphan, err
	}
	ledger, err := in.o.DB.Inbox.Get(ctx, string(p.ID), ref.ID)
	switch {
	case err != nil:
		return noOrphan, err
	case ledger == nil, ledger.State == database.StateParked:
		return noOrphan, nil
	case ledger.State == database.StatePending:
		return noOrphan, errAwaited
	}
	d := &delivery{in: in, id: MessageID(ref.ChannelRef, ref.ID)}
	if d.own, err = in.o.DB.Sent.ByRemote(ctx, string(p.ID), ref.ID); err != nil {
		return noOrphan, err
	}
	if rows, err := d.rows(ctx); err != nil {
		return noOrphan, err
	} else if len(rows) > 0 {
		return besideAnother, nil
	}
	// A deleted root is shown for the sake of its replies.
	if awaited, err := in.o.DB.Inbox.PendingReplies(ctx, string(p.ID), ref.ID); err != nil {
		return noOrphan, err
	} else if awaited {
		return noOrphan, errAwaited
	}
	ref.RootID = ledger.RootID
	m, err := in.o.Reader.Message(ctx, ref)
	switch {
	case isMissing(err) && in.o.Now().Before(madeAt(ref.ID).Add(in.o.RootPatience)):
		return noOrphan, fmt.Errorf("ask if a young message was deleted: %w", err)
	case isMissing(err):
		return goneInTeams, nil
	case isRefused(err):
		return noOrphan, nil
	case err != nil:
		return noOrphan, fmt.Errorf("ask if a message was deleted: %w", err)
	}
	if m.Deleted.IsZero() {
		return noOrphan, nil
	}
	return goneInTeams, nil
}

// takeBack redacts an orphan and forgets that its change was ever sent. Where
// another event shows the same it stays known what this one showed: who answered
// it answered that.
func (in *Ingest) takeBack(ctx context.Context, p *bridgev2.Portal, echo database.Echo, kind orphanKind) error {
	there, err := in.isDuplicate(ctx, p, eventID(echo.EventID), echo.SourceKey)
	if err != nil {
		return err
	} else if there {
		_, err = p.Bridge.Bot.SendMessage(in.o.WithKey(ctx, "orphan:"+echo.EventID), p.MXID, event.EventRedaction, &event.Content{
			Parsed: &event.RedactionEventContent{Redacts: eventID(echo.EventID)},
		}, &bridgev2.MatrixSendExtra{Timestamp: in.o.Now()})
		if err != nil {
			return fmt.Errorf("redact what was taken back: %w", err)
		}
		zerolog.Ctx(ctx).Info().Str("portal", string(p.ID)).Str("event_id", echo.EventID).Msg("Removed an event that came after Teams took it back")
		in.o.Metrics.Count(MetricIngestDoubt, "taken back")
	}
	if kind == goneInTeams {
		return in.o.DB.Echoes.Forget(ctx, echo.SourceKey)
	}
	return in.o.DB.Echoes.TakenBack(ctx, echo)
}

package portal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// doubts are the conversations in which a send to Matrix may have happened
// without anybody having seen its answer: the process died, or the connection.
// Homeservers recognise a transaction id only when its first request is done,
// so sending again at once would make a second event of it. Such a conversation
// rests until the homeserver had time to finish, its room is looked at once,
// and while its ledger is not empty every send asks the echoes first.
//
// A lane has one send in flight at most, but a process that has just begun
// can't tell which row that was: older rows and newer versions may have come
// since. So at boot every conversation with pending rows is in doubt, from one
// query, and nothing is written per message.
type doubts struct {
	pending func(ctx context.Context) ([]database.Head, error)

	mu     sync.Mutex
	loaded bool
	lanes  map[string]*doubt
}

type doubt struct {
	until  time.Time // when the homeserver had time enough
	looked bool
}

// load notes what the process before has left. It has to come before anything
// is accepted, because pending rows are all of that process then.
func (ds *doubts) load(ctx context.Context, until time.Time) error {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if ds.loaded {
		return nil
	}
	heads, err := ds.pending(ctx)
	if err != nil {
		return fmt.Errorf("look for sends in doubt: %w", err)
	}
	ds.lanes = make(map[string]*doubt, len(heads))
	for _, head := range heads {
		ds.lanes[head.Portal] = &doubt{until: until}
	}
	ds.loaded = true
	return nil
}

// add notes a send that may have happened.
func (ds *doubts) add(portal string, until time.Time) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if ds.lanes == nil {
		ds.lanes = map[string]*doubt{}
	}
	ds.lanes[portal] = &doubt{until: until}
}

// rest returns until when a conversation rests, the zero time if it does not.
func (ds *doubts) rest(portal string) time.Time {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if d := ds.lanes[portal]; d != nil && !d.looked {
		return d.until
	}
	return time.Time{}
}

// has reports whether a conversation's sends have to ask the echoes.
func (ds *doubts) has(portal string) bool {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	return ds.lanes[portal] != nil
}

func (ds *doubts) toLook(portal string) bool {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	d := ds.lanes[portal]
	return d != nil && !d.looked
}

func (ds *doubts) looked(portal string) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if d := ds.lanes[portal]; d != nil {
		d.looked = true
	}
}

// settle ends a conversation's doubt, if there was one: everything in its ledger
// is delivered.
func (ds *doubts) settle(portal string) (doubt bool) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	_, doubt = ds.lanes[portal]
	delete(ds.lanes, portal)
	return doubt
}

// errLook marks a failure of looking, which sends nothing.
var errLook = errors.New("could not look for what was sent before")

// look looks once at the room of a conversation in doubt.
func (in *Ingest) look(ctx context.Context, portal string, roomID id.RoomID) error {
	if !in.doubts.toLook(portal) {
		return nil
	}
	if err := in.o.Look(ctx, roomID); err != nil {
		return fmt.Errorf("%w: %w", errLook, err)
	}
	in.doubts.looked(portal)
	in.o.Metrics.Count(MetricIngestDoubt, "looked")
	return nil
}

// findSent looks for the event that a source key became, of which the
// homeserver says that it is there.
func (d *delivery) findSent(ctx context.Context, p *bridgev2.Portal, key string) (id.EventID, error) {
	if err := d.in.o.Look(ctx, p.MXID); err != nil {
		return "", fmt.Errorf("%w: %w", errLook, err)
	}
	echo, err := d.in.o.DB.Echoes.Get(ctx, key)
	if err != nil || echo == nil || echo.RoomID != p.MXID.String() {
		return "", err
	}
	return eventID(echo.EventID), nil
}

// mayHaveArrived reports whether a delivery failed without the homeserver's
// word on a send: no answer, or one by whoever stands in front of it.
func mayHaveArrived(err error) bool {
	var hs mautrix.HTTPError
	switch {
	case errors.Is(err, errLook), errors.Is(err, syscall.ECONNREFUSED):
		return false
	case errors.As(err, &hs):
		return hs.Response == nil || hs.Response.StatusCode >= 500
	}
	return errors.Is(err, context.DeadlineExceeded)
}

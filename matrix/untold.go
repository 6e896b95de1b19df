package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

const (
	untoldScope = "homeserver:told"
	// untoldTick is how often it is looked whether there is something to do.
	untoldTick = 5 * time.Second
	// markEvery is how often a position is taken while transactions come
	// promptly. What is read after trouble reaches back to the last but one.
	markEvery = 5 * time.Minute
	// lateBy is how much longer than usual a transaction takes that was held up,
	// calmFor how long none was before the homeserver is asked, patienceFor how
	// long that is waited for at most.
	lateBy      = 3 * time.Second
	calmFor     = 20 * time.Second
	patienceFor = 15 * time.Minute
	// underWay is how old an event is before the homeserver should have told.
	underWay = 10 * time.Second
	// maxTold bounds the events of a mark that are remembered; those beyond are
	// looked up in the database.
	maxTold = 100_000
)

// untold finds what people said and the homeserver never told. Synapse asks
// whether an application service is up before it stores a transaction
// (synapse/appservice/scheduler.py, send): one that is made in the instant in
// which the service counts as recovered lies there until the next failure, for
// weeks maybe. So when transactions come promptly again after a start, a refusal
// or a delay, the bot asks /sync what the rooms have had since before the
// trouble, and what nobody told is taken as if it had been. The price is one
// empty /sync in five minutes, and one full one after trouble.
type untold struct {
	j      *journal
	db     *database.Database
	log    zerolog.Logger
	client *feedClient
	now    func() time.Time
	tick   time.Duration
	// followed reports whether redactions come another way.
	followed func() bool

	mu sync.Mutex
	// older is where reading begins after trouble, newer the position after it;
	// both are empty before the first.
	older, newer mark
	// trouble is the last of it, since the first that nobody has looked after.
	trouble, since time.Time
}

// mark is a position in the homeserver's stream.
type mark struct {
	token string
	at    time.Time
	// told are the events that transactions brought since then.
	told map[string]struct{}
	// leastLag is how long the quickest event took, which is mostly the
	// difference of two clocks.
	leastLag time.Duration
	any      bool
}

func (m *mark) tell(eventID string) {
	if m.told == nil {
		m.told = map[string]struct{}{}
	}
	if len(m.told) < maxTold {
		m.told[eventID] = struct{}{}
	}
}

func (m *mark) took(lag time.Duration) {
	if !m.any || lag < m.leastLag {
		m.leastLag, m.any = lag, true
	}
}

// stumble notes that transactions may have been held up.
func (u *untold) stumble() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stumbleLocked()
}

func (u *untold) stumbleLocked() {
	if u.trouble = u.now(); u.since.IsZero() {
		u.since = u.trouble
	}
}

// tell notes what a transaction brought.
func (u *untold) tell(events []json.RawMessage) {
	now := u.now()
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, raw := range events {
		evt := gjson.ParseBytes(raw)
		eventID := evt.Get("event_id").Str
		if eventID == "" || !journalled(evt.Get("type").Str) || evt.Get("state_key").Exists() {
			continue
		}
		u.newer.tell(eventID)
		if u.j.isOwn(id.UserID(evt.Get("sender").Str)) || u.j.isPuppeted(evt) {
			continue // its time is the one that it has in Teams
		}
		lag := now.Sub(time.UnixMilli(evt.Get("origin_server_ts").Int()))
		if (u.newer.any || u.older.any) && lag > u.usual()+lateBy {
			u.stumbleLocked()
		}
		u.newer.took(lag)
	}
}

// usual is the least lag of late. u.mu is held.
func (u *untold) usual() time.Duration {
	if u.older.any && (!u.newer.any || u.older.leastLag < u.newer.leastLag) {
		return u.older.leastLag
	}
	return u.newer.leastLag // 0 before the first
}

func (u *untold) isTold(eventID string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, newer := u.newer.told[eventID]
	_, older := u.older.told[eventID]
	return newer || older
}

// load continues where the last run was: whatever happened since is trouble.
func (u *untold) load(ctx context.Context) error {
	cursor, err := u.db.Cursors.LoadCursor(ctx, untoldScope)
	if err != nil {
		return fmt.Errorf("load what was told: %w", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.older = mark{token: cursor.Link, at: cursor.Watermark}
	u.stumbleLocked()
	return nil
}

// step does what is due. It is called every untoldTick.
func (u *untold) step(ctx context.Context) error {
	select {
	case <-u.j.gate:
	default:
		return nil // what the last run had comes first
	}
	u.mu.Lock()
	now, older, newerAt, trouble, since := u.now(), u.older, u.newer.at, u.trouble, u.since
	u.mu.Unlock()
	switch {
	case older.token == "":
		return u.take(ctx, "")
	case since.IsZero():
		if now.Sub(newerAt) < markEvery {
			return nil
		}
		return u.take(ctx, older.token)
	case now.Sub(trouble) < calmFor && now.Sub(since) < patienceFor:
		return nil
	}
	if err := u.look(ctx, older); err != nil {
		u.stumble() // not again at once
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.since = (time.Time{}); u.trouble.After(trouble) {
		u.since = u.trouble // there was more meanwhile
	}
	return nil
}

// take takes a new position; the one before it becomes the older one, which is
// stored.
func (u *untold) take(ctx context.Context, from string) error {
	at := u.now()
	token, err := u.client.position(ctx, from)
	if refused(err) && from != "" {
		u.log.Warn().Err(err).Msg("The homeserver refused the position from which it is looked for what it did not tell, beginning anew")
		token, err = u.client.position(ctx, "")
	}
	if err != nil {
		return fmt.Errorf("ask the homeserver for a position: %w", err)
	}
	u.mu.Lock()
	taken := mark{token: token, at: at}
	older := u.newer
	if older.token == "" { // the first one, or the first of this run
		older.token, older.at = taken.token, taken.at
	}
	u.mu.Unlock()
	cursor := database.Cursor{Link: older.token, Reader: RedactionsSync, Watermark: older.at}
	if err := u.db.Cursors.SaveCursor(ctx, untoldScope, cursor); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	older.told, older.leastLag, older.any = u.newer.told, u.newer.leastLag, u.newer.any
	if u.older.token == "" {
		u.log.Info().Msg("Knows since when to look for what the homeserver does not tell")
	}
	u.older, u.newer = older, taken
	return nil
}

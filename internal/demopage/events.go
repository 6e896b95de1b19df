package demopage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"sync"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"teamsbridge/teams/teamstest"
)

const (
	// glance is how often the page looks whether a channel has changed.
	glance = 150 * time.Millisecond
	// again is how long it waits after a call that failed, and how often it looks
	// at what changes rarely.
	again = time.Second
	// pulse keeps an idle stream open.
	pulse = 15 * time.Second
	// longPoll is how long the homeserver may hold a sync, in milliseconds.
	longPoll = 20_000
)

// stream sends a page what it shows, whenever that changes.
type stream struct {
	page *Page
	ch   *teamstest.Channel

	mu   sync.Mutex
	w    http.ResponseWriter
	rc   *http.ResponseController
	last map[string]uint64 // by kind, what was sent
	end  context.CancelFunc
}

// serveEvents streams a channel: both sides, the teams, and the bridge's numbers.
func (p *Page) serveEvents(w http.ResponseWriter, r *http.Request) {
	ch := p.channel(r.URL.Query().Get("channel"))
	if ch == nil {
		done(w, errNoChannel)
		return
	}
	select {
	case p.streams <- struct{}{}:
		defer func() { <-p.streams }()
	default:
		refuse(w, http.StatusServiceUnavailable, "Too many pages are open.")
		return
	}
	ctx, end := context.WithCancel(r.Context())
	defer end()
	w.Header().Set("Content-Type", "text/event-stream")
	s := &stream{page: p, ch: ch, w: w, rc: http.NewResponseController(w), last: map[string]uint64{}, end: end}
	_ = s.rc.SetReadDeadline(time.Time{})
	var all sync.WaitGroup
	for _, follow := range []func(context.Context){s.followPlaces, s.followTeams, s.followMatrix, s.followNumbers, s.followPulse} {
		all.Go(func() { follow(ctx) })
	}
	all.Wait()
}

// send sends a frame unless the page has just that.
func (s *stream) send(kind string, what any) {
	data, err := json.Marshal(what)
	if err != nil {
		return
	}
	h := fnv.New64a()
	_, _ = h.Write(data)
	s.mu.Lock()
	defer s.mu.Unlock()
	if sum := h.Sum64(); s.last[kind] == sum {
		return
	} else {
		s.last[kind] = sum
	}
	s.write("event: " + kind + "\ndata: " + string(data) + "\n\n")
}

// write sends to the page, and ends the stream when it is gone. The lock is held.
func (s *stream) write(frame string) {
	_ = s.rc.SetWriteDeadline(time.Now().Add(callLimit))
	_, err := s.w.Write([]byte(frame))
	if err = errors.Join(err, s.rc.Flush()); err != nil {
		s.end()
	}
}

// followPulse keeps the stream open, and notices when nobody reads it.
func (s *stream) followPulse(ctx context.Context) {
	for pause(ctx, pulse) {
		s.mu.Lock()
		s.write(": here\n\n")
		s.mu.Unlock()
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// followPlaces tells of teams and channels, and who is in them.
func (s *stream) followPlaces(ctx context.Context) {
	for ok := true; ok; ok = pause(ctx, again) {
		s.send("places", s.page.places())
	}
}

// followTeams reads the channel through Graph whenever it has changed there. In
// Teams' own client the service says so; here the tenant is asked.
func (s *stream) followTeams(ctx context.Context) {
	view := teamsView{Messages: []message{}}
	seen := ""
	for wait := glance; ; wait = glance {
		now := fingerprint(s.ch) + fmt.Sprint(s.page.opts.Stack.Tenant.IsDown(teamstest.ServiceGraph))
		if now != seen {
			messages, err := s.page.readTeams(ctx, s.ch)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				view.Error, wait, seen = err.Error(), again, ""
			default:
				view, seen = teamsView{Messages: messages}, now
			}
			s.send("teams", view)
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// fingerprint changes when anything in a channel does.
func fingerprint(ch *teamstest.Channel) string {
	h := fnv.New64a()
	add := func(m teamstest.MessageState) {
		_, _ = fmt.Fprint(h, m.ID, m.ETag, m.Modified.UnixNano(), len(m.Reactions), m.Deleted.IsZero(), "|")
	}
	for _, m := range ch.Messages() {
		add(m)
		for _, reply := range m.Replies {
			add(reply)
		}
	}
	return fmt.Sprintf("%s %x", ch.DisplayName(), h.Sum64())
}

// followMatrix reads the room whenever the homeserver's sync says that it has
// changed.
func (s *stream) followMatrix(ctx context.Context) {
	view := matrixView{Members: []person{}, Messages: []message{}}
	for {
		err := s.followRoom(ctx, &view)
		if ctx.Err() != nil {
			return
		}
		view.Error = err.Error()
		s.send("matrix", view)
		if !pause(ctx, again) {
			return
		}
	}
}

// followRoom follows the room until something fails.
func (s *stream) followRoom(ctx context.Context, view *matrixView) error {
	cli, err := s.page.matrixReader(ctx, s.ch)
	if err != nil {
		return err
	}
	room, err := s.page.roomOf(ctx, cli, s.ch.ID)
	if err != nil {
		return err
	}
	since, changed := "", true
	for {
		resp, err := syncRoom(ctx, cli, room, since)
		if err != nil {
			return fmt.Errorf("the homeserver does not answer: %w", err)
		}
		_, in := resp.Rooms.Join[room]
		_, left := resp.Rooms.Leave[room]
		changed = changed || in || left
		if since = resp.NextBatch; !changed {
			continue
		}
		fresh, err := s.page.readMatrix(ctx, cli, room)
		if err != nil {
			return err
		}
		*view, changed = fresh, false
		s.send("matrix", fresh)
	}
}

// syncRoom asks for news of one room, and waits for them except the first time.
func syncRoom(ctx context.Context, cli *mautrix.Client, room id.RoomID, since string) (*mautrix.RespSync, error) {
	nothing := map[string]any{"types": []string{}, "limit": 0}
	filter, err := json.Marshal(map[string]any{
		"presence": nothing, "account_data": nothing,
		"room": map[string]any{
			"rooms": []id.RoomID{room}, "timeline": map[string]any{"limit": 1},
			"ephemeral": nothing, "account_data": nothing,
		},
	})
	if err != nil {
		return nil, err
	}
	timeout := longPoll
	if since == "" {
		timeout = 0
	}
	return cli.SyncRequest(ctx, timeout, since, string(filter), false, "")
}

// followNumbers asks the bridge how full its queues are.
func (s *stream) followNumbers(ctx context.Context) {
	for {
		s.send("numbers", s.page.readNumbers(ctx))
		if !pause(ctx, 2*glance) {
			return
		}
	}
}

package memhs

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"maunium.net/go/mautrix/id"
)

// Server is a running homeserver.
type Server struct {
	name, bot  string
	appservice string // the bridge's address
	hsToken    string
	listener   net.Listener
	http       *http.Server
	client     *http.Client
	wake       chan struct{}
	done       chan struct{}
	stopped    sync.WaitGroup

	mu       sync.Mutex
	rooms    map[id.RoomID]*room
	joined   map[id.UserID]map[id.RoomID]struct{}
	users    map[id.UserID]struct{}
	profiles map[string]json.RawMessage
	account  map[string]json.RawMessage
	sent     map[string]id.EventID // by path of the request: transaction ids
	events   int
	queue    []json.RawMessage // for the application service
	counts   map[string]int
	unknown  map[string]int
}

// room is its state and its events; of these the content is kept.
type room struct {
	state  map[string]map[string]json.RawMessage
	events []json.RawMessage
}

// Start starts a homeserver with a name. appservice is where the bridge gets its
// transactions, hsToken what they bear, bot the bridge's own account.
func Start(name, bot, appservice, hsToken string) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s := &Server{
		name: name, bot: bot, appservice: appservice, hsToken: hsToken, listener: listener,
		client: &http.Client{Timeout: time.Minute}, wake: make(chan struct{}, 1), done: make(chan struct{}),
		rooms: map[id.RoomID]*room{}, joined: map[id.UserID]map[id.RoomID]struct{}{}, users: map[id.UserID]struct{}{},
		profiles: map[string]json.RawMessage{}, account: map[string]json.RawMessage{}, sent: map[string]id.EventID{},
		counts: map[string]int{}, unknown: map[string]int{},
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	s.stopped.Go(func() { _ = s.http.Serve(listener) })
	s.stopped.Go(s.push)
	return s, nil
}

// Close ends it.
func (s *Server) Close() {
	close(s.done)
	_ = s.http.Close()
	s.stopped.Wait()
}

// URL is the base of the client-server API.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Counts returns how many requests there were, by method and path without ids.
func (s *Server) Counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts)
}

// Unknown returns the requests that it had no answer to.
func (s *Server) Unknown() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.unknown)
}

// Rooms returns how many rooms there are, and how many memberships.
func (s *Server) Rooms() (rooms, memberships int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rooms {
		memberships += len(r.state["m.room.member"])
	}
	return len(s.rooms), memberships
}

// Events returns how many events there are.
func (s *Server) Events() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events
}

// ids are the parts of a path that name something.
var ids = regexp.MustCompile(`/([!@$#%][^/]*|[0-9a-zA-Z_.=-]{20,})`)

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	path := r.URL.EscapedPath()
	s.mu.Lock()
	s.counts[r.Method+" "+ids.ReplaceAllString(strings.TrimPrefix(path, "/_matrix/client/v3"), "/…")]++
	s.mu.Unlock()
	user := id.UserID(r.URL.Query().Get("user_id"))
	if user == "" {
		user = id.UserID("@" + s.bot + ":" + s.name)
	}
	w.Header().Set("Content-Type", "application/json")
	q := &request{s: s, r: r, body: body, user: user, path: path}
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		plain, err := url.PathUnescape(part)
		if err != nil {
			plain = part
		}
		q.parts = append(q.parts, plain)
	}
	status, answer := q.answer()
	if status != http.StatusOK {
		w.WriteHeader(status)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// refusal is an error of the Matrix API.
func refusal(code string) map[string]any { return map[string]any{"errcode": code, "error": code} }

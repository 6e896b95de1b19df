package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// sentEvent is a PUT …/send or …/redact as the homeserver got it.
type sentEvent struct {
	Room, Kind, Type, Txn, User string
	Content                     map[string]any
	EventID                     string
}

// homeserver is a fake one over real HTTP. Like the real ones it leaves the
// sender out of its transaction cache, and forgets the cache when restarted.
type homeserver struct {
	t      *testing.T
	server *httptest.Server
	socket string // the appservice's

	mu    sync.Mutex
	sent  []sentEvent
	cache map[string]string // path to event id
	fail  int               // answer so many sends with 502 after accepting them
	delay func()            // called before the next send is carried out
	alive string            // what the bot's account says of when a bridge worked
	// made are rooms besides the mirrored one, by their state.
	made map[string][]map[string]any

	feed fakeFeed
}

func newHomeserver(t *testing.T) *homeserver {
	hs := &homeserver{t: t, cache: map[string]string{}}
	hs.server = httptest.NewServer(http.HandlerFunc(hs.serve))
	t.Cleanup(hs.server.Close)
	return hs
}

var sendRequest = regexp.MustCompile(`/rooms/([^/]+)/(send|redact)/([^/]+)/([^/]+)$`)

func (hs *homeserver) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	switch path := r.URL.Path; {
	case hs.feed.serve(w, r):
	case path == "/_matrix/client/versions":
		// What Dendrite announces, which is older than mautrix wants.
		_, _ = io.WriteString(w, `{"versions":["v1.0","v1.1","v1.2"]}`)
	case path == "/_matrix/client/v3/account/whoami":
		_, _ = io.WriteString(w, `{"user_id":"@teamsbot:example.com"}`)
	case r.Method == http.MethodPut && sendRequest.MatchString(path):
		hs.send(w, r, body)
	case r.Method == http.MethodPost && strings.Contains(path, "/join"):
		_, _ = fmt.Fprintf(w, `{"room_id":%q}`, portalRoom)
	case strings.HasSuffix(path, "/joined_rooms"):
		joined := []string{portalRoom}
		for room := range hs.made {
			joined = append(joined, room)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"joined_rooms": joined})
	case strings.HasSuffix(path, "/state") && hs.made[path[strings.Index(path, "!"):strings.LastIndex(path, "/")]] != nil:
		_ = json.NewEncoder(w).Encode(hs.made[path[strings.Index(path, "!"):strings.LastIndex(path, "/")]])
	case strings.HasSuffix(path, "/account_data/"+aliveType):
		hs.account(w, r, body)
	case r.Method == http.MethodGet:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errcode":"M_NOT_FOUND","error":"none"}`)
	default:
		_, _ = io.WriteString(w, `{}`)
	}
}

// account keeps what the bot's account says.
func (hs *homeserver) account(w http.ResponseWriter, r *http.Request, body []byte) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	switch {
	case r.Method == http.MethodPut:
		hs.alive = string(body)
		_, _ = io.WriteString(w, `{}`)
	case hs.alive == "":
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errcode":"M_NOT_FOUND","error":"none"}`)
	default:
		_, _ = io.WriteString(w, hs.alive)
	}
}

// slow makes the next send wait, as a homeserver does that works on it.
func (hs *homeserver) slow(wait func()) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.delay = wait
}

func (hs *homeserver) send(w http.ResponseWriter, r *http.Request, body []byte) {
	hs.mu.Lock()
	wait := hs.delay
	hs.delay = nil
	hs.mu.Unlock()
	if wait != nil {
		wait()
	}
	hs.mu.Lock()
	defer hs.mu.Unlock()
	eventID, known := hs.cache[r.URL.Path]
	if !known {
		match := sendRequest.FindStringSubmatch(r.URL.Path)
		evt := sentEvent{
			Room: match[1], Kind: match[2], Type: match[3], Txn: match[4], User: r.URL.Query().Get("user_id"),
			EventID: fmt.Sprintf("$sent%d", len(hs.sent)),
		}
		_ = json.Unmarshal(body, &evt.Content)
		hs.sent = append(hs.sent, evt)
		eventID = evt.EventID
		hs.cache[r.URL.Path] = eventID
	}
	if hs.fail > 0 {
		hs.fail--
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	_, _ = fmt.Fprintf(w, `{"event_id":%q}`, eventID)
}

// events returns what was sent to a room under a type.
func (hs *homeserver) events(eventType string) (out []sentEvent) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for _, evt := range hs.sent {
		if evt.Type == eventType || (eventType == "redact" && evt.Kind == "redact") {
			out = append(out, evt)
		}
	}
	return out
}

// push sends a transaction to the appservice as a homeserver does.
func (hs *homeserver) push(ctx context.Context, token, txnID string, body []byte) (int, string) {
	hs.t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", hs.socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://bridge/_matrix/app/v1/transactions/"+txnID, bytes.NewReader(body))
	require.NoError(hs.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(hs.t, err)
	return resp.StatusCode, string(text)
}

// evt makes an event of a person in the mirrored room; fields replace or add.
func evt(eventID, body string, fields ...map[string]any) map[string]any {
	out := map[string]any{
		"event_id": eventID, "room_id": portalRoom, "type": "m.room.message", "sender": "@alice:example.com",
		"origin_server_ts": 1700000000000, "content": map[string]any{"msgtype": "m.text", "body": body},
	}
	for _, set := range fields {
		for k, v := range set {
			out[k] = v
		}
	}
	return out
}

func txnBody(t *testing.T, events ...map[string]any) []byte {
	t.Helper()
	body, err := json.Marshal(map[string]any{"events": events})
	require.NoError(t, err)
	return body
}

func errcode(text string) string {
	var body struct{ Errcode, Error string }
	if json.Unmarshal([]byte(text), &body) != nil || body.Error == "" {
		return "not a Matrix error: " + strings.TrimSpace(text)
	}
	return body.Errcode
}

package memhs

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"maunium.net/go/mautrix/id"
)

// request is one that is being answered.
type request struct {
	s     *Server
	r     *http.Request
	body  []byte
	user  id.UserID
	path  string
	parts []string // the path, unescaped
}

// answer answers by what the path begins with.
func (q *request) answer() (int, any) {
	if len(q.parts) < 3 || q.parts[0] != "_matrix" {
		return q.nothing()
	}
	switch {
	case q.parts[1] == "media", q.parts[1] == "client" && q.parts[2] == "v1" && len(q.parts) > 3 && q.parts[3] == "media":
		return q.media()
	case q.parts[1] != "client":
		return q.nothing()
	case q.parts[2] == "versions":
		return http.StatusOK, map[string]any{"versions": []string{"v1.5", "v1.11", "v1.12"}}
	case len(q.parts) < 4:
		return q.nothing()
	case q.parts[3] == "appservice":
		return q.ping()
	}
	switch q.parts[3] {
	case "account":
		return http.StatusOK, map[string]any{"user_id": q.user}
	case "register":
		return q.register()
	case "createRoom":
		return q.createRoom()
	case "rooms":
		return q.room()
	case "join":
		return q.join(id.RoomID(q.part(4)))
	case "joined_rooms":
		return q.joinedRooms()
	case "profile":
		return q.profile()
	case "user":
		return q.accountData()
	case "sync":
		return q.sync()
	case "capabilities":
		return http.StatusOK, map[string]any{"capabilities": map[string]any{}}
	}
	return q.nothing()
}

// nothing is the answer to what it does not know.
func (q *request) nothing() (int, any) {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	q.s.unknown[q.r.Method+" "+ids.ReplaceAllString(q.path, "/…")]++
	return http.StatusNotFound, refusal("M_UNRECOGNIZED")
}

func (q *request) part(i int) string {
	if i < len(q.parts) {
		return q.parts[i]
	}
	return ""
}

func (q *request) register() (int, any) {
	var in struct{ Username string }
	_ = json.Unmarshal(q.body, &in)
	user := id.NewUserID(in.Username, q.s.name)
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	if _, there := q.s.users[user]; there {
		return http.StatusBadRequest, refusal("M_USER_IN_USE")
	}
	q.s.users[user] = struct{}{}
	return http.StatusOK, map[string]any{"user_id": user}
}

func (q *request) joinedRooms() (int, any) {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	rooms := []id.RoomID{}
	for room := range q.s.joined[q.user] {
		rooms = append(rooms, room)
	}
	return http.StatusOK, map[string]any{"joined_rooms": rooms}
}

// profile keeps whatever is put.
func (q *request) profile() (int, any) {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	if q.r.Method == http.MethodPut {
		q.s.profiles[q.path] = q.body
		return http.StatusOK, struct{}{}
	}
	if kept, ok := q.s.profiles[q.path]; ok {
		return http.StatusOK, kept
	}
	return http.StatusOK, struct{}{}
}

func (q *request) accountData() (int, any) {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	if q.r.Method == http.MethodPut {
		q.s.account[q.path] = q.body
		return http.StatusOK, struct{}{}
	}
	if kept, ok := q.s.account[q.path]; ok {
		return http.StatusOK, kept
	}
	return http.StatusNotFound, refusal("M_NOT_FOUND")
}

// media keeps nothing.
func (q *request) media() (int, any) {
	switch {
	case q.r.Method == http.MethodPost:
		return http.StatusOK, map[string]any{"content_uri": fmt.Sprintf("mxc://%s/%d", q.s.name, time.Now().UnixNano())}
	case q.r.Method == http.MethodPut:
		return http.StatusOK, struct{}{}
	case strings.HasSuffix(q.path, "/config"):
		return http.StatusOK, map[string]any{"m.upload.size": 50 << 20}
	}
	return q.nothing()
}

// sync waits as long as it may, and has nothing to tell.
func (q *request) sync() (int, any) {
	wait, _ := strconv.Atoi(q.r.URL.Query().Get("timeout"))
	timer := time.NewTimer(time.Duration(wait) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-q.r.Context().Done():
	case <-q.s.done:
	}
	return http.StatusOK, map[string]any{"next_batch": "s" + strconv.Itoa(q.s.Events()), "rooms": struct{}{}}
}

// ping asks the bridge back, as the bridge asks at its start.
func (q *request) ping() (int, any) {
	req, err := http.NewRequestWithContext(q.r.Context(), http.MethodPost, q.s.appservice+"/_matrix/app/v1/ping", strings.NewReader(string(q.body)))
	if err != nil {
		return http.StatusBadGateway, refusal("M_CONNECTION_FAILED")
	}
	req.Header.Set("Authorization", "Bearer "+q.s.hsToken)
	resp, err := q.s.client.Do(req)
	if err != nil {
		return http.StatusBadGateway, refusal("M_CONNECTION_FAILED")
	}
	_ = resp.Body.Close()
	return http.StatusOK, map[string]any{"duration_ms": 1}
}

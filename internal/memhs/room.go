package memhs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"maunium.net/go/mautrix/id"
)

// batch is how many events a transaction has at most.
const batch = 100

type content = json.RawMessage

func member(membership string) content {
	return content(fmt.Sprintf(`{"membership":%q}`, membership))
}

// add puts an event into a room and into the queue for the bridge. mu is held.
func (s *Server) add(roomID id.RoomID, sender id.UserID, kind string, stateKey *string, body content, at string) id.EventID {
	r := s.rooms[roomID]
	s.events++
	eventID := id.EventID(fmt.Sprintf("$%d", s.events))
	ts, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		ts = time.Now().UnixMilli()
	}
	evt := map[string]any{"event_id": eventID, "room_id": roomID, "sender": sender, "type": kind, "content": body, "origin_server_ts": ts}
	if stateKey != nil {
		evt["state_key"] = *stateKey
		if r.state[kind] == nil {
			r.state[kind] = map[string]json.RawMessage{}
		}
		r.state[kind][*stateKey] = body
		if kind == "m.room.member" {
			s.follow(roomID, id.UserID(*stateKey), body)
		}
	}
	raw, _ := json.Marshal(evt) // of strings and what was JSON
	if stateKey == nil {
		r.events = append(r.events, raw)
	}
	s.queue = append(s.queue, raw)
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return eventID
}

// follow keeps who is in which rooms. mu is held.
func (s *Server) follow(roomID id.RoomID, user id.UserID, body content) {
	var m struct{ Membership string }
	_ = json.Unmarshal(body, &m)
	if m.Membership != "join" {
		delete(s.joined[user], roomID)
		return
	}
	if s.joined[user] == nil {
		s.joined[user] = map[id.RoomID]struct{}{}
	}
	s.joined[user][roomID] = struct{}{}
}

func (s *Server) setMember(roomID id.RoomID, sender, user id.UserID, membership string) {
	key := string(user)
	s.add(roomID, sender, "m.room.member", &key, member(membership), "")
}

func (q *request) createRoom() (int, any) {
	var in struct {
		Name, Topic  string
		Invite       []id.UserID
		InitialState []struct {
			Type     string  `json:"type"`
			StateKey string  `json:"state_key"`
			Content  content `json:"content"`
		} `json:"initial_state"`
		CreationContent content `json:"creation_content"`
		PowerLevels     content `json:"power_level_content_override"`
	}
	if err := json.Unmarshal(q.body, &in); err != nil {
		return http.StatusBadRequest, refusal("M_BAD_JSON")
	}
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	roomID := id.RoomID(fmt.Sprintf("!room%d:%s", len(q.s.rooms), q.s.name))
	q.s.rooms[roomID] = &room{state: map[string]map[string]json.RawMessage{}}
	state := func(kind, key string, body content) {
		if len(body) > 0 {
			q.s.add(roomID, q.user, kind, &key, body, "")
		}
	}
	if len(in.CreationContent) == 0 {
		in.CreationContent = content(`{}`)
	}
	if len(in.PowerLevels) == 0 {
		in.PowerLevels = content(fmt.Sprintf(`{"users":{%q:100}}`, q.user))
	}
	state("m.room.create", "", in.CreationContent)
	q.s.setMember(roomID, q.user, q.user, "join")
	state("m.room.power_levels", "", in.PowerLevels)
	for _, evt := range in.InitialState {
		state(evt.Type, evt.StateKey, evt.Content)
	}
	for kind, value := range map[string]string{"name": in.Name, "topic": in.Topic} {
		if value != "" {
			body, _ := json.Marshal(map[string]string{kind: value})
			state("m.room."+kind, "", body)
		}
	}
	for _, user := range in.Invite {
		q.s.setMember(roomID, q.user, user, "invite")
	}
	return http.StatusOK, map[string]any{"room_id": roomID}
}

func (q *request) join(roomID id.RoomID) (int, any) {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	if q.s.rooms[roomID] == nil {
		return http.StatusNotFound, refusal("M_NOT_FOUND")
	}
	if _, there := q.s.joined[q.user][roomID]; !there {
		q.s.setMember(roomID, q.user, q.user, "join")
	}
	return http.StatusOK, map[string]any{"room_id": roomID}
}

// room answers what is asked of one room.
func (q *request) room() (int, any) {
	roomID := id.RoomID(q.part(4))
	if q.part(5) == "join" {
		return q.join(roomID)
	}
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	r := q.s.rooms[roomID]
	if r == nil {
		return http.StatusNotFound, refusal("M_NOT_FOUND")
	}
	at := q.r.URL.Query().Get("ts")
	switch q.part(5) {
	case "send", "redact":
		if eventID, before := q.s.sent[q.path]; before {
			return http.StatusOK, map[string]any{"event_id": eventID}
		}
		kind, body := q.part(6), content(q.body)
		if q.part(5) == "redact" {
			kind, body = "m.room.redaction", content(fmt.Sprintf(`{"redacts":%q}`, q.part(6)))
		}
		eventID := q.s.add(roomID, q.user, kind, nil, body, at)
		q.s.sent[q.path] = eventID
		return http.StatusOK, map[string]any{"event_id": eventID}
	case "state":
		return q.state(r, roomID, at)
	case "members", "joined_members":
		return q.members(r, roomID)
	case "invite", "kick", "leave":
		return q.change(roomID)
	case "messages":
		return q.messages(r)
	case "event":
		return q.event(r, q.part(6))
	case "receipt", "read_markers", "typing":
		return http.StatusOK, struct{}{}
	}
	q.s.unknown[q.r.Method+" "+ids.ReplaceAllString(q.path, "/…")]++
	return http.StatusNotFound, refusal("M_UNRECOGNIZED")
}

func (q *request) state(r *room, roomID id.RoomID, at string) (int, any) {
	kind, key := q.part(6), q.part(7)
	if q.r.Method == http.MethodPut {
		return http.StatusOK, map[string]any{"event_id": q.s.add(roomID, q.user, kind, &key, q.body, at)}
	}
	if kind != "" {
		if body, ok := r.state[kind][key]; ok {
			return http.StatusOK, body
		}
		return http.StatusNotFound, refusal("M_NOT_FOUND")
	}
	all := []any{}
	for kind, keys := range r.state {
		for key, body := range keys {
			all = append(all, map[string]any{"type": kind, "state_key": key, "content": body, "sender": "@" + q.s.bot + ":" + q.s.name})
		}
	}
	return http.StatusOK, all
}

func (q *request) members(r *room, roomID id.RoomID) (int, any) {
	chunk, joined := []any{}, map[string]any{}
	for user, body := range r.state["m.room.member"] {
		chunk = append(chunk, map[string]any{"type": "m.room.member", "state_key": user, "content": body, "sender": user, "room_id": roomID})
		if bytes.Contains(body, []byte(`"join"`)) {
			joined[user] = struct{}{}
		}
	}
	if q.part(5) == "joined_members" {
		return http.StatusOK, map[string]any{"joined": joined}
	}
	return http.StatusOK, map[string]any{"chunk": chunk}
}

func (q *request) change(roomID id.RoomID) (int, any) {
	var in struct {
		UserID id.UserID `json:"user_id"`
	}
	_ = json.Unmarshal(q.body, &in)
	switch q.part(5) {
	case "invite":
		if _, there := q.s.joined[in.UserID][roomID]; there {
			return http.StatusForbidden, refusal("M_FORBIDDEN")
		}
		q.s.setMember(roomID, q.user, in.UserID, "invite")
	case "kick":
		q.s.setMember(roomID, q.user, in.UserID, "leave")
	case "leave":
		q.s.setMember(roomID, q.user, q.user, "leave")
	}
	return http.StatusOK, struct{}{}
}

// messages gives a room's messages backwards; a position is how many are before it.
func (q *request) messages(r *room) (int, any) {
	query := q.r.URL.Query()
	end := len(r.events)
	if from, err := strconv.Atoi(query.Get("from")); err == nil {
		end = from
	}
	limit, _ := strconv.Atoi(query.Get("limit"))
	begin := max(0, end-limit)
	chunk := slices.Clone(r.events[begin:end])
	slices.Reverse(chunk)
	answer := map[string]any{"chunk": chunk, "start": strconv.Itoa(end)}
	if begin > 0 {
		answer["end"] = strconv.Itoa(begin)
	}
	return http.StatusOK, answer
}

func (q *request) event(r *room, eventID string) (int, any) {
	named := []byte(fmt.Sprintf(`"event_id":%q`, eventID))
	for _, raw := range slices.Backward(r.events) {
		if bytes.Contains(raw, named) {
			return http.StatusOK, raw
		}
	}
	return http.StatusNotFound, refusal("M_NOT_FOUND")
}

// push sends what happened in transactions, one at a time.
func (s *Server) push() {
	for n := 0; ; {
		s.mu.Lock()
		events := s.queue[:min(batch, len(s.queue)):min(batch, len(s.queue))]
		s.mu.Unlock()
		if len(events) == 0 {
			select {
			case <-s.wake:
			case <-s.done:
				return
			}
			continue
		}
		if s.transaction(n, events) {
			n++
			s.mu.Lock()
			s.queue = s.queue[len(events):]
			s.mu.Unlock()
			continue
		}
		timer := time.NewTimer(time.Second)
		select {
		case <-timer.C:
		case <-s.done:
			timer.Stop()
			return
		}
	}
}

func (s *Server) transaction(n int, events []json.RawMessage) bool {
	body, err := json.Marshal(map[string]any{"events": events})
	if err != nil {
		return false
	}
	req, err := http.NewRequest(http.MethodPut, fmt.Sprintf("%s/_matrix/app/v1/transactions/%d", s.appservice, n), bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", "Bearer "+s.hsToken)
	resp, err := s.client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

package matrix

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"
)

// fakeFeed is the part of the fake homeserver that has rooms: /sync, /messages
// and what tells homeservers apart. A token is how many events there were.
type fakeFeed struct {
	mu       sync.Mutex
	software string // the answer to the version request: JSON, "" for 404
	versions string // the answer to the client's version request, "" for Dendrite's
	status   int    // answer everything with it, where not 0
	msgs     int    // answer /messages with it, where not 0
	single   int    // answer requests for one event with it, where not 0
	forgot   int    // tokens below are refused
	limit    int    // of a timeline, where not 0
	cuts     int    // so many answers to /sync have lost their events
	page     int    // the most that /messages gives, where not 0
	seam     string // what is lost where two pages meet: older, newer, or ""
	room     string // the room's retention, "" for none
	hides    int    // the first events that are too old to be shown
	keeps    string // the homeserver's retention, "" where it has none
	events   []map[string]any
	syncs    []string // the since of each request
	pages    []string // the from of each request
}

// add puts events into the room.
func (f *fakeFeed) add(events ...map[string]any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, events...)
}

func (f *fakeFeed) change(how func(*fakeFeed)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how(f)
}

func (f *fakeFeed) counts() (syncs, pages int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.syncs), len(f.pages)
}

func (f *fakeFeed) serve(w http.ResponseWriter, r *http.Request) bool {
	f.mu.Lock()
	status, software, versions, room, keeps := f.status, f.software, f.versions, f.room, f.keeps
	f.mu.Unlock()
	path := r.URL.Path
	isSync, isMessages := path == "/_matrix/client/v3/sync", strings.HasSuffix(path, "/messages") || strings.Contains(path, "/relations/")
	isVersion := path == "/_matrix/federation/v1/version"
	switch {
	case status != 0 && (isSync || isMessages || isVersion || (versions != "" && path == "/_matrix/client/versions")):
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, `{"errcode":"M_UNKNOWN","error":"down"}`)
	case isSync:
		f.sync(w, r)
	case isMessages:
		f.messages(w, r)
	case strings.Contains(path, "/state/"+retentionType) && room != "":
		_, _ = fmt.Fprint(w, room)
	case strings.HasSuffix(path, "/retention/configuration") && keeps != "":
		_, _ = fmt.Fprint(w, keeps)
	case strings.Contains(path, "/event/"):
		return f.event(w, path[strings.LastIndex(path, "/")+1:])
	case isVersion && software != "":
		_, _ = fmt.Fprint(w, software)
	case versions != "" && path == "/_matrix/client/versions":
		_, _ = fmt.Fprint(w, versions)
	default:
		return false
	}
	return true
}

// event answers with one event, if the room has it.
func (f *fakeFeed) event(w http.ResponseWriter, eventID string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.single != 0 {
		w.WriteHeader(f.single)
		return true
	}
	for _, e := range f.events {
		if e["event_id"] == eventID {
			_ = json.NewEncoder(w).Encode(e)
			return true
		}
	}
	return false
}

func (f *fakeFeed) sync(w http.ResponseWriter, r *http.Request) {
	since := r.URL.Query().Get("since")
	filter := gjson.Parse(r.URL.Query().Get("filter"))
	f.mu.Lock()
	if filter.Get("room.timeline.types").Raw == `["`+redactionType+`"]` {
		f.syncs = append(f.syncs, since)
	}
	forgot := f.forgot
	f.mu.Unlock()
	if r.URL.Query().Get("user_id") != "@teamsbot:example.com" || r.URL.Query().Get("set_presence") != "offline" {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	at, _ := strconv.Atoi(strings.TrimPrefix(since, "s"))
	if since != "" && at < forgot {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(w, `{"errcode":"M_INVALID_PARAM","error":"old token"}`)
		return
	}
	wait, _ := strconv.Atoi(r.URL.Query().Get("timeout"))
	end := time.Now().Add(min(time.Duration(wait)*time.Millisecond, 200*time.Millisecond))
	for {
		f.mu.Lock()
		events, limit := f.events[:len(f.events):len(f.events)], f.limit
		f.mu.Unlock()
		if since != "" && len(events) == at && time.Now().Before(end) && r.Context().Err() == nil {
			select {
			case <-r.Context().Done():
			case <-time.After(2 * time.Millisecond):
			}
			continue
		}
		answer := map[string]any{"next_batch": fmt.Sprintf("s%d", len(events)), "rooms": map[string]any{}}
		f.mu.Lock()
		cut := f.cuts > 0 && len(events) > at
		if cut {
			f.cuts--
		}
		f.mu.Unlock()
		if since != "" && !cut {
			answer["rooms"] = timeline(events, at, limit, filter)
		}
		_ = json.NewEncoder(w).Encode(answer)
		return
	}
}

// timeline is what a filter leaves of the events behind a token, the newest where
// there are too many.
func timeline(events []map[string]any, from, limit int, filter gjson.Result) map[string]any {
	if filter.Get("room.rooms").Exists() {
		return map[string]any{}
	}
	wanted := func(eventType any) bool {
		for _, t := range filter.Get("room.timeline.types").Array() {
			if t.Str == eventType {
				return true
			}
		}
		return false
	}
	fields := map[string]bool{}
	for _, field := range filter.Get("event_fields").Array() {
		fields[field.Str] = true
	}
	var list []map[string]any
	prev, limited := from, false
	for i := len(events) - 1; i >= from; i-- {
		if !wanted(events[i]["type"]) {
			continue
		}
		if limit != 0 && len(list) == limit {
			limited = true
			break
		}
		copied := map[string]any{}
		for k, v := range events[i] {
			if k != "room_id" && (len(fields) == 0 || fields[k]) {
				copied[k] = v
			}
		}
		list, prev = append([]map[string]any{copied}, list...), i
	}
	if len(list) == 0 {
		return map[string]any{}
	}
	return map[string]any{"join": map[string]any{portalRoom: map[string]any{
		"timeline": map[string]any{"events": list, "limited": limited, "prev_batch": fmt.Sprintf("p%d", prev)},
	}}}
}

func (f *fakeFeed) messages(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	from := r.URL.Query().Get("from")
	f.pages = append(f.pages, from)
	if f.msgs != 0 {
		w.WriteHeader(f.msgs)
		_, _ = fmt.Fprint(w, `{"errcode":"M_UNKNOWN","error":"no"}`)
		return
	}
	if r.URL.Query().Get("dir") == "f" {
		f.forwards(w, r)
		return
	}
	end := len(f.events)
	if from != "" {
		end, _ = strconv.Atoi(strings.TrimPrefix(from, "p"))
	}
	size, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	if f.page != 0 {
		size = min(size, f.page)
	}
	begin := max(0, end-size)
	answer := map[string]any{}
	chunk := []map[string]any{}
	for i := end - 1; i >= begin; i-- {
		chunk = append(chunk, f.events[i])
	}
	switch {
	case f.seam == "older" && from != "" && len(chunk) > 0:
		chunk = chunk[1:] // the newest of the older page
	case f.seam == "newer" && begin > 0:
		chunk = chunk[:len(chunk)-1]
	}
	answer["chunk"] = chunk
	if begin > 0 {
		answer["end"] = fmt.Sprintf("p%d", begin)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// forwards gives a page of a room from its beginning on.
func (f *fakeFeed) forwards(w http.ResponseWriter, r *http.Request) {
	begin, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Query().Get("from"), "p"))
	size, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	end := min(begin+size, len(f.events))
	answer := map[string]any{"chunk": append([]map[string]any{}, f.events[max(begin, min(f.hides, end)):end]...)}
	if end > begin {
		answer["end"] = fmt.Sprintf("p%d", end)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

package matrix

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"maunium.net/go/mautrix/id"
)

// maxEventBody is far above what a homeserver accepts for an event.
const maxEventBody = 1 << 20

// sendPath matches PUT …/rooms/{room}/send/{type}/{txn} and …/redact/{event}/{txn}, escaped.
var sendPath = regexp.MustCompile(`^(.*/_matrix/client/[^/]+/rooms/([^/]+)/(send|redact)/([^/]+)/)([^/]+)$`)

// roomPath matches what is asked of one room, escaped.
var roomPath = regexp.MustCompile(`/_matrix/client/[^/]+/rooms/([^/]+)/`)

// roundTripper makes the sends under a WithKey context idempotent.
type roundTripper struct {
	next   http.RoundTripper
	prover *prover
	own    *ownRedactions // nil where redactions keep the double puppets' mark
	// answered is told of every request that had an end of its own.
	answered func(Answer)
}

// Answer is what the homeserver did with a request.
type Answer struct {
	// RoomID is the room that it was about, if any.
	RoomID id.RoomID
	// Status is 0 without an answer.
	Status int
	// Took is how long the answer, or its absence, took.
	Took time.Duration
}

// RoundTrip sends a request and tells what came of it.
func (rt *roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := rt.send(req)
	if rt.answered == nil || err != nil && req.Context().Err() != nil {
		return resp, err
	}
	a := Answer{Took: time.Since(began)}
	if match := roomPath.FindStringSubmatch(req.URL.EscapedPath()); match != nil {
		room, _ := url.PathUnescape(match[1])
		a.RoomID = id.RoomID(room)
	}
	if err == nil {
		a.Status = resp.StatusCode
	}
	rt.answered(a)
	return resp, err
}

// send replaces the transaction id and adds the source fields; requests
// without a key and all other requests pass unchanged.
func (rt *roundTripper) send(req *http.Request) (*http.Response, error) {
	if made, err := federate(req); err != nil {
		return nil, closeBody(req, err)
	} else if made != req {
		return rt.next.RoundTrip(made)
	}
	if fact := deliveredFrom(req.Context()); fact != nil && statusPath.MatchString(req.URL.EscapedPath()) {
		told := req.Clone(req.Context())
		if err := addFields(told, req, func(content map[string]json.RawMessage) error {
			content[DeliveredField] = fact
			return nil
		}); err != nil {
			return nil, closeBody(req, err)
		}
		return rt.next.RoundTrip(told)
	}
	key := keyFrom(req.Context())
	if key == nil || req.Method != http.MethodPut {
		return rt.next.RoundTrip(req)
	}
	match := sendPath.FindStringSubmatch(req.URL.EscapedPath())
	if match == nil {
		return rt.next.RoundTrip(req)
	}
	path, room, kind, clientTxn := match[1], match[2], match[3], match[5]
	out := req.Clone(req.Context())
	txn := key.transactionID(senderOf(req), path, clientTxn)
	if err := setPath(out.URL, path+txn); err != nil {
		return nil, closeBody(req, err)
	}
	roomID, err := url.PathUnescape(room)
	if err != nil {
		return nil, closeBody(req, fmt.Errorf("room in path: %w", err))
	}
	undo, err := rt.announce(req, roomID, kind, match[4])
	if err != nil {
		return nil, closeBody(req, err)
	}
	if kind == "send" {
		if err := rt.addSource(out, req, roomID, key.key); err != nil {
			undo()
			return nil, closeBody(req, err)
		}
	}
	resp, err := rt.next.RoundTrip(out)
	if err == nil && resp.StatusCode >= 400 && resp.StatusCode < 500 {
		undo() // whatever else went wrong, the homeserver may have made it
	}
	return resp, err
}

// announce remembers a redaction before it is made.
func (rt *roundTripper) announce(req *http.Request, roomID, kind, eventOrType string) (undo func(), err error) {
	if rt.own == nil {
		return func() {}, nil
	}
	target, err := redactionOf(req, kind, eventOrType)
	if err != nil || target == "" {
		return func() {}, err
	}
	return rt.own.begin(req.Context(), roomID, target, req.URL.Query().Get("user_id"))
}

// addSource puts the key into the event's content. It is outside of any
// encryption, so that the echo of an encrypted event confirms too.
func (rt *roundTripper) addSource(out, req *http.Request, roomID, key string) error {
	return addFields(out, req, func(content map[string]json.RawMessage) (err error) {
		if content[SourceField], err = json.Marshal(key); err != nil {
			return fmt.Errorf("encode source key: %w", err)
		}
		if content[ProofField], err = json.Marshal(rt.prover.proof(roomID, key)); err != nil {
			return fmt.Errorf("encode proof: %w", err)
		}
		if at, err := strconv.ParseInt(req.URL.Query().Get("ts"), 10, 64); err == nil {
			content[TimeField] = strconv.AppendInt(nil, at, 10)
		}
		return nil
	})
}

// addFields gives a request what another one has as its body, with more fields.
func addFields(out, req *http.Request, add func(content map[string]json.RawMessage) error) error {
	if req.Body == nil {
		return nil
	}
	body, err := readBody(req)
	if err != nil {
		return err
	}
	var content map[string]json.RawMessage
	if json.Unmarshal(body, &content) == nil && content != nil {
		if err = add(content); err != nil {
			return err
		}
		if body, err = json.Marshal(content); err != nil {
			return fmt.Errorf("encode event: %w", err)
		}
	}
	setBody(out, body)
	return nil
}

// senderOf is who sends, as far as the request says: the masqueraded user, or
// the token of somebody who sends as themselves. It is only ever hashed.
func senderOf(req *http.Request) string {
	if user := req.URL.Query().Get("user_id"); user != "" {
		return user
	}
	return "token:" + strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
}

func setPath(u *url.URL, escaped string) error {
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return fmt.Errorf("path: %w", err)
	}
	u.Path, u.RawPath = path, escaped
	return nil
}

func closeBody(req *http.Request, err error) error {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return err
}

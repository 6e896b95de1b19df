package teams

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rs/zerolog"
)

// Limits of the webhook. Graph gives a notification 3 seconds to be answered
// and treats an endpoint that is often slower as slow, then drops for it.
const (
	DefaultMaxBody         = 4 << 20
	DefaultAnswerTimeout   = 1500 * time.Millisecond
	maxValidationToken     = 2048
	maxConcurrentBodies    = 32
	maxItemsPerBody        = 10_000
	slotWait               = time.Second
	maxValidationTokenJWTs = 64
)

// ReceiverOptions configures NewReceiver.
type ReceiverOptions struct {
	// ClientState is the secret that Graph repeats in every item. Where it is
	// empty every item is foreign.
	ClientState string
	Log         NotificationLog
	// Wake is called after a body was persisted; it must not block.
	Wake func()
	// Arrivals may be nil. LeaveToPoller may be nil and must not block; it is
	// told of new messages whose notification could not be stored: Graph says it
	// again, but not soon.
	Arrivals      Arrivals
	LeaveToPoller func(ref MessageRef, reason string)
	// Doubts may be nil; it is told what was announced and how it was answered.
	Doubts *WebhookDoubts
	// MaxBody and AnswerTimeout default to DefaultMaxBody and DefaultAnswerTimeout.
	MaxBody       int64
	AnswerTimeout time.Duration
	Counters      Counters
	Logger        zerolog.Logger
	Now           func() time.Time
}

// receiver answers Graph's change and lifecycle notifications.
type receiver struct {
	opts  ReceiverOptions
	state [sha256.Size]byte
	slots chan struct{}
}

// NewReceiver returns the handler of the notification and lifecycle URLs. It
// answers 202 only after the items that carry our client state are durable;
// everything that takes time or trust is left to the Processor. The path is
// not looked at, so that one handler can serve both URLs.
func NewReceiver(opts ReceiverOptions) http.Handler {
	if opts.MaxBody <= 0 {
		opts.MaxBody = DefaultMaxBody
	}
	if opts.AnswerTimeout <= 0 {
		opts.AnswerTimeout = DefaultAnswerTimeout
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Wake == nil {
		opts.Wake = func() {}
	}
	if opts.Arrivals == nil {
		opts.Arrivals = NoArrivals{}
	}
	if opts.LeaveToPoller == nil {
		opts.LeaveToPoller = func(MessageRef, string) {}
	}
	if opts.Doubts == nil {
		opts.Doubts = NewWebhookDoubts(opts.Now)
	}
	opts.Counters = countersOr(opts.Counters)
	return &receiver{
		opts:  opts,
		state: sha256.Sum256([]byte(opts.ClientState)),
		slots: make(chan struct{}, maxConcurrentBodies),
	}
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if query := req.URL.Query(); query.Has("validationToken") {
		r.handshake(w, req, query["validationToken"])
		return
	}
	if req.Method != http.MethodPost {
		h.Set("Allow", http.MethodPost)
		r.refuse(w, http.StatusMethodNotAllowed, ReasonMethod, nil)
		return
	}
	began, refused := r.opts.Now(), true
	defer func() { r.opts.Doubts.Answered(r.opts.Now().Sub(began), refused) }()
	// A stored notification is worth keeping even if nobody waits any more.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(req.Context()), r.opts.AnswerTimeout)
	defer cancel()
	// A body that trickles holds a slot no longer than that either; not every
	// server can, and the context ends the rest.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(r.opts.AnswerTimeout))
	if !r.takeSlot(ctx) {
		r.refuse(w, http.StatusServiceUnavailable, ReasonOverloaded, nil)
		return
	}
	defer func() { <-r.slots }()
	refused = r.notification(ctx, w, req)
}

// handshake proves to Graph that the URL is ours: the decoded token as plain
// text and nothing else.
func (r *receiver) handshake(w http.ResponseWriter, req *http.Request, tokens []string) {
	if req.Method != http.MethodPost && req.Method != http.MethodGet {
		w.Header().Set("Allow", "GET, POST")
		r.refuse(w, http.StatusMethodNotAllowed, ReasonMethod, nil)
		return
	}
	if len(tokens) != 1 || !plainToken(tokens[0]) {
		r.refuse(w, http.StatusBadRequest, ReasonBadHandshake, nil)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
	w.Header().Set("Content-Length", strconv.Itoa(len(tokens[0])))
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, tokens[0])
	r.opts.Counters.Count(CountHandshake, "", 1)
}

func plainToken(token string) bool {
	if token == "" || len(token) > maxValidationToken || !utf8.ValidString(token) {
		return false
	}
	for _, c := range token {
		if unicode.IsControl(c) {
			return false
		}
	}
	return true
}

func (r *receiver) takeSlot(ctx context.Context) bool {
	timer := time.NewTimer(slotWait)
	defer timer.Stop()
	select {
	case r.slots <- struct{}{}:
		return true
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
}

// isOurs reports whether what came of a body holds our secret. What anybody can
// send gives no reason to read everything.
func (r *receiver) isOurs(raw []byte) bool {
	return r.opts.ClientState != "" && bytes.Contains(raw, []byte(r.opts.ClientState))
}

// notification reports whether it refused what may have told of messages: what
// nobody could read, and what is not ours, tells of none.
func (r *receiver) notification(ctx context.Context, w http.ResponseWriter, req *http.Request) (refused bool) {
	if req.ContentLength > r.opts.MaxBody {
		r.refuse(w, http.StatusRequestEntityTooLarge, ReasonTooLarge, nil)
		return false
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, req.Body, r.opts.MaxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		r.refuse(w, http.StatusRequestEntityTooLarge, ReasonTooLarge, nil)
		return r.isOurs(raw)
	case err != nil:
		r.refuse(w, http.StatusBadRequest, ReasonBodyCut, err)
		return r.isOurs(raw)
	}
	body, malformed, err := parseDelivery(raw)
	if err != nil {
		r.refuse(w, http.StatusBadRequest, ReasonMalformed, err)
		return false
	}
	if malformed > 0 {
		r.opts.Counters.Count(CountDropped, ReasonMalformed, malformed)
	}
	foreign := r.keepOurs(&body)
	if foreign > 0 {
		r.opts.Counters.Count(CountDropped, ReasonForeignState, foreign)
		r.opts.Logger.Warn().Int("foreign", foreign).Int("ours", len(body.Value)).
			Msg("Notification items without our client state were dropped")
	}
	if len(body.Value) == 0 {
		// Answered like any other, so that nobody learns a client state by trying.
		r.opts.Counters.Count(CountRefused, ReasonAllForeign, 1)
		w.WriteHeader(http.StatusAccepted)
		return false
	}
	created := body.created()
	r.opts.Arrivals.Announced(created)
	r.opts.Doubts.Announced(created)
	stored, err := body.encode()
	if err == nil {
		err = r.persist(ctx, stored)
	}
	if err != nil {
		r.leave(created)
		r.refuse(w, http.StatusServiceUnavailable, ReasonNotPersisted, err)
		return true
	}
	r.opts.Counters.Count(CountReceived, "", 1)
	r.opts.Wake()
	w.WriteHeader(http.StatusAccepted)
	return false
}

// leave has the messages read instead, each channel once.
func (r *receiver) leave(created []MessageRef) {
	asked := map[ChannelRef]bool{}
	for _, ref := range created {
		if !asked[ref.ChannelRef] {
			asked[ref.ChannelRef] = true
			r.opts.LeaveToPoller(ref, ReasonNotPersisted)
		}
	}
}

// keepOurs removes the items whose client state is not ours. Every item is
// compared, and digests are, so that time tells nothing about the secret.
func (r *receiver) keepOurs(body *notificationBody) (foreign int) {
	ours := body.Value[:0]
	for _, item := range body.Value {
		given := sha256.Sum256([]byte(item.ClientState))
		if subtle.ConstantTimeCompare(given[:], r.state[:]) != 1 || r.opts.ClientState == "" {
			foreign++
			continue
		}
		// Checked, and of no use any more: secrets are not kept in the log.
		item.ClientState = ""
		ours = append(ours, item)
	}
	body.Value = ours
	return foreign
}

// persist returns in time even if the log does not: what is stored after the
// deadline is delivered twice, which is harmless.
func (r *receiver) persist(ctx context.Context, body []byte) error {
	done := make(chan error, 1)
	go func() { done <- r.opts.Log.AppendNotification(ctx, body, r.opts.Now()) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		select {
		case err := <-done:
			return err
		default:
			return ctx.Err()
		}
	}
}

func (r *receiver) refuse(w http.ResponseWriter, status int, reason string, err error) {
	r.opts.Counters.Count(CountRefused, reason, 1)
	r.opts.Logger.Warn().Err(err).Str("reason", reason).Int("status", status).Msg("Notification refused")
	w.WriteHeader(status)
}

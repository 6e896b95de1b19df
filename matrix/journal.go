package matrix

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.mau.fi/util/exstrings"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

const (
	transactionPath = "/_matrix/app/v1/transactions/"
	// storeTimeout bounds the SQL of one transaction.
	storeTimeout = 15 * time.Second
	// gateWait is how long a transaction waits for the replay after a start,
	// shorter than the homeservers' own timeouts (30 s, 60 s).
	gateWait = 20 * time.Second
)

// journal keeps transactions before they are acknowledged and follows their
// events until somebody owns them.
type journal struct {
	db     *database.Database
	log    zerolog.Logger
	prover *prover
	now    func() time.Time

	token         string
	maxBody       int64
	inner         http.Handler
	puppetValue   func() string
	commandPrefix func() string
	isOwn         func(id.UserID) bool
	bot           func() id.UserID
	isPortal      func(ctx context.Context, roomID id.RoomID) bool
	barrier       func(ctx context.Context, roomID id.RoomID, done func()) barrierResult
	onDuplicate   func(database.Echo)
	onEcho        func()
	onRedaction   func(reason string)
	onTransaction func()
	// fetch asks the homeserver for an event, nil where it does not have it.
	fetch func(ctx context.Context, roomID id.RoomID, eventID id.EventID) (json.RawMessage, error)
	// present is Options.Present.
	present func(raw json.RawMessage) json.RawMessage
	// untold is told what transactions bring, and what holds them up.
	untold *untold
	// goneMu is held from the look whether an event is known, or was seen redacted,
	// until the other is stored.
	goneMu sync.Mutex
	// isKnown reports whether a redaction of the event finds something.
	isKnown func(ctx context.Context, eventID string) (bool, error)
	// catchUp waits, not for ever, until the redaction feed has caught up: what
	// it brings is put behind its targets in the transactions that wait.
	catchUp func(ctx context.Context)

	// restore reads what a restored database does not know, before anything else
	// may pass; known is closed when that is done, or was not necessary.
	restore func(ctx context.Context)
	known   chan struct{}

	gate     chan struct{} // closed when the replay is over
	stopping chan struct{} // closed when the bridge stops
	stopOnce sync.Once

	// replayTo is the last entry of the run before, replayed how far the replay came.
	replayTo, replayed int64

	// handMu makes the order in which events go to the framework one that both
	// the transactions and the feed agree on. It is taken before mu.
	handMu sync.Mutex
	hold   *holding

	mu   sync.Mutex
	open map[string]*openEvent // by event id: journalled, not known to be closed
	// late are the events that are tried again and hold back their room, places
	// how many events were ever followed.
	late   map[string]map[string]bool
	places int64
	// awaited are the roots that replies wait for, with the replies' places.
	awaited map[string]map[string]int64
}

// ServeHTTP takes a transaction: who asks, how much, what shape, into SQL, and
// only then to the framework, which answers.
func (j *journal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !j.authorised(w, r) {
		return
	}
	if j.onTransaction != nil {
		j.onTransaction()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, j.maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		j.log.Error().Int64("limit", tooLarge.Limit).Msg("Refused a transaction that is too large")
		mautrix.MTooLarge.WithMessage("Transaction is too large").Write(w)
		return
	} else if err != nil {
		mautrix.MNotJSON.WithMessage("Failed to read the transaction").Write(w)
		return
	}
	// What was said before in a room has to be in the journal before this is.
	if !j.waitFor(r.Context(), j.known) {
		j.untold.stumble()
		mautrix.MUnknown.WithMessage("The bridge is not ready yet").WithStatus(http.StatusServiceUnavailable).Write(w)
		return
	}
	txn, err := parseTransaction(body)
	if err == nil {
		body, err = j.dropRedacted(txn, body)
	}
	if err != nil {
		j.log.Error().Err(err).Int("bytes", len(body)).Msg("Refused a malformed transaction")
		mautrix.MBadJSON.WithMessage("Failed to parse the transaction").Write(w)
		return
	}
	if body, err = j.take(r.Context(), txn, body); err != nil {
		j.fallBehind()
		j.untold.stumble()
		j.log.Error().Err(err).Msg("Failed to store a transaction, the homeserver will send it again")
		mautrix.MUnknown.WithMessage("Failed to store the transaction").WithStatus(http.StatusInternalServerError).Write(w)
		return
	}
	if !j.waitFor(r.Context(), j.gate) {
		j.fallBehind()
		j.untold.stumble()
		mautrix.MUnknown.WithMessage("The bridge is not ready yet").WithStatus(http.StatusServiceUnavailable).Write(w)
		return
	}
	j.untold.tell(txn.Events)
	j.forward(w, r, txn, body)
}

// authorised checks the homeserver's token in constant time.
func (j *journal) authorised(w http.ResponseWriter, r *http.Request) bool {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !found {
		mautrix.MMissingToken.WithMessage("Missing access token").Write(w)
		return false
	} else if j.token == "" || !exstrings.ConstantTimeEqual(token, j.token) {
		mautrix.MUnknownToken.WithMessage("Invalid access token").Write(w)
		return false
	}
	return true
}

// take stores a transaction, less what is known to be redacted, and returns its body.
func (j *journal) take(ctx context.Context, txn *transaction, body []byte) ([]byte, error) {
	j.goneMu.Lock()
	defer j.goneMu.Unlock()
	body, err := j.dropGone(ctx, txn, body)
	if err != nil {
		return nil, err
	}
	return body, j.store(ctx, txn)
}

// store makes a transaction durable in one SQL transaction.
func (j *journal) store(ctx context.Context, txn *transaction) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	now := j.now()
	events := j.sort(ctx, txn, now)
	if events.newest > 0 && now.Sub(time.UnixMilli(events.newest)) > behindLag {
		j.fallBehind()
	}
	if len(events.entries)+len(events.echoes)+len(events.puppetEchoes)+len(txn.gone) == 0 {
		return nil
	}
	duplicates, err := j.record(ctx, events, txn.gone)
	if err != nil {
		return err
	}
	txn.entries = events.entries
	if j.onEcho != nil && len(events.echoes)+len(events.puppetEchoes) > 0 {
		j.onEcho()
	}
	j.reportDuplicates(duplicates)
	return nil
}

// record stores entries and echoes in one SQL transaction, and with them what
// the echoes show to be there twice.
func (j *journal) record(ctx context.Context, events sorted, gone []database.Echo) (duplicates []database.Echo, err error) {
	err = j.db.DoTxn(ctx, nil, func(ctx context.Context) (err error) {
		if err = j.db.Journal.Append(ctx, events.entries); err != nil {
			return err
		} else if duplicates, err = j.db.Echoes.Record(ctx, events.echoes); err != nil {
			return err
		} else if _, err = j.db.Echoes.Record(ctx, events.puppetEchoes); err != nil {
			return err // after the sure ones, so that no copy takes their place
		} else if _, err = j.db.Echoes.Record(ctx, gone); err != nil {
			return err
		}
		return j.db.Echoes.KeepDoubled(ctx, duplicates)
	})
	return duplicates, err
}

func (j *journal) reportDuplicates(duplicates []database.Echo) {
	for _, echo := range duplicates {
		j.log.Warn().Str("source_key", echo.SourceKey).Str("event_id", echo.EventID).Str("room_id", echo.RoomID).
			Msg("A source change became two events")
		if j.onDuplicate != nil {
			j.onDuplicate(echo)
		}
	}
}

// waitFor waits until transactions may pass; false means that the homeserver is
// to come again.
func (j *journal) waitFor(ctx context.Context, gate <-chan struct{}) bool {
	select {
	case <-gate:
		return true
	default:
	}
	timer := time.NewTimer(gateWait)
	defer timer.Stop()
	select {
	case <-gate:
		return true
	case <-j.stopping:
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// forward hands the transaction to the framework under an id that covers its
// content: Dendrite may send more events under an id that was used before, and
// the framework would ignore them. Redactions that wait for one of its events go
// with it.
func (j *journal) forward(w http.ResponseWriter, r *http.Request, txn *transaction, body []byte) {
	j.handMu.Lock()
	defer j.handMu.Unlock()
	events, woven := j.weave(r.Context(), txn.Events)
	events, changed := j.presented(events)
	if changed || len(woven) > 0 {
		var err error
		if body, err = withEvents(body, events); err != nil {
			j.log.Error().Err(err).Msg("Failed to change a transaction for the framework")
			mautrix.MUnknown.WithMessage("Failed to handle the transaction").WithStatus(http.StatusInternalServerError).Write(w)
			return
		}
	}
	// Not before: what is replayed meanwhile stands in front of it.
	j.track(txn.entries)
	j.track(woven)
	hash := sha256.New()
	hash.Write([]byte(r.PathValue("txnID") + "\x00"))
	hash.Write(body)
	txnID := base64.RawURLEncoding.EncodeToString(hash.Sum(nil))
	out := r.Clone(r.Context())
	out.URL = &url.URL{Path: transactionPath + txnID, RawQuery: r.URL.RawQuery}
	out.RequestURI = out.URL.RequestURI()
	out.Body = io.NopCloser(bytes.NewReader(body))
	out.ContentLength = int64(len(body))
	j.inner.ServeHTTP(w, out)
}

// stop lets waiting transactions go.
func (j *journal) stop() { j.stopOnce.Do(func() { close(j.stopping) }) }

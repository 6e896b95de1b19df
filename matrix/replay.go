package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"teamsbridge/database"
)

const (
	replayPage = 50
	// replayRetry is the pause after a replay that failed; new transactions wait.
	replayRetry = 2 * time.Second
)

// prepare remembers where the journal of the last run ends. What comes after
// is still in the homeserver's hands: it waits for the gate, or comes again.
func (j *journal) prepare(ctx context.Context) (err error) {
	j.replayTo, err = j.db.Journal.LastSeq(ctx)
	return err
}

// replay hands everything that was open at the last stop to the framework, in
// order.
func (j *journal) replay(ctx context.Context) error {
	for total := 0; ; {
		entries, err := j.db.Journal.Pending(ctx, j.replayed, replayPage)
		if err != nil {
			return err
		}
		entries = slices.DeleteFunc(entries, func(e database.JournalEntry) bool { return e.Seq > j.replayTo })
		if len(entries) == 0 {
			j.log.Info().Int("events", total).Msg("Journal replayed")
			return nil
		}
		if err := j.handAgain(ctx, entries); err != nil {
			return err
		}
		j.replayed = entries[len(entries)-1].Seq
		total += len(entries)
	}
}

// start replays, waits for the redaction feed, has a restored database learn what
// it does not know, and lets new transactions pass.
func (j *journal) start(ctx context.Context) {
	j.replayUntilDone(ctx)
	if ctx.Err() != nil {
		return
	}
	if j.catchUp != nil {
		j.catchUp(ctx)
	}
	if j.restore(ctx); ctx.Err() != nil {
		return
	}
	j.fallBehind()
	close(j.gate)
	if err := j.settleHeld(ctx); err != nil && ctx.Err() == nil {
		j.log.Error().Err(err).Msg("Failed to look at redactions that wait, will try again")
	}
}

// replayUntilDone repeats a failed replay: without it nothing may pass.
func (j *journal) replayUntilDone(ctx context.Context) {
	for {
		err := j.replay(ctx)
		if err == nil {
			return
		}
		j.log.Error().Err(err).Msg("Failed to replay the journal, will try again")
		timer := time.NewTimer(replayRetry)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// hand gives entries to the framework the same way a transaction comes;
// redactions whose target is not known yet wait instead.
func (j *journal) hand(ctx context.Context, entries []database.JournalEntry) error {
	entries, err := j.reopen(ctx, entries)
	if err != nil {
		return err
	}
	j.handMu.Lock()
	defer j.handMu.Unlock()
	return j.handLocked(ctx, entries)
}

// handAgain does the same with what was, or should have been, handed over before,
// and counts that: it is not tried for ever. What the homeserver has to be asked
// for first was not tried while that does not answer.
func (j *journal) handAgain(ctx context.Context, entries []database.JournalEntry) error {
	entries, err := j.reopen(ctx, entries)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := j.db.Journal.Tried(ctx, entry.EventID); err != nil {
			return err
		}
	}
	j.handMu.Lock()
	defer j.handMu.Unlock()
	return j.handLocked(ctx, entries)
}

func (j *journal) handLocked(ctx context.Context, entries []database.JournalEntry) error {
	entries, err := j.holdBack(ctx, entries)
	if err != nil || len(entries) == 0 {
		return err
	}
	var txn transaction
	for _, entry := range entries {
		txn.Events = append(txn.Events, json.RawMessage(entry.Raw))
	}
	events, woven := j.weave(ctx, txn.Events)
	txn.Events, _ = j.presented(events)
	body, err := json.Marshal(txn)
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, transactionPath+"replay-"+uuid.NewString(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+j.token)
	j.track(entries)
	j.track(woven)
	var answer answer
	j.inner.ServeHTTP(&answer, req)
	if answer.status != http.StatusOK {
		return fmt.Errorf("replay: the framework answered %d", answer.status)
	}
	return nil
}

// answer is a response writer that keeps the status only.
type answer struct {
	header http.Header
	status int
}

func (a *answer) Header() http.Header {
	if a.header == nil {
		a.header = http.Header{}
	}
	return a.header
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return len(b), nil
}

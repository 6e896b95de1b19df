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
// order, and then lets new transactions pass.
func (j *journal) replay(ctx context.Context) error {
	for total := 0; ; {
		entries, err := j.db.Journal.Pending(ctx, j.replayed, replayPage)
		if err != nil {
			return err
		}
		entries = slices.DeleteFunc(entries, func(e database.JournalEntry) bool { return e.Seq > j.replayTo })
		if len(entries) == 0 {
			j.log.Info().Int("events", total).Msg("Journal replayed")
			close(j.gate)
			return nil
		}
		for _, entry := range entries {
			if err := j.db.Journal.Tried(ctx, entry.EventID); err != nil {
				return err
			}
		}
		if err := j.hand(ctx, entries); err != nil {
			return err
		}
		j.replayed = entries[len(entries)-1].Seq
		total += len(entries)
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

// hand gives entries to the framework the same way a transaction comes.
func (j *journal) hand(ctx context.Context, entries []database.JournalEntry) error {
	var txn transaction
	for _, entry := range entries {
		txn.Events = append(txn.Events, json.RawMessage(entry.Raw))
	}
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

package crashtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"teamsbridge/internal/stack"
)

// restLimit is how long the bridge may take to come to rest, and restPerMessage how
// much longer for each message of the run: after a start it asks the rooms for what
// the homeserver did not tell since the last quiet minute, which there may not have
// been one of. Synapse hands out some thirty events a second.
const (
	restLimit      = 10 * time.Minute
	restPerMessage = 100 * time.Millisecond
)

// settle ends everything that goes wrong, restarts the bridge, so that it
// catches up with what nobody told it of, and waits until nothing is on its way.
func (r *run) settle() error {
	r.stack.Tenant.Faults().Clear()
	if err := r.stack.Tenant.Up(); err != nil {
		return err
	}
	if err := r.restartBridge(r.ctx, nil); err != nil {
		return err
	}
	began, calm := time.Now(), 0
	err := stack.Eventually(r.ctx, restLimit+time.Duration(r.o.Messages)*restPerMessage, func(ctx context.Context) error {
		if err := r.pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
		m, err := r.metrics(ctx)
		if err == nil {
			err = m.atRest()
		}
		if calm++; err != nil {
			calm = 0
			return err
		}
		if calm < 6 {
			return errors.New("at rest for a moment only")
		}
		return nil
	})
	r.report.RestTook = time.Since(began)
	if m, metricsErr := r.metrics(r.ctx); metricsErr == nil {
		r.report.Counters = m.reasons()
		if n := m["teamsbridge_inbox_rows{state=\"parked\"}"]; n > 0 {
			r.report.Problems = append(r.report.Problems, fmt.Sprintf("%v messages from Teams are parked", n))
		}
		if n := m["teamsbridge_outbox_rows{state=\"failed\"}"]; n > 0 {
			r.report.Problems = append(r.report.Problems, fmt.Sprintf("%v events from Matrix have failed", n))
		}
	}
	if err != nil {
		return fmt.Errorf("the bridge did not come to rest: %w", err)
	}
	return nil
}

// metrics are the bridge's samples by name and labels.
type metrics map[string]float64

func (r *run) metrics(ctx context.Context) (metrics, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.metricsAddr+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("ask for metrics: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for metrics: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	return parseMetrics(resp.Body)
}

func parseMetrics(from io.Reader) (metrics, error) {
	m := metrics{}
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("read the metrics: %w", err)
		}
		m[line[:at]] = v
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the metrics: %w", err)
	}
	return m, nil
}

// waitingForTeams is how many rows of the outbox are not done, and what may
// still become one.
func (m metrics) waitingForTeams() int {
	return int(m[`teamsbridge_outbox_rows{state="queued"}`] + m[`teamsbridge_outbox_rows{state="sending"}`] +
		m[`teamsbridge_outbox_rows{state="sent"}`] + m["teamsbridge_journal_rows"])
}

// atRest checks that nothing is on its way.
func (m metrics) atRest() error {
	if _, there := m["teamsbridge_journal_rows"]; !there {
		return errors.New("the metrics do not tell of the journal")
	}
	var busy []string
	if n := m.waitingForTeams(); n > 0 {
		busy = append(busy, fmt.Sprintf("%d for Teams", n))
	}
	for _, name := range []string{`teamsbridge_inbox_rows{state="pending"}`, `teamsbridge_notifications{state="pending"}`, "teamsbridge_reader_lag_seconds"} {
		if m[name] > 0 {
			busy = append(busy, fmt.Sprintf("%s %v", name, m[name]))
		}
	}
	if len(busy) > 0 {
		return errors.New(strings.Join(busy, ", "))
	}
	return nil
}

// reasons are the counters of messages since the last start, sorted.
func (m metrics) reasons() []string {
	var out []string
	for name, v := range m {
		if strings.HasPrefix(name, "teamsbridge_messages_total") && v > 0 {
			out = append(out, fmt.Sprintf("%s %v", strings.TrimPrefix(name, "teamsbridge_messages_total"), v))
		}
	}
	slices.Sort(out)
	return out
}

package demopage

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"

	"teamsbridge/internal/freeport"
	"teamsbridge/teams/teamstest"
)

// BridgeSettings are what the bridge's config needs for the page: metrics on a
// port that is free, whose address is returned too.
func BridgeSettings() (settings map[string]any, metrics string, err error) {
	port, err := freeport.Get()
	if err != nil {
		return nil, "", err
	}
	listen := "127.0.0.1:" + strconv.Itoa(port)
	return map[string]any{"network": map[string]any{"metrics": map[string]any{"listen": listen}}}, "http://" + listen + "/metrics", nil
}

// maxMetrics bounds what is read of the bridge's metrics.
const maxMetrics = 1 << 20

// readNumbers asks the bridge's metrics how full its queues are.
func (p *Page) readNumbers(ctx context.Context) numbers {
	n := numbers{Outage: p.opts.Stack.Tenant.IsDown(teamstest.ServiceGraph)}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.opts.Metrics, nil)
	if err != nil {
		return n
	}
	resp, err := p.numbers.Do(req)
	if err != nil {
		return n
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return n
	}
	n.fill(io.LimitReader(resp.Body, maxMetrics))
	return n
}

// fill reads the gauges that the page shows from Prometheus' text format.
func (n *numbers) fill(r io.Reader) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		number, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil || name == "#" {
			continue
		}
		count := int(number)
		switch name {
		case `teamsbridge_outbox_rows{state="queued"}`, `teamsbridge_outbox_rows{state="sending"}`, "teamsbridge_journal_rows":
			n.Waiting += count
		case `teamsbridge_outbox_rows{state="parked"}`:
			n.Parked = count
		case `teamsbridge_inbox_rows{state="pending"}`:
			n.Inbox = count
		case `teamsbridge_queue_age_seconds{queue="outbox"}`:
			n.Oldest = count
		case `teamsbridge_message_delay_seconds_count{direction="outbox_delay"}`:
			n.Sent = count
		case "teamsbridge_graph_up":
			n.Known, n.GraphUp = true, count == 1
		}
	}
}

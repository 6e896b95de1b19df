package bridge

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/database"
	"teamsbridge/matrix"
	"teamsbridge/teams"
)

// metrics counts for Prometheus. Labels come from small fixed sets, never from
// ids or names.
type metrics struct {
	registry *prometheus.Registry
	messages *prometheus.CounterVec
	delay    *prometheus.HistogramVec
	events   *prometheus.CounterVec
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
	waited   *prometheus.HistogramVec
	paused   *prometheus.CounterVec
	pause    *prometheus.CounterVec
	home     *prometheus.HistogramVec
	steps    *prometheus.CounterVec
	outages  *prometheus.CounterVec
}

func newMetrics(r *runtime) *metrics {
	buckets := []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 3600}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "teamsbridge_messages_total",
			Help: "What happened to messages, by event and reason."}, []string{"event", "reason"}),
		delay: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "teamsbridge_message_delay_seconds",
			Help: "How long messages took, by direction.", Buckets: buckets}, []string{"direction"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "teamsbridge_intake_total",
			Help: "What the webhook, the subscriptions and the readers did."}, []string{"event", "reason"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "teamsbridge_graph_requests_total",
			Help: "Requests to Graph and the sign-in service, by operation and status (0: no answer)."}, []string{"operation", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "teamsbridge_graph_request_seconds",
			Help: "How long requests to Graph took.", Buckets: buckets}, []string{"operation"}),
		waited: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "teamsbridge_graph_wait_seconds",
			Help: "How long requests were held back by the limiter.", Buckets: buckets}, []string{"operation"}),
		paused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "teamsbridge_graph_pauses_total",
			Help: "How often an answer made the limiter pause."}, []string{"operation", "announced"}),
		pause: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "teamsbridge_graph_throttled_seconds_total",
			Help: "For how long answers made the limiter pause, in all."}, []string{"operation", "announced"}),
		home: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "teamsbridge_homeserver_request_seconds",
			Help: "How long requests about rooms to the homeserver took, by outcome.", Buckets: buckets}, []string{"outcome"}),
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "teamsbridge_dependency_changes_total",
			Help: "How often a dependency's state became another, by the new state."}, []string{"dependency", "state"}),
		outages: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "teamsbridge_outages_total",
			Help: "Outages that began, by kind."}, []string{"kind"}),
	}
	m.registry.MustRegister(m.own(r)...)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// own are the bridge's own metrics. The handbook, the alert rules and the
// dashboard name no others.
func (m *metrics) own(r *runtime) []prometheus.Collector {
	return []prometheus.Collector{m.messages, m.delay, m.events, m.requests, m.took, m.waited, m.paused, m.pause, m.home, m.steps, m.outages, &stateCollector{r}}
}

// gaugeTimeout bounds the queries of one scrape.
const gaugeTimeout = 5 * time.Second

// stateCollector reads the queues when Prometheus asks.
type stateCollector struct{ r *runtime }

func stateDescriptions() map[string]*prometheus.Desc {
	return map[string]*prometheus.Desc{
		"outbox":        prometheus.NewDesc("teamsbridge_outbox_rows", "Matrix events on their way to Teams, by state.", []string{"state"}, nil),
		"inbox":         prometheus.NewDesc("teamsbridge_inbox_rows", "Teams messages on their way to Matrix, by state.", []string{"state"}, nil),
		"oldest":        prometheus.NewDesc("teamsbridge_queue_age_seconds", "Age of the oldest row of a queue.", []string{"queue"}, nil),
		"journal":       prometheus.NewDesc("teamsbridge_journal_rows", "Events that the homeserver has handed over and nobody owns yet.", nil, nil),
		"notifications": prometheus.NewDesc("teamsbridge_notifications", "Notifications that were kept, by state.", []string{"state"}, nil),
		"up":            prometheus.NewDesc("teamsbridge_graph_up", "Whether Graph can be used; absent until it was first asked.", nil, nil),
		"dependency":    prometheus.NewDesc("teamsbridge_dependency_state", "1 for the state that a dependency is in; absent until something is known of it.", []string{"dependency", "state"}, nil),
		"outage":        prometheus.NewDesc("teamsbridge_outage", "Whether an outage goes on, by kind.", []string{"kind"}, nil),
		"outage_age":    prometheus.NewDesc("teamsbridge_outage_seconds", "How long the outage goes on, by kind; 0 where none does.", []string{"kind"}, nil),
		"subscriptions": prometheus.NewDesc("teamsbridge_subscriptions", "Subscriptions that there ought to be, by state; none where the webhook is off.", []string{"state"}, nil),
		"expiry":        prometheus.NewDesc("teamsbridge_credential_expires_timestamp_seconds", "Until when a credential can be used, in Unix time, where that is known.", []string{"credential"}, nil),
		"joins":         prometheus.NewDesc("teamsbridge_joins_total", "People who were to be brought into rooms, by outcome.", []string{"outcome"}, nil),
		"coming":        prometheus.NewDesc("teamsbridge_joins_waiting", "People who are being brought into rooms.", nil, nil),
		"rooms":         prometheus.NewDesc("teamsbridge_rooms", "Mirrored rooms and spaces, by whether they have all their people.", []string{"people"}, nil),
		"sealing":       prometheus.NewDesc("teamsbridge_sealing_done", "Whether nothing that is stored needs encryption_key_previous any more.", nil, nil),
		"unopened":      prometheus.NewDesc("teamsbridge_sealed_unopened", "Stored values that none of the encryption keys opened.", nil, nil),
		"lag":           prometheus.NewDesc("teamsbridge_reader_lag_seconds", "How long the scope that waits longest waits to be read.", nil, nil),
	}
}

// outboxStates are the states of rows that are counted. Each is exported at 0,
// too: a series that comes and goes can't be told from a bridge that is away.
func outboxStates() []string {
	return []string{database.StateQueued, database.StateSending, database.StateSent, database.StateParked, database.StateFailed}
}

// inboxStates are those of the ledger.
func inboxStates() []string { return []string{database.StatePending, database.StateParked} }

// Describe implements prometheus.Collector.
func (s *stateCollector) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range stateDescriptions() {
		out <- desc
	}
}

// Collect implements prometheus.Collector.
func (s *stateCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), gaugeTimeout)
	defer cancel()
	desc := stateDescriptions()
	gauge := func(name string, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc[name], prometheus.GaugeValue, value, labels...)
	}
	age := func(queue string, oldest time.Time) {
		if oldest.IsZero() {
			gauge("oldest", 0, queue)
			return
		}
		gauge("oldest", s.r.now().Sub(oldest).Seconds(), queue)
	}
	if stats, err := s.r.db.Outbox.Stats(ctx); err == nil {
		for _, state := range outboxStates() {
			gauge("outbox", float64(stats.ByState[state]), state)
		}
		age("outbox", stats.Oldest)
	}
	if stats, err := s.r.db.Inbox.Stats(ctx); err == nil {
		for _, state := range inboxStates() {
			gauge("inbox", float64(stats.ByState[state]), state)
		}
		age("inbox", stats.Oldest)
	}
	if n, err := s.r.db.Journal.Count(ctx); err == nil {
		gauge("journal", float64(n))
	}
	if pending, quarantined, err := s.r.db.Notifications.Count(ctx); err == nil {
		gauge("notifications", float64(pending), "pending")
		gauge("notifications", float64(quarantined), "quarantined")
	}
	if status, err := s.r.db.Sealing.Status(ctx); err == nil {
		done := 0.0
		if status.Done {
			done = 1
		}
		gauge("sealing", done)
		gauge("unopened", float64(status.Unopened))
	}
	// Before Graph was asked there is nothing to say.
	if down, known, _ := s.r.health.state(); known {
		up := 1.0
		if down {
			up = 0
		}
		gauge("up", up)
	}
	for _, d := range s.r.health.monitor.Status() {
		for _, state := range vitals.States() {
			if d.State == vitals.Unknown {
				continue
			}
			is := 0.0
			if d.State == state {
				is = 1
			}
			gauge("dependency", is, string(d.Dependency), state.String())
		}
	}
	for _, kind := range []string{database.OutageDetected, database.OutageDeclared, database.OutageDrill} {
		on, age := 0.0, 0.0
		for _, rec := range s.r.outages.underWay() {
			if rec.Kind == kind {
				on, age = 1, s.r.now().Sub(rec.Began).Seconds()
			}
		}
		gauge("outage", on, kind)
		gauge("outage_age", age, kind)
	}
	s.collectJoins(out)
	gauge("lag", s.r.poller.Lag().Seconds())
	s.collectIntake(gauge)
}

// collectIntake tells of subscriptions and credentials.
func (s *stateCollector) collectIntake(gauge func(name string, value float64, labels ...string)) {
	if s.r.subs != nil {
		counts := map[teams.SubscriptionStatus]int{}
		for _, sub := range s.r.subs.State() {
			counts[sub.Status]++
		}
		for _, status := range teams.SubscriptionStatuses() {
			gauge("subscriptions", float64(counts[status]), strings.ReplaceAll(string(status), " ", "_"))
		}
	}
	for credential, expires := range s.r.expiries() {
		gauge("expiry", float64(expires.Unix()), credential)
	}
}

// portalMetrics counts for package portal.
type portalMetrics struct{ m *metrics }

// Count implements portal.Metrics.
func (p portalMetrics) Count(name, reason string) { p.m.messages.WithLabelValues(name, reason).Inc() }

// Observe implements portal.Metrics.
func (p portalMetrics) Observe(name string, d time.Duration) {
	p.m.delay.WithLabelValues(name).Observe(d.Seconds())
}

// outageBegun counts outages.
func (m *metrics) outageBegun(kind string) { m.outages.WithLabelValues(kind).Inc() }

// redaction counts redactions, by what became of them on their way in.
func (m *metrics) redaction(reason string) { m.messages.WithLabelValues("redaction", reason).Inc() }

// duplicated counts changes in Teams that became two events in a room.
func (m *metrics) duplicated() {
	m.messages.WithLabelValues("ingest_duplicated", "two events for one change").Inc()
}

// dependencyStep counts a change of a dependency's state.
func (m *metrics) dependencyStep(c vitals.Change) {
	m.steps.WithLabelValues(string(c.Dependency), c.To.String()).Inc()
}

// teamsCounters counts for package teams.
type teamsCounters struct{ m *metrics }

// Count implements teams.Counters.
func (t teamsCounters) Count(event, reason string, n int) {
	t.m.events.WithLabelValues(event, reason).Add(float64(n))
}

// httpMetrics counts requests to Graph.
type httpMetrics struct{ metrics *metrics }

// GraphRequest implements teams.HTTPMetrics.
func (h *httpMetrics) GraphRequest(op string, status int, took time.Duration) {
	h.metrics.requests.WithLabelValues(op, strconv.Itoa(status)).Inc()
	h.metrics.took.WithLabelValues(op).Observe(took.Seconds())
}

// GraphWaited implements teams.HTTPMetrics.
func (h *httpMetrics) GraphWaited(op string, waited time.Duration) {
	h.metrics.waited.WithLabelValues(op).Observe(waited.Seconds())
}

// GraphPaused implements teams.HTTPMetrics.
func (h *httpMetrics) GraphPaused(op string, pause time.Duration, announced bool) {
	h.metrics.paused.WithLabelValues(op, strconv.FormatBool(announced)).Inc()
	h.metrics.pause.WithLabelValues(op, strconv.FormatBool(announced)).Add(pause.Seconds())
}

// homeserverAnswer measures the homeserver. What it holds open on purpose (/sync)
// says nothing about how fast it is, so only requests about rooms count.
func (m *metrics) homeserverAnswer(a matrix.Answer) {
	if a.RoomID == "" {
		return
	}
	outcome := "ok"
	switch {
	case a.Status == 0:
		outcome = "no answer"
	case a.Status >= 500:
		outcome = "failed"
	case a.Status == http.StatusTooManyRequests:
		outcome = "throttled"
	case a.Status >= 400:
		outcome = "refused"
	}
	m.home.WithLabelValues(outcome).Observe(a.Took.Seconds())
}

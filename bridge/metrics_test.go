package bridge

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/teams"
)

// gauge returns a metric's value and whether it is there.
func gauge(t *testing.T, m *metrics, name string) (float64, bool) {
	t.Helper()
	families, err := m.registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			v := f.GetMetric()[0]
			return v.GetGauge().GetValue() + v.GetCounter().GetValue(), true
		}
	}
	return 0, false
}

// Whether Graph can be used is not known before it was asked.
func TestGraphUpIsAbsentUntilGraphWasAsked(t *testing.T) {
	db := testDB(t)
	poller, err := teams.NewPoller(teams.PollerOptions{Source: &fakeTenant{}, Sink: noSink{}, Cursors: cursorStore{db.Cursors},
		Teams: func() []teams.PolledTeam { return nil }, Logger: zerolog.Nop()})
	require.NoError(t, err)
	r := &runtime{c: &Connector{Config: Config{ClientSecretExpires: "2030-01-02"}}, keys: &keyring{}, db: db, now: time.Now, health: newHealth(nil, time.Now), poller: poller,
		rooms: &matrixRooms{joins: newJoins()}, mirror: &mirror{catalog: newCatalog(db.Conversations)}}
	held := newHolds(db, time.Now, func() {})
	r.outages = newOutages(db, held, time.Now)
	m := newMetrics(r)
	r.outages.begun = m.outageBegun
	on, _ := gauge(t, m, "teamsbridge_outage")
	require.Zero(t, on)
	expires, _ := gauge(t, m, "teamsbridge_credential_expires_timestamp_seconds")
	require.EqualValues(t, time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC).Unix(), expires)
	require.NoError(t, r.outages.declare(t.Context(), "@boss:x", "because"))
	on, there := gauge(t, m, "teamsbridge_outage")
	require.True(t, there)
	require.EqualValues(t, 1, on)
	total, _ := gauge(t, m, "teamsbridge_outages_total")
	require.EqualValues(t, 1, total)
	_, there = gauge(t, m, "teamsbridge_graph_up")
	require.False(t, there)
	require.False(t, func() bool { _, there := gauge(t, m, "teamsbridge_dependency_state"); return there }())
	r.health.stepped = m.dependencyStep
	now := time.Now()
	probed := func(outcome vitals.Outcome) {
		for range 3 {
			now = now.Add(5 * time.Second)
			r.health.observe(vitals.Observation{Dependency: vitals.GraphRead, Probe: true, Outcome: outcome, At: now})
		}
		r.health.announce(t.Context())
	}
	probed(vitals.ServerError)
	up, there := gauge(t, m, "teamsbridge_graph_up")
	require.True(t, there)
	require.Zero(t, up)
	require.Equal(t, map[string]float64{"up": 0, "degraded": 0, "down": 1, "recovering": 0}, states(t, m, vitals.GraphRead))
	probed(vitals.OK)
	up, _ = gauge(t, m, "teamsbridge_graph_up")
	require.EqualValues(t, 1, up)

	require.Equal(t, map[string]float64{"up": 1, "degraded": 0, "down": 0, "recovering": 0}, states(t, m, vitals.GraphRead))
	steps, there := gauge(t, m, "teamsbridge_dependency_changes_total")
	require.True(t, there)
	require.EqualValues(t, 1, steps)

	m.duplicated()
	n, there := gauge(t, m, "teamsbridge_messages_total")
	require.True(t, there)
	require.EqualValues(t, 1, n)
}

// states returns the states of a dependency as they are measured.
func states(t *testing.T, m *metrics, d vitals.Dependency) map[string]float64 {
	t.Helper()
	families, err := m.registry.Gather()
	require.NoError(t, err)
	out := map[string]float64{}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range metric.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == "teamsbridge_dependency_state" && labels["dependency"] == string(d) {
				out[labels["state"]] = metric.GetGauge().GetValue()
			}
		}
	}
	return out
}

type noSink struct{}

func (noSink) Accept(context.Context, string, []teams.Message) error { return nil }

// Where nothing waits the queues are measured all the same: an alert on what is
// absent must mean that the bridge is.
func TestQueuesAreMeasuredWhereTheyAreEmpty(t *testing.T) {
	db := testDB(t)
	poller, err := teams.NewPoller(teams.PollerOptions{Source: &fakeTenant{}, Sink: noSink{}, Cursors: cursorStore{db.Cursors},
		Teams: func() []teams.PolledTeam { return nil }, Logger: zerolog.Nop()})
	require.NoError(t, err)
	r := &runtime{c: &Connector{}, keys: &keyring{}, db: db, now: time.Now, health: newHealth(nil, time.Now), poller: poller,
		rooms: &matrixRooms{joins: newJoins()}, mirror: &mirror{catalog: newCatalog(db.Conversations)}}
	r.outages = newOutages(db, newHolds(db, time.Now, func() {}), time.Now)
	m := newMetrics(r)
	for _, name := range []string{"teamsbridge_outbox_rows", "teamsbridge_inbox_rows", "teamsbridge_journal_rows", "teamsbridge_reader_lag_seconds"} {
		_, there := gauge(t, m, name)
		require.True(t, there, name)
	}
}

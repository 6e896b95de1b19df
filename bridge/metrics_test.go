package bridge

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

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
	r := &runtime{db: db, now: time.Now, health: newHealth(nil, time.Now), poller: poller}
	held := newHolds(db, time.Now, func() {})
	r.outages = newOutages(db, held, time.Now)
	m := newMetrics(r)
	r.outages.begun = m.outageBegun
	on, _ := gauge(t, m, "teamsbridge_outage")
	require.Zero(t, on)
	require.NoError(t, r.outages.declare(t.Context(), "@boss:x", "because"))
	on, there := gauge(t, m, "teamsbridge_outage")
	require.True(t, there)
	require.EqualValues(t, 1, on)
	total, _ := gauge(t, m, "teamsbridge_outages_total")
	require.EqualValues(t, 1, total)
	_, there = gauge(t, m, "teamsbridge_graph_up")
	require.False(t, there)
	r.health.failed(t.Context(), &teams.Error{Kind: teams.KindUnavailable})
	up, there := gauge(t, m, "teamsbridge_graph_up")
	require.True(t, there)
	require.Zero(t, up)
	r.health.recovered(t.Context())
	up, _ = gauge(t, m, "teamsbridge_graph_up")
	require.EqualValues(t, 1, up)

	m.duplicated()
	n, there := gauge(t, m, "teamsbridge_messages_total")
	require.True(t, there)
	require.EqualValues(t, 1, n)
}

type noSink struct{}

func (noSink) Accept(context.Context, string, []teams.Message) error { return nil }

package portal_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
)

// fromThen has messages of a time come late, as a history or a backlog does.
func fromThen(r *portaltest.Rig, n int, then time.Time) {
	for i := range n {
		r.Tenant.PostThen(portaltest.Channel, portaltest.Dave, fmt.Sprint("then ", i), then.Add(time.Duration(i)*time.Second).Truncate(time.Millisecond))
	}
	r.Quiet()
}

// What the bridge brings to a room late bears the time that it has in Teams. A
// heap of it hides nothing that stands before it.
func TestVerifyReadsPastWhatCameLate(t *testing.T) {
	r := started(t)
	r.Secretly(portaltest.AliceMXID, event.EventMessage, map[string]any{"msgtype": "m.text", "body": "lost"})
	fromThen(r, 150, time.Now().Add(-72*time.Hour))
	mends(t, r, portal.MissingInTeams)
	require.Equal(t, 1, strings.Count(strings.Join(r.TeamsTexts(), "\n"), "lost"))
}

// A room with nothing but what came from Teams is read as far as is asked for, and
// not to its beginning.
func TestVerifyReadsNoFurtherThanAsked(t *testing.T) {
	ctx := context.Background()
	r := started(t)
	fromThen(r, 200, time.Now().Add(-72*time.Hour))
	pages := func() int {
		before := r.HS.Pages()
		clean(t, r)
		return r.HS.Pages() - before
	}
	require.GreaterOrEqual(t, pages(), 8, "it came just now")
	_, err := r.Bridge.DB.Exec(ctx, `UPDATE teams_inbox SET delivered_at = $1`, time.Now().Add(-71*time.Hour).UnixMilli())
	require.NoError(t, err)
	require.Equal(t, 2, pages(), "the ledger tells that it came before the time")
	_, err = r.Bridge.DB.Exec(ctx, `DELETE FROM teams_inbox`)
	require.NoError(t, err)
	require.Equal(t, 2, pages(), "it is so old that the ledger has forgotten it")
	_, err = r.Bridge.DB.Exec(ctx, `DELETE FROM message`)
	require.NoError(t, err)
	require.GreaterOrEqual(t, pages(), 8, "nobody knows when it came")
}

// What the homeserver lets go of on purpose is counted, and no repair brings it
// back; what it has lost beside is mended.
func TestVerifyLeavesWhatTheHomeserverDoesNotKeep(t *testing.T) {
	then := time.Now().Add(-48 * time.Hour)
	compare := func(t *testing.T, r *portaltest.Rig) portal.Report {
		t.Helper()
		report, err := r.Verifier.Verify(context.Background(), portaltest.Channel, time.Now().Add(-72*time.Hour))
		require.NoError(t, err)
		return report
	}
	left := func(t *testing.T, r *portaltest.Rig, n int) {
		t.Helper()
		report := compare(t, r)
		require.Empty(t, report.Findings)
		require.Equal(t, map[string]int{portal.LeftPurged: n}, report.Left)
	}
	loses := func(t *testing.T, r *portaltest.Rig, n int) {
		t.Helper()
		r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "lost by mistake")
		r.Quiet()
		r.HS.Lose(eventOf(t, r, "lost by mistake").ID)
		report, err := r.Verifier.Repair(context.Background(), compare(t, r))
		require.NoError(t, err)
		require.Equal(t, []portal.Class{portal.MissingInMatrix}, classes(report))
		require.True(t, report.Findings[0].Mended, report.Findings[0].Reason)
		r.Quiet()
		left(t, r, n)
	}
	t.Run("by a retention that it tells", func(t *testing.T) {
		r := started(t)
		fromThen(r, 3, then)
		r.Silently(func() { fromThen(r, 1, then.Add(-time.Hour)) }) // never came
		r.HS.SetLifetime(24*time.Hour, true)
		left(t, r, 4)
		loses(t, r, 4)
	})
	t.Run("its beginning", func(t *testing.T) {
		r := started(t)
		r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "by Dave")
		r.Say(portaltest.AliceMXID, "by Alice")
		r.Quiet()
		r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "kept")
		r.Quiet()
		r.HS.Purge(eventOf(t, r, "kept").ID)
		left(t, r, 2)
		require.Equal(t, []string{"kept"}, r.Texts())
		loses(t, r, 2)
	})
	t.Run("its beginning, before what came late", func(t *testing.T) {
		r := started(t)
		r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "gone")
		r.Quiet()
		fromThen(r, 1, then)
		r.HS.Purge(eventOf(t, r, "then 0").ID)
		left(t, r, 1)
		loses(t, r, 1)
	})
	t.Run("a retention that it does not tell", func(t *testing.T) {
		r := started(t)
		fromThen(r, 3, then)
		r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "kept")
		r.Quiet()
		r.HS.SetLifetime(24*time.Hour, false)
		r.HS.Purge(eventOf(t, r, "then 1").ID)
		left(t, r, 3)
		loses(t, r, 3)
	})
	t.Run("all of it", func(t *testing.T) {
		r := started(t)
		fromThen(r, 3, then)
		r.HS.SetLifetime(24*time.Hour, false)
		r.HS.Purge(eventOf(t, r, "then 1").ID)
		left(t, r, 3)
	})
}

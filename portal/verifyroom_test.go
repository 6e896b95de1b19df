package portal_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// fromThen brings messages of a time to the room, as a history or a backlog does.
func fromThen(t *testing.T, r *portaltest.Rig, n int, then time.Time) {
	t.Helper()
	var msgs []teams.Message
	for i := range n {
		at := then.Add(time.Duration(i) * time.Second).Truncate(time.Millisecond)
		msgs = append(msgs, teams.Message{
			Channel: portaltest.Channel, ID: strconv.FormatInt(at.UnixMilli(), 10), ETag: at.UnixMilli(), Type: teams.TypeMessage,
			Created: at, Modified: at, Importance: "normal", BodyType: teams.BodyHTML, Body: fmt.Sprint("then ", i),
			From: teams.Identity{ID: portaltest.Dave, DisplayName: "Dave", Kind: "user"},
		})
	}
	require.NoError(t, r.Ingest.Accept(context.Background(), teams.SourceHistory, msgs))
	r.Quiet()
}

// What the bridge brings to a room late bears the time that it has in Teams. A
// heap of it hides nothing that stands before it.
func TestVerifyReadsPastWhatCameLate(t *testing.T) {
	r := started(t)
	r.Secretly(portaltest.AliceMXID, event.EventMessage, map[string]any{"msgtype": "m.text", "body": "lost"})
	fromThen(t, r, 150, time.Now().Add(-72*time.Hour))
	mends(t, r, portal.MissingInTeams)
	require.Equal(t, []string{"lost"}, r.TeamsTexts())
}

// A room with nothing but what came from Teams is read as far as is asked for, and
// not to its beginning.
func TestVerifyReadsNoFurtherThanAsked(t *testing.T) {
	ctx := context.Background()
	r := started(t)
	fromThen(t, r, 200, time.Now().Add(-72*time.Hour))
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

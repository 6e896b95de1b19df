package portal_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// inGerman starts a rig that speaks German, in a zone of its own.
func inGerman(t *testing.T, tune ...func(r *portaltest.Rig)) *portaltest.Rig {
	t.Helper()
	x, err := texts.For("de", time.FixedZone("", 9*3600))
	require.NoError(t, err)
	return started(t, append(tune, func(r *portaltest.Rig) { r.Says = x })...)
}

// Rooms and Teams are told in the language that is set; the database and the
// metrics keep their names for reasons.
func TestWhatTheBridgeSaysIsInItsLanguage(t *testing.T) {
	t.Run("refused by Teams", func(t *testing.T) {
		r := inGerman(t)
		refuseAlice(r)
		bad := r.Say(portaltest.AliceMXID, "poison")
		r.Quiet()
		require.Equal(t, []string{"⚠️ Ihre Nachricht wurde nicht übertragen: Teams hat es abgelehnt"}, answers(r, bad))
		row, err := r.DB.Outbox.ByEvent(context.Background(), bad.String())
		require.NoError(t, err)
		require.Equal(t, "Teams refused it", row.Detail)
		all := r.HS.Statuses(bad)
		require.Equal(t, event.MessageStatusFail, all[len(all)-1].Status)
		require.Equal(t, "Teams hat es abgelehnt", all[len(all)-1].Message)
	})
	t.Run("refused at once", func(t *testing.T) {
		r := inGerman(t)
		e := r.Say(portaltest.AliceMXID, "hello")
		r.Quiet()
		bad := r.React(portaltest.AliceMXID, e, "no emoji")
		r.Quiet()
		all := r.HS.Statuses(bad)
		require.NotEmpty(t, all)
		require.Equal(t, "diese Reaktion gibt es in Teams nicht: Teams nimmt als Reaktion nur Emojis an", all[len(all)-1].Message)
	})
	t.Run("deleted in Teams", func(t *testing.T) {
		r := inGerman(t)
		r.Tenant.SetChanged(nil)
		root := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "secret")
		reply := r.Tenant.Post(portaltest.Channel, root.ID, portaltest.Dave, "reply")
		root = r.Tenant.Change(portaltest.Channel, root.ID, portaltest.SetDeleted())
		require.NoError(t, r.Ingest.Accept(context.Background(), "export", []teams.Message{root, reply}))
		r.Quiet()
		require.Equal(t, "Diese Nachricht wurde in Teams gelöscht.", r.HS.Messages(r.Room)[0].Text())
	})
	t.Run("late", func(t *testing.T) {
		r := inGerman(t, func(r *portaltest.Rig) {
			r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) { out.LateAfter = time.Nanosecond }
		})
		r.Say(portaltest.AliceMXID, "hello")
		r.Quiet()
		said := strings.Join(r.TeamsTexts(), "\n")
		require.Contains(t, said, "(geschrieben am ")
		require.Contains(t, said, "+09:00)")
	})
}

package portal_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// TestEditBackInTeams: a message from Teams is edited in Matrix, and in Teams back
// to what it said before. The bridge hears of both together: the room shows what
// Teams says, also where only a format differs, with its pictures, and once.
//
// Proves T4.
func TestEditBackInTeams(t *testing.T) {
	for name, to := range map[string]map[string]any{"words": portaltest.Text("mine"), "format": formatted("theirs", "<b>theirs</b>")} {
		for _, before := range []string{"posted", "edited"} {
			t.Run(name+" "+before, func(t *testing.T) {
				r := started(t)
				r.Tenant.AddImage(pictureURL(0), []byte("png"))
				m := r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, "<p>theirs</p>"+pictureTag(0))
				r.Quiet()
				if before == "edited" {
					r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText("<p>theirs</p>"+pictureTag(0)+" "))
					r.Quiet()
				}
				e := r.HS.Messages(r.Room)[0].ID
				for n := range 3 {
					first := stands(r)
					r.Tenant.SetChanged(nil)
					r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Dave, "👍"))
					liked := stands(r)
					editTo(r, portaltest.AliceMXID, e, to)
					r.Quiet()
					// Listings from before the edit change nothing.
					had := edits(r, e)
					for _, older := range []teams.Message{liked, first} {
						accept(t, r, older)
						r.Quiet()
						require.Equal(t, had, edits(r, e))
						require.Equal(t, to["body"], bodies(r)[0])
					}
					if n == 1 {
						r.Restart()
						r.Tenant.SetChanged(nil)
					}
					r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText(first.Body))
					for range 2 {
						accept(t, r, stands(r))
						r.Quiet()
						require.Equal(t, "theirs", bodies(r)[0])
						require.Equal(t, had+1, edits(r, e))
						require.Equal(t, []string{"plan 0"}, beside(r, e))
						html, _ := r.HS.Messages(r.Room)[0].Content["formatted_body"].(string)
						require.NotContains(t, html, "<b>")
					}
					r.Tenant.Change(portaltest.Channel, m.ID, portaltest.DropReaction(portaltest.Dave, "👍"))
					accept(t, r, stands(r))
					r.Quiet()
				}
			})
		}
	}
}

// TestEditsBackCross: the message is edited in Teams to and back while the edit from
// Matrix is on its way, so that Teams carries that out last, or first.
//
// Proves M4 and T4.
func TestEditsBackCross(t *testing.T) {
	for _, last := range []string{"Matrix", "Teams"} {
		r := started(t)
		m := r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, "theirs")
		r.Quiet()
		e := r.HS.Messages(r.Room)[0].ID
		hold := make(chan struct{})
		r.Tenant.SetWrites(func(w portaltest.Write) (f portaltest.Fault) {
			if w.Op == "edit" {
				f.Hold = hold
			}
			return f
		})
		r.Tenant.SetChanged(nil)
		toAndFro := func() {
			for _, text := range []string{"other", "theirs"} {
				r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText(text))
			}
			accept(t, r, stands(r))
		}
		if last == "Matrix" {
			toAndFro()
		}
		r.Edit(portaltest.AliceMXID, e, "mine")
		r.Eventually(func() bool { return strings.Contains(stands(r).Body, "mine") })
		if last == "Teams" {
			toAndFro()
		}
		time.Sleep(20 * time.Millisecond)
		close(hold)
		r.Quiet()
		accept(t, r, stands(r))
		r.Quiet()
		want := map[string]string{"Matrix": "mine", "Teams": "theirs"}[last]
		require.Equal(t, []string{want}, r.TeamsTexts())
		require.Equal(t, []string{want}, r.Texts())
	}
}

// TestEditBackThroughACrash crashes after each statement of such a delivery.
//
// Proves T4.
func TestEditBackThroughACrash(t *testing.T) {
	run := func(t *testing.T, at int) (statements int) {
		r := started(t, func(r *portaltest.Rig) { r.Fast = true })
		m := r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, "theirs")
		r.Quiet()
		e := last(t, r).ID
		r.Tenant.SetChanged(nil)
		editTo(r, portaltest.AliceMXID, e, portaltest.Text("mine"))
		r.Quiet()
		r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText("theirs"))
		r.CountFromHere()
		if at > 0 {
			r.CrashIn(at)
		}
		_ = r.Ingest.Accept(context.Background(), "list", []teams.Message{stands(r)})
		r.Eventually(func() bool { return r.Crashed() || !r.Crashing() && r.Ingest.Busy()+r.Sender.Busy() == 0 })
		statements = r.Statements()
		if at > 0 {
			r.Recover()
			accept(t, r, stands(r))
		}
		r.Quiet()
		require.Equal(t, []string{"theirs"}, r.Texts(), at)
		require.Equal(t, 1, edits(r, e), at)
		return statements
	}
	total := run(t, 0)
	for at := 1; at <= total; at += 2 {
		run(t, at)
	}
}

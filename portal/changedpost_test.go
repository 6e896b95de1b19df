package portal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// inDoubtWhile has somebody post a message whose answer is cut, and things happen
// while the bridge can't read Teams and nobody tells it of them. made says if Teams
// took the post. What there is then is read before the bridge may look for the post,
// or after.
func inDoubtWhile(t *testing.T, by id.UserID, text string, made, readFirst bool, happen func(r *portaltest.Rig)) (r *portaltest.Rig, e id.EventID) {
	t.Helper()
	r = started(t)
	r.Tenant.SetChanged(nil)
	r.Tenant.SetReads(func(portaltest.Read) error { return portaltest.ErrUnavailable })
	fault := portaltest.Fault{Refuse: portaltest.ErrAmbiguous}
	if made {
		fault = portaltest.Fault{Lose: portaltest.ErrAmbiguous}
	}
	r.Tenant.SetFault(onPosts(func(n int) portaltest.Fault {
		if n == 1 {
			return fault
		}
		return portaltest.Fault{}
	}))
	e = r.Say(by, text)
	r.Eventually(func() bool { return r.Counts.Get(portal.MetricDoubt, "unknown") > 0 })
	happen(r)
	if readFirst {
		accept(t, r, r.Tenant.Messages(portaltest.Channel)...)
		r.Eventually(func() bool { return r.Counts.Get(portal.MetricIngestRetry, "in doubt") > 0 || r.Ingest.Busy() == 0 })
	}
	r.Tenant.SetReads(nil)
	r.Quiet()
	accept(t, r, r.Tenant.Messages(portaltest.Channel)...)
	r.Quiet()
	return r, e
}

// first changes the first message of the channel.
func first(change func(m *teams.Message, at time.Time)) func(r *portaltest.Rig) {
	return func(r *portaltest.Rig) {
		r.Tenant.Change(portaltest.Channel, r.Tenant.Messages(portaltest.Channel)[0].ID, change)
	}
}

// TestEditedWhileInDoubt: a post whose answer was cut is edited in Teams before
// the bridge can look for it. It is there once, and the edit shows in Matrix.
//
// Proves M4.
func TestEditedWhileInDoubt(t *testing.T) {
	for _, by := range []id.UserID{portaltest.AliceMXID, portaltest.BobMXID} {
		for _, readFirst := range []bool{false, true} {
			r, e := inDoubtWhile(t, by, "we met at teh station", true, readFirst, func(r *portaltest.Rig) {
				m := r.Tenant.Messages(portaltest.Channel)[0]
				first(portaltest.SetText(strings.Replace(m.Body, "teh", "the", 1)))(r)
			})
			require.Len(t, r.TeamsTexts(), 1)
			require.Contains(t, r.TeamsTexts()[0], "we met at the station")
			require.Equal(t, 1, r.Counts.Get(portal.MetricDoubt, "changed"))
			require.Equal(t, event.MessageStatusSuccess, lastStatus(r, e))
			shown := strings.Join(r.Texts(), "\n")
			require.Contains(t, shown, "we met at the station")
			require.Equal(t, 1, strings.Count(shown, "we met at the station"))
		}
	}
}

// TestDeletedWhileInDoubt: what was deleted in Teams does not come back. A post of
// the relay's can't be anything else.
//
// Proves M4.
func TestDeletedWhileInDoubt(t *testing.T) {
	for _, readFirst := range []bool{false, true} {
		r, e := inDoubtWhile(t, portaltest.BobMXID, "not here", true, readFirst, first(portaltest.SetDeleted()))
		require.Empty(t, liveTexts(r))
		require.True(t, r.HS.Event(e).Redacted)
	}
}

// TestNativeMessageBesideADoubt: a person writes in Teams with the account whose
// post is in doubt, and edits or deletes that. It is not taken for the post: it
// comes to Matrix, and the post is made again.
//
// Proves T1 and M1.
func TestNativeMessageBesideADoubt(t *testing.T) {
	native := func(text, edited string) func(r *portaltest.Rig) {
		return func(r *portaltest.Rig) {
			m := r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, text)
			r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText(edited))
		}
	}
	for _, readFirst := range []bool{false, true} {
		r, e := inDoubtWhile(t, portaltest.AliceMXID, "lunch at noon?", false, readFirst, native("the budget", "the new budget"))
		require.ElementsMatch(t, []string{"the new budget", "lunch at noon?"}, r.TeamsTexts())
		require.ElementsMatch(t, []string{"lunch at noon?", "the new budget"}, shownTexts(r))
		require.Equal(t, event.MessageStatusSuccess, lastStatus(r, e))

		// The post is there as it was made: that is it, whatever is like it.
		r, e = inDoubtWhile(t, portaltest.AliceMXID, "lunch at noon?", true, readFirst, native("lunch at noon", "lunch at noon!"))
		require.Equal(t, []string{"lunch at noon?", "lunch at noon!"}, r.TeamsTexts())
		require.Equal(t, []string{"lunch at noon?", "lunch at noon!"}, shownTexts(r))
		require.Equal(t, event.MessageStatusSuccess, lastStatus(r, e))
	}
	// Any two texts of a language have much in common.
	for _, edited := range []string{"dinner at noon?", "is lunch at noon or at one?"} {
		r, _ := inDoubtWhile(t, portaltest.AliceMXID, "lunch at noon?", false, false, native("dinner", edited))
		require.ElementsMatch(t, []string{edited, "lunch at noon?"}, r.TeamsTexts())
		require.ElementsMatch(t, []string{edited, "lunch at noon?"}, shownTexts(r))
	}
	// Both were edited: the one that is more like it is it.
	r, e := inDoubtWhile(t, portaltest.AliceMXID, "lunch at noon?", true, false, func(r *portaltest.Rig) {
		native("dinner at noon", "dinner at noon, or not")(r)
		first(portaltest.SetText("lunch at noon!"))(r)
	})
	require.Equal(t, []string{"lunch at noon!", "dinner at noon, or not"}, r.TeamsTexts())
	require.ElementsMatch(t, []string{"lunch at noon!", "dinner at noon, or not"}, shownTexts(r))
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, e))
}

// liveTexts returns what Teams shows.
func liveTexts(r *portaltest.Rig) (out []string) {
	for _, m := range r.Tenant.Messages(portaltest.Channel) {
		if m.Deleted.IsZero() {
			out = append(out, portaltest.Plain(m.Body))
		}
	}
	return out
}

// shownTexts returns what the room shows, but for what the bot says.
func shownTexts(r *portaltest.Rig) (out []string) {
	for _, e := range r.HS.Messages(r.Room) {
		if e.Sender != portaltest.BotID {
			out = append(out, e.Text())
		}
	}
	return out
}

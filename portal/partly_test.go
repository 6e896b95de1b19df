package portal_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
)

// partly has a long message refused for good after its first post.
func partly(t *testing.T) (r *portaltest.Rig, e id.EventID) {
	t.Helper()
	r = started(t)
	r.Tenant.SetFault(onPosts(func(n int) portaltest.Fault {
		if n == 2 {
			return portaltest.Fault{Refuse: portaltest.ErrBadRequest}
		}
		return portaltest.Fault{}
	}))
	e = r.Say(portaltest.AliceMXID, "it begins. "+strings.Repeat("much more of it ", 5000))
	r.Quiet()
	require.Len(t, liveTexts(r), 1)
	require.Equal(t, event.MessageStatusFail, lastStatus(r, e))
	require.Len(t, answers(r, e), 1)
	require.Contains(t, answers(r, e)[0], "Only a part of your message is in Teams (part 1)")
	return r, e
}

// What Teams has a part of can be deleted and edited, though the rest was refused.
//
// Proves M1.
func TestChangesOfWhatIsPartlyInTeams(t *testing.T) {
	r, e := partly(t)
	r.Redact(portaltest.AliceMXID, e)
	r.Quiet()
	require.Empty(t, liveTexts(r))

	r, e = partly(t)
	edit := r.Edit(portaltest.AliceMXID, e, "it is short")
	r.Quiet()
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, edit))
	require.Equal(t, []string{"it is short"}, liveTexts(r))
	liked := r.React(portaltest.AliceMXID, e, "👍")
	r.Quiet()
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, liked))
	require.Len(t, r.Tenant.Messages(portaltest.Channel)[0].Reactions, 1)
}

// A reaction whose answer got lost, and that is refused then, can be taken back.
//
// Proves M1.
func TestTakingBackAReactionThatIsThereAllTheSame(t *testing.T) {
	r := started(t)
	e := r.Say(portaltest.BobMXID, "hello")
	r.Quiet()
	n := 0
	r.Tenant.SetFault(func(op, _ string) (f portaltest.Fault) {
		if op != "react" {
			return f
		}
		if n++; n == 1 {
			return portaltest.Fault{Lose: portaltest.ErrAmbiguous}
		}
		return portaltest.Fault{Refuse: portaltest.ErrBadRequest}
	})
	made := r.React(portaltest.BobMXID, e, "👍")
	r.Eventually(func() bool { return lastStatus(r, made) == event.MessageStatusFail })
	r.Quiet()
	require.Equal(t, 1, r.Counts.Get(portal.MetricFailed, "bad request"))
	require.Len(t, r.Tenant.Messages(portaltest.Channel)[0].Reactions, 1)
	r.Redact(portaltest.BobMXID, made)
	r.Quiet()
	require.Empty(t, r.Tenant.Messages(portaltest.Channel)[0].Reactions)
}

// Who wrote what Teams has a part of is told so when it is dropped, however much is
// dropped with it.
func TestDroppedPartInTeamsIsTold(t *testing.T) {
	r, e := partly(t)
	r.Tenant.SetFault(func(string, string) portaltest.Fault { return portaltest.Fault{Refuse: portaltest.ErrBadRequest} })
	events := []id.EventID{e}
	for i := range 5 {
		events = append(events, r.Say(portaltest.AliceMXID, fmt.Sprint("refused ", i)))
	}
	r.Quiet()
	var ids []int64
	for _, event := range events {
		row, err := r.DB.Outbox.ByEvent(t.Context(), event.String())
		require.NoError(t, err)
		require.Equal(t, database.StateParked, row.State)
		ids = append(ids, row.ID)
	}
	before := len(answers(r, e))
	n, err := r.DB.Outbox.DropAll(t.Context(), ids, portal.ReasonDropped, portal.DetailDropped)
	require.NoError(t, err)
	require.EqualValues(t, len(ids), n)
	r.Sender.Tell()
	r.Eventually(func() bool {
		untold, err := r.DB.Outbox.Untold(t.Context(), 0, 10)
		return err == nil && len(untold) == 0
	})
	said := answers(r, e)
	require.Len(t, said, before+1)
	require.Contains(t, said[before], "Only a part of your message is in Teams (part 1)")
	together := 0
	for _, m := range r.HS.Messages(r.Room) {
		if strings.Contains(m.Text(), "took 5 messages out of the queue") {
			together++
		}
	}
	require.Equal(t, 1, together, "of the others the room is told together")
}

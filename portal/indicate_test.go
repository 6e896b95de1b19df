package portal_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal/portaltest"
)

// TestEverybodyBehindIsTold: however many messages wait, each shows as queued, once,
// and what comes back shows so again.
//
// Proves M5.
func TestEverybodyBehindIsTold(t *testing.T) {
	const many = 450 // more than two batches
	r := marking(t)
	r.Start()
	over := outage(r)
	var events []id.EventID
	for i := range many {
		events = append(events, r.Say(portaltest.AliceMXID, fmt.Sprint("m", i)))
	}
	told := func(e id.EventID) int {
		n := 0
		for _, st := range r.HS.Statuses(e) {
			if st.Status == event.MessageStatusPending {
				n++
			}
		}
		return n
	}
	all := func() bool {
		for _, e := range events {
			if told(e) == 0 {
				return false
			}
		}
		return true
	}
	r.Eventually(all)
	r.Eventually(func() bool { return len(marksOf(r, events[many-1])) == 1 }, "and the newest are marked")
	before := told(events[0]) + told(events[many-1])
	r.Restart()
	late := r.Say(portaltest.AliceMXID, "later")
	r.Eventually(func() bool { return told(late) > 0 })
	require.Equal(t, before, told(events[0])+told(events[many-1]), "nobody is told twice, not after a restart either")
	over()
	r.Quiet()
	require.Len(t, r.TeamsTexts(), many+1)
}

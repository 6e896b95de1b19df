package portal_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teamsbridge/portal/portaltest"
)

// The bridge stops while the framework has events in hand: they come to nothing,
// and the next one brings them, once and in order.
func TestStopWithEventsInHand(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) { r.Fast = true })
	first := r.Say(portaltest.AliceMXID, "message 0")
	r.Quiet()
	var want []string
	for i := range 12 {
		want = append(want, fmt.Sprint("message ", i+1))
		r.Say(portaltest.AliceMXID, want[i])
		r.Edit(portaltest.AliceMXID, first, fmt.Sprint("first ", i+1))
		r.Restart()
	}
	last := r.Say(portaltest.BobMXID, "taken back")
	r.Quiet()
	r.Redact(portaltest.BobMXID, last)
	r.Restart()
	r.Quiet()
	got := r.TeamsTexts()
	for i := range got {
		got[i] = strings.TrimSpace(got[i])
	}
	require.Equal(t, append([]string{"first 12"}, want...), got)
}

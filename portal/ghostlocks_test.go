package portal_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// People who were never seen before speak in several channels at once: their
// names are set once. What it proves needs the race detector.
func TestNewPeopleSpeakInManyChannels(t *testing.T) {
	channels := []teams.ChannelRef{portaltest.Channel}
	for i := range 7 {
		channels = append(channels, teams.ChannelRef{TeamID: "team", ChannelID: fmt.Sprintf("19:more%d@thread.tacv2", i)})
	}
	r := started(t, func(r *portaltest.Rig) { r.Fast, r.Channels = true, channels })
	const people = 20
	for i := range people {
		for _, ch := range channels {
			r.Tenant.Post(ch, "", fmt.Sprintf("new%d", i), "<p>hello</p>")
		}
	}
	r.Quiet()
	for _, ch := range channels {
		require.Len(t, r.HS.Messages(r.RoomOf(ch)), people)
	}
}

package portal_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/bridgev2"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
)

// Who is not to be in a room is there as a ghost: nothing that they say, change or
// delete in Teams goes through their own account, which would join the room. Who
// said something so is told, and is active.
func TestWhoLeftTheRoomIsAGhost(t *testing.T) {
	var mu sync.Mutex
	left, spoke := false, map[string]time.Time{}
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) {
			in.Speaks = func(_ context.Context, _ *bridgev2.Portal, userID string) bool {
				mu.Lock()
				defer mu.Unlock()
				return !left || userID != portaltest.Alice
			}
			in.Spoke = func(portalID, userID string, at time.Time) {
				mu.Lock()
				defer mu.Unlock()
				require.Equal(t, r.Portal(), portalID)
				spoke[userID] = at
			}
		}
	})
	own := r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, "while I was in")
	gone := r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, "to be deleted")
	r.Quiet()
	require.Equal(t, portaltest.AliceMXID, last(t, r).Sender)
	require.Empty(t, spoke)
	mu.Lock()
	left = true
	mu.Unlock()
	before := len(r.HS.Events(r.Room))
	late := r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, "after I left")
	r.Tenant.Change(portaltest.Channel, late.ID, portaltest.AddReaction(portaltest.Alice, "like"))
	r.Tenant.Change(portaltest.Channel, own.ID, portaltest.SetText("changed"))
	r.Tenant.Change(portaltest.Channel, gone.ID, portaltest.SetDeleted())
	r.Quiet()
	events := r.HS.Events(r.Room)[before:]
	require.Len(t, events, 4, "the message, its reaction, and what the bot says of the other two")
	for _, e := range events {
		require.NotEqual(t, portaltest.AliceMXID, e.Sender, e.Type)
	}
	require.NotContains(t, r.Texts(), "to be deleted")
	require.Contains(t, r.Texts(), "after I left")
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, spoke, 1)
	require.WithinDuration(t, late.Created, spoke[portaltest.Alice], time.Hour)

	active, err := portal.ActiveSince(context.Background(), r.DB.Database, r.Bridge.ID, r.Portal(), late.Created.Add(-time.Hour))
	require.NoError(t, err)
	require.Equal(t, []string{portaltest.Alice}, active)
	active, err = portal.ActiveSince(context.Background(), r.DB.Database, r.Bridge.ID, r.Portal(), time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Empty(t, active)
}

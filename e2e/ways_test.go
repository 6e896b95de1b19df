package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

func polling(readers ...string) map[string]any {
	return map[string]any{"mode": "continuous", "interval": "1s", "readers": readers, "requests_per_second": 50}
}

// The ways in which messages come from Teams: each reader alone, the webhook
// alone (with and without resource data, tenant-wide and per channel), and all at once.
var ways = []struct {
	name    string
	network map[string]any
	tenant  teamstest.Options
	forbid  []teamstest.Op
}{
	{name: "export reader alone", network: map[string]any{"webhook": map[string]any{"enabled": false}, "poller": polling("export")}},
	{name: "delta reader alone", network: map[string]any{"webhook": map[string]any{"enabled": false}, "poller": polling("delta")}},
	{name: "list reader alone", network: map[string]any{"webhook": map[string]any{"enabled": false}, "poller": polling("list")}},
	{name: "webhook alone, tenant-wide with data", network: map[string]any{"webhook": map[string]any{"scope": "tenant", "resource_data": true}}},
	{name: "webhook alone, per channel without data", network: map[string]any{"webhook": map[string]any{"scope": "channel", "resource_data": false}}},
	{name: "webhook and reader at once", network: map[string]any{"poller": polling("export", "delta", "list")}},
}

// Whatever way a message comes: nothing missing, nothing twice, order and
// threads kept, edits, deletes and reactions included.
//
// Proves T2 and T3.
func TestEveryWayFromTeams(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			way.tenant.UnevenPages = true
			o := newOffice(t, stack.Options{Tenant: way.tenant, Settings: map[string]any{"network": way.network}})
			old := o.general.Post(o.ada, teamstest.Msg{HTML: "<p>old thread</p>"})
			o.run()
			ben := o.as(stack.Localpart(o.ben))
			room := o.room(ben, o.general)
			o.find(ben, room, "old thread", nil)

			people := []*teamstest.User{o.ada, o.ben, o.cleo}
			var roots []*teamstest.Message
			for i := range 30 {
				who := people[i%3]
				m := o.general.Post(who, teamstest.Msg{HTML: fmt.Sprintf("<p>post number %d</p>", i)})
				roots = append(roots, m)
				if i%3 == 1 {
					roots[i/2].Reply(people[(i+1)%3], teamstest.Msg{HTML: fmt.Sprintf("<p>reply number %d</p>", i)})
				}
				if i%5 == 4 {
					roots[i-1].Edit(teamstest.Msg{HTML: fmt.Sprintf("<p>post number %d, edited</p>", i-1)})
				}
				if i%7 == 6 {
					roots[i-3].React(people[(i+2)%3], "👍")
				}
				if i%11 == 10 {
					roots[i-2].Delete()
				}
			}
			// A reply to a thread that is deep below the newest posts.
			old.Reply(o.cleo, teamstest.Msg{HTML: "<p>late reply to the old thread</p>"})
			o.agree(o.general)

			// And once more after it was quiet, so that cursors have moved.
			roots[0].Reply(o.ada, teamstest.Msg{HTML: "<p>second round</p>"})
			roots[2].Edit(teamstest.Msg{HTML: "<p>post number 2, edited late</p>"})
			o.agree(o.general)
			list, err := o.entries(o.ctx, ben, room, func(e stack.Entry) bool { return e.MsgType == event.MsgText && e.Thread == "" })
			require.NoError(t, err)
			last := -1
			for _, e := range list {
				var n int
				if _, err := fmt.Sscanf(e.Body, "post number %d", &n); err == nil {
					require.Greater(t, n, last, "posts are out of order")
					last = n
				}
			}
			require.Empty(t, o.Tenant.Violations(teamstest.ViolationTokenLeak, teamstest.ViolationRepeatedWrite))
		})
	}
}

// A tenant that refuses delta to applications is read by the next reader.
func TestRefusedReaderFallsBack(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{Tenant: teamstest.Options{RefuseAppDelta: true},
		Settings: map[string]any{"network": map[string]any{"webhook": map[string]any{"enabled": false}, "poller": polling("delta", "list")}}})
	o.run()
	ben := o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)
	o.general.Post(o.ada, teamstest.Msg{HTML: "<p>through the list</p>"})
	o.find(ben, room, "through the list", nil)
	o.agree(o.general)
}

// Without double puppeting ghosts speak, with their names; with it the people.
func TestGhostsWithoutDoublePuppeting(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{NoDoublePuppet: true})
	o.ada.SetPhoto(picture(90), "image/png")
	o.run()
	ben := o.as(stack.Localpart(o.ben))
	// Nobody can join for him: he is invited and joins himself.
	since := ""
	o.until("an invitation, accepted", func(ctx context.Context) error {
		// From where the last answer ended: Synapse keeps a first sync's answer
		// for two minutes and would not show what came since.
		sync, err := ben.SyncRequest(ctx, 0, since, "", false, event.PresenceOffline)
		if err != nil {
			return err
		}
		since = sync.NextBatch
		for room := range sync.Rooms.Invite {
			if _, err := ben.JoinRoomByID(ctx, room); err != nil {
				return err
			}
		}
		_, err = stack.RoomOf(ctx, ben, o.general.ID)
		return err
	})
	room := o.room(ben, o.general)
	o.general.Post(o.ada, teamstest.Msg{HTML: "<p>spoken by a ghost</p>"})
	e := o.find(ben, room, "spoken by a ghost", nil)
	require.True(t, strings.HasPrefix(e.Sender.Localpart(), "teams_"), e.Sender)
	o.until("name and photo of the ghost", func(ctx context.Context) error {
		profile, err := ben.GetProfile(ctx, e.Sender)
		if err != nil {
			return err
		}
		if !strings.Contains(profile.DisplayName, "Ada Lovelace") || profile.AvatarURL.IsEmpty() {
			return fmt.Errorf("profile is %+v", profile)
		}
		return nil
	})
}

package e2e

import (
	"fmt"
	"testing"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// A tenant whose export and tenant-wide subscription leave shared channels out,
// which Microsoft's documentation allows: nothing is lost, by either way.
func TestSharedChannelsThatTheTenantLeavesOut(t *testing.T) {
	t.Parallel()
	for name, network := range map[string]map[string]any{
		"export":  {"webhook": map[string]any{"enabled": false}, "poller": polling("export", "delta", "list")},
		"webhook": {"webhook": map[string]any{"scope": "tenant", "resource_data": true}},
	} {
		t.Run(name, func(t *testing.T) {
			tenant := teamstest.Options{ExportOmitsShared: true, Notify: teamstest.NotifyOptions{OmitShared: true}}
			o := newOffice(t, stack.Options{Tenant: tenant, Settings: map[string]any{"network": network}})
			joint := o.team.AddChannel(teamstest.ChannelSpec{DisplayName: "Joint", Kind: teamstest.Shared,
				Owners: []*teamstest.User{o.ada}, Members: []*teamstest.User{o.ben}})
			o.run()
			o.room(o.as(stack.Localpart(o.ben)), joint)
			o.agree(o.general, joint)
			for i := range 5 {
				root := joint.Post(o.ada, teamstest.Msg{HTML: fmt.Sprintf("<p>shared %d</p>", i)})
				root.Reply(o.ben, teamstest.Msg{HTML: fmt.Sprintf("<p>answer %d</p>", i)})
				o.general.Post(o.cleo, teamstest.Msg{HTML: fmt.Sprintf("<p>general %d</p>", i)})
			}
			o.agree(o.general, joint)
		})
	}
}

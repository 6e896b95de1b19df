package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// office is the small organisation that most tests use.
type office struct {
	*env
	ada, ben, cleo *teamstest.User
	team           *teamstest.Team
	general        *teamstest.Channel
}

// newOffice makes three people and one team; relay is the relay account.
func newOffice(t *testing.T, opts stack.Options) *office {
	t.Helper()
	e := start(t, opts)
	o := &office{env: e}
	o.ada = e.Tenant.AddUser(teamstest.UserSpec{DisplayName: "Ada Lovelace"})
	o.ben = e.Tenant.AddUser(teamstest.UserSpec{DisplayName: "Ben Okri"})
	o.cleo = e.Tenant.AddUser(teamstest.UserSpec{DisplayName: "Cleo Patra"})
	o.team = e.Tenant.AddTeam(teamstest.TeamSpec{DisplayName: "Engineering", Description: "We build things", Owners: []*teamstest.User{o.ada}, Members: []*teamstest.User{o.ben, o.cleo}})
	o.general = o.team.General()
	require.NoError(t, e.RegisterStaff(e.ctx))
	return o
}

func TestSmoke(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	root := o.general.Post(o.ada, teamstest.Msg{HTML: "<p>before the bridge</p>"})
	root.Reply(o.ben, teamstest.Msg{HTML: "<p>a reply before the bridge</p>"})
	o.run()
	ben := o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)
	o.until("history", func(ctx context.Context) error {
		list, err := o.entries(ctx, ben, room, func(e stack.Entry) bool { return e.MsgType == event.MsgText })
		if err != nil {
			return err
		}
		if len(list) != 2 || list[1].Thread != list[0].EventID {
			return fmt.Errorf("the room has %d messages", len(list))
		}
		return nil
	})
	o.general.Post(o.cleo, teamstest.Msg{HTML: "<p>live</p>"})
	o.until("a live message", func(ctx context.Context) error {
		list, err := o.entries(ctx, ben, room, func(e stack.Entry) bool { return e.Body == "live" })
		if err != nil || len(list) != 1 {
			return fmt.Errorf("%d messages: %w", len(list), err)
		}
		require.Equal(t, o.UserID(stack.Localpart(o.cleo)), list[0].Sender)
		return nil
	})
}

package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// With another encryption key the bridge starts, says what that costs, and gets
// its notifications again; the relay account has to sign in again.
func TestStartWithAnotherEncryptionKey(t *testing.T) {
	o := newOffice(t, stack.Options{})
	relay := o.Tenant.AddUser(teamstest.UserSpec{DisplayName: "Matrix Relay"})
	o.team.AddMember(o.ada, relay)
	require.NoError(t, o.RegisterStaff(o.ctx))
	o.run()
	bot := o.bot(o.Admin)
	o.signInAt(bot, relay, "relay login")
	ben := o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)
	o.general.Post(o.ada, teamstest.Msg{HTML: "<p>with the first key</p>"})
	o.find(ben, room, "with the first key", nil)
	o.Bridge.Stop()
	o.general.Post(o.ada, teamstest.Msg{HTML: "<p>in between</p>"})
	require.NoError(t, o.Bridge.Configure(map[string]any{"network": map[string]any{"encryption_key": "a key that nothing was sealed with"}}))
	o.run()

	bot.waitFor("encryption key does not open what was stored")
	bot.waitFor("Matrix.Relay@")
	o.find(ben, room, "in between", nil)
	o.general.Post(o.ada, teamstest.Msg{HTML: "<p>with the second key</p>"})
	o.find(ben, room, "with the second key", nil)
	_, err := ben.SendText(o.ctx, room, "waits for the relay")
	require.NoError(t, err)
	o.signInAt(bot, relay, "relay login")
	o.until("the message in Teams", func(context.Context) error {
		for _, m := range o.general.Messages() {
			if inOrder(m.Content, []string{"waits for the relay"}) == nil {
				return nil
			}
		}
		return fmt.Errorf("not among %d messages", len(o.general.Messages()))
	})
}

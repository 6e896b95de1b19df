package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/internal/stack"
)

// A homeserver that believes to have told, as Synapse may after a failure, is
// asked after the next trouble, here a kill: what it did not tell is in Teams
// within a minute, once.
func TestWhatTheHomeserverDidNotTell(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	o.runRelayed(o.ada)
	ada, ben := o.as(stack.Localpart(o.ada)), o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)
	o.room(ada, o.general)
	said := func(want ...string) func(context.Context) error {
		return func(context.Context) error {
			for _, text := range want {
				n := 0
				for _, m := range o.general.Messages() {
					n += strings.Count(m.Content, text)
				}
				if n != 1 {
					return fmt.Errorf("%q is there %d times", text, n)
				}
			}
			return nil
		}
	}
	say := func(text string) {
		_, err := ben.SendText(o.ctx, room, text)
		require.NoError(t, err)
	}
	say("told at first")
	o.until("the first message in Teams", said("told at first"))
	// The position that is looked back to is taken by now, or soon.
	require.NoError(t, o.Bridge.WaitLog(o.ctx, testLimit, "Knows since when to look for what the homeserver does not tell"))

	var swallowed atomic.Int64
	o.Inbound.Fail(func(r *http.Request) stack.ProxyFault {
		if strings.Contains(r.URL.Path, "/transactions/") {
			swallowed.Add(1)
			return stack.ProxySwallow
		}
		return stack.ProxyPass
	})
	say("never told, one")
	say("never told, two")
	o.until("the transactions swallowed", func(context.Context) error {
		if swallowed.Load() == 0 {
			return fmt.Errorf("none yet")
		}
		return nil
	})
	// Whatever else the homeserver sends of these two is gone with the bridge.
	o.Bridge.Kill()
	o.Inbound.Fail(nil)
	o.run()
	say("told at last")
	o.within(2*time.Minute, "everything in Teams", said("told at first", "never told, one", "never told, two", "told at last"))
}

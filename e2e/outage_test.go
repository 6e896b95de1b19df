package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// Graph down at start: the bridge starts, says so, and mirrors when Graph comes.
//
// Proves S1.
func TestGraphDownAtStart(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	o.Tenant.Down(teamstest.DownRefuse)
	o.run()
	bot := o.bot(o.Admin)
	bot.send("status")
	bot.waitFor("not reachable", "unavailable", "unreachable", "does not answer", "down")
	require.NoError(t, o.Tenant.Up())
	o.general.Post(o.ada, teamstest.Msg{HTML: "<p>Graph is here</p>"})
	ben := o.as(stack.Localpart(o.ben))
	o.find(ben, o.room(ben, o.general), "Graph is here", nil)
}

// Homeserver down at start: what Teams announces meanwhile is kept, and comes
// when the homeserver does.
//
// Proves S1 and T1.
func TestHomeserverDownAtStart(t *testing.T) {
	t.Parallel()
	if stackIsSynapse() {
		t.Skip("the program that starts Synapse makes a new, empty one each time; Dendrite shows this")
	}
	o := newOffice(t, stack.Options{})
	o.run()
	ben := o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)
	o.quiet()
	o.Bridge.Stop()
	o.Homeserver.Stop()
	require.NoError(t, o.Bridge.Start())
	// The intake answers although the homeserver is away.
	o.until("the webhook listener", func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/healthz", o.Bridge.WebhookPort), nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
	o.general.Post(o.ada, teamstest.Msg{HTML: "<p>said while the homeserver was away</p>"})
	require.NoError(t, o.Homeserver.Start(o.ctx))
	require.NoError(t, o.Bridge.WaitReady(o.ctx))
	o.find(ben, room, "said while the homeserver was away", nil)
	o.agree(o.general)
}

// People go on in Matrix while Teams is away; afterwards Teams has all of it,
// once and in order, with threads, edits and reactions.
//
// Proves S1 and S4.
func TestTalkGoesOnWhileTeamsIsDown(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	o.runRelayed(o.ada)
	ada, ben := o.as(stack.Localpart(o.ada)), o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)
	o.room(ada, o.general)

	o.Tenant.Down(teamstest.DownUnavailable)
	root, err := ben.SendText(o.ctx, room, "Teams seems to be down")
	require.NoError(t, err)
	for i := range 5 {
		cli := ada
		if i%2 == 0 {
			cli = ben
		}
		o.replyTo(cli, room, root.EventID, fmt.Sprintf("offline reply %d", i))
	}
	typo, err := ada.SendText(o.ctx, room, "offlien")
	require.NoError(t, err)
	o.edit(ada, room, typo.EventID, "offline, spelled right")
	_, err = ada.SendReaction(o.ctx, room, root.EventID, "👍")
	require.NoError(t, err)
	gone, err := ben.SendText(o.ctx, room, "never mind this one")
	require.NoError(t, err)
	_, err = ben.RedactEvent(o.ctx, room, gone.EventID)
	require.NoError(t, err)

	require.NoError(t, o.Tenant.Up())
	o.within(2*time.Minute, "Teams has what was said", func(context.Context) error {
		for _, m := range o.general.Messages() {
			if m.Event == "" && len(m.Replies) == 5 {
				return nil
			}
		}
		return errors.New("not yet")
	})
	o.agree(o.general)
	for _, m := range o.general.Messages() {
		require.NotContains(t, m.Content, "never mind this one")
		require.NotContains(t, m.Content, "offlien")
	}
	require.Empty(t, o.Tenant.Violations(teamstest.ViolationEarly, teamstest.ViolationRepeatedWrite))
}

// kill -9 in the middle of a burst in each direction: nothing lost, nothing twice.
//
// Proves M1, M4 and T3.
func TestKillInTheMiddleOfABurst(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	o.runRelayed(o.ada)
	ada, ben := o.as(stack.Localpart(o.ada)), o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)
	o.room(ada, o.general)

	fromMatrix := func() int {
		n := 0
		for _, m := range o.general.Messages() {
			if strings.Contains(m.Content, "from Matrix") {
				n++
			}
		}
		return n
	}
	const rounds, down, up = 4, 25, 12
	for round := range rounds {
		done := make(chan error, 2)
		before := fromMatrix()
		go func() {
			for i := range down {
				o.general.Post(o.cleo, teamstest.Msg{HTML: fmt.Sprintf("<p>from Teams %d in round %d</p>", i, round)})
			}
			done <- nil
		}()
		go func() {
			for i := range up {
				cli := ada
				if i%2 == 1 {
					cli = ben
				}
				if _, err := cli.SendText(o.ctx, room, fmt.Sprintf("from Matrix %d in round %d", i, round)); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		// The instant differs from round to round and is tied to how much has
		// arrived, so that both directions are under way.
		o.until("the burst under way", func(context.Context) error {
			if n := fromMatrix() - before; n < round+1 {
				return fmt.Errorf("%d messages from Matrix", n)
			}
			return nil
		})
		o.Bridge.Kill()
		require.NoError(t, <-done)
		require.NoError(t, <-done)
		o.run()
	}
	o.within(3*time.Minute, "everything in Teams", func(context.Context) error {
		if n := fromMatrix(); n < rounds*up {
			return fmt.Errorf("%d of %d", n, rounds*up)
		}
		return nil
	})
	o.agree(o.general)
	require.Empty(t, o.Tenant.Violations(teamstest.ViolationRepeatedWrite))
}

func (o *office) replyTo(cli sender, room id.RoomID, root id.EventID, body string) {
	o.t.Helper()
	require.NoError(o.t, sendThread(o.ctx, cli, room, root, body))
}

func (o *office) edit(cli sender, room id.RoomID, target id.EventID, body string) {
	o.t.Helper()
	require.NoError(o.t, sendEdit(o.ctx, cli, room, target, body))
}

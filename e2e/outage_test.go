package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
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
// once and in order, with threads, edits and reactions. The room and the
// administrators are told of it, and of its end with a count, once.
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

	o.notice(ben, room, "Microsoft Teams is unavailable since")
	o.general.Post(o.cleo, teamstest.Msg{HTML: "<p>Matrix does not see this yet</p>"})

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
	over := o.notice(ben, room, "Microsoft Teams is available again")
	require.Contains(t, over, "Of the 8 messages that were written here meanwhile, 7 are in Teams")
	require.Contains(t, over, "1 was deleted before")
	// Its notification may have brought it while nothing could be read.
	require.Regexp(t, "From Teams, (nothing of that time is missing|1 message of that time came) here", over)
	said := o.bot(o.Admin).waitFor("Microsoft Teams is available again")
	require.Equal(t, 1, strings.Count(said, "Microsoft Teams is unavailable"), said)
	require.Equal(t, 1, strings.Count(said, "Microsoft Teams is available again"), said)
	o.notice(ben, room, "Microsoft Teams is unavailable since")
	for _, m := range o.general.Messages() {
		require.NotContains(t, m.Content, "never mind this one")
		require.NotContains(t, m.Content, "offlien")
	}
	require.Empty(t, o.Tenant.Violations(teamstest.ViolationEarly, teamstest.ViolationRepeatedWrite))
}

// A drill is to people as an outage is, and its report says who was there, who came
// and left, who is missing and why, and who is from outside.
//
// Proves S4.
func TestDrill(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	relay := o.Tenant.AddUser(teamstest.UserSpec{DisplayName: "Matrix Relay"})
	o.team.AddMember(o.ada, relay)
	o.team.AddMember(o.ada, o.Tenant.AddUser(teamstest.UserSpec{DisplayName: "Gil Guest", Guest: true}))
	dora := o.Tenant.AddUser(teamstest.UserSpec{DisplayName: "Dora Late"})
	require.NoError(t, o.RegisterStaff(o.ctx))
	o.run()
	o.signIn(relay, "relay login")
	ben, cleo := o.as(stack.Localpart(o.ben)), o.as(stack.Localpart(o.cleo))
	room := o.room(ben, o.general)
	o.room(o.as(stack.Localpart(o.ada)), o.general)
	o.room(cleo, o.general)
	bot := o.bot(o.Admin)

	bot.send("drill start Engineering 30")
	bot.waitFor("The drill for the team Engineering goes on until")
	o.until("the look at the start", func(context.Context) error {
		log, err := os.ReadFile(o.Bridge.LogPath())
		if err == nil && !strings.Contains(string(log), "Looked who is in the rooms of a drill") {
			err = errors.New("not yet")
		}
		return err
	})
	_, err := cleo.LeaveRoom(o.ctx, room)
	require.NoError(t, err)
	o.team.AddMember(o.ada, dora)
	o.room(o.as(stack.Localpart(dora)), o.general)
	visitor := o.as("visitor")
	_, err = o.application("registration.yaml", o.UserID("teamsbot")).InviteUser(o.ctx, room, &mautrix.ReqInviteUser{UserID: visitor.UserID})
	require.NoError(t, err)
	_, err = visitor.JoinRoomByID(o.ctx, room)
	require.NoError(t, err)
	_, err = ben.SendText(o.ctx, room, "written in a drill")
	require.NoError(t, err)
	o.notice(ben, room, "This is a drill.")
	for _, m := range o.general.Messages() {
		require.NotContains(t, m.Content, "written in a drill")
	}
	// Not Cleo: what somebody says in Teams brings their account back into the room.
	o.general.Post(o.ada, teamstest.Msg{HTML: "<p>Teams goes on</p>"})
	o.find(ben, room, "Teams goes on", nil)

	// A drill outlives the bridge that it was started in.
	o.Bridge.Kill()
	o.run()
	bot.send("status")
	bot.waitFor("**goes on**, for the team Engineering", "goes on, for the team Engineering")
	bot.send("drill end")
	o.inTeams(o.general, "written in a drill", nil)
	require.Contains(t, o.notice(ben, room, "The drill is over."), "The message that was written here meanwhile is in Teams")
	report := bot.waitFor("Report of the drill for the team Engineering")
	for _, want := range []string{"Written in Matrix meanwhile: 1 message in 1 room", "Delivered to Teams: 1",
		"People in 1 room: 3 at the start, 3 at the end; 1 came, 1 left", "Missing where they should be: 2; from outside the directory: 1",
		"Engineering/General: 3 at the start, 3 at the end, 1 came, 1 left, 2 missing, 1 from outside, 1 message written",
		"Cleo Patra (left), Dora Late (came)", visitor.UserID.String() + " (from outside)", "Cleo Patra (has left) – Engineering/General",
		"Gil Guest (has no Matrix account: guests are not mapped"} {
		require.Contains(t, report, want)
	}
	require.Equal(t, 1, strings.Count(report, "Report of the drill"), report)
	bot.send("drill report")
	o.until("the stored report", func(ctx context.Context) error {
		if n := strings.Count(bot.last(ctx), "Report of the drill"); n != 2 {
			return fmt.Errorf("it is there %d times", n)
		}
		return nil
	})
	for command, want := range map[string][]string{
		"drill report missing":            {"UTC: page 1 of 1", "Cleo Patra (has left)"},
		"drill report Engineering people": {"Engineering: page 1 of 1", "People in the rooms", "Dora Late (came)"},
		"drill report rooms 2":            {"There is no page 2"}, "drill report Nowhere": {"There is no team called"},
	} {
		bot.send(command)
		said := bot.waitFor(want[0])
		for _, want := range want {
			require.Contains(t, said, want)
		}
	}
	o.notice(ben, room, "This is a drill.")
	o.agree(o.general)
}

// notice waits for what the bot says in a room, which must be there once.
func (o *office) notice(cli *mautrix.Client, room id.RoomID, text string) (body string) {
	o.t.Helper()
	o.within(2*time.Minute, "the notice "+text, func(ctx context.Context) error {
		list, err := o.entries(ctx, cli, room, func(e stack.Entry) bool {
			return e.MsgType == event.MsgNotice && o.isBot(e.Sender) && strings.Contains(e.Body, text)
		})
		switch {
		case err != nil:
			return err
		case len(list) == 0:
			return errors.New("not yet")
		}
		require.Len(o.t, list, 1)
		body = list[0].Body
		return nil
	})
	return body
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
	o.agreeAfterAKill(o.general)
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

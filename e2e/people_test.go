package e2e

import (
	"context"
	"errors"
	"fmt"
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

func (o *office) notIn(cli *mautrix.Client, ch *teamstest.Channel) {
	o.t.Helper()
	o.until(fmt.Sprintf("%s out of %s", cli.UserID, ch.DisplayName()), func(ctx context.Context) error {
		if _, err := stack.RoomOf(ctx, cli, ch.ID); !errors.Is(err, stack.ErrNoRoom) {
			return errors.New("still in the room")
		}
		return nil
	})
}

// Staff who never signed in are in their rooms, and only there; joining,
// leaving, guests and private channels follow Teams.
//
// Proves S3.
func TestPeople(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	guest := o.Tenant.AddUser(teamstest.UserSpec{DisplayName: "Gil Guest", Guest: true})
	o.team.AddMember(o.ada, guest)
	dora := o.Tenant.AddUser(teamstest.UserSpec{DisplayName: "Dora Outside"})
	secret := o.team.AddChannel(teamstest.ChannelSpec{DisplayName: "Secret", Kind: teamstest.Private, Owners: []*teamstest.User{o.ada}, Members: []*teamstest.User{o.ben}})
	require.NoError(t, o.RegisterStaff(o.ctx))
	guestAccount := o.as("gil.guest")
	o.run()

	ada, ben, cleo := o.as(stack.Localpart(o.ada)), o.as(stack.Localpart(o.ben)), o.as(stack.Localpart(o.cleo))
	doraCli := o.as(stack.Localpart(dora))
	for _, cli := range []*mautrix.Client{ada, ben, cleo} {
		o.room(cli, o.general)
	}
	room := o.room(ben, secret)
	o.room(ada, secret)
	o.until("the space with its rooms", func(ctx context.Context) error { return o.spaceHolds(ctx, ben, o.team, o.general, secret) })

	for _, outsider := range []struct {
		cli *mautrix.Client
		ch  *teamstest.Channel
	}{{cleo, secret}, {doraCli, o.general}, {doraCli, secret}, {guestAccount, o.general}} {
		_, err := stack.RoomOf(o.ctx, outsider.cli, outsider.ch.ID)
		require.ErrorIs(t, err, stack.ErrNoRoom, "%s in %s", outsider.cli.UserID, outsider.ch.DisplayName())
	}
	members, err := ada.Members(o.ctx, o.room(ada, o.general))
	require.NoError(t, err)
	for _, evt := range members.Chunk {
		require.NotContains(t, strings.ToLower(evt.GetStateKey()), "gil", "the guest was invited")
	}

	t.Run("removed from a private channel", func(t *testing.T) {
		secret.RemoveMember(o.ada, o.ben)
		o.notIn(ben, secret)
		_, err := ben.SendText(o.ctx, room, "still here?")
		require.Error(t, err)
	})
	t.Run("joined and removed", func(t *testing.T) {
		o.team.AddMember(o.ada, dora)
		o.room(doraCli, o.general)
		o.team.RemoveMember(o.ada, dora)
		o.notIn(doraCli, o.general)
	})
	t.Run("renamed, described, new and deleted channels", func(t *testing.T) {
		o.general.Rename(o.ada, "Lobby")
		o.general.SetDescription(o.ada, "where everybody is")
		fresh := o.team.AddChannel(teamstest.ChannelSpec{DisplayName: "Fresh", By: o.ada})
		o.until("new name and topic", func(ctx context.Context) error {
			var name event.RoomNameEventContent
			if err := ada.StateEvent(ctx, o.room(ada, o.general), event.StateRoomName, "", &name); err != nil {
				return err
			}
			var topic event.TopicEventContent
			if err := ada.StateEvent(ctx, o.room(ada, o.general), event.StateTopic, "", &topic); err != nil {
				return err
			}
			if !strings.Contains(name.Name, "Lobby") || !strings.Contains(topic.Topic, "where everybody is") {
				return fmt.Errorf("it is %q, %q", name.Name, topic.Topic)
			}
			return nil
		})
		freshRoom := o.room(ada, fresh)
		fresh.Delete(o.ada)
		o.until("a notice, and the room stays", func(ctx context.Context) error {
			list, err := o.entries(ctx, ada, freshRoom, func(e stack.Entry) bool {
				return e.MsgType == event.MsgNotice && strings.Contains(e.Body, "deleted")
			})
			if err != nil || len(list) == 0 {
				return fmt.Errorf("%d notices: %w", len(list), err)
			}
			return nil
		})
		_, err := ada.SendText(o.ctx, freshRoom, "we go on here")
		require.NoError(t, err)
	})
}

// spaceHolds checks that the team's space names the channels' rooms as children.
func (o *office) spaceHolds(ctx context.Context, cli *mautrix.Client, team *teamstest.Team, channels ...*teamstest.Channel) error {
	space, err := stack.RoomOf(ctx, cli, team.ID)
	if err != nil {
		return err
	}
	state, err := cli.State(ctx, space)
	if err != nil {
		return err
	}
	if create := state[event.StateCreate][""]; create == nil || create.Content.Raw["type"] != "m.space" {
		return errors.New("the team's room is no space")
	}
	for _, ch := range channels {
		room, err := stack.RoomOf(ctx, cli, ch.ID)
		if err != nil {
			return err
		}
		if state[event.StateSpaceChild][room.String()] == nil {
			return fmt.Errorf("%s is not in the space", ch.DisplayName())
		}
	}
	return nil
}

// A second start finds everything as it left it: no room is made, no state
// written, and neither side is asked once per room.
func TestSecondStartChangesNothing(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	for i := range 20 {
		o.team.AddChannel(teamstest.ChannelSpec{DisplayName: fmt.Sprintf("Topic %d", i), By: o.ada})
	}
	for i := range 5 {
		o.team.AddChannel(teamstest.ChannelSpec{DisplayName: fmt.Sprintf("Closed %d", i), Kind: teamstest.Private, Owners: []*teamstest.User{o.ada}})
	}
	o.run()
	ada := o.as(stack.Localpart(o.ada))
	for _, ch := range o.team.Channels() {
		o.room(ada, ch)
	}
	o.quiet()
	o.Bridge.Stop()
	before := o.eventCounts(ada) // now that everybody has joined
	o.Proxy.Reset()
	o.Tenant.ResetRequests()
	o.run()
	// It has caught up when a new message comes through.
	o.general.Post(o.ben, teamstest.Msg{HTML: "<p>after the second start</p>"})
	o.find(ada, o.room(ada, o.general), "after the second start", nil)
	o.quiet()

	perRoom := map[string]int{}
	for _, r := range o.Proxy.Requests() {
		if r.Method == "GET" && strings.Contains(r.Path, "/versions") || strings.Contains(r.Path, "/send/") || strings.Contains(r.Path, "/receipt/") {
			continue
		}
		if strings.Contains(r.Path, "/rooms/") || strings.Contains(r.Path, "createRoom") {
			perRoom[r.Method+" "+r.Path]++
		}
	}
	require.Less(t, len(perRoom), 5, "requests about rooms: %v", perRoom)
	graph := o.Tenant.Requests(nil)
	require.Less(t, len(graph), 20, "requests to Graph: %d", len(graph))
	after := o.eventCounts(ada)
	for room, n := range before {
		if room != o.room(ada, o.general) {
			require.Equal(t, n, after[room], "events in %s", room)
		}
	}
}

// eventCounts counts all events of the user's rooms.
func (o *office) eventCounts(cli *mautrix.Client) map[id.RoomID]int {
	o.t.Helper()
	joined, err := cli.JoinedRooms(o.ctx)
	require.NoError(o.t, err)
	counts := map[id.RoomID]int{}
	for _, room := range joined.JoinedRooms {
		resp, err := cli.Messages(o.ctx, room, "", "", mautrix.DirectionBackward, nil, 500)
		require.NoError(o.t, err)
		counts[room] = len(resp.Chunk)
	}
	return counts
}

// quiet waits until the bridge has asked neither side anything for two seconds.
func (o *office) quiet() {
	o.t.Helper()
	last, since := -1, time.Now()
	o.within(60*time.Second, "quiet", func(context.Context) error {
		if n := len(o.Proxy.Requests()) + o.Tenant.CountRequests(nil); n != last {
			last, since = n, time.Now()
		}
		if time.Since(since) < 2*time.Second {
			return errors.New("still working")
		}
		return nil
	})
}

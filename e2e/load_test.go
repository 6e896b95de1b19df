package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// With the documented limits on: mirroring 200 channels, then a burst of 2,000
// messages each way. Nothing is lost or doubled, and no request is sent before
// an announced Retry-After is over.
func TestTwoHundredChannelsUnderLimits(t *testing.T) {
	if os.Getenv("TEAMSBRIDGE_E2E_LOAD") == "" {
		t.Skip("it takes minutes and both cores, and would slow the tests beside it down: set TEAMSBRIDGE_E2E_LOAD=1 to run it, as .ci/run does")
	}
	const teamsCount, perTeam, burst, relays = 4, 50, 2000, 20
	nobody := map[string]any{}
	for i := range relays {
		nobody[fmt.Sprintf("relay%d@contoso.example", i)] = ""
	}
	o := newOffice(t, stack.Options{Tenant: teamstest.Options{Limits: true, SignIn: teamstest.SignInOptions{DeviceInterval: time.Second}}, Settings: map[string]any{
		"network": map[string]any{"teams": map[string]any{"exclude": []string{"Engineering"}}, "mapping": map[string]any{"overrides": nobody}},
	}})
	var channels []*teamstest.Channel
	var pool []*teamstest.User
	for i := range relays {
		pool = append(pool, o.Tenant.AddUser(teamstest.UserSpec{DisplayName: fmt.Sprintf("Relay %d", i), UPN: fmt.Sprintf("relay%d@contoso.example", i)}))
	}
	for i := range teamsCount {
		team := o.Tenant.AddTeam(teamstest.TeamSpec{DisplayName: fmt.Sprintf("Team %d", i), Owners: []*teamstest.User{o.ada}, Members: append([]*teamstest.User{o.ben}, pool...)})
		for len(team.Channels()) < perTeam {
			team.AddChannel(teamstest.ChannelSpec{DisplayName: fmt.Sprintf("Channel %d-%d", i, len(team.Channels())), By: o.ada})
		}
		channels = append(channels, team.Channels()...)
	}
	began := time.Now()
	o.run()
	ben := o.as(stack.Localpart(o.ben))
	rooms := map[string]id.RoomID{}
	o.within(8*time.Minute, "200 rooms", func(ctx context.Context) error {
		joined, err := ben.JoinedRooms(ctx)
		if err != nil {
			return err
		}
		if len(joined.JoinedRooms) < teamsCount*perTeam+teamsCount {
			return fmt.Errorf("%d rooms", len(joined.JoinedRooms))
		}
		return nil
	})
	t.Logf("200 channels mirrored in %s", time.Since(began).Round(time.Millisecond))
	all, err := stack.RoomsOf(o.ctx, ben)
	require.NoError(t, err)
	for _, ch := range channels {
		require.NotEmpty(t, all[ch.ID], ch.DisplayName())
		rooms[ch.ID] = all[ch.ID]
	}
	for _, account := range pool {
		o.signIn(account, "relay login")
	}

	began = time.Now()
	send, ctx := errgroup.WithContext(o.ctx)
	send.Go(func() error {
		for i := range burst {
			channels[i%len(channels)].Post(o.ada, teamstest.Msg{HTML: fmt.Sprintf("<p>down %d</p>", i)})
		}
		return nil
	})
	for w := range 4 {
		send.Go(func() error {
			for i := w; i < burst; i += 4 {
				if _, err := ben.SendText(ctx, rooms[channels[i%len(channels)].ID], fmt.Sprintf("up %d", i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, send.Wait())
	t.Logf("burst said in %s", time.Since(began).Round(time.Millisecond))
	o.within(10*time.Minute, "all of it in Teams", func(context.Context) error {
		n := 0
		for _, ch := range channels {
			for _, m := range ch.Messages() {
				if strings.Contains(m.Content, "up ") {
					n++
				}
			}
		}
		if n < burst {
			return fmt.Errorf("%d of %d", n, burst)
		}
		return nil
	})
	t.Logf("all of it in Teams after %s", time.Since(began).Round(time.Millisecond))
	for _, ch := range channels {
		o.within(4*time.Minute, "agreement about "+ch.DisplayName(), func(ctx context.Context) error {
			entries, err := stack.Timeline(ctx, ben, rooms[ch.ID])
			if err != nil {
				return err
			}
			if a := stack.Compare(ch.Messages(), entries, o.isBot); len(a.Differences) > 0 {
				return errors.New(strings.Join(a.Differences, "\n"))
			}
			return nil
		})
	}
	t.Logf("both sides agree after %s", time.Since(began).Round(time.Millisecond))
	require.Empty(t, o.Tenant.Violations(teamstest.ViolationEarly), "requests before an announced Retry-After was over")
	require.Empty(t, o.Tenant.Violations(teamstest.ViolationRepeatedWrite))
	t.Logf("%d answers were 429", o.Tenant.CountRequests(func(r teamstest.Request) bool { return r.Status == 429 }))
}

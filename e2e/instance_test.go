package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database/databasetest"
	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// What the waiting instance writes to its log.
const (
	logWaits = "Another instance has the database; waiting for it to end"
	logTakes = "This instance has the database now"
)

// A second instance on the same database waits and does nothing: no request to the
// homeserver or Graph, and who calls it is told to come back. When the first is killed in the middle of
// a burst, it takes over within seconds, and nothing is lost or doubled.
func TestSecondInstanceWaits(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) { testSecondInstance(t, nil) })
	t.Run("PostgreSQL", func(t *testing.T) {
		testSecondInstance(t, map[string]any{"type": "postgres", "uri": databasetest.Postgres(t).URI(t)})
	})
}

func testSecondInstance(t *testing.T, database map[string]any) {
	settings := map[string]any{}
	if database != nil {
		settings["database"] = database
	}
	o := newOffice(t, stack.Options{Settings: settings})
	relay := o.Tenant.AddUser(teamstest.UserSpec{DisplayName: "Matrix Relay"})
	o.team.AddMember(o.ada, relay)
	require.NoError(t, o.RegisterStaff(o.ctx))
	o.run()
	o.signIn(relay, "relay login")
	ben := o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)
	say := func(text string, from, to int) {
		for i := from; i < to; i++ {
			o.general.Post(o.cleo, teamstest.Msg{HTML: fmt.Sprintf("<p>%s from Teams %d</p>", text, i)})
			_, err := ben.SendText(o.ctx, room, fmt.Sprintf("%s from Matrix %d", text, i))
			require.NoError(t, err)
		}
	}
	inTeams := func(text string) (n int) {
		for _, m := range o.general.Messages() {
			n += strings.Count(m.Content, text+" from Matrix")
		}
		return n
	}
	all := func(text string, want int) {
		o.within(2*time.Minute, text+" in Teams", func(context.Context) error {
			if n := inTeams(text); n != want {
				return fmt.Errorf("%d of %d", n, want)
			}
			return nil
		})
		o.agreeAfterAKill(o.general)
	}

	say("first", 0, 2)
	all("first", 2) // and with it every token that the first instance needs

	tokens := func() int {
		return o.Tenant.CountRequests(func(r teamstest.Request) bool { return r.Op == teamstest.OpToken })
	}
	before := tokens()
	second, toHomeserver := o.twin()
	require.NoError(t, second.Start())
	require.NoError(t, second.WaitLog(o.ctx, testLimit, logWaits))
	say("both", 0, 5)
	all("both", 5)
	require.Zero(t, toHomeserver.Connections(), "the waiting instance spoke to the homeserver")
	require.Equal(t, before, tokens(), "the waiting instance signed in to Graph")
	for _, port := range []int{second.Port, second.WebhookPort} {
		resp, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/", port), "application/json", nil)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
		require.NotEmpty(t, resp.Header.Get("Retry-After"))
	}

	say("burst", 0, 10)
	o.until("the burst under way", func(context.Context) error {
		if inTeams("burst") == 0 {
			return fmt.Errorf("nothing in Teams yet")
		}
		return nil
	})
	o.Bridge.Kill()
	for from, to := range map[int]int{o.Bridge.Port: second.Port, o.Bridge.WebhookPort: second.WebhookPort} {
		o.forward(from, fmt.Sprintf("127.0.0.1:%d", to))
	}
	require.NoError(t, second.WaitLog(o.ctx, testLimit, logTakes))
	say("burst", 10, 15)
	require.NoError(t, second.WaitReady(o.ctx))
	all("burst", 15)

	// The one that comes back waits in turn, and ends at once when it is told to.
	require.NoError(t, o.Bridge.Start())
	require.NoError(t, o.Bridge.WaitLog(o.ctx, testLimit, logWaits))
	began := time.Now()
	o.Bridge.Stop()
	require.Less(t, time.Since(began), 5*time.Second, "a waiting instance needs time to stop")
	say("last", 0, 3)
	all("last", 3)
	require.Empty(t, o.Tenant.Violations(teamstest.ViolationRepeatedWrite))
}

// twin makes a second instance of the bridge, with a way to the homeserver that counts.
func (o *office) twin() (*stack.Bridge, *stack.Forward) {
	o.t.Helper()
	homeserver, err := url.Parse(o.Homeserver.URL())
	require.NoError(o.t, err)
	way := o.forward(0, homeserver.Host)
	second, err := o.Bridge.Twin(filepath.Join(o.Dir, "second"), "http://"+way.Address())
	require.NoError(o.t, err)
	o.t.Cleanup(second.Stop)
	return second, way
}

func (o *office) forward(port int, target string) *stack.Forward {
	o.t.Helper()
	f, err := stack.NewForward(port, target)
	require.NoError(o.t, err)
	o.t.Cleanup(f.Close)
	return f
}

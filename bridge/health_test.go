package bridge

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/stretchr/testify/require"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/database"
	"teamsbridge/database/databasetest"
	"teamsbridge/matrix"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// trial is a health that runs in virtual time against a Graph that can be
// broken.
type trial struct {
	*health
	t *testing.T

	broken                 atomic.Pointer[teams.Error]
	probes, pokes          atomic.Int32
	began, changes, ended  atomic.Int32
	lastBegan, lastChanged atomic.Pointer[outage]
	cancel                 context.CancelFunc
	done                   chan struct{}
}

func startHealth(t *testing.T) *trial {
	r := &trial{t: t, done: make(chan struct{})}
	r.health = newHealth(func(context.Context) error {
		r.probes.Add(1)
		if err := r.broken.Load(); err != nil {
			return err
		}
		return nil
	}, time.Now)
	r.down = func(_ context.Context, o outage) { r.began.Add(1); r.lastBegan.Store(&o) }
	r.changed = func(_ context.Context, o outage) { r.changes.Add(1); r.lastChanged.Store(&o) }
	r.up = func(_ context.Context, o outage) { r.ended.Add(1); require.False(t, o.Ended.Before(o.Began)) }
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	go func() {
		defer close(r.done)
		require.ErrorIs(t, r.run(ctx), context.Canceled)
	}()
	synctest.Wait()
	return r
}

func (r *trial) stop() {
	r.cancel()
	<-r.done
}

// meets is a request that meets what Graph is like.
func (r *trial) meets(scope string) {
	a := teams.Attempt{Op: "GET channel messages", Scope: scope, Status: http.StatusOK}
	if err := r.broken.Load(); err != nil {
		a.Status, a.Err = err.Status, err
	}
	r.GraphAttempt(a)
}

func unavailable(status int) *teams.Error {
	return &teams.Error{Op: "GET team", Kind: teams.KindUnavailable, Status: status}
}

// Proves S4.
func TestHealthAnnouncesAnOutageOnceAndItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startHealth(t)
		defer r.stop()
		require.EqualValues(t, 1, r.probes.Load(), "asked once at start")
		time.Sleep(time.Hour)
		require.EqualValues(t, 1, r.probes.Load(), "and never again without a reason")
		down, known, _ := r.state()
		require.False(t, down)
		require.True(t, known)

		// One request meets the outage, and nobody asks for anything after that.
		r.broken.Store(unavailable(503))
		fell := time.Now()
		r.meets("one")
		time.Sleep(20 * time.Second)
		down, _, outages := r.state()
		require.True(t, down, "in seconds")
		require.Equal(t, vitals.TeamsDown, outages[0].Kind)
		require.Equal(t, fell, outages[0].Began, "since the first failure")
		require.True(t, outages[0].NoReading && outages[0].NoWriting)
		require.Contains(t, causeSentence(texts.Texts{}, outages[0].Kind, outages[0].Detail), "does not answer")
		time.Sleep(12 * time.Hour)
		require.EqualValues(t, 1, r.began.Load())
		require.Zero(t, r.changes.Load())

		r.broken.Store(nil)
		time.Sleep(probeMax + 5*time.Second)
		down, _, outages = r.state()
		require.False(t, down)
		require.False(t, outages[0].Ended.IsZero())
		require.EqualValues(t, 1, r.ended.Load())
		probes := r.probes.Load()
		time.Sleep(time.Hour)
		require.Equal(t, probes, r.probes.Load(), "asking has ended with the outage")
	})
}

// The first message that goes through is enough to write again; that the outage
// is over takes more, and what waits must not go one by one until then.
func TestOneMessageThroughIsEnoughToWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startHealth(t)
		defer r.stop()
		r.broken.Store(unavailable(503))
		r.meets("one")
		time.Sleep(20 * time.Second)
		require.True(t, r.noWriting())
		r.GraphAttempt(teams.Attempt{Op: "GET channel members", Write: true, Account: "relay", Status: http.StatusOK})
		require.True(t, r.noWriting(), "a light answer proves nothing")
		r.GraphAttempt(teams.Attempt{Op: "POST channel message", Scope: "a", Write: true, Account: "relay", Status: http.StatusOK})
		synctest.Wait()
		down, _, _ := r.state()
		require.True(t, down)
		require.False(t, r.noWriting())
	})
}

// A Graph that takes requests and never answers is known after less than 90 s.
func TestSilenceIsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startHealth(t)
		defer r.stop()
		r.probe = func(ctx context.Context) error {
			<-ctx.Done()
			return &teams.Error{Op: "GET team", Kind: teams.KindUnavailable, Err: ctx.Err()}
		}
		time.Sleep(10 * time.Second) // the stack's patience
		r.GraphSlow("GET channel messages")
		time.Sleep(45 * time.Second)
		down, _, _ := r.state()
		require.True(t, down)
	})
}

func TestOneFailedRequestIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startHealth(t)
		defer r.stop()
		r.GraphAttempt(teams.Attempt{Op: "GET channel messages", Scope: "one", Err: unavailable(0)})
		r.report(&teams.Error{Kind: teams.KindPermission})
		time.Sleep(time.Hour)
		require.Zero(t, r.began.Load())
	})
}

// A conversation that Graph refuses or fails for ever is its own problem.
func TestOneConversationIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startHealth(t)
		defer r.stop()
		for range 500 {
			for _, kind := range []teams.Kind{teams.KindPermission, teams.KindBadRequest, teams.KindNotFound, teams.KindUnavailable} {
				for _, write := range []bool{false, true} {
					r.GraphAttempt(teams.Attempt{Op: "channel message", Scope: "one", Write: write, Account: "relay", Status: 500, Err: &teams.Error{Kind: kind, Status: 500}})
				}
			}
			time.Sleep(5 * time.Second)
		}
		require.Zero(t, r.began.Load())
	})
}

// A permission to write that is taken away is known as that while it is gone, so
// that what is refused waits.
func TestWritingIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startHealth(t)
		defer r.stop()
		post := func(scope string, err *teams.Error) {
			status := http.StatusCreated
			if err != nil {
				status = http.StatusForbidden
			}
			r.GraphAttempt(teams.Attempt{Op: "POST channel message", Scope: scope, Write: true, Account: "relay", Status: status, Err: err})
		}
		scopes := []string{"a", "b", "c", "d", "e", "f"}
		for _, scope := range scopes {
			post(scope, nil)
		}
		require.Zero(t, r.writingRevoked())
		began := time.Now()
		for range 10 {
			for _, scope := range scopes {
				time.Sleep(2 * time.Second)
				post(scope, &teams.Error{Op: "POST channel message", Kind: teams.KindPermission, Status: http.StatusForbidden})
			}
		}
		require.False(t, r.writingRevoked().After(began), "since the last message that went through")
		require.WithinDuration(t, began, r.writingRevoked(), time.Second)
		for range 30 {
			for _, scope := range scopes {
				time.Sleep(2 * time.Second)
				post(scope, nil)
			}
		}
		require.Zero(t, r.writingRevoked())
		require.EqualValues(t, 1, r.began.Load())
	})
}

// The only room in use, right after a start: what was written there before is
// remembered, so that a refusal is known for a revoked permission.
func TestRevokedAcrossARestart(t *testing.T) {
	db := databasetest.New(t, databasetest.SQLite(t))
	const channel = "19:a@thread.tacv2"
	portalID := "c:t/" + channel
	require.NoError(t, db.Conversations.Upsert(t.Context(), database.Conversation{
		Portal: portalID, Kind: database.ConversationChannel, TeamID: "t", ChannelID: channel, State: database.ConversationWanted,
	}))
	require.NoError(t, db.Sent.Begin(t.Context(), database.SentPart{EventID: "$a", Portal: portalID, TeamID: "t", ChannelID: channel}))
	require.NoError(t, db.Sent.Confirm(t.Context(), "$a", 0, "1700000000000", ""))
	now := time.Now()
	h := newHealth(func(context.Context) error { return nil }, func() time.Time { return now })
	require.NoError(t, h.remember(t.Context(), db.Sent))
	for range 3 {
		h.GraphAttempt(teams.Attempt{Op: opPost, Scope: channel, Write: true, Account: "relay", Status: http.StatusForbidden,
			Err: &teams.Error{Op: opPost, Kind: teams.KindPermission, Status: http.StatusForbidden}})
		now = now.Add(40 * time.Second)
	}
	require.False(t, h.writingRevoked().IsZero())
}

func TestSilenceOfBothServicesIsOurOwnWayOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startHealth(t)
		defer r.stop()
		var signIn atomic.Int32
		r.pokeSignIn = func(context.Context) {
			r.pokes.Add(1)
			r.GraphAttempt(teams.Attempt{Op: "sign-in", SignIn: true, Status: int(signIn.Load())})
		}
		r.broken.Store(unavailable(0))
		r.meets("one")
		time.Sleep(20 * time.Second)
		require.Equal(t, vitals.EgressDown, r.lastBegan.Load().Kind)
		require.NotZero(t, r.pokes.Load())
		// The sign-in service answers again, Graph does not.
		signIn.Store(200)
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, r.changes.Load())
		require.Equal(t, vitals.TeamsDown, r.lastChanged.Load().Kind)
		_, _, outages := r.state()
		require.Len(t, outages, 1)
		require.Equal(t, vitals.TeamsDown, outages[0].Kind)
		r.broken.Store(nil)
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, r.ended.Load())
	})
}

// An expired secret stops reading. A relay account's own sign-in does not
// depend on it, and one that is refused is that account's problem.
func TestRefusedCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startHealth(t)
		defer r.stop()
		for range 50 {
			r.accountSignInFailed(&teams.Error{Op: "renew sign-in", Kind: teams.KindSignInExpired, Status: 400})
			r.GraphAttempt(teams.Attempt{Op: "POST channel message", Scope: "a", Write: true, Account: "relay", Status: 401, Err: &teams.Error{Kind: teams.KindSignInExpired, Status: 401}})
			time.Sleep(time.Second)
		}
		require.Zero(t, r.began.Load())

		expired := &teams.Error{Op: teams.OpAppSignIn, Kind: teams.KindSignInExpired, Status: 401, Hint: "the client secret has expired"}
		app := &watchedCredential{failingCredential{expired}, r.appSignInFailed}
		r.broken.Store(expired)
		_, err := app.GetToken(t.Context(), policy.TokenRequestOptions{})
		require.ErrorIs(t, err, error(expired))
		time.Sleep(5 * time.Minute)
		require.EqualValues(t, 1, r.began.Load())
		o := r.lastBegan.Load()
		require.Equal(t, vitals.CredentialExpired, o.Kind)
		require.Contains(t, o.Detail, "the client secret has expired")
		require.True(t, o.NoReading)
		require.False(t, o.NoWriting)
		require.Less(t, r.probes.Load(), int32(12), "a refused credential is not tried all the time")
	})
}

// No token and no answer, with the sign-in service down.
func TestSignInDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startHealth(t)
		defer r.stop()
		var poked atomic.Int32
		poked.Store(401)
		r.pokeGraph = func(context.Context) { r.GraphAttempt(teams.Attempt{Op: opPoke, Status: int(poked.Load())}) }
		r.pokeSignIn = func(context.Context) { r.GraphAttempt(teams.Attempt{Op: "sign-in", SignIn: true, Status: 200}) }
		r.broken.Store(&teams.Error{Op: teams.OpAppSignIn, Kind: teams.KindUnavailable})
		r.appSignInFailed(r.broken.Load())
		time.Sleep(time.Minute)
		require.Equal(t, vitals.SignInDown, r.lastBegan.Load().Kind)
		// Our own way out fails as well.
		poked.Store(0)
		r.GraphAttempt(teams.Attempt{Op: "sign-in", SignIn: true})
		time.Sleep(time.Minute)
		require.Equal(t, vitals.EgressDown, r.lastChanged.Load().Kind)
		r.broken.Store(nil)
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, r.ended.Load())
	})
}

// While the last tokens are good, a sign-in service that is down stops nothing.
func TestSignInDownWithTokensLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startHealth(t)
		defer r.stop()
		var status atomic.Int32
		status.Store(503)
		attempt := func() {
			r.GraphAttempt(teams.Attempt{Op: "sign-in", SignIn: true, Status: int(status.Load())})
		}
		r.pokeSignIn = func(context.Context) { attempt() }
		attempt()
		time.Sleep(time.Minute)
		signIn := func() vitals.Status { return r.monitor.Status()[2] }
		require.Equal(t, vitals.Down, signIn().State)
		require.Equal(t, vitals.SignInDown, signIn().Cause)
		probes := r.probes.Load()
		time.Sleep(time.Hour)
		require.Less(t, r.probes.Load()-probes, int32(400), "asked at leisure")
		require.Zero(t, r.began.Load())
		status.Store(200)
		time.Sleep(time.Minute)
		require.Equal(t, vitals.Up, signIn().State)
	})
}

// The organisation is answered by others than Teams: once the tenant is known,
// the probe asks for teams, in turn, so that one that is gone says nothing.
func TestTheProbeAsksTeams(t *testing.T) {
	tenant := &fakeTenant{}
	r := &runtime{c: &Connector{}, catalog: catalogOf(), graph: &graphAccess{reader: tenant}}
	for _, id := range []string{"team", "gone"} {
		r.catalog.byID[id] = database.Conversation{Portal: id, TeamID: id, Kind: database.ConversationTeam, State: database.ConversationMirrored}
	}
	name := "Contoso"
	r.c.tenantName.Store(&name)
	seen := map[string]bool{}
	for range 4 {
		require.Equal(t, vitals.OK, probeOutcome(r.probe(t.Context())), "a team that is gone shows that Teams is there")
		for _, call := range tenant.taken() {
			seen[call] = true
		}
	}
	require.Equal(t, map[string]bool{"team team": true, "team gone": true}, seen)
	tenant.err = unavailable(503)
	require.Equal(t, vitals.ServerError, probeOutcome(r.probe(t.Context())))
}

func TestStatusShowsEachDependency(t *testing.T) {
	r := &statusReport{dependencies: []vitals.Status{
		{Dependency: vitals.GraphRead, State: vitals.Up, Since: time.Unix(0, 0)},
		{Dependency: vitals.GraphWrite, State: vitals.Degraded, Since: time.Unix(0, 0), Cause: vitals.CauseThrottled},
		{Dependency: vitals.SignIn},
		{Dependency: vitals.Webhook, State: vitals.Down, Since: time.Unix(0, 0), Cause: vitals.WebhookSilent, Detail: "none of 2 subscriptions is active: quota"},
	}}
	text := r.adminText(texts.Texts{})
	require.Contains(t, text, "* Reading Teams: up since 1970-01-01 00:00 UTC\n")
	require.Contains(t, text, "* Writing to Teams: **degraded** since 1970-01-01 00:00 UTC: "+esc(inEnglish(texts.TroubleThrottled)))
	require.NotContains(t, text, "Sign-in service", "nothing is known of it")
	require.Contains(t, text, "* Notifications: **down** since 1970-01-01 00:00 UTC: "+esc(inEnglish(texts.TroubleWebhook)))
	require.Contains(t, text, "none of 2 subscriptions is active: quota")
}

type failingCredential struct{ err error }

func (f failingCredential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, f.err
}
func (failingCredential) Invalidate(string) bool { return false }

// A callback that panics ends the service, which is started again; the others
// of its loops end with it.
func TestHealthEndsAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHealth(func(context.Context) error { return unavailable(503) }, time.Now)
		h.down = func(context.Context, outage) { panic("ouch") }
		require.ErrorContains(t, h.run(t.Context()), "ouch")
	})
}

func TestHomeserverIsAskedWhileInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startHealth(t)
		defer r.stop()
		var status, asked atomic.Int32
		r.askHomeserver = func(context.Context) error {
			asked.Add(1)
			r.homeserverAnswer(matrix.Answer{Status: int(status.Load())})
			return nil
		}
		state := func() vitals.State { return r.monitor.Status()[4].State }
		r.homeserverSpoke()
		require.Equal(t, vitals.Up, state())
		r.homeserverAnswer(matrix.Answer{RoomID: "!room"})
		time.Sleep(time.Minute)
		require.Equal(t, vitals.Down, state(), "nobody else asked")
		status.Store(200)
		time.Sleep(time.Minute)
		require.Equal(t, vitals.Up, state())
		n := asked.Load()
		time.Sleep(time.Hour)
		require.Equal(t, n, asked.Load())
		require.Zero(t, r.began.Load(), "it is no outage of Teams")
	})
}

func TestServicesStartAgainAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServices(t.Context())
		var starts, panics atomic.Int32
		s.start("fails", func(context.Context) error {
			starts.Add(1)
			return errors.New("broken")
		})
		s.start("panics", func(context.Context) error {
			panics.Add(1)
			panic("ouch")
		})
		s.start("runs", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		time.Sleep(10 * time.Second)
		require.Greater(t, starts.Load(), int32(2))
		require.Greater(t, panics.Load(), int32(2))
		require.True(t, s.stop(time.Second))
		require.True(t, s.stop(time.Second), "stopping twice does no harm")
	})
}

// A probe that an announced pause holds back says nothing: in an outage in which
// Graph answers 503 with a Retry-After, it must not pass for Graph being there,
// nor for Graph being away where it is there.
func TestHealthTakesNoProbeForAnAnswerThatWasNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startHealth(t)
		defer r.stop()
		held := &teams.Error{Op: "GET organization", Kind: teams.KindThrottled, RetryAfter: 2 * time.Minute, Unsent: true}
		r.broken.Store(unavailable(http.StatusServiceUnavailable))
		r.doubt()
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, r.began.Load())
		r.broken.Store(held)
		time.Sleep(10 * time.Minute)
		require.Zero(t, r.ended.Load(), "nobody knows that it is over")
		r.broken.Store(nil)
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, r.ended.Load())

		r.broken.Store(&teams.Error{Op: "GET organization", Kind: teams.KindUnavailable, Unsent: true, Err: context.DeadlineExceeded})
		r.doubt()
		time.Sleep(10 * time.Minute)
		require.EqualValues(t, 1, r.began.Load())
	})
}

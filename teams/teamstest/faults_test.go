package teamstest_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/teams/teamstest"
)

func TestFaultsThatAnswer(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	token := b.app()
	for kind, want := range map[teamstest.FaultKind]struct {
		status int
		code   string
	}{
		teamstest.FaultThrottled:       {429, "TooManyRequests"},
		teamstest.FaultInternalError:   {500, "InternalServerError"},
		teamstest.FaultBadGateway:      {502, "BadGateway"},
		teamstest.FaultUnavailable:     {503, "serviceNotAvailable"},
		teamstest.FaultGatewayTimeout:  {504, "UnknownError"},
		teamstest.FaultNotFound:        {404, "NotFound"},
		teamstest.FaultForbidden:       {403, "Forbidden"},
		teamstest.FaultClaimsChallenge: {401, "InvalidAuthenticationToken"},
		teamstest.FaultHTML:            {502, ""},
	} {
		t.Run(string(kind), func(t *testing.T) {
			in := b.Faults().Add(teamstest.Fault{Kind: kind, Times: 1, RetryAfter: 3 * time.Second})
			defer in.Clear()
			a := b.get(token, "/organization")
			require.Equal(t, want.status, a.status)
			require.Equal(t, want.code, a.code())
			require.Equal(t, 1, in.Hits())
			switch kind {
			case teamstest.FaultHTML:
				require.Contains(t, a.header.Get("Content-Type"), "text/html")
				require.Contains(t, string(a.raw), "<html>")
			case teamstest.FaultClaimsChallenge:
				require.Contains(t, a.header.Get("WWW-Authenticate"), `error="insufficient_claims"`)
			case teamstest.FaultForbidden:
				require.Contains(t, a.message(), "API requires one of 'Organization.Read.All")
			case teamstest.FaultThrottled:
				require.Equal(t, "3", a.header.Get("Retry-After"))
			}
			require.Equal(t, 200, b.get(token, "/organization").status, "once only")
			log := b.Requests(func(r teamstest.Request) bool { return r.Fault == kind })
			require.Len(t, log, 1)
			require.Equal(t, want.status, log[0].Status)
		})
	}
}

func TestThrottledWithoutRetryAfter(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	token := b.app()
	b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultThrottled, Times: 1})
	a := b.get(token, "/organization")
	require.Equal(t, 429, a.status)
	require.Empty(t, a.header.Get("Retry-After"))
	require.Equal(t, 1, b.CountRequests(func(r teamstest.Request) bool { return r.Status == 429 && r.RetryAfterGiven == 0 }))
}

func TestFaultsThatCutBefore(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	user := b.user(b.ann)
	b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultRefuse, Times: 1, Match: teamstest.Match{Method: http.MethodPost, Service: teamstest.ServiceGraph}})
	_, err := b.post(user, "refused")
	require.Error(t, err)
	require.Empty(t, b.texts())

	hang := b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultHang, Match: teamstest.Match{Op: teamstest.OpPostMessage}})
	done := make(chan error, 1)
	go func() {
		_, err := b.post(user, "hangs")
		done <- err
	}()
	b.eventually("it hangs", func() bool { return hang.Hits() == 1 })
	select {
	case err := <-done:
		require.Fail(t, "it should hang", "%v", err)
	case <-time.After(50 * time.Millisecond):
	}
	hang.Clear()
	require.Error(t, <-done)
	require.Empty(t, b.texts())

	b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultSlow, Delay: 80 * time.Millisecond, Times: 1})
	began := time.Now()
	a, err := b.post(user, "slow")
	require.NoError(t, err)
	require.Equal(t, 201, a.status)
	require.GreaterOrEqual(t, time.Since(began), 80*time.Millisecond)
}

func TestFaultsAfterAcceptance(t *testing.T) {
	for kind, status := range map[teamstest.FaultKind]int{
		teamstest.FaultAcceptLose: 0, teamstest.FaultCut: 0, teamstest.FaultAcceptBadGateway: 502,
		teamstest.FaultAcceptUnavailable: 503, teamstest.FaultAcceptTimeout: 504,
	} {
		t.Run(string(kind), func(t *testing.T) {
			b := newBench(t, teamstest.Options{})
			user := b.user(b.ann)
			b.Faults().Add(teamstest.Fault{Kind: kind, Times: 1, Match: teamstest.Match{Op: teamstest.OpPostMessage}})
			a, err := b.post(user, "applied")
			require.Equal(t, []string{"applied"}, b.texts())
			if status == 0 {
				require.Error(t, err)
				if kind == teamstest.FaultCut {
					require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				}
			} else {
				require.NoError(t, err)
				require.Equal(t, status, a.status)
			}
			log := b.Requests(func(r teamstest.Request) bool { return r.Op == teamstest.OpPostMessage })
			require.Len(t, log, 1)
			require.True(t, log[0].Applied)
			require.Equal(t, b.ann.ID, log[0].Account)
			require.Equal(t, status, log[0].Status)
			require.Equal(t, kind, log[0].Fault)
		})
	}
}

func TestAcceptedAndHung(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	user := b.user(b.ann)
	in := b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultAcceptHang, Times: 1, Match: teamstest.Match{Op: teamstest.OpPostMessage}})
	done := make(chan error, 1)
	go func() {
		_, err := b.post(user, "applied")
		done <- err
	}()
	b.eventually("applied", func() bool { return in.Hits() == 1 && len(b.texts()) == 1 })
	b.Faults().Clear()
	require.Error(t, <-done)
}

func TestFaultMatching(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	app, ann, bob := b.app(), b.user(b.ann), b.user(b.bob)
	fail := func(m teamstest.Match) *teamstest.Injected {
		b.Faults().Clear()
		return b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultInternalError, Match: m})
	}
	status := func(token string) int { return b.get(token, b.channelPath()).status }
	fail(teamstest.Match{Caller: teamstest.CallerApp})
	require.Equal(t, []int{500, 403, 403}, []int{status(app), status(ann), status(bob)})
	fail(teamstest.Match{Caller: b.ann.UPN()})
	require.Equal(t, []int{200, 500, 403}, []int{status(app), status(ann), status(bob)})
	fail(teamstest.Match{Caller: b.bob.ID, Method: "get"})
	require.Equal(t, []int{200, 403, 500}, []int{status(app), status(ann), status(bob)})
	fail(teamstest.Match{Path: `^/teams/[^/]+/channels/19:[0-9a-f]+@thread\.tacv2$`})
	require.Equal(t, 500, status(app))
	require.Equal(t, 200, b.get(app, "/organization").status)
	fail(teamstest.Match{Service: teamstest.ServiceSignIn})
	require.Equal(t, 200, status(app))
	a := b.token(b.secretForm())
	require.Equal(t, 500, a.status)
	require.Equal(t, "temporarily_unavailable", a.str("error"))

	b.Faults().Clear()
	b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultInternalError, Skip: 2, Times: 1, Match: teamstest.Match{Op: teamstest.OpOrganization}})
	var got []int
	for range 5 {
		got = append(got, b.get(app, "/organization").status)
	}
	require.Equal(t, []int{200, 200, 500, 200, 200}, got)
}

func TestChanceIsTheSameForASeed(t *testing.T) {
	run := func(seed uint64) string {
		b := newBench(t, teamstest.Options{Seed: seed})
		token := b.app()
		b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultInternalError, Chance: 0.5, Match: teamstest.Match{Op: teamstest.OpOrganization}})
		var s strings.Builder
		for range 40 {
			if b.get(token, "/organization").status == 500 {
				s.WriteByte('x')
			} else {
				s.WriteByte('.')
			}
		}
		return s.String()
	}
	first := run(7)
	require.Equal(t, first, run(7))
	require.NotEqual(t, first, run(8))
	require.Contains(t, first, "x")
	require.Contains(t, first, ".")
}

func TestTokenFaults(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	app := b.app()
	b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultExpireToken, Times: 1})
	require.Equal(t, 401, b.get(app, "/organization").status)
	require.Equal(t, 401, b.get(app, "/organization").status, "that token is over")
	require.Equal(t, 200, b.get(b.app(), "/organization").status)

	signedIn := b.signIn(b.ann, writeScopes)
	b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultRevokeRefresh, Times: 1})
	_, err := b.post(signedIn.str("access_token"), "x")
	require.NoError(t, err)
	a := b.token(map[string][]string{"grant_type": {"refresh_token"}, "client_id": {b.App().ClientID}, "refresh_token": {signedIn.str("refresh_token")}})
	require.Equal(t, "invalid_grant", a.str("error"))
}

func TestDeltaFaults(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	b.general.Post(b.ann, teamstest.Msg{Text: "x"})
	app := b.app()
	b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultDeltaGone, Times: 1})
	path := b.channelPath() + "/messages/delta"
	link := path
	for {
		a := b.get(app, link)
		require.Equal(t, 200, a.status, "a first round has no token yet")
		if next := a.str("@odata.nextLink"); next != "" {
			link = strings.TrimPrefix(next, b.GraphURL())
			b.Faults().Clear()
			continue
		}
		link = strings.TrimPrefix(a.str("@odata.deltaLink"), b.GraphURL())
		break
	}
	b.Faults().Clear()
	b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultDeltaGone, Times: 1})
	gone := b.get(app, link)
	require.Equal(t, 410, gone.status)
	require.True(t, strings.HasSuffix(gone.header.Get("Location"), "/messages/delta?$deltatoken="), gone.header.Get("Location"))
	b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultSyncStateNotFound, Times: 1})
	require.Equal(t, "syncStateNotFound", b.get(app, link).code())
	b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultDeltaRefused, Times: 1})
	require.Contains(t, b.get(app, path).message(), "Delta query is not supported")
	require.Equal(t, 200, b.get(app, link).status)
}

func TestDownAndUp(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	app := b.app()
	b.Down(teamstest.DownRefuse)
	require.True(t, b.IsDown(teamstest.ServiceGraph))
	_, err := b.try(app, http.MethodGet, "/organization", nil)
	require.True(t, errors.Is(err, syscall.ECONNREFUSED), "%v", err)
	require.NoError(t, b.Up())
	require.Equal(t, 200, b.get(app, "/organization").status)

	b.Down(teamstest.DownUnavailable, teamstest.ServiceGraph)
	require.Equal(t, 503, b.get(app, "/organization").status)
	require.Equal(t, 200, b.token(b.secretForm()).status)
	require.NoError(t, b.Up())

	b.Down(teamstest.DownHTML, teamstest.ServiceSignIn)
	require.Equal(t, 502, b.token(b.secretForm()).status)
	require.Equal(t, 200, b.get(app, "/organization").status)
	b.Down(teamstest.DownRefuse, teamstest.ServiceSignIn)
	_, err = b.tryForm("/"+b.TenantID+"/oauth2/v2.0/token", b.secretForm())
	require.Error(t, err)
	require.NoError(t, b.Up(teamstest.ServiceSignIn))

	b.Down(teamstest.DownRefuse)
	b.Down(teamstest.DownHTML)
	require.Equal(t, 502, b.get(app, "/organization").status, "from one way of being down to another")

	b.Down(teamstest.DownHang)
	done := make(chan error, 1)
	go func() {
		_, err := b.try(app, http.MethodGet, "/organization", nil)
		done <- err
	}()
	select {
	case err := <-done:
		require.Fail(t, "it should hang", "%v", err)
	case <-time.After(50 * time.Millisecond):
	}
	require.NoError(t, b.Up())
	<-done // Go's client repeats a GET by itself when a connection that it had used before is cut
	require.Equal(t, 1, b.CountRequests(func(r teamstest.Request) bool { return r.Fault == "down-hang" && r.Status == 0 }))
	require.Equal(t, 200, b.get(app, "/organization").status)
}

func TestCloseEndsWhatHangs(t *testing.T) {
	tenant, err := teamstest.Start(teamstest.Options{})
	require.NoError(t, err)
	in := tenant.Faults().Add(teamstest.Fault{Kind: teamstest.FaultHang})
	done := make(chan error, 1)
	client := tenant.HTTPClient()
	go func() {
		resp, err := client.Get(tenant.GraphURL() + "/organization")
		if err == nil {
			_ = resp.Body.Close()
		}
		done <- err
	}()
	require.Eventually(t, func() bool { return in.Hits() == 1 }, 5*time.Second, time.Millisecond)
	began := time.Now()
	require.NoError(t, tenant.Close())
	require.Less(t, time.Since(began), time.Second)
	require.Error(t, <-done)
}

func TestFaultsReachTheStepsOfABatch(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultRefuse, Times: 1, Match: teamstest.Match{Op: teamstest.OpOrganization}})
	a := b.call(b.app(), http.MethodPost, "/$batch", map[string]any{"requests": []map[string]any{
		{"id": "1", "method": "GET", "url": "/organization"}, {"id": "2", "method": "GET", "url": "/organization"},
	}})
	require.Equal(t, 200, a.status)
	got := map[string]float64{}
	for _, r := range a.json["responses"].([]any) {
		step := r.(map[string]any)
		got[step["id"].(string)] = step["status"].(float64)
	}
	require.Equal(t, map[string]float64{"1": 504, "2": 200}, got)
	require.Equal(t, 2, b.CountRequests(func(r teamstest.Request) bool { return r.Batched }))
}

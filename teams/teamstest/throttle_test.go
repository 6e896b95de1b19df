package teamstest_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/teams/teamstest"
)

// frozen is a tenant with limits whose clock moves only when it is told to.
func frozen(t *testing.T) *bench {
	clock := teamstest.NewClock(time.Time{})
	clock.Freeze()
	return newBench(t, teamstest.Options{Clock: clock, Limits: true})
}

func TestOneReadPerSecondAndChannel(t *testing.T) {
	b := frozen(t)
	app := b.app()
	path := b.channelPath() + "/messages"
	require.Equal(t, 200, b.get(app, path).status)
	require.Equal(t, 200, b.get(app, path+"/delta").status, "a short burst is tolerated")
	a := b.get(app, path)
	require.Equal(t, 429, a.status)
	require.Equal(t, "TooManyRequests", a.code())
	require.Equal(t, "1", a.header.Get("Retry-After"))
	require.Len(t, b.Violations(teamstest.ViolationLimit), 1)
	require.Contains(t, b.Violations(teamstest.ViolationLimit)[0].Scope, "GET channel messages per resource")

	other := b.team.AddChannel(teamstest.ChannelSpec{DisplayName: "Other"})
	require.Equal(t, 200, b.get(app, "/teams/"+b.team.ID+"/channels/"+other.ID+"/messages").status, "another channel has a bucket of its own")

	for range 10 {
		b.Clock().Advance(time.Second)
		require.Equal(t, 200, b.get(app, path).status, "one per second goes on for ever")
	}
	require.Empty(t, b.Violations(teamstest.ViolationEarly))
}

func TestOneWritePerSecondAndUser(t *testing.T) {
	b := frozen(t)
	ann, bob := b.user(b.ann), b.user(b.bob)
	var channels []*teamstest.Channel
	for i := range 4 {
		channels = append(channels, b.team.AddChannel(teamstest.ChannelSpec{DisplayName: fmt.Sprint("C", i)}))
	}
	post := func(token string, i int) int {
		a := b.call(token, http.MethodPost, "/teams/"+b.team.ID+"/channels/"+channels[i].ID+"/messages", map[string]any{"body": map[string]any{"content": fmt.Sprint(i)}})
		return a.status
	}
	require.Equal(t, []int{201, 201, 429}, []int{post(ann, 0), post(ann, 1), post(ann, 2)})
	require.Contains(t, b.Violations()[0].Scope, "per user "+b.ann.ID)
	require.Equal(t, 201, post(bob, 3))
}

func TestEarlyRequestsAreNoticedAndProlongTheWait(t *testing.T) {
	b := frozen(t)
	app := b.app()
	path := b.channelPath() + "/messages"
	for range 3 {
		b.get(app, path)
	}
	require.Equal(t, 429, b.get(app, path).status)
	require.Empty(t, b.Violations(teamstest.ViolationEarly), "that one may have been under way")
	b.Clock().Advance(500 * time.Millisecond)
	require.Equal(t, 429, b.get(app, path).status)
	early := b.Violations(teamstest.ViolationEarly)
	require.Len(t, early, 1)
	require.Contains(t, early[0].Path, "/messages")
	b.Clock().Advance(600 * time.Millisecond)
	a := b.get(app, path)
	require.Equal(t, 429, a.status, "the wait has grown")
	wait, err := strconv.Atoi(a.header.Get("Retry-After"))
	require.NoError(t, err)
	b.Clock().Advance(time.Duration(wait) * time.Second)
	require.Equal(t, 200, b.get(app, path).status)
	require.Equal(t, 2, b.CountViolations(teamstest.ViolationEarly))
}

func TestRetryAfterModes(t *testing.T) {
	b := frozen(t)
	app := b.app()
	path := b.channelPath() + "/messages"
	header := func() string {
		b.SetLimits(true)
		for {
			if a := b.get(app, path); a.status == 429 {
				return a.header.Get("Retry-After")
			}
		}
	}
	require.Equal(t, "1", header())
	b.SetRetryAfter(teamstest.RetryAfterNever)
	require.Empty(t, header())
	b.SetRetryAfter(teamstest.RetryAfterAlternating)
	require.NotEqual(t, header(), header())
}

func TestLimitsAreNoticedWhenTheyAreNotEnforced(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	app := b.app()
	for range 4 {
		require.Equal(t, 200, b.get(app, b.channelPath()+"/messages").status)
	}
	require.NotZero(t, b.CountViolations(teamstest.ViolationLimit))
	b.ResetRequests()
	require.Empty(t, b.Violations())
	require.Zero(t, b.CountRequests(nil))
}

func TestInjectedRetryAfterIsWatchedToo(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	app := b.app()
	path := b.channelPath() + "/messages"
	b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultThrottled, Times: 1, RetryAfter: 30 * time.Second})
	require.Equal(t, 429, b.get(app, path).status)
	b.Clock().Advance(10 * time.Second)
	b.get(app, path)
	require.Len(t, b.Violations(teamstest.ViolationEarly), 1)
	b.Clock().Advance(21 * time.Second)
	b.get(app, path)
	require.Len(t, b.Violations(teamstest.ViolationEarly), 1)
}

func TestRepeatedWrites(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	ann := b.user(b.ann)
	repeated := func() int { return b.CountViolations(teamstest.ViolationRepeatedWrite) }
	// Refused and repeated: as it should be.
	b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultUnavailable, Times: 1})
	_, _ = b.post(ann, "one")
	_, _ = b.post(ann, "one")
	require.Zero(t, repeated())
	// Accepted, its answer lost, and repeated: a duplicate.
	b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultAcceptTimeout, Times: 1})
	_, _ = b.post(ann, "two")
	_, _ = b.post(ann, "two")
	require.Equal(t, 1, repeated())
	// The same words much later are another message.
	b.Clock().Advance(10 * time.Minute)
	_, _ = b.post(ann, "two")
	require.Equal(t, 1, repeated())

	m := b.general.Post(b.ann, teamstest.Msg{Text: "x"})
	react := func(action string) {
		a := b.call(ann, http.MethodPost, b.channelPath()+"/messages/"+m.ID+"/"+action, map[string]any{"reactionType": "👍"})
		require.Less(t, a.status, 500)
	}
	react("setReaction")
	react("unsetReaction")
	react("setReaction")
	require.Equal(t, 1, repeated(), "on, off, on")
	react("setReaction")
	require.Equal(t, 2, repeated(), "it knew that it was set")
	b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultAcceptLose, Times: 1})
	_, err := b.try(ann, http.MethodPost, b.channelPath()+"/messages/"+m.ID+"/unsetReaction", map[string]any{"reactionType": "👍"})
	require.Error(t, err)
	react("unsetReaction")
	require.Equal(t, 2, repeated(), "after a lost answer it must be")
}

func TestPollingAndLeaksAreNoticed(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	app := b.app()
	path := "/teams/" + b.team.ID + "/channels/getAllMessages"
	require.Equal(t, 200, b.get(app, path).status)
	require.Empty(t, b.Violations())
	require.Equal(t, 200, b.get(app, path).status)
	require.Len(t, b.Violations(teamstest.ViolationPolling), 1)
	b.Clock().Advance(25 * time.Hour)
	require.Equal(t, 200, b.get(b.app(), path).status)
	require.Len(t, b.Violations(teamstest.ViolationPolling), 1)

	req, err := http.NewRequest(http.MethodGet, b.URL()+"/common/discovery/keys", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+app)
	_, err = b.roundTrip(req)
	require.NoError(t, err)
	require.Len(t, b.Violations(teamstest.ViolationTokenLeak), 1)
}

func TestForeignHostSeesTokens(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	foreign, err := b.ForeignURL()
	require.NoError(t, err)
	again, err := b.ForeignURL()
	require.NoError(t, err)
	require.Equal(t, foreign, again)
	get := func(token string) {
		req, err := http.NewRequest(http.MethodGet, foreign+"/v1.0/teams/x/hostedContents/1/$value", nil)
		require.NoError(t, err)
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		a, err := b.roundTrip(req)
		require.NoError(t, err)
		require.Equal(t, 200, a.status)
		require.Equal(t, "image/png", a.header.Get("Content-Type"))
	}
	get("")
	require.Empty(t, b.Violations())
	get("secret")
	require.Len(t, b.Violations(teamstest.ViolationTokenLeak), 1)
	require.Equal(t, 2, b.CountRequests(func(r teamstest.Request) bool { return r.Op == teamstest.OpForeign }))
}

func TestRequestLogIsCheap(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	app := b.app()
	for range 200 {
		b.get(app, "/organization")
	}
	require.Len(t, b.Requests(func(r teamstest.Request) bool { return r.Op == teamstest.OpOrganization }), 200)
	last := b.Requests(nil)[b.CountRequests(nil)-1]
	require.Equal(t, "/organization", last.Path)
	require.Equal(t, b.App().ClientID, last.AppID)
	require.Empty(t, last.Account)
	require.Equal(t, 200, last.Status)
	require.Positive(t, last.Took)
}

package teamstest_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"teamsbridge/teams/teamstest"
)

// TestEdgeUnderLoad lets people, clients, faults and outages loose at once:
// every message must still be announced, and nothing may be left behind.
func TestEdgeUnderLoad(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	t.Run("load", func(t *testing.T) {
		const seed, people, each = 11, 8, 40
		t.Log("seed", seed)
		b := newBench(t, teamstest.Options{Seed: seed, NoSystemEvents: true, Notify: teamstest.NotifyOptions{EndpointsForgiven: true}})
		r := newReceiver(t)
		key := newKeyPair(t, "k")
		body := with(with(with(b.subscription(r), "includeResourceData", true), "encryptionCertificate", key.base64()), "encryptionCertificateId", key.id)
		b.subscribe(b.app(), with(body, "resource", "/teams/getAllMessages"))
		for _, kind := range []teamstest.FaultKind{
			teamstest.FaultRefuse, teamstest.FaultAcceptLose, teamstest.FaultCut, teamstest.FaultUnavailable,
			teamstest.FaultNotifyTwice, teamstest.FaultNotifyLate, teamstest.FaultNotifyReorder, teamstest.FaultNotifyEarly,
		} {
			b.Faults().Add(teamstest.Fault{Kind: kind, Chance: 0.05, Delay: time.Minute, Match: teamstest.Match{Service: teamstest.ServiceGraph}})
		}
		var tokens []string
		for i := range people {
			u := b.AddUser(teamstest.UserSpec{DisplayName: fmt.Sprint("Person ", i)})
			b.team.AddMember(b.ann, u)
			tokens = append(tokens, b.user(u))
		}
		stop := make(chan struct{})
		var outages, work sync.WaitGroup
		outages.Go(func() {
			for _, mode := range []teamstest.DownMode{teamstest.DownUnavailable, teamstest.DownRefuse, teamstest.DownHTML} {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
				b.Down(mode)
				if err := b.Up(); err != nil {
					t.Error(err)
				}
			}
		})
		for i, token := range tokens {
			work.Go(func() {
				for j := range each {
					_, _ = b.post(token, fmt.Sprintf("%d/%d", i, j)) // many fail
				}
			})
		}
		work.Wait()
		close(stop)
		outages.Wait()
		b.Faults().Clear()
		applied := b.texts()
		require.NotEmpty(t, applied)
		heard := func() map[string]bool {
			ids := map[string]bool{}
			for _, it := range r.items() {
				ids[it.ResourceData.ID] = true
			}
			return ids
		}
		b.eventually("every message is announced", func() bool {
			b.Clock().Advance(30 * time.Second)
			return len(heard()) == len(applied)
		})
		for _, it := range r.items() {
			require.Equal(t, it.ResourceData.ID, key.open(t, it)["id"])
		}
		log := b.Requests(func(r teamstest.Request) bool { return r.Op == teamstest.OpPostMessage && r.Applied })
		require.Len(t, log, len(applied))
	})
	goleak.VerifyNone(t, leaks)
}

func TestThrottlingInsideABatch(t *testing.T) {
	b := frozen(t)
	var steps []map[string]any
	for i := range 4 {
		steps = append(steps, map[string]any{"id": fmt.Sprint(i), "method": "GET", "url": b.channelPath() + "/messages"})
	}
	a := b.call(b.app(), http.MethodPost, "/$batch", map[string]any{"requests": steps})
	require.Equal(t, http.StatusOK, a.status)
	var refused int
	for _, r := range a.json["responses"].([]any) {
		step := r.(map[string]any)
		if step["status"].(float64) == 429 {
			refused++
			require.Equal(t, "1", step["headers"].(map[string]any)["Retry-After"])
		}
	}
	require.Equal(t, 2, refused)
}

package teams

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestReaderConformance puts the three readers through the same life: posts,
// replies to old and new posts, edits and deletions, long threads, pages that
// come empty, repeated, in any order, lost tokens, outages, a sink that fails,
// restarts. In the end everything must have come through.
func TestReaderConformance(t *testing.T) {
	t.Parallel()
	for _, name := range []string{SourceExport, SourceDelta, SourceList} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s seed %d", name, seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { conform(t, name, seed) })
			})
		}
	}
}

func conform(t *testing.T, name string, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	b := newPollerBundle(seed, func(o *PollerOptions) {
		o.Readers, o.Continuous, o.Interval = []string{name}, true, 2*time.Minute
	})
	b.tenant.emptyFirst, b.tenant.shuffled = seed%2 == 0, seed%3 == 0
	b.tenant.skew = time.Duration(int64(seed)-3) * 20 * time.Minute
	b.opts.Start = func(Scope) time.Time { return time.Now().Add(-24 * time.Hour) }
	b.run(t)
	fail := func(op string, err error) {
		b.tenant.setFail(op, err)
		elapse(time.Duration(rng.IntN(600)) * time.Second)
		b.tenant.setFail(op, nil)
	}
	var refs []MessageRef
	for range 250 {
		ch := []ChannelRef{chanA, chanB, chanC}[rng.IntN(3)]
		switch n := rng.IntN(100); {
		case n < 30 || len(refs) == 0:
			refs = append(refs, b.tenant.put(ch, ""))
		case n < 65: // a reply; often to the same few posts, so that threads get long
			to := refs[rng.IntN(min(len(refs), 1+rng.IntN(len(refs))))]
			if to.RootID != "" {
				to.ID = to.RootID
			}
			refs = append(refs, b.tenant.put(to.ChannelRef, to.ID))
		case n < 75:
			b.tenant.change(refs[rng.IntN(len(refs))], fmt.Sprint("edit ", n), false)
		case n < 80:
			b.tenant.change(refs[rng.IntN(len(refs))], "", true)
		case n < 83:
			b.tenant.loseTokens()
		case n < 86:
			fail(name, &Error{Kind: KindUnavailable})
		case n < 88:
			fail(name, &Error{Kind: KindThrottled, RetryAfter: time.Minute})
		case n < 90:
			fail("replies", &Error{Kind: KindUnavailable})
		case n < 93:
			b.sink.setRefuse(func([]Message) error { return errors.New("database away") })
			elapse(time.Duration(rng.IntN(300)) * time.Second)
			b.sink.setRefuse(nil)
		case n < 95:
			b.run(t)
		default:
			elapse(time.Duration(rng.IntN(1800)) * time.Second)
		}
		if rng.IntN(3) == 0 {
			elapse(time.Duration(rng.IntN(40_000)) * time.Millisecond)
		}
	}
	elapse(15 * time.Minute)
	synctest.Wait()
	require.Empty(t, b.Refusals())
	b.same(t)
	require.Zero(t, b.sink.from("webhook"))
	require.Less(t, b.Lag(), time.Minute)
	for _, s := range b.Scopes() {
		require.Equal(t, name, s.Reader)
		require.Empty(t, s.LastError)
	}
}

package crashtest

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"teamsbridge/internal/stack"
)

// homeserverTroubles are those between the bridge and the homeserver.
func (r *run) homeserverTroubles(rng *rand.Rand) []trouble {
	out := []trouble{
		r.cut("homeserver cut off from the bridge", r.stack.Proxy, rng),
		r.cut("bridge cut off from the homeserver", r.stack.Inbound, rng),
		r.proxied("answers of the homeserver lost", r.stack.Proxy, stack.ProxyLose, writes, .25, rng),
		r.proxied("requests to the homeserver refused", r.stack.Proxy, stack.ProxyRefuse, writes, .3, rng),
		r.proxied("transactions delivered twice", r.stack.Inbound, stack.ProxyTwice, transactions, .5, rng),
		r.proxied("answers to transactions lost", r.stack.Inbound, stack.ProxyLose, transactions, .5, rng),
	}
	return append(out, r.restartHomeserver(rng), r.restartHomeserver(rng))
}

func writes(q *http.Request) bool {
	return q.Method == http.MethodPut || q.Method == http.MethodPost
}

func transactions(q *http.Request) bool { return strings.Contains(q.URL.Path, "/transactions/") }

func (r *run) cut(name string, p *stack.Proxy, rng *rand.Rand) trouble {
	length := time.Duration(500+rng.IntN(4000)) * time.Millisecond
	return trouble{name: name, want: 1, least: length, most: length, begin: func(context.Context) (func() int, func(context.Context) error, error) {
		before := p.Count()
		p.Cut()
		return func() int { return p.Count() - before }, func(context.Context) error { p.Fail(nil); return nil }, nil
	}}
}

// proxied lets some of the requests that match meet a fault.
func (r *run) proxied(name string, p *stack.Proxy, fault stack.ProxyFault, match func(*http.Request) bool, chance float64, rng *rand.Rand) trouble {
	lots := rand.New(rand.NewPCG(rng.Uint64(), 1)) // the proxy draws one at a time
	return trouble{name: name, want: 5, least: time.Second, most: 8 * time.Second, begin: func(context.Context) (func() int, func(context.Context) error, error) {
		var hits atomic.Int64
		p.Fail(func(q *http.Request) stack.ProxyFault {
			if !match(q) || lots.Float64() >= chance {
				return stack.ProxyPass
			}
			hits.Add(1)
			return fault
		})
		return func() int { return int(hits.Load()) }, func(context.Context) error { p.Fail(nil); return nil }, nil
	}}
}

// restartHomeserver stops the homeserver and starts it again. Clients wait
// meanwhile, the bridge does not know.
func (r *run) restartHomeserver(rng *rand.Rand) trouble {
	away := time.Duration(rng.IntN(3000)) * time.Millisecond
	return trouble{name: "homeserver restarted", want: 1, begin: func(ctx context.Context) (func() int, func(context.Context) error, error) {
		r.gates[inMatrix].Lock()
		r.stack.Homeserver.Stop()
		return always, func(ctx context.Context) error {
			defer r.gates[inMatrix].Unlock()
			if err := r.pause(ctx, away); err != nil {
				return err
			}
			return r.stack.Homeserver.Start(ctx)
		}, nil
	}}
}

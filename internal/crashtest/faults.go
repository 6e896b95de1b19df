package crashtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// listings are the requests that a false 403 or 404 is tried on: what Graph says
// for good about a message or a picture is the truth for the bridge.
const listings = `/(messages|replies|getAllMessages|delta\(\)|channels|allMembers|members)$`

// graphFaults are all faults of the simulated tenant.
func (r *run) graphFaults(rng *rand.Rand) []trouble {
	any := teamstest.Match{Service: teamstest.ServiceGraph}
	list := []teamstest.Fault{
		{Kind: teamstest.FaultRefuse, Match: any, Chance: .3},
		{Kind: teamstest.FaultHang, Match: any, Chance: .1},
		{Kind: teamstest.FaultSlow, Match: any, Chance: .5, Delay: time.Duration(200+rng.IntN(1500)) * time.Millisecond},
		{Kind: teamstest.FaultThrottled, Match: any, Chance: .2, RetryAfter: time.Duration(1+rng.IntN(3)) * time.Second},
		{Kind: teamstest.FaultInternalError, Match: any, Chance: .3},
		{Kind: teamstest.FaultBadGateway, Match: any, Chance: .3},
		{Kind: teamstest.FaultUnavailable, Match: any, Chance: .3, RetryAfter: time.Second},
		{Kind: teamstest.FaultGatewayTimeout, Match: any, Chance: .3},
		{Kind: teamstest.FaultHTML, Match: any, Chance: .3},
		{Kind: teamstest.FaultExpireToken, Chance: .2},
		// A second challenge in a row means that a policy asks for a new sign-in.
		{Kind: teamstest.FaultClaimsChallenge, Match: teamstest.Match{Caller: teamstest.CallerApp}, Chance: .3},
		{Kind: teamstest.FaultClaimsChallenge, Times: 1},
		{Kind: teamstest.FaultCut, Match: any, Chance: .3},
		{Kind: teamstest.FaultAcceptLose, Match: any, Chance: .3},
		{Kind: teamstest.FaultAcceptHang, Match: any, Chance: .1},
		{Kind: teamstest.FaultAcceptBadGateway, Match: any, Chance: .3},
		{Kind: teamstest.FaultAcceptUnavailable, Match: any, Chance: .3},
		{Kind: teamstest.FaultAcceptTimeout, Match: any, Chance: .3},
		{Kind: teamstest.FaultNotifyEarly, Chance: .5},
		{Kind: teamstest.FaultNotifyNever, Chance: .1},
		{Kind: teamstest.FaultNotifyTwice, Chance: .3},
		{Kind: teamstest.FaultNotifyLate, Chance: .2, Delay: time.Duration(1+rng.IntN(4)) * time.Second},
		{Kind: teamstest.FaultNotifyReorder, Chance: .3},
		{Kind: teamstest.FaultRemoveSubscription, Times: 1},
	}
	var out []trouble
	for _, f := range list {
		out = append(out, r.fault(f, nil))
	}
	// These need readings, which there are after a start.
	for _, kind := range []teamstest.FaultKind{teamstest.FaultNotFound, teamstest.FaultForbidden} {
		out = append(out, r.fault(teamstest.Fault{Kind: kind, Match: teamstest.Match{Method: http.MethodGet, Path: listings}, Chance: .4}, r.readers(rng, "")))
	}
	for _, kind := range []teamstest.FaultKind{teamstest.FaultDeltaGone, teamstest.FaultDeltaRefused, teamstest.FaultSyncStateNotFound} {
		out = append(out, r.fault(teamstest.Fault{Kind: kind, Chance: .5}, r.readers(rng, "delta")))
	}
	return append(out, r.lag(rng), r.revocation(rng))
}

// lag is a tenant whose reads are behind its writes: lists show them late, and
// whoever names a young message is told that it is not there.
func (r *run) lag(rng *rand.Rand) trouble {
	reads := time.Duration(100+rng.IntN(1400)) * time.Millisecond
	writes := time.Duration(100+rng.IntN(1400)) * time.Millisecond
	return trouble{name: "reads behind writes", want: 1, least: 2 * time.Second, most: 8 * time.Second, begin: func(context.Context) (func() int, func(context.Context) error, error) {
		r.stack.Tenant.SetLag(reads)
		r.stack.Tenant.SetWriteLag(writes)
		return always, func(context.Context) error {
			r.stack.Tenant.SetLag(0)
			r.stack.Tenant.SetWriteLag(0)
			return nil
		}, nil
	}}
}

// readers are settings with the readers in an order drawn by lot, one first.
func (r *run) readers(rng *rand.Rand, first string) map[string]any {
	all := []string{"export", "delta", "list"}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i, name := range all {
		if name == first {
			all[0], all[i] = all[i], all[0]
		}
	}
	return map[string]any{"network": map[string]any{"poller": map[string]any{"readers": all}}}
}

// fault is a fault of the tenant as trouble; with settings, the bridge is
// restarted in the middle of it.
func (r *run) fault(f teamstest.Fault, settings map[string]any) trouble {
	t := trouble{name: string(f.Kind), want: 3, least: 500 * time.Millisecond, most: 5 * time.Second}
	if f.Times > 0 {
		t.want = f.Times
	}
	t.begin = func(ctx context.Context) (func() int, func(context.Context) error, error) {
		in := r.stack.Tenant.Faults().Add(f)
		end := func(context.Context) error {
			for _, s := range in.Struck() {
				r.excuse(f.Kind, s)
			}
			in.Clear()
			return nil
		}
		if settings != nil {
			if err := r.restartBridge(ctx, settings); err != nil {
				return nil, nil, errors.Join(err, end(ctx))
			}
		}
		return in.Hits, end, nil
	}
	return t
}

// excuse takes a message whose notification did not come in its turn out of the
// order.
func (r *run) excuse(kind teamstest.FaultKind, s teamstest.Struck) {
	if kind == teamstest.FaultNotifyTwice {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.late[s.ChannelID] == nil {
		r.late[s.ChannelID] = map[string]bool{}
	}
	r.late[s.ChannelID][s.MessageID] = true
}

// revocation takes the sign-in of a relay account away, and signs it in again.
// An edit or deletion of what that account wrote fails for good meanwhile, so
// people only talk.
func (r *run) revocation(rng *rand.Rand) trouble {
	account := r.relays[rng.IntN(len(r.relays))]
	t := trouble{name: string(teamstest.FaultRevokeRefresh), want: 2, most: 10 * time.Second}
	t.begin = func(ctx context.Context) (func() int, func(context.Context) error, error) {
		if err := r.onlyTalking(ctx); err != nil {
			// Slow today: another time.
			r.onlyTalk.Store(false)
			return never, func(context.Context) error { return nil }, context.Cause(ctx)
		}
		match := teamstest.Match{Service: teamstest.ServiceGraph, Caller: account.ID}
		faults := r.stack.Tenant.Faults()
		revoke := faults.Add(teamstest.Fault{Kind: teamstest.FaultRevokeRefresh, Match: match, Times: 1})
		expire := faults.Add(teamstest.Fault{Kind: teamstest.FaultExpireToken, Match: match, Times: 1, Skip: 1})
		struck := func() int { return revoke.Hits() + expire.Hits() }
		return struck, func(ctx context.Context) error {
			defer r.onlyTalk.Store(false)
			revoke.Clear()
			expire.Clear()
			r.calm.Lock()
			defer r.calm.Unlock()
			return r.signIn(r.admin, "relay login", account)
		}, nil
	}
	return t
}

// errBusy says that the queue did not get empty in time.
var errBusy = errors.New("too much is on its way")

// onlyTalking stops changes in Matrix and waits until none is on its way.
func (r *run) onlyTalking(ctx context.Context) error {
	r.gates[inMatrix].Lock() // nobody says anything until the queue is empty
	defer r.gates[inMatrix].Unlock()
	r.onlyTalk.Store(true)
	err := stack.Eventually(ctx, 40*time.Second, func(ctx context.Context) error {
		m, err := r.metrics(ctx)
		if err == nil && m.waitingForTeams() > 0 {
			err = errBusy
		}
		return err
	})
	return err
}

// outages are both services down in every mode.
func (r *run) outages(rng *rand.Rand) []trouble {
	graph, signIn := []teamstest.Service{teamstest.ServiceGraph}, []teamstest.Service{teamstest.ServiceSignIn}
	var out []trouble
	add := func(mode teamstest.DownMode, services []teamstest.Service) {
		name := fmt.Sprintf("down: %s", mode)
		for _, s := range services {
			name += ", " + string(s)
		}
		length := time.Duration(1000+rng.IntN(4000)) * time.Millisecond
		out = append(out, trouble{name: name, want: 1, least: length, most: length, begin: func(context.Context) (func() int, func(context.Context) error, error) {
			before := r.stack.Tenant.CountRequests(nil)
			if len(services) == 1 && services[0] == teamstest.ServiceSignIn {
				r.stack.Tenant.ExpireTokens() // else nobody asks it
			}
			r.stack.Tenant.Down(mode, services...)
			struck := func() int { return r.stack.Tenant.CountRequests(nil) - before }
			return struck, func(context.Context) error { return r.stack.Tenant.Up() }, nil
		}})
	}
	for _, mode := range []teamstest.DownMode{teamstest.DownRefuse, teamstest.DownHang, teamstest.DownUnavailable, teamstest.DownHTML} {
		add(mode, nil)
		add(mode, [][]teamstest.Service{graph, signIn}[rng.IntN(2)])
	}
	return out
}

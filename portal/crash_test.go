package portal_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database/databasetest"
	"teamsbridge/portal/portaltest"
)

// scenario does a bit of everything, and goes on where a crash has stopped it.
func scenario(r *portaltest.Rig, step func(f func())) (mine map[id.UserID][]id.EventID) {
	var a, b id.EventID
	step(func() { r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "t1") })
	step(func() { a = r.Say(portaltest.AliceMXID, "m2") })
	step(func() { b = r.Reply(portaltest.BobMXID, a, "m3") })
	step(func() {
		first := r.Tenant.Messages(portaltest.Channel)[0]
		r.Tenant.Post(portaltest.Channel, first.ID, portaltest.Alice, "t4")
		r.Tenant.Change(portaltest.Channel, first.ID, portaltest.SetText("t5"))
		r.Tenant.Change(portaltest.Channel, first.ID, portaltest.AddReaction(portaltest.Dave, "👍"))
	})
	step(func() { r.Edit(portaltest.AliceMXID, a, "m6") })
	step(func() { r.React(portaltest.AliceMXID, b, "🎉") })
	step(func() { r.Redact(portaltest.BobMXID, b) })
	return map[id.UserID][]id.EventID{portaltest.AliceMXID: {a}}
}

// TestCrashAtEveryStatement cuts the bridge off after each SQL statement that
// it makes while a bit of everything happens, and starts a new one from the
// files as they are at that instant. Both sides then show the same, once.
//
// Proves M2, M4 and T3.
func TestCrashAtEveryStatement(t *testing.T) {
	total := 0
	{
		r := started(t)
		r.CountFromHere()
		scenario(r, func(f func()) { f(); r.Settled() })
		r.Quiet()
		total = r.Statements()
		r.Stop()
	}
	stride := 3
	if testing.Short() {
		stride = 17
	}
	t.Logf("the scenario takes about %d statements", total)
	for at := 1; at < total; at += stride {
		t.Run(fmt.Sprint(at), func(t *testing.T) { crashAt(t, at, nil) })
	}
}

// TestTornStorage cuts the power while SQLite writes its log: behind what was
// acknowledged stand half a transaction, a piece of a frame, or noise. The bridge
// starts, and both sides then show the same, once.
func TestTornStorage(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 0))
	torn := 0
	for at := 5; at < 280; at += 11 {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			crashAt(t, at, func(log []byte) []byte {
				torn++
				return databasetest.HalfTransaction(log, rng, 5)
			})
		})
	}
	require.Greater(t, torn, 10, "a power cut happened")
}

func crashAt(t *testing.T, at int, torn func(log []byte) []byte) {
	r := portaltest.New(t)
	r.Fast, r.Torn = torn == nil, torn
	debugLog(r)
	r.Start() // makes the room
	r.Stop()
	r.CrashAfter(at)
	r.Start()
	r.CountFromHere()
	crashes := 0
	mine := scenario(r, func(f func()) {
		f()
		r.Eventually(func() bool { return r.Crashed() || !r.Crashing() && r.Ingest.Busy()+r.Sender.Busy() == 0 })
		if r.Crashed() {
			crashes++
			r.Recover()
		}
	})
	require.LessOrEqual(t, crashes, 1)
	r.Recover()
	r.Quiet()
	require.NoError(t, r.Ingest.Accept(context.Background(), "list", r.Tenant.Messages(portaltest.Channel)))
	r.Quiet()
	compare(t, r, mine)
}

package portal_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// digested starts a rig with three messages in a digest. A write that failed is
// tried again after wait.
func digested(t *testing.T, wait time.Duration) (r *portaltest.Rig, events []id.EventID) {
	t.Helper()
	var free atomic.Bool
	r = started(t, func(r *portaltest.Rig) {
		tune := digestTune(2, free.Load)
		r.Fast, r.Tune = true, func(in *portal.IngestOptions, out *portal.SenderOptions) {
			tune(in, out)
			out.RetryMin, out.RetryMax = wait, wait
		}
	})
	for i := range 3 {
		events = append(events, r.Say(portaltest.AliceMXID, fmt.Sprintf("first-%d.", i)))
	}
	queued(r)
	free.Store(true)
	require.NoError(t, r.Sender.Kick(context.Background()))
	r.Quiet()
	return r, events
}

// digestPost returns the post of the digest that has the messages.
func digestPost(t *testing.T, r *portaltest.Rig) teams.Message {
	t.Helper()
	_, replies := split(r)
	require.Len(t, replies, 1)
	return replies[0]
}

// lateWrites has Teams say of the first n edits that they failed. Each call of
// carryOut carries one of them out, the oldest first.
func lateWrites(r *portaltest.Rig, n int) (refused func() int, carryOut func()) {
	writes := make(chan portaltest.Write, n)
	var refusals atomic.Int32
	r.Tenant.SetWrites(func(w portaltest.Write) (out portaltest.Fault) {
		if w.Op == "edit" && int(refusals.Load()) < n {
			refusals.Add(1)
			writes <- w
			out.Refuse = portaltest.ErrAmbiguous
		}
		return out
	})
	return func() int { return int(refusals.Load()) }, func() {
		w := <-writes
		r.Tenant.Change(w.Channel, w.Target, portaltest.SetText(w.HTML))
	}
}

// TestLateWriteOfADigestDoesNotStand has Teams carry the writes of a digest's post
// out behind a newer one, once and twice, with and without a restart in between:
// the post shows what was said last.
//
// Proves M4 for digests.
func TestLateWriteOfADigestDoesNotStand(t *testing.T) {
	for _, restart := range []bool{false, true} {
		r, events := digested(t, time.Second)
		refused, carryOut := lateWrites(r, 2)
		r.Edit(portaltest.AliceMXID, events[0], "second-0.")
		r.Eventually(func() bool { return refused() == 1 })
		r.Edit(portaltest.AliceMXID, events[0], "third-0.")
		r.Eventually(func() bool { return refused() == 2 })
		r.Redact(portaltest.AliceMXID, events[1])
		r.Quiet()
		for range 2 {
			restarting(t, r, restart, carryOut)
			r.Quiet()
			body := digestPost(t, r).Body
			require.Contains(t, body, "third-0.")
			require.NotContains(t, body, "second-0.")
			require.NotContains(t, body, "first-1.")
			require.Positive(t, r.Counts.Get(portal.MetricDelivered, "digest behind a late write"))
		}
		require.Len(t, r.HS.Messages(r.Room), 3, "nothing of it comes into the room: two messages, and the digest's notice")
	}
}

// TestLateWriteOfADigestOfTheSameWords: a write that differs in its looks alone is
// known, too.
func TestLateWriteOfADigestOfTheSameWords(t *testing.T) {
	r, events := digested(t, time.Second)
	refused, carryOut := lateWrites(r, 1)
	edit := func(html string) { editTo(r, portaltest.AliceMXID, events[0], formatted("first-0.", html)) }
	edit("<b>first-0.</b>")
	r.Eventually(func() bool { return refused() == 1 })
	edit("<i>first-0.</i>")
	r.Quiet()
	carryOut()
	r.Quiet()
	require.Contains(t, digestPost(t, r).Body, "<i>first-0.</i>")
}

// TestDigestEditedBackBehindALostAnswer: a write is made and its answer lost, and
// while it waits to be tried again what it changed is changed back.
//
// Proves M4 for digests.
func TestDigestEditedBackBehindALostAnswer(t *testing.T) {
	r, events := digested(t, time.Hour)
	r.Tenant.SetChanged(nil) // nobody tells what Teams shows
	r.Tenant.SetWrites(func(portaltest.Write) portaltest.Fault { return portaltest.Fault{Lose: portaltest.ErrAmbiguous} })
	second := r.Edit(portaltest.AliceMXID, events[0], "second-0.")
	r.Eventually(func() bool {
		row, err := r.DB.Outbox.ByEvent(context.Background(), second.String())
		return err == nil && row != nil && row.State == database.StateQueued && row.Attempts == 1
	})
	require.Contains(t, digestPost(t, r).Body, "second-0.")
	r.Edit(portaltest.AliceMXID, events[0], "first-0.")
	queued(r)
	r.Tenant.SetWrites(nil)
	require.NoError(t, r.Sender.Kick(context.Background()))
	r.Quiet()
	body := digestPost(t, r).Body
	require.Contains(t, body, "first-0.")
	require.NotContains(t, body, "second-0.")
}

// TestOvertakenDigestOutlivesTheProcess: Teams can't be written to when a late
// write shows, and the process dies before it can be.
//
// Proves M4 for digests.
func TestOvertakenDigestOutlivesTheProcess(t *testing.T) {
	r, events := digested(t, time.Hour)
	carryOut := editedTwice(t, r, events[0])
	r.Tenant.SetFault(func(string, string) portaltest.Fault { return portaltest.Fault{Refuse: portaltest.ErrUnavailable} })
	carryOut()
	r.Eventually(func() bool {
		marked, err := r.DB.Digests.Overtaken(context.Background(), r.Portal())
		return err == nil && len(marked) == 1
	})
	r.Stop()
	r.Tenant.SetFault(nil)
	r.Start()
	r.Eventually(func() bool {
		marked, err := r.DB.Digests.Overtaken(context.Background(), r.Portal())
		return err == nil && len(marked) == 0
	})
	require.Contains(t, digestPost(t, r).Body, "third-0.")
}

// editedTwice edits a message of a digest two times, of which Teams carries out the
// first when carryOut is called.
func editedTwice(t *testing.T, r *portaltest.Rig, message id.EventID) (carryOut func()) {
	t.Helper()
	refused, carryOut := lateWrites(r, 1)
	r.Edit(portaltest.AliceMXID, message, "second-0.")
	r.Eventually(func() bool { return refused() == 1 })
	r.Edit(portaltest.AliceMXID, message, "third-0.")
	queued(r)
	require.NoError(t, r.Sender.Kick(context.Background()))
	r.Quiet()
	return carryOut
}

// A digest whose account may not write at the time is written again once it may.
func TestOvertakenDigestWaitsForItsAccount(t *testing.T) {
	for name, refuse := range map[string]func(r *portaltest.Rig, may bool){
		"signed out": func(r *portaltest.Rig, may bool) { r.People.SignIn(portaltest.Relay, may) },
		"forbidden": func(r *portaltest.Rig, may bool) {
			if may {
				r.Tenant.SetFault(nil)
				return
			}
			r.Tenant.SetFault(func(string, string) portaltest.Fault { return portaltest.Fault{Refuse: portaltest.ErrPermission} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, events := digested(t, 20*time.Millisecond)
			carryOut := editedTwice(t, r, events[0])
			refuse(r, false)
			carryOut()
			overtaken := func(n int) func() bool {
				return func() bool {
					marked, err := r.DB.Digests.Overtaken(context.Background(), r.Portal())
					return err == nil && len(marked) == n
				}
			}
			r.Eventually(overtaken(1))
			_, before := r.Tenant.Requests()
			r.Eventually(func() bool { // it is tried again and again
				_, writes := r.Tenant.Requests()
				return name == "signed out" || writes > before+1
			})
			require.True(t, overtaken(1)())
			refuse(r, true)
			r.Eventually(overtaken(0))
			require.Contains(t, digestPost(t, r).Body, "third-0.")
		})
	}
}

// TestCrashWhileADigestIsWrittenAgain cuts the bridge off after each SQL statement
// while an overtaken post is noticed and written again.
//
// Proves M4 for digests.
func TestCrashWhileADigestIsWrittenAgain(t *testing.T) {
	overtaken := func() *portaltest.Rig {
		r, events := digested(t, time.Second)
		refused, carryOut := lateWrites(r, 1)
		r.Edit(portaltest.AliceMXID, events[0], "second-0.")
		r.Eventually(func() bool { return refused() == 1 })
		r.Edit(portaltest.AliceMXID, events[0], "third-0.")
		r.Quiet()
		r.Stop()
		carryOut()
		return r
	}
	tell := func(r *portaltest.Rig) {
		_ = r.Ingest.Accept(context.Background(), "list", r.Tenant.Messages(portaltest.Channel))
	}
	total := 0
	{
		r := overtaken()
		r.Start()
		r.CountFromHere()
		tell(r)
		r.Quiet()
		total = r.Statements()
		require.Contains(t, digestPost(t, r).Body, "third-0.")
	}
	stride := 7
	if testing.Short() {
		stride = 23
	}
	for at := 1; at < total; at += stride {
		r := overtaken()
		r.CrashAfter(at)
		r.Start()
		tell(r)
		r.Eventually(func() bool { return r.Crashed() || !r.Crashing() && r.Ingest.Busy()+r.Sender.Busy() == 0 })
		r.Recover()
		tell(r)
		r.Quiet()
		require.Contains(t, digestPost(t, r).Body, "third-0.", "after %d of %d statements", at, total)
	}
}

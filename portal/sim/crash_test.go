package sim

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// everything is a short plan with a bit of everything, in both directions.
func everything() *plan {
	p := &plan{seed: 1, channels: []teams.ChannelRef{channel(0)}, span: 20 * time.Second}
	say := func(at time.Duration, s side, who string, root int) int {
		p.messages = append(p.messages, message{side: s, who: who, root: root})
		p.ops = append(p.ops, op{at: at, kind: opPost, msg: len(p.messages) - 1, who: who})
		return len(p.messages) - 1
	}
	then := func(at time.Duration, kind opKind, msg int, who, emoji string) {
		p.ops = append(p.ops, op{at: at, kind: kind, msg: msg, who: who, emoji: emoji})
	}
	second := time.Second
	t0 := say(1*second, inTeams, portaltest.Dave, -1)
	m0 := say(2*second, inMatrix, portaltest.Alice, -1)
	m1 := say(2*second, inMatrix, "carol", m0)
	say(5*second, inTeams, portaltest.Alice, t0)
	then(6*second, opEdit, t0, portaltest.Dave, "")
	then(7*second, opReact, t0, portaltest.Dave, "👍")
	then(8*second, opEdit, m0, portaltest.Alice, "")
	then(9*second, opReact, t0, portaltest.Alice, "🎉")
	t1 := say(9*second, inTeams, portaltest.Dave, m0)
	then(11*second, opReact, m0, portaltest.Bob, "👀")
	then(12*second, opUnreact, t0, portaltest.Dave, "👍")
	then(12*second, opUnreact, t0, portaltest.Alice, "🎉")
	then(14*second, opDelete, t1, portaltest.Dave, "")
	then(14*second, opDelete, m1, "carol", "")
	return p
}

// TestCrashOnceAndTwice kills the bridge at its n-th SQL statement while a bit
// of everything happens, and in every second run once more while it recovers.
// TEAMSBRIDGE_SIM_STRIDE is the distance between the statements, 1 for all.
//
// Proves M2, M4, T2 and T3.
func TestCrashOnceAndTwice(t *testing.T) {
	stride := 9
	if s := os.Getenv("TEAMSBRIDGE_SIM_STRIDE"); s != "" {
		var err error
		stride, err = strconv.Atoi(s)
		require.NoError(t, err)
	} else if testing.Short() {
		stride = 61
	}
	total := 0
	synctest.Test(t, func(t *testing.T) {
		w := run(t, everything(), quiet)
		total = w.r.Statements()
	})
	t.Logf("a run takes %d statements", total)
	for at := 1; at < total; at += stride {
		for again := range 2 {
			t.Run(fmt.Sprintf("%d/%d", at, again), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					p := everything()
					p.again = again * (1 + at%37)
					p.ops = append([]op{{kind: opCrash, n: at, away: time.Second}}, p.ops...)
					run(t, p, quiet)
				})
			})
		}
	}
}

// quiet lets nothing else go wrong.
func quiet(w *world) { w.f.end() }

package sim

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
)

// silence is a time in which Teams answers posts with a 504, each after a while,
// while everything else works.
type silence struct {
	mu           sync.Mutex
	until, known time.Time // known is from when on the bridge knows
	trying, most int
	tries        int
	tried        map[string]struct{} // which conversations
	posts        []time.Time         // that went through, after it was over
}

// down is what the bridge knows: it learns of the end from a post that goes through.
func (s *silence) down() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().After(s.known) && len(s.posts) == 0
}

func (s *silence) write(w portaltest.Write) (out portaltest.Fault) {
	const hangs = 20 * time.Second
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.After(s.until) {
		s.posts = append(s.posts, now)
		return out
	}
	if now.After(s.known.Add(hangs)) { // what was tried before it was known is over
		s.tries++
		s.tried[w.Channel.ChannelID] = struct{}{}
		s.trying++
		s.most = max(s.most, s.trying)
		time.AfterFunc(hangs, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.trying--
		})
	}
	out.Refuse, out.Delay = portaltest.ErrAmbiguous, hangs
	return out
}

// TestFewTryWhileTeamsTakesNothing has many rooms wait through an hour in which
// Teams takes nothing: a few try, in turn, so that Teams is asked little, and all
// others go as soon as one gets through.
//
// Proves M4 and M5.
func TestFewTryWhileTeamsTakesNothing(t *testing.T) {
	for name, rooms := range map[string]int{"many rooms": 100, "one room": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const lasts = time.Hour
				p := saidInMatrix(rooms, 2*rooms, 100*time.Millisecond)
				p.span = lasts + 10*time.Minute
				var s *silence
				run(t, p, func(w *world) {
					w.f.end() // nothing else goes wrong
					w.r.Tenant.SetLag(nil)
					s = &silence{tried: map[string]struct{}{}, until: time.Now().Add(lasts), known: time.Now().Add(time.Minute)}
					w.r.Tune = func(in *portal.IngestOptions, out *portal.SenderOptions) {
						w.tune(in, out)
						out.Down = s.down
					}
					w.r.Tenant.SetWrites(s.write)
				})
				first := s.posts[0]
				most, last := s.posts[len(s.posts)*3/4].Sub(first), s.posts[len(s.posts)-1].Sub(first)
				t.Logf("%d tries, at most %d at once; the first post %s after the end, three of four %s after that, the last %s", s.tries, s.most, first.Sub(s.until), most, last)
				require.LessOrEqual(t, s.most, 8)
				require.GreaterOrEqual(t, s.tries, int(lasts/(2*time.Minute)), "somebody tries")
				require.Less(t, first.Sub(s.until), time.Minute, "it is soon seen that it is over")
				require.Len(t, s.tried, rooms, "each has its turn")
				require.Less(t, most, 5*time.Second, "and then all go")
				// What hung at the end is looked for before it goes again.
				require.Less(t, last, time.Minute)
			})
		})
	}
}

// TestLostAnswersWhileTeamsSeemsDown has Teams take every post and lose every
// answer, for as long as it lasts: nobody sees a post that was answered, and what
// was said gets to Teams all the same, once, room by room at once.
//
// Proves M4.
func TestLostAnswersWhileTeamsSeemsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rooms, each = 20, 10
		p := saidInMatrix(rooms, each*rooms, 10*time.Millisecond)
		p.span = 30 * time.Minute
		var mu sync.Mutex
		var began, last time.Time
		run(t, p, func(w *world) {
			w.f.end() // nothing else goes wrong
			w.r.Tenant.SetLag(nil)
			began = time.Now()
			w.r.Tune = func(in *portal.IngestOptions, out *portal.SenderOptions) {
				w.tune(in, out)
				out.Down = func() bool { return true }
			}
			w.r.Tenant.SetWrites(func(portaltest.Write) portaltest.Fault {
				mu.Lock()
				defer mu.Unlock()
				last = time.Now()
				return portaltest.Fault{Lose: portaltest.ErrAmbiguous}
			})
		})
		t.Logf("the last of %d messages went after %s", rooms*each, last.Sub(began))
		require.Less(t, last.Sub(began), 5*time.Minute)
	})
}

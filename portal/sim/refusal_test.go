package sim

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// latest is how long a message may take with nothing in its way.
const latest = time.Second

// prompt checks that a message was in Teams a moment after it was said.
func (w *world) prompt(msg int) {
	w.t.Helper()
	e := w.r.HS.Event(w.said[msg].event)
	for _, m := range w.r.Tenant.Messages(w.p.channels[w.p.messages[msg].room]) {
		if got, _, _ := tokenOf(portaltest.Plain(m.Body)); got == msg {
			require.Less(w.t, m.Created.Sub(e.At), latest, "message %d", msg)
			return
		}
	}
	w.t.Errorf("message %d is not in Teams", msg)
}

// told reports whether the author of a message was told that it failed.
func (w *world) told(msg int) bool {
	return slices.ContainsFunc(w.r.HS.Statuses(w.said[msg].event), func(s portaltest.Status) bool {
		return s.Status == event.MessageStatusFail && s.Message != ""
	})
}

// TestPermanentRefusalStopsNothing has Teams refuse one message for good: its
// author is told, and everything else goes on at once, in its own conversation
// and in all others.
//
// Proves M3 and M5.
func TestPermanentRefusalStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := saidInMatrix(10, 200, 100*time.Millisecond)
		const refused = 70
		p.messages[refused].poison = true
		w := run(t, p, func(w *world) { w.f.end() })
		require.True(t, w.told(refused))
		for msg := range p.messages {
			if msg != refused {
				w.prompt(msg)
				require.False(t, w.told(msg), "message %d", msg)
			}
		}
	})
}

// TestOneForbiddenConversation has one conversation answer everything with 403,
// reads and writes: all others go on at once in both directions, and whoever
// writes in that one is told.
//
// Proves M5 and T5.
func TestOneForbiddenConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rooms, forbidden = 20, 3
		p := saidInMatrix(rooms, 400, 50*time.Millisecond)
		for i := range 200 {
			msg := len(p.messages)
			p.messages = append(p.messages, message{room: i % rooms, side: inTeams, who: portaltest.Dave, root: -1})
			p.ops = append(p.ops, op{at: time.Second + time.Duration(i)*100*time.Millisecond, kind: opPost, msg: msg, who: portaltest.Dave})
		}
		slices.SortStableFunc(p.ops, func(a, b op) int { return int(a.at - b.at) })
		w := run(t, p, func(w *world) {
			w.f.end()
			w.f.windows = []window{{what: p.channels[forbidden].ChannelID}} // explains the failures
			w.r.Tenant.SetLag(nil)
			w.r.Tenant.SetWrites(func(f portaltest.Write) (out portaltest.Fault) {
				if f.Channel == p.channels[forbidden] {
					out.Refuse = portaltest.ErrPermission
				}
				return out
			})
			w.r.Tenant.SetReads(func(r portaltest.Read) error {
				if r.Channel == p.channels[forbidden] {
					return portaltest.ErrPermission
				}
				return nil
			})
			w.r.Tenant.SetChanged(func(m teams.Message) {
				go w.locked(func() { _ = w.Accept(t.Context(), "webhook", []teams.Message{m}) })
			})
		})
		for msg, m := range p.messages {
			switch {
			case m.side == inMatrix && m.room == forbidden:
				require.True(t, w.told(msg), "message %d", msg)
			case m.side == inMatrix:
				w.prompt(msg)
			default:
				e := w.r.HS.Event(w.inMatrixID(msg))
				require.Less(t, w.arrived[e.ID].Sub(e.At), latest, "message %d", msg)
			}
		}
	})
}

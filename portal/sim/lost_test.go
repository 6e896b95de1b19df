package sim

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// saidInMatrix is a plan in which messages are written in Matrix, turn by turn in so
// many rooms, one every pause.
func saidInMatrix(rooms, messages int, pause time.Duration) *plan {
	p := &plan{seed: 1, span: time.Duration(messages) * pause}
	for i := range rooms {
		p.channels = append(p.channels, channel(i))
	}
	for i := range messages {
		who := matrixPeople[i/rooms%len(matrixPeople)]
		p.messages = append(p.messages, message{room: i % rooms, who: who, root: -1})
		p.ops = append(p.ops, op{at: time.Second + time.Duration(i)*pause, kind: opPost, msg: i, who: who})
	}
	return p
}

// TestLostAnswers loses the answer to three of ten posts after Teams has
// accepted them, and a third of all notifications: every message is in Teams
// once all the same, in order.
//
// Proves M4.
func TestLostAnswers(t *testing.T) {
	const rooms = 50
	messages := 5000
	if os.Getenv("TEAMSBRIDGE_FULL") == "" {
		messages = 500 // the gate runs the whole
	}
	synctest.Test(t, func(t *testing.T) {
		p := saidInMatrix(rooms, messages, 40*time.Millisecond)
		lost := 0
		w := run(t, p, func(w *world) {
			w.f.end() // nothing else goes wrong
			w.r.Tenant.SetLag(nil)
			w.r.Tenant.SetWrites(func(f portaltest.Write) (out portaltest.Fault) {
				w.f.mu.Lock()
				defer w.f.mu.Unlock()
				what := strings.Join([]string{f.Op, f.Channel.ChannelID, f.HTML}, "|")
				if w.f.draw(100, what, w.f.try(what)) < 30 {
					out.Lose = portaltest.ErrAmbiguous
					lost++
				}
				return out
			})
			w.r.Tenant.SetChanged(func(m teams.Message) {
				if w.f.draw(3, "notice", m.ID) > 0 {
					w.changed(m)
				}
			})
		})
		total := 0
		for _, ch := range p.channels {
			total += len(w.r.Tenant.Messages(ch))
		}
		require.Equal(t, messages, total, "0 lost, 0 doubled")
		require.Greater(t, lost, messages/4)
		t.Logf("%d messages, %d answers lost", messages, lost)
	})
}

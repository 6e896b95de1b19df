package portal_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// quietly changes the rig's first message in Teams, and nobody is told of it.
func quietly(r *portaltest.Rig, f func(m *teams.Message)) {
	r.Tenant.SetChanged(nil)
	r.Tenant.Change(portaltest.Channel, stands(r).ID, func(m *teams.Message, at time.Time) { f(m); m.Edited = at })
}

var addedFile = teams.Attachment{ID: "F2", ContentType: "reference", ContentURL: "https://elsewhere.example.org/new.pdf", Name: "new.pdf"}

// besides are changes beside the text of what illustrated posts, with what the
// room shows in the end next to the text.
var besides = map[string]struct {
	change func(m *teams.Message)
	shown  []string
}{
	"a picture comes":     {func(m *teams.Message) { m.Body += pictureTag(2) }, []string{"plan 0", "plan 1", "plan 2", "report.pdf"}},
	"a picture goes":      {func(m *teams.Message) { m.Body = strings.Replace(m.Body, pictureTag(0), "", 1) }, []string{"plan 1", "report.pdf"}},
	"a picture for other": {func(m *teams.Message) { m.Body = strings.Replace(m.Body, pictureTag(0), pictureTag(3), 1) }, []string{"plan 1", "plan 3", "report.pdf"}},
	"a file comes":        {func(m *teams.Message) { m.Attachments = append(slices.Clone(m.Attachments), addedFile) }, []string{"new.pdf", "plan 0", "plan 1", "report.pdf"}},
	"a file goes": {func(m *teams.Message) {
		m.Body, m.Attachments = strings.Replace(m.Body, `<attachment id="F1"></attachment>`, "", 1), nil
	}, []string{"plan 0", "plan 1"}},
}

// beside returns what the room shows next to the message's text, in any order.
func beside(r *portaltest.Rig, text id.EventID) (out []string) {
	for _, e := range r.HS.Messages(r.Room) {
		if e.ID == text {
			continue
		}
		body := e.Text()
		for _, name := range []string{"report.pdf", "new.pdf"} {
			if strings.Contains(body, name) {
				body = name
			}
		}
		out = append(out, body)
	}
	slices.Sort(out)
	return out
}

// edits counts the edits that the bridge has made of an event.
func edits(r *portaltest.Rig, of id.EventID) (n int) {
	for _, e := range r.HS.Events(r.Room) {
		if e.Bridge && e.Relation("event_id") == of.String() && e.Relation("rel_type") == "m.replace" {
			n++
		}
	}
	return n
}

// TestBesideAnEditedText: somebody puts a picture or a file into a message from
// Teams, or takes one out, and before the bridge hears of it the text is edited in
// Matrix. The text stays what Matrix says, and the rest becomes what Teams has.
//
// Proves T4.
func TestBesideAnEditedText(t *testing.T) {
	for name, c := range besides {
		for _, told := range []string{"after", "while it is sent", "after a restart", "after a failure"} {
			t.Run(name+" "+told, func(t *testing.T) {
				r := started(t)
				illustrated(r)
				text := r.HS.Messages(r.Room)[0].ID
				quietly(r, c.change)
				older := stands(r)
				if told == "while it is sent" {
					r.Tenant.SetChanged(func(m teams.Message) { accept(t, r, m) })
				}
				r.Edit(portaltest.AliceMXID, text, "from Matrix")
				r.Quiet()
				switch told {
				case "after a restart":
					r.Restart()
				case "after a failure":
					r.HS.SetSends(func() func(portaltest.Send) portaltest.SendFault {
						n := 0
						return func(portaltest.Send) portaltest.SendFault {
							if n++; n == 1 {
								return portaltest.SendFault{Lose: portaltest.Down()}
							}
							return portaltest.SendFault{}
						}
					}())
				}
				for range 2 {
					accept(t, r, stands(r))
					r.Quiet()
					require.Equal(t, c.shown, beside(r, text))
				}
				accept(t, r, older)
				r.Quiet()
				require.Equal(t, c.shown, beside(r, text))
				require.Equal(t, "from Matrix", bodies(r)[0])
				require.Zero(t, edits(r, text), "it is Matrix that has edited the text")

				// What is edited in Teams after that comes.
				r.Tenant.Change(portaltest.Channel, stands(r).ID, func(m *teams.Message, at time.Time) {
					portaltest.SetText(strings.Replace(m.Body, "from Matrix", "from Teams", 1))(m, at)
				})
				accept(t, r, stands(r))
				r.Quiet()
				require.Equal(t, "from Teams", bodies(r)[0])
				require.Equal(t, c.shown, beside(r, text))
			})
		}
	}
}

// TestBesideAnEditedTextThroughACrash does so with a crash after each statement of
// the delivery.
//
// Proves T4.
func TestBesideAnEditedTextThroughACrash(t *testing.T) {
	c := besides["a picture for other"]
	run := func(t *testing.T, at int) (statements int) {
		r := started(t, func(r *portaltest.Rig) { r.Fast = true })
		illustrated(r)
		text := r.HS.Messages(r.Room)[0].ID
		quietly(r, c.change)
		r.Edit(portaltest.AliceMXID, text, "from Matrix")
		r.Quiet()
		r.CountFromHere()
		if at > 0 {
			r.CrashIn(at)
		}
		_ = r.Ingest.Accept(context.Background(), "list", []teams.Message{stands(r)})
		r.Eventually(func() bool { return r.Crashed() || !r.Crashing() && r.Ingest.Busy()+r.Sender.Busy() == 0 })
		statements = r.Statements()
		if at > 0 {
			r.Recover()
			accept(t, r, stands(r))
		}
		r.Quiet()
		require.Equal(t, c.shown, beside(r, text), at)
		require.Equal(t, "from Matrix", bodies(r)[0])
		require.Zero(t, edits(r, text))
		return statements
	}
	total := run(t, 0)
	for at := 1; at <= total; at += 2 {
		run(t, at)
	}
}

// TestBesideATakenOutPart: the text of a message from Teams is edited there, and
// before the bridge hears of it one of its pictures is redacted in Matrix.
//
// Proves T4.
func TestBesideATakenOutPart(t *testing.T) {
	r := started(t)
	illustrated(r)
	shown := r.HS.Messages(r.Room)
	quietly(r, func(m *teams.Message) { m.Body = strings.Replace(m.Body, "look", "regard", 1) + pictureTag(2) })
	r.Redact(portaltest.AliceMXID, shown[1].ID)
	r.Quiet()
	accept(t, r, stands(r))
	r.Quiet()
	require.Contains(t, bodies(r)[0], "regard")
	require.Equal(t, []string{"plan 1", "plan 2", "report.pdf"}, beside(r, shown[0].ID))
}

// TestAddedJustBeforeAnEdit: somebody attaches a file in Teams to a message that was
// written in Matrix, and before the bridge hears of it its author edits the text.
//
// Proves T4.
func TestAddedJustBeforeAnEdit(t *testing.T) {
	for _, user := range []id.UserID{portaltest.AliceMXID, portaltest.BobMXID} {
		for _, restart := range []bool{false, true} {
			r := started(t)
			e := r.Say(user, "first")
			r.Quiet()
			accept(t, r, stands(r))
			r.Quiet()
			quietly(r, func(m *teams.Message) { m.Attachments = []teams.Attachment{addedFile} })
			r.Edit(user, e, "second")
			r.Quiet()
			require.Len(t, stands(r).Attachments, 1, "what an edit does not say stays")
			restarting(t, r, restart, func() {})
			for range 2 {
				accept(t, r, stands(r))
				r.Quiet()
				require.Equal(t, "second", bodies(r)[0])
				require.Equal(t, []string{"new.pdf"}, beside(r, e))
			}
			require.Zero(t, r.Counts.Get(portal.MetricDelivered, "own edit"), "the text is its author's")
		}
	}
}

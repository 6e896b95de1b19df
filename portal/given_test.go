package portal_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// formatted is the content of a message of HTML.
func formatted(body, html string) map[string]any {
	c := portaltest.Text(body)
	c["format"], c["formatted_body"] = "org.matrix.custom.html", html
	return c
}

// editTo edits a message to a content.
func editTo(r *portaltest.Rig, user id.UserID, target id.EventID, content map[string]any) id.EventID {
	edit := maps.Clone(content)
	edit["m.new_content"] = content
	edit["m.relates_to"] = map[string]any{"rel_type": "m.replace", "event_id": target.String()}
	return r.Send(user, event.EventMessage, edit)
}

// sameWords are contents of the same words.
var sameWords = map[string][2]map[string]any{
	"link":   {formatted("see here", `see <a href="https://example.org/wrong">here</a>`), formatted("see here", `see <a href="https://example.org/right">here</a>`)},
	"bold":   {formatted("see here", `see here`), formatted("see here", `see <b>here</b>`)},
	"lines":  {portaltest.Text("see here"), portaltest.Text("see\nhere")},
	"spaces": {portaltest.Text("now here"), portaltest.Text("nowhere")},
	"mention": {portaltest.Text("ask bob"), mentioning("ask bob",
		`ask <a href="https://matrix.to/#/@bob:`+portaltest.ServerName+`">bob</a>`, portaltest.BobMXID)},
}

func mentioning(body, html string, who id.UserID) map[string]any {
	c := formatted(body, html)
	c["m.mentions"] = map[string]any{"user_ids": []string{who.String()}}
	return c
}

// TestEditOfNoWords has authors edit what no fingerprint shows, to and fro, also
// around restarts and where nobody knows what became of the edit before.
//
// Proves M4.
func TestEditOfNoWords(t *testing.T) {
	for name, contents := range sameWords {
		for _, user := range []id.UserID{portaltest.AliceMXID, portaltest.BobMXID} {
			t.Run(name+" "+user.Localpart(), func(t *testing.T) {
				r := started(t, func(r *portaltest.Rig) {
					r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
						out.RetryMin, out.RetryMax = time.Hour, time.Hour
					}
				})
				body := func() string { return r.Tenant.Messages(portaltest.Channel)[0].Body }
				e := r.Send(user, event.EventMessage, maps.Clone(contents[0]))
				r.Quiet()
				first := body()
				r.Restart()
				editTo(r, user, e, contents[1])
				r.Quiet()
				second := body()
				require.NotEqual(t, first, second)
				r.Restart()
				_, before := r.Tenant.Requests()
				editTo(r, user, e, contents[1])
				r.Quiet()
				_, after := r.Tenant.Requests()
				require.Equal(t, before, after, "Teams has it")

				// The edit back is made, and its answer lost.
				r.Tenant.SetChanged(nil)
				r.Tenant.SetWrites(func(portaltest.Write) portaltest.Fault { return portaltest.Fault{Lose: portaltest.ErrAmbiguous} })
				back := editTo(r, user, e, contents[0])
				waits(t, r, back)
				require.Equal(t, first, body())
				editTo(r, user, e, contents[1])
				r.Eventually(func() bool { n, err := r.DB.Journal.Count(context.Background()); return err == nil && n == 0 })
				r.Tenant.SetWrites(nil)
				r.Restart()
				require.NoError(t, r.Sender.Kick(context.Background()))
				r.Quiet()
				require.Equal(t, second, body())
				for _, x := range r.HS.Events(r.Room) {
					require.False(t, x.Bridge, "nobody wrote in Teams")
				}
			})
		}
	}
}

// waits waits until a row was tried once and waits for its next try.
func waits(t *testing.T, r *portaltest.Rig, of id.EventID) {
	t.Helper()
	r.Eventually(func() bool {
		row, err := r.DB.Outbox.ByEvent(context.Background(), of.String())
		return err == nil && row != nil && row.State == database.StateQueued && row.Attempts == 1
	})
}

// TestEditOfNoWordsBehindAPostInDoubt: the answer to a post is lost, and its author
// edits the message while the bridge does not know that Teams has it.
//
// Proves M4.
func TestEditOfNoWordsBehindAPostInDoubt(t *testing.T) {
	for name, contents := range sameWords {
		t.Run(name, func(t *testing.T) {
			r := started(t)
			r.Tenant.SetChanged(nil)
			unseen := func(string) error { return portaltest.ErrUnavailable }
			r.Tenant.SetRead(unseen)
			r.Tenant.SetWrites(func(portaltest.Write) portaltest.Fault { return portaltest.Fault{Lose: portaltest.ErrAmbiguous} })
			e := r.Send(portaltest.AliceMXID, event.EventMessage, maps.Clone(contents[0]))
			r.Eventually(func() bool { return len(r.TeamsTexts()) == 1 })
			edit := editTo(r, portaltest.AliceMXID, e, contents[1])
			r.Eventually(func() bool {
				row, err := r.DB.Outbox.ByEvent(context.Background(), edit.String())
				return err == nil && row != nil
			})
			r.Restart()
			r.Tenant.SetWrites(nil)
			r.Tenant.SetRead(nil)
			require.NoError(t, r.Sender.Kick(context.Background()))
			r.Quiet()
			msgs := r.Tenant.Messages(portaltest.Channel)
			require.Len(t, msgs, 1)
			require.False(t, msgs[0].Edited.IsZero(), msgs[0].Body)
		})
	}
}

// TestLateEditOfNoWordsDoesNotStand has Teams carry an edit out behind a newer one
// of the same words.
//
// Proves M4.
func TestLateEditOfNoWordsDoesNotStand(t *testing.T) {
	link := func(to string) map[string]any {
		return formatted("see here", `see <a href="https://example.org/`+to+`">here</a>`)
	}
	for _, user := range []id.UserID{portaltest.AliceMXID, portaltest.BobMXID} {
		for _, restart := range []bool{false, true} {
			r := started(t, func(r *portaltest.Rig) {
				r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
					out.RetryMin, out.RetryMax = time.Second, time.Second
				}
			})
			e := r.Send(user, event.EventMessage, link("first"))
			r.Quiet()
			refused, carryOut := lateWrite(r, "edit")
			editTo(r, user, e, link("second"))
			r.Eventually(refused)
			editTo(r, user, e, link("third"))
			r.Quiet()
			restarting(t, r, restart, carryOut)
			r.Quiet()
			require.True(t, undone(r))
			require.Contains(t, r.Tenant.Messages(portaltest.Channel)[0].Body, "third")
			for _, x := range r.HS.Events(r.Room) {
				require.False(t, x.Bridge, "nobody wrote in Teams")
			}
		}
	}
}

// TestEditBackBehindAnEditInTeams: somebody edits a message in Teams, and its
// author edits it in Matrix to what it said before: Teams does not say that any
// more.
//
// Proves M4.
func TestEditBackBehindAnEditInTeams(t *testing.T) {
	for _, written := range []string{"Matrix", "Teams"} {
		t.Run(written, func(t *testing.T) {
			r := started(t)
			var e id.EventID
			if written == "Matrix" {
				e = r.Say(portaltest.AliceMXID, "mine")
			} else {
				r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, "mine at first")
				r.Quiet()
				e = last(t, r).ID
				r.Edit(portaltest.AliceMXID, e, "mine")
			}
			r.Quiet()
			m := r.Tenant.Messages(portaltest.Channel)[0]
			for range 2 {
				r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText("theirs"))
				r.Quiet()
				require.Equal(t, []string{"theirs"}, r.Texts())
				r.Edit(portaltest.AliceMXID, e, "mine")
				r.Quiet()
				require.Equal(t, []string{"mine"}, r.TeamsTexts())
				require.Equal(t, []string{"mine"}, r.Texts())
				// What Teams says may be told late.
				time.Sleep(2 * time.Millisecond)
				if written == "Matrix" {
					break // within minutes the same text is taken for a late listing
				}
			}
		})
	}
}

// TestEditOfNoWordsInTeams has people edit in Teams what no fingerprint shows.
//
// Proves T4.
func TestEditOfNoWordsInTeams(t *testing.T) {
	const first = `see <a href="https://example.org/wrong">here</a>`
	for name, second := range map[string]string{
		"link":  `see <a href="https://example.org/right">here</a>`,
		"bold":  `<b>see</b> <a href="https://example.org/wrong">here</a>`,
		"lines": `see<br><a href="https://example.org/wrong">here</a>`,
	} {
		for _, edited := range []bool{false, true} {
			for _, written := range []string{"Matrix", "Matrix through the relay", "Teams"} {
				t.Run(fmt.Sprint(name, " ", written, " ", edited), func(t *testing.T) {
					r := started(t)
					user, e := portaltest.AliceMXID, id.EventID("")
					begin := first
					if edited {
						begin = "before"
					}
					switch written {
					case "Teams":
						r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, begin)
						r.Quiet()
						e = last(t, r).ID
					case "Matrix through the relay":
						user = portaltest.BobMXID
						fallthrough
					default:
						e = r.Send(user, event.EventMessage, formatted("see here", begin))
					}
					r.Quiet()
					if edited {
						editTo(r, user, e, formatted("see here", first))
						r.Quiet()
					}
					m := r.Tenant.Messages(portaltest.Channel)[0]
					accept(t, r, m)
					r.Quiet()
					before := len(r.HS.Messages(r.Room))
					r.Tenant.Change(portaltest.Channel, m.ID, func(m *teams.Message, at time.Time) {
						portaltest.SetText(strings.Replace(m.Body, first, second, 1))(m, at)
					})
					r.Quiet()
					shown := r.HS.Messages(r.Room)
					if user == portaltest.BobMXID {
						require.Len(t, shown, before+1, "the bot tells")
					} else {
						require.Len(t, shown, before)
					}
					html, _ := shown[len(shown)-1].Content["formatted_body"].(string)
					require.Contains(t, html+shown[len(shown)-1].Text(), map[string]string{"link": "right", "bold": "<b>", "lines": "<br"}[name], html)
					// A reaction changes nothing.
					events := len(r.HS.Events(r.Room))
					r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Dave, "👍"))
					r.Quiet()
					require.Len(t, r.HS.Events(r.Room), events+1)
				})
			}
		}
	}
}

package portal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// TestCaptionIsEditedInTeams: the caption of a picture or file from Matrix is edited
// in Teams, taken away and written anew, and a picture put before it. The event
// keeps its picture, also one that its author has put there since, and only what was
// added is told.
//
// Proves T4.
func TestCaptionIsEditedInTeams(t *testing.T) {
	for _, kind := range []string{"m.image", "m.file"} {
		for _, begin := range []string{"captioned", "bare", "edited", "merged"} {
			t.Run(kind+" "+begin, func(t *testing.T) {
				r := started(t)
				r.Tenant.AddImage(pictureURL(0), []byte("png"))
				content := captioned(r, map[bool]string{true: "", false: "first"}[begin == "bare"])
				content["msgtype"] = kind
				e := r.Send(portaltest.AliceMXID, event.EventMessage, content)
				if begin == "merged" {
					r.Tenant.SetChanged(nil)
				}
				r.Quiet()
				if begin == "edited" {
					content = captioned(r, "second")
					content["msgtype"] = kind
					editTo(r, portaltest.AliceMXID, e, content)
					r.Quiet()
				}
				change := func(f func(body string) string) {
					r.Tenant.Change(portaltest.Channel, stands(r).ID, func(m *teams.Message, at time.Time) { m.Body, m.Edited = f(m.Body), at })
					accept(t, r, stands(r))
					r.Quiet()
				}
				shows := func(caption string) {
					t.Helper()
					shown := r.HS.Messages(r.Room)[0]
					require.Equal(t, e, shown.ID)
					require.Equal(t, kind, shown.Content["msgtype"])
					require.Equal(t, content["url"], shown.Content["url"])
					require.Equal(t, "mine.png", shown.Content["filename"])
					require.Equal(t, caption, strings.TrimPrefix(shown.Text(), "[image: plan 0]\n\n"))
				}
				said := func(text string) func(string) string {
					return func(body string) string {
						for _, old := range []string{"first", "second", "third", "fourth"} {
							body = strings.Replace(body, old, "", 1)
						}
						return strings.Replace(body, "</div></div>", text+"</div></div>", 1)
					}
				}
				change(said("<p>third</p>"))
				shows("third")
				require.Empty(t, beside(r, e))
				change(said(""))
				shows("mine.png")
				change(func(body string) string {
					return strings.Replace(said("<p>fourth</p>")(body), "<div><div>", "<div><div>"+pictureTag(0), 1)
				})
				shows("fourth")
				require.Len(t, beside(r, e), 1)
				require.Contains(t, beside(r, e)[0], "plan 0")
				r.Restart()
				accept(t, r, stands(r))
				r.Quiet()
				shows("fourth")
				require.Len(t, beside(r, e), 1)
			})
		}
	}
}

// TestCaptionWithoutItsEvent: the homeserver does not tell what the event is, for a
// moment or for good. It never becomes a text.
func TestCaptionWithoutItsEvent(t *testing.T) {
	for _, kind := range []event.Type{event.EventMessage, event.EventSticker} {
		r := started(t)
		content := captioned(r, "first")
		if kind == event.EventSticker {
			delete(content, "msgtype")
		}
		e := r.Send(portaltest.AliceMXID, kind, content)
		r.Quiet()
		accept(t, r, stands(r))
		r.Quiet()
		if kind == event.EventMessage {
			r.HS.SetHidden(e)
		}
		r.Tenant.Change(portaltest.Channel, stands(r).ID, func(m *teams.Message, at time.Time) {
			m.Body, m.Edited = strings.Replace(m.Body, "</div></div>", "<p>new</p></div></div>", 1), at
		})
		r.Quiet()
		require.Zero(t, edits(r, e))
		require.Len(t, beside(r, e), 1)
		require.Contains(t, beside(r, e)[0], "new")
	}
}

package portal_test

import (
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// What a message quotes, and its card, stay what they are while its text is edited
// on both sides in turn.

const (
	aQuote = `{"messageId":"17","messagePreview":"at nine?","messageSender":{"user":{"id":"dave","displayName":"Dave"}}}`
	aCard  = `{"type":"AdaptiveCard","body":[{"type":"TextBlock","text":"Menu","size":"large"},{"type":"FactSet","facts":[{"title":"Soup","value":"Leek"},{"title":"Main","value":"Pie"}]}]}`
)

// replaced is an event's content with a word replaced, as a client that knows
// formats sends it and as one that does not.
func replaced(e portaltest.Event, from, to string, formats bool) map[string]any {
	c := maps.Clone(e.Content)
	delete(c, "m.relates_to")
	delete(c, portal.SourceField)
	c["body"] = strings.Replace(e.Text(), from, to, 1)
	html, ok := c["formatted_body"].(string)
	if ok && formats {
		c["formatted_body"] = strings.Replace(html, from, to, 1)
	} else {
		delete(c, "format")
		delete(c, "formatted_body")
	}
	return c
}

func changeText(r *portaltest.Rig, messageID, from, to string) {
	r.Tenant.Change(portaltest.Channel, messageID, func(m *teams.Message, at time.Time) {
		portaltest.SetText(strings.Replace(m.Body, from, to, 1))(m, at)
	})
}

// TestQuotesAndCardsOverRounds edits a message from Teams that has a quote and a
// card, in Matrix and in Teams in turn.
//
// Proves T4 and M4.
func TestQuotesAndCardsOverRounds(t *testing.T) {
	for name, given := range map[string]struct {
		body        string
		attachments []teams.Attachment
	}{
		"quote": {`<attachment id="17"></attachment><p>word0</p>`, []teams.Attachment{{ID: "17", ContentType: "messageReference", Content: aQuote}}},
		"card":  {`<p>word0</p><attachment id="c"></attachment>`, []teams.Attachment{{ID: "c", ContentType: "application/vnd.microsoft.card.adaptive", Content: aCard}}},
		"both": {`<attachment id="17"></attachment><p>word0</p><attachment id="c"></attachment>`, []teams.Attachment{
			{ID: "17", ContentType: "messageReference", Content: aQuote}, {ID: "c", ContentType: "application/vnd.microsoft.card.adaptive", Content: aCard}}},
	} {
		for _, formats := range []bool{true, false} {
			t.Run(name+strconv.FormatBool(formats), func(t *testing.T) {
				t.Parallel()
				r := started(t)
				m := r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, given.body)
				r.Tenant.Change(portaltest.Channel, m.ID, func(m *teams.Message, _ time.Time) { m.Attachments = given.attachments })
				r.Quiet()
				for n := range 6 {
					from, to := "word"+strconv.Itoa(n), "word"+strconv.Itoa(n+1)
					if n%2 == 0 {
						e := last(t, r)
						editTo(r, portaltest.AliceMXID, e.ID, replaced(e, from, to, formats))
					} else {
						changeText(r, m.ID, from, to)
					}
					if r.Quiet(); n == 2 {
						r.Restart()
						accept(t, r, stands(r)) // once more
						r.Quiet()
					}
					now := stands(r)
					require.Equal(t, to, strings.TrimSpace(portaltest.Plain(now.Body)))
					require.Equal(t, len(given.attachments), len(now.Attachments))
					for _, a := range given.attachments {
						require.Equal(t, 1, strings.Count(now.Body, `<attachment id="`+a.ID+`"></attachment>`))
					}
					require.Len(t, r.HS.Messages(r.Room), 1)
					counts(t, last(t, r).Text(), map[string]int{to: 1, "at nine?": strings.Count(given.body, `"17"`), "Menu": strings.Count(given.body, `"c"`), "Leek": strings.Count(given.body, `"c"`)})
				}
			})
		}
	}
}

func counts(t *testing.T, text string, want map[string]int) {
	t.Helper()
	for what, n := range want {
		require.Equal(t, n, strings.Count(text, what), "%q in %q", what, text)
	}
}

// TestAnswersOverRounds edits an answer from Matrix, whose post has a quote in front
// and the time at which it was written, in Teams and in Matrix in turn.
//
// Proves T4 and M4.
func TestAnswersOverRounds(t *testing.T) {
	for _, formats := range []bool{true, false} {
		for _, late := range []bool{true, false} {
			r := started(t, func(r *portaltest.Rig) {
				r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
					if late {
						out.LateAfter = time.Nanosecond
					}
				}
			})
			root := r.Say(portaltest.AliceMXID, "lunch?")
			r.Quiet()
			post := stands(r)
			r.Tenant.Post(portaltest.Channel, post.ID, portaltest.Dave, "at noon?")
			r.Quiet()
			own := r.Send(portaltest.AliceMXID, event.EventMessage, answer(root, last(t, r).ID, "word0"))
			r.Quiet()
			reply := func() teams.Message { return r.Tenant.Messages(portaltest.Channel)[2] }
			head := strings.TrimSuffix(portaltest.Plain(reply().Body), "word0")
			require.Equal(t, 1, strings.Count(head, "at noon?"))
			require.Equal(t, late, strings.Contains(head, r.HS.Event(own).At.UTC().Format("15:04")))
			for n := range 6 {
				from, to := "word"+strconv.Itoa(n), "word"+strconv.Itoa(n+1)
				if n%2 == 0 {
					changeText(r, reply().ID, from, to)
				} else {
					editTo(r, portaltest.AliceMXID, own, replaced(last(t, r), from, to, formats))
				}
				if r.Quiet(); n == 2 {
					r.Restart()
					accept(t, r, reply()) // once more
					r.Quiet()
				}
				require.Equal(t, head+to, portaltest.Plain(reply().Body))
				require.Equal(t, to, last(t, r).Text())
				require.Equal(t, own, last(t, r).ID)
			}
		}
	}
}

package portal_test

import (
	"context"
	"slices"
	"strconv"
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

// pictureURL is the address of a picture in the rig's channel.
func pictureURL(n int) string {
	return "https://graph.microsoft.com/v1.0/teams/team/channels/19:one@thread.tacv2/messages/1/hostedContents/aWQ" + strconv.Itoa(n) + "=/$value"
}

func pictureTag(n int) string {
	return `<img src="` + pictureURL(n) + `" alt="plan ` + strconv.Itoa(n) + `">`
}

// illustrated posts a message of Alice's in Teams with a text, a mark that nobody
// knows, two pictures and a card's file, and returns it.
func illustrated(r *portaltest.Rig) teams.Message {
	for n := range 4 {
		r.Tenant.AddImage(pictureURL(n), []byte("png"+strconv.Itoa(n)))
	}
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, `<p>look <x-new attr="1">here</x-new></p>`+pictureTag(0)+`<p></p>`+pictureTag(1)+`<attachment id="F1"></attachment>`)
	file := teams.Attachment{ID: "F1", ContentType: "reference", ContentURL: "https://elsewhere.example.org/report.pdf", Name: "report.pdf"}
	r.Tenant.Change(portaltest.Channel, m.ID, func(m *teams.Message, _ time.Time) { m.Attachments = []teams.Attachment{file} })
	r.Quiet()
	return m
}

func stands(r *portaltest.Rig) teams.Message { return r.Tenant.Messages(portaltest.Channel)[0] }

func bodies(r *portaltest.Rig) (out []string) {
	for _, e := range r.HS.Messages(r.Room) {
		out = append(out, e.Text())
	}
	return out
}

// TestPartIsTakenOut redacts the events of a message from Teams one by one: each
// time Teams loses that part and nothing else, at last the message.
//
// Proves M4.
func TestPartIsTakenOut(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 0, 3, 2}, {2, 3, 1, 0}} {
		for _, told := range []bool{true, false} {
			r := started(t)
			illustrated(r)
			shown := r.HS.Messages(r.Room)
			require.Len(t, shown, 4)
			has := map[int]string{0: "look", 1: pictureURL(0), 2: pictureURL(1), 3: "F1"}
			if !told {
				r.Tenant.SetChanged(nil)
			}
			for i, n := range order {
				delete(has, n)
				r.Redact(portaltest.AliceMXID, shown[n].ID)
				r.Quiet()
				m := stands(r)
				require.Equal(t, i == 3, !m.Deleted.IsZero())
				for k, what := range map[int]string{0: "look", 1: pictureURL(0), 2: pictureURL(1), 3: "F1"} {
					require.Equal(t, has[k] == what, strings.Contains(m.Body, what), "%v: %s in %s", order, what, m.Body)
				}
				require.Equal(t, has[3] != "", len(m.Attachments) == 1 && i < 3)
				require.Equal(t, has[0] != "", strings.Contains(m.Body, `<x-new attr="1">here</x-new>`), "what is not understood stays")
				require.Len(t, r.HS.Messages(r.Room), 3-i)
			}
			for _, e := range r.HS.Events(r.Room) {
				require.False(t, e.Bridge && e.Relation("rel_type") == "m.replace", "%v", e.Content)
			}
			restarting(t, r, true, func() {})
			r.Quiet()
			require.Empty(t, r.HS.Messages(r.Room))
		}
	}
}

// TestTextIsTakenOutAndAnotherComes: the text of a message was taken out, and Teams
// gets another one, and a reaction.
//
// Proves T4.
func TestTextIsTakenOutAndAnotherComes(t *testing.T) {
	r := started(t)
	m := illustrated(r)
	shown := r.HS.Messages(r.Room)
	r.Redact(portaltest.AliceMXID, shown[0].ID)
	r.Quiet()
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.AddReaction(portaltest.Dave, "👍"))
	r.Quiet()
	require.Empty(t, r.HS.Reactions(r.Room, shown[0].ID))
	require.True(t, slices.ContainsFunc(shown, func(e portaltest.Event) bool { return len(r.HS.Reactions(r.Room, e.ID)) == 1 }))
	r.Tenant.Change(portaltest.Channel, m.ID, func(m *teams.Message, at time.Time) {
		m.Body, m.Attachments, m.Edited = "", nil, at
		m.Body = pictureTag(0)
	})
	r.Quiet()
	require.Len(t, r.HS.Messages(r.Room), 1)
	r.Tenant.Change(portaltest.Channel, m.ID, func(m *teams.Message, at time.Time) { m.Body, m.Edited = "<p>another</p>", at })
	r.Quiet()
	require.Equal(t, []string{"another"}, bodies(r))
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetDeleted())
	r.Quiet()
	require.Empty(t, r.HS.Messages(r.Room))
}

// TestPartIsTakenOutThroughTrouble: the answer gets lost, or the bridge dies before
// it is written down. The other picture stays.
//
// Proves M4.
func TestPartIsTakenOutThroughTrouble(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) {
			out.RetryMin, out.RetryMax = time.Hour, time.Hour
		}
	})
	illustrated(r)
	shown := r.HS.Messages(r.Room)
	r.Tenant.SetWrites(func(portaltest.Write) portaltest.Fault { return portaltest.Fault{Lose: portaltest.ErrAmbiguous} })
	gone := r.Redact(portaltest.AliceMXID, shown[1].ID)
	waits(t, r, gone)
	require.NotContains(t, stands(r).Body, pictureURL(0))
	r.Eventually(func() bool {
		stats, err := r.DB.Inbox.Stats(context.Background())
		return err == nil && stats.ByState[database.StatePending] == 0
	}, "what Teams says meanwhile is delivered")
	r.Restart()
	r.Tenant.SetWrites(nil)
	require.NoError(t, r.Sender.Kick(context.Background()))
	r.Quiet()
	require.Contains(t, stands(r).Body, pictureURL(1))
	require.Equal(t, event.MessageStatusSuccess, lastStatus(r, gone))
	require.Equal(t, []string{"look here", "plan 1"}, bodies(r)[:2])

	// Refused once: tried again.
	r.Tenant.SetWrites(func(portaltest.Write) portaltest.Fault { return portaltest.Fault{Refuse: portaltest.ErrUnavailable} })
	second := r.Redact(portaltest.AliceMXID, shown[2].ID)
	waits(t, r, second)
	r.Tenant.SetWrites(nil)
	require.NoError(t, r.Sender.Kick(context.Background()))
	r.Quiet()
	require.NotContains(t, stands(r).Body, pictureURL(1))
	require.Contains(t, stands(r).Body, "look")
}

// TestPartIsTakenOutOfWhatIsThere: Graph tells what a message was before the last
// change. What was taken out does not come back with the next one.
//
// Proves M4.
func TestPartIsTakenOutOfWhatIsThere(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(_ *portal.IngestOptions, out *portal.SenderOptions) { out.DoubtWindow = 10 * time.Second }
	})
	illustrated(r)
	shown := r.HS.Messages(r.Room)
	r.Tenant.SetChanged(nil)
	r.Tenant.SetStale(200 * time.Millisecond)
	time.Sleep(200 * time.Millisecond)
	for _, e := range []id.EventID{shown[1].ID, shown[3].ID, shown[2].ID} {
		r.Redact(portaltest.AliceMXID, e)
		r.Quiet()
	}
	r.Edit(portaltest.AliceMXID, shown[0].ID, "only this")
	r.Quiet()
	require.NotContains(t, stands(r).Body, "<img")
	require.Empty(t, stands(r).Attachments)
	require.Contains(t, stands(r).Body, "only this")
}

// TestEditOfATextKeepsItsParts edits the text of a message from Teams: pictures and
// files stay, and the one that was in the text stays there.
//
// Proves M4.
func TestEditOfATextKeepsItsParts(t *testing.T) {
	r := started(t)
	m := illustrated(r)
	e := r.HS.Messages(r.Room)[0].ID
	for _, text := range []string{"see here", "see there"} {
		r.Edit(portaltest.AliceMXID, e, text)
		r.Quiet()
		now := stands(r)
		require.Contains(t, now.Body, text)
		require.NotContains(t, now.Body, "look")
		require.Equal(t, 1, strings.Count(now.Body, pictureTag(0)))
		require.Equal(t, 1, strings.Count(now.Body, pictureTag(1)))
		require.Len(t, now.Attachments, 1)
		require.Equal(t, 1, strings.Count(now.Body, `<attachment id="F1"></attachment>`))
		require.Len(t, r.HS.Messages(r.Room), 4)
		require.Equal(t, text, bodies(r)[0])
	}
	// And what is edited in Teams after that comes.
	r.Tenant.Change(portaltest.Channel, m.ID, func(m *teams.Message, at time.Time) {
		portaltest.SetText(strings.Replace(m.Body, "see there", "see <b>there</b>", 1))(m, at)
	})
	r.Quiet()
	html, _ := r.HS.Messages(r.Room)[0].Content["formatted_body"].(string)
	require.Contains(t, html, "<b>there</b>")

	// A picture, a file and a text of several events can't be edited alone.
	picture := r.Edit(portaltest.AliceMXID, r.HS.Messages(r.Room)[1].ID, "instead of a picture")
	r.Quiet()
	require.Equal(t, event.MessageStatusFail, lastStatus(r, picture))
	require.Contains(t, stands(r).Body, "there")
}

// TestPartsFollowTeams: pictures and files that are taken out, put in or replaced
// in Teams are so in Matrix, each event showing what it showed before.
//
// Proves T4.
func TestPartsFollowTeams(t *testing.T) {
	for _, by := range []string{portaltest.Alice, portaltest.Dave} {
		r := started(t)
		m := illustrated(r)
		r.Tenant.Change(portaltest.Channel, m.ID, func(m *teams.Message, _ time.Time) { m.From.ID = by })
		before := r.HS.Messages(r.Room)
		change := func(f func(m *teams.Message)) {
			r.Tenant.Change(portaltest.Channel, m.ID, func(m *teams.Message, at time.Time) { f(m); m.Edited = at })
			r.Quiet()
		}
		change(func(m *teams.Message) { m.Body = strings.Replace(m.Body, pictureTag(0), "", 1) })
		now := r.HS.Messages(r.Room)
		require.Len(t, now, 3)
		require.Equal(t, []id.EventID{before[0].ID, before[2].ID, before[3].ID}, []id.EventID{now[0].ID, now[1].ID, now[2].ID})
		require.Equal(t, "plan 1", now[1].Text())

		change(func(m *teams.Message) { m.Body = pictureTag(2) + m.Body })
		require.True(t, slices.Contains(bodies(r), "plan 2") && slices.Contains(bodies(r), "plan 1"), bodies(r))
		require.Len(t, r.HS.Messages(r.Room), 4)
		require.True(t, slices.ContainsFunc(r.HS.Messages(r.Room), func(e portaltest.Event) bool { return e.ID == before[2].ID && e.Text() == "plan 1" }))

		change(func(m *teams.Message) { m.Body = strings.Replace(m.Body, pictureTag(1), pictureTag(3), 1) })
		require.True(t, slices.Contains(bodies(r), "plan 2") && slices.Contains(bodies(r), "plan 3") && !slices.Contains(bodies(r), "plan 1"), bodies(r))

		change(func(m *teams.Message) {
			m.Attachments, m.Body = nil, strings.Replace(m.Body, `<attachment id="F1"></attachment>`, "", 1)
		})
		require.Len(t, r.HS.Messages(r.Room), 3)
		change(func(m *teams.Message) {
			m.Attachments = []teams.Attachment{{ID: "F2", ContentType: "reference", ContentURL: "https://elsewhere.example.org/new.pdf", Name: "new.pdf"}}
		})
		require.Len(t, r.HS.Messages(r.Room), 4)
		require.True(t, slices.ContainsFunc(bodies(r), func(s string) bool { return strings.Contains(s, "new.pdf") }), bodies(r))
	}
}

// TestPartsFollowThroughTrouble cuts the delivery of such an edit off after each of
// its events.
//
// Proves T4.
func TestPartsFollowThroughTrouble(t *testing.T) {
	for cut := range 4 {
		r := started(t)
		m := illustrated(r)
		sent := 0
		r.HS.SetFaults(func(_ id.UserID, _ event.Type, _ map[string]any) error {
			if sent++; sent == cut+1 {
				return portaltest.Down()
			}
			return nil
		}, nil)
		r.Tenant.Change(portaltest.Channel, m.ID, func(m *teams.Message, at time.Time) {
			m.Body, m.Edited = `<p>new</p>`+pictureTag(1)+pictureTag(2)+`<attachment id="F1"></attachment>`, at
		})
		r.Quiet()
		r.Restart()
		accept(t, r, stands(r))
		r.Quiet()
		all := bodies(r)
		slices.Sort(all)
		require.Len(t, all, 4, all)
		require.Subset(t, all, []string{"new", "plan 1", "plan 2"})
	}
}

// TestSubjectAndQuotesAreNotDoubled edits a message from Teams that has a subject
// and quotes others: Teams keeps both beside the body.
func TestSubjectAndQuotesAreNotDoubled(t *testing.T) {
	r := started(t)
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Alice, `<attachment id="17"></attachment><p>I agree</p>`)
	r.Tenant.Change(portaltest.Channel, m.ID, func(m *teams.Message, _ time.Time) {
		m.Subject, m.Importance = "Launch & party", "high"
		m.Attachments = []teams.Attachment{{ID: "17", ContentType: "messageReference", Content: `{"messageId":"17","messagePreview":"at nine?","messageSender":{"user":{"id":"dave","displayName":"Dave"}}}`}}
	})
	r.Quiet()
	shown := last(t, r)
	html, _ := shown.Content["formatted_body"].(string)
	require.Contains(t, html, "<blockquote>")
	require.Contains(t, html, "Launch")
	for n, content := range []map[string]any{
		formatted("x", strings.Replace(html, "I agree", "I don't", 1)),
		formatted("x", "<p>I don't mind</p>"),
		formatted("x", strings.Replace(html, "at nine?", "at ten?", 1)),
	} {
		editTo(r, portaltest.AliceMXID, shown.ID, content)
		r.Quiet()
		now := stands(r)
		require.NotContains(t, now.Body, "Launch", n)
		require.NotContains(t, now.Body, "nine")
		require.NotContains(t, now.Body, "Dave")
		require.Equal(t, 1, strings.Count(now.Body, `<attachment id="17"></attachment>`))
		require.True(t, strings.Contains(now.Body, "I "), now.Body)
		require.Equal(t, "Launch & party", now.Subject)
		require.Len(t, now.Attachments, 1)
	}
	// A client without formats sends it as lines.
	editTo(r, portaltest.AliceMXID, shown.ID, portaltest.Text(strings.SplitN(shown.Text(), "\n", 2)[0]+"\n\nplainly"))
	r.Quiet()
	require.NotContains(t, stands(r).Body, "Launch")
	require.Contains(t, stands(r).Body, "plainly")
}

// TestAddedInTeamsToWhatWasWrittenInMatrix: pictures and files that somebody puts
// into a message from Matrix are shown under it, once.
//
// Proves T4.
func TestAddedInTeamsToWhatWasWrittenInMatrix(t *testing.T) {
	for _, user := range []id.UserID{portaltest.AliceMXID, portaltest.BobMXID} {
		r := started(t)
		for n := range 2 {
			r.Tenant.AddImage(pictureURL(n), []byte("png"+strconv.Itoa(n)))
		}
		r.Say(user, "from Matrix")
		r.Quiet()
		m := stands(r)
		change := func(f func(m *teams.Message)) {
			r.Tenant.Change(portaltest.Channel, m.ID, func(m *teams.Message, at time.Time) { f(m); m.Edited = at })
			r.Quiet()
		}
		notices := func() (out []string) {
			for _, e := range r.HS.Messages(r.Room) {
				if e.Sender == portaltest.BotID && (e.Content["url"] != nil || strings.Contains(e.Text(), "report")) {
					out = append(out, e.Text())
				}
			}
			return out
		}
		change(func(m *teams.Message) { m.Body += pictureTag(0) })
		require.Len(t, notices(), 1, user)
		require.Contains(t, notices()[0], "plan 0")
		r.Restart()
		change(func(m *teams.Message) {
			m.Body += pictureTag(1) + "<p>more</p>"
			m.Attachments = []teams.Attachment{{ID: "F1", ContentType: "reference", ContentURL: "https://elsewhere.example.org/report.pdf", Name: "report.pdf"}}
		})
		require.Len(t, notices(), 3, notices())
		change(func(m *teams.Message) { m.Body += "<p>most</p>" })
		require.Len(t, notices(), 3)
		all := r.HS.Messages(r.Room)
		require.Contains(t, strings.Join(bodies(r), "\n"), "most", all)
	}
}

// TestWhatTheRoomShowsIsNotUndone: somebody edits in Teams, the room shows it, and
// Graph still tells what was before when a part is taken out.
//
// Proves M4.
func TestWhatTheRoomShowsIsNotUndone(t *testing.T) {
	r := started(t)
	m := illustrated(r)
	shown := r.HS.Messages(r.Room)
	r.Tenant.SetStale(300 * time.Millisecond)
	r.Tenant.Change(portaltest.Channel, m.ID, portaltest.SetText(strings.Replace(stands(r).Body, "look", "regard", 1)))
	r.Eventually(func() bool { return strings.Contains(bodies(r)[0], "regard") })
	r.Redact(portaltest.AliceMXID, shown[1].ID)
	r.Quiet()
	require.Contains(t, stands(r).Body, "regard")
	require.NotContains(t, stands(r).Body, pictureURL(0))
	require.Contains(t, stands(r).Body, pictureURL(1))
}

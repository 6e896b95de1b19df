package portal_test

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// ownPicture is what the rig's homeserver hands out as a picture.
const ownPicture = "\x89PNG\r\n\x1a\n0000"

// captioned is the content of a picture with a caption.
func captioned(r *portaltest.Rig, caption string) map[string]any {
	mxc := r.HS.Upload([]byte(ownPicture))
	c := map[string]any{
		"msgtype": "m.image", "body": "mine.png", "filename": "mine.png", "url": string(mxc),
		"info": map[string]any{"mimetype": "image/png", "size": len(ownPicture)},
	}
	if caption != "" {
		c["body"] = caption
	}
	return c
}

// addable are what somebody adds in Teams: a picture and a file.
func addable(r *portaltest.Rig) func(m *teams.Message) {
	for n := range 2 {
		r.Tenant.AddImage(pictureURL(n), []byte("png"))
	}
	return func(m *teams.Message) {
		m.Body = strings.TrimSuffix(m.Body, "</div></div>") + pictureTag(0) + `<attachment id="F2"></attachment></div></div>`
		m.Attachments = append(append([]teams.Attachment{}, m.Attachments...), addedFile)
	}
}

// hasAdded requires that Teams shows what was added once, and so many pictures of
// the message's own.
func hasAdded(t *testing.T, r *portaltest.Rig, own int) {
	t.Helper()
	m := stands(r)
	require.Equal(t, 1, strings.Count(m.Body, pictureTag(0)), m.Body)
	require.Equal(t, 1, strings.Count(m.Body, `<attachment id="F2">`), m.Body)
	require.Len(t, m.Attachments, 1)
	require.Equal(t, own, strings.Count(m.Body, "/own"), m.Body)
}

// TestEditKeepsWhatWasAddedInTeams: somebody puts a picture and a file into a
// message from Matrix, which the room is told of or not yet. Its author edits the
// message, again and again, also around a restart: both stay, once.
//
// Proves M4.
func TestEditKeepsWhatWasAddedInTeams(t *testing.T) {
	for _, user := range []id.UserID{portaltest.AliceMXID, portaltest.BobMXID} {
		for _, kind := range []string{"text", "picture"} {
			for _, told := range []bool{true, false} {
				t.Run(user.Localpart()+" "+kind+" "+map[bool]string{true: "told", false: "untold"}[told], func(t *testing.T) {
					r := started(t)
					own := map[string]int{"picture": 1}[kind]
					content := func(s string) map[string]any {
						if kind == "text" {
							return portaltest.Text(s)
						}
						return captioned(r, s)
					}
					e := r.Send(user, event.EventMessage, content("first"))
					r.Quiet()
					change := addable(r)
					quietly(r, change)
					if told {
						accept(t, r, stands(r))
						r.Quiet()
						require.Len(t, beside(r, e), 2+map[bool]int{true: 1}[user == portaltest.BobMXID], beside(r, e))
					}
					for n, s := range []string{"second", "third", "third", "fourth"} {
						if n == 2 {
							r.Restart()
						}
						if !told && n < 2 {
							r.Tenant.SetChanged(nil)
						}
						editTo(r, user, e, content(s))
						r.Quiet()
						require.Contains(t, stands(r).Body, s)
						hasAdded(t, r, own)
						if told || n > 1 {
							accept(t, r, stands(r))
							r.Quiet()
						}
					}
					r.Restart()
					accept(t, r, stands(r))
					r.Quiet()
					shown := strings.Join(beside(r, e), "\n")
					require.Equal(t, 1, strings.Count(shown, "plan 0"), shown)
					require.Equal(t, 1, strings.Count(shown, "new.pdf"), shown)
					require.NotContains(t, beside(r, e), "mine.png")

					// What is taken out in Teams does not come back.
					r.Tenant.Change(portaltest.Channel, stands(r).ID, func(m *teams.Message, at time.Time) {
						m.Body, m.Attachments, m.Edited = strings.Replace(strings.Replace(m.Body, pictureTag(0), "", 1), `<attachment id="F2"></attachment>`, "", 1), nil, at
					})
					r.Quiet()
					r.Tenant.SetStale(200 * time.Millisecond)
					editTo(r, user, e, content("fifth"))
					r.Quiet()
					require.Contains(t, stands(r).Body, "fifth")
					require.NotContains(t, stands(r).Body, pictureTag(0))
					require.Empty(t, stands(r).Attachments)
				})
			}
		}
	}
}

// TestEditKeepsWhatWasAddedThroughTrouble: the answer to such an edit gets lost, or
// the bridge crashes after any statement of it.
//
// Proves M4.
func TestEditKeepsWhatWasAddedThroughTrouble(t *testing.T) {
	run := func(t *testing.T, at int) int {
		r := started(t, func(r *portaltest.Rig) { r.Fast = true })
		e := r.Send(portaltest.AliceMXID, event.EventMessage, captioned(r, "first"))
		r.Quiet()
		quietly(r, addable(r))
		next := captioned(r, "second")
		lost := false
		r.Tenant.SetWrites(func(portaltest.Write) (f portaltest.Fault) {
			if at < 0 && !lost {
				lost = true
				f.Lose = portaltest.ErrAmbiguous
			}
			return f
		})
		r.CountFromHere()
		if at > 0 {
			r.CrashIn(at)
		}
		edit := maps.Clone(next)
		edit["m.new_content"], edit["m.relates_to"] = next, map[string]any{"rel_type": "m.replace", "event_id": e.String()}
		editID := r.Write(portaltest.AliceMXID, event.EventMessage, edit)
		if err := r.Deliver(context.Background(), r.HS.Event(editID)); err == nil {
			r.Eventually(func() bool { return r.Crashed() || !r.Crashing() && r.Ingest.Busy()+r.Sender.Busy() == 0 })
		}
		statements := r.Statements()
		if at > 0 {
			r.Recover()
		}
		r.Quiet()
		accept(t, r, stands(r))
		r.Quiet()
		require.Contains(t, stands(r).Body, "second", at)
		hasAdded(t, r, 1)
		require.Len(t, beside(r, e), 2, at)
		require.Zero(t, edits(r, e))
		return statements
	}
	total := run(t, 0)
	run(t, -1)
	for at := 1; at <= total; at += 3 {
		run(t, at)
	}
}

// TestEditGoesWithoutReading: who reads is refused. What is not known to have been
// added is no reason to let an edit wait.
func TestEditGoesWithoutReading(t *testing.T) {
	r := started(t)
	e := r.Say(portaltest.AliceMXID, "first")
	r.Quiet()
	r.Tenant.SetRead(func(string) error { return portaltest.ErrPermission })
	r.Edit(portaltest.AliceMXID, e, "second")
	r.Quiet()
	require.Contains(t, stands(r).Body, "second")
	r.Tenant.SetRead(nil)
	change := addable(r)
	r.Tenant.Change(portaltest.Channel, stands(r).ID, func(m *teams.Message, at time.Time) { change(m); m.Edited = at })
	r.Quiet()
	r.Tenant.SetRead(func(string) error { return portaltest.ErrPermission })
	third := r.Edit(portaltest.AliceMXID, e, "third")
	r.Eventually(func() bool {
		row, err := r.DB.Outbox.ByEvent(context.Background(), third.String())
		return err == nil && row != nil && row.Attempts > 1
	})
	require.Contains(t, stands(r).Body, "second")
	r.Tenant.SetRead(nil)
	r.Quiet()
	require.Contains(t, stands(r).Body, "third")
	hasAdded(t, r, 0)
	require.Zero(t, r.Counts.Get(portal.MetricParked, "permission"))
}

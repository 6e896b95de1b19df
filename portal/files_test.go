package portal_test

import (
	"bytes"
	"fmt"
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

// fileEvents returns the room's messages as "type body", with the content of
// files behind.
func fileEvents(r *portaltest.Rig) []string {
	var out []string
	for _, e := range r.HS.Messages(r.Room) {
		s := fmt.Sprint(e.Content["msgtype"], " ", e.Text())
		if url, ok := e.Content["url"].(string); ok {
			s += " = " + string(r.HS.File(url))
		}
		out = append(out, s)
	}
	return out
}

// Attached files follow the text as files, each copied once, whatever becomes
// of the text.
func TestFilesFromTeams(t *testing.T) {
	r := started(t)
	a, b := r.Tenant.AddFile("a.pdf", []byte("first")), r.Tenant.AddFile("b.pdf", []byte("second"))
	m := r.Tenant.PostFiles(portaltest.Channel, portaltest.Dave, "<p>look</p>", a, b)
	r.Quiet()
	require.Equal(t, []string{"m.text look", "m.file a.pdf = first", "m.file b.pdf = second"}, fileEvents(r))

	text := func(s string) func(m *teams.Message, at time.Time) {
		return func(m *teams.Message, at time.Time) {
			m.Body, m.Edited = s+`<attachment id="`+a.ID+`"></attachment><attachment id="`+b.ID+`"></attachment>`, at
		}
	}
	r.Tenant.Change(portaltest.Channel, m.ID, text("<p>look here</p>"))
	r.Quiet()
	require.Equal(t, []string{"m.text look here", "m.file a.pdf = first", "m.file b.pdf = second"}, fileEvents(r))
	require.Equal(t, 2, r.HS.Media(), "an edit copies nothing again")

	// One file is taken away, another added.
	c := r.Tenant.AddFile("c.pdf", []byte("third"))
	r.Tenant.Change(portaltest.Channel, m.ID, func(m *teams.Message, at time.Time) {
		m.Attachments, m.Edited = []teams.Attachment{a, c}, at
	})
	r.Quiet()
	require.Equal(t, []string{"m.text look here", "m.file a.pdf = first", "m.file c.pdf = third"}, fileEvents(r))
	r.Tenant.Change(portaltest.Channel, m.ID, func(m *teams.Message, at time.Time) {
		m.Attachments, m.Body, m.Edited = nil, "<p>nothing</p>", at
	})
	r.Quiet()
	require.Equal(t, []string{"m.text nothing"}, fileEvents(r))
	require.Equal(t, 3, r.HS.Media())
}

// An edit of the text leaves a file of an encrypted room what it is.
func TestFilesInEncryptedRooms(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) { r.HS.Encrypted = true })
	a := r.Tenant.AddFile("a.pdf", []byte("first"))
	m := r.Tenant.PostFiles(portaltest.Channel, portaltest.Dave, "<p>look</p>", a)
	r.Quiet()
	r.Tenant.Change(portaltest.Channel, m.ID, func(m *teams.Message, at time.Time) {
		m.Body, m.Edited = strings.Replace(m.Body, "look", "look here", 1), at
	})
	r.Quiet()
	require.Equal(t, []string{"m.text look here", "m.file a.pdf"}, fileEvents(r))
	require.NotEmpty(t, r.HS.Messages(r.Room)[1].Content["file"])
	require.Len(t, r.HS.Events(r.Room), 3, "the file's event is not touched")
}

// A file that is not to be had is a line with its name, and says why.
func TestFilesThatAreNotCopied(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) { in.MaxFile = 10 }
	})
	big := r.Tenant.AddFile("big.iso", bytes.Repeat([]byte("x"), 11))
	bad := r.Tenant.AddFile("bad.exe", []byte("x"))
	r.Tenant.ChangeFile("bad.exe", func(f *portaltest.File) {
		f.Err = &teams.Error{Op: "test", Kind: teams.KindPermission, Err: teams.ErrMalware}
	})
	refused := r.Tenant.AddFile("secret.txt", []byte("x"))
	r.Tenant.ChangeFile("secret.txt", func(f *portaltest.File) { f.Err = portaltest.ErrPermission })
	gone := teams.Attachment{ID: "g", ContentType: "reference", Name: "gone.txt", ContentURL: portaltest.FolderURL + "/gone.txt"}
	away := teams.Attachment{ID: "o", ContentType: "reference", Name: "mine.txt", ContentURL: "https://example-my.sharepoint.com/personal/d/Documents/mine.txt"}
	r.Tenant.PostFiles(portaltest.Channel, portaltest.Dave, "", big, bad, refused, gone, away)
	r.Quiet()
	require.Equal(t, []string{
		"m.notice 📎 big.iso (" + big.ContentURL + ") (11 B, too large)",
		"m.notice 📎 bad.exe (" + bad.ContentURL + ") (1 B, blocked because of malware)",
		"m.notice 📎 secret.txt (" + refused.ContentURL + ") (1 B, Teams refuses access to it)",
		"m.notice 📎 gone.txt (" + gone.ContentURL + ") (not available any more)",
		"m.notice 📎 mine.txt (" + away.ContentURL + ") (kept outside the channel's folder)",
	}, fileEvents(r))
	require.Zero(t, r.HS.Media())
	for _, problem := range []string{"too large", "blocked because of malware", "Teams refuses access to it", "not available any more", "kept outside the channel's folder"} {
		r.Eventually(func() bool { return r.Counts.Get(portal.MetricFiles, problem) == 1 })
	}
}

func TestFilesAreNotCopiedWhereThatIsOff(t *testing.T) {
	r := started(t, func(r *portaltest.Rig) {
		r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) { in.MaxFile = -1 }
	})
	a := r.Tenant.AddFile("a.pdf", []byte("first"))
	r.Tenant.PostFiles(portaltest.Channel, portaltest.Dave, "<p>look</p>", a)
	r.Quiet()
	require.Equal(t, []string{"m.text look", "m.notice 📎 a.pdf (" + a.ContentURL + ") (files are not copied)"}, fileEvents(r))
}

// While SharePoint or the homeserver does not answer the message waits, and what
// was copied before is not copied again.
func TestFilesWaitForTheServices(t *testing.T) {
	r := started(t)
	a := r.Tenant.AddFile("a.pdf", []byte("first"))
	r.Tenant.SetRead(func(op string) error {
		if op == "file" {
			return portaltest.ErrUnavailable
		}
		return nil
	})
	down := true
	r.HS.SetFaults(func(_ id.UserID, kind event.Type, content map[string]any) error {
		if down && content["msgtype"] == "m.text" {
			return portaltest.Down()
		}
		return nil
	}, nil)
	r.Tenant.PostFiles(portaltest.Channel, portaltest.Dave, "<p>look</p>", a)
	r.Eventually(func() bool { return r.Counts.Get(portal.MetricIngestRetry, "teams unavailable") > 1 })
	require.Empty(t, r.Texts())
	r.Tenant.SetRead(nil)
	r.Eventually(func() bool { return r.Counts.Get(portal.MetricIngestRetry, "homeserver unreachable") > 1 })
	r.HS.SetFaults(nil, nil)
	r.Quiet()
	require.Equal(t, []string{"m.text look", "m.file a.pdf = first"}, fileEvents(r))
	require.Equal(t, 1, r.HS.Media())
}

// A large file of one conversation takes no place from the others.
func TestFilesTakeNoPlace(t *testing.T) {
	other := teams.ChannelRef{TeamID: "team", ChannelID: "19:two@thread.tacv2"}
	r := started(t, func(r *portaltest.Rig) {
		r.Channels = []teams.ChannelRef{portaltest.Channel, other}
		r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) { in.Concurrency = 1 }
	})
	a := r.Tenant.AddFile("a.pdf", []byte("first"))
	hold, reached := make(chan struct{}), make(chan struct{})
	r.Tenant.SetRead(func(op string) error {
		if op == "file" {
			close(reached)
			<-hold
		}
		return nil
	})
	r.Tenant.PostFiles(portaltest.Channel, portaltest.Dave, "<p>look</p>", a)
	<-reached
	r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "behind it")
	r.Tenant.Post(other, "", portaltest.Dave, "elsewhere")
	r.Eventually(func() bool { return len(r.HS.Messages(r.RoomOf(other))) == 1 })
	require.Empty(t, r.Texts(), "what is behind it waits")
	close(hold)
	r.Quiet()
	require.Equal(t, []string{"look", "a.pdf", "behind it"}, r.Texts())
}

// The bridge is cut off after each statement while a message with files comes
// and is edited; the room then shows each part once. Proves T3.
func TestCrashWithFilesFromTeams(t *testing.T) {
	scenario := func(r *portaltest.Rig, step func(f func())) {
		var m teams.Message
		step(func() {
			a, b := r.Tenant.AddFile("a.pdf", []byte("first")), r.Tenant.AddFile("b.pdf", []byte("second"))
			m = r.Tenant.PostFiles(portaltest.Channel, portaltest.Dave, "<p>look</p>", a, b)
		})
		step(func() {
			r.Tenant.Change(portaltest.Channel, m.ID, func(m *teams.Message, at time.Time) {
				m.Attachments, m.Body, m.Edited = m.Attachments[:1], "<p>look here</p>", at
			})
		})
	}
	crashEverywhere(t, scenario, func(t *testing.T, r *portaltest.Rig) {
		require.Equal(t, []string{"m.text look here", "m.file a.pdf = first"}, fileEvents(r))
	})
}

// crashEverywhere runs a scenario with a crash after every third statement, and
// checks what there is in the end.
func crashEverywhere(t *testing.T, scenario func(r *portaltest.Rig, step func(f func())), check func(t *testing.T, r *portaltest.Rig), tune ...func(r *portaltest.Rig)) {
	t.Helper()
	total := 0
	{
		r := started(t, tune...)
		r.CountFromHere()
		scenario(r, func(f func()) { f(); r.Settled() })
		r.Quiet()
		total = r.Statements()
		check(t, r)
		r.Stop()
	}
	stride := 3
	if testing.Short() {
		stride = 17
	}
	for at := 1; at < total; at += stride {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			r := portaltest.New(t)
			r.Fast = true
			for _, f := range tune {
				f(r)
			}
			r.Start() // makes the room
			r.Stop()
			r.CrashAfter(at)
			r.Start()
			r.CountFromHere()
			scenario(r, func(f func()) {
				f()
				r.Eventually(func() bool { return r.Crashed() || !r.Crashing() && r.Ingest.Busy()+r.Sender.Busy() == 0 })
				if r.Crashed() {
					r.Recover()
					// Graph tells again what it was not answered.
					_ = r.Ingest.Accept(t.Context(), "list", r.Tenant.Messages(portaltest.Channel))
					r.Settled()
				}
			})
			r.Recover()
			r.Quiet()
			require.NoError(t, r.Ingest.Accept(t.Context(), "list", r.Tenant.Messages(portaltest.Channel)))
			r.Quiet()
			check(t, r)
		})
	}
}

package portal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// What Graph does not show yet of a message that was just written is not held to be
// gone: the message and those behind it go on without it, and it follows.
func TestYoungMedia(t *testing.T) {
	const body = `<p>look</p><img src="` + imageURL + `" alt="plan" width="10" height="20">`
	long := func(r *portaltest.Rig) {
		r.Tune = func(in *portal.IngestOptions, _ *portal.SenderOptions) { in.YoungMedia = time.Minute }
	}
	accept := func(t *testing.T, r *portaltest.Rig, m teams.Message) {
		t.Helper()
		require.NoError(t, r.Ingest.Accept(t.Context(), "webhook", []teams.Message{m}))
	}
	shown := func(r *portaltest.Rig, text string) func() bool {
		return func() bool { return strings.Contains(strings.Join(fileEvents(r), "\n"), text) }
	}
	t.Run("picture", func(t *testing.T) {
		r := started(t, long)
		accept(t, r, imageMessage(body))
		m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "behind")
		r.Quiet()
		require.Equal(t, []string{"m.text look", "m.notice Image “plan” is not shown here: not available any more", "m.text behind"}, fileEvents(r), m.ID)
		r.Tenant.AddImage(imageURL, []byte("png"))
		r.Eventually(shown(r, "= png"))
		r.Quiet()
		require.Equal(t, []string{"m.text look", "m.image plan = png", "m.text behind"}, fileEvents(r))
		require.Equal(t, 1, r.HS.Media())
		require.Zero(t, r.Counts.Get(portal.MetricMedia, "not available any more"))
		require.Equal(t, 1, r.Counts.Get(portal.MetricMedia, "copied"))
	})
	t.Run("file, after a restart", func(t *testing.T) {
		r := started(t, long)
		a := r.Tenant.AddFile("a.pdf", []byte("first"))
		r.Tenant.ChangeFile("a.pdf", func(f *portaltest.File) { f.Err = portaltest.ErrNotFound })
		r.Tenant.PostFiles(portaltest.Channel, portaltest.Dave, "<p>look</p>", a)
		r.Quiet()
		require.Equal(t, "m.text look", fileEvents(r)[0])
		require.Contains(t, fileEvents(r)[1], "not available any more")
		r.Restart()
		r.Tenant.ChangeFile("a.pdf", func(f *portaltest.File) { f.Err = nil })
		r.Eventually(shown(r, "= first"))
		r.Quiet()
		require.Equal(t, []string{"m.text look", "m.file a.pdf = first"}, fileEvents(r))
	})
	t.Run("added by an edit", func(t *testing.T) {
		r := started(t, long)
		m := imageMessage("<p>look</p>")
		accept(t, r, m)
		r.Quiet()
		m.Body, m.Edited, m.ETag = body, time.Now(), m.ETag+1
		accept(t, r, m)
		r.Quiet()
		require.Len(t, fileEvents(r), 2)
		r.Tenant.AddImage(imageURL, []byte("png"))
		r.Eventually(shown(r, "= png"))
		r.Quiet()
		require.Equal(t, []string{"m.text look", "m.image plan = png"}, fileEvents(r))
	})
	t.Run("in place of another", func(t *testing.T) {
		r := started(t, long)
		second := strings.Replace(imageURL, "aWQ=", "aWQy", 1)
		r.Tenant.AddImage(imageURL, []byte("png"))
		m := imageMessage(body)
		accept(t, r, m)
		r.Quiet()
		m.Body, m.Edited, m.ETag = strings.Replace(body, imageURL, second, 1), time.Now(), m.ETag+1
		accept(t, r, m)
		r.Quiet()
		require.Contains(t, fileEvents(r)[1], "not available any more")
		r.Tenant.AddImage(second, []byte("new"))
		r.Eventually(shown(r, "= new"))
	})
	t.Run("never", func(t *testing.T) {
		r := started(t)
		accept(t, r, imageMessage(body))
		r.Eventually(func() bool { return r.Counts.Get(portal.MetricMedia, "not available any more") == 1 })
		r.Quiet()
		rows, err := r.DB.Inbox.TakeAgain(t.Context(), time.Now().Add(time.Hour))
		require.NoError(t, err)
		require.Empty(t, rows, "it is believed now")
		r.Tenant.AddImage(imageURL, []byte("png"))
		require.Equal(t, []string{"m.text look", "m.notice Image “plan” is not shown here: not available any more"}, fileEvents(r))
	})
	t.Run("old", func(t *testing.T) {
		r := started(t, long)
		m := imageMessage(body)
		m.Created, m.Modified = m.Created.Add(-time.Hour), m.Modified.Add(-time.Hour)
		accept(t, r, m)
		r.Quiet()
		require.Equal(t, 1, r.Counts.Get(portal.MetricMedia, "not available any more"))
	})
}

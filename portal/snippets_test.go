package portal_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// snippetMessage is a message with a code snippet whose code is at imageURL.
func snippetMessage() teams.Message {
	m := imageMessage(`<p>Is this right?</p><attachment id="s"></attachment>`)
	m.Attachments = []teams.Attachment{{
		ID: "s", ContentType: "application/vnd.microsoft.card.codesnippet", Content: `{"language":"Go","codeSnippetUrl":"` + imageURL + `"}`,
	}}
	return m
}

func TestCodeSnippets(t *testing.T) {
	code := func(r *portaltest.Rig) string {
		all := r.HS.Messages(r.Room)
		require.Len(t, all, 2)
		html, _ := all[1].Content["formatted_body"].(string)
		return html
	}
	t.Run("read and shown", func(t *testing.T) {
		r := started(t)
		r.Tenant.AddImage(imageURL, []byte("x := 1\n"))
		m := snippetMessage()
		require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{m}))
		r.Quiet()
		require.Equal(t, `<pre><code class="language-go">x := 1</code></pre>`, code(r))
		require.Equal(t, 1, r.Counts.Get(portal.MetricMedia, "code read"))
		require.NoError(t, r.Ingest.Accept(context.Background(), "export", []teams.Message{m}))
		r.Quiet()
		require.Equal(t, 1, r.Counts.Get(portal.MetricMedia, "code read"), "what is in the room is not read again")
		m.Body, m.Edited, m.ETag = strings.Replace(m.Body, "right", "better", 1), time.Now(), m.ETag+1
		r.Tenant.AddImage(imageURL, []byte("x := 2\n"))
		require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{m}))
		r.Quiet()
		require.Equal(t, "Is this better?", r.HS.Messages(r.Room)[0].Text())
		require.Equal(t, `<pre><code class="language-go">x := 2</code></pre>`, code(r))
	})
	t.Run("waits for Graph", func(t *testing.T) {
		r := started(t)
		r.Tenant.AddImage(imageURL, []byte("x := 1"))
		r.Tenant.SetRead(func(string) error { return portaltest.ErrUnavailable })
		require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{snippetMessage()}))
		r.Eventually(func() bool { return r.Counts.Get(portal.MetricIngestRetry, "teams unavailable") > 1 })
		require.Empty(t, r.HS.Messages(r.Room))
		r.Tenant.SetRead(nil)
		r.Quiet()
		require.Contains(t, code(r), "x := 1")
	})
	t.Run("gone", func(t *testing.T) {
		r := started(t)
		require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{snippetMessage()}))
		r.Quiet()
		require.Empty(t, code(r))
		require.Contains(t, r.HS.Messages(r.Room)[1].Text(), "is not shown here")
	})
	t.Run("refused once", func(t *testing.T) {
		r := started(t)
		r.Tenant.AddImage(imageURL, []byte("x := 1"))
		var failed atomic.Bool
		r.HS.SetFaults(func(_ id.UserID, _ event.Type, content map[string]any) error {
			if html, _ := content["formatted_body"].(string); strings.Contains(html, "<pre>") && failed.CompareAndSwap(false, true) {
				return portaltest.Down()
			}
			return nil
		}, nil)
		require.NoError(t, r.Ingest.Accept(context.Background(), "webhook", []teams.Message{snippetMessage()}))
		r.Quiet()
		require.True(t, failed.Load())
		require.Contains(t, code(r), "x := 1")
		require.Len(t, r.HS.Events(r.Room), 2, "the first part is not sent again")
	})
}

// TestVerifyCodeSnippet compares a message whose code is not in the message.
func TestVerifyCodeSnippet(t *testing.T) {
	r := started(t)
	r.Tenant.AddImage(imageURL, []byte("x := 1"))
	m := r.Tenant.Post(portaltest.Channel, "", portaltest.Dave, "old")
	r.Quiet()
	r.Tenant.Change(portaltest.Channel, m.ID, func(m *teams.Message, at time.Time) {
		portaltest.SetText("new")(m, at)
		m.Attachments = snippetMessage().Attachments
	})
	r.Quiet()
	require.Equal(t, 1, r.Counts.Get(portal.MetricMedia, "code read"))
	require.Len(t, r.HS.Messages(r.Room), 2)
	clean(t, r)
	r.Tenant.Set(portaltest.Channel, m.ID, func(m *teams.Message) {
		m.Attachments[0].Content = strings.Replace(m.Attachments[0].Content, ",", " , ", 1)
	})
	clean(t, r)
}

package graph

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/stretchr/testify/require"
	"teamsbridge/teams"
	"teamsbridge/teams/teamstest"
)

func TestWriter(t *testing.T) {
	w := newWorld(t, teamstest.Options{}, unlimited())
	ctx := t.Context()
	ann := w.writer(t, w.ann)
	require.Equal(t, w.ann.ID, ann.Account().UserID)

	post, err := ann.Post(ctx, ref(w.channel), "", teams.Draft{
		HTML:       `<p>Hello <at id="0">Bob Cook</at> and <at id="1">Releases</at> <img src="../hostedContents/1/$value"></p>`,
		Subject:    "Ready",
		Importance: "high",
		Mentions: []teams.Mention{
			{ID: 0, Text: "Bob Cook", User: &teams.Identity{ID: w.bob.ID, DisplayName: "Bob Cook", Kind: "user"}},
			{ID: 1, Text: "Releases", Conversation: &teams.ConversationMention{ID: w.channel.ID, DisplayName: "Releases", Type: "channel"}},
		},
		Images: []teams.InlineImage{{ID: "1", ContentType: "image/png", Data: png()}},
	})
	require.NoError(t, err)
	require.Equal(t, ref(w.channel), post.Channel)
	reply, err := ann.Post(ctx, ref(w.channel), post.ID, teams.Draft{HTML: "<p>reply</p>"})
	require.NoError(t, err)
	require.Equal(t, post.ID, reply.ReplyToID)

	state := w.channel.Messages()
	require.Len(t, state, 1)
	require.Equal(t, w.ann, state[0].From)
	require.Equal(t, "Ready", state[0].Subject)
	require.Equal(t, "high", state[0].Importance)
	require.Len(t, state[0].Mentions, 2)
	require.Equal(t, w.bob.ID, state[0].Mentions[0].UserID)
	require.Equal(t, w.channel.ID, state[0].Mentions[1].ConversationID)
	require.Len(t, state[0].Images, 1)
	require.Equal(t, png(), state[0].Images[0].Data)
	require.Len(t, state[0].Replies, 1)

	// Both places that a message can be at go through everything.
	for _, m := range []teams.Message{post, reply} {
		at := m.Ref()
		now := func() teamstest.MessageState { return w.channel.Message(m.ID).State() }
		require.NoError(t, ann.Edit(ctx, at, teams.Draft{HTML: "<p>changed</p>"}))
		require.Contains(t, now().Content, "changed")
		require.NoError(t, ann.React(ctx, at, "🎉"))
		require.Len(t, now().Reactions, 1)
		require.Equal(t, "🎉", now().Reactions[0].Kind)
		require.NoError(t, ann.Unreact(ctx, at, "🎉"))
		require.Empty(t, now().Reactions)
		require.NoError(t, ann.Delete(ctx, at))
		require.False(t, now().Deleted.IsZero())
		require.NoError(t, ann.Undelete(ctx, at))
		require.True(t, now().Deleted.IsZero())
	}

	bob := w.writer(t, w.bob)
	require.Error(t, bob.Edit(ctx, post.Ref(), teams.Draft{HTML: "not mine"}))
	_, err = bob.Post(ctx, ref(w.private), "", teams.Draft{HTML: "not a member"})
	require.Error(t, err)
	require.False(t, teams.IsAmbiguous(err))
	_, err = ann.Post(ctx, ref(w.channel), "", teams.Draft{HTML: strings.Repeat("x", 40_000)})
	require.Equal(t, teams.KindTooLarge, teams.KindOf(err))
	_, err = ann.Post(ctx, ref(w.channel), "", teams.Draft{HTML: "x", Images: []teams.InlineImage{{ID: "1", ContentType: "image/png", Data: make([]byte, maxRequest)}}})
	require.Equal(t, teams.KindTooLarge, teams.KindOf(err))
	_, err = ann.Post(ctx, ref(w.channel), "", teams.Draft{HTML: "x", Importance: "nonsense"})
	require.Equal(t, teams.KindBadRequest, teams.KindOf(err))
	for _, err := range []error{second(ann.Post(ctx, teams.ChannelRef{}, "", teams.Draft{})), ann.Edit(ctx, teams.MessageRef{}, teams.Draft{}), ann.Delete(ctx, teams.MessageRef{})} {
		require.Equal(t, teams.KindBadRequest, teams.KindOf(err))
	}
	require.Empty(t, w.sim.Violations(teamstest.ViolationRepeatedWrite, teamstest.ViolationTokenLeak))
}

func TestEditKeepsAttachments(t *testing.T) {
	w := newWorld(t, teamstest.Options{}, unlimited())
	ann := w.writer(t, w.ann)
	card := teams.Attachment{ID: "74d20c7f34aa4a7fb74e2b30004247c5", ContentType: "application/vnd.microsoft.card.thumbnail", Content: `{"title":"T"}`}
	post, err := ann.Post(t.Context(), ref(w.channel), "", teams.Draft{
		HTML: `<p>see</p><attachment id="` + card.ID + `"></attachment>`, Attachments: []teams.Attachment{card}})
	require.NoError(t, err)
	require.NoError(t, ann.Edit(t.Context(), post.Ref(), teams.Draft{HTML: "<p>look</p>"}))
	state := w.channel.Message(post.ID).State()
	require.Contains(t, state.Content, "look")
	require.Len(t, state.Attachments, 1)
	require.Equal(t, card.ID, state.Attachments[0].ID)
}

// Whatever goes wrong with a write, it is sent once, and the error says
// whether Graph may have taken it.
func TestWritesInDoubt(t *testing.T) {
	w := newWorld(t, teamstest.Options{}, unlimited())
	ann := w.writer(t, w.ann)
	posts := func() int {
		return w.sim.CountRequests(func(r teamstest.Request) bool { return r.Op == teamstest.OpPostMessage })
	}
	for kind, want := range map[teamstest.FaultKind]struct {
		ambiguous bool
		taken     int
		kind      teams.Kind
	}{
		teamstest.FaultAcceptLose:        {true, 1, teams.KindUnavailable},
		teamstest.FaultCut:               {true, 1, teams.KindUnavailable},
		teamstest.FaultAcceptBadGateway:  {true, 1, teams.KindUnavailable},
		teamstest.FaultAcceptUnavailable: {true, 1, teams.KindUnavailable},
		teamstest.FaultAcceptTimeout:     {true, 1, teams.KindUnavailable},
		teamstest.FaultAcceptHang:        {true, 1, teams.KindUnavailable},
		teamstest.FaultRefuse:            {true, 0, teams.KindUnavailable},
		teamstest.FaultInternalError:     {true, 0, teams.KindUnavailable},
		teamstest.FaultHTML:              {true, 0, teams.KindUnavailable},
		teamstest.FaultThrottled:         {false, 0, teams.KindThrottled},
		teamstest.FaultForbidden:         {false, 0, teams.KindPermission},
		teamstest.FaultNotFound:          {false, 0, teams.KindNotFound},
	} {
		t.Run(string(kind), func(t *testing.T) {
			before, sent := len(w.channel.Messages()), posts()
			fault := w.sim.Faults().Add(teamstest.Fault{Match: teamstest.Match{Op: teamstest.OpPostMessage}, Kind: kind, Times: 1})
			_, err := ann.Post(t.Context(), ref(w.channel), "", teams.Draft{HTML: "<p>once: " + string(kind) + "</p>"})
			require.Equal(t, want.kind, teams.KindOf(err), err)
			require.Equal(t, want.ambiguous, teams.IsAmbiguous(err))
			require.Equal(t, before+want.taken, len(w.channel.Messages()))
			fault.Clear()
			require.Eventually(t, func() bool { return posts() == sent+1 }, 10*time.Second, 10*time.Millisecond)
		})
	}
	require.Empty(t, w.sim.Violations(teamstest.ViolationRepeatedWrite))
}

func TestSignInOfPeople(t *testing.T) {
	w := newWorld(t, teamstest.Options{SignIn: teamstest.SignInOptions{Rotation: teamstest.RotateAtOnce}}, unlimited())
	ctx := t.Context()
	ann := w.writer(t, w.ann)
	first, err := w.store.LoadToken(ctx, w.ann.ID)
	require.NoError(t, err)
	for i := range 3 {
		w.sim.ExpireTokens()
		_, err := ann.Post(ctx, ref(w.channel), "", teams.Draft{HTML: fmt.Sprintf("<p>%d</p>", i)})
		require.NoError(t, err, "a refused token is renewed, and the refused write sent again")
	}
	require.Len(t, w.channel.Messages(), 3)
	now, err := w.store.LoadToken(ctx, w.ann.ID)
	require.NoError(t, err)
	require.NotEqual(t, first, now)
	require.Empty(t, w.sim.Violations(teamstest.ViolationRepeatedWrite))

	// Graph refuses the renewed token, too. That passes, and is no reason to
	// have somebody sign in again: the sign-in service took the old sign-in.
	stuck := w.sim.Faults().Add(teamstest.Fault{Kind: teamstest.FaultExpireToken})
	_, err = ann.Post(ctx, ref(w.channel), "", teams.Draft{HTML: "<p>refused twice</p>"})
	require.Equal(t, teams.KindUnavailable, teams.KindOf(err), err)
	require.False(t, teams.IsAmbiguous(err))
	stuck.Clear()
	require.Len(t, w.channel.Messages(), 3)

	w.sim.RevokeSessions(w.ann)
	w.sim.ExpireTokens()
	for range 2 {
		_, err = ann.Post(ctx, ref(w.channel), "", teams.Draft{HTML: "<p>x</p>"})
		require.Equal(t, teams.KindSignInExpired, teams.KindOf(err), err)
		require.False(t, teams.IsAmbiguous(err))
	}
	require.Len(t, w.channel.Messages(), 3)

	login, err := teams.StartDeviceLogin(ctx, w.delegated())
	require.NoError(t, err)
	require.NoError(t, w.sim.DenyDevice(login.UserCode))
	_, err = login.Wait(ctx)
	require.ErrorIs(t, err, teams.ErrDeclined)
}

// With the documented limits on, many callers at once break none of them.
func TestDocumentedLimitsHold(t *testing.T) {
	w := newWorld(t, teamstest.Options{Limits: true}, teams.LimiterOptions{})
	ann := w.writer(t, w.ann)
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			_, err := ann.Post(t.Context(), ref(w.channel), "", teams.Draft{HTML: fmt.Sprintf("<p>%d</p>", i)})
			require.NoError(t, err)
		})
		wg.Go(func() { require.NoError(t, second(w.client.List(t.Context(), ref(w.channel), ""))) })
		wg.Go(func() { require.NoError(t, second(w.client.List(t.Context(), ref(w.shared), ""))) })
		wg.Go(func() { require.NoError(t, second(w.client.TeamMembers(t.Context(), w.team.ID))) })
		wg.Go(func() {
			require.NoError(t, second(w.client.ExportTeam(t.Context(), w.team.ID, time.Now().Add(-time.Hour), "")))
		})
	}
	wg.Wait()
	require.Empty(t, w.sim.Violations(teamstest.ViolationLimit, teamstest.ViolationEarly))
}

func TestAnnouncedPauseHolds(t *testing.T) {
	w := newWorld(t, teamstest.Options{}, unlimited())
	_, err := w.client.Organization(t.Context())
	require.NoError(t, err)
	w.sim.Faults().Add(teamstest.Fault{Match: teamstest.Match{Op: teamstest.OpMessages}, Kind: teamstest.FaultThrottled, RetryAfter: 2 * time.Second, Times: 1})
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			require.NoError(t, second(w.client.List(t.Context(), ref([]*teamstest.Channel{w.channel, w.shared}[i%2]), "")))
		})
	}
	wg.Wait()
	require.GreaterOrEqual(t, time.Since(begin), 2*time.Second)
	require.Empty(t, w.sim.Violations(teamstest.ViolationEarly))
}

func TestSubscriptions(t *testing.T) {
	hook := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(rw, r.URL.Query().Get("validationToken"))
	}))
	defer hook.Close()
	pool := x509.NewCertPool()
	pool.AddCert(hook.Certificate())
	w := newWorld(t, teamstest.Options{Notify: teamstest.NotifyOptions{RootCAs: pool}}, unlimited())
	ctx := t.Context()
	want := teams.Subscription{Resource: "/teams/" + w.team.ID + "/channels/" + w.channel.ID + "/messages", ChangeType: "created,updated,deleted",
		NotificationURL: hook.URL + "/n", LifecycleURL: hook.URL + "/l", ClientState: "state-1", Expires: time.Now().Add(2 * time.Hour).UTC().Truncate(time.Millisecond)}
	made, err := w.client.CreateSubscription(ctx, want)
	require.NoError(t, err)
	require.NotEmpty(t, made.ID)
	require.WithinDuration(t, want.Expires, made.Expires, time.Second)
	require.Contains(t, w.sim.Subscriptions()[0].Resource, w.channel.ID, "ids in the resource are not percent-encoded")

	made.Expires = made.Expires.Add(time.Hour)
	renewed, err := w.client.RenewSubscription(ctx, made)
	require.NoError(t, err)
	require.WithinDuration(t, made.Expires, renewed.Expires, time.Second)
	list, err := w.client.ListSubscriptions(ctx)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, made.ID, list[0].ID)
	require.Equal(t, want.NotificationURL, list[0].NotificationURL)

	_, err = w.client.CreateSubscription(ctx, want)
	require.Equal(t, teams.KindPermission, teams.KindOf(err), "one subscription per channel")
	require.NoError(t, w.client.DeleteSubscription(ctx, made.ID))
	_, err = w.client.RenewSubscription(ctx, made)
	require.Equal(t, teams.KindNotFound, teams.KindOf(err))

	rich := want
	rich.Resource, rich.IncludeData, rich.CertificateID = "/teams/getAllMessages", true, "k1"
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hook.Certificate().Raw})
	rich.CertificateBase64 = strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(string(block)), "-----BEGIN CERTIFICATE-----"), "-----END CERTIFICATE-----"), "\n", "")
	made, err = w.client.CreateSubscription(ctx, rich)
	require.NoError(t, err)
	require.True(t, made.IncludeData)
	require.Equal(t, "k1", made.CertificateID)
	require.Equal(t, rich.CertificateBase64, made.CertificateBase64)
	require.Equal(t, teams.KindBadRequest, teams.KindOf(w.client.DeleteSubscription(ctx, "")))
}

// fixedToken is a sign-in for tests against a server of a few lines.
type fixedToken struct{}

func (fixedToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "secret", ExpiresOn: time.Now().Add(time.Hour)}, nil
}
func (fixedToken) Invalidate(string) bool { return false }

func small(t *testing.T, h http.HandlerFunc) (*Client, *Writer, *httptest.Server) {
	t.Helper()
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	e, err := teams.ResolveEndpoints("", server.URL, server.URL, nil)
	require.NoError(t, err)
	client, err := teams.NewHTTPClient(teams.HTTPOptions{Endpoints: e, CAFile: caFile, Limiter: teams.NewLimiter(unlimited())})
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	c, err := New(Options{Endpoints: e, Credential: fixedToken{}, HTTP: client})
	require.NoError(t, err)
	writer, err := NewWriter(WriterOptions{Endpoints: e, Credential: fixedToken{}, HTTP: client, Account: teams.Account{UserID: "u"}})
	require.NoError(t, err)
	return c, writer, server
}

func smallRef() teams.MessageRef {
	return teams.MessageRef{ChannelRef: teams.ChannelRef{TeamID: "T", ChannelID: "19:a@thread.tacv2"}, ID: "1"}
}

// What goes over the wire is what Microsoft documents.
func TestRequestsOnTheWire(t *testing.T) {
	var (
		got  *http.Request
		body string
	)
	c, w, _ := small(t, func(rw http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		got, body = r.Clone(context.Background()), string(raw)
		if r.Method == http.MethodPatch {
			rw.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = io.WriteString(rw, `{"id":"1","value":[]}`)
	})
	_, err := c.Delta(t.Context(), smallRef().ChannelRef, time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC), "")
	require.NoError(t, err)
	require.Equal(t, "Bearer secret", got.Header.Get("Authorization"))
	require.Equal(t, "include-unknown-enum-members", got.Header.Get("Prefer"))
	require.Contains(t, got.URL.RawQuery, "2026-01-02T03%3A04%3A05.006Z")
	require.Contains(t, got.URL.EscapedPath(), "/v1.0/teams/T/channels/19%3Aa%40thread.tacv2/messages/delta")

	_, err = w.Post(t.Context(), smallRef().ChannelRef, "", teams.Draft{HTML: `<at id="0">Bob</at>`,
		Mentions: []teams.Mention{{ID: 0, Text: "Bob", User: &teams.Identity{ID: "b", DisplayName: "Bob"}},
			{ID: 1, Text: "ops", Tag: &teams.TagMention{ID: "tag1", DisplayName: "ops"}},
			{ID: 2, Text: "bot", Application: &teams.Identity{ID: "app1", DisplayName: "bot"}}},
		Images: []teams.InlineImage{{ID: "1", ContentType: "image/png", Data: []byte("abc")}}})
	require.NoError(t, err)
	require.Empty(t, got.Header.Get("Content-Encoding"))
	require.EqualValues(t, len(body), got.ContentLength)
	require.JSONEq(t, `{"body":{"contentType":"html","content":"<at id=\"0\">Bob</at>"},
 "mentions":[{"id":0,"mentionText":"Bob","mentioned":{"@odata.type":"#microsoft.graph.chatMessageMentionedIdentitySet","user":{"id":"b","displayName":"Bob","userIdentityType":"aadUser"}}},
  {"id":1,"mentionText":"ops","mentioned":{"@odata.type":"#microsoft.graph.chatMessageMentionedIdentitySet","tag":{"id":"tag1","displayName":"ops"}}},
  {"id":2,"mentionText":"bot","mentioned":{"@odata.type":"#microsoft.graph.chatMessageMentionedIdentitySet","application":{"id":"app1","displayName":"bot","applicationIdentityType":"bot"}}}],
 "hostedContents":[{"@microsoft.graph.temporaryId":"1","contentBytes":"YWJj","contentType":"image/png"}]}`, body)

	require.NoError(t, w.Edit(t.Context(), smallRef(), teams.Draft{HTML: "x"}))
	require.Equal(t, http.MethodPatch, got.Method)
	require.JSONEq(t, `{"body":{"contentType":"html","content":"x"}}`, body)
}

// A link that leads away from Graph is refused, and no token goes there.
func TestForeignLinks(t *testing.T) {
	hits := 0
	var server *httptest.Server
	foreign := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits++ }))
	defer foreign.Close()
	c, _, server := small(t, func(rw http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(rw).Encode(map[string]any{"value": []any{}, "@odata.nextLink": foreign.URL + "/v1.0/teams"})
	})
	_, err := c.Teams(t.Context())
	require.Equal(t, teams.KindForeignHost, teams.KindOf(err))
	for _, link := range []string{foreign.URL + "/v1.0/x", strings.Replace(server.URL, "127.0.0.1", "localhost", 1) + "/v1.0/x", strings.Replace(server.URL, "https", "http", 1) + "/v1.0/x", "/v1.0/teams", "::"} {
		_, err = c.List(t.Context(), smallRef().ChannelRef, link)
		require.Equal(t, teams.KindForeignHost, teams.KindOf(err), link)
	}
	require.Zero(t, hits)
}

// Pages of captive portals and gateways come with status 200.
func TestAnswersThatAreNotFromGraph(t *testing.T) {
	c, w, _ := small(t, func(rw http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(rw, "<html>pay</html>") })
	for _, err := range []error{second(c.Teams(t.Context())), second(c.Organization(t.Context())), second(c.Message(t.Context(), smallRef())),
		second(c.List(t.Context(), smallRef().ChannelRef, "")), second(c.ListSubscriptions(t.Context()))} {
		require.Equal(t, teams.KindUnavailable, teams.KindOf(err))
		require.False(t, teams.IsAmbiguous(err))
	}
	_, err := w.Post(t.Context(), smallRef().ChannelRef, "", teams.Draft{HTML: "x"})
	require.True(t, teams.IsAmbiguous(err))
	_, err = c.CreateSubscription(t.Context(), teams.Subscription{Resource: "x", Expires: time.Now()})
	require.True(t, teams.IsAmbiguous(err))
}

// A list whose links go in a circle ends.
func TestEndlessList(t *testing.T) {
	var server *httptest.Server
	c, _, server := small(t, func(rw http.ResponseWriter, r *http.Request) {
		items := make([]map[string]string, 100_000)
		for i := range items {
			items[i] = map[string]string{"id": "t"}
		}
		_ = json.NewEncoder(rw).Encode(map[string]any{"value": items, "@odata.nextLink": server.URL + "/v1.0/teams"})
	})
	_, err := c.Teams(t.Context())
	require.Equal(t, teams.KindUnavailable, teams.KindOf(err))
}

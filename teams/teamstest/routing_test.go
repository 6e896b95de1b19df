package teamstest

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPathsInEveryFormThatClientsSend(t *testing.T) {
	w := newWorld(t, Options{})
	m := w.general.Post(w.ann, Msg{Text: "hello"})
	escaped := "/teams/" + w.team.ID + "/channels/" + url.QueryEscape(w.general.ID)
	for name, path := range map[string]string{
		"raw":            w.general.path() + "/messages/" + m.ID,
		"encoded":        escaped + "/messages/" + m.ID,
		"odata keys":     "/teams('" + w.team.ID + "')/channels('" + w.general.ID + "')/messages('" + m.ID + "')",
		"case":           "/Teams/" + w.team.ID + "/Channels/" + w.general.ID + "/Messages/" + m.ID,
		"list":           escaped + "/messages?$top=5",
		"encoded dollar": escaped + "/messages?%24top=5&%24expand=replies",
		"delta":          escaped + "/messages/delta",
		"delta function": escaped + "/messages/delta()?%24top=5",
		"metered":        "/teams/" + w.team.ID + "/channels/getAllMessages?model=B",
	} {
		t.Run(name, func(t *testing.T) {
			a := w.get(asApp, path)
			require.Equal(t, http.StatusOK, a.status, string(a.raw))
		})
	}
}

func TestUnknownPathsAndTokens(t *testing.T) {
	w := newWorld(t, Options{})
	w.get("", "/organization").refused(http.StatusUnauthorized, "InvalidAuthenticationToken", "")
	w.get(asApp, "/nonsense").refused(http.StatusBadRequest, "BadRequest", "segment 'nonsense'")
	w.call(asApp, http.MethodDelete, w.general.messagesPath()+"/1", nil).refused(http.StatusBadRequest, "BadRequest", "")
	w.get(asApp, "/teams/nobody").refused(http.StatusNotFound, "NotFound", "nobody")
	w.get(asApp, "/teams/"+w.team.ID+"/channels/19:x@thread.tacv2").refused(http.StatusNotFound, "NotFound", "")
	w.get(asApp, w.general.messagesPath()+"/12345").refused(http.StatusNotFound, "NotFound", "12345")
}

func TestRequestIDsAreEchoed(t *testing.T) {
	w := newWorld(t, Options{})
	a := w.get(asApp, "/organization", "client-request-id", "mine").want(http.StatusOK)
	require.Equal(t, "mine", a.header.Get("client-request-id"))
	require.NotEmpty(t, a.header.Get("request-id"))
	require.NotEmpty(t, a.header.Get("x-ms-ags-diagnostic"))
}

func TestCompressedRequestBodies(t *testing.T) {
	w := newWorld(t, Options{})
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, err := zw.Write(mustJSON(htmlBody("<p>packed</p>")))
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	a := w.post(as(w.ann), w.general.messagesPath(), b.Bytes(), "Content-Encoding", "gzip").want(http.StatusCreated)
	require.Equal(t, "<p>packed</p>", a.json["body"].(map[string]any)["content"])

	w.post(as(w.ann), w.general.messagesPath(), "plain", "Content-Encoding", "gzip").refused(http.StatusBadRequest, "BadRequest", "gzip")
	w.post(as(w.ann), w.general.messagesPath(), "x", "Content-Encoding", "br").refused(http.StatusUnsupportedMediaType, "UnsupportedMediaType", "br")
	w.post(as(w.ann), w.general.messagesPath(), strings.Repeat("x", maxRequest+1)).refused(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "")
}

func TestHTMLIsNotEscapedInJSON(t *testing.T) {
	w := newWorld(t, Options{})
	w.general.Post(w.ann, Msg{HTML: "<p>a &amp; b</p>"})
	a := w.get(asApp, w.general.messagesPath()).want(http.StatusOK)
	require.Contains(t, string(a.raw), `"content":"<p>a &amp; b</p>"`)
}

// TestPermissionsOfEveryRoute walks the permission table: each least privileged
// name lets a caller in, none at all keeps it out and names what is missing,
// and the kind of token that a call does not support gets a 412.
func TestPermissionsOfEveryRoute(t *testing.T) {
	w := newWorld(t, Options{})
	m := w.general.Post(w.ann, Msg{Text: "hello"})
	reply := m.Reply(w.ann, Msg{Text: "yes"})
	fill := strings.NewReplacer("{team}", w.team.ID, "{channel}", w.general.ID, "{message}", m.ID, "{reply}", reply.ID,
		"{user}", w.ann.ID, "{size}", "48x48", "{content}", "none")
	for _, r := range coreRoutes() {
		if r.perm.open {
			continue
		}
		t.Run(r.method+" "+r.path, func(t *testing.T) {
			w.T = t
			path := fill.Replace(r.path)
			for _, kind := range []struct {
				names         []string
				prefix, title string
			}{{r.perm.application, "app:", "application-only"}, {r.perm.delegated, "user:" + w.ann.ID + ":", "delegated"}} {
				if kind.names == nil {
					w.call(kind.prefix+"Any", r.method, path, "{}").refused(http.StatusPreconditionFailed, "PreconditionFailed", kind.title)
					continue
				}
				w.call(kind.prefix, r.method, path, "{}").refused(http.StatusForbidden, "Forbidden", kind.names[0])
				a := w.call(kind.prefix+kind.names[0], r.method, path, "{}")
				require.NotContains(t, []int{http.StatusUnauthorized, http.StatusPreconditionFailed}, a.status)
				require.NotContains(t, string(a.raw), "API requires one of")
			}
		})
	}
}

func TestMembershipLimitsDelegatedCallers(t *testing.T) {
	w := newWorld(t, Options{})
	w.private.Post(w.ann, Msg{Text: "secret"})
	w.get(as(w.ann), w.private.messagesPath()).want(http.StatusOK)
	w.get(as(w.bob), w.private.messagesPath()).refused(http.StatusForbidden, "Forbidden", "not a member of the channel")
	w.post(as(w.bob), w.private.messagesPath(), htmlBody("x")).refused(http.StatusForbidden, "Forbidden", "")
	w.get(as(w.eve), w.general.messagesPath()).refused(http.StatusForbidden, "Forbidden", "not a member of the team")
	w.get(asApp, w.private.messagesPath()).want(http.StatusOK)

	require.Len(t, w.get(as(w.bob), "/teams/"+w.team.ID+"/channels").value(), 1)
	require.Len(t, w.get(as(w.ann), "/teams/"+w.team.ID+"/channels").value(), 2)
	require.Len(t, w.get(as(w.ann), "/me/joinedTeams").value(), 1)
	require.Empty(t, w.get(as(w.eve), "/me/joinedTeams").value())
}

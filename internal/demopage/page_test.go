package demopage

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// world is a tenant and the page for it, without a homeserver and a bridge.
type world struct {
	t        *testing.T
	p        *Page
	url      string
	ada, ben *teamstest.User
	general  *teamstest.Channel
}

// away is a homeserver that does not answer.
type away struct{}

func (away) Name() string                { return "away" }
func (away) ServerName() string          { return "away.test" }
func (away) URL() string                 { return "http://127.0.0.1:1" }
func (away) Start(context.Context) error { return nil }
func (away) Stop()                       {}

func newWorld(t *testing.T) *world {
	t.Helper()
	tenant, err := teamstest.Start(teamstest.Options{})
	require.NoError(t, err)
	w := &world{t: t}
	w.ada = tenant.AddUser(teamstest.UserSpec{DisplayName: "Ada Lovelace"})
	w.ben = tenant.AddUser(teamstest.UserSpec{DisplayName: "Ben Okri"})
	w.general = tenant.AddTeam(teamstest.TeamSpec{DisplayName: "Engineering", Owners: []*teamstest.User{w.ada}, Members: []*teamstest.User{w.ben}}).General()
	server := httptest.NewUnstartedServer(nil)
	w.p = newPage(Options{Stack: &stack.Stack{Tenant: tenant, Homeserver: away{}}, Metrics: "http://127.0.0.1:1/"}, server.Listener.Addr().String())
	server.Config.Handler = w.p.handler()
	server.Start()
	w.url = server.URL
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		w.p.graph.http.CloseIdleConnections()
		require.NoError(t, tenant.Close())
	})
	return w
}

// do makes a request as the page makes it; edit changes it first.
func (w *world) do(method, path, kind string, body io.Reader, edit func(r *http.Request)) (int, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, body)
	require.NoError(w.t, err)
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Origin", w.url)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set(tokenHeader, w.p.token)
	if edit != nil {
		edit(req)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	require.Contains(w.t, resp.Header.Get("Content-Security-Policy"), "default-src 'none'")
	require.Equal(w.t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
	return resp.StatusCode, string(text)
}

func (w *world) say(fields map[string]string, name string, data []byte) (int, string) {
	w.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for key, value := range fields {
		require.NoError(w.t, form.WriteField(key, value))
	}
	if name != "" {
		part, err := form.CreateFormFile("file", name)
		require.NoError(w.t, err)
		_, err = part.Write(data)
		require.NoError(w.t, err)
	}
	require.NoError(w.t, form.Close())
	return w.do(http.MethodPost, "/api/say", form.FormDataContentType(), &body, nil)
}

func (w *world) change(u *teamstest.User, do, id, text, key string) {
	w.t.Helper()
	body, err := json.Marshal(change{Side: "teams", Channel: w.general.ID, As: u.ID, Do: do, ID: id, Text: text, Key: key})
	require.NoError(w.t, err)
	status, answer := w.do(http.MethodPost, "/api/change", "application/json", bytes.NewReader(body), nil)
	require.Equal(w.t, http.StatusOK, status, answer)
}

// newest is the newest message as the page shows it.
func (w *world) newest() message {
	w.t.Helper()
	list, err := w.p.readTeams(w.t.Context(), w.general)
	require.NoError(w.t, err)
	require.NotEmpty(w.t, list)
	return list[len(list)-1]
}

// What changes something comes from the page, or is refused and changes nothing.
func TestOnlyThePageMayAct(t *testing.T) {
	w := newWorld(t)
	on := func(edit func(r *http.Request)) int {
		status, _ := w.do(http.MethodPost, "/api/outage", "application/json", strings.NewReader(`{"on":true}`), edit)
		return status
	}
	for name, edit := range map[string]func(r *http.Request){
		"no token":             func(r *http.Request) { r.Header.Del(tokenHeader) },
		"a wrong token":        func(r *http.Request) { r.Header.Set(tokenHeader, "guess") },
		"no origin":            func(r *http.Request) { r.Header.Del("Origin") },
		"another origin":       func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") },
		"another port":         func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:1") },
		"another site":         func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"another port's page":  func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"a name that leads us": func(r *http.Request) { r.Host = "evil.example"; r.Header.Set("Origin", "http://evil.example") },
	} {
		require.GreaterOrEqual(t, on(edit), 400, name)
		require.False(t, w.p.opts.Stack.Tenant.IsDown(teamstest.ServiceGraph), name)
	}
	require.Equal(t, http.StatusOK, on(nil))
	require.True(t, w.p.opts.Stack.Tenant.IsDown(teamstest.ServiceGraph))

	get := func(path string, edit func(r *http.Request)) int {
		status, _ := w.do(http.MethodGet, path, "", nil, edit)
		return status
	}
	foreign := func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }
	require.Equal(t, http.StatusForbidden, get("/api/events?channel="+url.QueryEscape(w.general.ID), foreign))
	require.Equal(t, http.StatusOK, get("/", foreign), "a link to the page is no attack")
	require.Equal(t, http.StatusMisdirectedRequest, get("/", func(r *http.Request) { r.Host = "evil.example" }))
}

// The page needs nothing but its own files, and has nothing in line that its
// policy would refuse.
func TestPageStandsAlone(t *testing.T) {
	w := newWorld(t)
	_, index := w.do(http.MethodGet, "/", "", nil, nil)
	require.Contains(t, index, w.p.token)
	entries, err := web.ReadDir("web")
	require.NoError(t, err)
	for _, entry := range entries {
		data, err := web.ReadFile("web/" + entry.Name())
		require.NoError(t, err)
		text := strings.ReplaceAll(string(data), "http://www.w3.org/2000/svg", "")
		for _, no := range []string{"http://", "//cdn", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style=", " onclick=\"", "<script>"} {
			require.NotContains(t, text, no, entry.Name())
		}
		if entry.Name() != "index.html" {
			status, served := w.do(http.MethodGet, "/"+entry.Name(), "", nil, nil)
			require.Equal(t, http.StatusOK, status, entry.Name())
			require.Equal(t, string(data), served)
		}
	}
}

// What the page does in Teams goes through Graph as the person who speaks.
func TestSpeakingInTeams(t *testing.T) {
	w := newWorld(t)
	status, answer := w.say(map[string]string{"side": "teams", "channel": w.general.ID, "as": w.ada.ID, "subject": "News", "importance": "high",
		"text": "It **works**, see [here](https://contoso.example/) and <script>this</script>"}, "", nil)
	require.Equal(t, http.StatusOK, status, answer)
	post := w.newest()
	require.Equal(t, "Ada Lovelace", post.Author.Name)
	require.Equal(t, "News", post.Subject)
	require.Equal(t, "high", post.Importance)
	require.Contains(t, post.HTML, "<strong>works</strong>")
	require.Contains(t, post.HTML, `href="https://contoso.example/"`)
	require.NotContains(t, post.HTML, "<script")
	require.Contains(t, post.HTML, "this", "what looks like HTML is what somebody typed")

	picture := teamstest.PNG(teamstest.Chart([]int{1, 2}, 40, 20))
	status, answer = w.say(map[string]string{"side": "teams", "channel": w.general.ID, "as": w.ben.ID, "replyTo": post.ID, "text": "a picture"}, "a & b.png", picture)
	require.Equal(t, http.StatusOK, status, answer)
	reply := w.newest()
	require.Equal(t, post.ID, reply.Thread)
	require.Len(t, reply.Files, 1)
	require.Equal(t, file{Name: "a & b.png", Size: int64(len(picture)), Kind: "image", URL: reply.Files[0].URL}, reply.Files[0])
	status, served := w.do(http.MethodGet, reply.Files[0].URL, "", nil, nil)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, string(picture), served)

	w.change(w.ben, "edit", reply.ID, "a *better* picture", "")
	edited := w.newest()
	require.True(t, edited.Edited)
	require.Contains(t, edited.HTML, "<em>better</em>")
	require.Equal(t, "a _better_ picture", edited.Source, "an edit begins with what was written")
	require.Equal(t, reply.Files, edited.Files, "an edit keeps the file")

	w.change(w.ada, "react", reply.ID, "", "👍")
	require.Equal(t, []reaction{{Key: "👍", Label: "👍", People: []person{{ID: w.ada.ID, Name: "Ada Lovelace"}}}}, w.newest().Reactions)
	w.change(w.ada, "unreact", reply.ID, "", "👍")
	require.Empty(t, w.newest().Reactions)
	w.change(w.ben, "delete", reply.ID, "", "")
	gone := w.newest()
	require.True(t, gone.Deleted)
	require.Empty(t, gone.HTML)
}

// Requests that make no sense, or are too large, are refused with a reason.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	fields := func(more ...string) map[string]string {
		out := map[string]string{"side": "teams", "channel": w.general.ID, "as": w.ada.ID, "text": "x"}
		for i := 0; i < len(more); i += 2 {
			out[more[i]] = more[i+1]
		}
		return out
	}
	for name, f := range map[string]map[string]string{
		"no text":      fields("text", "  "),
		"no channel":   fields("channel", "other"),
		"no member":    fields("as", "nobody"),
		"no such post": fields("replyTo", "17"),
	} {
		status, answer := w.say(f, "", nil)
		require.Equal(t, http.StatusUnprocessableEntity, status, name)
		require.Contains(t, answer, "error", name)
	}
	status, _ := w.say(fields("text", strings.Repeat("x", maxText+1)), "", nil)
	require.Equal(t, http.StatusRequestEntityTooLarge, status)
	status, _ = w.do(http.MethodPost, "/api/change", "application/json", strings.NewReader(`{"text":"`+strings.Repeat("x", maxText)+`"}`), nil)
	require.Equal(t, http.StatusRequestEntityTooLarge, status)
	status, _ = w.do(http.MethodGet, "/media/teams/teams/a/channels/b/messages", "", nil, nil)
	require.Equal(t, http.StatusNotFound, status, "pictures only, not all of Graph")
	list, err := w.p.readTeams(t.Context(), w.general)
	require.NoError(t, err)
	for _, m := range list {
		require.True(t, m.System, "nothing was said")
	}
}

// The stream brings what is new in Teams, says when Teams is away, and keeps
// what was shown.
func TestStream(t *testing.T) {
	w := newWorld(t)
	w.general.Post(w.ada, teamstest.Msg{HTML: "<p>first</p>"})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/api/events?channel="+url.QueryEscape(w.general.ID), nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewReader(resp.Body)
	next := func(ready func(v teamsView) bool) {
		t.Helper()
		kind := ""
		for began := time.Now(); time.Since(began) < 30*time.Second; {
			line, err := lines.ReadString('\n')
			require.NoError(t, err)
			if name, ok := strings.CutPrefix(line, "event: "); ok {
				kind = strings.TrimSpace(name)
			}
			var view teamsView
			if data, ok := strings.CutPrefix(line, "data: "); ok && kind == "teams" && json.Unmarshal([]byte(data), &view) == nil && ready(view) {
				return
			}
		}
		require.Fail(t, "it never came")
	}
	has := func(text string) func(v teamsView) bool {
		return func(v teamsView) bool {
			return v.Error == "" && len(v.Messages) > 0 && strings.Contains(v.Messages[len(v.Messages)-1].HTML, text)
		}
	}
	next(has("first"))
	w.general.Post(w.ben, teamstest.Msg{HTML: "<p>second</p>"})
	next(has("second"))
	w.p.opts.Stack.Tenant.Down(teamstest.DownUnavailable)
	next(func(v teamsView) bool { return strings.Contains(v.Error, "503") && len(v.Messages) > 1 })
	require.NoError(t, w.p.opts.Stack.Tenant.Up())
	next(has("second"))
}

func TestCleaned(t *testing.T) {
	for source, want := range map[string]string{
		`<p style="color:red" onclick="x()">a<script>x()</script><b>b</b></p>`:         `<p>a<b>b</b></p>`,
		`<img src="a" onerror="x()" alt="c"><svg onload="x()"><a href="d">e</a></svg>`: `<img src="a" alt="c"/>`,
		`<at id="0">Ada</at> <!-- <b> --> &lt;i&gt;`:                                   `<at id="0">Ada</at>  &lt;i&gt;`,
		``: ``,
	} {
		require.Equal(t, want, cleaned(source))
	}
}

func TestWordsOfACard(t *testing.T) {
	require.Equal(t, "Deploy 4.12 · Ready? · Yes", wordsOf(`{"type":"AdaptiveCard","title":"Deploy 4.12","body":[{"type":"TextBlock","text":"Ready?"}],"actions":[{"title":"Yes","data":{"x":1}}]}`))
	require.Empty(t, wordsOf("not JSON"))
	require.Equal(t, "Members added", spaced("membersAdded"))
	require.Equal(t, &quote{Author: "Ada", Text: "hello"}, quoteOf(`{"messageId":"1","messagePreview":"hello","messageSender":{"user":{"displayName":"Ada"}}}`))
}

func TestNumbers(t *testing.T) {
	var n numbers
	n.fill(strings.NewReader(`# HELP teamsbridge_outbox_rows x
teamsbridge_outbox_rows{state="queued"} 4
teamsbridge_outbox_rows{state="sending"} 1
teamsbridge_outbox_rows{state="parked"} 2
teamsbridge_journal_rows 3
teamsbridge_inbox_rows{state="pending"} 5
teamsbridge_queue_age_seconds{queue="outbox"} 12.7
teamsbridge_message_delay_seconds_count{direction="outbox_delay"} 9
teamsbridge_graph_up 0
`))
	require.Equal(t, numbers{Known: true, Waiting: 8, Parked: 2, Inbox: 5, Oldest: 12, Sent: 9}, n)
}

func TestThreadsTogether(t *testing.T) {
	var ids []string
	for _, m := range threaded([]message{{ID: "a"}, {ID: "b"}, {ID: "a1", Thread: "a"}, {ID: "x", Thread: "not there"}, {ID: "a2", Thread: "a"}}) {
		ids = append(ids, m.ID)
	}
	require.Equal(t, []string{"a", "a1", "a2", "b", "x"}, ids)
}

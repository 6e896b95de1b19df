package statuspage

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"teamsbridge/texts"
)

// fake is a bridge of which ann and ben are administrators.
type fake struct {
	mu     sync.Mutex
	admins map[string]bool
	given  []string
	err    error
	now    time.Time
	told   []string
	view   View
}

func (f *fake) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fake) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

func (f *fake) View(_ context.Context, find string) (View, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.view
	v.Left = "find=" + find
	return v, f.err
}

func (f *fake) Do(_ context.Context, user, command, arguments string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.given = append(f.given, user+" "+command+" "+arguments)
	return "done <b>it</b>", f.err
}

func (f *fake) IsAdmin(user string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.admins[user]
}

const (
	ann = "@ann:hs.example"
	ben = "@ben:hs.example"
)

// rig is a server with the path of a proxy in front.
type rig struct {
	*testing.T
	*fake
	s    *Server
	base string
}

func newRig(t *testing.T) *rig {
	f := &fake{admins: map[string]bool{ann: true, ben: true}, now: time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)}
	f.view = View{Level: Good, Headline: "Everything works.", Rows: []Row{
		{Target: "t1/c1", Team: "<script>Sales", Name: "General", State: "mirrored", Level: Good, Mirrored: true, ToTeams: "2 waiting", Waiting: true},
		{Target: "t2", Team: "Care", State: "not mirrored"},
	}}
	r := &rig{T: t, fake: f}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.s.Handler().ServeHTTP(w, req) }))
	t.Cleanup(server.Close)
	r.base = server.URL + "/bridge"
	r.s = New(Options{PublicURL: r.base + "/", Bridge: f, Now: f.clock, Logger: zerolog.Nop(), Texts: texts.Texts{},
		Refused: func(path string) { f.told = append(f.told, "refused "+path) }, Entered: func(user string) { f.told = append(f.told, "entered "+user) }})
	return r
}

// browser has cookies of its own.
type browser struct {
	*rig
	client *http.Client
	page   string
}

func (r *rig) browser() *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(r, err)
	return &browser{rig: r, client: &http.Client{Jar: jar, Timeout: 10 * time.Second}}
}

func (b *browser) do(req *http.Request) int {
	res, err := b.client.Do(req)
	require.NoError(b, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(b, err)
	b.page = string(body)
	require.Contains(b, res.Header.Get("Content-Security-Policy"), "default-src 'none'")
	require.Equal(b, "no-store", res.Header.Get("Cache-Control"))
	return res.StatusCode
}

func (b *browser) get(address string) int {
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, address, nil)
	require.NoError(b, err)
	return b.do(req)
}

func (b *browser) post(address string, form url.Values) int {
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	require.NoError(b, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

var tokenInPage = regexp.MustCompile(`name="token" value="([^"]+)"`)

// press sends a form of the page that is shown.
func (b *browser) press(path string, pairs ...string) int {
	token := tokenInPage.FindStringSubmatch(b.page)
	require.NotNil(b, token)
	form := url.Values{"token": {token[1]}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return b.post(b.base+path, form)
}

func (b *browser) enter(user string) *browser {
	link, expires, err := b.s.Link(user)
	require.NoError(b, err)
	require.Equal(b, b.clock().Add(LinkLife), expires)
	require.Equal(b, http.StatusOK, b.get(link))
	require.Contains(b, b.page, user)
	require.Equal(b, http.StatusOK, b.press(strings.TrimPrefix(link, b.base)))
	require.Contains(b, b.page, "Everything works.")
	return b
}

// TestStrangersAreRefused: without a session nothing is shown or done, whatever is
// asked for, and however.
func TestStrangersAreRefused(t *testing.T) {
	r := newRig(t)
	b := r.browser()
	for _, path := range []string{"/", "/live", "/act", "/leave", "/metrics", "/enter", "/enter/", "/../live", "//live", "/enter/" + strings.Repeat("x", 43)} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead} {
			req, err := http.NewRequestWithContext(t.Context(), method, r.base+path, strings.NewReader("act=outage-end"))
			require.NoError(t, err)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.AddCookie(&http.Cookie{Name: "teamsbridge-status", Value: strings.Repeat("x", 43)})
			status := b.do(req)
			require.Contains(t, []int{http.StatusUnauthorized, http.StatusNotFound, http.StatusMethodNotAllowed}, status, "%s %s", method, path)
			require.NotContains(t, b.page, "Sales", "%s %s", method, path)
		}
	}
	require.Empty(t, r.given)
	require.Contains(t, r.told, "refused /act", "the audit log hears of it")
}

// TestLinkOpensOnce: a link is good once, for five minutes, and looking at it uses
// nothing up; the newest link of somebody counts.
func TestLinkOpensOnce(t *testing.T) {
	r := newRig(t)
	old, _, err := r.s.Link(ann)
	require.NoError(t, err)
	link, _, err := r.s.Link(ann)
	require.NoError(t, err)
	b := r.browser()
	require.Equal(t, http.StatusNotFound, b.get(old))
	for range 3 {
		require.Equal(t, http.StatusOK, r.browser().get(link), "a preview")
	}
	require.Equal(t, http.StatusUnauthorized, b.post(link, url.Values{"token": {"forged"}}), "not from the link's page")
	require.Equal(t, http.StatusOK, b.get(link))
	late := r.browser()
	require.Equal(t, http.StatusOK, late.get(link))
	require.Equal(t, http.StatusOK, b.press(strings.TrimPrefix(link, r.base)))
	require.Equal(t, http.StatusNotFound, late.press(strings.TrimPrefix(link, r.base)), "somebody was faster")
	require.Equal(t, http.StatusNotFound, late.get(link))
	require.Equal(t, []string{"refused /enter/", "entered " + ann}, r.told)

	expired, _, err := r.s.Link(ben)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, late.get(expired))
	r.pass(LinkLife)
	require.Equal(t, http.StatusNotFound, late.press(strings.TrimPrefix(expired, r.base)))
}

// TestSessionsEnd: after hours, when nobody asks, when somebody leaves, and when
// they are no administrator any more.
func TestSessionsEnd(t *testing.T) {
	r := newRig(t)
	idle := r.browser().enter(ann)
	r.pass(SessionIdle)
	require.Equal(t, http.StatusUnauthorized, idle.get(r.base+"/"))

	long := r.browser().enter(ann)
	for range int(SessionLife/SessionIdle)*2 - 1 {
		r.pass(SessionIdle / 2)
		require.Equal(t, http.StatusOK, long.get(r.base+"/live"))
	}
	r.pass(SessionIdle / 2)
	require.Equal(t, http.StatusUnauthorized, long.get(r.base+"/live"))

	left := r.browser().enter(ann)
	require.Equal(t, http.StatusOK, left.press("/leave"))
	require.Equal(t, http.StatusUnauthorized, left.get(r.base+"/"))

	fired := r.browser().enter(ben)
	require.Equal(t, http.StatusOK, fired.get(r.base+"/"))
	r.admins[ben] = false
	require.Equal(t, http.StatusUnauthorized, fired.press("/act", "act", "outage-end"))
	r.admins[ben] = true
	require.Equal(t, http.StatusUnauthorized, fired.get(r.base+"/"), "and stays out")
	require.Empty(t, r.given)
}

// TestButtons: each is the command that it stands for, and nothing else can be asked.
func TestButtons(t *testing.T) {
	r := newRig(t)
	b := r.browser().enter(ann)
	for _, tc := range []struct {
		want string
		form []string
	}{
		{"outage start the data centre burns {\"a\":1}", []string{"act", "outage-start", "reason", "the data centre\nburns {\"a\":1}"}},
		{"outage end", []string{"act", "outage-end"}},
		{"drill start all 15", []string{"act", "drill-start", "target", "all", "minutes", "15"}},
		{"drill end", []string{"act", "drill-end"}},
		{"queue pause t1/c1", []string{"act", "pause", "target", "t1/c1"}},
		{"queue resume t1/c1", []string{"act", "resume", "target", "t1/c1"}},
		{"queue retry t1/c1", []string{"act", "retry", "target", "t1/c1"}},
		{"queue drop t1/c1 --yes", []string{"act", "drop", "target", "t1/c1", "sure", "yes"}},
		{"sync t1", []string{"act", "sync", "target", "t1"}},
		{"mirror t2", []string{"act", "mirror", "target", "t2"}},
		{"unmirror t2", []string{"act", "unmirror", "target", "t2", "sure", "yes"}},
	} {
		r.given = nil
		require.Equal(t, http.StatusOK, b.press("/act", tc.form...))
		require.Equal(t, []string{ann + " " + tc.want}, r.given)
		require.Contains(t, b.page, "done &lt;b&gt;it&lt;/b&gt;", "the answer is shown, as text")
		require.Equal(t, http.StatusOK, b.get(r.base+"/"))
		require.NotContains(t, b.page, "done &lt;", "once")
	}
	r.given = nil
	for _, form := range [][]string{
		{"act", "relay"}, {}, {"act", "outage-start"}, {"act", "drop", "target", "t1"}, {"act", "unmirror", "target", "t1", "sure", "no"},
		{"act", "pause", "target", " "}, {"act", "pause", "target", strings.Repeat("x", maxArgument+1)},
	} {
		require.Equal(t, http.StatusOK, b.press("/act", form...))
		require.Contains(t, b.page, "Something is missing in the form")
	}
	require.Empty(t, r.given)

	// What fails says so, and the search stays.
	r.err = errors.New("away")
	require.Equal(t, http.StatusServiceUnavailable, b.press("/act", "act", "outage-end"))
	r.err = nil
	require.Equal(t, http.StatusOK, b.get(r.base+"/"))
	require.Contains(t, b.page, "That did not work")
	require.Equal(t, http.StatusOK, b.press("/act", "act", "sync", "target", "t1", "find", "a&b"))
	require.Contains(t, b.page, "find=a&amp;b")
}

// TestForgedForms: another site's form does nothing, nor does one of another session.
func TestForgedForms(t *testing.T) {
	r := newRig(t)
	b, other := r.browser().enter(ann), r.browser().enter(ben)
	token := tokenInPage.FindStringSubmatch(other.page)[1]
	require.Equal(t, http.StatusUnauthorized, b.post(r.base+"/act", url.Values{"act": {"outage-end"}, "token": {token}}))
	require.Equal(t, http.StatusUnauthorized, b.post(r.base+"/act", url.Values{"act": {"outage-end"}}))
	require.Equal(t, http.StatusOK, b.get(r.base+"/"))
	mine := tokenInPage.FindStringSubmatch(b.page)[1]
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.base+"/act", strings.NewReader(url.Values{"act": {"outage-end"}, "token": {mine}}.Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusUnauthorized, b.do(req))
	require.Equal(t, http.StatusUnauthorized, b.post(r.base+"/act", url.Values{"token": {mine}, "act": {"outage-start"}, "reason": {strings.Repeat("x", 1<<20)}}), "too large")
	require.Empty(t, r.given)
}

// TestPageIsText: names are text, and the page says what the view says.
func TestPageIsText(t *testing.T) {
	r := newRig(t)
	b := r.browser().enter(ann)
	require.NotContains(t, b.page, "<script>Sales")
	require.Contains(t, b.page, "&lt;script&gt;Sales")
	require.Contains(t, b.page, "2 waiting")
	require.Equal(t, http.StatusOK, b.get(r.base+"/live?find=sal"))
	require.Contains(t, b.page, "find=sal")
	require.NotContains(t, b.page, "<html")
	for _, path := range []string{"/page.css", "/page.js"} {
		require.Equal(t, http.StatusOK, r.browser().get(r.base+path))
	}
}

// TestSecureCookie: with https the cookie can't be set by others nor sent in clear.
func TestSecureCookie(t *testing.T) {
	s := New(Options{PublicURL: "https://bridge.example", Bridge: &fake{}, Logger: zerolog.Nop()})
	w := httptest.NewRecorder()
	s.setCookie(w, "word")
	cookie := w.Result().Cookies()[0]
	require.Equal(t, "__Host-teamsbridge-status", cookie.Name)
	require.True(t, cookie.Secure && cookie.HttpOnly && cookie.SameSite == http.SameSiteStrictMode)
}

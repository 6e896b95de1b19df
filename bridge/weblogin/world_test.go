package weblogin

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"html"
	"io"
	"log"
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

	"teamsbridge/teams"
	"teamsbridge/teams/teamstest"
	"teamsbridge/texts"
)

const ada = "@ada:example.org"

// world is the server on a port of its own, and the simulated sign-in service.
type world struct {
	*testing.T
	sim      *teamstest.Tenant
	ann, bob *teamstest.User
	http     *httptest.Server
	public   string
	server   *Server
	log      *lines
	refused  lines // who was told to be the wrong one, and why

	mu      sync.Mutex
	ahead   time.Duration // of the server's clock
	taken   []teams.SignInResult
	refuses error
}

// lines is a log that tests read.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	sim, err := teamstest.Start(teamstest.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = sim.Close() })
	w := &world{T: t, sim: sim, log: &lines{}}
	w.ann = sim.AddUser(teamstest.UserSpec{DisplayName: "Ann"})
	w.bob = sim.AddUser(teamstest.UserSpec{DisplayName: "Bob"})
	endpoints, err := teams.ResolveEndpoints("global", sim.URL(), sim.GraphURL(), nil)
	require.NoError(t, err)
	ca, err := sim.CAFile(t.TempDir())
	require.NoError(t, err)
	client, err := teams.NewHTTPClient(teams.HTTPOptions{Endpoints: endpoints, CAFile: ca, Logger: zerolog.New(w.log)})
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	app, err := teams.NewAppCredential(teams.AppConfig{
		Endpoints: endpoints, TenantID: sim.TenantID, ClientID: sim.App().ClientID, ClientSecret: sim.App().Secret(), HTTP: client,
	})
	require.NoError(t, err)
	w.http = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.server.Handler().ServeHTTP(rw, r) }))
	w.http.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.http.StartTLS()
	t.Cleanup(w.http.Close)
	w.public = w.http.URL + "/signin"
	sim.App().AddWebRedirect(RedirectURL(w.public))
	german, err := texts.For("de", nil)
	require.NoError(t, err)
	w.server = New(Options{
		PublicURL: w.public, Texts: german, Logger: zerolog.New(w.log),
		Refused: func(r Request, why string) { _, _ = w.refused.Write([]byte(r.User + ": " + why + "\n")) },
		Login: func(redirect, account string) (*teams.WebLogin, error) {
			return teams.NewWebLogin(teams.DelegatedConfig{
				Endpoints: endpoints, TenantID: sim.TenantID, ClientID: sim.App().ClientID, HTTP: client, Prove: app.Prove,
			}, redirect, account)
		},
		Now: func() time.Time {
			w.mu.Lock()
			defer w.mu.Unlock()
			return time.Now().Add(w.ahead)
		},
	})
	return w
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead += d
}

func (w *world) signedIn() []teams.SignInResult {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]teams.SignInResult(nil), w.taken...)
}

func (w *world) begin(user string) *Ticket {
	w.Helper()
	t, err := w.server.Begin(Request{
		User: user,
		Take: func(_ context.Context, result teams.SignInResult) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.refuses != nil {
				return w.refuses
			}
			w.taken = append(w.taken, result)
			return nil
		},
		Say: func(err error) string { return "because " + err.Error() },
	})
	require.NoError(w, err)
	return t
}

// outcome waits for what the bot is told.
func (w *world) outcome(t *Ticket) (teams.Account, error) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	defer cancel()
	return t.Wait(ctx)
}

// undecided asserts that nothing has come of a ticket.
func (w *world) undecided(t *Ticket) {
	w.Helper()
	select {
	case <-t.done:
		w.Fatalf("the ticket is over: %v", t.err)
	default:
	}
	require.Empty(w, w.signedIn())
}

// browser has cookies and follows redirects.
type browser struct {
	w    *world
	http *http.Client
	// stopAt is the beginning of an address that is not followed.
	stopAt  string
	stopped string
}

func (w *world) browser() *browser {
	w.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(w, err)
	pool := x509.NewCertPool()
	pool.AddCert(w.http.Certificate())
	pool.AppendCertsFromPEM(w.sim.CAPEM())
	b := &browser{w: w}
	b.http = &http.Client{
		Jar: jar, Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
		CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			if b.stopAt != "" && strings.HasPrefix(r.URL.String(), b.stopAt) {
				b.stopped = r.URL.String()
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
	w.Cleanup(b.http.CloseIdleConnections)
	return b
}

// shown is a page in a browser.
type shown struct {
	status int
	header http.Header
	text   string
	at     *url.URL
}

func (b *browser) do(r *http.Request) shown {
	b.w.Helper()
	resp, err := b.http.Do(r)
	require.NoError(b.w, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.w, err)
	return shown{resp.StatusCode, resp.Header, string(body), resp.Request.URL}
}

func (b *browser) get(address string) shown {
	b.w.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	require.NoError(b.w, err)
	return b.do(r)
}

func (b *browser) post(address string, form url.Values) shown {
	b.w.Helper()
	r, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	require.NoError(b.w, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(r)
}

func (p shown) find(pattern string) string {
	if m := regexp.MustCompile(pattern).FindStringSubmatch(p.text); m != nil {
		return html.UnescapeString(m[1])
	}
	return ""
}

func (p shown) token() string { return p.find(`name="token" value="([^"]+)"`) }

// press presses the button of a link's page and returns where that leads.
func (b *browser) press(t *Ticket) (authority string) {
	b.w.Helper()
	question := b.get(t.URL())
	require.Equal(b.w, http.StatusOK, question.status, question.text)
	require.Contains(b.w, question.text, t.request.User, "the page says whose account it is")
	action := question.find(`action="([^"]+)"`)
	require.Equal(b.w, t.URL(), action)
	leaving := b.post(action, url.Values{"token": {question.token()}})
	require.Equal(b.w, http.StatusOK, leaving.status, leaving.text)
	onward := leaving.find(`<a class="button" href="([^"]+)">`)
	require.True(b.w, strings.HasPrefix(onward, b.w.sim.URL()+"/"), onward)
	require.Equal(b.w, onward, leaving.find(`http-equiv="refresh" content="0;url=([^"]+)"`))
	return onward
}

// signIn answers the sign-in service's page and comes back.
func (b *browser) signIn(authority string, u *teamstest.User) shown {
	b.w.Helper()
	return b.post(authority, url.Values{"login": {u.UPN()}, "decision": {"accept"}})
}

// answer is like signIn, but the browser does not follow the way back.
func (b *browser) answer(authority string, u *teamstest.User) (address string) {
	b.w.Helper()
	b.stopAt = b.w.public + callbackPath
	defer func() { b.stopAt = "" }()
	b.signIn(authority, u)
	require.NotEmpty(b.w, b.stopped)
	return b.stopped
}

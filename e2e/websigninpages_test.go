package e2e

import (
	"cmp"
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"teamsbridge/bridge/weblogin"
	"teamsbridge/teams"
	"teamsbridge/teams/teamstest"
	"teamsbridge/texts"
)

// A real browser keeps the cookie, lets the policy's pages through, follows them
// to the sign-in service and back, and shows them on a computer and a phone.
func TestWebSignInPages(t *testing.T) {
	program := chromium(t)
	tenant, err := teamstest.Start(teamstest.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = tenant.Close() })
	tenant.AddUser(teamstest.UserSpec{DisplayName: "Ada Lovelace"})
	endpoints, err := teams.ResolveEndpoints("global", tenant.URL(), tenant.GraphURL(), nil)
	require.NoError(t, err)
	ca, err := tenant.CAFile(t.TempDir())
	require.NoError(t, err)
	client, err := teams.NewHTTPClient(teams.HTTPOptions{Endpoints: endpoints, CAFile: ca, Logger: zerolog.Nop()})
	require.NoError(t, err)
	app, err := teams.NewAppCredential(teams.AppConfig{
		Endpoints: endpoints, TenantID: tenant.TenantID, ClientID: tenant.App().ClientID, ClientSecret: tenant.App().Secret(), HTTP: client,
	})
	require.NoError(t, err)
	var handler http.Handler
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(site.Close)
	tenant.App().AddWebRedirect(weblogin.RedirectURL(site.URL))

	for _, language := range texts.Languages() {
		said, err := texts.For(language, nil)
		require.NoError(t, err)
		server := weblogin.New(weblogin.Options{
			PublicURL: site.URL, Texts: said, Logger: zerolog.Nop(),
			Login: func(redirect, account string) (*teams.WebLogin, error) {
				return teams.NewWebLogin(teams.DelegatedConfig{
					Endpoints: endpoints, TenantID: tenant.TenantID, ClientID: tenant.App().ClientID, HTTP: client, Prove: app.Prove,
				}, redirect, account)
			},
		})
		handler = server.Handler()
		ticket, err := server.Begin(weblogin.Request{
			User: "@ada.lovelace:matrix.example.org", Say: func(err error) string { return err.Error() },
			Take: func(context.Context, teams.SignInResult) error { return nil },
		})
		require.NoError(t, err)
		// The simulated service's certificate is of an authority of its own.
		b := openBrowser(t, program, chromedp.Flag("ignore-certificate-errors", true))
		heading := func(key texts.Key) string {
			return "document.querySelector('h1')?.textContent === " + strconv.Quote(said.Say(key))
		}
		pictures := func(name string) {
			for _, scheme := range []string{"light", "dark"} {
				b.scheme(scheme)
				for _, size := range [][2]int64{{1280, 800}, {390, 844}} {
					b.size(size[0], size[1])
					require.True(t, value[bool](b, "document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out")
					b.shot("sign-in-" + language + "-" + name + "-" + scheme + "-" + strconv.FormatInt(size[0], 10))
				}
			}
		}
		b.do("open the link", chromedp.Navigate(ticket.URL()))
		b.arrives("the question", heading(texts.WebTitle))
		require.NotEqual(t, "rgba(0, 0, 0, 0)", value[string](b, "getComputedStyle(document.querySelector('button')).backgroundColor"), "the style is let through")
		require.Empty(t, value[string](b, "document.cookie"), "scripts can't read the cookie")
		pictures("question")
		b.do("go on", chromedp.Click(chromedp.CSS("button")))
		b.arrives("the sign-in service", "document.querySelector('select[name=login]')")
		b.do("accept", chromedp.Click(chromedp.CSS("button[value=accept]")))
		b.arrives("the outcome", heading(texts.WebDoneTitle))
		require.Equal(t, ticket.URL(), value[string](b, "location.href"))
		pictures("done")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err = ticket.Wait(ctx)
		cancel()
		require.NoError(t, err)
		b.do("a link that is not good", chromedp.Navigate(site.URL+"/login/0"))
		b.arrives("it says so", heading(texts.WebGoneTitle))
		pictures("gone")
	}
}

// arrives waits for a page that is on its way, during which there is none to ask.
func (b *browser) arrives(what, expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, testLimit)
	defer cancel()
	for {
		there, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		switch {
		case there:
			return
		case ctx.Err() != nil:
			b.fail(what+": "+expression, cmp.Or(err, ctx.Err()))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/bridge/weblogin"
	"teamsbridge/internal/freeport"
	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// A person signs in on the bridge's own web page and writes as themselves, also
// after a restart, when only the stored refresh token is left.
func TestWebSignIn(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	port, err := freeport.Get()
	require.NoError(t, err)
	listen := fmt.Sprintf("127.0.0.1:%d", port)
	web := settings{"enabled": true, "listen": listen, "public_url": "http://" + listen}
	require.NoError(t, o.Bridge.Configure(network(settings{"web_login": web})))
	o.Tenant.App().AddWebRedirect(weblogin.RedirectURL("http://" + listen))
	o.run()
	ada, bot := o.as(stack.Localpart(o.ada)), o.bot(o.as(stack.Localpart(o.ada)))
	room := o.room(ada, o.general)

	// Another person's account is not linked, whoever has the link.
	bot.send("login web")
	foreign := newVisitor(t, o.Tenant)
	page := foreign.signIn(o.link(bot, 1), o.ben)
	require.Contains(t, page, "The sign-in did not work")
	require.Contains(t, page, "this is not your account")
	bot.waitFor("this is not your account")

	bot.send("login web")
	link := o.link(bot, 2)
	own := newVisitor(t, o.Tenant)
	require.Contains(t, own.get(link), ada.UserID.String())
	require.Contains(t, own.signIn(link, o.ada), "You are signed in")
	require.Contains(t, foreign.get(link), "another browser")
	bot.waitFor("You are signed in as " + o.ada.UPN())

	say := func(text string) {
		_, err := ada.SendText(o.ctx, room, text)
		require.NoError(t, err)
		o.until(text+" in Teams, by Ada", func(context.Context) error {
			for _, m := range o.general.Messages() {
				if strings.Contains(m.Content, text) {
					if m.From == nil || m.From.ID != o.ada.ID {
						return fmt.Errorf("it is from somebody else: %v", m.From)
					}
					return nil
				}
			}
			return fmt.Errorf("it is not there")
		})
	}
	say("signed in on the web")

	checked := func(changed settings) (got []string) {
		findings, _ := o.check(t, network(settings{"web_login": changed}))
		for _, f := range findings {
			if strings.HasPrefix(f.Code, "web-sign-in.") {
				got = append(got, f.Code)
			}
		}
		return got
	}
	require.Equal(t, []string{"web-sign-in.url"}, checked(nil), "while the bridge runs")
	o.Bridge.Stop()
	require.Equal(t, []string{"web-sign-in.url"}, checked(nil))
	for name, c := range map[string]struct {
		settings settings
		want     string
	}{
		"another address": {settings{"public_url": o.Homeserver.URL()}, "web-sign-in.proxy"},
		"nobody there":    {settings{"public_url": "http://127.0.0.1:1"}, "web-sign-in.unreached"},
		"port in use":     {settings{"listen": strings.TrimPrefix(o.Homeserver.URL(), "http://")}, "web-sign-in.listen"},
	} {
		require.Equal(t, []string{c.want}, checked(c.settings), name)
	}

	o.run()
	say("still signed in after a restart")
	log, err := os.ReadFile(o.Bridge.LogPath())
	require.NoError(t, err)
	require.Contains(t, string(log), "Somebody has signed in on the web")
	for _, secret := range own.secrets {
		require.NotEmpty(t, secret)
		require.False(t, bytes.Contains(log, []byte(secret)), "the log has a secret of the sign-in")
	}
}

// link is the nth link that the bot has sent.
func (o *office) link(bot *manage, n int) (link string) {
	o.t.Helper()
	o.until("a link", func(ctx context.Context) error {
		links := regexp.MustCompile(`http://127\.0\.0\.1:\d+/login/[0-9a-f]+`).FindAllString(bot.last(ctx), -1)
		seen := map[string]bool{}
		for _, l := range links {
			if !seen[l] {
				seen[l], link = true, l
			}
		}
		if len(seen) < n {
			return fmt.Errorf("the bot said: %s", bot.last(ctx))
		}
		return nil
	})
	return link
}

// visitor is somebody with a browser that keeps cookies.
type visitor struct {
	t    *testing.T
	http *http.Client
	// secrets are what went through the browser and nobody else may have.
	secrets []string
}

func newVisitor(t *testing.T, tenant *teamstest.Tenant) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(tenant.CAPEM())
	v := &visitor{t: t}
	v.http = &http.Client{
		Jar: jar, Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
		CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			for _, name := range []string{"code", "state"} {
				if value := r.URL.Query().Get(name); value != "" {
					v.secrets = append(v.secrets, value)
				}
			}
			return nil
		},
	}
	t.Cleanup(v.http.CloseIdleConnections)
	return v
}

func (v *visitor) read(resp *http.Response, err error) string {
	v.t.Helper()
	require.NoError(v.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(v.t, err)
	for _, cookie := range resp.Cookies() {
		v.secrets = append(v.secrets, cookie.Value)
	}
	return string(body)
}

func (v *visitor) get(address string) string { return v.read(v.http.Get(address)) }

func (v *visitor) post(address string, form url.Values) string {
	return v.read(v.http.PostForm(address, form))
}

// signIn opens a link, goes on to the sign-in service, signs in there and comes
// back.
func (v *visitor) signIn(link string, u *teamstest.User) string {
	v.t.Helper()
	find := func(page, pattern string) string {
		m := regexp.MustCompile(pattern).FindStringSubmatch(page)
		require.NotNil(v.t, m, page)
		return html.UnescapeString(m[1])
	}
	leaving := v.post(link, url.Values{"token": {find(v.get(link), `name="token" value="([^"]+)"`)}})
	return v.post(find(leaving, `<a class="button" href="([^"]+)"`), url.Values{"login": {u.UPN()}, "decision": {"accept"}})
}

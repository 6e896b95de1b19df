package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/rs/zerolog"
	"go.mau.fi/util/random"

	"teamsbridge/bridge/check"
	"teamsbridge/bridge/weblogin"
	"teamsbridge/teams"
)

// checkWebLogin calls the web sign-in's public URL as a browser would. Which
// redirect URIs the app registration has can't be asked with the permissions that
// the bridge has, so it says which one must be there.
func (c *Connector) checkWebLogin(ctx context.Context, running bool, area *check.Area) {
	cfg := c.Config.WebLogin
	if !cfg.Enabled {
		area.Skipped("off", "the web sign-in is off: people sign in with a device code")
		return
	}
	if len(c.Config.validateWebLogin()) > 0 {
		return // Validate has said so
	}
	if !running {
		stop, err := c.answerBrowsers(ctx)
		if err != nil {
			area.Wrong("listen", fmt.Sprintf("the bridge can't listen on %s: %v", cfg.Listen, innermost(err)), "free the port, or change network.web_login.listen")
			return
		}
		defer stop()
	}
	word := random.String(20)
	ctx, cancel := context.WithTimeout(ctx, homeserverTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, weblogin.CheckURL(cfg.PublicURL, word), nil)
	if err != nil {
		area.Wrong("url", fmt.Sprintf("network.web_login.public_url can't be used: %v", err), "write it as https://host/path")
		return
	}
	resp, err := c.httpForURL().Do(req)
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		area.Wrong("name", fmt.Sprintf("the name of network.web_login.public_url is not known: %v", innermost(err)), "add the name to the DNS that people's browsers use, or mend the URL")
		return
	} else if err != nil {
		// Many networks do not let a machine call its own public address.
		area.Doubt("unreached", fmt.Sprintf("from this machine %s does not answer (%v)", cfg.PublicURL, innermost(err)),
			"open "+weblogin.CheckURL(cfg.PublicURL, "test")+" in a browser: it must answer with "+weblogin.CheckMark+"test")
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if resp.StatusCode != http.StatusOK || string(body) != weblogin.CheckMark+word {
		area.Wrong("proxy", fmt.Sprintf("what answers at %s is not the web sign-in (HTTP %d)", cfg.PublicURL, resp.StatusCode),
			"let the reverse proxy hand everything below this address on to network.web_login.listen")
		return
	}
	area.Right("url", "%s leads to the bridge; the app registration must have the redirect URI %s of the platform Web", cfg.PublicURL, weblogin.RedirectURL(cfg.PublicURL))
}

// answerBrowsers answers on the web sign-in's port as the bridge does, with no
// link that is good.
func (c *Connector) answerBrowsers(ctx context.Context) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	server := weblogin.New(weblogin.Options{PublicURL: c.Config.WebLogin.PublicURL, Logger: zerolog.Nop()})
	listener, err := listenWebLogin(ctx, c.Config.WebLogin, server, zerolog.Nop())
	if err != nil {
		cancel()
		return nil, err
	}
	return serveForCheck(ctx, cancel, listener), nil
}

// serveForCheck lets a listener answer until it is stopped.
func serveForCheck(ctx context.Context, cancel func(), listener *teams.Listener) (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = listener.Serve(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

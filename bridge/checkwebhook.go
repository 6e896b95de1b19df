package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"go.mau.fi/util/random"

	"teamsbridge/bridge/check"
	"teamsbridge/teams"
)

// trialLife is how long a subscription lives that was made for a check, in case
// it can't be deleted again.
const trialLife = 15 * time.Minute

// checkWebhook lets Graph call the public URL: Graph only makes a subscription
// where that answers as it should. The subscription is deleted again.
func (c *Connector) checkWebhook(ctx context.Context, v *tenantView, running bool, area *check.Area) {
	cfg := c.Config.Webhook
	if !cfg.Enabled {
		area.Skipped("off", "the webhook is off: messages come by reading every %s", c.Config.Poller.Interval)
		return
	}
	if !running {
		stop, err := c.answerHandshakes(ctx)
		if err != nil {
			area.Wrong("listen", fmt.Sprintf("the bridge can't listen on %s: %v", cfg.Listen, innermost(err)), "free the port, or change network.webhook.listen")
			return
		}
		defer stop()
	}
	if c.checkOwnURL(ctx, area) {
		c.checkHandshake(ctx, v, area)
	}
}

// answerHandshakes answers on the webhook's port as the bridge does.
func (c *Connector) answerHandshakes(ctx context.Context) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	listener, err := teams.Listen(ctx, teams.ListenerOptions{
		Name: "webhook", Address: c.Config.Webhook.Listen, Paths: webhookPaths(c.Config.Webhook.PublicURL),
		Handler: teams.NewReceiver(teams.ReceiverOptions{Log: refuseNotifications{}, Logger: zerolog.Nop()}), Logger: zerolog.Nop(),
	})
	if err != nil {
		cancel()
		return nil, err
	}
	return serveForCheck(ctx, cancel, listener), nil
}

// refuseNotifications takes none: Graph tells the bridge again.
type refuseNotifications struct{ teams.NotificationLog }

var errChecking = errors.New("only a check runs here")

// AppendNotification implements teams.NotificationLog.
func (refuseNotifications) AppendNotification(context.Context, []byte, time.Time) error {
	return errChecking
}

// checkOwnURL calls the public URL from here. That proves little, but what fails
// already here is told more exactly than Graph tells it. Only a wrong answer
// counts: many networks do not let a machine call its own public address.
func (c *Connector) checkOwnURL(ctx context.Context, area *check.Area) bool {
	notification, _ := webhookURLs(c.Config.Webhook.PublicURL)
	ctx, cancel := context.WithTimeout(ctx, homeserverTimeout)
	defer cancel()
	token := random.String(20)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, notification+"?validationToken="+token, nil)
	if err != nil {
		area.Wrong("url", fmt.Sprintf("network.webhook.public_url can't be used: %v", err), "write it as https://host/path")
		return false
	}
	resp, err := c.httpForURL().Do(req)
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		area.Wrong("name", fmt.Sprintf("the name of network.webhook.public_url is not known: %v", innermost(err)), "add the name to the public DNS, or mend the URL")
		return false
	} else if err != nil {
		area.Skipped("own-url", "from this machine %s does not answer (%v); whether it does for Microsoft is looked at next", notification, innermost(err))
		return true
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if resp.StatusCode != http.StatusOK || string(body) != token {
		area.Wrong("proxy", fmt.Sprintf("what answers at %s is not the bridge (HTTP %d)", notification, resp.StatusCode),
			"let the reverse proxy hand POST requests with their query on to network.webhook.listen")
		return false
	}
	area.Right("own-url", "%s leads to the bridge", notification)
	return true
}

// httpForURL trusts the same authorities and takes the same proxy as the way to Graph.
func (c *Connector) httpForURL() *http.Client {
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if transport, err := teams.NewTransport(c.Config.Proxy, c.Config.CAFile); err == nil {
		client.Transport = transport
	}
	return client
}

// checkHandshake makes a subscription that the bridge itself would not make in
// its mode, so that it is in nobody's way, and deletes it.
func (c *Connector) checkHandshake(ctx context.Context, v *tenantView, area *check.Area) {
	wanted := teams.TenantMessages(false)
	if c.Config.Webhook.Scope == ScopeTenant {
		ch := v.find(func(ch teams.Channel) bool { return ch.MembershipType == teams.MembershipStandard })
		if ch == nil {
			area.Skipped("handshake", "no channel is known to try a subscription with")
			return
		}
		wanted = teams.ChannelMessages(ch.Ref(), false)
	}
	notification, lifecycle := webhookURLs(c.Config.Webhook.PublicURL)
	ctx, cancel := context.WithTimeout(ctx, graphCheckTimeout)
	defer cancel()
	made, err := v.graph.subs.CreateSubscription(ctx, teams.Subscription{
		Resource: wanted.Resource, ChangeType: teams.AllChanges, NotificationURL: notification, LifecycleURL: lifecycle,
		ClientState: random.String(32), Expires: time.Now().Add(trialLife),
	})
	switch kind := teams.KindOf(err); {
	case err == nil:
		if err = v.graph.subs.DeleteSubscription(ctx, made.ID); err != nil {
			area.Doubt("trial", fmt.Sprintf("the subscription that was made for the check can't be deleted: %v", err), fmt.Sprintf("it ends by itself within %s", trialLife))
		}
		area.Right("handshake", "Microsoft reaches %s and got the right answer", notification)
	case kind == teams.KindConflict:
		area.Right("subscribed", "Graph has a subscription of this application for the same messages already")
	case kind == teams.KindPermission:
		area.Wrong("forbidden", fmt.Sprintf("Graph refuses subscriptions: %v", err), "grant ChannelMessage.Read.All with admin consent")
	case kind == teams.KindBadRequest && strings.Contains(strings.ToLower(err.Error()), "validat"):
		area.Wrong("handshake", fmt.Sprintf("Microsoft does not reach %s, or gets a wrong answer: %v", notification, err),
			"let the address be reached from the internet over https on port 443, with a certificate of a public authority and its whole chain, within 10 seconds")
	default:
		area.Wrong("handshake", "the subscription for the check can't be made: "+explained(err), "try again")
	}
}

package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/id"

	"teamsbridge/bridge/weblogin"
	"teamsbridge/database"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

func (c *Connector) commandRelay(ctx context.Context, ce *commands.Event) {
	if len(ce.Args) == 0 {
		reply(ce, c.texts.Say(texts.RelayUsage))
		return
	}
	switch strings.ToLower(ce.Args[0]) {
	case "login":
		if len(ce.Args) > 1 && strings.EqualFold(ce.Args[1], flowWeb) && c.rt.webLogin != nil {
			c.relayWebLogin(ce)
			return
		}
		c.relayLogin(ctx, ce)
	case "list":
		reply(ce, relayText(c.texts, c.rt.writers.list(database.AccountRelay)))
	case "logout":
		c.relayLogout(ctx, ce)
	default:
		reply(ce, c.texts.Say(texts.RelayUsage))
	}
}

// sharedRoom refuses to begin the sign-in of a relay account where others can
// read it: nothing tells whose account it has to be.
func (c *Connector) sharedRoom(ce *commands.Event) bool {
	if ce.Portal == nil {
		return false
	}
	reply(ce, c.texts.Say(texts.RelayNotHere))
	return true
}

// relayLogin adds an account to the relay pool: any account of the tenant that
// is a member of the teams. It waits in the background for the sign-in.
func (c *Connector) relayLogin(ctx context.Context, ce *commands.Event) {
	if c.sharedRoom(ce) {
		return
	}
	device, err := c.rt.startSignIn(ctx)
	if err != nil {
		c.failed(ce, err)
		return
	}
	reply(ce, c.texts.Say(texts.RelayOpen, "url", device.VerificationURL, "code", device.UserCode, "time", c.texts.Time(device.Expires)))
	wait, cancel := context.WithDeadline(ce.Log.WithContext(c.br.BackgroundCtx), device.Expires.Add(time.Minute))
	go func() {
		defer cancel()
		c.finishRelayLogin(wait, ce, device)
	}()
}

func (c *Connector) finishRelayLogin(ctx context.Context, ce *commands.Event, device *teams.DeviceLogin) {
	answer := *ce
	answer.Ctx = ctx
	result, err := device.Wait(ctx)
	if err != nil {
		c.rt.auditSignIn(database.AccountRelay, ce.User.MXID.String(), "", err)
		c.failed(&answer, signInProblem(c.texts, err))
		return
	}
	if err := c.takeRelay(ctx, ce.User.MXID, result); err != nil {
		c.failed(&answer, err)
		return
	}
	reply(&answer, c.texts.Say(texts.RelayAdded, "account", esc(result.Account.UPN)))
}

// takeRelay stores a relay account's sign-in.
func (c *Connector) takeRelay(ctx context.Context, admin id.UserID, result teams.SignInResult) error {
	if err := c.rt.writers.signedIn(ctx, database.AccountRelay, result.Account, admin.String(), result.RefreshToken); err != nil {
		c.rt.auditSignIn(database.AccountRelay, admin.String(), result.Account.UserID, err)
		return err
	}
	if err := c.rt.sender.Kick(ctx); err != nil {
		zerolog.Ctx(ctx).Err(err).Msg("Could not wake what waits for a relay account")
	}
	return nil
}

// relayWebLogin adds an account to the relay pool by the web sign-in.
func (c *Connector) relayWebLogin(ce *commands.Event) {
	if c.sharedRoom(ce) {
		return
	}
	ticket, err := c.rt.webLogin.Begin(weblogin.Request{
		User: ce.User.MXID.String(), Relay: true, Say: c.webProblem,
		Take: func(ctx context.Context, result teams.SignInResult) error {
			return c.takeRelay(ctx, ce.User.MXID, result)
		},
	})
	if err != nil {
		c.failed(ce, errors.New(c.webProblem(err)))
		return
	}
	reply(ce, c.webLink(ticket))
	answer := *ce
	answer.Ctx = ce.Log.WithContext(c.br.BackgroundCtx)
	go func() {
		account, err := ticket.Wait(answer.Ctx)
		if err != nil {
			c.failed(&answer, errors.New(c.webProblem(err)))
			return
		}
		reply(&answer, c.texts.Say(texts.RelayAdded, "account", esc(account.UPN)))
	}()
}

func (c *Connector) relayLogout(ctx context.Context, ce *commands.Event) {
	name := strings.TrimSpace(strings.Join(ce.Args[1:], " "))
	var names []string
	for _, a := range c.rt.writers.list(database.AccountRelay) {
		if !strings.EqualFold(a.UPN, name) && !strings.EqualFold(a.UserID, name) {
			names = append(names, a.UPN)
			continue
		}
		if err := c.rt.writers.signedOut(ctx, a.Key); err != nil {
			c.failed(ce, err)
			return
		}
		reply(ce, c.texts.Say(texts.RelayRemoved, "account", esc(a.UPN)))
		return
	}
	reply(ce, unknownText(c.texts, unknownRelay, name, nearNames(names, name)))
}

// relayText is the answer to relay list.
func relayText(x texts.Texts, accounts []database.Account) string {
	if len(accounts) == 0 {
		return x.Say(texts.RelayNone)
	}
	var b strings.Builder
	for _, a := range accounts {
		state := x.Say(texts.AccountReady)
		if a.State != database.AccountOK {
			state = x.Say(texts.AccountExpired, "why", spoken(x, a.Reason))
		}
		fmt.Fprintf(&b, "* **%s** (%s) – %s\n", esc(a.DisplayName), esc(a.UPN), esc(state))
	}
	return b.String()
}

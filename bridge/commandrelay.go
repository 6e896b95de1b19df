package bridge

import (
	"context"
	"fmt"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2/commands"

	"teamsbridge/database"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

const relayUsage = "Usage: `relay login` to add an account to the pool, `relay list`, `relay logout ACCOUNT`."

func (c *Connector) commandRelay(ctx context.Context, ce *commands.Event) {
	if len(ce.Args) == 0 {
		reply(ce, relayUsage)
		return
	}
	switch strings.ToLower(ce.Args[0]) {
	case "login":
		c.relayLogin(ctx, ce)
	case "list":
		reply(ce, relayText(c.rt.writers.list(database.AccountRelay)))
	case "logout":
		c.relayLogout(ctx, ce)
	default:
		reply(ce, relayUsage)
	}
}

// relayLogin adds an account to the relay pool: any account of the tenant that
// is a member of the teams. It waits in the background for the sign-in.
func (c *Connector) relayLogin(ctx context.Context, ce *commands.Event) {
	device, err := c.rt.startSignIn(ctx)
	if err != nil {
		c.failed(ce, err)
		return
	}
	reply(ce, fmt.Sprintf("Open %s in a browser, enter the code `%s` and sign in with the account that is to write for others. "+
		"It must be a member of the teams. The code is good until %s.", device.VerificationURL, device.UserCode, clock(device.Expires)))
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
		c.failed(&answer, signInProblem(texts.Texts{}, err))
		return
	}
	if err := c.rt.writers.signedIn(ctx, database.AccountRelay, result.Account, ce.User.MXID.String(), result.RefreshToken); err != nil {
		c.failed(&answer, err)
		return
	}
	if err := c.rt.sender.Kick(ctx); err != nil {
		ce.Log.Err(err).Msg("Could not wake what waits for a relay account")
	}
	reply(&answer, fmt.Sprintf("**%s** is now in the relay pool.", esc(result.Account.UPN)))
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
		reply(ce, fmt.Sprintf("**%s** is no longer in the relay pool.", esc(a.UPN)))
		return
	}
	reply(ce, unknownText("relay account", name, nearNames(names, name)))
}

// relayText is the answer to relay list.
func relayText(accounts []database.Account) string {
	if len(accounts) == 0 {
		return "There is no relay account: what people write who did not sign in waits. Use `relay login` to add one."
	}
	var b strings.Builder
	for _, a := range accounts {
		state := "ready"
		if a.State != database.AccountOK {
			state = "has to sign in again: " + a.Reason
		}
		fmt.Fprintf(&b, "* **%s** (%s) – %s\n", esc(a.DisplayName), esc(a.UPN), esc(state))
	}
	return b.String()
}

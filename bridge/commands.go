package bridge

import (
	"context"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/format"

	"teamsbridge/database"
	"teamsbridge/texts"
)

// commandTimeout bounds what one command asks of Graph and the database.
const commandTimeout = 2 * time.Minute

// maxListed bounds a list in a reply.
const maxListed = 150

// addCommands adds the bridge's commands to the framework's, and replaces
// logout, which would take the person's rooms away.
func (c *Connector) addCommands() {
	processor, ok := c.br.Commands.(*commands.Processor)
	if !ok {
		return
	}
	processor.AddHandlers(c.handlers()...)
}

// handlers are the bridge's commands, and those of the framework that are of use,
// all of them audited; besides those that say that they are of none here.
func (c *Connector) handlers() (out []commands.CommandHandler) {
	tenant := commands.HelpSection{Name: "Teams", Order: 15}
	add := func(name, args string, help texts.Key, admin bool, fn func(context.Context, *commands.Event)) {
		out = append(out, auditedHandler{c: c, FullHandler: &commands.FullHandler{
			Name: name, RequiresAdmin: admin,
			Help: commands.HelpMeta{Section: tenant, Description: c.texts.Say(help), Args: args},
			Func: func(ce *commands.Event) {
				ctx, cancel := context.WithTimeout(ce.Ctx, commandTimeout)
				defer cancel()
				fn(ctx, ce)
			},
		}})
	}
	for _, handler := range frameworkCommands() {
		out = append(out, auditedHandler{c: c, FullHandler: handler})
	}
	for _, name := range unsuitableCommands() {
		out = append(out, &commands.FullHandler{Name: name, Func: func(ce *commands.Event) {
			reply(ce, c.texts.Say(texts.CommandUnsuitable))
		}})
	}
	add("logout", "", texts.HelpLogout, false, c.commandLogout)
	add("whoami", "", texts.HelpWhoami, false, c.commandWhoami)
	add("status", "", texts.HelpStatus, false, c.commandStatus)
	add("teams", "", texts.HelpTeams, false, c.commandTeams)
	add("channels", "[TEAM]", texts.HelpChannels, false, c.commandChannels)
	add("mirror", "TEAM[/CHANNEL]", texts.HelpMirror, true, c.commandMirror)
	add("unmirror", "TEAM[/CHANNEL]", texts.HelpUnmirror, true, c.commandUnmirror)
	add("sync", "[TEAM]", texts.HelpSync, true, c.commandSync)
	add("page", "", texts.HelpPage, true, c.commandPage)
	add("queue", "[show|retry|drop|pause|resume EVENT|TEAM[/CHANNEL]|all]", texts.HelpQueue, true, c.commandQueue)
	add("verify", "[TEAM[/CHANNEL]] [SINCE] [--repair]", texts.HelpVerify, true, c.commandVerify)
	add("outage", "[start REASON|end]", texts.HelpOutage, true, c.commandOutage)
	add("drill", "start TEAM|all [MINUTES]|end|report [TEAM] [missing|rooms|people] [PAGE]", texts.HelpDrill, true, c.commandDrill)
	add("relay", "login [web]|list|logout ACCOUNT", texts.HelpRelay, true, c.commandRelay)
	return out
}

// unsuitableCommands are commands of the framework that would take rooms, or
// what waits in them, away, or that mean nothing where rooms follow Teams.
func unsuitableCommands() []string {
	return []string{
		"bridge", "unbridge", "create-portal", "delete-portal", "delete-all-portals", "delete-chat", "filter",
		"create-group", "start-chat", "resolve-identifier", "search", "mute", "import-image-pack",
		"set-relay", "unset-relay", "set-preferred-login", "relogin", "list-logins",
		"debug-account-data", "debug-register-push", "debug-reset-network",
	}
}

// reply answers in Markdown that reads well in clients that show it as text.
func reply(ce *commands.Event, markdown string) {
	ce.ReplyAdvanced(strings.TrimRight(markdown, "\n"), true, false)
}

// esc keeps names from becoming markup.
func esc(s string) string { return format.EscapeMarkdown(s) }

// arguments returns what stands behind the command, without quotes.
func arguments(ce *commands.Event) string {
	raw := strings.TrimSpace(ce.RawArgs)
	// The framework takes the command's name away only where it is in lower case.
	if len(raw) >= len(ce.Command) && strings.EqualFold(raw[:len(ce.Command)], ce.Command) && len(strings.Fields(raw)) == len(ce.Args)+1 {
		raw = strings.TrimSpace(raw[len(ce.Command):])
	}
	return unquote(raw)
}

// unquote removes quotation marks that come in pairs; spaces within them and
// outside are kept as they are, so that quoting is never needed and never wrong.
func unquote(s string) string {
	s = strings.NewReplacer("“", `"`, "”", `"`, "„", `"`, "«", `"`, "»", `"`).Replace(s)
	if strings.Count(s, `"`)%2 != 0 {
		return strings.TrimSpace(s)
	}
	parts := strings.Split(s, `"`)
	return strings.TrimSpace(strings.Join(parts, ""))
}

func (c *Connector) commandLogout(ctx context.Context, ce *commands.Event) {
	accounts := c.accountsOf(ce)
	if len(accounts) == 0 {
		reply(ce, c.texts.Say(texts.SignOutNone))
		return
	}
	for _, a := range accounts {
		if err := c.rt.writers.signedOut(ctx, a.Key); err != nil {
			ce.Log.Err(err).Msg("Could not forget a sign-in")
			noteFailure(ce.Ctx, err)
			reply(ce, c.texts.Say(texts.SignOutFailed))
			return
		}
	}
	reply(ce, c.texts.Say(texts.SignOutDone))
}

// accountsOf returns the sign-ins that a Matrix user made for themselves.
func (c *Connector) accountsOf(ce *commands.Event) []database.Account {
	var out []database.Account
	for _, a := range c.rt.writers.list(database.AccountUser) {
		if a.MXID == ce.User.MXID.String() {
			out = append(out, a)
		}
	}
	return out
}

func (c *Connector) commandWhoami(_ context.Context, ce *commands.Event) {
	var b strings.Builder
	line := func(said string) { b.WriteString("* " + said + "\n") }
	if userID, _, ok := c.rt.dir.Person(ce.User.MXID); ok {
		staff, _ := c.rt.dir.staff(userID)
		line(c.texts.Say(texts.WhoInTeams, "name", esc(staff.DisplayName), "account", esc(staff.UPN)))
	} else {
		line(c.texts.Say(texts.WhoNobody))
	}
	accounts := c.accountsOf(ce)
	for _, a := range accounts {
		if a.State == database.AccountOK {
			line(c.texts.Say(texts.WhoSignedIn, "account", esc(a.UPN)))
		} else {
			line(c.texts.Say(texts.WhoExpired, "account", esc(a.UPN)))
		}
	}
	if len(accounts) == 0 {
		line(c.texts.Say(texts.WhoNotSignedIn))
	}
	switch {
	case ce.User.Permissions.Admin:
		line(c.texts.Say(texts.WhoAdministrator))
	case !ce.User.Permissions.Login:
		line(c.texts.Say(texts.WhoMayNot))
	}
	reply(ce, b.String())
}

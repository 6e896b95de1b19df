package bridge

import (
	"context"
	"errors"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2"

	"teamsbridge/bridge/audit"
	"teamsbridge/bridge/weblogin"
	"teamsbridge/database"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// newWebLogin makes the server of the web sign-in, nil where that is off.
func (r *runtime) newWebLogin() *weblogin.Server {
	cfg := r.c.Config.WebLogin
	if !cfg.Enabled {
		return nil
	}
	return weblogin.New(weblogin.Options{
		PublicURL: cfg.PublicURL, Texts: r.c.texts, Now: r.now, Logger: r.log,
		Refused: func(req weblogin.Request, why string) {
			r.audit.Write(audit.Record{Act: audit.SignIn, Outcome: audit.Refused, By: req.User, Kind: webKind(req), Reason: why})
		},
		Failed: func(req weblogin.Request, err error) { r.auditSignIn(webKind(req), req.User, "", err) },
		Login: func(redirect, account string) (*teams.WebLogin, error) {
			return teams.NewWebLogin(r.graph.delegated(&r.c.Config, r.db.Accounts), redirect, account)
		},
	})
}

// webKind is what an account is for that signs in on the web.
func webKind(req weblogin.Request) string {
	if req.Relay {
		return database.AccountRelay
	}
	return database.AccountUser
}

// serveWebLogin opens the web sign-in's own port.
func (r *runtime) serveWebLogin(ctx context.Context) error {
	if r.webLogin == nil {
		return nil
	}
	listener, err := listenWebLogin(ctx, r.c.Config.WebLogin, r.webLogin, r.log)
	if err != nil {
		return err
	}
	r.services.start("web sign-in listener", listener.Serve)
	return nil
}

func listenWebLogin(ctx context.Context, cfg WebLoginConfig, server *weblogin.Server, log zerolog.Logger) (*teams.Listener, error) {
	return teams.Listen(ctx, teams.ListenerOptions{
		Name: "web-sign-in", Address: cfg.Listen, Paths: []string{"/"}, Handler: server.Handler(),
		WriteTimeout: weblogin.WriteTimeout, Logger: log,
	})
}

// webLogin signs one person in: they open a link in their browser.
type webLogin struct {
	c      *Connector
	user   *bridgev2.User
	ticket *weblogin.Ticket
	login  *bridgev2.UserLogin // what the ticket has brought
}

var _ bridgev2.LoginProcessDisplayAndWait = (*webLogin)(nil)

// Start implements bridgev2.LoginProcess.
func (l *webLogin) Start(context.Context) (*bridgev2.LoginStep, error) {
	var account string
	if userID, _, ok := l.c.rt.dir.Person(l.user.MXID); ok {
		staff, _ := l.c.rt.dir.staff(userID)
		account = staff.UPN
	}
	ticket, err := l.c.rt.webLogin.Begin(weblogin.Request{
		User: l.user.MXID.String(), Account: account, Say: l.c.webProblem,
		Take: func(ctx context.Context, result teams.SignInResult) (err error) {
			l.login, err = l.c.takeSignIn(ctx, l.user, result)
			return err
		},
	})
	if err != nil {
		return nil, errors.New(l.c.webProblem(err))
	}
	l.ticket = ticket
	return &bridgev2.LoginStep{
		Type: bridgev2.LoginStepTypeDisplayAndWait, StepID: stepWeb, Instructions: l.c.webLink(ticket),
		DisplayAndWaitParams: &bridgev2.LoginDisplayAndWaitParams{Type: bridgev2.LoginDisplayTypeNothing},
	}, nil
}

// Cancel implements bridgev2.LoginProcess.
func (l *webLogin) Cancel() {
	if l.ticket != nil {
		l.ticket.Cancel()
	}
}

// Wait implements bridgev2.LoginProcessDisplayAndWait.
func (l *webLogin) Wait(ctx context.Context) (*bridgev2.LoginStep, error) {
	account, err := l.ticket.Wait(ctx)
	if err != nil {
		return nil, errors.New(l.c.webProblem(err))
	}
	return l.c.signedInStep(l.login, account), nil
}

// webLink is what the bot says of a link.
func (c *Connector) webLink(t *weblogin.Ticket) string {
	return c.texts.Say(texts.SignInWebOpen, "url", "<"+t.URL()+">", "time", c.texts.Hour(t.Expires()))
}

// webProblem says in words for people why a web sign-in did not work.
func (c *Connector) webProblem(err error) string {
	for cause, key := range map[error]texts.Key{
		weblogin.ErrExpired: texts.WebExpired, weblogin.ErrReplaced: texts.WebReplaced, weblogin.ErrCancelled: texts.WebCancelled,
		weblogin.ErrTooMany: texts.WebTooMany, weblogin.ErrBroken: texts.WebBroken,
	} {
		if errors.Is(err, cause) {
			return c.texts.Say(key)
		}
	}
	return signInProblem(c.texts, err).Error()
}

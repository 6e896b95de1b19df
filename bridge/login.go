package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/bridgev2"
	mxdb "maunium.net/go/mautrix/bridgev2/database"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

const (
	flowDevice   = "device"
	flowWeb      = "web"
	stepDevice   = "org.teamsbridge.login.device"
	stepWeb      = "org.teamsbridge.login.web"
	stepComplete = "org.teamsbridge.login.complete"
)

// GetLoginFlows implements bridgev2.NetworkConnector.
func (c *Connector) GetLoginFlows() []bridgev2.LoginFlow {
	device := bridgev2.LoginFlow{ID: flowDevice, Name: c.texts.Say(texts.SignIn), Description: c.texts.Say(texts.SignInAbout)}
	if !c.Config.WebLogin.Enabled {
		return []bridgev2.LoginFlow{device}
	}
	return []bridgev2.LoginFlow{
		{ID: flowWeb, Name: c.texts.Say(texts.SignInWeb), Description: c.texts.Say(texts.SignInWebAbout)},
		device,
	}
}

// CreateLogin implements bridgev2.NetworkConnector.
func (c *Connector) CreateLogin(_ context.Context, user *bridgev2.User, flowID string) (bridgev2.LoginProcess, error) {
	switch {
	case flowID == flowDevice:
		return &deviceLogin{c: c, user: user}, nil
	case flowID == flowWeb && c.Config.WebLogin.Enabled:
		return &webLogin{c: c, user: user}, nil
	}
	return nil, bridgev2.ErrInvalidLoginFlowID
}

// deviceLogin signs one person in: they enter a code in a browser.
type deviceLogin struct {
	c      *Connector
	user   *bridgev2.User
	device *teams.DeviceLogin
}

var _ bridgev2.LoginProcessDisplayAndWait = (*deviceLogin)(nil)

// Start implements bridgev2.LoginProcess.
func (d *deviceLogin) Start(ctx context.Context) (*bridgev2.LoginStep, error) {
	device, err := d.c.rt.startSignIn(ctx)
	if err != nil {
		return nil, inWords(d.c.texts, err)
	}
	d.device = device
	return &bridgev2.LoginStep{
		Type:         bridgev2.LoginStepTypeDisplayAndWait,
		StepID:       stepDevice,
		Instructions: d.c.texts.Say(texts.SignInOpen, "url", device.VerificationURL),
		DisplayAndWaitParams: &bridgev2.LoginDisplayAndWaitParams{
			Type: bridgev2.LoginDisplayTypeCode, Data: device.UserCode,
		},
	}, nil
}

// Cancel implements bridgev2.LoginProcess. Waiting ends with its context.
func (d *deviceLogin) Cancel() {}

// errForeignAccount says that somebody signed in with another person's account.
var errForeignAccount = errors.New("this is not your account")

// spokenError is an error as a person is told of it.
type spokenError struct {
	said string
	err  error
}

func (e *spokenError) Error() string { return e.said }

func (e *spokenError) Unwrap() error { return e.err }

// inWords is an error whose text is as far in people's language as it is known.
func inWords(x texts.Texts, err error) error { return &spokenError{spoken(x, err.Error()), err} }

// Wait implements bridgev2.LoginProcessDisplayAndWait.
func (d *deviceLogin) Wait(ctx context.Context) (*bridgev2.LoginStep, error) {
	result, err := d.device.Wait(ctx)
	if err != nil {
		d.c.rt.auditSignIn(database.AccountUser, d.user.MXID.String(), "", err)
		return nil, signInProblem(d.c.texts, err)
	}
	login, err := d.c.takeSignIn(ctx, d.user, result)
	if err != nil {
		return nil, inWords(d.c.texts, err)
	}
	return d.c.signedInStep(login, result.Account), nil
}

// signedInStep ends a sign-in.
func (c *Connector) signedInStep(login *bridgev2.UserLogin, account teams.Account) *bridgev2.LoginStep {
	return &bridgev2.LoginStep{
		Type:           bridgev2.LoginStepTypeComplete,
		StepID:         stepComplete,
		Instructions:   c.texts.Say(texts.SignInDone, "account", account.UPN),
		CompleteParams: &bridgev2.LoginCompleteParams{UserLoginID: login.ID, UserLogin: login},
	}
}

// signInProblem says in words for people why a sign-in did not work.
func signInProblem(x texts.Texts, err error) error {
	switch {
	case errors.Is(err, teams.ErrDeclined):
		return errors.New(x.Say(texts.SignInDeclined))
	case errors.Is(err, teams.ErrCodeExpired):
		return errors.New(x.Say(texts.SignInExpired))
	}
	var e *teams.Error
	if errors.As(err, &e) && e.Hint != "" {
		return errors.New(spoken(x, e.Hint))
	}
	return inWords(x, err)
}

// takeSignIn stores a person's sign-in. Somebody whom the directory maps to
// another Matrix account can't sign in here, and nobody can sign in as somebody
// whom the directory gave to another account: names would be wrong.
func (c *Connector) takeSignIn(ctx context.Context, user *bridgev2.User, result teams.SignInResult) (login *bridgev2.UserLogin, err error) {
	account := result.Account
	defer func() {
		if err != nil {
			c.rt.auditSignIn(database.AccountUser, user.MXID.String(), account.UserID, err)
		}
	}()
	staff, known := c.rt.dir.staff(account.UserID)
	switch {
	case known && staff.MXID != "" && staff.MXID != user.MXID.String():
		return nil, &spokenError{c.texts.Say(texts.SignInForeign, "account", account.UPN, "user", staff.MXID), errForeignAccount}
	case !known || staff.Status != database.StaffMapped:
		if other, name, mapped := c.rt.dir.Person(user.MXID); mapped && other != account.UserID {
			return nil, &spokenError{c.texts.Say(texts.SignInOther, "name", name), errForeignAccount}
		}
	}
	// All is decided before anything is stored: what is told as failed must be so.
	own := known && staff.Status == database.StaffMapped
	held, taken := c.rt.writers.account(accountKey(database.AccountUser, account.UserID))
	if taken && !own && held.State == database.AccountOK && held.MXID != user.MXID.String() {
		return nil, &spokenError{c.texts.Say(texts.SignInForeign, "account", account.UPN, "user", held.MXID), errForeignAccount}
	}
	if err = c.rt.writers.signedIn(ctx, database.AccountUser, account, user.MXID.String(), result.RefreshToken); err != nil {
		return nil, err
	}
	// Whoever signs in as somebody else does not speak as the first one any more.
	for _, other := range c.rt.writers.list(database.AccountUser) {
		if other.MXID == user.MXID.String() && other.UserID != account.UserID {
			if err := c.rt.writers.signedOut(ctx, other.Key); err != nil {
				return nil, err
			}
		}
	}
	login, err = user.NewLogin(ctx, &mxdb.UserLogin{
		ID: portal.LoginID(account.UserID), RemoteName: account.DisplayName, Metadata: &portal.UserLoginMetadata{UPN: account.UPN},
	}, &bridgev2.NewLoginParams{DeleteOnConflict: true})
	if err != nil {
		return nil, fmt.Errorf("making the login: %w", err)
	}
	if err := c.rt.sender.Kick(ctx); err != nil {
		zerolog.Ctx(ctx).Err(err).Msg("Could not wake what waits for a sign-in")
	}
	return login, nil
}

// LoadUserLogin implements bridgev2.NetworkConnector. It runs under the
// framework's global lock: no I/O and no look-ups.
func (c *Connector) LoadUserLogin(_ context.Context, login *bridgev2.UserLogin) error {
	if strings.HasPrefix(string(login.ID), systemLoginPrefix) {
		login.Client = &SystemClient{client{c: c, login: login}}
		return nil
	}
	login.Client = &UserClient{client{c: c, login: login, userID: string(login.ID)}}
	return nil
}

// forgetAccount forgets a person's own token.
func (c *Connector) forgetAccount(ctx context.Context, userID string) {
	if err := c.rt.writers.signedOut(ctx, accountKey(database.AccountUser, userID)); err != nil {
		zerolog.Ctx(ctx).Err(err).Str("user_id", userID).Msg("Could not forget a sign-in")
	}
}

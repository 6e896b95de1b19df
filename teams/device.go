package teams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/oauth2"
)

const opDevice = "device sign-in"

// ErrDeclined and ErrCodeExpired end a device sign-in without an account.
var (
	ErrDeclined    = errors.New("the sign-in was declined")
	ErrCodeExpired = errors.New("the code has expired")
)

// DeviceLogin is a sign-in that waits for a person to enter a code.
type DeviceLogin struct {
	// UserCode is to be entered at VerificationURL before Expires.
	UserCode        string
	VerificationURL string
	Expires         time.Time

	cfg DelegatedConfig
	da  *oauth2.DeviceAuthResponse
}

// SignInResult is a finished sign-in. The caller stores the refresh token as it
// is under the key of the account's credential.
type SignInResult struct {
	Account      Account
	RefreshToken string
}

// StartDeviceLogin asks the sign-in service for a code.
func StartDeviceLogin(ctx context.Context, cfg DelegatedConfig) (*DeviceLogin, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	da, err := cfg.oauth().DeviceAuth(context.WithValue(ctx, oauth2.HTTPClient, cfg.HTTP))
	if err != nil {
		return nil, signInError(opDevice, err)
	}
	if da.UserCode == "" || da.VerificationURI == "" || da.DeviceCode == "" {
		return nil, &Error{Op: opDevice, Kind: KindUnavailable, Hint: "the sign-in service sent no code"}
	}
	if da.Expiry.IsZero() {
		da.Expiry = time.Now().Add(15 * time.Minute)
	}
	return &DeviceLogin{UserCode: da.UserCode, VerificationURL: da.VerificationURI, Expires: da.Expiry, cfg: cfg, da: da}, nil
}

// Message tells the person what to do.
func (d *DeviceLogin) Message() string {
	return fmt.Sprintf("Open %s and enter the code %s.", d.VerificationURL, d.UserCode)
}

// Wait returns when the person has signed in, has declined (ErrDeclined), or
// the code has expired (ErrCodeExpired). It asks at the pace that the service
// sets, and a failing network does not end it.
func (d *DeviceLogin) Wait(ctx context.Context) (SignInResult, error) {
	token, err := d.poll(context.WithValue(ctx, oauth2.HTTPClient, d.cfg.HTTP))
	if err != nil {
		return SignInResult{}, err
	}
	if token.RefreshToken == "" {
		return SignInResult{}, &Error{Op: opDevice, Kind: KindPermission, Hint: "the sign-in brought no refresh token: offline_access was not granted"}
	}
	account, err := whoAmI(ctx, opDevice, d.cfg, token.AccessToken)
	if err != nil {
		return SignInResult{}, err
	}
	return SignInResult{Account: account, RefreshToken: token.RefreshToken}, nil
}

func (d *DeviceLogin) poll(ctx context.Context) (*oauth2.Token, error) {
	ctx, cancel := context.WithDeadline(ctx, d.Expires)
	defer cancel()
	// The library may be started several times, so slow_down is remembered here.
	da := *d.da
	for {
		if !time.Now().Before(d.Expires) {
			return nil, &Error{Op: opDevice, Kind: KindSignInExpired, Code: "expired_token", Err: ErrCodeExpired}
		}
		token, err := d.cfg.oauth().DeviceAccessToken(ctx, &da)
		if err == nil {
			return token, nil
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, canceled(call{op: opDevice}, ctx.Err(), false)
		}
		if ctx.Err() != nil {
			if !time.Now().Before(d.Expires) {
				return nil, &Error{Op: opDevice, Kind: KindSignInExpired, Code: "expired_token", Err: ErrCodeExpired}
			}
			return nil, canceled(call{op: opDevice}, ctx.Err(), false)
		}
		e := signInError(opDevice, err)
		switch e.Code {
		case "authorization_declined", "access_denied":
			e.Err = ErrDeclined
			return nil, e
		case "expired_token", "bad_verification_code", "code_expired":
			e.Err = ErrCodeExpired
			return nil, e
		}
		if e.Kind != KindUnavailable && e.Kind != KindThrottled {
			return nil, e
		}
		// The limiter holds back what the service has asked to hold back; the
		// library waits one interval before it asks again.
	}
}

// whoAmI asks Graph whose token it is.
func whoAmI(ctx context.Context, op string, cfg DelegatedConfig, accessToken string) (Account, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, cfg.Endpoints.Root()+"/me?$select=id,displayName,userPrincipalName", nil)
	if err != nil {
		return Account{}, &Error{Op: op, Kind: KindUnknown, Err: err}
	}
	req.Header.Set("Authorization", "Bearer "+accessToken)
	resp, err := cfg.HTTP.Do(req)
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			return Account{}, e
		}
		return Account{}, transportError(call{op: op}, err, false)
	}
	defer func() { _ = resp.Body.Close() }()
	var me struct{ ID, DisplayName, UserPrincipalName string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxErrorBody)).Decode(&me); err != nil || me.ID == "" || resp.StatusCode != http.StatusOK {
		return Account{}, &Error{Op: op, Kind: KindUnavailable, Status: resp.StatusCode, Hint: "Graph did not say whose sign-in it is"}
	}
	return Account{UserID: me.ID, UPN: me.UserPrincipalName, DisplayName: me.DisplayName}, nil
}

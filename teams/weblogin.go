package teams

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/url"
	"strings"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"
)

const opWeb = "web sign-in"

// WebLogin is one visit to the sign-in service with a browser: authorization
// code with a proof key. What it holds stays on this side; the browser sees the
// state, and the digests of nothing else.
type WebLogin struct {
	// State comes back with the answer. Who keeps the login takes it once.
	State string

	cfg                       DelegatedConfig
	redirect, verifier, nonce string
	expected                  string
}

// NewWebLogin prepares a visit that ends at redirect. account is whom the service
// is to offer (a user principal name), empty for letting the person choose.
func NewWebLogin(cfg DelegatedConfig, redirect, account string) (*WebLogin, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Prove == nil {
		return nil, errors.New("sign-in: a web sign-in needs the application's secret or certificate")
	}
	return &WebLogin{
		State: oauth2.GenerateVerifier(), cfg: cfg, redirect: redirect,
		verifier: oauth2.GenerateVerifier(), nonce: oauth2.GenerateVerifier(), expected: account,
	}, nil
}

func (w *WebLogin) oauth() *oauth2.Config {
	o := w.cfg.oauth()
	o.RedirectURL = w.redirect
	o.Scopes = append(o.Scopes, "openid")
	return o
}

// URL is where the browser goes. The answer comes in the query: a form would
// come from another site, and browsers send no SameSite cookie with that.
func (w *WebLogin) URL() string {
	options := []oauth2.AuthCodeOption{
		oauth2.S256ChallengeOption(w.verifier),
		oauth2.SetAuthURLParam("nonce", w.nonce),
		oauth2.SetAuthURLParam("response_mode", "query"),
	}
	if w.expected != "" {
		options = append(options, oauth2.SetAuthURLParam("login_hint", w.expected))
	} else {
		options = append(options, oauth2.SetAuthURLParam("prompt", "select_account"))
	}
	return w.oauth().AuthCodeURL(w.State, options...)
}

// Finish takes the answer that came with the login's own state. A code is
// redeemed once: after any error the person begins anew.
func (w *WebLogin) Finish(ctx context.Context, answer url.Values) (SignInResult, error) {
	if answer.Get("error") != "" || answer.Get("code") == "" {
		return SignInResult{}, webRefusal(answer)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	client, err := w.cfg.client(true, nil)
	if err != nil {
		return SignInResult{}, &Error{Op: opWeb, Kind: KindUnavailable, Err: err}
	}
	token, err := w.oauth().Exchange(context.WithValue(ctx, oauth2.HTTPClient, client), answer.Get("code"), oauth2.VerifierOption(w.verifier))
	if err != nil {
		return SignInResult{}, signInError(opWeb, err)
	}
	if token.RefreshToken == "" {
		return SignInResult{}, &Error{Op: opWeb, Kind: KindPermission, Hint: "the sign-in brought no refresh token: offline_access was not granted"}
	}
	signedIn, err := w.checkIdentity(token)
	if err != nil {
		return SignInResult{}, &Error{Op: opWeb, Kind: KindBadRequest, Hint: "the sign-in service's answer belongs to another sign-in: start again", Err: err}
	}
	account, err := whoAmI(ctx, opWeb, w.cfg, token.AccessToken)
	if err != nil {
		return SignInResult{}, err
	}
	if !strings.EqualFold(account.UserID, signedIn) {
		return SignInResult{}, &Error{Op: opWeb, Kind: KindBadRequest, Hint: "the sign-in service's answer belongs to another sign-in: start again"}
	}
	return SignInResult{Account: account, RefreshToken: webMark + token.RefreshToken}, nil
}

// webRefusal is what an answer without a code says. Of its words only Microsoft's
// number is used, since anybody can write them into the address.
func webRefusal(answer url.Values) error {
	reply := signInReply{Error: answer.Get("error"), Description: answer.Get("error_description")}
	code := aadstsCode(reply)
	e := &Error{Op: opWeb, Kind: KindSignInExpired, Hint: aadstsHint(code)}
	switch reply.Error {
	case "access_denied":
		if code == 0 || code == aadstsDeclined {
			e.Hint, e.Err = "", ErrDeclined
		}
	case "temporarily_unavailable", "server_error":
		e.Kind, e.Hint = KindUnavailable, "the sign-in service can't be reached"
	case "":
		e.Kind, e.Hint = KindBadRequest, "the sign-in service's answer belongs to another sign-in: start again"
	}
	return e
}

// aadstsDeclined is the number of a person's own no.
const aadstsDeclined = 65004

// idClaims are those of an id token that are looked at.
type idClaims struct {
	jwt.RegisteredClaims
	Nonce    string `json:"nonce"`
	TenantID string `json:"tid"`
	ObjectID string `json:"oid"`
}

// checkIdentity returns whose id token came with the others, if it is for this
// visit. It came from the token endpoint itself over TLS, which is as good as its
// signature (OpenID Connect Core 3.1.3.7).
func (w *WebLogin) checkIdentity(token *oauth2.Token) (objectID string, err error) {
	raw, _ := token.Extra("id_token").(string)
	claims := &idClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(raw, claims); err != nil {
		return "", errors.New("no readable id token")
	}
	if err := jwt.NewValidator(jwt.WithAudience(w.cfg.ClientID), jwt.WithExpirationRequired(), jwt.WithLeeway(tokenLeeway)).Validate(claims); err != nil {
		return "", err
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(claims.Nonce), []byte(w.nonce)) != 1:
		return "", errors.New("the nonce is another")
	case !strings.EqualFold(claims.TenantID, w.cfg.TenantID):
		return "", errors.New("the tenant is another")
	case claims.ObjectID == "":
		return "", errors.New("the id token names nobody")
	}
	return claims.ObjectID, nil
}

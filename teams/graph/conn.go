package graph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	abstractions "github.com/microsoft/kiota-abstractions-go"
	azauth "github.com/microsoft/kiota-authentication-azure-go"
	msgraph "github.com/microsoftgraph/msgraph-sdk-go"
	"teamsbridge/teams"
)

// Credential is an application's or a person's sign-in: teams.AppCredential or
// teams.DelegatedCredential.
type Credential interface {
	azcore.TokenCredential
	// Invalidate forgets an access token that Graph refused and reports
	// whether it was the current one.
	Invalidate(token string) bool
}

// conn sends requests with one credential.
type conn struct {
	endpoints teams.Endpoints
	cred      Credential
	http      *http.Client
	adapter   *msgraph.GraphRequestAdapter
	client    *msgraph.GraphServiceClient
}

func newConn(e teams.Endpoints, cred Credential, client *http.Client) (*conn, error) {
	switch {
	case cred == nil:
		return nil, errors.New("graph: no credential")
	case client == nil:
		return nil, errors.New("graph: no HTTP client")
	case e.Graph == "" || len(e.Hosts) == 0:
		return nil, errors.New("graph: no endpoints")
	}
	// The SDK compares names without ports and, for a host that it does not
	// know, silently sends no token; our HTTP client is stricter than both.
	hosts := make([]string, 0, len(e.Hosts))
	for _, h := range e.Hosts {
		hosts = append(hosts, (&url.URL{Host: h}).Hostname())
	}
	auth, err := azauth.NewAzureIdentityAuthenticationProviderWithScopesAndValidHosts(cred, []string{e.Scope}, hosts)
	if err != nil {
		return nil, fmt.Errorf("graph: %w", err)
	}
	adapter, err := msgraph.NewGraphRequestAdapterWithParseNodeFactoryAndSerializationWriterFactoryAndHttpClient(auth, nil, nil, client)
	if err != nil {
		return nil, fmt.Errorf("graph: %w", err)
	}
	adapter.SetBaseUrl(e.Root())
	return &conn{endpoints: e, cred: cred, http: client, adapter: adapter, client: msgraph.NewGraphServiceClient(adapter)}, nil
}

// send sends a request and returns the body of the answer, empty for a 204.
func (c *conn) send(ctx context.Context, info *abstractions.RequestInformation, err error) ([]byte, error) {
	if err != nil {
		return nil, &teams.Error{Op: "request", Kind: teams.KindBadRequest, Err: err}
	}
	var body []byte
	err = c.authorized(ctx, info, func() error {
		raw, err := c.adapter.SendPrimitive(ctx, info, "[]byte", nil)
		body, _ = raw.([]byte)
		return typed(err)
	})
	return body, err
}

// open sends a GET and leaves the body of the answer to the caller.
func (c *conn) open(ctx context.Context, info *abstractions.RequestInformation, err error) (*http.Response, error) {
	if err != nil {
		return nil, &teams.Error{Op: "request", Kind: teams.KindBadRequest, Err: err}
	}
	var resp *http.Response
	err = c.authorized(ctx, info, func() error {
		native, err := c.adapter.ConvertToNativeRequest(ctx, info)
		if err != nil {
			return typed(err)
		}
		req, ok := native.(*http.Request)
		if !ok {
			return &teams.Error{Op: "request", Kind: teams.KindUnknown}
		}
		resp, err = c.http.Do(req.WithContext(ctx))
		if err == nil && resp.StatusCode >= 300 {
			_ = resp.Body.Close()
			err = &teams.Error{Op: "request", Kind: teams.KindSignInExpired, Status: resp.StatusCode}
		}
		return typed(err)
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// authorized runs a request; when Graph refuses the access token although its
// time is not over (revoked sessions), it gets a new one and runs it once more.
// A refused request was not carried out, so that holds for writes too.
func (c *conn) authorized(ctx context.Context, info *abstractions.RequestInformation, run func() error) error {
	options := policy.TokenRequestOptions{Scopes: []string{c.endpoints.Scope}}
	before, err := c.cred.GetToken(ctx, options)
	if err != nil {
		return typed(err)
	}
	err = run()
	var e *teams.Error
	if !errors.As(err, &e) || e.Status != http.StatusUnauthorized {
		return err
	}
	c.cred.Invalidate(before.Token)
	after, renewErr := c.cred.GetToken(ctx, options)
	if renewErr != nil {
		return typed(renewErr)
	}
	if after.Token == before.Token {
		return err
	}
	info.Headers.Remove("Authorization")
	return refusedAnew(run())
}

// refusedAnew says what it means that Graph refuses a token which the sign-in
// service has only just given. That service decides whether somebody has to sign
// in again; Graph may be behind, so this is something that passes.
func refusedAnew(err error) error {
	var e *teams.Error
	if !errors.As(err, &e) || e.Status != http.StatusUnauthorized || e.Hint == hintPolicy {
		return err
	}
	passing := *e
	passing.Kind, passing.Hint = teams.KindUnavailable, "Graph refuses a token that was just renewed"
	return &passing
}

const hintPolicy = "a policy asks for a new sign-in"

// typed makes every error an *teams.Error and takes the URL out of it, which
// net/http puts around.
func typed(err error) error {
	if err == nil {
		return nil
	}
	var e *teams.Error
	if errors.As(err, &e) {
		return e
	}
	var api abstractions.ApiErrorable
	if errors.As(err, &api) && api.GetStatusCode() == http.StatusUnauthorized {
		// A second claims challenge in a row.
		return &teams.Error{Op: "request", Kind: teams.KindSignInExpired, Status: http.StatusUnauthorized,
			Hint: hintPolicy}
	}
	return &teams.Error{Op: "request", Kind: teams.KindUnknown, Err: err}
}

// follow returns the request for a link that Graph has given out, verbatim.
// A link to anywhere else is refused before a token is asked for.
func (c *conn) follow(link string) (*abstractions.RequestInformation, error) {
	u, err := url.Parse(link)
	if err != nil || !c.endpoints.AllowsToken(u) {
		return nil, &teams.Error{Op: "GET next page", Kind: teams.KindForeignHost, Hint: "the link leads away from Graph"}
	}
	info := abstractions.NewRequestInformation()
	info.Method = abstractions.GET
	info.SetUri(*u)
	info.Headers.Add("Accept", "application/json")
	return info, nil
}

// read is send for a GET of JSON, with unknown enum members included.
func (c *conn) read(ctx context.Context, info *abstractions.RequestInformation, err error) ([]byte, error) {
	if err != nil {
		var e *teams.Error
		if errors.As(err, &e) {
			return nil, e
		}
		return c.send(ctx, nil, err)
	}
	info.Headers.TryAdd("Prefer", "include-unknown-enum-members")
	return c.send(ctx, info, nil)
}

// need refuses a call whose path would have a hole.
func need(ids ...string) error {
	for _, id := range ids {
		if id == "" || id == "." || id == ".." {
			return &teams.Error{Op: "request", Kind: teams.KindBadRequest, Hint: "an id is missing"}
		}
	}
	return nil
}

// garbled is an answer with status 2xx that is not what was asked for, such as
// a captive portal's page.
func garbled(op string, err error) error {
	return &teams.Error{Op: op, Kind: teams.KindUnavailable, Hint: "the answer is not from Graph or is damaged", Err: err}
}

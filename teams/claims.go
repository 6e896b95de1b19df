package teams

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// claimsTransport adds claims to the form of token requests, for which the
// sign-in library has no parameter.
type claimsTransport struct {
	base   http.RoundTripper
	claims string
}

// withClaims returns a client whose token requests ask for claims; without any
// it is the client itself.
func withClaims(client *http.Client, claims string) *http.Client {
	if claims == "" {
		return client
	}
	asking := *client
	asking.Transport = claimsTransport{base: client.Transport, claims: claims}
	if client.Transport == nil {
		asking.Transport = claimsTransport{base: http.DefaultTransport, claims: claims}
	}
	return &asking
}

// RoundTrip implements http.RoundTripper.
func (t claimsTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read token request: %w", err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, fmt.Errorf("parse token request: %w", err)
	}
	form.Set("claims", t.claims)
	encoded := form.Encode()
	r = r.Clone(r.Context())
	r.ContentLength = int64(len(encoded))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(encoded)), nil }
	r.Body, _ = r.GetBody()
	return t.base.RoundTrip(r)
}

package teams

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// formTransport adds to the form of token requests what the sign-in library has
// no parameter for: claims, and a confidential client's proof.
type formTransport struct {
	base http.RoundTripper
	form url.Values
}

// withForm returns a client whose token requests carry more; without any more it
// is the client itself.
func withForm(client *http.Client, form url.Values) *http.Client {
	if len(form) == 0 {
		return client
	}
	asking := *client
	asking.Transport = formTransport{base: client.Transport, form: form}
	if client.Transport == nil {
		asking.Transport = formTransport{base: http.DefaultTransport, form: form}
	}
	return &asking
}

// RoundTrip implements http.RoundTripper.
func (t formTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read token request: %w", err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, fmt.Errorf("parse token request: %w", err)
	}
	maps.Copy(form, t.form)
	encoded := form.Encode()
	r = r.Clone(r.Context())
	r.ContentLength = int64(len(encoded))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(encoded)), nil }
	r.Body, _ = r.GetBody()
	return t.base.RoundTrip(r)
}

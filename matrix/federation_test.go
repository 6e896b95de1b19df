package matrix

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A room is federated as its context says, whatever the framework asks for; nothing
// else of the request changes, and no other request does.
func TestFederation(t *testing.T) {
	var body string
	rt := &roundTripper{next: transport(func(req *http.Request) (*http.Response, error) {
		data, err := io.ReadAll(req.Body)
		body = string(data)
		require.EqualValues(t, len(data), req.ContentLength)
		return &http.Response{StatusCode: 200, Body: http.NoBody}, err
	})}
	ask := func(ctx context.Context, path, content string) string {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://hs.example/_matrix/client/v3/"+path, strings.NewReader(content))
		require.NoError(t, err)
		resp, err := rt.RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return body
	}
	const plain = `{"name":"x","creation_content":{"type":"m.space"}}`
	const closed = `{"name":"x","creation_content":{"type":"m.space","m.federate":false}}`
	const open = `{"name":"x","creation_content":{"type":"m.space","m.federate":true}}`
	ctx := t.Context()
	require.Equal(t, plain, ask(ctx, "createRoom", plain))
	require.JSONEq(t, closed, ask(WithFederation(ctx, false), "createRoom", plain))
	require.JSONEq(t, open, ask(WithFederation(ctx, true), "createRoom", closed))
	require.JSONEq(t, `{"creation_content":{"m.federate":false}}`, ask(WithFederation(ctx, false), "createRoom", `{}`))
	require.Equal(t, plain, ask(WithFederation(ctx, false), "rooms/!a/invite", plain))
	req, err := http.NewRequestWithContext(WithFederation(ctx, false), http.MethodPost, "https://hs.example/_matrix/client/v3/createRoom", strings.NewReader("no JSON"))
	require.NoError(t, err)
	_, err = rt.RoundTrip(req)
	require.Error(t, err)
	_, set := FederationFrom(ctx)
	require.False(t, set)
	require.True(t, json.Valid([]byte(body)))
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) { return t(req) }

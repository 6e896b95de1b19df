package demopage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"teamsbridge/teams/teamstest"
)

const (
	// maxAnswer bounds what is read of one answer of Graph.
	maxAnswer = 16 << 20
	// tokenLife is how long an access token is used before the next is asked for.
	tokenLife = 10 * time.Minute
)

// graphClient speaks to Graph as the people in Teams, each with a token of
// their own, as their clients do.
type graphClient struct {
	tenant *teamstest.Tenant
	http   *http.Client

	mu     sync.Mutex
	tokens map[string]accessToken // by user id
}

type accessToken struct {
	text  string
	until time.Time
}

// graphError is a refusal of Graph.
type graphError struct {
	Status        int
	Code, Message string
}

// Error implements error.
func (e *graphError) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("Teams answers %d", e.Status)
	}
	return fmt.Sprintf("Teams answers %d %s: %s", e.Status, e.Code, e.Message)
}

func newGraphClient(tenant *teamstest.Tenant) *graphClient {
	client := tenant.HTTPClient()
	client.Timeout = 0 // contexts have one
	return &graphClient{tenant: tenant, http: client, tokens: map[string]accessToken{}}
}

func (g *graphClient) token(u *teamstest.User) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if t, ok := g.tokens[u.ID]; ok && now.Before(t.until) {
		return t.text
	}
	t := accessToken{g.tenant.UserToken(u), now.Add(tokenLife)}
	g.tokens[u.ID] = t
	return t.text
}

// request makes a request to Graph. The caller closes the answer's body.
func (g *graphClient) request(ctx context.Context, u *teamstest.User, method, address string, body any) (*http.Response, error) {
	var in io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode a request: %w", err)
		}
		in = bytes.NewReader(data)
	}
	if !strings.HasPrefix(address, g.tenant.GraphURL()+"/") {
		address = g.tenant.GraphURL() + address
	}
	req, err := http.NewRequestWithContext(ctx, method, address, in)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+g.token(u))
	req.Header.Set("Prefer", "include-unknown-enum-members")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := g.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask Teams: %w", errors.Unwrap(err))
	}
	if resp.StatusCode >= 300 {
		defer func() { _ = resp.Body.Close() }()
		return nil, readGraphError(resp)
	}
	return resp, nil
}

func readGraphError(resp *http.Response) error {
	var said struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&said)
	return &graphError{resp.StatusCode, said.Error.Code, said.Error.Message}
}

// call makes a request and decodes the answer into out, unless that is nil.
func (g *graphClient) call(ctx context.Context, u *teamstest.User, method, address string, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	resp, err := g.request(ctx, u, method, address, body)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if out == nil {
		return nil
	}
	if err = json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("read an answer of Teams: %w", err)
	}
	return nil
}

// channelPath is a channel's path in Graph.
func channelPath(ch *teamstest.Channel) string {
	return "/teams/" + url.PathEscape(ch.Team().ID) + "/channels/" + url.PathEscape(ch.ID)
}

// messagePath is the path of a post, or of a reply to one.
func messagePath(m *teamstest.Message) string {
	path := channelPath(m.Channel()) + "/messages/"
	if m.RootID != "" {
		return path + url.PathEscape(m.RootID) + "/replies/" + url.PathEscape(m.ID)
	}
	return path + url.PathEscape(m.ID)
}

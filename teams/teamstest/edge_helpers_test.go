package teamstest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/teams/teamstest"
)

// bench is a small tenant seen from outside, over real HTTP.
type bench struct {
	*teamstest.Tenant
	*testing.T

	ann, bob *teamstest.User
	team     *teamstest.Team
	general  *teamstest.Channel
	client   *http.Client
}

func newBench(t *testing.T, opts teamstest.Options) *bench {
	t.Helper()
	tenant, err := teamstest.Start(opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tenant.Close()) })
	b := &bench{Tenant: tenant, T: t, client: tenant.HTTPClient()}
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(b.client.CloseIdleConnections)
	b.ann = tenant.AddUser(teamstest.UserSpec{DisplayName: "Ann Example"})
	b.bob = tenant.AddUser(teamstest.UserSpec{DisplayName: "Bob Example"})
	b.team = tenant.AddTeam(teamstest.TeamSpec{DisplayName: "Alpha", Owners: []*teamstest.User{b.ann}, Members: []*teamstest.User{b.bob}})
	b.general = b.team.General()
	return b
}

// answer is an answer with its body read and, where it is JSON, decoded.
type answer struct {
	status int
	header http.Header
	raw    []byte
	json   map[string]any
}

func (a answer) str(keys ...string) string {
	v := any(a.json)
	for _, key := range keys {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	s, _ := v.(string)
	return s
}

// code is the error code of Graph.
func (a answer) code() string { return a.str("error", "code") }

// message is the error message of Graph.
func (a answer) message() string { return a.str("error", "message") }

func (b *bench) roundTrip(req *http.Request) (answer, error) {
	resp, err := b.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, header: resp.Header, raw: raw}
	_ = json.Unmarshal(raw, &a.json) // not every answer is JSON
	return a, nil
}

// try makes a Graph request that may fail on the way.
func (b *bench) try(token, method, path string, body any) (answer, error) {
	b.Helper()
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		require.NoError(b, err)
		reader = bytes.NewReader(raw)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, b.GraphURL()+path, reader)
	require.NoError(b, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return b.roundTrip(req)
}

func (b *bench) call(token, method, path string, body any) answer {
	b.Helper()
	a, err := b.try(token, method, path, body)
	require.NoError(b, err)
	return a
}

func (b *bench) get(token, path string) answer {
	b.Helper()
	return b.call(token, http.MethodGet, path, nil)
}

// form posts to the sign-in service of the tenant.
func (b *bench) form(path string, form url.Values) answer {
	b.Helper()
	a, err := b.tryForm(path, form)
	require.NoError(b, err)
	return a
}

func (b *bench) tryForm(path string, form url.Values) (answer, error) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.URL()+path, strings.NewReader(form.Encode()))
	require.NoError(b, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.roundTrip(req)
}

func (b *bench) token(form url.Values) answer {
	b.Helper()
	return b.form("/"+b.TenantID+"/oauth2/v2.0/token", form)
}

func (b *bench) secretForm() url.Values {
	return url.Values{
		"grant_type": {"client_credentials"}, "client_id": {b.App().ClientID}, "client_secret": {b.App().Secret()},
		"scope": {b.URL() + "/.default"},
	}
}

// app returns a fresh application token.
func (b *bench) app() string {
	b.Helper()
	a := b.token(b.secretForm())
	require.Equal(b, http.StatusOK, a.status, string(a.raw))
	return a.str("access_token")
}

// signIn goes through a device code sign-in and returns the token answer.
func (b *bench) signIn(u *teamstest.User, scope string) answer {
	b.Helper()
	begun := b.form("/"+b.TenantID+"/oauth2/v2.0/devicecode", url.Values{"client_id": {b.App().ClientID}, "scope": {scope}})
	require.Equal(b, http.StatusOK, begun.status, string(begun.raw))
	require.NoError(b, b.ApproveDevice(begun.str("user_code"), u))
	a := b.token(deviceForm(b, begun.str("device_code")))
	require.Equal(b, http.StatusOK, a.status, string(a.raw))
	return a
}

func deviceForm(b *bench, deviceCode string) url.Values {
	return url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {b.App().ClientID}, "device_code": {deviceCode},
	}
}

// writeScopes is what writing as a person takes.
const writeScopes = "ChannelMessage.Send ChannelMessage.ReadWrite offline_access openid profile"

func (b *bench) user(u *teamstest.User) string {
	b.Helper()
	return b.signIn(u, writeScopes).str("access_token")
}

func (b *bench) channelPath() string {
	return "/teams/" + b.team.ID + "/channels/" + url.PathEscape(b.general.ID)
}

func (b *bench) post(token, text string) (answer, error) {
	b.Helper()
	return b.try(token, http.MethodPost, b.channelPath()+"/messages", map[string]any{"body": map[string]any{"content": text}})
}

// texts lists what people wrote in General.
func (b *bench) texts() []string {
	var list []string
	for _, m := range b.general.Messages() {
		if m.From != nil {
			list = append(list, m.Content)
		}
	}
	return list
}

// context returns a context that ends before the test does.
func (b *bench) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	b.Cleanup(cancel)
	return ctx
}

// eventually waits for a state.
func (b *bench) eventually(what string, state func() bool) {
	b.Helper()
	require.Eventually(b, state, 15*time.Second, 2*time.Millisecond, what)
}

package teamstest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// world is a small tenant for tests of the core. Its tokens are made up:
// "app:Role,…" and "user:ID:Scope,…", with "*" for every permission.
type world struct {
	*Tenant
	*testing.T

	ann, bob, eve *User // eve belongs to no team
	team          *Team
	general       *Channel
	private       *Channel // ann's alone
	client        *http.Client

	mu      sync.Mutex
	changes []change
}

func newWorld(t *testing.T, opts Options) *world {
	t.Helper()
	w := &world{T: t}
	if opts.Clock == nil {
		opts.Clock = NewClock(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))
		opts.Clock.Freeze()
	}
	opts.prepare = func(tenant *Tenant) {
		s := defaultSeams()
		s.authenticate = fakeAuthenticate
		s.onChange = func(c change) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.changes = append(w.changes, c)
		}
		tenant.seams.authenticate, tenant.seams.onChange = s.authenticate, s.onChange
		tenant.seams.throttle = s.throttle
	}
	tenant, err := Start(opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tenant.Close()) })
	w.Tenant, w.client = tenant, tenant.HTTPClient()
	t.Cleanup(w.client.CloseIdleConnections)
	w.ann = tenant.AddUser(UserSpec{DisplayName: "Ann Example"})
	w.bob = tenant.AddUser(UserSpec{DisplayName: "Bob Example"})
	w.eve = tenant.AddUser(UserSpec{DisplayName: "Eve Else"})
	w.team = tenant.AddTeam(TeamSpec{DisplayName: "Works", Owners: []*User{w.ann}, Members: []*User{w.bob}})
	w.general = w.team.General()
	w.private = w.team.AddChannel(ChannelSpec{DisplayName: "Board", Kind: Private, Owners: []*User{w.ann}})
	w.takeChanges()
	return w
}

func fakeAuthenticate(x *exchange) (caller, *apiError) {
	token, ok := strings.CutPrefix(x.r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return caller{}, errUnauthenticated()
	}
	if roles, app := strings.CutPrefix(token, "app:"); app {
		return caller{App: true, AppID: "app", Roles: granted(roles, func(p permission) []string { return p.application })}, nil
	}
	id, scopes, _ := strings.Cut(strings.TrimPrefix(token, "user:"), ":")
	return caller{AppID: "app", UserID: id, Scopes: granted(scopes, func(p permission) []string { return p.delegated })}, nil
}

func granted(names string, of func(permission) []string) map[string]bool {
	set := map[string]bool{}
	for name := range strings.SplitSeq(names, ",") {
		set[name] = name != ""
	}
	if names == "*" {
		for _, r := range coreRoutes() {
			for _, name := range of(r.perm) {
				set[name] = true
			}
		}
	}
	return set
}

func (w *world) takeChanges() []change {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.changes
	w.changes = nil
	return taken
}

const asApp = "app:*"

func as(u *User) string { return "user:" + u.ID + ":*" }

type answer struct {
	t      *testing.T
	status int
	header http.Header
	raw    []byte
	json   map[string]any
}

// call makes a request. Path is below /v1.0, or an absolute link.
func (w *world) call(token, method, path string, body any, headers ...string) answer {
	w.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	case []byte:
		reader = bytes.NewReader(b)
	default:
		reader = bytes.NewReader(mustJSON(b))
	}
	if !strings.HasPrefix(path, "https://") {
		path = "https://" + w.server.addr + "/v1.0" + path
	}
	req, err := http.NewRequestWithContext(w.Context(), method, path, reader)
	require.NoError(w, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return w.do(req)
}

func (w *world) do(req *http.Request) answer {
	w.Helper()
	resp, err := w.client.Do(req)
	require.NoError(w, err)
	defer resp.Body.Close()
	a := answer{t: w.T, status: resp.StatusCode, header: resp.Header}
	a.raw, err = io.ReadAll(resp.Body)
	require.NoError(w, err)
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		require.NoError(w, json.Unmarshal(a.raw, &a.json), string(a.raw))
	}
	return a
}

func (w *world) get(token, path string, headers ...string) answer {
	w.Helper()
	return w.call(token, http.MethodGet, path, nil, headers...)
}

func (w *world) post(token, path string, body any, headers ...string) answer {
	w.Helper()
	return w.call(token, http.MethodPost, path, body, headers...)
}

// ok demands a status and returns the decoded body.
func (a answer) want(status int) answer {
	a.t.Helper()
	require.Equal(a.t, status, a.status, string(a.raw))
	return a
}

// refused demands an error and checks what its message says.
func (a answer) refused(status int, code, message string) answer {
	a.t.Helper()
	a.want(status)
	body, ok := a.json["error"].(map[string]any)
	require.True(a.t, ok, string(a.raw))
	require.Equal(a.t, code, body["code"])
	require.Contains(a.t, body["message"], message)
	require.NotEmpty(a.t, a.header.Get("request-id"))
	require.Equal(a.t, a.header.Get("request-id"), body["innerError"].(map[string]any)["request-id"])
	return a
}

func (a answer) value() []map[string]any {
	a.t.Helper()
	a.want(http.StatusOK)
	return objects(a.json["value"])
}

func objects(v any) []map[string]any {
	var list []map[string]any
	items, _ := v.([]any)
	for _, item := range items {
		list = append(list, item.(map[string]any))
	}
	return list
}

func column(list []map[string]any, name string) []any {
	values := []any{}
	for _, item := range list {
		values = append(values, item[name])
	}
	return values
}

// pages follows nextLink to the end and returns all pages.
func (w *world) pages(token, path string) []answer {
	w.Helper()
	var all []answer
	for path != "" {
		page := w.get(token, path).want(http.StatusOK)
		all = append(all, page)
		require.Less(w, len(all), 200, "paging does not end")
		path, _ = page.json["@odata.nextLink"].(string)
	}
	return all
}

func (w *world) all(token, path string) []map[string]any {
	w.Helper()
	var items []map[string]any
	for _, page := range w.pages(token, path) {
		items = append(items, page.value()...)
	}
	return items
}

func (c *Channel) path() string { return "/teams/" + c.team.ID + "/channels/" + c.ID }

func (c *Channel) messagesPath() string { return c.path() + "/messages" }

// posts writes n posts, a second apart, and returns them oldest first.
func (w *world) posts(c *Channel, n int) []*Message {
	var list []*Message
	for range n {
		w.clock.Advance(time.Second)
		list = append(list, c.Post(w.ann, Msg{Text: "post"}))
	}
	return list
}

func idsOf(list []*Message) []any {
	ids := []any{}
	for _, m := range list {
		ids = append(ids, m.ID)
	}
	return ids
}

func reversed[T any](list []T) []T {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

func htmlBody(content string) map[string]any {
	return map[string]any{"body": map[string]any{"contentType": "html", "content": content}}
}

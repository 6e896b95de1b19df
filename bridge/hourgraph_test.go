package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// strictGraph is Graph over HTTP in front of a portaltest.Tenant. It takes no
// more than the documented limits of posting allow, as they are at its end of a
// network that delays requests by different times, and notes whoever comes too
// early.
type strictGraph struct {
	tenant *portaltest.Tenant
	client *http.Client

	mu  sync.Mutex
	rng *rand.Rand
	// fault answers a request in place of Graph, where it returns something.
	fault func(r *http.Request) (*http.Response, error)
	// posts are the times at which posts were taken, byAccount how many were.
	posts     []time.Time
	byAccount map[string]int
	last      map[string]time.Time
	// early are the posts that a limit forbade.
	early int
	// closed is until when an announced pause of posting lasts, told when the
	// bridge has heard of it.
	closed, told time.Time
	// pauses and ends are how long each pause was and when it ended.
	pauses []time.Duration
	ends   []time.Time
	// disobeyed are posts that were sent during an announced pause.
	disobeyed int
}

func newStrictGraph(tenant *portaltest.Tenant, seed uint64) *strictGraph {
	return &strictGraph{tenant: tenant, rng: rand.New(rand.NewPCG(seed, 1)), byAccount: map[string]int{}, last: map[string]time.Time{}}
}

func (g *strictGraph) setFault(f func(r *http.Request) (*http.Response, error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault = f
}

// latency is one way through the network.
func (g *strictGraph) latency() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return 20*time.Millisecond + time.Duration(g.rng.Int64N(int64(80*time.Millisecond)))
}

// pauseHeader is how strictGraph itself knows of a pause, however it is told.
const pauseHeader = "X-Test-Pause"

// answer makes an answer of Graph.
func answer(status int, body any) *http.Response {
	raw, _ := json.Marshal(body)
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(raw)))}
}

// announced makes an answer that announces a pause: in seconds, or as tell does.
func announced(status int, pause time.Duration, tell func(h http.Header, pause time.Duration) any) *http.Response {
	h := http.Header{pauseHeader: {fmt.Sprint(int(pause.Seconds()))}, "Retry-After": {fmt.Sprint(int(pause.Seconds()))}}
	var body any = struct{}{}
	if tell != nil {
		body = tell(h, pause)
	}
	resp := answer(status, body)
	resp.Header = h
	return resp
}

// RoundTrip implements http.RoundTripper.
func (g *strictGraph) RoundTrip(req *http.Request) (*http.Response, error) {
	left := time.Now()
	time.Sleep(g.latency())
	isPost := req.Method == http.MethodPost
	resp, err := g.serve(req, left, isPost)
	back := g.latency()
	if resp != nil && isPost && resp.Header.Get(pauseHeader) != "" {
		g.announce(resp, back)
	}
	time.Sleep(back)
	return resp, err
}

func (g *strictGraph) serve(req *http.Request, left time.Time, isPost bool) (*http.Response, error) {
	g.mu.Lock()
	fault := g.fault
	closedFor := time.Until(g.closed)
	if isPost && closedFor > 0 && !left.Before(g.told) {
		g.disobeyed++
	}
	g.mu.Unlock()
	if fault != nil {
		if resp, err := fault(req); resp != nil || err != nil {
			return resp, err
		}
	}
	if !isPost {
		return answer(http.StatusOK, struct{}{}), nil
	}
	if closedFor > 0 {
		// It left before the bridge had heard of the pause, which goes on.
		resp := announced(http.StatusTooManyRequests, closedFor.Truncate(time.Second)+time.Second, nil)
		resp.Header.Del(pauseHeader)
		return resp, nil
	}
	return g.post(req)
}

// announce notes the pause of all posting that an answer announces. Graph does
// not say which limit was hit, so the widest is to be kept.
func (g *strictGraph) announce(resp *http.Response, back time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var seconds int
	_, _ = fmt.Sscan(resp.Header.Get(pauseHeader), &seconds)
	now := time.Now()
	until := now.Add(time.Duration(seconds) * time.Second)
	if !until.After(g.closed) {
		return
	}
	g.told = now.Add(back)
	g.pauses = append(g.pauses, until.Sub(latest(now, g.closed)))
	g.ends = append(g.ends, until)
	g.closed = until
}

// limit notes a post that comes at a time, or says that it is too early.
func (g *strictGraph) limit(account, channel string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	inSecond := 0
	for _, at := range slices.Backward(g.posts) {
		if now.Sub(at) >= time.Second {
			break
		}
		inSecond++
	}
	scopes := []string{"account " + account, "channel " + channel}
	tooEarly := inSecond >= 50
	for _, scope := range scopes {
		tooEarly = tooEarly || now.Sub(g.last[scope]) < time.Second
	}
	if tooEarly {
		g.early++
		return false
	}
	for _, scope := range scopes {
		g.last[scope] = now
	}
	g.posts = append(g.posts, now)
	g.byAccount[account]++
	return true
}

// post is POST /teams/{team}/channels/{channel}/messages[/{root}/replies].
func (g *strictGraph) post(req *http.Request) (*http.Response, error) {
	segs := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	if len(segs) != 6 && len(segs) != 8 {
		return answer(http.StatusBadRequest, struct{}{}), nil
	}
	account, ch, root := req.Header.Get("X-Account"), teams.ChannelRef{TeamID: segs[2], ChannelID: segs[4]}, ""
	if len(segs) == 8 {
		root = segs[6]
	}
	if !g.limit(account, ch.ChannelID) {
		return announced(http.StatusTooManyRequests, time.Second, nil), nil
	}
	var draft teams.Draft
	if err := json.NewDecoder(req.Body).Decode(&draft); err != nil {
		return nil, err
	}
	m, err := g.tenant.Writer(account, nil).Post(context.Background(), ch, root, draft)
	var e *teams.Error
	if errors.As(err, &e) {
		return answer(e.Status, struct{}{}), nil
	} else if err != nil {
		return nil, err
	}
	return answer(http.StatusCreated, m), nil
}

// do sends a request through the bridge's HTTP stack.
func (g *strictGraph) do(ctx context.Context, method, account, path string, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if account != "" {
		ctx = teams.WithAccount(ctx, account)
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://graph.microsoft.com/v1.0/"+path, strings.NewReader(string(raw)))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer x")
	req.Header.Set("X-Account", account)
	resp, err := g.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}

// strictWriter posts over HTTP. Nothing else is written in these tests.
type strictWriter struct {
	teams.Writer
	g       *strictGraph
	account string
}

func (w *strictWriter) Account() teams.Account {
	return teams.Account{UserID: w.account, DisplayName: w.account}
}

func (w *strictWriter) Post(ctx context.Context, ch teams.ChannelRef, rootID string, d teams.Draft) (m teams.Message, err error) {
	path := fmt.Sprintf("teams/%s/channels/%s/messages", ch.TeamID, ch.ChannelID)
	if rootID != "" {
		path += "/" + rootID + "/replies"
	}
	err = w.g.do(ctx, http.MethodPost, w.account, path, d, &m)
	return m, err
}

// strictReader reads the tenant where a request over HTTP got through.
type strictReader struct {
	teams.Reader
	g *strictGraph
}

func (r *strictReader) get(ctx context.Context, path string) error {
	return r.g.do(ctx, http.MethodGet, "", path, nil, &struct{}{})
}

func (r *strictReader) Organization(ctx context.Context) (string, error) {
	return "Contoso", r.get(ctx, "organization")
}

func (r *strictReader) List(ctx context.Context, ch teams.ChannelRef, link string) (teams.Page, error) {
	if err := r.get(ctx, fmt.Sprintf("teams/%s/channels/%s/messages", ch.TeamID, ch.ChannelID)); err != nil {
		return teams.Page{}, err
	}
	return r.Reader.List(ctx, ch, link)
}

func (r *strictReader) Replies(ctx context.Context, root teams.MessageRef, link string) (teams.Page, error) {
	if err := r.get(ctx, fmt.Sprintf("teams/%s/channels/%s/messages/%s/replies", root.TeamID, root.ChannelID, root.ID)); err != nil {
		return teams.Page{}, err
	}
	return r.Reader.Replies(ctx, root, link)
}

func (r *strictReader) ExportTeam(ctx context.Context, teamID string, since time.Time, link string) (teams.Page, error) {
	if err := r.get(ctx, fmt.Sprintf("teams/%s/channels/getAllMessages", teamID)); err != nil {
		return teams.Page{}, err
	}
	return r.Reader.ExportTeam(ctx, teamID, since, link)
}

func (r *strictReader) Message(ctx context.Context, ref teams.MessageRef) (teams.Message, error) {
	if err := r.get(ctx, fmt.Sprintf("teams/%s/channels/%s/messages/%s", ref.TeamID, ref.ChannelID, ref.ID)); err != nil {
		return teams.Message{}, err
	}
	return r.Reader.Message(ctx, ref)
}

package teams

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/teams/teamstest"
)

// wire speaks to a simulated tenant over HTTPS with the package's own HTTP
// stack. The bridge does it with the Graph SDK (package graph), which takes
// minutes to compile.
type wire struct {
	tenant *teamstest.Tenant
	client *http.Client

	mu      sync.Mutex
	token   string
	expires time.Time
}

func newWire(t *testing.T, opts teamstest.Options) *wire {
	t.Helper()
	tenant, err := teamstest.Start(opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tenant.Close()) })
	ca, err := tenant.CAFile(t.TempDir())
	require.NoError(t, err)
	host := strings.TrimPrefix(tenant.URL(), "https://")
	client, err := NewHTTPClient(HTTPOptions{
		Endpoints: Endpoints{Login: tenant.URL(), Graph: tenant.URL(), Hosts: []string{host}, Scope: tenant.URL() + "/.default"},
		CAFile:    ca,
		Limiter:   NewLimiter(LimiterOptions{Scale: 100}),
	})
	require.NoError(t, err)
	return &wire{tenant: tenant, client: client}
}

func (w *wire) auth(ctx context.Context) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Now().Before(w.expires) {
		return w.token, nil
	}
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {w.tenant.App().ClientID},
		"client_secret": {w.tenant.App().Secret()}, "scope": {w.tenant.URL() + "/.default"},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.tenant.URL()+"/"+w.tenant.TenantID+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var reply struct {
		Token string `json:"access_token"`
	}
	if _, err := w.do(req, &reply); err != nil {
		return "", err
	}
	if reply.Token == "" {
		return "", &Error{Op: "sign-in", Kind: KindUnavailable}
	}
	w.token, w.expires = reply.Token, time.Now().Add(10*time.Minute)
	return w.token, nil
}

func (w *wire) do(req *http.Request, into any) ([]byte, error) {
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, &Error{Op: req.Method, Kind: KindUnavailable, Err: err}
	}
	if into != nil && len(raw) > 0 {
		err = json.Unmarshal(raw, into)
	}
	return raw, err
}

func (w *wire) call(ctx context.Context, method, path string, body, into any) ([]byte, error) {
	token, err := w.auth(ctx)
	if err != nil {
		return nil, err
	}
	var reader io.Reader = http.NoBody
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(raw)
	}
	if !strings.HasPrefix(path, "https://") {
		path = w.tenant.GraphURL() + path
	}
	req, err := http.NewRequestWithContext(ctx, method, path, reader)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Prefer", "include-unknown-enum-members")
	return w.do(req, into)
}

func (w *wire) page(ctx context.Context, ch ChannelRef, path, link string) (Page, error) {
	if link != "" {
		path = link
	}
	raw, err := w.call(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return Page{}, err
	}
	page, err := DecodePage(raw)
	page.FillChannel(ch)
	return page, err
}

func since(t time.Time) string {
	return "$filter=" + url.QueryEscape("lastModifiedDateTime gt "+t.UTC().Format("2006-01-02T15:04:05.000Z"))
}

func channelPath(ch ChannelRef) string {
	return "/teams/" + ch.TeamID + "/channels/" + url.PathEscape(ch.ChannelID) + "/messages"
}

func (w *wire) ExportTeam(ctx context.Context, teamID string, from time.Time, link string) (Page, error) {
	return w.page(ctx, ChannelRef{TeamID: teamID}, "/teams/"+teamID+"/channels/getAllMessages?$top=50&"+since(from), link)
}

func (w *wire) Delta(ctx context.Context, ch ChannelRef, from time.Time, link string) (Page, error) {
	return w.page(ctx, ch, channelPath(ch)+"/delta?$expand=replies&"+since(from), link)
}

func (w *wire) List(ctx context.Context, ch ChannelRef, link string) (Page, error) {
	return w.page(ctx, ch, channelPath(ch)+"?$top=50&$expand=replies", link)
}

func (w *wire) Replies(ctx context.Context, root MessageRef, link string) (Page, error) {
	return w.page(ctx, root.ChannelRef, channelPath(root.ChannelRef)+"/"+root.ID+"/replies?$top=50", link)
}

func (w *wire) Message(ctx context.Context, ref MessageRef) (Message, error) {
	path := channelPath(ref.ChannelRef) + "/" + ref.ID
	if ref.RootID != "" {
		path = channelPath(ref.ChannelRef) + "/" + ref.RootID + "/replies/" + ref.ID
	}
	raw, err := w.call(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return Message{}, err
	}
	m, err := DecodeMessage(raw)
	m.FillChannel(ref.ChannelRef)
	return m, err
}

type wireSub struct {
	ID        string    `json:"id,omitempty"`
	Resource  string    `json:"resource,omitempty"`
	Change    string    `json:"changeType,omitempty"`
	URL       string    `json:"notificationUrl,omitempty"`
	Lifecycle string    `json:"lifecycleNotificationUrl,omitempty"`
	State     string    `json:"clientState,omitempty"`
	Expires   time.Time `json:"expirationDateTime"`
	Data      bool      `json:"includeResourceData,omitempty"`
	Cert      string    `json:"encryptionCertificate,omitempty"`
	CertID    string    `json:"encryptionCertificateId,omitempty"`
}

func (s wireSub) sub() Subscription {
	return Subscription{ID: s.ID, Resource: s.Resource, ChangeType: s.Change, NotificationURL: s.URL, LifecycleURL: s.Lifecycle,
		ClientState: s.State, Expires: s.Expires, IncludeData: s.Data, CertificateID: s.CertID}
}

func (w *wire) CreateSubscription(ctx context.Context, s Subscription) (Subscription, error) {
	var got wireSub
	_, err := w.call(ctx, http.MethodPost, "/subscriptions", wireSub{Resource: s.Resource, Change: s.ChangeType, URL: s.NotificationURL,
		Lifecycle: s.LifecycleURL, State: s.ClientState, Expires: s.Expires.UTC(), Data: s.IncludeData, Cert: s.CertificateBase64, CertID: s.CertificateID}, &got)
	return got.sub(), err
}

func (w *wire) RenewSubscription(ctx context.Context, s Subscription) (Subscription, error) {
	var got wireSub
	_, err := w.call(ctx, http.MethodPatch, "/subscriptions/"+s.ID, wireSub{Expires: s.Expires.UTC(), Cert: s.CertificateBase64, CertID: s.CertificateID}, &got)
	return got.sub(), err
}

func (w *wire) DeleteSubscription(ctx context.Context, id string) error {
	_, err := w.call(ctx, http.MethodDelete, "/subscriptions/"+id, nil, nil)
	return err
}

func (w *wire) ListSubscriptions(ctx context.Context) ([]Subscription, error) {
	var out []Subscription
	for path := "/subscriptions"; path != ""; {
		var page struct {
			Value []wireSub `json:"value"`
			Next  string    `json:"@odata.nextLink"`
		}
		if _, err := w.call(ctx, http.MethodGet, path, nil, &page); err != nil {
			return nil, err
		}
		for _, s := range page.Value {
			out = append(out, s.sub())
		}
		path = page.Next
	}
	return out, nil
}

// office is a small organisation in a simulated tenant.
type office struct {
	*wire
	anna, ben *teamstest.User
	team      *teamstest.Team
	channels  []*teamstest.Channel
}

func newOffice(t *testing.T, opts teamstest.Options) *office {
	t.Helper()
	o := &office{wire: newWire(t, opts)}
	o.anna = o.tenant.AddUser(teamstest.UserSpec{DisplayName: "Anna Berg"})
	o.ben = o.tenant.AddUser(teamstest.UserSpec{DisplayName: "Ben Clark"})
	o.team = o.tenant.AddTeam(teamstest.TeamSpec{DisplayName: "Sales", Owners: []*teamstest.User{o.anna}, Members: []*teamstest.User{o.ben}})
	o.channels = []*teamstest.Channel{
		o.team.General(), o.team.AddChannel(teamstest.ChannelSpec{DisplayName: "Offers", By: o.anna}),
	}
	return o
}

func (o *office) polled() []PolledTeam {
	p := PolledTeam{ID: o.team.ID}
	for _, c := range o.channels {
		p.Channels = append(p.Channels, c.ID)
	}
	return []PolledTeam{p}
}

func (o *office) ref(c *teamstest.Channel) ChannelRef {
	return ChannelRef{TeamID: o.team.ID, ChannelID: c.ID}
}

// talk makes everything happen that can happen to messages.
func (o *office) talk(round int) {
	for i, c := range o.channels {
		post := c.Post(o.anna, teamstest.Msg{HTML: fmt.Sprintf("<p>post %d/%d</p>", round, i)})
		reply := c.Reply(post, o.ben, teamstest.Msg{Text: "reply"})
		c.Reply(post, o.anna, teamstest.Msg{Text: "another"}).Delete()
		reply.Edit(teamstest.Msg{HTML: fmt.Sprintf("<b>edited</b> %d", round)})
		post.React(o.ben, "👍")
		gone := c.Post(o.ben, teamstest.Msg{Text: "oops"})
		gone.Delete()
		if round%2 == 0 {
			gone.Undelete()
		}
	}
}

// missing tells what the sink has not got, in its newest state.
func (o *office) missing(sink *memSink) string {
	check := func(c *teamstest.Channel, want teamstest.MessageState) string {
		got, ok := sink.has(MessageRef{ChannelRef: o.ref(c), RootID: want.RootID, ID: want.ID})
		switch {
		case !ok:
			return "missing " + want.ID
		case got.ETag != want.ETag || len(got.Reactions) != len(want.Reactions) || got.Deleted.IsZero() != want.Deleted.IsZero():
			return "old state of " + want.ID
		}
		return ""
	}
	for _, c := range o.channels {
		for _, root := range c.Messages() {
			for _, m := range append([]teamstest.MessageState{root}, root.Replies...) {
				if wrong := check(c, m); wrong != "" {
					return wrong
				}
			}
		}
	}
	return ""
}

func TestReadersOnTheWire(t *testing.T) {
	t.Parallel()
	for _, name := range []string{SourceExport, SourceDelta, SourceList} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, teamstest.Options{PageSize: 3, UnevenPages: true, ExpandLimit: 2})
			sink, cursors := newMemSink(), newMemCursors()
			p, err := NewPoller(PollerOptions{
				Source: o, Sink: sink, Cursors: cursors, Teams: o.polled, Readers: []string{name}, Changes: sink,
				Start: func(Scope) time.Time { return time.Now().Add(-time.Hour) },
			})
			require.NoError(t, err)
			start(t, p.Run)
			for round := range 6 {
				o.talk(round)
				if round == 2 {
					o.tenant.ForgetPageTokens()
				}
				if round == 4 {
					o.tenant.ExpirePageTokens()
				}
				require.NoError(t, p.CatchUp(t.Context(), nil, "test"))
				require.Empty(t, o.missing(sink))
			}
			require.Empty(t, p.Refusals())
			require.NotZero(t, sink.from(name))

			fresh := newMemSink()
			opts := p.opts
			opts.Sink = fresh
			other, err := NewPoller(opts)
			require.NoError(t, err)
			_, err = other.History(t.Context(), o.ref(o.channels[0]), 1000)
			require.NoError(t, err)
			for _, root := range o.channels[0].Messages() {
				_, ok := fresh.has(MessageRef{ChannelRef: o.ref(o.channels[0]), ID: root.ID})
				require.True(t, ok)
			}
		})
	}
}

func TestRefusalsOnTheWire(t *testing.T) {
	t.Parallel()
	o := newOffice(t, teamstest.Options{RefuseAppDelta: true})
	o.tenant.Faults().Add(teamstest.Fault{Match: teamstest.Match{Op: teamstest.OpExport}, Kind: teamstest.FaultForbidden})
	sink := newMemSink()
	p, err := NewPoller(PollerOptions{Source: o, Sink: sink, Cursors: newMemCursors(), Teams: o.polled,
		Start: func(Scope) time.Time { return time.Now().Add(-time.Hour) }})
	require.NoError(t, err)
	start(t, p.Run)
	o.talk(1)
	require.NoError(t, p.CatchUp(t.Context(), nil, "test"))
	require.Empty(t, o.missing(sink))
	require.Equal(t, map[string]int{SourceList: 2}, p.Status().Scopes)
	require.Len(t, p.Refusals(), 3)
}

func TestNotificationsOnTheWire(t *testing.T) {
	t.Parallel()
	for _, data := range []bool{true, false} {
		t.Run(fmt.Sprint("with data ", data), func(t *testing.T) {
			t.Parallel()
			log, sink, counters := newMemLog(), newMemSink(), newMemCounters()
			var process *Processor
			hook := httptest.NewTLSServer(NewReceiver(ReceiverOptions{
				ClientState: testState, Log: log, Counters: counters, Wake: func() { process.Wake() },
			}))
			t.Cleanup(hook.Close)
			pool := hook.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
			o := newOffice(t, teamstest.Options{Notify: teamstest.NotifyOptions{RootCAs: pool}})
			records := &memRecords{rows: map[string]SubscriptionRecord{}}
			manager := func() *SubscriptionManager {
				return NewSubscriptionManager(SubscriptionManagerOptions{
					API: o, Records: records, NotificationURL: hook.URL + "/notify", LifecycleURL: hook.URL + "/lifecycle",
					ClientState: testState, Certificates: testCerts, Counters: counters,
					Wanted: func(context.Context) ([]WantedSubscription, error) {
						return []WantedSubscription{TenantMessages(data), TeamMembers(o.team.ID)}, nil
					},
				})
			}
			subs := manager()
			process = NewProcessor(ProcessorOptions{
				Log: log, Sink: sink, Changes: sink, Messages: o, Certificates: testCerts, TenantID: o.tenant.TenantID,
				Tokens: NewTokenVerifier(TokenVerifierOptions{
					LoginURL: o.tenant.URL(), ClientID: o.tenant.App().ClientID, TenantIDs: []string{o.tenant.TenantID}, Client: o.client,
				}),
				Lifecycle: subs, Counters: counters,
			})
			start(t, process.Run)
			require.NoError(t, subs.Reconcile(t.Context()))
			require.True(t, subs.Healthy(), "%v", subs.State())
			require.Len(t, o.tenant.Subscriptions(), 2)
			o.tenant.ResetRequests()

			o.tenant.Faults().Add(teamstest.Fault{Kind: teamstest.FaultNotifyTwice, Chance: 0.3})
			sinkHas := func() bool { return sink.count() > 0 }
			for round := range 4 {
				o.talk(round)
			}
			eventually(t, "something came", sinkHas)
			o.team.AddMember(o.anna, o.tenant.AddUser(teamstest.UserSpec{DisplayName: "Carla Diaz"}))
			require.NoError(t, o.tenant.NotificationsSettled(t.Context()))
			eventually(t, "all came through", func() bool { return log.pending() == 0 && missingNew(o, sink) == "" })
			require.Empty(t, log.reasons())
			require.Positive(t, sink.hinted(o.team.ID+" "+HintMember))
			gets := o.tenant.CountRequests(func(r teamstest.Request) bool {
				return r.Op == teamstest.OpMessage || r.Op == teamstest.OpReply
			})
			if data {
				require.Zero(t, gets, "a message that comes along costs no request")
			} else {
				require.Positive(t, gets)
			}

			// A restart changes nothing; a removed subscription comes back.
			again := manager()
			require.NoError(t, again.Reconcile(t.Context()))
			require.Equal(t, 2, counters.get(CountSubscription, "created"))
			require.Zero(t, counters.get(CountSubscription, "adopted"))
			removed := o.tenant.Subscriptions()[0].ID
			require.NoError(t, o.tenant.RemoveSubscription(removed, true))
			eventually(t, "told", func() bool { return counters.get(CountSubscription, GapRemoved) == 1 })
			require.NoError(t, subs.Reconcile(t.Context()))
			require.Len(t, o.tenant.Subscriptions(), 2)
			require.True(t, subs.Healthy())
			for _, v := range o.tenant.Violations() {
				// The limits are not kept here, the limiter being scaled up.
				require.Equal(t, teamstest.ViolationLimit, v.Kind)
			}
		})
	}
}

// missingNew is missing for what was said since the subscriptions exist:
// everything but the tenant's own system messages from before.
func missingNew(o *office, sink *memSink) string {
	for _, c := range o.channels {
		for _, root := range c.Messages() {
			for _, m := range append([]teamstest.MessageState{root}, root.Replies...) {
				if m.Event != "" {
					continue
				}
				got, ok := sink.has(MessageRef{ChannelRef: o.ref(c), RootID: m.RootID, ID: m.ID})
				if !ok || got.ETag != m.ETag {
					return m.ID
				}
			}
		}
	}
	return ""
}

package teams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const testURL = "https://bridge.example/notify"

// fakeSubscriptions is Graph's subscription list.
type fakeSubscriptions struct {
	mu    sync.Mutex
	next  int
	list  map[string]Subscription
	calls []string
	fail  map[string]error // by call and resource or id, or call alone
	// hide leaves client states out of the list, grant shortens lives.
	hide  bool
	grant time.Duration
}

func newFakeSubscriptions() *fakeSubscriptions {
	return &fakeSubscriptions{list: map[string]Subscription{}, fail: map[string]error{}}
}

func (f *fakeSubscriptions) call(name, what string) error {
	f.calls = append(f.calls, name+" "+what)
	if err := f.fail[name+" "+what]; err != nil {
		return err
	}
	return f.fail[name]
}

func (f *fakeSubscriptions) CreateSubscription(_ context.Context, s Subscription) (Subscription, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.call("create", s.Resource); err != nil {
		return Subscription{}, err
	}
	if s.Expires.After(time.Now().Add(maxSubscriptionLife)) || s.LifecycleURL == "" || strings.Contains(s.Resource, "%") {
		return Subscription{}, &Error{Kind: KindBadRequest}
	}
	for _, other := range f.list {
		if other.Resource == s.Resource {
			return Subscription{}, &Error{Kind: KindPermission, Message: "quota exceeded"}
		}
	}
	f.next++
	s.ID = fmt.Sprint("sub", f.next)
	f.shorten(&s)
	f.list[s.ID] = s
	return s, nil
}

func (f *fakeSubscriptions) shorten(s *Subscription) {
	if limit := time.Now().Add(f.grant); f.grant > 0 && s.Expires.After(limit) {
		s.Expires = limit
	}
}

func (f *fakeSubscriptions) RenewSubscription(_ context.Context, s Subscription) (Subscription, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.call("renew", s.ID); err != nil {
		return Subscription{}, err
	}
	have, ok := f.list[s.ID]
	if !ok {
		return Subscription{}, &Error{Kind: KindNotFound}
	}
	have.Expires = s.Expires
	f.shorten(&have)
	if s.CertificateID != "" {
		have.CertificateID, have.CertificateBase64 = s.CertificateID, s.CertificateBase64
	}
	f.list[s.ID] = have
	return have, nil
}

func (f *fakeSubscriptions) DeleteSubscription(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.call("delete", id); err != nil {
		return err
	}
	if _, ok := f.list[id]; !ok {
		return &Error{Kind: KindNotFound}
	}
	delete(f.list, id)
	return nil
}

func (f *fakeSubscriptions) ListSubscriptions(context.Context) ([]Subscription, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.call("list", ""); err != nil {
		return nil, err
	}
	var out []Subscription
	for id, s := range f.list {
		if !s.Expires.After(time.Now()) {
			delete(f.list, id)
			continue
		}
		if f.hide {
			s.ClientState = ""
		}
		s.CertificateBase64 = ""
		s.Resource = strings.TrimPrefix(s.Resource, "/")
		out = append(out, s)
	}
	return out, nil
}

func (f *fakeSubscriptions) put(s Subscription) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list[s.ID] = s
}

func (f *fakeSubscriptions) drop(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.list, id)
}

func (f *fakeSubscriptions) setFail(call string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail[call] = err
}

// changes returns the calls since last time that change something.
func (f *fakeSubscriptions) changes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := slices.DeleteFunc(slices.Clone(f.calls), func(c string) bool { return c == "list " })
	f.calls = nil
	slices.Sort(out)
	return out
}

type memRecords struct {
	mu   sync.Mutex
	rows map[string]SubscriptionRecord
}

func (r *memRecords) LoadSubscriptions(context.Context) ([]SubscriptionRecord, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []SubscriptionRecord
	for _, row := range r.rows {
		out = append(out, row)
	}
	return out, nil
}

func (r *memRecords) SaveSubscription(_ context.Context, row SubscriptionRecord) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows[row.ID] = row
	return nil
}

func (r *memRecords) ForgetSubscription(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.rows, id)
	return nil
}

// subscriptionBundle is a manager that can be restarted.
type subscriptionBundle struct {
	*SubscriptionManager
	graph   *fakeSubscriptions
	records *memRecords
	wanted  []WantedSubscription
	certs   CertSet
	state   string
	mu      sync.Mutex
	gaps    []string
}

func newSubscriptionBundle(wanted ...WantedSubscription) *subscriptionBundle {
	b := &subscriptionBundle{
		graph: newFakeSubscriptions(), records: &memRecords{rows: map[string]SubscriptionRecord{}},
		wanted: wanted, certs: testCerts(), state: testState,
	}
	b.restart()
	return b
}

func (b *subscriptionBundle) restart() {
	b.SubscriptionManager = NewSubscriptionManager(SubscriptionManagerOptions{
		API: b.graph, Records: b.records, NotificationURL: testURL, ClientState: b.state,
		Wanted:       func(context.Context) ([]WantedSubscription, error) { return b.wanted, nil },
		Certificates: func() CertSet { return b.certs },
		OnGap: func(resource, reason string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.gaps = append(b.gaps, strings.TrimPrefix(resource, "/")+" "+reason)
		},
	})
}

func (b *subscriptionBundle) takeGaps() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.gaps
	b.gaps = nil
	slices.Sort(out)
	return out
}

func TestSubscriptionsCreateAndAdopt(t *testing.T) {
	t.Parallel()
	for _, hide := range []bool{false, true} {
		t.Run(fmt.Sprint("client state hidden ", hide), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newSubscriptionBundle(TenantMessages(true), TenantChannels(), TeamMembers("t"))
				b.graph.hide = hide
				require.NoError(t, b.Reconcile(t.Context()))
				require.Equal(t, []string{"create /teams/getAllChannels", "create /teams/getAllMessages", "create /teams/t/members"}, b.graph.changes())
				require.Len(t, b.takeGaps(), 3, "what was said before was not notified")
				require.True(t, b.Healthy())
				for _, s := range b.graph.list {
					require.Equal(t, testURL, s.LifecycleURL)
					require.Equal(t, AllChanges, s.ChangeType)
					require.Equal(t, s.Resource == "/teams/getAllMessages", s.IncludeData && s.CertificateID == b.certs.Current.ID)
				}
				// Neither another round nor a restart changes anything.
				require.NoError(t, b.Reconcile(t.Context()))
				b.restart()
				require.NoError(t, b.Reconcile(t.Context()))
				require.Empty(t, b.graph.changes())
				require.Empty(t, b.takeGaps())
				require.True(t, b.Healthy())
				for _, s := range b.State() {
					require.Equal(t, SubscriptionActive, s.Status)
				}
				for _, r := range b.records.rows {
					require.NotContains(t, r.ClientState, testState)
				}
				// What is no longer wanted goes; what is somebody else's stays.
				b.graph.put(Subscription{ID: "other", Resource: "/teams/x/members", NotificationURL: "https://other.example", Expires: time.Now().Add(time.Hour)})
				b.wanted = b.wanted[:1]
				require.NoError(t, b.Reconcile(t.Context()))
				require.Len(t, b.graph.changes(), 2)
				require.Len(t, b.graph.list, 2)
				require.Contains(t, b.graph.list, "other")
				require.Len(t, b.records.rows, 1)
				require.Empty(t, b.takeGaps())
			})
		})
	}
}

func TestSubscriptionsThatCannotBeKept(t *testing.T) {
	t.Parallel()
	cert := testCerts()
	good := func() Subscription {
		return Subscription{
			ID: "old", Resource: "/teams/getAllMessages", ChangeType: "deleted,created,updated", NotificationURL: testURL, LifecycleURL: testURL,
			ClientState: testState, Expires: time.Now().Add(70 * time.Hour), IncludeData: true, CertificateID: cert.Current.ID,
		}
	}
	recreated := []string{"create /teams/getAllMessages", "delete old"}
	for name, tc := range map[string]struct {
		change func(*Subscription)
		calls  []string
		gaps   []string
	}{
		"good":               {func(*Subscription) {}, nil, nil},
		"foreign state":      {func(s *Subscription) { s.ClientState = "x" }, recreated, []string{"teams/getAllMessages created"}},
		"no lifecycle URL":   {func(s *Subscription) { s.LifecycleURL = "" }, recreated, []string{"teams/getAllMessages created"}},
		"other changes":      {func(s *Subscription) { s.ChangeType = "created" }, recreated, []string{"teams/getAllMessages created"}},
		"without data":       {func(s *Subscription) { s.IncludeData = false }, recreated, []string{"teams/getAllMessages created"}},
		"previous key":       {func(s *Subscription) { s.CertificateID = cert.Previous.ID }, []string{"renew old"}, nil},
		"lost key":           {func(s *Subscription) { s.CertificateID = "lost" }, []string{"renew old"}, []string{"teams/getAllMessages " + GapKey}},
		"little time left":   {func(s *Subscription) { s.Expires = time.Now().Add(20 * time.Hour) }, []string{"renew old"}, nil},
		"escaped, so silent": {func(s *Subscription) { s.Resource = "/teams%2FgetAllMessages" }, recreated, []string{"teams/getAllMessages created"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newSubscriptionBundle(TenantMessages(true))
			b.SubscriptionManager.opts.Records = nil
			s := good()
			tc.change(&s)
			b.graph.put(s)
			require.NoError(t, b.Reconcile(t.Context()))
			require.ElementsMatch(t, tc.calls, b.graph.changes())
			require.Equal(t, tc.gaps, b.takeGaps())
		})
	}
	// Of two the one that lives longer stays.
	b := newSubscriptionBundle(TenantMessages(true))
	one, two := good(), good()
	two.ID, two.Expires = "newer", two.Expires.Add(time.Hour)
	b.graph.put(one)
	b.graph.put(two)
	require.NoError(t, b.Reconcile(t.Context()))
	require.Equal(t, []string{"delete old"}, b.graph.changes())
}

func TestSubscriptionWithSecretNobodyKnows(t *testing.T) {
	t.Parallel()
	b := newSubscriptionBundle(TenantChannels())
	b.graph.hide = true
	b.graph.put(Subscription{ID: "old", Resource: "/teams/getAllChannels", NotificationURL: testURL, LifecycleURL: testURL,
		Expires: time.Now().Add(70 * time.Hour), ClientState: "of a lost database"})
	require.NoError(t, b.Reconcile(t.Context()))
	require.Equal(t, []string{"create /teams/getAllChannels", "delete old"}, b.graph.changes())
	// The client state itself was replaced.
	b.state = "new"
	b.restart()
	require.NoError(t, b.Reconcile(t.Context()))
	require.Equal(t, []string{"create /teams/getAllChannels", "delete sub1"}, b.graph.changes())
}

func TestSubscriptionsLiveOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newSubscriptionBundle(TenantMessages(true))
		start(t, b.Run)
		elapse(10 * 24 * time.Hour)
		synctest.Wait()
		calls := b.graph.changes()
		require.Equal(t, "create /teams/getAllMessages", calls[0])
		require.InDelta(t, 5, len(calls)-1, 1, "renewed each two days")
		require.Equal(t, []string{"teams/getAllMessages created"}, b.takeGaps())

		// Somewhere only an hour is granted.
		b.graph.mu.Lock()
		b.graph.grant = time.Hour
		b.graph.mu.Unlock()
		elapse(2 * 24 * time.Hour)
		b.graph.changes()
		elapse(24 * time.Hour)
		synctest.Wait()
		require.InDelta(t, 36, len(b.graph.changes()), 3, "each forty minutes, and not each minute")

		// It disappears.
		b.graph.drop("sub1")
		elapse(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, []string{"teams/getAllMessages created", "teams/getAllMessages lost"}, b.takeGaps())
		require.True(t, b.Healthy())

		// Graph away for a week: it expires, and is made again.
		b.graph.setFail("list", &Error{Kind: KindUnavailable})
		elapse(7 * 24 * time.Hour)
		synctest.Wait()
		require.False(t, b.Healthy())
		b.graph.changes()
		b.graph.setFail("list", nil)
		elapse(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, []string{"create /teams/getAllMessages"}, b.graph.changes())
		require.Equal(t, []string{"teams/getAllMessages created", "teams/getAllMessages lost"}, b.takeGaps())
	})
}

func TestSubscriptionRefusals(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err    error
		status SubscriptionStatus
		tries  int // in an hour
	}{
		"quota":       {&Error{Kind: KindPermission, Status: 403, Message: "Subscription quota exceeded"}, SubscriptionQuota, 8},
		"permission":  {&Error{Kind: KindPermission, Status: 403, Message: "Missing role"}, SubscriptionForbidden, 8},
		"unreachable": {&Error{Kind: KindBadRequest, Code: "ValidationError", Message: "Subscription validation request failed."}, SubscriptionUnreachable, 8},
		"refused":     {&Error{Kind: KindBadRequest, Message: "no"}, SubscriptionRefused, 8},
		"unavailable": {&Error{Kind: KindUnavailable}, SubscriptionUnavailable, 62},
		"throttled":   {&Error{Kind: KindThrottled, RetryAfter: 20 * time.Minute}, SubscriptionUnavailable, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newSubscriptionBundle(TenantChannels(), TeamMembers("t"))
				b.graph.setFail("create /teams/getAllChannels", tc.err)
				start(t, b.Run)
				elapse(time.Hour)
				synctest.Wait()
				states := b.State()
				require.Equal(t, "/teams/getAllChannels", states[0].Resource)
				require.Equal(t, tc.status, states[0].Status)
				require.NotEmpty(t, states[0].LastError)
				require.False(t, b.Healthy())
				tries := 0
				for _, c := range b.graph.changes() {
					if c == "create /teams/getAllChannels" {
						tries++
					}
				}
				require.LessOrEqual(t, tries, tc.tries)
				require.Greater(t, tries, 1)
				b.graph.setFail("create /teams/getAllChannels", nil)
				elapse(subscriptionLastRetry + 2*time.Minute)
				synctest.Wait()
				require.True(t, b.Healthy())
			})
		})
	}
	require.Equal(t, SubscriptionRefused, refusalStatus(errNoCertificate))
	b := newSubscriptionBundle(TenantMessages(true))
	b.certs = CertSet{}
	require.ErrorIs(t, b.Reconcile(t.Context()), errNoCertificate)
}

func TestSubscriptionLifecycle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newSubscriptionBundle(TenantMessages(true))
		start(t, b.Run)
		synctest.Wait()
		b.graph.changes()
		b.takeGaps()
		reauthorize := LifecycleEvent{Type: "reauthorizationRequired", SubscriptionID: "sub1"}
		require.NoError(t, b.HandleLifecycle(t.Context(), reauthorize))
		require.Empty(t, b.graph.changes(), "just made")
		elapse(11 * time.Minute)
		for range 5 {
			require.NoError(t, b.HandleLifecycle(t.Context(), reauthorize))
		}
		require.Equal(t, []string{"renew sub1"}, b.graph.changes())
		require.Greater(t, time.Until(b.State()[0].Expires), 71*time.Hour)

		elapse(11 * time.Minute)
		b.graph.setFail("renew", &Error{Kind: KindUnavailable})
		require.Error(t, b.HandleLifecycle(t.Context(), reauthorize), "the notification stays and is tried again")
		b.graph.setFail("renew", &Error{Kind: KindPermission})
		require.NoError(t, b.HandleLifecycle(t.Context(), reauthorize))
		require.NotEmpty(t, b.State()[0].LastError)
		b.graph.setFail("renew", nil)

		// Renewing what is gone makes a new one.
		b.graph.drop("sub1")
		require.NoError(t, b.HandleLifecycle(t.Context(), reauthorize))
		synctest.Wait()
		require.Equal(t, []string{"teams/getAllMessages created", "teams/getAllMessages lost"}, b.takeGaps())
		require.Equal(t, "sub2", b.State()[0].ID)

		b.graph.drop("sub2")
		require.NoError(t, b.HandleLifecycle(t.Context(), LifecycleEvent{Type: "subscriptionRemoved", SubscriptionID: "sub2"}))
		synctest.Wait()
		require.Equal(t, []string{"teams/getAllMessages created", "teams/getAllMessages removed"}, b.takeGaps())
		require.Equal(t, "sub3", b.State()[0].ID)

		require.NoError(t, b.HandleLifecycle(t.Context(), LifecycleEvent{Type: "missed", SubscriptionID: "sub3"}))
		require.NoError(t, b.HandleLifecycle(t.Context(), LifecycleEvent{Type: "subscriptionRemoved", SubscriptionID: "who"}))
		require.NoError(t, b.HandleLifecycle(t.Context(), LifecycleEvent{Type: "reauthorizationRequired", SubscriptionID: "who"}))
		require.Equal(t, []string{"teams/getAllMessages missed"}, b.takeGaps())
	})
}

func TestSubscriptionsLeftAloneWhenInDoubt(t *testing.T) {
	t.Parallel()
	b := newSubscriptionBundle(TenantMessages(true))
	require.NoError(t, b.Reconcile(t.Context()))
	b.graph.changes()
	b.SubscriptionManager.opts.Wanted = func(context.Context) ([]WantedSubscription, error) { return nil, errors.New("teams unknown yet") }
	require.Error(t, b.Reconcile(t.Context()))
	require.Empty(t, b.graph.changes(), "not knowing what is wanted is not wanting nothing")
}

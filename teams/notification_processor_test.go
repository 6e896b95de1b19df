package teams

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

var testChannel = ChannelRef{TeamID: "t", ChannelID: "19:c@thread.tacv2"}

// fakeMessages answers MessageGetter.
type fakeMessages struct {
	mu    sync.Mutex
	msgs  map[MessageRef]Message
	errs  map[MessageRef]error
	asked map[MessageRef]int
}

func newFakeMessages() *fakeMessages {
	return &fakeMessages{msgs: map[MessageRef]Message{}, errs: map[MessageRef]error{}, asked: map[MessageRef]int{}}
}

func (f *fakeMessages) Message(_ context.Context, ref MessageRef) (Message, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[ref]++
	if err := f.errs[ref]; err != nil {
		return Message{}, err
	}
	if m, ok := f.msgs[ref]; ok {
		return m, nil
	}
	return Message{}, &Error{Op: "GET message", Kind: KindNotFound, Status: 404}
}

func (f *fakeMessages) set(m Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.msgs[m.Ref()] = m
}

func (f *fakeMessages) setErr(ref MessageRef, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs[ref] = err
}

func (f *fakeMessages) count(ref MessageRef) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[ref]
}

// processorBundle is a processor with everything around it faked.
type processorBundle struct {
	*Processor
	log       *memLog
	sink      *memSink
	messages  *fakeMessages
	counters  *memCounters
	lifecycle *fakeLifecycle
	mu        sync.Mutex
	left      []string
}

type fakeLifecycle struct {
	mu   sync.Mutex
	got  []LifecycleEvent
	fail error
}

func (f *fakeLifecycle) HandleLifecycle(_ context.Context, e LifecycleEvent) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = append(f.got, e)
	return f.fail
}

func (f *fakeLifecycle) setFail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

func (f *fakeLifecycle) events() []LifecycleEvent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]LifecycleEvent(nil), f.got...)
}

func newProcessorBundle(tokens *TokenVerifier) *processorBundle {
	b := &processorBundle{
		log: newMemLog(), sink: newMemSink(), messages: newFakeMessages(),
		counters: newMemCounters(), lifecycle: &fakeLifecycle{},
	}
	b.Processor = NewProcessor(ProcessorOptions{
		Log: b.log, Sink: b.sink, Changes: b.sink, Messages: b.messages, Tokens: tokens,
		Certificates: testCerts, TenantID: testTenant, Lifecycle: b.lifecycle, Counters: b.counters,
		LeaveToPoller: func(ref MessageRef, reason string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.left = append(b.left, ref.ID+" "+reason)
		},
	})
	return b
}

func (b *processorBundle) leftToPoller() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.left...)
}

func (b *processorBundle) append(t testing.TB, body notificationBody) {
	t.Helper()
	raw, err := body.encode()
	require.NoError(t, err)
	require.NoError(t, b.log.AppendNotification(context.Background(), raw, time.Now()))
	b.Wake()
}

func testItem(change, id string) notificationItem {
	return notificationItem{
		SubscriptionID: "s", ChangeType: change, TenantID: testTenant,
		Resource: fmt.Sprintf("teams('%s')/channels('%s')/messages('%s')", testChannel.TeamID, testChannel.ChannelID, id),
	}
}

func richItem(t testing.TB, change, id, extra string) notificationItem {
	item := testItem(change, id)
	item.Encrypted = seal(t, testCerts().Current, `{"id":"`+id+`","etag":"`+id+`","body":{"contentType":"html","content":"x"}`+extra+`}`)
	return item
}

func root(id string) MessageRef { return MessageRef{ChannelRef: testChannel, ID: id} }

func goodToken(t testing.TB) []string {
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, goodClaims(now))
	token.Header["kid"] = "k1"
	out, err := token.SignedString(testKeys()[0])
	require.NoError(t, err)
	return []string{out}
}

func TestProcessorRich(t *testing.T) {
	t.Parallel()
	service := newSignInService(t)
	b := newProcessorBundle(service.verifier(time.Now))
	start(t, b.Run)
	reply := richItem(t, "created", "1002", "")
	reply.Resource += "/replies('1003')"
	reply.Encrypted = seal(t, testCerts().Previous, `{"id":"1003","replyToId":"1002","etag":"1003"}`)
	b.append(t, notificationBody{Value: []notificationItem{
		richItem(t, "created", "1001", ""), richItem(t, "updated", "1002", ""), reply,
	}, ValidationTokens: goodToken(t)})
	eventually(t, "processed", func() bool { return b.log.pending() == 0 })
	require.Equal(t, 3, b.sink.count())
	m, ok := b.sink.has(root("1001"))
	require.True(t, ok, "the channel comes from the resource")
	require.Equal(t, "x", m.Body)
	_, ok = b.sink.has(MessageRef{ChannelRef: testChannel, RootID: "1002", ID: "1003"})
	require.True(t, ok)
	require.Empty(t, b.messages.asked, "no Graph request for a message that came along")
	require.Equal(t, 3, b.sink.from(SourceWebhook))
}

func TestProcessorQuarantine(t *testing.T) {
	t.Parallel()
	service := newSignInService(t)
	bad := richItem(t, "created", "1", "")
	bad.Encrypted.DataSignature = "AAAA"
	unknown := richItem(t, "created", "2", "")
	unknown.Encrypted.CertificateID = "gone"
	notMessage := testItem("created", "3")
	notMessage.Encrypted = seal(t, testCerts().Current, `[]`)
	other := testItem("created", "4")
	other.TenantID = "somebody else"
	strange := testItem("created", "5")
	strange.Resource = "chats('x')/messages('5')"
	collection := testItem("created", "6")
	collection.Resource = "teams('t')/channels('c')/messages"
	for name, tc := range map[string]struct {
		body   notificationBody
		reason string
	}{
		"no token":            {notificationBody{Value: []notificationItem{richItem(t, "created", "7", "")}}, TokenMissing},
		"forged token":        {notificationBody{Value: []notificationItem{richItem(t, "created", "7", "")}, ValidationTokens: []string{"x.y.z"}}, TokenMalformed},
		"bad signature":       {notificationBody{Value: []notificationItem{bad}, ValidationTokens: goodToken(t)}, "bad_data_signature"},
		"unknown certificate": {notificationBody{Value: []notificationItem{unknown}, ValidationTokens: goodToken(t)}, "unknown_certificate"},
		"not a message":       {notificationBody{Value: []notificationItem{notMessage}, ValidationTokens: goodToken(t)}, reasonMessage},
		"foreign tenant":      {notificationBody{Value: []notificationItem{other}}, reasonTenant},
		"strange resource":    {notificationBody{Value: []notificationItem{strange}}, reasonResource},
		"collection":          {notificationBody{Value: []notificationItem{collection}}, reasonResource},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newProcessorBundle(service.verifier(time.Now))
			start(t, b.Run)
			b.append(t, tc.body)
			// A good one in the same body, unless the whole of it is forged, and one behind it.
			b.append(t, notificationBody{Value: []notificationItem{richItem(t, "created", "9", "")}, ValidationTokens: goodToken(t)})
			eventually(t, "nothing pending", func() bool { return b.log.pending() == 0 })
			require.Equal(t, []string{tc.reason}, b.log.reasons())
			require.Equal(t, 1, b.sink.count(), "only the good one")
			require.Equal(t, 1, b.counters.get(CountQuarantined, tc.reason))
		})
	}
	b := newProcessorBundle(nil)
	start(t, b.Run)
	require.NoError(t, b.log.AppendNotification(t.Context(), []byte("junk"), time.Now()))
	b.append(t, notificationBody{Value: []notificationItem{richItem(t, "created", "1", "")}, ValidationTokens: goodToken(t)})
	eventually(t, "nothing pending", func() bool { return b.log.pending() == 0 })
	require.Equal(t, []string{reasonBody, reasonUnexpected}, b.log.reasons())
}

func TestProcessorGoodItemsOfABadBody(t *testing.T) {
	t.Parallel()
	b := newProcessorBundle(newSignInService(t).verifier(time.Now))
	start(t, b.Run)
	bad := richItem(t, "created", "1", "")
	bad.Encrypted.Data = "AAAA"
	b.append(t, notificationBody{Value: []notificationItem{bad, richItem(t, "created", "2", "")}, ValidationTokens: goodToken(t)})
	eventually(t, "nothing pending", func() bool { return b.log.pending() == 0 })
	_, ok := b.sink.has(root("2"))
	require.True(t, ok)
	require.Equal(t, []string{"bad_data_signature"}, b.log.reasons())
	require.Equal(t, []string{"1 bad_data_signature"}, b.leftToPoller(), "it can still be read")
}

func TestProcessorWaitsForKeys(t *testing.T) {
	t.Parallel()
	service := newSignInService(t)
	service.down.Store(true)
	offset := time.Duration(0)
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(offset) }
	b := newProcessorBundle(service.verifier(clock))
	b.messages.set(Message{ID: "2", Channel: testChannel})
	start(t, b.Run)
	b.append(t, notificationBody{Value: []notificationItem{richItem(t, "created", "1", "")}, ValidationTokens: goodToken(t)})
	b.append(t, notificationBody{Value: []notificationItem{testItem("created", "2")}})
	eventually(t, "the other one is not held up", func() bool { _, ok := b.sink.has(root("2")); return ok })
	require.Equal(t, 1, b.log.pending())
	require.Empty(t, b.log.reasons(), "nobody is condemned because the keys are away")
	eventually(t, "status", func() bool { return b.Status().Waiting == 1 })
	service.down.Store(false)
	mu.Lock()
	offset = 2 * time.Minute
	mu.Unlock()
	again := newProcessorBundle(service.verifier(clock))
	again.log = b.log
	again.opts.Log = b.log
	start(t, again.Run)
	eventually(t, "processed after a restart", func() bool { return b.log.pending() == 0 })
	_, ok := again.sink.has(root("1"))
	require.True(t, ok)
}

func TestProcessorBasic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newProcessorBundle(nil)
		start(t, b.Run)
		// Several notifications of one message are one request.
		b.messages.set(Message{ID: "1", Channel: testChannel, ETag: 5})
		b.append(t, notificationBody{Value: []notificationItem{testItem("updated", "1"), testItem("updated", "1")}})
		synctest.Wait()
		require.Equal(t, 1, b.messages.count(root("1")))

		// Announced and not there yet.
		b.append(t, notificationBody{Value: []notificationItem{testItem("created", "2")}})
		synctest.Wait()
		require.Equal(t, 1, b.log.pending())
		b.messages.set(Message{ID: "2", Channel: testChannel})
		elapse(5 * time.Second)
		synctest.Wait()
		_, ok := b.sink.has(root("2"))
		require.True(t, ok)

		// Announced and never there: left to the poller after a while.
		b.append(t, notificationBody{Value: []notificationItem{testItem("created", "3")}})
		elapse(5 * time.Minute)
		synctest.Wait()
		require.Zero(t, b.log.pending())
		require.Equal(t, []string{"3 not found"}, b.leftToPoller())
		require.Equal(t, processorNotFoundTries, b.messages.count(root("3")))

		// Announced as deleted and not there: that is what deleted means.
		b.append(t, notificationBody{Value: []notificationItem{testItem("deleted", "1700000000000")}})
		elapse(5 * time.Minute)
		synctest.Wait()
		m, ok := b.sink.has(root("1700000000000"))
		require.True(t, ok)
		require.False(t, m.Deleted.IsZero())
		require.EqualValues(t, 1700000000, m.Created.Unix())

		// A permission that is missing does not come back by asking.
		b.messages.setErr(root("4"), &Error{Kind: KindPermission})
		b.append(t, notificationBody{Value: []notificationItem{testItem("created", "4")}})
		synctest.Wait()
		require.Zero(t, b.log.pending())
		require.Contains(t, b.leftToPoller(), "4 permission missing")

		// Graph away: waits as long as it takes.
		b.messages.setErr(root("5"), &Error{Kind: KindUnavailable})
		b.append(t, notificationBody{Value: []notificationItem{testItem("created", "5")}})
		b.append(t, notificationBody{Value: []notificationItem{testItem("updated", "1")}})
		elapse(12 * time.Hour)
		synctest.Wait()
		require.Equal(t, 1, b.log.pending(), "the one behind it went through")
		require.Less(t, b.messages.count(root("5")), 200, "with growing pauses")
		b.messages.setErr(root("5"), nil)
		b.messages.set(Message{ID: "5", Channel: testChannel})
		elapse(processorLastRetry + time.Second)
		synctest.Wait()
		_, ok = b.sink.has(root("5"))
		require.True(t, ok)
		require.Zero(t, b.Status().Waiting)
	})
}

func TestProcessorSinkTrouble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newProcessorBundle(nil)
		for _, id := range []string{"1", "2", "3"} {
			b.messages.set(Message{ID: id, Channel: testChannel})
			b.append(t, notificationBody{Value: []notificationItem{testItem("created", id)}})
		}
		b.sink.refuse = func(msgs []Message) error {
			for _, m := range msgs {
				if m.ID == "2" {
					return errors.New("poison")
				}
			}
			return nil
		}
		start(t, b.Run)
		synctest.Wait()
		require.Equal(t, 2, b.sink.count(), "one body does not hold up the rest")
		require.Equal(t, 1, b.log.pending())
		b.sink.setRefuse(nil)
		elapse(time.Minute)
		synctest.Wait()
		require.Equal(t, 3, b.sink.count())
		require.Zero(t, b.log.pending())
	})
}

// brokenMessages panics on one message, when whoever else asks for it waits.
type brokenMessages struct {
	*fakeMessages
	broken MessageRef
}

func (s brokenMessages) Message(ctx context.Context, ref MessageRef) (Message, error) {
	if ref == s.broken {
		<-time.After(time.Second)
		panic("a secret text")
	}
	return s.fakeMessages.Message(ctx, ref)
}

// Proves T1.
func TestProcessorSurvivesAPanic(t *testing.T) {
	t.Parallel()
	t.Run("asking Graph", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := newProcessorBundle(nil)
			var out bytes.Buffer
			b.opts.Logger = zerolog.New(zerolog.SyncWriter(&out)) // bodies go their own ways
			b.opts.Messages = brokenMessages{b.messages, root("2")}
			for _, id := range []string{"1", "3", "4"} {
				b.messages.set(Message{ID: id, Channel: testChannel})
			}
			b.append(t, notificationBody{Value: []notificationItem{testItem("created", "1"), testItem("created", "2"), testItem("created", "3")}})
			b.append(t, notificationBody{Value: []notificationItem{testItem("created", "2")}})
			b.append(t, notificationBody{Value: []notificationItem{testItem("created", "4")}})
			start(t, b.Run)
			elapse(time.Hour)
			synctest.Wait()
			require.Equal(t, 3, b.sink.count(), "the others go on, those of the same body too")
			require.Zero(t, b.log.pending())
			require.Equal(t, []string{"panic", "panic"}, b.log.reasons())
			require.Equal(t, 2, b.counters.get(CountQuarantined, "panic"))
			require.Equal(t, []string{"2 panic", "2 panic"}, b.leftToPoller())
			require.Contains(t, out.String(), "notification_processor_test.go")
			require.NotContains(t, out.String(), "secret")
		})
	})
	t.Run("opening resource data", func(t *testing.T) {
		t.Parallel()
		service := newSignInService(t)
		b := newProcessorBundle(service.verifier(time.Now))
		b.opts.Certificates = func() CertSet { panic("a certificate") }
		b.messages.set(Message{ID: "2", Channel: testChannel})
		b.append(t, notificationBody{ValidationTokens: goodToken(t), Value: []notificationItem{richItem(t, "created", "1", "")}})
		b.append(t, notificationBody{Value: []notificationItem{testItem("created", "2")}})
		start(t, b.Run)
		eventually(t, "both are through", func() bool { return b.log.pending() == 0 })
		require.Equal(t, 1, b.sink.count())
		require.Equal(t, []string{"panic"}, b.log.reasons())
		require.Equal(t, []string{"1 panic"}, b.leftToPoller())
	})
}

func TestProcessorManyThatWaitDoNotHideTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newProcessorBundle(nil)
		for i := range 3 * processorBatch {
			id := fmt.Sprint(1000 + i)
			b.messages.setErr(root(id), &Error{Kind: KindUnavailable})
			b.append(t, notificationBody{Value: []notificationItem{testItem("created", id)}})
		}
		b.messages.set(Message{ID: "1", Channel: testChannel})
		b.append(t, notificationBody{Value: []notificationItem{testItem("created", "1")}})
		start(t, b.Run)
		synctest.Wait()
		require.Equal(t, 1, b.sink.count())
	})
}

// slowMessages answers for one channel only after a minute.
type slowMessages struct {
	*fakeMessages
	slow ChannelRef
}

func (s slowMessages) Message(ctx context.Context, ref MessageRef) (Message, error) {
	if ref.ChannelRef == s.slow {
		select {
		case <-time.After(20 * time.Second):
		case <-ctx.Done():
			return Message{}, &Error{Kind: KindUnavailable, Err: ctx.Err()}
		}
	}
	return s.fakeMessages.Message(ctx, ref)
}

func TestProcessorBusyChannelDoesNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newProcessorBundle(nil)
		b.opts.Messages = slowMessages{b.messages, testChannel}
		for i := range 200 {
			id := fmt.Sprint(1000 + i)
			b.messages.set(Message{ID: id, Channel: testChannel})
			b.append(t, notificationBody{Value: []notificationItem{testItem("created", id)}})
		}
		other := ChannelRef{TeamID: "t", ChannelID: "other"}
		b.messages.set(Message{ID: "1", Channel: other})
		item := testItem("created", "1")
		item.Resource = "teams('t')/channels('other')/messages('1')"
		b.append(t, notificationBody{Value: []notificationItem{item}})
		start(t, b.Run)
		synctest.Wait()
		_, ok := b.sink.has(MessageRef{ChannelRef: other, ID: "1"})
		require.True(t, ok)
		require.Equal(t, 1, b.sink.count())
		elapse(20 * 20 * time.Minute / processorSlowPerLane)
		synctest.Wait()
		require.Equal(t, 201, b.sink.count())
		require.Zero(t, b.log.pending())
	})
}

func TestProcessorDirectoryAndLifecycle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newProcessorBundle(nil)
		start(t, b.Run)
		member := testItem("created", "")
		member.Resource = "teams('t')/members('m')"
		channel := testItem("deleted", "")
		channel.Resource = "teams('t')/channels('c')"
		b.messages.set(Message{ID: "1", Channel: testChannel, Type: TypeSystem, Event: &EventDetail{Type: "channelRenamed"}})
		b.messages.set(Message{ID: "2", Channel: testChannel, Type: TypeSystem, Event: &EventDetail{Type: "callStarted"}})
		b.append(t, notificationBody{Value: []notificationItem{member, channel, testItem("created", "1"), testItem("created", "2")}})
		synctest.Wait()
		require.Equal(t, map[string]int{"t member": 1, "t channel": 1, "t channelRenamed": 1}, b.sink.hints)

		b.lifecycle.setFail(&Error{Kind: KindUnavailable})
		b.append(t, notificationBody{Value: []notificationItem{{
			SubscriptionID: "s", LifecycleEvent: "reauthorizationRequired", TenantID: testTenant,
			Expires: json.RawMessage(`"2026-02-02T11:26:41.0537895-08:00"`),
		}}})
		synctest.Wait()
		require.Equal(t, 1, b.log.pending())
		b.lifecycle.setFail(nil)
		elapse(time.Minute)
		synctest.Wait()
		require.Zero(t, b.log.pending())
		got := b.lifecycle.events()
		require.Equal(t, "reauthorizationRequired", got[0].Type)
		require.Equal(t, 19, got[0].Expires.Hour())
	})
}

func BenchmarkNotification(b *testing.B) {
	body := notificationBody{Value: []notificationItem{richItem(b, "created", "1001", "")}}
	certs := testCerts()
	b.ReportAllocs()
	for b.Loop() {
		plain, err := body.Value[0].Encrypted.open(certs)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := DecodeMessage(plain); err != nil {
			b.Fatal(err)
		}
	}
}

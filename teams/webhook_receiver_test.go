package teams

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const testState = "the-client-state"

func testReceiver(log *memLog, counters *memCounters, change func(*ReceiverOptions)) http.Handler {
	opts := ReceiverOptions{ClientState: testState, Log: log, Counters: counters}
	if change != nil {
		change(&opts)
	}
	return NewReceiver(opts)
}

func deliver(h http.Handler, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/notify", strings.NewReader(body)))
	return w
}

func basicItem(state, resource string) string {
	return `{"subscriptionId":"s1","changeType":"created","clientState":"` + state + `","tenantId":"` + testTenant + `","resource":"` + resource + `"}`
}

func TestReceiverHandshake(t *testing.T) {
	t.Parallel()
	h := testReceiver(newMemLog(), newMemCounters(), nil)
	const token = "Validation: Testing client <b>application</b> reachability for subscription Request-Id: 0d9a+/="
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "/n?validationToken="+url.QueryEscape(token), http.NoBody))
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, token, w.Body.String())
		require.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	}
	for name, query := range map[string]string{
		"too long": "validationToken=" + strings.Repeat("a", maxValidationToken+1),
		"empty":    "validationToken=",
		"twice":    "validationToken=a&validationToken=b",
		"control":  "validationToken=a%0d%0ab",
		"not text": "validationToken=%ff",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/n?"+query, http.NoBody))
		require.Equal(t, http.StatusBadRequest, w.Code, name)
		require.Empty(t, w.Body.String(), name)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPut, "/n?validationToken=a", http.NoBody))
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
}

func TestReceiverStoresOnlyOurs(t *testing.T) {
	t.Parallel()
	resource := "teams('t')/channels('c')/messages('1')"
	for name, tc := range map[string]struct {
		body    string
		status  int
		stored  int // items
		foreign int
		refused string
	}{
		"ours":           {`{"value":[` + basicItem(testState, resource) + `]}`, 202, 1, 0, ""},
		"all foreign":    {`{"value":[` + basicItem("guess", resource) + `]}`, 202, 0, 1, ReasonAllForeign},
		"no state":       {`{"value":[` + basicItem("", resource) + `]}`, 202, 0, 1, ReasonAllForeign},
		"longer state":   {`{"value":[` + basicItem(testState+"x", resource) + `]}`, 202, 0, 1, ReasonAllForeign},
		"mixed":          {`{"value":[` + basicItem("guess", resource) + `,` + basicItem(testState, resource) + `]}`, 202, 1, 1, ""},
		"lifecycle":      {`{"value":[{"subscriptionId":"s","lifecycleEvent":"subscriptionRemoved","clientState":"` + testState + `"}]}`, 202, 1, 0, ""},
		"not JSON":       {`{"value":[`, 400, 0, 0, ReasonMalformed},
		"no value":       {`{}`, 400, 0, 0, ReasonMalformed},
		"empty value":    {`{"value":[]}`, 400, 0, 0, ReasonMalformed},
		"array":          {`[]`, 400, 0, 0, ReasonMalformed},
		"value a string": {`{"value":"x"}`, 400, 0, 0, ReasonMalformed},
		"items numbers":  {`{"value":[1,2]}`, 400, 0, 0, ReasonMalformed},
		"no resource":    {`{"value":[{"subscriptionId":"s","changeType":"created","clientState":"` + testState + `"}]}`, 400, 0, 0, ReasonMalformed},
		"nothing":        {``, 400, 0, 0, ReasonMalformed},
		"one bad item":   {`{"value":[7,` + basicItem(testState, resource) + `]}`, 202, 1, 0, ""},
		"deeply nested":  {strings.Repeat(`{"value":[`, 20000), 400, 0, 0, ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, counters := newMemLog(), newMemCounters()
			woken := 0
			h := testReceiver(log, counters, func(o *ReceiverOptions) { o.Wake = func() { woken++ } })
			w := deliver(h, tc.body)
			require.Equal(t, tc.status, w.Code)
			require.Empty(t, w.Body.String())
			require.Equal(t, tc.foreign, counters.get(CountDropped, ReasonForeignState))
			if tc.refused != "" {
				require.Equal(t, 1, counters.get(CountRefused, tc.refused))
			}
			if tc.stored == 0 {
				require.Empty(t, log.bodies())
				require.Zero(t, woken)
				return
			}
			require.Equal(t, 1, woken)
			body, err := decodeBody([]byte(log.bodies()[0]))
			require.NoError(t, err)
			require.Len(t, body.Value, tc.stored)
			require.NotContains(t, log.bodies()[0], testState, "the secret is not kept")
		})
	}
}

func TestReceiverWithoutStateTrustsNobody(t *testing.T) {
	t.Parallel()
	log := newMemLog()
	h := testReceiver(log, newMemCounters(), func(o *ReceiverOptions) { o.ClientState = "" })
	require.Equal(t, http.StatusAccepted, deliver(h, `{"value":[`+basicItem("", "teams('t')")+`]}`).Code)
	require.Empty(t, log.bodies())
}

func TestReceiverLimits(t *testing.T) {
	t.Parallel()
	counters := newMemCounters()
	doubts := NewWebhookDoubts(nil)
	h := testReceiver(newMemLog(), counters, func(o *ReceiverOptions) { o.MaxBody, o.Doubts = 1000, doubts })
	require.Equal(t, http.StatusRequestEntityTooLarge, deliver(h, strings.Repeat("x", 1001)).Code)
	req := httptest.NewRequest(http.MethodPost, "/", io.LimitReader(neverEnding('x'), 5000))
	req.ContentLength = -1
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	require.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
	require.Equal(t, 2, counters.get(CountRefused, ReasonTooLarge))
	require.False(t, doubts.State().Any(), "what a stranger sends is no reason to read everything")
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
}

type neverEnding byte

func (b neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

func TestReceiverSaysNoIfNotPersisted(t *testing.T) {
	t.Parallel()
	body := `{"value":[` + basicItem(testState, "teams('t')/channels('c')/messages('1')") + `]}`
	log := newMemLog()
	log.fail = errors.New("disk full")
	require.Equal(t, http.StatusServiceUnavailable, deliver(testReceiver(log, newMemCounters(), nil), body).Code)

	// A log that hangs does not make us late: Graph waits for three seconds.
	hanging := newMemLog()
	hanging.block = make(chan struct{})
	t.Cleanup(func() { close(hanging.block) })
	h := testReceiver(hanging, newMemCounters(), func(o *ReceiverOptions) { o.AnswerTimeout = 20 * time.Millisecond })
	began := time.Now()
	require.Equal(t, http.StatusServiceUnavailable, deliver(h, body).Code)
	require.Less(t, time.Since(began), 2*time.Second)
}

func TestListenerServesAndStops(t *testing.T) {
	t.Parallel()
	log := newMemLog()
	ctx, cancel := context.WithCancel(t.Context())
	l, err := Listen(ctx, ListenerOptions{
		Address: "127.0.0.1:0", Paths: []string{"/teams/notify"},
		Handler: testReceiver(log, newMemCounters(), nil),
	})
	require.NoError(t, err)
	_, err = Listen(ctx, ListenerOptions{Address: l.Addr().String()})
	require.Error(t, err, "a port in use is an error at start")
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx) }()
	base := "http://" + l.Addr().String()
	resp, err := http.Post(base+"/teams/notify?validationToken=a%20b", "text/plain", http.NoBody)
	require.NoError(t, err)
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "a b", string(got))
	resp, err = http.Get(base + "/anything/else")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	cancel()
	require.NoError(t, <-done)
	_, err = net.Dial("tcp", l.Addr().String())
	require.Error(t, err)
}

func FuzzWebhookBody(f *testing.F) {
	f.Add([]byte(`{"value":[` + basicItem(testState, "teams('t')/channels('c')/messages('1')/replies('2')") + `]}`))
	f.Add([]byte(`{"value":[{"subscriptionId":"s","lifecycleEvent":"missed","clientState":"` + testState + `"}],"validationTokens":["a.b.c"]}`))
	f.Add([]byte(`{"value":[{"subscriptionId":"s","changeType":"x","resource":"teams('","clientState":"` + testState + `","encryptedContent":{"data":"AA=="}}]}`))
	f.Add([]byte(`{"value":[null]}`))
	cert, err := GenerateCertificate(time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		log := newMemLog()
		w := deliver(testReceiver(log, newMemCounters(), nil), string(raw))
		if w.Body.Len() != 0 {
			t.Fatal("something was reflected")
		}
		if stored := len(log.bodies()); (stored > 0) && w.Code != http.StatusAccepted {
			t.Fatal("stored and not accepted")
		}
		for _, b := range log.bodies() {
			body, err := decodeBody([]byte(b))
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range body.Value {
				_, _ = ParseResource(item.Resource)
				if item.Encrypted != nil {
					_, _ = item.Encrypted.open(CertSet{Current: cert})
				}
			}
		}
	})
}

package teamstest_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/teams/teamstest"
)

// subscription is the body of a good subscription to General.
func (b *bench) subscription(r *receiver) map[string]any {
	return map[string]any{
		"changeType": "created,updated,deleted", "notificationUrl": r.URL + "/n", "lifecycleNotificationUrl": r.URL + "/l",
		"resource":           "/teams/" + b.team.ID + "/channels/" + b.general.ID + "/messages",
		"expirationDateTime": b.in(48 * time.Hour), "clientState": "secret",
	}
}

func (b *bench) in(d time.Duration) string {
	return b.Clock().Now().Add(d).Format("2006-01-02T15:04:05.0000000Z")
}

func with(body map[string]any, key string, value any) map[string]any {
	body = maps.Clone(body)
	if value == nil {
		delete(body, key)
	} else {
		body[key] = value
	}
	return body
}

// subscribe creates a subscription and returns its id.
func (b *bench) subscribe(token string, body map[string]any) string {
	b.Helper()
	a := b.call(token, http.MethodPost, "/subscriptions", body)
	require.Equal(b, http.StatusCreated, a.status, string(a.raw))
	return a.str("id")
}

func TestSubscriptionLifecycle(t *testing.T) {
	b, r := newBench(t, teamstest.Options{}), newReceiver(t)
	token := b.app()
	a := b.call(token, http.MethodPost, "/subscriptions", b.subscription(r))
	require.Equal(t, http.StatusCreated, a.status, string(a.raw))
	require.Equal(t, b.App().ClientID, a.str("applicationId"))
	require.Equal(t, "", a.str("encryptionCertificate"))
	require.Len(t, r.handshakes, 2, "one for each URL")
	require.True(t, strings.HasPrefix(r.handshakes[0], "/n Validation: Testing client application reachability for subscription Request-Id: "), r.handshakes[0])
	require.True(t, strings.HasPrefix(r.handshakes[1], "/l Validation: "))
	require.Contains(t, r.queries[0], "%3A", "the token must be decoded to match")
	id := a.str("id")

	require.Equal(t, http.StatusOK, b.get(token, "/subscriptions/"+id).status)
	list := b.get(token, "/subscriptions")
	require.Len(t, list.json["value"], 1)

	renewed := b.call(token, http.MethodPatch, "/subscriptions/"+id, map[string]any{"expirationDateTime": b.in(71 * time.Hour)})
	require.Equal(t, http.StatusOK, renewed.status, string(renewed.raw))
	require.NotEqual(t, a.str("expirationDateTime"), renewed.str("expirationDateTime"))

	b.Clock().Advance(11 * time.Minute)
	token = b.app()
	require.Equal(t, http.StatusNoContent, b.call(token, http.MethodPost, "/subscriptions/"+id+"/reauthorize", nil).status)
	require.Equal(t, renewed.str("expirationDateTime"), b.get(token, "/subscriptions/"+id).str("expirationDateTime"), "reauthorize extends nothing")
	require.Empty(t, b.Violations())
	require.Equal(t, http.StatusOK, b.call(token, http.MethodPatch, "/subscriptions/"+id, map[string]any{"expirationDateTime": b.in(70 * time.Hour)}).status)
	require.Len(t, b.Violations(teamstest.ViolationReauthorize), 1, "both within ten minutes")

	require.Equal(t, http.StatusNoContent, b.call(token, http.MethodDelete, "/subscriptions/"+id, nil).status)
	require.Equal(t, http.StatusNotFound, b.call(token, http.MethodDelete, "/subscriptions/"+id, nil).status)
	require.Equal(t, http.StatusNotFound, b.call(token, http.MethodPatch, "/subscriptions/"+id, map[string]any{"expirationDateTime": b.in(time.Hour)}).status)

	b.subscribe(token, b.subscription(r))
	b.Clock().Advance(49 * time.Hour)
	require.Empty(t, b.Subscriptions(), "expired on the tenant's clock")
}

func TestSubscriptionRules(t *testing.T) {
	b, r := newBench(t, teamstest.Options{}), newReceiver(t)
	token := b.app()
	good := b.subscription(r)
	key := newKeyPair(t, "k1")
	for name, c := range map[string]struct {
		body    map[string]any
		status  int
		code    string
		message string
	}{
		"too long":            {with(good, "expirationDateTime", b.in(4321*time.Minute)), 400, "InvalidRequest", "4320"},
		"no lifecycle URL":    {with(good, "lifecycleNotificationUrl", nil), 400, "InvalidRequest", "lifecycleNotificationUrl is a required property"},
		"past":                {with(good, "expirationDateTime", b.in(-time.Minute)), 400, "InvalidRequest", "future"},
		"no expiry":           {with(good, "expirationDateTime", nil), 400, "InvalidRequest", "expirationDateTime"},
		"plain http":          {with(good, "notificationUrl", "http://bridge.example.org/n"), 400, "InvalidRequest", "HTTPS"},
		"no address":          {with(good, "notificationUrl", nil), 400, "InvalidRequest", "notificationUrl"},
		"long client state":   {with(good, "clientState", strings.Repeat("x", 129)), 400, "InvalidRequest", "clientState"},
		"change type":         {with(good, "changeType", "created,missed"), 400, "InvalidRequest", "changeType"},
		"TLS version":         {with(good, "latestSupportedTlsVersion", "v2"), 400, "InvalidRequest", "Tls"},
		"no certificate":      {with(good, "includeResourceData", true), 400, "InvalidRequest", "encryptionCertificate"},
		"no certificate id":   {with(with(good, "includeResourceData", true), "encryptionCertificate", key.base64()), 400, "InvalidRequest", "encryptionCertificateId"},
		"broken certificate":  {with(with(with(good, "includeResourceData", true), "encryptionCertificate", "AAAA"), "encryptionCertificateId", "k"), 400, "InvalidRequest", "X.509"},
		"unknown resource":    {with(good, "resource", "/users"), 400, "ExtensionError", "not supported"},
		"unknown team":        {with(good, "resource", "/teams/nope/channels/x/messages"), 404, "ExtensionError", "NotFound"},
		"nobody listens":      {with(good, "notificationUrl", "http://127.0.0.1:1/n"), 400, "ValidationError", "Unable to connect"},
		"not the bridge's":    {with(good, "notificationUrl", "https://user:pass@bridge.example.org/"), 400, "InvalidRequest", "valid"},
		"unsupported options": {with(good, "resource", good["resource"].(string)+"?$search=x"), 400, "ExtensionError", "query options"},
	} {
		t.Run(name, func(t *testing.T) {
			a := b.call(token, http.MethodPost, "/subscriptions", c.body)
			require.Equal(t, c.status, a.status, string(a.raw))
			require.Equal(t, c.code, a.code())
			require.Contains(t, a.message(), c.message)
		})
	}
	require.Empty(t, b.Subscriptions())

	short := with(with(good, "expirationDateTime", b.in(5*time.Minute)), "lifecycleNotificationUrl", nil)
	id := b.subscribe(token, short)
	require.WithinDuration(t, b.Clock().Now().Add(45*time.Minute), b.Subscriptions()[0].Expires, time.Minute, "raised to the floor")
	a := b.call(token, http.MethodPatch, "/subscriptions/"+id, map[string]any{"expirationDateTime": b.in(2 * time.Hour)})
	require.Equal(t, 400, a.status)
	a = b.call(token, http.MethodPatch, "/subscriptions/"+id, map[string]any{"lifecycleNotificationUrl": r.URL + "/l"})
	require.Equal(t, 400, a.status, "cannot be added later")
}

func TestSubscriptionHandshakeMustSucceed(t *testing.T) {
	b, r := newBench(t, teamstest.Options{}), newReceiver(t)
	token := b.app()
	for name, greet := range map[string]func(w http.ResponseWriter, token string){
		"status": func(w http.ResponseWriter, token string) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, token)
		},
		"content type": func(w http.ResponseWriter, token string) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, token)
		},
		"not decoded": func(w http.ResponseWriter, token string) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, url.QueryEscape(token))
		},
		"something else": func(w http.ResponseWriter, token string) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, token+"\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			r.greet = greet
			a := b.call(token, http.MethodPost, "/subscriptions", b.subscription(r))
			require.Equal(t, 400, a.status)
			require.Equal(t, "ValidationError", a.code())
		})
	}
	require.Empty(t, b.Subscriptions())
}

func TestSubscriptionQuotas(t *testing.T) {
	b, r := newBench(t, teamstest.Options{Notify: teamstest.NotifyOptions{MaxSubscriptions: 3}}), newReceiver(t)
	token := b.app()
	b.subscribe(token, b.subscription(r))
	again := b.call(token, http.MethodPost, "/subscriptions", b.subscription(r))
	require.Equal(t, http.StatusForbidden, again.status)
	require.Equal(t, "ExtensionError", again.code())
	require.Contains(t, again.message(), "limit of 1")
	b.subscribe(token, with(b.subscription(r), "resource", "/teams/getAllMessages"))
	require.Equal(t, http.StatusForbidden, b.call(token, http.MethodPost, "/subscriptions", with(b.subscription(r), "resource", "teams/getAllMessages")).status)
	b.subscribe(token, with(b.subscription(r), "resource", "/teams/getAllChannels"))
	full := b.call(token, http.MethodPost, "/subscriptions", with(b.subscription(r), "resource", "/teams"))
	require.Equal(t, http.StatusForbidden, full.status)
	require.Contains(t, full.message(), "organization")
}

func TestSubscriptionPermissions(t *testing.T) {
	b, r := newBench(t, teamstest.Options{}), newReceiver(t)
	b.App().RevokeRoles("ChannelMessage.Read.All")
	a := b.call(b.app(), http.MethodPost, "/subscriptions", b.subscription(r))
	require.Equal(t, http.StatusForbidden, a.status)
	require.Equal(t, "ExtensionError", a.code())

	b.App().GrantRoles("ChannelMessage.Read.Group")
	b.subscribe(b.app(), b.subscription(r))
	wide := with(b.subscription(r), "resource", "/teams/getAllMessages")
	require.Equal(t, http.StatusForbidden, b.call(b.app(), http.MethodPost, "/subscriptions", wide).status, "consent of one team is not enough")

	delegated := b.signIn(b.ann, "ChannelMessage.Read.All").str("access_token")
	require.Equal(t, http.StatusForbidden, b.call(delegated, http.MethodPost, "/subscriptions", wide).status, "no tenant-wide delegated subscription")
	require.Empty(t, b.get(delegated, "/subscriptions").json["value"], "only the user's own")
	id := b.Subscriptions()[0].ID
	require.Equal(t, http.StatusNotFound, b.get(delegated, "/subscriptions/"+id).status)
}

func TestSubscriptionsArePaged(t *testing.T) {
	b, r := newBench(t, teamstest.Options{}), newReceiver(t)
	token := b.app()
	for i := range 130 {
		ch := b.team.AddChannel(teamstest.ChannelSpec{DisplayName: fmt.Sprintf("Channel %d", i)})
		b.subscribe(token, with(b.subscription(r), "resource", "/teams/"+b.team.ID+"/channels/"+ch.ID+"/messages"))
	}
	first := b.get(token, "/subscriptions")
	require.Len(t, first.json["value"], 100)
	next, ok := strings.CutPrefix(first.str("@odata.nextLink"), b.GraphURL())
	require.True(t, ok)
	second := b.get(token, next)
	require.Len(t, second.json["value"], 30)
	require.NotContains(t, second.json, "@odata.nextLink")
}

func TestSubscriptionPatchIsChecked(t *testing.T) {
	b, r := newBench(t, teamstest.Options{}), newReceiver(t)
	token := b.app()
	id := b.subscribe(token, b.subscription(r))
	patch := func(token string, body map[string]any) answer {
		return b.call(token, http.MethodPatch, "/subscriptions/"+id, body)
	}
	require.Equal(t, 400, patch(token, map[string]any{"expirationDateTime": b.in(80 * time.Hour)}).status)
	require.Equal(t, 400, patch(token, map[string]any{"encryptionCertificate": "AAAA", "encryptionCertificateId": "k"}).status)
	require.Equal(t, 400, patch(token, map[string]any{"notificationUrl": "ftp://x"}).status)
	before := len(r.handshakes)
	other := newReceiver(t)
	require.Equal(t, 200, patch(token, map[string]any{"notificationUrl": other.URL + "/new"}).status)
	require.Len(t, r.handshakes, before)
	require.Len(t, other.handshakes, 1, "the new address is validated")
	b.general.Post(b.ann, teamstest.Msg{Text: "moved"})
	b.settled()
	require.Empty(t, r.items())
	require.Len(t, other.items(), 1)

	b.App().RevokeRoles("ChannelMessage.Read.All")
	weak := b.app()
	require.Equal(t, 403, patch(weak, map[string]any{"expirationDateTime": b.in(time.Hour)}).status)
	require.Equal(t, 403, b.call(weak, http.MethodPost, "/subscriptions/"+id+"/reauthorize", nil).status)
	require.Equal(t, 404, b.call(weak, http.MethodPost, "/subscriptions/nope/reauthorize", nil).status)
}

package teamstest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"teamsbridge/teams/teamstest"
)

// settled waits for every queued notification's first attempt.
func (b *bench) settled() {
	b.Helper()
	require.NoError(b, b.NotificationsSettled(b.context()))
}

func kinds(items []received) []string {
	var list []string
	for _, it := range items {
		list = append(list, it.ChangeType)
	}
	return list
}

func TestBasicNotifications(t *testing.T) {
	b, r := newBench(t, teamstest.Options{}), newReceiver(t)
	id := b.subscribe(b.app(), b.subscription(r))
	root := b.general.Post(b.ann, teamstest.Msg{Text: "root"})
	b.settled()
	reply := root.Reply(b.bob, teamstest.Msg{Text: "reply"})
	b.settled()
	items := r.items()
	require.Len(t, items, 2)
	first := items[0]
	require.Equal(t, id, first.SubscriptionID)
	require.Equal(t, "created", first.ChangeType)
	require.Equal(t, "secret", first.ClientState)
	require.Equal(t, b.TenantID, first.TenantID)
	require.Equal(t, "teams('"+b.team.ID+"')/channels('"+b.general.ID+"')/messages('"+root.ID+"')", first.Resource)
	require.Equal(t, root.ID, first.ResourceData.ID)
	require.Equal(t, "#Microsoft.Graph.chatMessage", first.ResourceData.ODataType)
	require.Equal(t, first.Resource, first.ResourceData.ODataID)
	require.Nil(t, first.Encrypted)
	require.Regexp(t, `\.\d{7}-08:00$`, first.Expires)
	require.Equal(t, first.Resource+"/replies('"+reply.ID+"')", items[1].Resource)

	reply.Edit(teamstest.Msg{Text: "edited"})
	b.settled()
	reply.React(b.ann, "👍")
	b.settled()
	reply.Unreact(b.ann, "👍")
	b.settled()
	reply.Delete()
	b.settled()
	require.Equal(t, []string{"created", "created", "updated", "updated", "updated", "updated", "deleted"}, kinds(r.items()), "one removed reaction is told twice")
}

func TestNotificationsOfOneChangeTypeOnly(t *testing.T) {
	b, r := newBench(t, teamstest.Options{}), newReceiver(t)
	b.subscribe(b.app(), with(b.subscription(r), "changeType", "Deleted"))
	m := b.general.Post(b.ann, teamstest.Msg{Text: "x"})
	m.Edit(teamstest.Msg{Text: "y"})
	m.Delete()
	b.settled()
	require.Equal(t, []string{"deleted"}, kinds(r.items()))
}

func TestEncodedResourceIsAcceptedAndSilent(t *testing.T) {
	b, r := newBench(t, teamstest.Options{}), newReceiver(t)
	resource := "/teams/" + b.team.ID + "/channels/" + strings.NewReplacer(":", "%3A", "@", "%40").Replace(b.general.ID) + "/messages"
	b.subscribe(b.app(), with(b.subscription(r), "resource", resource))
	b.general.Post(b.ann, teamstest.Msg{Text: "unheard"})
	b.settled()
	require.Empty(t, r.items())
}

func TestRichNotifications(t *testing.T) {
	b, r := newBench(t, teamstest.Options{}), newReceiver(t)
	old, fresh := newKeyPair(t, "k1"), newKeyPair(t, "k2")
	body := with(with(with(b.subscription(r), "includeResourceData", true), "encryptionCertificate", old.base64()), "encryptionCertificateId", old.id)
	token := b.app()
	id := b.subscribe(token, with(body, "resource", "/teams/getAllMessages"))

	m := b.general.Post(b.ann, teamstest.Msg{HTML: "<p>Grüße &amp; <b>more</b></p>"})
	b.settled()
	items := r.items()
	require.Len(t, items, 1)
	object := old.open(t, items[0])
	require.Equal(t, m.ID, object["id"])
	require.Equal(t, "<p>Grüße &amp; <b>more</b></p>", object["body"].(map[string]any)["content"])
	require.Equal(t, b.ann.ID, object["from"].(map[string]any)["user"].(map[string]any)["id"])

	require.Equal(t, 200, b.call(token, http.MethodPatch, "/subscriptions/"+id, map[string]any{
		"encryptionCertificate": fresh.base64(), "encryptionCertificateId": fresh.id,
	}).status)
	m.Delete()
	b.settled()
	object = fresh.open(t, r.items()[1])
	require.NotNil(t, object["deletedDateTime"])

	// Every body proves its publisher, in either form of issuer.
	verifier := b.keySet()
	issuers := map[string]bool{}
	for _, request := range r.requests() {
		require.Len(t, request.ValidationTokens, 1)
		claims := jwt.MapClaims{}
		_, err := jwt.ParseWithClaims(request.ValidationTokens[0], claims, verifier.Keyfunc,
			jwt.WithAudience(b.App().ClientID), jwt.WithExpirationRequired(), jwt.WithValidMethods([]string{"RS256"}))
		require.NoError(t, err)
		require.Equal(t, b.TenantID, claims["tid"])
		publisher := claims["appid"]
		if claims["ver"] == "2.0" {
			publisher = claims["azp"]
		}
		require.Equal(t, "0bf30f3b-4a52-48df-9a82-234910c4a086", publisher)
		issuers[claims["iss"].(string)] = true
	}
	require.Equal(t, map[string]bool{"https://sts.windows.net/" + b.TenantID + "/": true, b.URL() + "/" + b.TenantID + "/v2.0": true}, issuers)
}

// keySet fetches the tenant's signing keys.
func (b *bench) keySet() keyfunc.Keyfunc {
	b.Helper()
	req, err := http.NewRequest(http.MethodGet, b.URL()+"/common/discovery/keys", nil)
	require.NoError(b, err)
	a, err := b.roundTrip(req)
	require.NoError(b, err)
	set, err := keyfunc.NewJWKSetJSON(a.raw)
	require.NoError(b, err)
	return set
}

func TestTenantWideSubscriptionHasNoSystemMessages(t *testing.T) {
	b, wide, narrow := newBench(t, teamstest.Options{}), newReceiver(t), newReceiver(t)
	token := b.app()
	b.subscribe(token, with(b.subscription(wide), "resource", "/teams/getAllMessages?model=B"))
	b.subscribe(token, b.subscription(narrow))
	shared := b.team.AddChannel(teamstest.ChannelSpec{DisplayName: "Joint", Kind: teamstest.Shared, Owners: []*teamstest.User{b.ann}})
	b.team.Rename(b.ann, "Beta") // told by a system message in General
	b.general.Post(b.ann, teamstest.Msg{Text: "hello"})
	shared.Post(b.ann, teamstest.Msg{Text: "joint"})
	b.settled()
	require.Len(t, wide.items(), 2, "both channels, no system messages")
	require.Len(t, narrow.items(), 2, "one channel, with its system message")
}

func TestTenantWideSubscriptionMayOmitSharedChannels(t *testing.T) {
	b, r := newBench(t, teamstest.Options{Notify: teamstest.NotifyOptions{OmitShared: true}}), newReceiver(t)
	b.subscribe(b.app(), with(b.subscription(r), "resource", "/teams/getAllMessages"))
	shared := b.team.AddChannel(teamstest.ChannelSpec{DisplayName: "Joint", Kind: teamstest.Shared, Owners: []*teamstest.User{b.ann}})
	shared.Post(b.ann, teamstest.Msg{Text: "joint"})
	b.general.Post(b.ann, teamstest.Msg{Text: "hello"})
	b.settled()
	require.Len(t, r.items(), 1)
}

func TestDirectoryNotifications(t *testing.T) {
	b := newBench(t, teamstest.Options{NoSystemEvents: true})
	token := b.app()
	receivers := map[string]*receiver{}
	for _, resource := range []string{
		"/teams", "/teams/" + b.team.ID, "/teams/" + b.team.ID + "/members", "/teams/getAllChannels",
		"/teams/" + b.team.ID + "/channels", "/teams/" + b.team.ID + "/channels/getAllMembers",
	} {
		r := newReceiver(t)
		receivers[strings.TrimSuffix(strings.ReplaceAll(resource, b.team.ID, "T"), "/")] = r
		b.subscribe(token, with(b.subscription(r), "resource", resource))
	}
	eve := b.AddUser(teamstest.UserSpec{DisplayName: "Eve"})
	b.team.AddMember(b.ann, eve)
	private := b.team.AddChannel(teamstest.ChannelSpec{DisplayName: "Private", Kind: teamstest.Private, Owners: []*teamstest.User{b.ann}})
	private.AddMember(b.ann, eve)
	b.team.Rename(b.ann, "Beta")
	private.Delete(b.ann)
	b.AddTeam(teamstest.TeamSpec{DisplayName: "Other"})
	b.settled()
	got := map[string][]string{}
	for name, r := range receivers {
		for _, it := range r.items() {
			_, typ, _ := strings.Cut(it.ResourceData.ODataType, "Graph.")
			got[name] = append(got[name], it.ChangeType+" "+typ)
		}
		slices.Sort(got[name])
	}
	require.Equal(t, map[string][]string{
		"/teams":                          {"created team", "updated team"},
		"/teams/T":                        {"updated team"},
		"/teams/T/members":                {"created aadUserConversationMember"},
		"/teams/getAllChannels":           {"created channel", "created channel", "deleted channel"},
		"/teams/T/channels":               {"created channel", "deleted channel"},
		"/teams/T/channels/getAllMembers": {"created aadUserConversationMember"},
	}, got)
}

func TestNotificationsAreBatchedOverSubscriptions(t *testing.T) {
	b, r := newBench(t, teamstest.Options{}), newReceiver(t)
	token := b.app()
	narrow, wide := b.subscribe(token, b.subscription(r)), b.subscribe(token, with(b.subscription(r), "resource", "/teams/getAllMessages"))
	gate := make(chan struct{})
	r.answers(func(w http.ResponseWriter, _ notificationBody) {
		<-gate
		w.WriteHeader(http.StatusOK)
	})
	posts := 0
	say := func() {
		b.general.Post(b.ann, teamstest.Msg{Text: "x"})
		posts++
	}
	b.eventually("four requests are under way", func() bool {
		say()
		return len(r.requests()) == 4
	})
	for range 20 {
		say()
	}
	close(gate)
	b.settled()
	require.Equal(t, 2*posts, len(r.items()))
	mixed := slices.ContainsFunc(r.requests(), func(body notificationBody) bool {
		has := func(id string) bool {
			return slices.ContainsFunc(body.Value, func(it received) bool { return it.SubscriptionID == id })
		}
		return has(narrow) && has(wide)
	})
	require.True(t, mixed, "one body for several subscriptions")
	require.Less(t, len(r.requests()), posts)
}

func TestNotificationsAreRetriedForFourHours(t *testing.T) {
	b, r := newBench(t, teamstest.Options{}), newReceiver(t)
	b.subscribe(b.app(), with(b.subscription(r), "expirationDateTime", b.in(71*time.Hour)))
	r.answers(func(w http.ResponseWriter, _ notificationBody) { w.WriteHeader(http.StatusServiceUnavailable) })
	b.general.Post(b.ann, teamstest.Msg{Text: "wait"})
	b.settled()
	for range 3 {
		before := len(r.requests())
		b.eventually("another attempt", func() bool {
			b.Clock().Advance(time.Minute)
			return len(r.requests()) > before
		})
	}
	r.answers(nil)
	b.eventually("delivered in the end", func() bool {
		b.Clock().Advance(time.Minute)
		return b.NotificationStats().Delivered == 1
	})
	require.Zero(t, b.NotificationStats().Lost)

	r.answers(func(w http.ResponseWriter, _ notificationBody) { w.WriteHeader(http.StatusNotFound) })
	b.general.Post(b.ann, teamstest.Msg{Text: "lost"})
	b.settled()
	b.Clock().Advance(4*time.Hour + time.Minute)
	b.eventually("given up", func() bool { return b.NotificationStats().Lost == 1 })
}

func TestReauthorizationIsAskedForAndPauses(t *testing.T) {
	b, r := newBench(t, teamstest.Options{}), newReceiver(t)
	id := b.subscribe(b.app(), b.subscription(r))
	b.Clock().Advance(12*time.Hour + time.Minute) // a quarter of its life
	b.eventually("asked", func() bool { return b.NotificationStats().Lifecycle == 1 })
	it := r.items()[0]
	require.Equal(t, "reauthorizationRequired", it.Lifecycle)
	require.Equal(t, id, it.SubscriptionID)
	require.Equal(t, "secret", it.ClientState)
	require.Empty(t, it.ChangeType)

	b.Clock().Advance(16 * time.Minute)
	b.eventually("asked again", func() bool { return b.NotificationStats().Lifecycle == 2 })
	b.Clock().Advance(time.Hour)
	b.general.Post(b.ann, teamstest.Msg{Text: "waits"})
	b.settled()
	require.True(t, b.Subscriptions()[0].Paused)
	require.Equal(t, 1, b.Subscriptions()[0].Waiting)
	require.Zero(t, b.NotificationStats().Delivered)

	token := b.app()
	require.Equal(t, 204, b.call(token, http.MethodPost, "/subscriptions/"+id+"/reauthorize", nil).status)
	b.eventually("goes on", func() bool { return b.NotificationStats().Delivered == 1 })
	require.False(t, b.Subscriptions()[0].Paused)
}

func TestSubscriptionRemoved(t *testing.T) {
	b, r := newBench(t, teamstest.Options{}), newReceiver(t)
	token := b.app()
	id := b.subscribe(token, b.subscription(r))
	require.NoError(t, b.RemoveSubscription(id, true))
	b.settled()
	require.Equal(t, "subscriptionRemoved", r.items()[0].Lifecycle)
	require.Equal(t, 404, b.call(token, http.MethodPatch, "/subscriptions/"+id, map[string]any{"expirationDateTime": b.in(time.Hour)}).status)

	id = b.subscribe(token, b.subscription(r))
	require.NoError(t, b.RemoveSubscription(id, false))
	require.Error(t, b.RemoveSubscription(id, false))
	b.general.Post(b.ann, teamstest.Msg{Text: "unheard"})
	b.settled()
	require.Len(t, r.items(), 1)

	id = b.subscribe(token, b.subscription(r))
	require.NoError(t, b.RequireReauthorization(id))
	b.settled()
	require.Equal(t, "reauthorizationRequired", r.items()[1].Lifecycle)
}

func TestNotificationFaults(t *testing.T) {
	b, r := newBench(t, teamstest.Options{}), newReceiver(t)
	token := b.app()
	b.subscribe(token, b.subscription(r))
	say := func(text string) string { return b.general.Post(b.ann, teamstest.Msg{Text: text}).ID }
	ids := func() []string {
		var list []string
		for _, it := range r.items() {
			list = append(list, it.ResourceData.ID)
		}
		return list
	}
	b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultNotifyTwice, Times: 1})
	twice := say("twice")
	b.eventually("twice", func() bool { return slices.Equal(ids(), []string{twice, twice}) })

	lost := b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultNotifyNever, Times: 1})
	never := say("never")
	require.Equal(t, []teamstest.Struck{{ChannelID: b.general.ID, MessageID: never}}, lost.Struck())
	next := say("next")
	b.settled()
	require.Equal(t, []string{twice, twice, next}, ids())

	late := b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultNotifyLate, Times: 1, Delay: time.Hour, Match: teamstest.Match{Path: `messages\('`}})
	delayed := say("late")
	b.settled()
	require.Len(t, ids(), 3)
	require.Equal(t, 1, late.Hits())
	b.Clock().Advance(61 * time.Minute)
	b.eventually("late", func() bool { return slices.Equal(ids(), []string{twice, twice, next, delayed}) })

	b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultNotifyReorder, Times: 1, Delay: time.Hour})
	second, first := say("second"), say("first")
	b.eventually("out of order", func() bool { return slices.Equal(ids()[4:], []string{first, second}) })

	b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultRemoveSubscription, Times: 1})
	say("unheard")
	b.settled()
	require.Empty(t, b.Subscriptions())
	require.Equal(t, "subscriptionRemoved", r.items()[6].Lifecycle)
}

func TestNotificationBeforeTheAnswer(t *testing.T) {
	b, r := newBench(t, teamstest.Options{}), newReceiver(t)
	b.subscribe(b.app(), b.subscription(r))
	user := b.user(b.bob)
	b.Faults().Add(teamstest.Fault{Kind: teamstest.FaultNotifyEarly, Match: teamstest.Match{Op: teamstest.OpPostMessage}})
	for i := range 5 {
		a, err := b.post(user, "early")
		require.NoError(t, err)
		require.Equal(t, 201, a.status)
		require.Len(t, r.items(), i+1, "it has been delivered when the answer comes")
	}
}

func TestNotificationsWaitWhileGraphIsDown(t *testing.T) {
	b, r := newBench(t, teamstest.Options{}), newReceiver(t)
	b.subscribe(b.app(), b.subscription(r))
	b.Down(teamstest.DownUnavailable, teamstest.ServiceGraph)
	b.general.Post(b.ann, teamstest.Msg{Text: "meanwhile"})
	require.Empty(t, r.items())
	require.NoError(t, b.Up())
	b.settled()
	require.Len(t, r.items(), 1)
}

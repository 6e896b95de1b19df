package bridge

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

// gapsRig is a webhook whose subscriptions exist since long ago.
type gapsRig struct {
	*webhookGaps
	h      *health
	now    time.Time
	reads  int
	scopes []teams.Scope
	active time.Time
	ref    teams.ChannelRef
	// missing is what is not subscribed to.
	missing []teams.Scope
}

func newGapsRig() *gapsRig {
	r := &gapsRig{now: time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC), ref: teams.ChannelRef{TeamID: "team", ChannelID: "channel"}}
	clock := func() time.Time { return r.now }
	r.h = newHealth(nil, clock)
	r.webhookGaps = &webhookGaps{
		doubts: teams.NewWebhookDoubts(clock), now: clock,
		subscribed:   func(teams.ChannelRef) time.Time { return r.active },
		unsubscribed: func() []teams.Scope { return r.missing },
		wanted:       func(ref teams.ChannelRef) bool { return ref == r.ref },
		read:         func(_ string, scopes ...teams.Scope) { r.reads, r.scopes = r.reads+1, scopes }, counters: noCounters{},
	}
	return r
}

// after lets time pass and looks.
func (r *gapsRig) after(t *testing.T, d time.Duration) {
	t.Helper()
	r.now = r.now.Add(d)
	require.NoError(t, r.look(t.Context()))
}

type postingWriter struct {
	teams.Writer
	id  string
	err error
}

func (w *postingWriter) Post(context.Context, teams.ChannelRef, string, teams.Draft) (teams.Message, error) {
	return teams.Message{ID: w.id}, w.err
}

// A notification tells of our own posts as well: where none does, everything is
// read, once, and then for as long as there is a reason.
func TestOwnPostsShowWhetherNotificationsCome(t *testing.T) {
	r := newGapsRig()
	posting := &postingWriter{id: "1"}
	w := &announcedWriter{posting, r.webhookGaps}
	post := func(id string) {
		posting.id = id
		_, err := w.Post(t.Context(), r.ref, "", teams.Draft{})
		require.Equal(t, posting.err, err)
	}
	post("before there were subscriptions")
	r.active = r.now
	post("when they were new")
	r.after(t, time.Hour)
	require.False(t, r.state().Any())

	post("told")
	r.doubts.Announced([]teams.MessageRef{{ChannelRef: r.ref, ID: "told"}})
	posting.err = errors.New("refused")
	post("not posted")
	posting.err = nil
	r.after(t, time.Hour)
	require.False(t, r.state().Any())
	require.Zero(t, r.reads)

	post("nobody told")
	r.after(t, time.Minute)
	require.False(t, r.state().Any(), "it may be on its way")
	r.after(t, 2*time.Minute)
	require.True(t, r.state().Any())
	require.Equal(t, []string{teams.DoubtUnannounced}, r.state().Reasons)
	r.after(t, time.Second)
	require.Equal(t, 1, r.reads)
	r.after(t, time.Hour)
	require.False(t, r.state().Any())
}

// What is not subscribed to is read, once as it begins, and gives no reason to
// doubt what is: nobody expects a notification there.
func TestDoubtOfAChannelIsThatChannels(t *testing.T) {
	r := newGapsRig()
	w := &announcedWriter{&postingWriter{id: "1"}, r.webhookGaps}
	one, other := teams.Scope(r.ref), teams.Scope{TeamID: "other", ChannelID: "channel"}
	r.missing = []teams.Scope{one}
	for range 10 {
		r.after(t, gapsInterval)
	}
	require.Equal(t, 1, r.reads)
	require.Equal(t, r.missing, r.scopes)
	require.Equal(t, r.missing, r.doubtful())
	_, err := w.Post(t.Context(), r.ref, "", teams.Draft{})
	require.NoError(t, err)
	for range 100 {
		r.after(t, gapsInterval)
	}
	require.Equal(t, []string{teams.DoubtUnsubscribed}, r.state().Reasons)
	r.missing = []teams.Scope{one, other}
	r.after(t, gapsInterval)
	require.Equal(t, 2, r.reads)
	require.Equal(t, []teams.Scope{other}, r.scopes)
	r.doubts.Note(teams.DoubtSlow)
	r.after(t, gapsInterval)
	require.Equal(t, 3, r.reads)
	require.Empty(t, r.scopes, "everything")
	require.Equal(t, []teams.Scope{{}}, r.doubtful())
	for range 1000 {
		r.after(t, gapsInterval)
	}
	require.ElementsMatch(t, r.missing, r.doubtful())
	require.Equal(t, 3, r.reads, "it was read all the time")
	r.missing = nil
	r.after(t, time.Hour)
	require.Empty(t, r.doubtful())
}

// What a reader finds first is announced as well, or there is a doubt.
func TestWhatReadersFindIsAnnounced(t *testing.T) {
	r := newGapsRig()
	db := testDB(t)
	sink := &watchedSink{Sink: noSink{}, health: r.h, gaps: r.webhookGaps, inbox: db.Inbox, wanted: r.wanted}
	read := func(id string, age time.Duration) {
		t.Helper()
		require.NoError(t, sink.Accept(t.Context(), teams.SourceExport, []teams.Message{{ID: id, Channel: r.ref, Created: r.now.Add(-age)}}))
	}
	r.active = r.now
	r.after(t, time.Hour)
	read("told soon", time.Second)
	r.doubts.Announced([]teams.MessageRef{{ChannelRef: r.ref, ID: "told soon"}})
	r.after(t, time.Hour)
	require.False(t, r.state().Any())
	read("never told", time.Second)
	r.after(t, 3*time.Minute)
	require.True(t, r.state().Any())
	r.after(t, time.Hour)
	require.False(t, r.state().Any())
	read("found late", 30*time.Minute)
	require.True(t, r.state().Any())
}

// The start doubts where Graph has found nobody; without a webhook nobody does.
func TestStartDoubtsNotifications(t *testing.T) {
	r := newGapsRig()
	rt := &runtime{db: testDB(t), gaps: r.webhookGaps}
	require.NoError(t, rt.wasAway(t.Context()))
	require.False(t, r.state().Any(), "there was nothing to be away from")
	require.NoError(t, subscriptionRecords{rt.db.Subscriptions}.SaveSubscription(t.Context(), teams.SubscriptionRecord{ID: "s", Resource: "/teams/getAllMessages", Expires: r.now, CreatedAt: r.now}))
	require.NoError(t, rt.wasAway(t.Context()))
	require.True(t, r.state().Any())
	r.after(t, time.Second)
	require.Equal(t, 1, r.reads)

	var none *webhookGaps
	require.False(t, none.state().Any())
	require.Empty(t, none.doubtful())
	none.missed()
	none.expect(teams.MessageRef{})
}

func TestStatusTellsOfDoubts(t *testing.T) {
	r := newGapsRig()
	for _, reason := range teams.DoubtReasons() {
		r.doubts.Note(reason)
	}
	s := &statusReport{now: r.now, webhook: true, doubt: r.state()}
	lines := strings.Join(s.subscriptionLines(texts.Texts{}), "\n")
	require.Contains(t, lines, "read all the time")
	for _, key := range doubtReasons {
		require.Contains(t, lines, texts.Texts{}.Say(key))
	}
	require.Len(t, doubtReasons, len(teams.DoubtReasons()))
	s.doubt = teams.WebhookDoubt{}
	require.NotContains(t, strings.Join(s.subscriptionLines(texts.Texts{}), "\n"), "read all the time")
}

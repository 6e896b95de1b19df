package databasetest

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"teamsbridge/database"
)

func testNotifications(t *testing.T, ctx context.Context, e *env) {
	s := e.db.Notifications
	for _, body := range []string{"a", "b", "c"} {
		require.NoError(t, s.AppendNotification(ctx, []byte(body), e.clock.Now()))
	}
	got, err := e.other.Notifications.PendingNotifications(ctx, 2)
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, "a", string(got[0].Body))
	require.Equal(t, e.clock.Now(), got[0].ReceivedAt)
	require.NoError(t, s.DeleteNotification(ctx, got[0].Seq))
	require.Error(t, s.QuarantineNotification(ctx, got[1].Seq, ""))
	require.NoError(t, s.QuarantineNotification(ctx, got[1].Seq, "forged token"))
	pending, quarantined, err := s.Count(ctx)
	require.NoError(t, err)
	require.Equal(t, []int{1, 1}, []int{pending, quarantined})
	aside, err := s.Quarantined(ctx, 5)
	require.NoError(t, err)
	require.Equal(t, "forged token", aside[0].Reason)
	require.Equal(t, "b", string(aside[0].Body))
	e.clock.Advance(time.Hour)
	n, err := s.PurgeQuarantined(ctx, e.clock.Now())
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	rest, err := s.PendingNotifications(ctx, 5)
	require.NoError(t, err)
	require.Len(t, rest, 1)
	require.Equal(t, "c", string(rest[0].Body))
}

func testCursors(t *testing.T, ctx context.Context, e *env) {
	c, err := e.db.Cursors.LoadCursor(ctx, "team/1")
	require.NoError(t, err)
	require.Equal(t, database.Cursor{}, c)
	want := database.Cursor{Link: "https://graph/x?$deltatoken=1", Watermark: e.clock.Now(), Reader: "delta", FullAt: e.clock.Now().Add(time.Second)}
	precise := want
	precise.Watermark = want.Watermark.Add(999 * time.Microsecond)
	require.NoError(t, e.db.Cursors.SaveCursor(ctx, "team/1", database.Cursor{Reader: "list"}))
	require.NoError(t, e.db.Cursors.SaveCursor(ctx, "team/1", precise))
	c, err = e.other.Cursors.LoadCursor(ctx, "team/1")
	require.NoError(t, err)
	require.Equal(t, want, c, "a watermark is rounded down")
	require.NoError(t, e.db.Cursors.SaveCursor(ctx, "team_1", database.Cursor{Link: "x"}))
	listed, err := e.db.Cursors.ListCursors(ctx, "team/")
	require.NoError(t, err)
	require.Equal(t, map[string]database.Cursor{"team/1": want}, listed, "a prefix is no pattern")
	require.NoError(t, e.db.Cursors.DeleteCursor(ctx, "team_1"))
	require.NoError(t, e.db.Cursors.DeleteCursor(ctx, "team/1"))
	c, err = e.db.Cursors.LoadCursor(ctx, "team/1")
	require.NoError(t, err)
	require.Zero(t, c)
}

func testSubscriptions(t *testing.T, ctx context.Context, e *env) {
	sub := database.Subscription{
		ID: "s1", Resource: "/teams/getAllMessages", ClientState: "a shared secret", CertificateID: "cert1",
		Expires: e.clock.Now().Add(time.Hour), CreatedAt: e.clock.Now(),
	}
	require.NoError(t, e.db.Subscriptions.Upsert(ctx, sub))
	sub.ReauthorizedAt, sub.CertificateID = e.clock.Now(), "cert2"
	require.NoError(t, e.db.Subscriptions.Upsert(ctx, sub))
	all, err := e.other.Subscriptions.All(ctx)
	require.NoError(t, err)
	require.Equal(t, []database.Subscription{sub}, all)
	require.NotContains(t, rawBytes(t, ctx, e, "SELECT client_state FROM teams_subscription"), "shared secret")
	require.NoError(t, e.db.Subscriptions.Delete(ctx, "s1"))
	all, err = e.db.Subscriptions.All(ctx)
	require.NoError(t, err)
	require.Empty(t, all)
}

func testStaff(t *testing.T, ctx context.Context, e *env) {
	a := database.Staff{UserID: "a", UPN: "a@corp", Mail: "a.b@corp", DisplayName: "A", MXID: "@a:corp", Status: database.StaffMapped}
	g := database.Staff{UserID: "g", UPN: "g#EXT#@corp", Status: database.StaffGuest, Reason: "guests are excluded"}
	require.NoError(t, e.db.Staff.Upsert(ctx, a, g))
	a.DisplayName = "A B"
	require.NoError(t, e.db.Staff.Upsert(ctx, a))
	all, err := e.other.Staff.All(ctx)
	require.NoError(t, err)
	require.Equal(t, []database.Staff{a, g}, all)
	got, err := e.db.Staff.ByUser(ctx, "g")
	require.NoError(t, err)
	require.Equal(t, &g, got)
	got, err = e.db.Staff.ByMXID(ctx, "@a:corp")
	require.NoError(t, err)
	require.Equal(t, &a, got)
	got, err = e.db.Staff.ByMXID(ctx, "")
	require.NoError(t, err)
	require.Nil(t, got)
	a.Status = database.StaffDisabled
	require.NoError(t, e.db.Staff.Upsert(ctx, a))
	got, err = e.db.Staff.ByMXID(ctx, "@a:corp")
	require.NoError(t, err)
	require.Nil(t, got, "who is disabled is nobody in Matrix")
	require.NoError(t, e.db.Staff.Delete(ctx, "a"))
	all, err = e.db.Staff.All(ctx)
	require.NoError(t, err)
	require.Len(t, all, 1)
}

func testConversations(t *testing.T, ctx context.Context, e *env) {
	c := database.Conversation{
		Portal: "c:t/1", Kind: database.ConversationChannel, TeamID: "t", ChannelID: "1", Name: "General", Membership: "standard",
		State: database.ConversationWanted, InfoHash: "h", MembersHash: "m", SyncedAt: e.clock.Now(), MembersAt: e.clock.Now(),
		HistoryAt: e.clock.Now(), LastMessageAt: e.clock.Now(),
	}
	require.NoError(t, e.db.Conversations.Upsert(ctx, c))
	require.NoError(t, e.db.Conversations.SetState(ctx, c.Portal, database.ConversationDetached, "deleted in Teams"))
	require.NoError(t, e.db.Conversations.SetState(ctx, "unknown", database.ConversationDetached, ""))
	require.NoError(t, e.db.Conversations.Touch(ctx, c.Portal, e.clock.Now().Add(time.Minute)))
	require.NoError(t, e.db.Conversations.Touch(ctx, c.Portal, e.clock.Now()))
	want := c
	want.State, want.Reason, want.LastMessageAt = database.ConversationDetached, "deleted in Teams", e.clock.Now().Add(time.Minute)
	got, err := e.other.Conversations.Get(ctx, c.Portal)
	require.NoError(t, err)
	require.Equal(t, &want, got)
	require.NoError(t, e.db.Conversations.Upsert(ctx, c))
	byTeam, err := e.db.Conversations.ByTeam(ctx, "t")
	require.NoError(t, err)
	want.State, want.Reason = c.State, ""
	require.Equal(t, []database.Conversation{want}, byTeam, "the newest message stays the newest")
	all, err := e.db.Conversations.All(ctx)
	require.NoError(t, err)
	require.Equal(t, byTeam, all)
	require.NoError(t, e.db.Conversations.Delete(ctx, c.Portal))
	got, err = e.db.Conversations.Get(ctx, c.Portal)
	require.NoError(t, err)
	require.Nil(t, got)
}

func testSelections(t *testing.T, ctx context.Context, e *env) {
	team := database.Selection{TeamID: "t", Mirror: true, By: "@admin:corp", At: e.clock.Now()}
	channel := database.Selection{TeamID: "t", ChannelID: "1", Mirror: true, By: "@admin:corp", At: e.clock.Now()}
	require.NoError(t, e.db.Selections.Set(ctx, team))
	require.NoError(t, e.db.Selections.Set(ctx, channel))
	channel.Mirror = false
	require.NoError(t, e.db.Selections.Set(ctx, channel))
	all, err := e.other.Selections.All(ctx)
	require.NoError(t, err)
	require.Equal(t, []database.Selection{team, channel}, all)
	require.NoError(t, e.db.Selections.Delete(ctx, "t", "1"))
	all, err = e.db.Selections.All(ctx)
	require.NoError(t, err)
	require.Equal(t, []database.Selection{team}, all)
}

func testOptOuts(t *testing.T, ctx context.Context, e *env) {
	require.NoError(t, e.db.OptOuts.Add(ctx, "@a:b", "!r"))
	require.NoError(t, e.db.OptOuts.Add(ctx, "@a:b", "!r"))
	has, err := e.other.OptOuts.Has(ctx, "@a:b", "!r")
	require.NoError(t, err)
	require.True(t, has)
	has, err = e.db.OptOuts.Has(ctx, "@a:b", "!other")
	require.NoError(t, err)
	require.False(t, has)
	all, err := e.db.OptOuts.All(ctx)
	require.NoError(t, err)
	require.Equal(t, []database.OptOut{{MXID: "@a:b", RoomID: "!r", At: e.clock.Now()}}, all)
	require.NoError(t, e.db.OptOuts.Remove(ctx, "@a:b", "!r"))
	has, err = e.db.OptOuts.Has(ctx, "@a:b", "!r")
	require.NoError(t, err)
	require.False(t, has)
}

func testAccounts(t *testing.T, ctx context.Context, e *env) {
	a := database.Account{
		Key: "relay/1", Kind: database.AccountRelay, UserID: "aad", UPN: "relay@corp", DisplayName: "Relay", MXID: "@admin:corp",
		State: database.AccountOK, UpdatedAt: e.clock.Now(),
	}
	token, err := e.db.Accounts.LoadToken(ctx, a.Key)
	require.NoError(t, err)
	require.Empty(t, token)
	require.NoError(t, e.db.Accounts.SaveToken(ctx, a.Key, "refresh-1"), "a token is saved before anything else is known")
	require.NoError(t, e.db.Accounts.Upsert(ctx, a))
	require.NoError(t, e.db.Accounts.SaveToken(ctx, a.Key, "refresh-2"))
	require.NoError(t, e.db.Accounts.Upsert(ctx, a))
	token, err = e.other.Accounts.LoadToken(ctx, a.Key)
	require.NoError(t, err)
	require.Equal(t, "refresh-2", token, "storing an account keeps its token")
	ok, err := e.db.Accounts.RotateToken(ctx, a.Key, "refresh-1", "refresh-3")
	require.NoError(t, err)
	require.False(t, ok, "somebody signed in anew meanwhile")
	ok, err = e.db.Accounts.RotateToken(ctx, a.Key, "refresh-2", "refresh-3")
	require.NoError(t, err)
	require.True(t, ok)
	token, err = e.other.Accounts.LoadToken(ctx, a.Key)
	require.NoError(t, err)
	require.Equal(t, "refresh-3", token)
	require.NotContains(t, rawBytes(t, ctx, e, "SELECT refresh_token FROM teams_account"), "refresh")

	got, err := e.db.Accounts.Get(ctx, a.Key)
	require.NoError(t, err)
	require.Equal(t, &a, got)
	require.NoError(t, e.db.Accounts.SetState(ctx, a.Key, database.AccountExpired, "sign in again"))
	all, err := e.db.Accounts.All(ctx, database.AccountRelay)
	require.NoError(t, err)
	a.State, a.Reason = database.AccountExpired, "sign in again"
	require.Equal(t, []database.Account{a}, all)
	all, err = e.db.Accounts.All(ctx, database.AccountUser)
	require.NoError(t, err)
	require.Empty(t, all)
	all, err = e.db.Accounts.All(ctx, "")
	require.NoError(t, err)
	require.Len(t, all, 1)

	// A token that is moved to another account does not open.
	_, err = e.db.Exec(ctx, `INSERT INTO teams_account (key, kind, user_id, upn, display_name, mxid, refresh_token, state, reason, updated_at)
		SELECT 'thief', kind, user_id, upn, display_name, mxid, refresh_token, state, reason, updated_at FROM teams_account`)
	require.NoError(t, err)
	_, err = e.db.Accounts.LoadToken(ctx, "thief")
	require.ErrorIs(t, err, database.ErrUnsealable)
	require.NoError(t, e.db.Accounts.Delete(ctx, a.Key))
	token, err = e.db.Accounts.LoadToken(ctx, a.Key)
	require.NoError(t, err)
	require.Empty(t, token)
	for _, older := range []string{"refresh-3", ""} {
		ok, err = e.db.Accounts.RotateToken(ctx, a.Key, older, "refresh-4")
		require.NoError(t, err)
		require.False(t, ok, "somebody signed out meanwhile")
	}
	got, err = e.db.Accounts.Get(ctx, a.Key)
	require.NoError(t, err)
	require.Nil(t, got)

	unsealed := database.New(e.db.Database, zerolog.Nop(), nil)
	require.ErrorIs(t, unsealed.Accounts.SaveToken(ctx, "x", "secret"), database.ErrNoSealer)
}

func testKeys(t *testing.T, ctx context.Context, e *env) {
	v, err := e.db.Keys.Get(ctx, "certificate")
	require.NoError(t, err)
	require.Nil(t, v)
	v, err = e.db.Keys.SetOnce(ctx, "certificate", []byte("first secret"))
	require.NoError(t, err)
	require.Equal(t, "first secret", string(v))
	v, err = e.other.Keys.SetOnce(ctx, "certificate", []byte("second secret"))
	require.NoError(t, err)
	require.Equal(t, "first secret", string(v))
	require.NoError(t, e.db.Keys.Set(ctx, "certificate", []byte("third secret")))
	v, err = e.other.Keys.Get(ctx, "certificate")
	require.NoError(t, err)
	require.Equal(t, "third secret", string(v))
	require.NotContains(t, rawBytes(t, ctx, e, "SELECT value FROM teams_key"), "secret")
	require.NoError(t, e.db.Keys.Delete(ctx, "certificate"))
	v, err = e.db.Keys.Get(ctx, "certificate")
	require.NoError(t, err)
	require.Nil(t, v)
}

func testEchoes(t *testing.T, ctx context.Context, e *env) {
	a := database.Echo{SourceKey: "k1", EventID: "$1", RoomID: "!r", At: e.clock.Now()}
	last, err := e.db.Echoes.Last(ctx)
	require.NoError(t, err)
	require.Zero(t, last)
	dup, err := e.db.Echoes.Record(ctx, nil)
	require.NoError(t, err)
	require.Empty(t, dup)
	dup, err = e.db.Echoes.Record(ctx, []database.Echo{a, a, {SourceKey: "k2", EventID: "$2"}})
	require.NoError(t, err)
	require.Empty(t, dup, "a redelivered echo is no duplicate")
	twice := a
	twice.EventID = "$3"
	dup, err = e.db.Echoes.Record(ctx, []database.Echo{{SourceKey: "k3", EventID: "$4"}, {SourceKey: "k3", EventID: "$5"}})
	require.NoError(t, err)
	require.Len(t, dup, 1, "both in one transaction")
	require.Equal(t, "$5", dup[0].EventID)
	dup, err = e.other.Echoes.Record(ctx, []database.Echo{twice})
	require.NoError(t, err)
	require.Equal(t, []database.Echo{twice}, dup)
	last, err = e.db.Echoes.Last(ctx)
	require.NoError(t, err)
	require.Equal(t, e.clock.Now().UnixMilli(), last.UnixMilli())
	got, err := e.db.Echoes.Get(ctx, "k1")
	require.NoError(t, err)
	require.Equal(t, &a, got)
	got, err = e.other.Echoes.ByEvent(ctx, "$1", e.clock.Now().Add(-time.Hour))
	require.NoError(t, err)
	require.Equal(t, &a, got)
	for event, since := range map[string]time.Time{"$1": e.clock.Now().Add(time.Second), "$none": e.clock.Now().Add(-time.Hour)} {
		got, err = e.db.Echoes.ByEvent(ctx, event, since)
		require.NoError(t, err)
		require.Nil(t, got)
	}
	got, err = e.db.Echoes.Get(ctx, "none")
	require.NoError(t, err)
	require.Nil(t, got)
	_, err = e.db.Echoes.Record(ctx, []database.Echo{{SourceKey: "k4"}})
	require.NoError(t, err)
	require.NoError(t, e.db.Echoes.Forget(ctx, "k4"))
	got, err = e.db.Echoes.Get(ctx, "k4")
	require.NoError(t, err)
	require.Nil(t, got)
	dup, err = e.db.Echoes.Record(ctx, []database.Echo{{SourceKey: "k3", EventID: "$6", RoomID: "!new"}})
	require.NoError(t, err)
	require.Empty(t, dup, "a room made anew")
	got, err = e.db.Echoes.Get(ctx, "k3")
	require.NoError(t, err)
	require.Equal(t, "$6", got.EventID)
	require.Equal(t, "!new", got.RoomID)
	require.NoError(t, e.db.Echoes.KeepDoubled(ctx, []database.Echo{twice, twice}))
	doubled, err := e.other.Echoes.Doubled(ctx, 10)
	require.NoError(t, err)
	require.Equal(t, []database.Echo{twice}, doubled)
	require.NoError(t, e.db.Echoes.Healed(ctx, twice, twice.EventID, "$1"))
	doubled, err = e.db.Echoes.Doubled(ctx, 10)
	require.NoError(t, err)
	require.Empty(t, doubled)
	got, err = e.db.Echoes.Get(ctx, "k1")
	require.NoError(t, err)
	require.Equal(t, "$3", got.EventID)
	require.NoError(t, e.db.Echoes.KeepDoubled(ctx, []database.Echo{twice}), "told again")
	doubled, err = e.db.Echoes.Doubled(ctx, 10)
	require.NoError(t, err)
	require.Equal(t, []database.Echo{twice}, doubled, "it is looked at again")
	require.NoError(t, e.db.Echoes.Healed(ctx, twice, "", ""))
	require.NoError(t, e.db.Echoes.TakenBack(ctx, database.Echo{SourceKey: "k2", EventID: "$2", RoomID: "!r"}))
	got, err = e.db.Echoes.Get(ctx, "k2")
	require.NoError(t, err)
	require.Nil(t, got)
	for event, key := range map[string]string{"$1": "k1", "$2": "k2", "$3": "k1"} {
		got, err = e.other.Echoes.DoubledEvent(ctx, event)
		require.NoError(t, err)
		require.Equal(t, key, got.SourceKey, "answers to what was removed find their message")
	}
	n, err := e.db.Echoes.Purge(ctx, e.clock.Now().Add(1*time.Second))
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	got, err = e.db.Echoes.DoubledEvent(ctx, "$1")
	require.NoError(t, err)
	require.Nil(t, got)
}

func rawBytes(t *testing.T, ctx context.Context, e *env, query string) string {
	t.Helper()
	var raw []byte
	require.NoError(t, e.db.QueryRow(ctx, query).Scan(&raw))
	require.NotEmpty(t, raw)
	return string(raw)
}

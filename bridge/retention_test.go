package bridge

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/texts"
)

func testRetention(t *testing.T, cfg OutageConfig) *retention {
	t.Helper()
	names := map[string]string{"1": "Sales EMEA", "2": "Sales APAC", "3": "Care"}
	return &retention{cfg: cfg, outages: testDB(t).Outages, name: func(teamID string) string { return names[teamID] }}
}

func TestPolicyOfATeam(t *testing.T) {
	none, hours := Age(0), Age(2*time.Hour)
	r := testRetention(t, OutageConfig{Policy: portal.PolicyFull, MaxAge: Age(48 * time.Hour), Teams: map[string]TeamOutageConfig{
		"sales *":    {Policy: portal.PolicyNone},
		"Sales EMEA": {MaxAge: &hours},
		"3":          {Policy: portal.PolicyDigest, MaxAge: &none},
		"Care":       {Policy: portal.PolicyNone},
	}})
	for portalID, want := range map[string]string{
		"c:1/a": "full 2h0m0s", "c:2/a": "none 48h0m0s", "c:3/a": "digest 0s", "c:4/a": "full 48h0m0s", "t:2": "none 48h0m0s",
	} {
		policy, maxAge := r.policy(portalID)
		require.Equal(t, want, policy+" "+maxAge.String(), portalID)
	}
}

func TestWhatIsKeptIsWhatWasSaidWhileNothingCouldBeWritten(t *testing.T) {
	r := testRetention(t, OutageConfig{Policy: portal.PolicyNone})
	now := time.Now()
	at := func(seconds int64) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	kept := func(portalID string, id int64) bool {
		ok, err := r.kept(t.Context(), &database.OutboxRow{ID: id, Portal: portalID, EventAt: at(id), CreatedAt: at(id)})
		require.NoError(t, err)
		return ok
	}
	require.False(t, kept("c:1/a", 5))
	require.False(t, r.outage(t.Context(), "c:1/a"))
	drill := &database.Outage{Kind: database.OutageDrill, FirstRow: 1}
	require.NoError(t, r.outages.Begin(t.Context(), drill))
	require.False(t, kept("c:1/a", 5), "a rehearsal costs nobody a message")
	require.False(t, r.outage(t.Context(), "c:1/a"))

	o := &database.Outage{Kind: database.OutageDetected, FirstRow: 10}
	require.NoError(t, r.outages.Begin(t.Context(), o))
	require.True(t, r.outage(t.Context(), "c:1/a"))
	require.False(t, kept("c:1/a", 10), "nobody says that it could not be written")
	require.NoError(t, r.outages.Block(t.Context(), o.ID, database.SpanWrite, at(10)))
	require.False(t, kept("c:1/a", 9))
	require.True(t, kept("c:1/a", 10))
	o.Ended, o.LastRow = time.Now(), 20
	require.NoError(t, r.outages.Unblock(t.Context(), o.ID, database.SpanWrite, at(21)))
	require.NoError(t, r.outages.Update(t.Context(), o))
	require.True(t, kept("c:1/a", 20), "also when it is over, as long as it waits")
	require.False(t, kept("c:1/a", 21))
	require.False(t, r.outage(t.Context(), "c:1/a"), "over although its queue is not empty")

	other := &database.Outage{Kind: database.OutageDeclared, Scope: "t:2", FirstRow: 30}
	require.NoError(t, r.outages.Begin(t.Context(), other))
	require.NoError(t, r.outages.Block(t.Context(), other.ID, database.SpanWrite, at(30)))
	require.True(t, kept("c:2/a", 31))
	require.False(t, kept("c:1/a", 31), "another team's outage")
}

// A room is told once of what stays: at the outage's end if it knows of that one.
func TestWhoTellsWhatIsKept(t *testing.T) {
	r, now := testRetention(t, OutageConfig{Policy: portal.PolicyNone}), time.Now()
	told := func(portalID string, done time.Time) bool {
		ok, err := r.toldAtEnd(t.Context(), &database.OutboxRow{ID: 15, Portal: portalID, DoneAt: done})
		require.NoError(t, err)
		return ok
	}
	o := &database.Outage{Kind: database.OutageDetected, FirstRow: 10}
	require.NoError(t, r.outages.Begin(t.Context(), o))
	require.False(t, told("c:1/a", now), "the room does not know of the outage")
	room := database.OutageRoom{OutageID: o.ID, Portal: "c:1/a", BeganTold: now.Add(-time.Hour)}
	require.NoError(t, r.outages.TellRoom(t.Context(), room))
	o.Ended, o.LastRow = now, 20
	require.NoError(t, r.outages.Update(t.Context(), o))
	require.True(t, told("c:1/a", now))
	require.False(t, told("c:1/b", now), "another room")
	room.EndedTold = now.Add(time.Minute)
	require.NoError(t, r.outages.TellRoom(t.Context(), room))
	o.Drained = room.EndedTold
	require.NoError(t, r.outages.Update(t.Context(), o))
	require.True(t, told("c:1/a", now), "it was in that notice")
	require.False(t, told("c:1/a", now.Add(2*time.Minute)), "it was not: it came to an end later")
}

// A digest is put together when Teams takes it: until then people change what
// waits.
func TestNoDigestInAnOutage(t *testing.T) {
	r := testRetention(t, OutageConfig{Policy: portal.PolicyDigest, DigestAbove: 50})
	require.Equal(t, 50, r.digestAbove("c:1/a"))
	down := true
	r.noWriting = func() bool { return down }
	require.Zero(t, r.digestAbove("c:1/a"))
	down = false
	require.Equal(t, 50, r.digestAbove("c:1/a"))
}

// A digest says why its messages waited.
func TestWhyADigestWaited(t *testing.T) {
	r := testRetention(t, OutageConfig{Policy: portal.PolicyDigest})
	now := time.Now().Truncate(time.Millisecond)
	at := func(seconds int64) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	why := func(ids ...int64) texts.Key {
		var rows []*database.OutboxRow
		for _, id := range ids {
			row := &database.OutboxRow{ID: id, Portal: "c:1/a", EventAt: at(id), CreatedAt: at(id)}
			if id >= 40 {
				row.HeldUntil = at(id + 1)
			}
			rows = append(rows, row)
		}
		key, err := r.waited(t.Context(), rows)
		require.NoError(t, err)
		return key
	}
	other := &database.Outage{Kind: database.OutageDrill, Scope: "t:2", FirstRow: 1, LastRow: 100, Ended: at(100)}
	drill := &database.Outage{Kind: database.OutageDrill, Scope: "t:1", FirstRow: 20, LastRow: 29, Ended: at(29)}
	real := &database.Outage{Kind: database.OutageDetected, FirstRow: 8, LastRow: 19, Ended: at(19)}
	for _, o := range []*database.Outage{other, drill, real} {
		require.NoError(t, r.outages.Begin(t.Context(), o))
		require.NoError(t, r.outages.Update(t.Context(), o))
	}
	require.NoError(t, r.outages.Block(t.Context(), real.ID, database.SpanWrite, at(10)))
	require.NoError(t, r.outages.Unblock(t.Context(), real.ID, database.SpanWrite, at(19)))
	require.Equal(t, texts.WhileUnavailable, why(10, 11))
	key, err := r.waited(t.Context(), []*database.OutboxRow{{ID: 12, Portal: "c:1/a", EventAt: at(-600), CreatedAt: at(12)}})
	require.NoError(t, err)
	require.Equal(t, texts.WhileUnavailable, key, "a puppet says itself when that was")
	require.Equal(t, texts.WhileUnavailable, why(8, 10, 45), "what waited behind or before it waited because of it")
	require.Equal(t, texts.WhileRehearsed, why(25, 30))
	require.Equal(t, texts.WhileHeld, why(40, 41))
	require.Equal(t, texts.WhileSlow, why(30, 31))
}

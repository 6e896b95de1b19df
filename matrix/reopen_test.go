package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"teamsbridge/database"
	"teamsbridge/database/databasetest"
)

// What the journal holds and the encryption key does not open is asked of the
// homeserver, in order; what that does not have is counted and holds up nothing.
func TestLostKeyJournal(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	path := filepath.Join(t.TempDir(), "db")
	b := startBridge(t, hs, bridgeOptions{path: path})
	b.stop()
	events := []map[string]any{
		evt("$one", "one"), evt("$nowhere", "nobody has it"), evt("$two", "two"),
		evt("$gone", "", map[string]any{"content": map[string]any{}}), evt("$three", "three"),
	}
	seal, err := database.NewSealer("the key that nobody has any more")
	require.NoError(t, err)
	raw := databasetest.OpenSQLite(t, path)
	lost := database.New(raw, zerolog.Nop(), seal)
	for i, e := range events {
		id := e["event_id"].(string)
		body, err := json.Marshal(e)
		require.NoError(t, err)
		require.NoError(t, lost.Journal.Append(ctx, []database.JournalEntry{{EventID: id, RoomID: portalRoom, Type: "m.room.message", Raw: body}}))
		if i != 1 {
			hs.feed.add(e)
		}
	}
	require.NoError(t, raw.Close())

	b = startBridge(t, hs, bridgeOptions{path: path})
	b.eventually("they are queued", func() bool { return fmt.Sprint(b.queue()) == "[$one $two $three]" })
	b.eventually("the journal is empty", func() bool { return b.journalCount() == 0 })
	require.Equal(t, 3, b.count(Reopened))
	require.Equal(t, 1, b.count(Unopened))
	require.Equal(t, 1, b.count(RedactedBefore))
}

// While the homeserver does not answer, what has to be asked of it is not given up,
// and uses up none of its tries.
func TestLostKeyWhileTheHomeserverIsAway(t *testing.T) {
	ctx := context.Background()
	hs := newHomeserver(t)
	path := filepath.Join(t.TempDir(), "db")
	b := startBridge(t, hs, bridgeOptions{path: path})
	e := evt("$one", "one")
	body, err := json.Marshal(e)
	require.NoError(t, err)
	hs.feed.add(e)
	hs.feed.change(func(f *fakeFeed) { f.single = http.StatusBadGateway })
	seal, err := database.NewSealer("the key that nobody has any more")
	require.NoError(t, err)
	lost := database.NewWithClock(b.db.Database, zerolog.Nop(), seal, b.clock.Now)
	require.NoError(t, lost.Journal.Append(ctx, []database.JournalEntry{{EventID: "$one", RoomID: portalRoom, Type: "m.room.message", Raw: body}}))
	require.NoError(t, b.conn.journal.prepare(ctx))
	for range maxStuck + 1 {
		b.clock.Advance(stuckAfter)
		require.Error(t, b.conn.journal.replay(ctx))
		require.Error(t, b.conn.journal.sweep(ctx))
	}
	entry, err := b.db.Journal.Get(ctx, "$one")
	require.NoError(t, err)
	require.NotNil(t, entry)
	require.Zero(t, entry.Attempts)

	hs.feed.change(func(f *fakeFeed) { f.single = 0 })
	require.NoError(t, b.conn.journal.sweep(ctx))
	b.eventually("it is queued", func() bool { return fmt.Sprint(b.queue()) == "[$one]" })
	b.eventually("the journal is empty", func() bool { return b.journalCount() == 0 })
}

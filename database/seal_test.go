package database_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teamsbridge/database"
	"teamsbridge/database/databasetest"
)

func TestSealer(t *testing.T) {
	first, err := database.NewSealer("the first secret!")
	require.NoError(t, err)
	rotated, err := database.NewSealer("the second secret", "the first secret!")
	require.NoError(t, err)
	other, err := database.NewSealer("the second secret")
	require.NoError(t, err)

	sealed, err := first.Seal([]byte("token"), "account:1")
	require.NoError(t, err)
	require.False(t, bytes.Contains(sealed, []byte("token")))
	again, err := first.Seal([]byte("token"), "account:1")
	require.NoError(t, err)
	require.NotEqual(t, sealed, again, "the nonce is never reused")
	for name, s := range map[string]database.Sealer{"same": first, "rotated": rotated} {
		plain, err := s.Open(sealed, "account:1")
		require.NoError(t, err, name)
		require.Equal(t, "token", string(plain), name)
	}
	_, err = other.Open(sealed, "account:1")
	require.ErrorIs(t, err, database.ErrUnknownKey)
	_, err = first.Open(sealed, "account:2")
	require.ErrorIs(t, err, database.ErrUnsealable)
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		_, err = first.Open(bad, "account:1")
		require.Error(t, err, "byte %d", i)
		_, err = first.Open(sealed[:i], "account:1")
		require.Error(t, err, "cut at %d", i)
	}
	_, err = database.NewSealer("short")
	require.ErrorIs(t, err, database.ErrWeakKey)
	_, err = database.NewSealer("the first secret!", "short")
	require.ErrorIs(t, err, database.ErrWeakKey)
}

// TestNothingIsLeftInTheFile looks into the bytes of SQLite's files: what a version
// before left in the clear is not there any more when all is sealed.
func TestNothingIsLeftInTheFile(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "db")
	raw := databasetest.OpenSQLite(t, path)
	db := databasetest.New(t, raw)
	files := func() string {
		t.Helper()
		var all []byte
		for _, name := range []string{path, path + "-wal"} {
			data, err := os.ReadFile(name)
			require.NoError(t, err)
			all = append(all, data...)
		}
		return string(all)
	}
	const word = "Rumpelstilzchen"
	// Small ones, and such as fill pages of their own.
	for i := range 40 {
		text := word + strings.Repeat("x", 300*i)
		_, err := db.Outbox.Enqueue(ctx, &database.OutboxRow{EventID: fmt.Sprint("$", i), Portal: "c:1", Kind: database.KindMessage, Payload: []byte(text)})
		require.NoError(t, err)
		require.NoError(t, db.Journal.Append(ctx, []database.JournalEntry{{EventID: fmt.Sprint("$", i, "j"), Raw: []byte(text)}}))
	}
	require.NotContains(t, files(), word, "nothing is ever there in the clear")
	for i := range 40 {
		text := []byte(word + strings.Repeat("x", 300*i))
		_, err := raw.Exec(ctx, `UPDATE teams_outbox SET payload = $1 WHERE event_id = $2`, text, fmt.Sprint("$", i))
		require.NoError(t, err)
	}
	require.NoError(t, db.Sealing.Tidy(ctx))
	require.Contains(t, files(), word)
	for done := false; !done; {
		var err error
		_, done, err = db.Sealing.Step(ctx, 7)
		require.NoError(t, err)
	}
	require.NoError(t, db.Sealing.Tidy(ctx))
	require.NotContains(t, files(), word)
	queue, err := db.Outbox.Queue(ctx, "c:1", 99)
	require.NoError(t, err)
	require.Len(t, queue, 40)
	for i, r := range queue {
		require.Equal(t, word+strings.Repeat("x", 300*i), string(r.Payload))
	}
}

// TestOlderVersionsStayOut guards that no upgrade lets a version read the tables
// that does not know sealed messages.
func TestOlderVersionsStayOut(t *testing.T) {
	entries, err := os.ReadDir("upgrades")
	require.NoError(t, err)
	header := regexp.MustCompile(`^-- v(\d+)(?: \(compatible with v(\d+)\+\))?:`)
	seen := false
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".sql") || strings.HasPrefix(entry.Name(), "00-") {
			continue
		}
		data, err := os.ReadFile(filepath.Join("upgrades", entry.Name()))
		require.NoError(t, err)
		found := header.FindStringSubmatch(string(data))
		require.NotNil(t, found, entry.Name())
		switch {
		case strings.HasSuffix(entry.Name(), "-seal.sql"):
			seen = true
			require.Empty(t, found[2], "older versions can't read what is sealed")
		case seen && found[2] != "":
			compatible, err := strconv.Atoi(found[2])
			require.NoError(t, err)
			require.GreaterOrEqual(t, compatible, 16, entry.Name())
		}
	}
	require.True(t, seen)
}

// BenchmarkSeal times what the sealing of one message costs.
func BenchmarkSeal(b *testing.B) {
	seal, err := database.NewSealer(databasetest.Secret)
	require.NoError(b, err)
	for _, size := range []int{300, 1500, 30_000} {
		plain := bytes.Repeat([]byte("x"), size)
		sealed, err := seal.Seal(plain, "teams_outbox.payload:$event")
		require.NoError(b, err)
		b.Run(fmt.Sprint("Seal", size), func(b *testing.B) {
			for b.Loop() {
				_, _ = seal.Seal(plain, "teams_outbox.payload:$event")
			}
		})
		b.Run(fmt.Sprint("Open", size), func(b *testing.B) {
			for b.Loop() {
				_, _ = seal.Open(sealed, "teams_outbox.payload:$event")
			}
		})
	}
}

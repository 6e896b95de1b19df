package audit

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

func at() time.Time { return time.Date(2026, 11, 27, 10, 0, 0, 0, time.FixedZone("CET", 3600)) }

func records(t *testing.T, text []byte) (out []Record) {
	t.Helper()
	for line := range bytes.Lines(text) {
		var r Record
		require.NoError(t, json.Unmarshal(line, &r), "%q", line)
		out = append(out, r)
	}
	return out
}

// TestFile: the file is its owner's alone, only grows, and can be moved away.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := New(path, zerolog.Nop(), at)
	require.NoError(t, l.Check())
	l.Write(Record{Act: Command, Outcome: Asked, By: "@ann:hs.example", Command: "queue", Arguments: "drop all\n{\"act\":\"forged\"}"})
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	moved := path + ".1"
	require.NoError(t, os.Rename(path, moved))
	l.Write(Record{Act: SignOut, Outcome: Done, Account: "u1"})

	first, err := os.ReadFile(moved)
	require.NoError(t, err)
	got := records(t, first)
	require.Len(t, got, 1, "a line break in what somebody wrote makes no second record")
	require.Equal(t, "@ann:hs.example", got[0].By)
	require.Equal(t, "2026-11-27T09:00:00Z", got[0].Time.Format(time.RFC3339))
	second, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Len(t, records(t, second), 1)
}

// TestWhereTheFileCannotBeWritten: the record is in the log, as an error.
func TestWhereTheFileCannotBeWritten(t *testing.T) {
	var log bytes.Buffer
	l := New(filepath.Join(t.TempDir(), "not", "there", "audit.jsonl"), zerolog.New(&log), at)
	require.Error(t, l.Check())
	l.Write(Record{Act: SignIn, Outcome: Done, Account: "u1"})
	require.Contains(t, log.String(), `"level":"error"`)
	require.Contains(t, log.String(), `"account":"u1"`)
}

// TestLogInPlaceOfAFile: without a file, records are lines of the log.
func TestLogInPlaceOfAFile(t *testing.T) {
	var log bytes.Buffer
	l := New("", zerolog.New(&log), at)
	require.NoError(t, l.Check())
	l.Write(Record{Act: Start, Outcome: Done, Version: "1"})
	var line struct{ Audit Record }
	require.NoError(t, json.Unmarshal(log.Bytes(), &line))
	require.Equal(t, Start, line.Audit.Act)
}

// TestManyAtOnce: lines do not run into each other, and stay short.
func TestManyAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := New(path, zerolog.Nop(), at)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			l.Write(Record{Act: Command, Outcome: Asked, Arguments: strings.Repeat("é", 3000) + "\xff"})
		})
	}
	all.Wait()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	got := records(t, text)
	require.Len(t, got, 20)
	require.LessOrEqual(t, len(got[0].Arguments), longest+len("…"))
}

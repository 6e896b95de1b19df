package bridge

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"teamsbridge/bridge/check"
	"teamsbridge/database"
	"teamsbridge/database/databasetest"
)

// The key is changed as docs/operations.md says it: with the one before beside it,
// until the log and check say that nothing needs that any more.
func TestChangeOfTheEncryptionKey(t *testing.T) {
	const keyA, keyB = "the first encryption key of all them", "the second encryption key of them"
	path := filepath.Join(t.TempDir(), "test.db")
	first := openDB(t, path, keyA)
	ctx := t.Context()
	for _, event := range []string{"$a", "$b"} {
		_, err := first.Outbox.Enqueue(ctx, &database.OutboxRow{EventID: event, Portal: "c:1", Kind: database.KindMessage, Payload: []byte(event + " waits")})
		require.NoError(t, err)
	}
	require.NoError(t, first.Accounts.SaveToken(ctx, "user:ann", "a token"))

	// start is what a start with the keys finds, and what its log says.
	start := func(s secrets, work bool) (*database.Database, string, string) {
		seal, err := s.sealer()
		require.NoError(t, err)
		r := &runtime{db: database.New(databasetest.OpenSQLite(t, path), zerolog.Nop(), seal), secrets: s}
		var log bytes.Buffer
		if work {
			require.NoError(t, r.reseal(zerolog.New(&log).WithContext(ctx)))
		}
		report := &check.Report{}
		(&Connector{}).checkSealing(ctx, r.db, s, report.Area("database"))
		var found bytes.Buffer
		require.NoError(t, report.WriteJSON(&found))
		return r.db, log.String(), found.String()
	}
	both := secrets{encryptionKey: keyB, previousKeys: []string{keyA}}
	_, _, report := start(both, false)
	require.Contains(t, report, "still needed")
	_, log, report := start(both, true)
	require.Contains(t, log, `"values":3`)
	require.Contains(t, log, "can be removed")
	require.Contains(t, report, "nothing needs encryption_key_previous")
	_, log, _ = start(both, true)
	require.NotContains(t, log, "values", "nothing is sealed twice")
	require.Contains(t, log, "can be removed", "every start says it")

	alone, log, report := start(secrets{encryptionKey: keyB}, true)
	require.Empty(t, log)
	require.NotContains(t, report, "encryption_key_previous")
	queue, err := alone.Outbox.Queue(ctx, "c:1", 9)
	require.NoError(t, err)
	require.Len(t, queue, 2)
	require.Equal(t, "$a waits", string(queue[0].Payload))
	token, err := alone.Accounts.LoadToken(ctx, "user:ann")
	require.NoError(t, err)
	require.Equal(t, "a token", token)

	// What no key opens is said, and known again when there is one.
	other := secrets{encryptionKey: "a third encryption key, made by mistake"}
	seal, err := other.sealer()
	require.NoError(t, err)
	r := &runtime{db: database.New(databasetest.OpenSQLite(t, path), zerolog.Nop(), seal), secrets: other}
	require.NoError(t, r.resealAll(ctx))
	_, _, report = start(other, false)
	require.Contains(t, report, "3 stored values are sealed with the encryption key")
	other.previousKeys = []string{keyA, keyB}
	_, log, report = start(other, true)
	require.Contains(t, log, `"values":3`)
	require.NotContains(t, report, "stored values")
}

func TestPreviousEncryptionKeys(t *testing.T) {
	key := func(c byte) string { return string(bytes.Repeat([]byte{c}, 32)) }
	file := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(file, []byte(key('a')+"\n"+key('b')+"\n"), 0o600))
	s, err := (&Config{EncryptionKey: key('c'), EncryptionKeyPreviousFile: file}).loadSecrets()
	require.NoError(t, err)
	require.Equal(t, []string{key('a'), key('b')}, s.previousKeys)
	s, err = (&Config{EncryptionKey: key('c'), EncryptionKeyPrevious: key('a')}).loadSecrets()
	require.NoError(t, err)
	require.Equal(t, []string{key('a')}, s.previousKeys)
	s, err = (&Config{EncryptionKey: key('c')}).loadSecrets()
	require.NoError(t, err)
	require.Empty(t, s.previousKeys)
}

// A key that is wrong or missing is named by `check` and at the start, before
// anything is made anew.
func TestMissingEncryptionKey(t *testing.T) {
	const right, wrong = "the right encryption key of them all", "the wrong encryption key of them all"
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "test.db")
	require.NoError(t, openDB(t, path, right).Accounts.SaveToken(ctx, "user:ann", "a token"))
	name := func(key string) string {
		id, err := database.KeyID(key)
		require.NoError(t, err)
		return id
	}
	looks := func(s secrets) (*check.Report, string) {
		seal, err := s.sealer()
		if err != nil {
			seal = nil
		}
		r := &runtime{db: database.New(databasetest.OpenSQLite(t, path), zerolog.Nop(), seal), secrets: s}
		report, log := &check.Report{}, bytes.Buffer{}
		(&Connector{}).checkSealing(ctx, r.db, s, report.Area("database"))
		require.NoError(t, r.tellMissingKeys(zerolog.New(&log).WithContext(ctx)))
		return report, log.String()
	}
	for _, s := range []secrets{{encryptionKey: wrong}, {encryptionKey: wrong, previousKeys: []string{wrong + "!"}}, {}} {
		report, log := looks(s)
		require.Equal(t, check.ExitWrong, report.ExitCode())
		require.Equal(t, "database.missing-key", report.Findings[0].Code)
		require.Contains(t, report.Findings[0].Text, "1 stored values are sealed with the encryption key "+name(right))
		if s.encryptionKey == "" {
			require.Contains(t, report.Findings[0].Text, "there is no encryption_key")
			require.Contains(t, report.Findings[0].Fix, "don't make a new one")
		} else {
			require.Contains(t, report.Findings[0].Text, name(wrong), "to compare with")
			require.Contains(t, report.Findings[0].Fix, "encryption_key_previous")
		}
		require.Contains(t, log, `"level":"error"`)
		require.Contains(t, log, name(right))
	}
	for _, s := range []secrets{{encryptionKey: right}, {encryptionKey: wrong, previousKeys: []string{right}}} {
		report, log := looks(s)
		require.Zero(t, report.Count(check.Wrong), report.Findings)
		require.Empty(t, log)
	}
}

// Notifications that can't be read are put aside, however many there are, and
// everything is read instead; those behind them are processed.
func TestNotificationsThatCantBeOpened(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "test.db")
	before := openDB(t, path, "the key that nobody has any more, 1")
	for range 20 {
		require.NoError(t, before.Notifications.AppendNotification(ctx, []byte("{}"), time.Unix(1, 0)))
	}
	now := openDB(t, path, "the key that is in use since today")
	for i := range 5 {
		require.NoError(t, now.Notifications.AppendNotification(ctx, []byte("{}"), time.Unix(int64(2+i), 0)))
	}
	for _, damage := range []string{`UPDATE teams_notification SET received_at = 9000 WHERE received_at = 2000`, // moved
		`UPDATE teams_notification SET body = substr(body, 1, 20) WHERE received_at = 3000`, // cut
		`UPDATE teams_notification SET body = substr(body, 2) WHERE received_at = 4000`,     // its beginning is gone
		`UPDATE teams_notification SET body = x'00' WHERE received_at = 5000`,               // zeroed
		`UPDATE teams_notification SET body = '{"value":[{' WHERE received_at = 6000`} {     // in the clear, and cut
		_, err := now.Exec(ctx, damage)
		require.NoError(t, err)
	}
	require.NoError(t, now.Notifications.AppendNotification(ctx, []byte(`{"new":1}`), time.Unix(20, 0)))
	read := map[string]int{}
	log := notificationLog{now.Notifications, func(reason string, bodies int) { read[reason] += bodies }}
	pending, err := log.PendingNotifications(ctx, 4)
	require.NoError(t, err)
	require.Len(t, pending, 1, "what can be read is not held up by 25 that can't")
	require.JSONEq(t, `{"new":1}`, string(pending[0].Body))
	require.Equal(t, map[string]int{reasonUnknownKey: 20, reasonDamaged: 5}, read)
	waiting, aside, err := now.Notifications.Count(ctx)
	require.NoError(t, err)
	require.Equal(t, []int{1, 25}, []int{waiting, aside})
	require.NoError(t, now.Notifications.DeleteNotification(ctx, pending[0].Seq))
	pending, err = log.PendingNotifications(ctx, 4)
	require.NoError(t, err)
	require.Empty(t, pending)
}

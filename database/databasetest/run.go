package databasetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.mau.fi/util/dbutil"

	"teamsbridge/database"
)

// Secret is the encryption key of databases that New makes.
const Secret = "an encryption key for tests only"

// Clock is a clock that a test moves.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock starts at a fixed time.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// New makes upgraded stores on a database, with the wall clock.
func New(t testing.TB, parent *dbutil.Database) *database.Database {
	t.Helper()
	return newWithClock(t, parent, time.Now)
}

func newWithClock(t testing.TB, parent *dbutil.Database, now func() time.Time) *database.Database {
	t.Helper()
	seal, err := database.NewSealer(Secret)
	require.NoError(t, err)
	db := database.NewWithClock(parent, zerolog.Nop(), seal, now)
	require.NoError(t, db.Upgrade(context.Background()))
	return db
}

type env struct {
	// parent is what the stores are made on: the one whose log sees every statement.
	parent *dbutil.Database
	db     *database.Database
	clock  *Clock
	// other is a second set of stores on the same database, as a restart sees it.
	other *database.Database
}

// Run checks that the stores keep their promises on a kind of database. open
// returns an empty one each time.
func Run(t *testing.T, open func(t *testing.T) *dbutil.Database) {
	tests := []struct {
		name string
		run  func(t *testing.T, ctx context.Context, e *env)
	}{
		{"UpgradeTwice", testUpgradeTwice},
		{"Transaction", testTransaction},
		{"Journal", testJournal},
		{"JournalSkipsWhatTheOutboxHas", testJournalOutbox},
		{"JournalMany", testJournalMany},
		{"Outbox", testOutbox},
		{"OutboxOrder", testOutboxOrder},
		{"OutboxAside", testOutboxAside},
		{"Written", testWritten},
		{"OutboxCoalescing", testOutboxCoalescing},
		{"OutboxRace", testOutboxRace},
		{"OutboxStates", testOutboxStates},
		{"Sent", testSent},
		{"SentUnfinished", testSentUnfinished},
		{"SentReactions", testSentReactions},
		{"InboxVersions", testInboxVersions},
		{"InboxNewerWhileDelivering", testInboxNewerWhileDelivering},
		{"InboxOrder", testInboxOrder},
		{"InboxRetryAndPark", testInboxRetryAndPark},
		{"InboxRace", testInboxRace},
		{"InboxRedeliver", testInboxRedeliver},
		{"Lookups", testLookups},
		{"Notifications", testNotifications},
		{"Cursors", testCursors},
		{"Subscriptions", testSubscriptions},
		{"Staff", testStaff},
		{"Conversations", testConversations},
		{"Selections", testSelections},
		{"OptOuts", testOptOuts},
		{"Accounts", testAccounts},
		{"Keys", testKeys},
		{"Echoes", testEchoes},
		{"Restores", testRestores},
		{"Late", testLate},
		{"Superseded", testSuperseded},
		{"Uploads", testUploads},
		{"Polls", testPolls},
		{"PollChanges", testPollChanges},
		{"OutboxTallies", testOutboxTallies},
		{"OutboxParking", testOutboxParking},
		{"OutboxDropping", testOutboxDropping},
		{"OutboxOvertaken", testOutboxOvertaken},
		{"OutboxShown", testOutboxShown},
		{"QueuePages", testQueuePages},
		{"OutboxMarks", testOutboxMarks},
		{"InboxDropping", testInboxDropping},
		{"Holds", testHolds}, {"HeldUntil", testHeldUntil}, {"OutageSpans", testOutageSpans}, {"LateRooms", testLateRooms},
		{"Outages", testOutages},
		{"Drills", testDrills}, {"DrillAbsent", testDrillAbsent}, {"DrillUnasked", testDrillUnasked}, {"DrillLooks", testDrillLooks}, {"DrillBusy", testDrillBusy},
		{"Digests", testDigests},
		{"DigestWrites", testDigestWrites},
		{"Sealed", testSealed}, {"SealsAreBound", testSealsAreBound}, {"ClearRows", testClearRows}, {"Rotation", testRotation},
		{"ChangedWhileSealed", testChangedWhileSealed}, {"LostKey", testLostKey},
		{"SealingIsCutOff", testSealingIsCutOff},
		{"OutboxRange", testOutboxRange},
		{"InboxGap", testInboxGap},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			parent, clock := open(t), NewClock()
			e := &env{parent: parent, clock: clock, db: newWithClock(t, parent, clock.Now)}
			e.other = newWithClock(t, parent, clock.Now)
			test.run(t, ctx, e)
		})
	}
}

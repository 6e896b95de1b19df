package bridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.mau.fi/util/dbutil"
	"golang.org/x/time/rate"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

const (
	roomA  = "c:team/a"
	roomB  = "c:team/b"
	roomC  = "c:other/c"
	ops    = "!ops:x"
	boss   = "@boss:x"
	origin = "2026-03-02T10:00:00Z"
)

// statementLog tells of every SQL statement.
type statementLog struct{ tell func() }

func (l statementLog) QueryTiming(_ context.Context, method, _ string, _ []any, _ int, _ time.Duration, _ error) {
	if method != "EndRows" {
		l.tell()
	}
}
func (statementLog) WarnUnsupportedVersion(int, int, int)       {}
func (statementLog) PrepareUpgrade(int, int, int)               {}
func (statementLog) DoUpgrade(int, int, string, dbutil.TxnMode) {}
func (statementLog) Warn(string, ...any)                        {}

// outageTest is what looks after outages, on a real database, between a tenant
// and a homeserver that are a few variables. The clock stands still unless it is
// moved.
type outageTest struct {
	*outages
	t  *testing.T
	db *database.Database

	mu  sync.Mutex
	now time.Time
	// down is whether Teams is down, known whether health has asked.
	down, known bool
	began       time.Time
	cause       outage
	admin       []string
	policies    map[string]string
	reading     readTimes
	// found is what a look finds in each room there is, where foundErr does not say
	// that it can't be made.
	found    map[string]drillFound
	foundErr func(portal string) error
	looks    *drillLooks
	// said is what was said, in order, echoes what the homeserver has for ever and
	// known what it recognises without being looked at.
	said       []notice
	echoes     map[string]bool
	recent     map[string]bool
	refuse     func(to string) bool
	rows       int
	steps      int
	crashAt    int
	ctx        context.Context
	crash      context.CancelFunc
	crashes    int
	begunCount map[string]int
}

func newOutageTest(t *testing.T) *outageTest {
	t.Helper()
	w := &outageTest{t: t, admin: []string{ops}, echoes: map[string]bool{}, policies: map[string]string{}, reading: readTimes{},
		cause: outage{Kind: vitals.TeamsDown, Detail: "GET organization: unavailable (HTTP 503)", NoReading: true, NoWriting: true}, begunCount: map[string]int{}}
	w.now, _ = time.Parse(time.RFC3339, origin)
	parent, err := dbutil.NewFromConfig("test", dbutil.Config{PoolConfig: dbutil.PoolConfig{Type: "sqlite3-fk-wal", MaxOpenConns: 4, MaxIdleConns: 2,
		URI: "file:" + filepath.Join(t.TempDir(), "test.db") + "?_txlock=immediate"}}, statementLog{w.step})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, parent.Close()) })
	seal, err := database.NewSealer("a key of this test, for nobody else")
	require.NoError(t, err)
	w.db = database.NewWithClock(parent, zerolog.Nop(), seal, w.clock)
	require.NoError(t, w.db.Upgrade(t.Context()))
	w.restart()
	w.known = true
	return w
}

func (w *outageTest) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// step is one step at which the bridge may die.
func (w *outageTest) step() {
	w.mu.Lock()
	w.steps++
	die := w.crashAt > 0 && w.steps == w.crashAt
	w.mu.Unlock()
	if die {
		w.crash()
	}
}

// restart is a new process on the same database. The homeserver has forgotten
// the keys of what was sent, as it may.
func (w *outageTest) restart() {
	w.ctx, w.crash = context.WithCancel(w.t.Context())
	w.recent = map[string]bool{}
	held := newHolds(w.db, w.clock, func() {})
	require.NoError(w.t, held.load(w.t.Context()))
	o := newOutages(w.db, held, w.clock)
	o.graph = func() (bool, bool) { return w.down && w.known, w.known }
	o.say = w.say
	o.admins = func() []string { return append([]string(nil), w.admin...) }
	o.policy = func(portal string) string { return w.policies[portal] }
	o.reads = func() readTimes { return w.reading }
	o.title = func(portal string) string { return "Room " + strings.ToUpper(portal[len(portal)-1:]) }
	o.begun = func(kind string) { w.begunCount[kind]++ }
	w.outages = o
	w.looks = newDrillLooks(o)
	w.looks.pace = rate.NewLimiter(rate.Inf, 1)
	w.looks.rooms = w.drillRooms
	w.looks.open = func(context.Context) (func(context.Context, database.Conversation) (drillFound, error), error) {
		return w.lookInto, nil
	}
	w.known, w.reading = false, readTimes{}
}

// say is the homeserver: a key that it remembers, or finds in the room when it
// is told to look, is not said again.
func (w *outageTest) say(ctx context.Context, n notice) error {
	w.step()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.refuse != nil && w.refuse(n.To):
		return errors.New("the homeserver refuses")
	case w.recent[n.Key], n.Doubt && w.echoes[n.Key]:
		return nil
	}
	w.recent[n.Key], w.echoes[n.Key] = true, true
	w.said = append(w.said, n)
	w.mu.Unlock()
	w.step()
	w.mu.Lock()
	return nil
}

// ask is health asking Graph and telling what it finds.
func (w *outageTest) ask() {
	was := w.outages.seenNow() != nil
	switch {
	case w.down && (!was || !w.known):
		w.began = w.clock()
		w.outages.down(w.ctx, w.cause.since(w.began))
	case !w.down && was:
		w.outages.up(w.ctx, outage{Began: w.began, Ended: w.clock()})
	}
	w.known = true
}

// since is an outage with its beginning.
func (o outage) since(began time.Time) outage {
	if o.Began = began; o.NoWriting {
		o.Unwritable = began
	}
	if o.NoReading {
		o.Unreadable = began
	}
	return o
}

func (o *outages) seenNow() *outage {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen
}

// pass lets time pass, with looks as often as there are in reality.
func (w *outageTest) pass(d time.Duration) {
	w.t.Helper()
	for end := w.clock().Add(d); w.clock().Before(end); {
		w.mu.Lock()
		w.now = w.now.Add(min(outageLook, end.Sub(w.now)))
		w.mu.Unlock()
		w.tick()
	}
}

// jump lets time pass in which nobody looks but at its end.
func (w *outageTest) jump(d time.Duration) {
	w.t.Helper()
	w.mu.Lock()
	w.now = w.now.Add(d)
	w.mu.Unlock()
	w.pass(3 * time.Second)
}

// tick is one look, and a new process where the bridge died in it.
func (w *outageTest) tick() {
	w.t.Helper()
	w.try(func() error { return errors.Join(w.outages.look(w.ctx), w.looks.step(w.ctx)) })
}

// drillRooms are the rooms of a scope in which something can be found.
func (w *outageTest) drillRooms(scope string) (out []database.Conversation) {
	for _, portal := range slices.Sorted(maps.Keys(w.found)) {
		if (database.Hold{Scope: scope}).Covers(portal) {
			team, _, _ := strings.Cut(strings.TrimPrefix(portal, "c:"), "/")
			out = append(out, database.Conversation{Portal: portal, TeamID: team})
		}
	}
	return out
}

// lookInto is the homeserver and Teams, asked who is in a room.
func (w *outageTest) lookInto(ctx context.Context, conv database.Conversation) (drillFound, error) {
	w.step()
	if err := ctx.Err(); err != nil {
		return drillFound{}, err
	}
	if w.foundErr != nil {
		if err := w.foundErr(conv.Portal); err != nil {
			return drillFound{}, err
		}
	}
	return w.found[conv.Portal], nil
}

// try does something that a new process does again where the bridge dies in it.
func (w *outageTest) try(do func() error) {
	w.t.Helper()
	for {
		err := do()
		if w.ctx.Err() == nil {
			require.NoError(w.t, err)
			return
		}
		w.crashes++
		w.restart()
		// A look before anything is known of Teams, and one after.
		require.NoError(w.t, w.outages.look(w.ctx))
		w.ask()
		w.read()
	}
}

func (w *outageTest) teamsDown() {
	w.down = true
	w.ask()
}

func (w *outageTest) teamsUp() {
	w.down = false
	w.ask()
}

// read is the poller having read everything.
func (w *outageTest) read() {
	if !w.down {
		at := w.clock().Add(time.Millisecond)
		w.reading = readTimes{teams.Scope{TeamID: "team"}: {Reader: "export", LastRead: at}, teams.Scope{TeamID: "other"}: {Reader: "export", LastRead: at}}
	}
}

// write is somebody writing in a room; what is written waits.
func (w *outageTest) write(portal string, n int) (ids []int64) {
	for range n {
		w.rows++
		row := &database.OutboxRow{EventID: fmt.Sprintf("$%d", w.rows), Portal: portal, RoomID: "!" + portal, Kind: database.KindMessage, SenderMXID: "@ann:x"}
		_, err := w.db.Outbox.Enqueue(w.t.Context(), row)
		require.NoError(w.t, err)
		ids = append(ids, row.ID)
	}
	return ids
}

func (w *outageTest) deliver(ids ...int64) {
	for _, id := range ids {
		require.NoError(w.t, w.db.Outbox.Finish(w.t.Context(), id, database.StateDone, ""))
	}
}

// fromTeams is a message that was written in Teams at a time and comes now.
func (w *outageTest) fromTeams(portal, id string, written time.Time) {
	_, err := w.db.Inbox.Accept(w.t.Context(), []database.InboxRow{{Portal: portal, MessageID: id, RootID: id, Version: 1, CreatedAt: written, Source: "export"}})
	require.NoError(w.t, err)
	require.NoError(w.t, w.db.Inbox.Delivered(w.t.Context(), portal, id, 1))
}

// to returns what a recipient was told.
func (w *outageTest) to(recipient string) (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.said {
		if n.To == recipient {
			out = append(out, n.Text)
		}
	}
	return out
}

func (w *outageTest) records() []*database.Outage {
	all, err := w.db.Outages.Recent(w.t.Context(), 100)
	require.NoError(w.t, err)
	return all
}

// Proves S4.
func TestS4OutageIsToldOnceWithItsCount(t *testing.T) {
	w := newOutageTest(t)
	w.pass(time.Minute)
	early := w.write(roomA, 1) // written before anybody knows
	w.pass(6 * time.Second)
	w.teamsDown()
	w.pass(3 * time.Second)
	require.Equal(t, []string{"**Microsoft Teams is unavailable** since 2026-03-02 10:01 UTC. " +
		"Microsoft Teams does not answer \\(GET organization: unavailable \\(HTTP 503\\)\\). " +
		"Nothing is to be done here; Microsoft's service health page says more.\n\n" +
		"Rooms go on as usual. What is written in them is kept and goes to Teams, in order, when Teams is back."}, w.to(ops), "at once")
	require.Empty(t, w.to(roomA), "a room is told when something waits for a while")
	more := w.write(roomA, 2)
	other := w.write(roomB, 1)
	w.pass(time.Hour)
	for _, room := range []string{roomA, roomB} {
		require.Equal(t, []string{"Microsoft Teams is unavailable since 10:01 UTC: Microsoft's service does not answer. " +
			"You can go on here: what you write is kept, and goes to Teams when Teams is back."}, w.to(room), "once")
	}
	require.Empty(t, w.to(roomC), "a room in which nothing waits is left in peace")
	late := w.write(roomC, 1)
	w.pass(5 * time.Second)

	w.teamsUp()
	w.read()
	w.deliver(late...)
	w.fromTeams(roomA, "1", w.clock().Add(-30*time.Minute))
	w.fromTeams(roomA, "2", w.clock().Add(-61*time.Minute))
	w.pass(3 * time.Second)
	require.Len(t, w.to(roomA), 1, "what is written in it is still on its way")
	w.deliver(append(early, more...)...)
	w.pass(6 * time.Second)
	require.Equal(t, "Microsoft Teams is available again. It was unavailable from 10:01 to 11:01 UTC. "+
		"All 3 messages that were written here meanwhile are in Teams; it took 3 seconds. "+
		"From Teams, 2 messages of that time came here afterwards; nothing is missing.", w.to(roomA)[1])
	require.Len(t, w.to(ops), 1, "another room is not through with it")
	w.pass(time.Minute)
	require.NoError(t, w.db.Outbox.Park(t.Context(), other[0], "too large", "it is too large for Teams"))
	w.pass(6 * time.Second)
	require.Equal(t, "Microsoft Teams is available again. It was unavailable from 10:01 to 11:01 UTC. "+
		"The message that was written here meanwhile is not in Teams. 1 did not go to Teams: too large for Teams. "+
		"From Teams, nothing of that time is missing here.", w.to(roomB)[1])
	require.Empty(t, w.to(roomC))
	require.Equal(t, "**Microsoft Teams is available again.** It was unavailable from 10:01 to 11:01 UTC, for 60 minutes. "+
		"The cause was: Microsoft Teams does not answer \\(GET organization: unavailable \\(HTTP 503\\)\\).\n\n"+
		"* Written in Matrix meanwhile: 5 messages in 3 rooms\n"+
		"* Delivered to Teams: 4, within 1 minute; the slowest room was Room B\n"+
		"* Not delivered: 1 did not go to Teams: too large for Teams.", w.to(ops)[1])
	w.pass(time.Hour)
	require.Len(t, w.said, 6)
	records := w.records()
	require.Len(t, records, 1)
	require.Equal(t, w.to(ops)[1], records[0].Report)
	require.Equal(t, early[0], records[0].FirstRow)
	require.False(t, records[0].Drained.IsZero())
	require.Equal(t, map[string]int{database.OutageDetected: 1}, w.begunCount)
}

// Whatever dies between any two steps of an outage, each notice is there once,
// and the record is closed.
//
// Proves S4.
func TestS4CrashBetweenEveryTwoSteps(t *testing.T) {
	for name, story := range map[string]func(w *outageTest){
		"detected": func(w *outageTest) {
			w.teamsDown()
			w.tick()
			ids := append(w.write(roomA, 2), w.write(roomB, 1)...)
			w.pass(15 * time.Second)
			w.teamsUp()
			w.read()
			w.pass(3 * time.Second)
			w.deliver(ids...)
			w.pass(15 * time.Second)
		},
		"declared": func(w *outageTest) {
			w.try(func() error { return w.declare(w.ctx, boss, "moving house") })
			ids := append(w.write(roomA, 2), w.write(roomB, 1)...)
			w.pass(15 * time.Second)
			w.try(func() error {
				_, err := w.endDeclared(w.ctx)
				if errors.Is(err, errNotDeclared) {
					return nil // the process before has come so far
				}
				return err
			})
			w.deliver(ids...)
			w.pass(15 * time.Second)
		},
		"drill": func(w *outageTest) {
			w.try(func() error {
				_, err := w.startDrill(w.ctx, "", "all teams", boss, time.Minute)
				if errors.Is(err, errDrillOn) {
					return nil
				}
				return err
			})
			ids := append(w.write(roomA, 2), w.write(roomB, 1)...)
			w.pass(15 * time.Second)
			w.jump(45 * time.Second)
			w.deliver(ids...)
			w.pass(15 * time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(crashAt int) *outageTest {
				w := newOutageTest(t)
				w.steps, w.crashAt = 0, crashAt
				story(w)
				return w
			}
			whole := run(0)
			count := func(w *outageTest) map[string]int {
				out := map[string]int{}
				for _, n := range w.said {
					out[n.To]++
				}
				return out
			}
			want := count(whole)
			require.Equal(t, 2, want[ops])
			require.Equal(t, 2, want[roomA])
			require.Equal(t, 2, want[roomB])
			t.Logf("%d steps", whole.steps)
			require.Greater(t, whole.steps, 50)
			for at := 1; at <= whole.steps; at++ {
				w := run(at)
				require.Equal(t, want, count(w), "died at step %d", at)
				require.Len(t, w.records(), 1, "died at step %d", at)
				require.False(t, w.records()[0].Drained.IsZero(), "died at step %d", at)
				require.Contains(t, w.records()[0].Report, "Delivered to Teams: 3", "died at step %d", at)
				require.Empty(t, w.outages.holds.list())
			}
		})
	}
}

// Proves S4.
func TestS4RestartDuringAnOutage(t *testing.T) {
	w := newOutageTest(t)
	w.teamsDown()
	w.pass(3 * time.Second)
	ids := w.write(roomA, 1)
	w.pass(15 * time.Second)
	require.Len(t, w.said, 2)

	w.restart()
	w.pass(time.Minute)
	require.True(t, w.records()[0].Ended.IsZero(), "nothing is known of Teams yet")
	w.ask()
	w.pass(time.Hour)
	require.Len(t, w.said, 2, "nobody is told twice")
	require.Len(t, w.records(), 1)

	w.down = false
	w.restart()
	w.pass(time.Minute)
	require.True(t, w.records()[0].Ended.IsZero())
	w.ask()
	w.deliver(ids...)
	w.read()
	w.pass(6 * time.Second)
	require.Len(t, w.to(roomA), 2)
	require.Contains(t, w.to(roomA)[1], "The message that was written here meanwhile is in Teams.")
	require.Len(t, w.to(ops), 2)
	require.False(t, w.records()[0].Drained.IsZero())
}

// An outage that comes and goes is one for people.
func TestFlappingIsOneOutage(t *testing.T) {
	w := newOutageTest(t)
	var ids []int64
	for range 30 {
		w.teamsDown()
		ids = append(ids, w.write(roomA, 1)...)
		w.pass(time.Minute)
		w.teamsUp()
		w.read()
		w.deliver(ids...)
		w.pass(time.Minute)
	}
	require.LessOrEqual(t, len(w.to(roomA)), 3, "began, over, began again")
	w.pass(5 * time.Minute)
	for _, to := range []string{roomA, ops} {
		told := w.to(to)
		require.Len(t, told, 4, "and over")
		require.Contains(t, told[2], "unavailable again", "what it said last was not true any more")
		require.Contains(t, told[2], "since 2026-03-02 10:02 UTC"[map[string]int{roomA: len("since 2026-03-02 ")}[to]:])
	}
	require.Contains(t, w.to(roomA)[3], "from 10:00 to 10:59 UTC")
	require.Contains(t, w.to(roomA)[3], "All 30 messages")
	require.Len(t, w.records(), 1)
	require.Equal(t, map[string]int{database.OutageDetected: 1}, w.begunCount)

	w.teamsDown()
	w.pass(time.Minute)
	require.Len(t, w.records(), 2, "what begins later is another one")
}

// What begins again before the messages of the last outage have arrived is the
// same outage, and nobody was told that it was over.
func TestOutageThatBeginsAgainBeforeItsEndWasTold(t *testing.T) {
	w := newOutageTest(t)
	w.teamsDown()
	ids := w.write(roomA, 2)
	w.pass(time.Minute)
	w.teamsUp()
	w.read()
	w.deliver(ids[0])
	w.pass(5 * time.Minute)
	w.teamsDown()
	w.pass(time.Hour)
	require.Len(t, w.to(roomA), 1)
	require.Len(t, w.records(), 1)
	w.teamsUp()
	w.read()
	w.deliver(ids[1])
	w.pass(5 * time.Minute)
	require.Len(t, w.to(roomA), 2)
	require.Contains(t, w.to(roomA)[1], "All 2 messages")
}

func TestDeclaredOutage(t *testing.T) {
	w := newOutageTest(t)
	w.pass(time.Minute)
	require.NoError(t, w.declare(t.Context(), boss, "the *network* team moves a switch."))
	require.True(t, w.outages.holds.Held(roomA), "nothing goes to Teams")
	require.Contains(t, w.to(ops)[0], `Declared by @boss:x: the \*network\* team moves a switch.`)
	require.Contains(t, w.to(ops)[0], "It lasts until an administrator says `outage end`.")
	ids := w.write(roomA, 1)
	w.pass(time.Minute)
	require.Equal(t, []string{`Microsoft Teams is unavailable since 10:01 UTC, say our administrators: the \*network\* team moves a switch. ` +
		"You can go on here: what you write is kept, and goes to Teams when Teams is back."}, w.to(roomA))
	w.restart()
	w.ask()
	w.jump(48 * time.Hour)
	require.True(t, w.outages.holds.Held(roomA), "it lasts through a restart until it is ended")
	require.Len(t, w.said, 2)

	goesOn, err := w.endDeclared(t.Context())
	require.NoError(t, err)
	require.Nil(t, goesOn)
	require.False(t, w.outages.holds.Held(roomA))
	w.deliver(ids...)
	w.pass(6 * time.Second)
	require.Equal(t, "Microsoft Teams is available again. It was unavailable from 2026-03-02 10:01 UTC to 2026-03-04 10:02 UTC. "+
		"The message that was written here meanwhile is in Teams.", w.to(roomA)[1], "reading went on, so there is no gap")
	require.Len(t, w.to(ops), 2)
	_, err = w.endDeclared(t.Context())
	require.ErrorIs(t, err, errNotDeclared)
	require.Equal(t, database.OutageDeclared, w.records()[0].Kind)
}

// Declared while one is detected, and the reverse: people are told one story.
func TestDeclaredAndDetectedAreOneStory(t *testing.T) {
	t.Run("declared while detected", func(t *testing.T) {
		w := newOutageTest(t)
		w.teamsDown()
		ids := w.write(roomA, 1)
		w.pass(time.Minute)
		require.NoError(t, w.declare(t.Context(), boss, "Microsoft says until noon"))
		other := w.write(roomB, 1)
		w.pass(time.Minute)
		require.Contains(t, w.to(roomB)[0], "Microsoft says until noon")
		goesOn, err := w.endDeclared(t.Context())
		require.NoError(t, err)
		require.NotNil(t, goesOn)
		require.Contains(t, whyOps(texts.Texts{}, goesOn), "HTTP 503", "Teams is still down")
		w.pass(time.Minute)
		require.Len(t, w.said, 3)
		w.teamsUp()
		w.read()
		w.deliver(append(ids, other...)...)
		w.pass(time.Minute)
		require.Len(t, w.said, 6)
		require.Contains(t, w.to(roomA)[1], "nothing of that time is missing", "nobody could read Teams")
		require.Len(t, w.records(), 1)
	})
	t.Run("detected while declared", func(t *testing.T) {
		w := newOutageTest(t)
		require.NoError(t, w.declare(t.Context(), boss, "maintenance"))
		ids := w.write(roomA, 1)
		w.pass(time.Minute)
		w.teamsDown()
		w.pass(time.Minute)
		w.teamsUp()
		w.read()
		w.pass(time.Hour)
		require.Len(t, w.said, 2, "it is still declared")
		_, err := w.endDeclared(t.Context())
		require.NoError(t, err)
		w.deliver(ids...)
		w.pass(time.Minute)
		require.Len(t, w.said, 4)
		require.Contains(t, w.to(roomA)[1], "nothing of that time is missing")
		require.Len(t, w.records(), 1)
	})
}

func TestCauseOfAnOutageIsKeptUpToDate(t *testing.T) {
	w := newOutageTest(t)
	w.teamsDown()
	w.tick()
	w.changed(w.ctx, outage{Kind: vitals.CredentialExpired, Detail: "the secret is refused"})
	w.tick()
	require.EqualValues(t, vitals.CredentialExpired, w.records()[0].Cause)
	w.write(roomA, 1)
	w.pass(time.Minute)
	require.Contains(t, w.to(roomA)[0], "our access to it has to be renewed")
	require.Len(t, w.to(ops), 1)
	require.Contains(t, beganOpsText(texts.Texts{}, w.records()[0], nil, nil),
		"The bridge's own sign-in is no longer accepted \\(the secret is refused\\). Renew the application's secret or certificate")
}

// What can be done about an outage is not said when there is nothing to do any more.
func TestEndSaysWhatTheCauseWas(t *testing.T) {
	at := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	text := func(cause vitals.Cause, detail string) string {
		rec := &database.Outage{Kind: database.OutageDetected, Cause: string(cause), Detail: detail, Began: at, Ended: at.Add(time.Hour)}
		return endedOpsText(texts.Texts{}, rec, tallies{}, nil)
	}
	for _, cause := range vitals.Causes() {
		said := text(cause, "GET team: unavailable")
		require.Contains(t, said, "The cause was: "+esc(inEnglish(troubles[cause]))+" \\(GET team: unavailable\\).\n")
		if advice, ok := advices[cause]; ok {
			require.NotContains(t, said, esc(inEnglish(advice))[:20])
		}
	}
	require.Contains(t, text(vitals.TeamsDown, ""), "The cause was: Microsoft Teams does not answer.\n")
	require.NotContains(t, text("", ""), "cause")
}

// With the policy `none`, a room is not promised what does not happen.
func TestRoomsWhoseTalkStaysAreToldSo(t *testing.T) {
	w := newOutageTest(t)
	w.policies[roomA] = portal.PolicyNone
	w.teamsDown()
	ids := w.write(roomA, 2)
	w.pass(time.Minute)
	require.Contains(t, w.to(roomA)[0], "What you write meanwhile stays in this room and does not go to Teams.")
	w.teamsUp()
	w.read()
	for _, id := range ids {
		require.NoError(t, w.db.Outbox.Fail(t.Context(), id, portal.ReasonKept, ""))
	}
	w.pass(6 * time.Second)
	require.Contains(t, w.to(roomA)[1], "What was written here meanwhile (2 messages) stays in this room. From Teams")
}

// A message that can't go for another reason does not keep people waiting to
// hear that Teams is back.
func TestEndIsToldAlthoughSomethingWaits(t *testing.T) {
	w := newOutageTest(t)
	w.teamsDown()
	ids := w.write(roomA, 3)
	w.pass(time.Minute)
	w.teamsUp()
	w.read()
	w.pass(time.Minute)
	w.deliver(ids[0])
	w.pass(outageStall - 6*time.Second)
	require.Len(t, w.to(roomA), 1)
	w.pass(12 * time.Second)
	require.Contains(t, w.to(roomA)[1], "Of the 3 messages that were written here meanwhile, 1 is in Teams; it took 1 minute. 2 still wait and will go.")
	require.Contains(t, w.to(ops)[1], "Not delivered: 2 still wait and will go.")
	require.False(t, w.records()[0].Drained.IsZero())
}

// The end is told when what was said in Teams has been read, but not never.
func TestEndWaitsForTheGap(t *testing.T) {
	w := newOutageTest(t)
	w.teamsDown()
	ids := w.write(roomA, 1)
	w.pass(time.Minute)
	w.teamsUp()
	w.deliver(ids...)
	w.pass(time.Minute)
	require.Len(t, w.to(roomA), 1, "nobody has read yet")
	w.read()
	_, err := w.db.Inbox.Accept(t.Context(), []database.InboxRow{{Portal: roomA, MessageID: "1", Version: 1, CreatedAt: w.clock().Add(-90 * time.Second)}})
	require.NoError(t, err)
	w.pass(time.Minute)
	require.Len(t, w.to(roomA), 1, "it is not in the room yet")
	w.pass(outageGapPatience)
	require.Contains(t, w.to(roomA)[1], "What was written in Teams meanwhile is still being read.")
}

// Whoever can't be told does not keep others from being told, and is tried
// again, ever more rarely and not for ever.
func TestAdministratorsWhoCanNotBeTold(t *testing.T) {
	w := newOutageTest(t)
	w.admin = []string{boss, ops}
	tried := 0
	w.refuse = func(to string) bool {
		if to == boss {
			tried++
		}
		return to == boss
	}
	w.teamsDown()
	ids := w.write(roomA, 1)
	w.pass(time.Hour)
	require.Len(t, w.to(ops), 1)
	require.Len(t, w.to(roomA), 1)
	require.Greater(t, tried, 10)
	require.Less(t, tried, 30)
	w.teamsUp()
	w.read()
	w.deliver(ids...)
	w.pass(time.Minute)
	require.Len(t, w.to(ops), 2)
	require.True(t, w.records()[0].Drained.IsZero())
	w.pass(2 * time.Hour)
	require.False(t, w.records()[0].Drained.IsZero())
	require.Len(t, w.said, 4)
}

func TestOutageWithoutAWord(t *testing.T) {
	w := newOutageTest(t)
	w.teamsDown()
	w.pass(time.Minute)
	w.teamsUp()
	w.pass(time.Minute)
	w.write(roomA, 5)
	w.pass(time.Minute)
	require.Contains(t, w.to(ops)[1], "Nothing was written in Matrix meanwhile.")
	require.Len(t, w.said, 2)
	recent, err := w.outages.recent(t.Context(), 5)
	require.NoError(t, err)
	require.Equal(t, "No outage goes on.\n\n* Outage 2026-03-02 10:00 UTC, ended after 1 minute: "+
		"Microsoft Teams does not answer \\(GET organization: unavailable \\(HTTP 503\\)\\). Nothing is to be done here; "+
		"Microsoft's service health page says more; 0 messages, 0 delivered\n", outagesText(texts.Texts{}, recent))
}

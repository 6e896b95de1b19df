package bridge

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/portal/portaltest"
	"teamsbridge/teams"
)

// opsRoom is where administrators are told things.
const opsRoom = id.RoomID("!ops:" + portaltest.ServerName)

// hourWorld is the real bridge in virtual time: the framework, SQLite, outbox,
// senders, ledger, reader, account pool, limiter and HTTP stack, health,
// outages and notices. Of its two neighbours the homeserver is portaltest's, and
// Graph is strictGraph.
type hourWorld struct {
	t     *testing.T
	rig   *portaltest.Rig
	g     *strictGraph
	r     *runtime
	rng   *rand.Rand
	began time.Time
	said  map[teams.ChannelRef][]hourSaid
	total int
}

// hourSaid is a message that somebody said in Matrix.
type hourSaid struct {
	event, root id.EventID
	user        id.UserID
	text        string
	at          time.Time
}

func newHourWorld(t *testing.T, seed uint64, rooms, relays int) *hourWorld {
	w := &hourWorld{t: t, rig: portaltest.New(t), rng: rand.New(rand.NewPCG(seed, 0)), said: map[teams.ChannelRef][]hourSaid{}}
	for i := range rooms {
		w.rig.Channels = append(w.rig.Channels, teams.ChannelRef{TeamID: fmt.Sprintf("team%d", i%10), ChannelID: fmt.Sprintf("19:room%d@thread.tacv2", i)})
	}
	w.rig.Fast = true
	w.g = newStrictGraph(w.rig.Tenant, seed)
	w.rig.Tune = func(in *portal.IngestOptions, out *portal.SenderOptions) { w.wire(in, out, relays) }
	w.rig.Also = w.also
	w.began = time.Now()
	w.rig.Start()
	return w
}

// hourDirectory knows the relay accounts.
type hourDirectory struct {
	portal.Directory
	writers *writers
}

func (d hourDirectory) IsRelay(userID string) bool { return d.writers.IsRelay(userID) }

// wire puts together what newRuntime and run do with a real tenant.
func (w *hourWorld) wire(in *portal.IngestOptions, out *portal.SenderOptions, relays int) {
	t := w.t
	c := &Connector{br: w.rig.Bridge, Config: Config{OpsRoom: string(opsRoom)}}
	c.Config.Outage = OutageConfig{Policy: portal.PolicyFull, DigestAbove: 50, Reaction: "⏳"}
	r := &runtime{c: c, now: time.Now, began: time.Now(), db: w.rig.DB, mirror: &mirror{now: time.Now}}
	endpoints, err := teams.Cloud("global")
	require.NoError(t, err)
	r.health = newHealth(func(ctx context.Context) error {
		_, err := r.graph.reader.Organization(ctx)
		return err
	}, time.Now)
	w.g.client, err = teams.NewHTTPClient(teams.HTTPOptions{Endpoints: endpoints, Transport: w.g, Observer: r.health})
	require.NoError(t, err)
	r.graph = &graphAccess{endpoints: endpoints, http: w.g.client, reader: &strictReader{in.Reader, w.g}}
	r.catalog, r.metrics = newCatalog(r.db.Conversations), newMetrics(r)
	r.rooms = newMatrixRooms(c.br, func() *bridgev2.UserLogin { return nil }, 1000)
	r.notices, r.holds = &notices{r: r}, newHolds(r.db, r.now, r.lookAgain)
	r.retention = &retention{cfg: c.Config.Outage, outages: r.db.Outages, name: r.catalog.teamName, noWriting: r.health.noWriting}
	r.writers = newWriters(nil, func(a database.Account) (teams.Writer, error) { return &strictWriter{g: w.g, account: a.UserID}, nil })
	for i := range relays {
		a := database.Account{Kind: database.AccountRelay, UserID: fmt.Sprintf("relay%d", i), State: database.AccountOK}
		a.Key = accountKey(a.Kind, a.UserID)
		r.writers.accounts[a.Key] = a
	}
	r.wireOutages()
	h := r.health
	h.down, h.changed, h.up = r.outages.down, r.outages.changed, r.graphUp
	h.pokeGraph = r.poke(endpoints.Root())
	h.pokeSignIn = r.poke(endpoints.ConfigurationURL("tenant"))
	in.Reader, in.Directory = r.graph.reader, hourDirectory{in.Directory, r.writers}
	in.Settle, in.DoubtRest, in.RetryMin, in.RetryMax, in.EchoWait, in.Sweep = 0, 0, 0, 0, 0, 0
	*out = portal.SenderOptions{
		Common: out.Common, Reader: r.graph.reader, Writers: r.writers, Held: r.holds.Held, Down: r.health.noWriting, Revoked: r.health.writingRevoked, Policy: r.retention.policy,
		DigestAbove: r.retention.digestAbove, Kept: r.retention.kept, Outage: r.retention.outage, ToldAtEnd: r.retention.toldAtEnd, Reaction: c.Config.Outage.Reaction,
	}
	out.Directory = in.Directory
	w.r = r
}

// also runs what run runs beside the portals.
func (w *hourWorld) also(ctx context.Context) {
	r := w.r
	r.sender, r.ingest = w.rig.Sender, w.rig.Ingest
	channels := map[string][]string{}
	for _, ch := range w.rig.Channels {
		channels[ch.TeamID] = append(channels[ch.TeamID], ch.ChannelID)
	}
	var polled []teams.PolledTeam
	for team, ids := range channels {
		polled = append(polled, teams.PolledTeam{ID: team, Channels: ids})
	}
	slices.SortFunc(polled, func(a, b teams.PolledTeam) int { return compareStrings(a.ID, b.ID) })
	var err error
	r.poller, err = teams.NewPoller(teams.PollerOptions{
		Source: r.graph.reader, Sink: r.ingest, Cursors: cursorStore{r.db.Cursors}, Teams: func() []teams.PolledTeam { return polled },
		Readers: []string{teams.SourceExport},
	})
	require.NoError(w.t, err)
	var group errgroup.Group
	for _, loop := range []func(context.Context) error{r.health.run, r.outages.run, r.poller.Run} {
		group.Go(func() error { return loop(ctx) })
	}
	_ = group.Wait()
}

// speak has users say n messages in the first of the rooms over a time, some of
// them in threads.
func (w *hourWorld) speak(n, rooms, users int, over time.Duration) {
	began := time.Now()
	var when []time.Duration
	for range n {
		when = append(when, time.Duration(w.rng.Int64N(int64(over))))
	}
	slices.Sort(when)
	for i, at := range when {
		time.Sleep(time.Until(began.Add(at)))
		// Rooms are of different liveliness; each is spoken in.
		room := i
		if i >= rooms {
			room = max(w.rng.IntN(rooms), w.rng.IntN(rooms*2))
		}
		ch := w.rig.Channels[room%rooms]
		say := hourSaid{user: id.UserID(fmt.Sprintf("@user%d:%s", i%users, portaltest.ServerName)), text: fmt.Sprintf("message %d.", i), at: time.Now()}
		content := portaltest.Text(say.text)
		if before := w.said[ch]; len(before) > 0 && w.rng.IntN(10) == 0 {
			say.root = before[w.rng.IntN(len(before))].event
			for _, other := range before {
				if other.event == say.root && other.root != "" {
					say.root = other.root
				}
			}
			content = portaltest.InThread(say.root, content)
		}
		say.event = w.rig.SendIn(w.rig.RoomOf(ch), say.user, event.EventMessage, content)
		w.said[ch] = append(w.said[ch], say)
		w.total++
	}
	time.Sleep(time.Until(began.Add(over)))
}

// inTeams returns how many messages Teams has.
func (w *hourWorld) inTeams() (n int) {
	for _, ch := range w.rig.Channels {
		n += len(w.rig.Tenant.Messages(ch))
	}
	return n
}

// notes are the bot's messages in a room.
func (w *hourWorld) notes(room id.RoomID) (out []string) {
	for _, e := range w.rig.HS.Messages(room) {
		if e.Sender == portaltest.BotID {
			out = append(out, e.Text())
		}
	}
	return out
}

// until waits for something in virtual time.
func (w *hourWorld) until(what string, most time.Duration, cond func() bool) {
	w.t.Helper()
	for end := time.Now().Add(most); !cond(); time.Sleep(time.Second) {
		require.True(w.t, time.Now().Before(end), "%s: %d of %d messages are in Teams, in Matrix: %q", what, w.inTeams(), w.total, w.notes(opsRoom))
	}
}

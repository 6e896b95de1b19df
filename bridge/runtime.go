package bridge

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"teamsbridge/bridge/audit"
	"teamsbridge/bridge/statuspage"
	"teamsbridge/bridge/weblogin"
	"teamsbridge/database"
	"teamsbridge/matrix"
	"teamsbridge/portal"
	"teamsbridge/teams"
)

// stopTimeout bounds how long a stop waits for the loops.
const stopTimeout = 20 * time.Second

// runtime is everything that runs. It is built once (newRuntime), takes
// notifications as soon as the tables are there (intake), and uses both sides
// from the moment the homeserver answers (run).
type runtime struct {
	c     *Connector
	log   zerolog.Logger
	now   func() time.Time
	began time.Time

	db        *database.Database
	secrets   secrets
	graph     *graphAccess
	dir       *directory
	catalog   *catalog
	rooms     *matrixRooms
	staff     *staffing
	mirror    *mirror
	photos    *photos
	health    *health
	holds     *holds
	queues    *queues
	notices   *notices
	outages   *outages
	drills    *drillLooks
	retention *retention
	metrics   *metrics
	writers   *writers
	echo      *portal.Echo
	ingest    *portal.Ingest
	outbox    *portal.Outbox
	sender    *portal.Sender
	tally     *portal.Tally
	restorer  *portal.Restorer
	poller    *teams.Poller
	subs      *teams.SubscriptionManager
	process   *teams.Processor
	listener  *teams.Listener
	webLogin  *weblogin.Server // nil where it is off
	// statusPage is nil where it is off.
	statusPage *statuspage.Server
	keys       *keyring
	audit      *audit.Log
	// gaps is nil without a webhook; unsubscribable are the channels for which
	// there is no subscription left.
	gaps           *webhookGaps
	firsts         *firstNotices
	unsubscribable atomic.Pointer[[]teams.Scope]

	// probes counts the probes, which go through the teams in turn.
	probes       atomic.Int64
	verification *verification

	services *services
	// monitoring is where the bridge is measured and probed.
	monitoring *probes
	// running is set when the homeserver has answered.
	running  atomic.Bool
	runOnce  sync.Once
	stopOnce sync.Once
}

// newRuntime wires the parts. Its errors are mistakes of the configuration:
// nothing is sent and no table is touched yet.
func newRuntime(c *Connector) (*runtime, error) {
	r := &runtime{c: c, now: time.Now, began: time.Now(), log: c.br.Log.With().Str("component", "bridge").Logger()}
	ctx := r.log.WithContext(context.Background())
	var err error
	if r.secrets, err = c.Config.loadSecrets(); err != nil {
		return nil, err
	}
	seal, err := r.secrets.sealer()
	if err != nil {
		return nil, &ConfigError{Key: "encryption_key", Problem: "can't be used", Fix: "set 32 or more random characters", Err: err}
	}
	r.db = database.New(c.br.DB.Database, c.br.Log.With().Str("db_section", "teams").Logger(), seal)
	r.metrics = newMetrics(r)
	r.monitoring = newProbes(c.Config.Metrics.Listen, r.log)
	if c.texts, err = c.Config.texts(); err != nil {
		return nil, err
	}
	if r.audit, err = c.Config.auditLog(r.log, r.now); err != nil {
		return nil, err
	}
	r.health = newHealth(r.probe, r.now)
	if r.graph, err = c.openGraph(ctx, r.secrets, &httpMetrics{r.metrics}, r.health, func() {
		r.audit.Write(audit.Record{Act: audit.Credential, Outcome: audit.Done})
	}); err != nil {
		return nil, err
	}
	mapper, err := newMapper(c.Config.Mapping, c.br.Matrix.ServerName())
	if err != nil {
		return nil, err
	}
	r.dir = newDirectory(r.db, mapper, func(userID string) id.UserID { return r.ghostMXID(userID) })
	r.catalog = newCatalog(r.db.Conversations)
	r.keys = &keyring{store: r.db.Keys, now: r.now}
	r.writers = newWriters(r.db, r.openWriter)
	r.writers.audit = r.auditAccount
	r.photos = newPhotos(c.br, r.graph.reader, r.dir, r.now)
	r.rooms = newMatrixRooms(c.br, c.source, c.Config.Limits.JoinsPerSecond)
	r.notices = &notices{r: r}
	r.holds = newHolds(r.db, r.now, r.lookAgain)
	r.retention = &retention{cfg: c.Config.Outage, outages: r.db.Outages, name: r.catalog.teamName, noWriting: r.health.noWriting}
	r.wireOutages()
	r.retention.goesOn, r.retention.unsure = r.outages.unwritableNow, r.unsureOfWriting
	r.wirePortal()
	r.queues = r.newQueues()
	r.wireMirror()
	if err := r.wireReading(); err != nil {
		return nil, err
	}
	r.wireHealth()
	r.webLogin = r.newWebLogin()
	r.statusPage = r.newStatusPage()
	r.writers.expired, r.writers.lost = r.notices.accountExpired, r.keys.noteLoss
	return r, nil
}

// unsureOfWriting reports whether a message that has not been tried is worth it
// although writing is down. What an administrator says is not put to the test.
func (r *runtime) unsureOfWriting() bool {
	return r.outages.holdOf(database.HoldOutage) == nil && r.health.monitor.Writing().Unsure
}

func (r *runtime) wireHealth() {
	h := r.health
	h.down, h.changed, h.up = r.outages.down, r.graphChanged, r.graphUp
	h.stepped = r.metrics.dependencyStep
	h.pokeGraph = r.poke(r.graph.endpoints.Root())
	h.pokeSignIn = r.poke(r.graph.endpoints.ConfigurationURL(r.c.Config.TenantID))
	h.subscriptions = r.subscriptionHealth
	if r.c.main != nil {
		h.askHomeserver = func(ctx context.Context) error { return r.c.homeserver.Ask(ctx) }
	}
}

func (r *runtime) ghostMXID(userID string) id.UserID {
	return r.c.br.Matrix.GhostIntent(networkid.UserID(userID)).GetMXID()
}

func (r *runtime) wirePortal() {
	counts := portalMetrics{r.metrics}
	r.echo = portal.NewEcho(r.db, 0, counts, func(ctx context.Context, portalID string) { r.sender.Decided(ctx, portalID) })
	common := portal.Common{
		Bridge: r.c.br, DB: r.db, Source: r.c.source, Directory: &lookup{r.dir, r.writers}, Echo: r.echo,
		Metrics: counts, Logger: r.log, Texts: r.c.texts, Now: r.now, WithKey: matrix.WithKey, WithDelivered: matrix.WithDelivered,
	}
	r.ingest = portal.NewIngest(portal.IngestOptions{
		Common: common, Reader: r.graph.reader, Wanted: r.catalog.wanted, Behind: r.behind, Speaks: r.speaks, Spoke: r.spoke, MaxImage: r.c.Config.Limits.ImageSize,
		MaxFile: fileLimit(r.c.Config.Limits.FileSize), ReactionPictures: r.c.Config.CustomReactions == ReactionsByPicture,
		Look: func(ctx context.Context, roomID id.RoomID) error { return r.c.homeserver.LookForSends(ctx, roomID) },
	})
	r.sender = portal.NewSender(portal.SenderOptions{
		Common: common, Reader: r.graph.reader, Writers: r.writers, Echoed: r.ingest.Wake, Held: r.holds.Held, Down: r.health.noWriting, Revoked: r.health.writingRevoked,
		Policy: r.retention.policy, DigestAbove: r.retention.digestAbove, Kept: r.retention.kept, Waited: r.retention.waited, Outage: r.retention.outage, ToldAtEnd: r.retention.toldAtEnd, Reaction: r.c.Config.Outage.Reaction,
		MaxFile: fileLimit(r.c.Config.Limits.FileSize),
		Edits: func(ctx context.Context, roomID id.RoomID, eventID id.EventID) ([]id.EventID, error) {
			return r.c.homeserver.Edits(ctx, roomID, eventID)
		},
	})
	r.restorer = portal.NewRestorer(common)
	r.tally = portal.NewTally(portal.TallyOptions{Common: common, Wake: r.sender.Wake})
	r.outbox = portal.NewOutbox(portal.OutboxOptions{Common: common, Wake: r.sender.Wake, Voted: r.tally.Voted})
	r.verification = &verification{now: r.now, pace: verifyPace, pause: verifyPause, verifier: portal.NewVerifier(portal.VerifyOptions{
		Common: common, Reader: r.graph.reader, Room: verifyRoom{r.c}, Ingest: r.ingest, Writers: r.writers, Memory: keepOutbox, Ledger: keepFinished,
		Requeue: func(ctx context.Context, roomID id.RoomID, eventID id.EventID) error {
			return r.c.homeserver.Requeue(ctx, roomID, eventID)
		},
	})}
}

// fileLimit is the configured limit as package portal has it: there, 0 is the
// default and none at all is negative.
func fileLimit(configured int64) int64 {
	if configured == 0 {
		return -1
	}
	return configured
}

// lookup answers portal's questions about people.
type lookup struct {
	*directory
	writers *writers
}

// IsRelay implements portal.Directory.
func (l *lookup) IsRelay(userID string) bool { return l.writers.IsRelay(userID) }

func (r *runtime) wireMirror() {
	cfg := &r.c.Config
	r.staff = &staffing{br: r.c.br, db: r.db, catalog: r.catalog, dir: r.dir, reader: r.graph.reader,
		domain: r.c.br.Matrix.ServerName(), interval: cfg.DirectoryInterval, now: r.now, puppets: r.c.puppetServers(),
		texts: r.c.texts,
		forget: func(ctx context.Context, userID string) error {
			return r.writers.signedOut(ctx, accountKey(database.AccountUser, userID))
		}}
	r.dir.leaving = r.staff.retireLater
	r.mirror = &mirror{
		reader: r.graph.reader, db: r.db, catalog: r.catalog, rooms: r.rooms, people: r.staff,
		cfg: cfg.Teams, facts: newFacts(r.graph.reader, cfg.Teams.Rules), roomsCfg: cfg.Rooms, active: r.active, history: r.readHistory, deliver: r.deliverHistory, putAside: r.putAside,
		changed: r.mirrorChanged, relay: r.c.source, health: r.health,
		texts: r.c.texts, pace: rate.NewLimiter(rate.Limit(cfg.Limits.RoomsPerSecond), 1), interval: cfg.DirectoryInterval, now: r.now,
		dirty: map[string]time.Time{}, waits: map[string]time.Duration{}, wake: make(chan struct{}, 1), wakeFull: make(chan struct{}, 1),
		locks: map[string]*sync.Mutex{}, lively: map[string]map[string]bool{}, brought: map[string]map[string]bool{}, wakeActive: make(chan struct{}, 1),
	}
	r.catalog.unknown = func(ref teams.ChannelRef) { r.mirror.DirectoryChanged(ref.TeamID, "a message in an unknown channel") }
}

// wireReading makes the readers, and the subscriptions where there is a webhook.
func (r *runtime) wireReading() error {
	cfg := &r.c.Config
	if cfg.Webhook.Enabled {
		r.gaps = r.newWebhookGaps()
	}
	var err error
	r.poller, err = teams.NewPoller(teams.PollerOptions{
		Source: r.graph.reader, Sink: r.watchedSink(), Cursors: cursorStore{r.db.Cursors}, Teams: r.catalog.polled,
		Readers: cfg.Poller.Readers, Continuous: cfg.Poller.Mode == ModeContinuous, Doubtful: r.gaps.doubtful, Interval: cfg.Poller.Interval,
		RequestsPerSecond: cfg.Poller.RequestsPerSecond, ReconcileEvery: cfg.Poller.ReconcileInterval, Start: r.readFrom,
		Changes: r.mirror, Read: r.ingest.Read, Counters: teamsCounters{r.metrics}, Logger: r.log, Now: r.now,
	})
	if err != nil || !cfg.Webhook.Enabled {
		return err
	}
	r.firsts = r.newFirstNotices()
	r.process = teams.NewProcessor(teams.ProcessorOptions{
		Log: r.notificationLog(), Sink: r.ingest, Messages: r.graph.reader,
		Tokens: teams.NewTokenVerifier(teams.TokenVerifierOptions{
			LoginURL: r.graph.endpoints.Login, ClientID: cfg.ClientID, TenantIDs: []string{cfg.TenantID}, Client: r.graph.http, Now: r.now,
		}),
		Certificates: r.keys.certificates, TenantID: cfg.TenantID, Changes: r.mirror, Lifecycle: lifecycle{r},
		LeaveToPoller: r.leaveToPoller, Arrivals: r.ingest,
		Counters: teamsCounters{r.metrics}, Logger: r.log, Now: r.now,
	})
	return nil
}

// notificationLog is where notifications are kept. Where some can't be read any
// more, everything is read.
func (r *runtime) notificationLog() notificationLog {
	return notificationLog{r.db.Notifications, func(reason string, bodies int) {
		teamsCounters{r.metrics}.Count(teams.CountQuarantined, reason, bodies)
		r.log.Warn().Str("reason", reason).Int("notifications", bodies).Msg("Notifications that wait can't be read and are put aside, reading everything")
		r.poller.Request("unreadable notifications")
	}}
}

// leaveToPoller has a channel read of which a notification can't be used.
func (r *runtime) leaveToPoller(ref teams.MessageRef, reason string) {
	r.poller.Request(reason, teams.Scope(ref.ChannelRef))
}

// behind says what poller.Behind does, once there is one.
func (r *runtime) behind(ch teams.ChannelRef) (behind, failing bool) { return r.poller.Behind(ch) }

// watchedSink is where the readers put what they read.
func (r *runtime) watchedSink() *watchedSink {
	return &watchedSink{Sink: r.ingest, health: r.health, gaps: r.gaps, inbox: r.db.Inbox, wanted: r.catalog.wanted}
}

// lifecycle hands lifecycle notifications to the subscriptions, which exist
// once the keys have been read.
type lifecycle struct{ r *runtime }

// HandleLifecycle implements teams.LifecycleHandler.
func (l lifecycle) HandleLifecycle(ctx context.Context, event teams.LifecycleEvent) error {
	if l.r.subs == nil {
		return errors.New("the subscriptions are not there yet")
	}
	return l.r.subs.HandleLifecycle(ctx, event)
}

// intake starts what does not need the homeserver: notifications are taken and
// read into the ledger while it is down. It runs right after the tables were
// upgraded. It fails for a broken database or a port that is taken.
func (r *runtime) intake(ctx context.Context) error {
	for _, load := range []func(context.Context) error{r.tellMissingKeys, r.catalog.load, r.dir.load, r.writers.load, r.keys.load, r.holds.load, func(ctx context.Context) error { return r.health.remember(ctx, r.db.Sent) }} {
		if err := load(ctx); err != nil {
			return err
		}
	}
	r.audit.Write(audit.Record{Act: audit.Start, Outcome: audit.Done, Version: r.c.userAgent()})
	r.services = newServices(r.log.WithContext(context.WithoutCancel(ctx)))
	if err := r.monitoring.lead(r); err != nil {
		return err
	}
	r.services.start("metrics and probes", r.monitoring.run)
	r.services.start("sealing", r.reseal)
	for _, serve := range []func(context.Context) error{r.serveWebLogin, r.serveStatusPage} {
		if err := serve(ctx); err != nil {
			return err
		}
	}
	if !r.c.Config.Webhook.Enabled {
		return nil
	}
	if err := r.wasAway(ctx); err != nil {
		return err
	}
	r.subs = r.newSubscriptions()
	listener, err := r.listen(ctx)
	if err != nil {
		return err
	}
	r.listener = listener
	r.services.start("webhook listener", listener.Serve)
	r.services.start("notification processor", r.process.Run)
	return nil
}

// run starts what needs both sides. The framework calls it (through the system
// login's Connect) when the homeserver has answered.
func (r *runtime) run() {
	r.runOnce.Do(func() {
		plain := func(loop func(ctx context.Context)) func(ctx context.Context) error {
			return func(ctx context.Context) error {
				loop(ctx)
				return ctx.Err()
			}
		}
		// knowing is for what sends: a restored database has to learn first what
		// both sides have.
		knowing := func(loop func(ctx context.Context) error) func(ctx context.Context) error {
			return func(ctx context.Context) error {
				select {
				case <-r.restored():
					return loop(ctx)
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		r.running.Store(true)
		r.services.start("ingest", knowing(plain(r.ingest.Run)))
		r.services.start("sender", knowing(plain(r.sender.Run)))
		r.services.start("votes", knowing(plain(r.tally.Run)))
		r.services.start("health", r.health.run)
		r.services.start("holds", r.holds.run)
		r.services.start("mirror", knowing(r.mirror.run))
		r.services.start("announced changes", knowing(r.mirror.runAnnounced))
		r.services.start("active people", knowing(r.mirror.runActive))
		if r.c.Config.Mapping.OverridesFile != "" {
			watch := &overridesWatch{mapper: r.dir.mapper, changed: func() { r.mirror.DirectoryChanged("", "exceptions") }}
			r.services.start("exceptions of the mapping", every(overridesLook, watch.look))
		}
		r.services.start("poller", r.poller.Run)
		r.services.start("photos", r.photos.run)
		r.services.start("outages", knowing(r.outages.run))
		r.services.start("drills", knowing(every(outageLook, r.drills.step)))
		r.services.start("lost secrets", r.notices.keyLoss)
		r.services.start("housekeeping", every(time.Hour, r.housekeeping))
		if r.subs != nil {
			r.services.start("subscriptions", r.subs.Run)
			r.services.start("notification gaps", r.gaps.run)
		}
	})
}

// stop ends everything and waits for it. What was under way is finished at the
// next start: every loop keeps its state in the database.
func (r *runtime) stop() {
	r.stopOnce.Do(func() {
		if r.services != nil && !r.services.stop(stopTimeout) {
			r.log.Warn().Msg("Some services did not stop in time")
		}
		if r.services != nil {
			r.audit.Write(audit.Record{Act: audit.Stop, Outcome: audit.Done})
		}
	})
}

// graphChanged tells that an outage goes on for another reason.
func (r *runtime) graphChanged(ctx context.Context, o outage) {
	r.outages.changed(ctx, o)
	r.notices.graphChanged(ctx, o)
}

// graphUp makes everything go on at once that an outage has held up.
func (r *runtime) graphUp(ctx context.Context, o outage) {
	r.outages.up(ctx, o)
	r.poller.Request("outage over")
	r.mirror.kick()
	if r.subs != nil {
		r.subs.Wake()
	}
	if err := r.sender.Kick(ctx); err != nil {
		zerolog.Ctx(ctx).Err(err).Msg("Could not wake what waits to be sent")
	}
}

// lookAgain makes what waits to be sent look whether it may go.
func (r *runtime) lookAgain() {
	ctx := r.log.WithContext(context.Background())
	if err := r.sender.WakeAll(ctx); err != nil {
		r.log.Err(err).Msg("Could not wake what waits to be sent")
	}
}

// duplicated has one of two events for the same change in Teams taken back.
func (r *runtime) duplicated(database.Echo) {
	r.metrics.duplicated()
	r.ingest.Doubled()
}

// echoed has what the homeserver has made looked at.
func (r *runtime) echoed() { r.ingest.Echoed() }

func (r *runtime) mirrorChanged() {
	r.poller.Wake()
	if r.subs != nil {
		r.subs.Wake()
	}
}

// openWriter makes the writer of an account.
func (r *runtime) openWriter(a database.Account) (teams.Writer, error) {
	credential, err := teams.NewDelegatedCredential(r.graph.delegated(&r.c.Config, r.db.Accounts), a.Key)
	if err != nil {
		return nil, err
	}
	writer, err := r.c.graph.NewWriter(WriterOptions{
		Endpoints: r.graph.endpoints, Credential: &watchedCredential{credential, r.health.accountSignInFailed}, HTTP: r.graph.http, Messages: r.graph.reader,
		Account: teams.Account{UserID: a.UserID, UPN: a.UPN, DisplayName: a.DisplayName},
	})
	if err != nil || r.gaps == nil {
		return writer, err
	}
	return &announcedWriter{writer, r.gaps}, nil
}

// startSignIn starts a device sign-in.
func (r *runtime) startSignIn(ctx context.Context) (*teams.DeviceLogin, error) {
	device, err := teams.StartDeviceLogin(ctx, r.graph.delegated(&r.c.Config, r.db.Accounts))
	if err != nil {
		return nil, signInProblem(r.c.texts, err)
	}
	return device, nil
}

// source returns the login through which everything from Teams comes.
func (c *Connector) source() *bridgev2.UserLogin { return c.system.Load() }

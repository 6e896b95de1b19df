package bridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2/commands"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/database"
	"teamsbridge/matrix"
	"teamsbridge/teams"
)

func (c *Connector) commandStatus(ctx context.Context, ce *commands.Event) {
	status, err := c.rt.status(ctx)
	if err != nil {
		c.failed(ce, err)
		return
	}
	if ce.User.Permissions.Admin {
		reply(ce, status.adminText())
		return
	}
	reply(ce, status.staffText())
}

// statusOutages is how many outages status shows.
const statusOutages = 5

// statusReport is what status shows.
type statusReport struct {
	now          time.Time
	tenant       string
	version      string
	up           time.Duration
	down, known  bool
	dependencies []vitals.Status
	// outage is the one that goes on, drill likewise; outages are the newest.
	outage, drill          *database.Outage
	outages                []outageLine
	teams, channels        int
	notMirrored, refused   int
	people, mapped         int
	outbox, inbox          database.Stats
	journal                int
	pending, quarantined   int
	redactions             matrix.RedactionState
	poller                 teams.PollerStatus
	refusals               []teams.Refusal
	webhook                bool
	subscriptions          []teams.SubscriptionState
	relays, users, expired []database.Account
	certificate            time.Time
}

func (r *runtime) status(ctx context.Context) (*statusReport, error) {
	s := &statusReport{now: r.now(), tenant: r.c.Config.TenantID, up: r.now().Sub(r.began), poller: r.poller.Status(), refusals: r.poller.Refusals()}
	if r.c.main != nil {
		s.version = r.c.main.Version
	}
	if name := r.c.tenantName.Load(); name != nil {
		s.tenant = fmt.Sprintf("%s (%s)", *name, r.c.Config.TenantID)
	}
	if r.c.homeserver != nil {
		s.redactions = r.c.homeserver.Redactions()
	}
	s.down, s.known, _ = r.health.state()
	s.outage, s.drill = r.outages.current()
	s.dependencies = r.health.monitor.Status()
	for _, conv := range r.catalog.all(nil) {
		switch {
		case conv.State == database.ConversationRefused:
			s.refused++
		case !isMirrored(conv):
			s.notMirrored++
		case conv.Kind == database.ConversationTeam:
			s.teams++
		default:
			s.channels++
		}
	}
	s.people, s.mapped = r.dir.size()
	var errs [5]error
	s.outbox, errs[0] = r.db.Outbox.Stats(ctx)
	s.inbox, errs[1] = r.db.Inbox.Stats(ctx)
	s.journal, errs[2] = r.db.Journal.Count(ctx)
	s.pending, s.quarantined, errs[3] = r.db.Notifications.Count(ctx)
	s.outages, errs[4] = r.outages.recent(ctx, statusOutages)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if r.subs != nil {
		s.webhook, s.subscriptions = true, r.subs.State()
		if set := r.keys.certificates(); set.Current != nil {
			s.certificate = set.Current.NotAfter
		}
	}
	s.relays, s.users = r.writers.list(database.AccountRelay), r.writers.list(database.AccountUser)
	for _, a := range slices.Concat(s.relays, s.users) {
		if a.State != database.AccountOK {
			s.expired = append(s.expired, a)
		}
	}
	return s, nil
}

// graphText says whether Graph can be used.
func (s *statusReport) graphText() string {
	switch {
	case s.outage != nil:
		return fmt.Sprintf("**unavailable** since %s. %s", clock(s.outage.Began), whyOps(s.outage))
	case s.down:
		return "**unavailable**"
	case !s.known:
		return "not reached yet"
	default:
		return "can be used"
	}
}

func (s *statusReport) waiting() int {
	return s.outbox.ByState[database.StateQueued] + s.outbox.ByState[database.StateSending]
}

// staffText is what everybody may know.
func (s *statusReport) staffText() string {
	var b strings.Builder
	fmt.Fprintf(&b, "* Microsoft Teams: %s\n", s.graphText())
	if s.drill != nil {
		fmt.Fprintf(&b, "* A drill goes on since %s\n", clock(s.drill.Began))
	}
	fmt.Fprintf(&b, "* On the way to Teams: %s\n", count(s.waiting(), "message", "messages"))
	return b.String()
}

// adminText is everything.
func (s *statusReport) adminText() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "* "+format+"\n", args...) }
	line("Bridge %s, running for %s", esc(s.version), duration(s.up))
	line("Tenant: %s", esc(s.tenant))
	line("Microsoft Graph: %s", s.graphText())
	s.dependencyLines(line)
	line("Mirrored: %s, %s; not mirrored: %d; refused by Graph: %d",
		count(s.teams, "team", "teams"), count(s.channels, "channel", "channels"), s.notMirrored, s.refused)
	line("People: %d in the directory, %d with a Matrix account", s.people, s.mapped)
	line("To Teams: %d queued, %d being sent, %d to be confirmed, %d parked, %d failed%s", s.outbox.ByState[database.StateQueued],
		s.outbox.ByState[database.StateSending], s.outbox.ByState[database.StateSent], s.outbox.ByState[database.StateParked],
		s.outbox.ByState[database.StateFailed], s.age(s.outbox.Oldest))
	line("To Matrix: %d waiting, %d parked%s", s.inbox.ByState[database.StatePending], s.inbox.ByState[database.StateParked], s.age(s.inbox.Oldest))
	line("Events from the homeserver that nobody owns yet: %d", s.journal)
	s.redactionLines(line)
	s.readerLines(line)
	if !s.webhook {
		line("Notifications: off, everything is read")
	} else {
		s.subscriptionLines(line)
	}
	s.accountLines(line)
	for _, o := range s.outages {
		line("%s", outageText(o))
	}
	return b.String()
}

// dependencyLines are a line for each dependency of which something is known.
func (s *statusReport) dependencyLines(line func(string, ...any)) {
	for _, d := range s.dependencies {
		if d.State == vitals.Unknown {
			continue
		}
		state, why := d.State.String(), ""
		if d.Cause != vitals.NoCause {
			state, why = "**"+state+"**", ": "+esc(causeSentence(d.Cause, d.Detail))
		}
		line("%s: %s since %s%s", d.Dependency.Name(), state, clock(d.Since), why)
	}
}

func (s *statusReport) age(oldest time.Time) string {
	if oldest.IsZero() {
		return ""
	}
	return ", the oldest for " + duration(s.now.Sub(oldest))
}

func (s *statusReport) redactionLines(line func(string, ...any)) {
	source := map[string]string{
		matrix.RedactionsPush: "sent by the homeserver", matrix.RedactionsSync: "followed by sync",
		"": "not decided yet, the homeserver does not say what it is",
	}[s.redactions.Source]
	if s.redactions.Homeserver != "" {
		source += " (" + esc(s.redactions.Homeserver) + ")"
	}
	line("Redactions: %s; waiting for their events: %d, gaps being read: %d", source, s.redactions.Waiting, s.redactions.Gaps)
	if s.redactions.LastError != "" {
		line("Last error of the redaction feed: %s", esc(s.redactions.LastError))
	}
}

func (s *statusReport) readerLines(line func(string, ...any)) {
	var readers []string
	for _, name := range slices.Sorted(maps.Keys(s.poller.Scopes)) {
		readers = append(readers, fmt.Sprintf("%s %d", name, s.poller.Scopes[name]))
	}
	text := strings.Join(readers, ", ")
	if text == "" {
		text = "nothing to read yet"
	}
	line("Readers: %s; waiting to be read: %d, for %s; unreadable: %d", text, s.poller.Waiting, duration(s.poller.Lag), s.poller.Unreadable)
	if s.poller.LastError != "" {
		line("Last reading error: %s", esc(s.poller.LastError))
	}
	for i, refusal := range s.refusals {
		if i == 10 {
			line("… and %d more refusals", len(s.refusals)-i)
			break
		}
		line("Reader %s is refused for %s: %s", refusal.Reader, esc(refusal.Scope.String()), esc(refusal.Reason))
	}
}

func (s *statusReport) subscriptionLines(line func(string, ...any)) {
	active := 0
	var next time.Time
	for _, sub := range s.subscriptions {
		if sub.Status != teams.SubscriptionActive {
			continue
		}
		active++
		if next.IsZero() || sub.Expires.Before(next) {
			next = sub.Expires
		}
	}
	text := ""
	if !next.IsZero() {
		text = ", the first expires " + clock(next)
	}
	line("Subscriptions: %d of %d active%s", active, len(s.subscriptions), text)
	shown := 0
	for _, sub := range s.subscriptions {
		if sub.Status == teams.SubscriptionActive || shown == 10 {
			continue
		}
		shown++
		line("%s: %s %s", esc(sub.Resource), sub.Status, esc(sub.LastError))
	}
	line("Notifications waiting: %d, put aside: %d; certificate valid until %s", s.pending, s.quarantined, clock(s.certificate))
}

func (s *statusReport) accountLines(line func(string, ...any)) {
	line("Relay accounts: %d, signed-in people: %d", len(s.relays), len(s.users))
	if len(s.relays) == 0 {
		line("**There is no relay account**: what people write who did not sign in waits. Use `relay login`.")
	}
	for _, a := range s.expired {
		line("Has to sign in again: %s (%s) %s", esc(a.UPN), a.Kind, esc(a.Reason))
	}
}

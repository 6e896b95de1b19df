package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
		reply(ce, status.adminText(c.texts))
		return
	}
	reply(ce, status.staffText(c.texts))
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
	outage, drill        *database.Outage
	outages              []outageLine
	teams, channels      int
	notMirrored, refused int
	people, mapped       int
	// filled are the rooms and spaces that have all their people, coming those who
	// are being brought into others.
	filled, coming         int
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
	doubt                  teams.WebhookDoubt
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
	s.coming, _ = r.rooms.joins.state()
	s.filled, _ = r.mirror.filled()
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
		s.webhook, s.subscriptions, s.doubt = true, r.subs.State(), r.gaps.state()
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

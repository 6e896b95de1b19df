package bridge

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"teamsbridge/database"
	"teamsbridge/teams"
)

const (
	notificationPath = "/notifications"
	lifecyclePath    = "/lifecycle"
	healthPath       = "/healthz"

	// maxSubscriptions stays well below the 10,000 that an organisation has
	// for all of its applications together.
	maxSubscriptions = 6000
)

// webhookURLs returns the addresses that Graph is told.
func webhookURLs(public string) (notification, lifecycle string) {
	public = strings.TrimRight(public, "/")
	return public + notificationPath, public + lifecyclePath
}

// webhookPaths are what the listener serves: with the path of the public URL
// in front, and without it for proxies that take it away.
func webhookPaths(public string) []string {
	paths := []string{notificationPath, lifecyclePath, healthPath}
	if u, err := url.Parse(public); err == nil {
		if prefix := strings.TrimRight(u.Path, "/"); prefix != "" {
			paths = append(paths, prefix+notificationPath, prefix+lifecyclePath)
		}
	}
	return paths
}

// listen opens the webhook's port.
func (r *runtime) listen(ctx context.Context) (*teams.Listener, error) {
	cfg := r.c.Config.Webhook
	receiver := teams.NewReceiver(teams.ReceiverOptions{
		ClientState: r.keys.clientState, Log: r.notificationLog(), Wake: r.process.Wake,
		Arrivals: r.firsts, LeaveToPoller: r.leaveToPoller, Doubts: r.gaps.doubts,
		Counters: intakeWatch{teamsCounters{r.metrics}, r.health}, Logger: r.log, Now: r.now,
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+healthPath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.Handle("/", receiver)
	return teams.Listen(ctx, teams.ListenerOptions{
		Name: "webhook", Address: cfg.Listen, Paths: webhookPaths(cfg.PublicURL), Handler: mux, Logger: r.log,
	})
}

func (r *runtime) newSubscriptions() *teams.SubscriptionManager {
	notification, lifecycle := webhookURLs(r.c.Config.Webhook.PublicURL)
	return teams.NewSubscriptionManager(teams.SubscriptionManagerOptions{
		API: r.graph.subs, Wanted: r.wantedSubscriptions, NotificationURL: notification, LifecycleURL: lifecycle,
		ClientState: r.keys.clientState, Certificates: r.keys.certificates, Records: subscriptionRecords{r.db.Subscriptions},
		OnGap: r.gap, Counters: teamsCounters{r.metrics}, Logger: r.log, Now: r.now,
	})
}

// wantedSubscriptions is what ought to be subscribed to: the messages, and who
// joins and leaves mirrored teams, so that somebody who was removed in Teams
// does not read on in Matrix until the next listing. Microsoft does not say
// that the tenant's messages include those of shared channels, so these get a
// subscription each; what comes twice is one row of the ledger.
func (r *runtime) wantedSubscriptions(ctx context.Context) ([]teams.WantedSubscription, error) {
	cfg := r.c.Config.Webhook
	var wanted []teams.WantedSubscription
	if cfg.Scope == ScopeTenant {
		wanted = append(wanted, teams.TenantMessages(cfg.ResourceData), teams.TenantChannels())
	}
	var left []teams.Scope
	ownMembers := map[string]bool{}
	for _, conv := range inOrder(r.catalog.all(isMirroredChannel)) {
		if conv.Membership != teams.MembershipStandard {
			ownMembers[conv.TeamID] = true
		}
		if cfg.Scope != ScopeChannel && !isShared(conv) {
			continue
		}
		ref := teams.ChannelRef{TeamID: conv.TeamID, ChannelID: conv.ChannelID}
		if len(wanted) >= maxSubscriptions {
			left = append(left, teams.Scope(ref))
			continue
		}
		wanted = append(wanted, teams.ChannelMessages(ref, cfg.ResourceData))
	}
	if len(left) > 0 {
		zerolog.Ctx(ctx).Warn().Int("subscriptions", len(wanted)).Int("channels", len(left)).
			Msg("Too many channels to subscribe to all of them, the others are read by the readers alone")
	}
	r.unsubscribable.Store(&left)
	for _, conv := range inOrder(r.catalog.all(isMirrored)) {
		if conv.Kind != database.ConversationTeam {
			continue
		}
		if len(wanted)+3 > maxSubscriptions {
			zerolog.Ctx(ctx).Warn().Int("subscriptions", len(wanted)).Msg("Too many teams to subscribe to all of them, changes of the others' members are followed by listing")
			break
		}
		if cfg.Scope == ScopeChannel {
			wanted = append(wanted, teams.TeamChannels(conv.TeamID))
		}
		wanted = append(wanted, teams.TeamMembers(conv.TeamID))
		if ownMembers[conv.TeamID] {
			wanted = append(wanted, teams.PrivateChannelMembers(conv.TeamID))
		}
	}
	return wanted, nil
}

// inOrder sorts conversations, so that where not all of them can be served it
// is always the same ones.
func inOrder(convs []database.Conversation) []database.Conversation {
	slices.SortFunc(convs, func(a, b database.Conversation) int { return strings.Compare(a.Portal, b.Portal) })
	return convs
}

// gap makes up for notifications that were missed.
func (r *runtime) gap(resource, reason string) {
	res, ok := teams.ParseResource(resource)
	if !ok {
		r.poller.Request(reason)
		return
	}
	switch res.Kind {
	case teams.ResourceMember, teams.ResourceChannel, teams.ResourceTeam:
		if reason != teams.GapCreated {
			r.mirror.DirectoryChanged(res.TeamID, reason)
		}
	default:
		r.poller.Request(reason, res.Scope())
	}
}

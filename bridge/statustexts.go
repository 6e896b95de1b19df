package bridge

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/database"
	"teamsbridge/matrix"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// statusListed is how many refusals, and how many subscriptions that are not
// there, status shows.
const statusListed = 10

// graphText says whether Graph can be used.
func (s *statusReport) graphText(x texts.Texts) string {
	switch {
	case s.outage != nil:
		return x.Say(texts.GraphDownSince, "time", x.Time(s.outage.Began), "why", whyOps(x, s.outage))
	case s.down:
		return x.Say(texts.GraphDown)
	case !s.known:
		return x.Say(texts.GraphUnknown)
	default:
		return x.Say(texts.GraphUp)
	}
}

func (s *statusReport) waiting() int {
	return s.outbox.ByState[database.StateQueued] + s.outbox.ByState[database.StateSending]
}

// list makes a Markdown list of lines.
func list(lines []string) string { return "* " + strings.Join(lines, "\n* ") + "\n" }

// staffText is what everybody may know.
func (s *statusReport) staffText(x texts.Texts) string {
	lines := []string{x.Say(texts.StatusTeams, "state", s.graphText(x))}
	if s.drill != nil {
		lines = append(lines, x.Say(texts.StatusDrill, "time", x.Time(s.drill.Began)))
	}
	return list(append(lines, x.Count(texts.StatusOnTheWay, s.waiting())))
}

// adminText is everything.
func (s *statusReport) adminText(x texts.Texts) string {
	lines := []string{
		x.Say(texts.StatusBridge, "version", esc(s.version), "duration", spokenFor(x, s.up)),
		x.Say(texts.StatusTenant, "tenant", esc(s.tenant)),
		x.Say(texts.StatusGraph, "state", s.graphText(x)),
	}
	lines = append(lines, s.dependencyLines(x)...)
	out, in := s.outbox.ByState, s.inbox.ByState
	lines = append(lines,
		x.Say(texts.StatusMirrored, "teams", x.Count(texts.TeamsCount, s.teams), "channels", x.Count(texts.ChannelsCount, s.channels),
			"excluded", strconv.Itoa(s.notMirrored), "refused", strconv.Itoa(s.refused)),
		x.Say(texts.StatusPeople, "people", strconv.Itoa(s.people), "mapped", strconv.Itoa(s.mapped)),
		x.Say(texts.StatusJoins, "done", strconv.Itoa(s.filled), "all", strconv.Itoa(s.teams+s.channels), "people", strconv.Itoa(s.coming)),
		x.Say(texts.StatusToTeams, "queued", strconv.Itoa(out[database.StateQueued]), "sending", strconv.Itoa(out[database.StateSending]),
			"sent", strconv.Itoa(out[database.StateSent]), "parked", strconv.Itoa(out[database.StateParked]),
			"failed", strconv.Itoa(out[database.StateFailed]), "age", s.age(x, s.outbox.Oldest)),
		x.Say(texts.StatusToMatrix, "waiting", strconv.Itoa(in[database.StatePending]), "parked", strconv.Itoa(in[database.StateParked]),
			"age", s.age(x, s.inbox.Oldest)),
		x.Say(texts.StatusJournal, "events", strconv.Itoa(s.journal)))
	lines = append(lines, s.redactionLines(x)...)
	lines = append(lines, s.readerLines(x)...)
	if !s.webhook {
		lines = append(lines, x.Say(texts.StatusNotificationsOff))
	} else {
		lines = append(lines, s.subscriptionLines(x)...)
	}
	lines = append(lines, s.accountLines(x)...)
	for _, o := range s.outages {
		lines = append(lines, outageText(x, o))
	}
	return list(lines)
}

// dependencyLines are a line for each dependency of which something is known.
func (s *statusReport) dependencyLines(x texts.Texts) (lines []string) {
	for _, d := range s.dependencies {
		if d.State == vitals.Unknown {
			continue
		}
		state, why := word(x, d.State.String()), ""
		if d.Cause != vitals.NoCause {
			state, why = "**"+state+"**", esc(causeSentence(x, d.Cause, d.Detail))
		}
		lines = append(lines, x.Say(texts.StatusDependency, "name", x.Say(dependencyNames[d.Dependency]), "state", state, "time", x.Time(d.Since), "why", why))
	}
	return lines
}

// age is how old the oldest row is, empty where there is none.
func (s *statusReport) age(x texts.Texts, oldest time.Time) string {
	if oldest.IsZero() {
		return ""
	}
	return spokenFor(x, s.now.Sub(oldest))
}

func (s *statusReport) redactionLines(x texts.Texts) []string {
	source := x.Say(texts.RedactionsUndecided)
	switch s.redactions.Source {
	case matrix.RedactionsPush:
		source = x.Say(texts.RedactionsPushed)
	case matrix.RedactionsSync:
		source = x.Say(texts.RedactionsFollowed)
	}
	lines := []string{x.Say(texts.StatusRedactions, "source", source, "homeserver", esc(s.redactions.Homeserver),
		"waiting", strconv.Itoa(s.redactions.Waiting), "gaps", strconv.Itoa(s.redactions.Gaps))}
	if s.redactions.LastError != "" {
		lines = append(lines, x.Say(texts.StatusRedactionError, "why", esc(s.redactions.LastError)))
	}
	return lines
}

func (s *statusReport) readerLines(x texts.Texts) []string {
	var readers []string
	for _, name := range slices.Sorted(maps.Keys(s.poller.Scopes)) {
		readers = append(readers, fmt.Sprintf("%s %d", name, s.poller.Scopes[name]))
	}
	text := strings.Join(readers, ", ")
	if text == "" {
		text = x.Say(texts.StatusNoReaders)
	}
	lines := []string{x.Say(texts.StatusReaders, "readers", text, "waiting", strconv.Itoa(s.poller.Waiting), "age", spokenFor(x, s.poller.Lag),
		"unreadable", strconv.Itoa(s.poller.Unreadable))}
	if s.poller.LastError != "" {
		lines = append(lines, x.Say(texts.StatusReadingError, "why", esc(spoken(x, s.poller.LastError))))
	}
	for i, refusal := range s.refusals {
		if i == statusListed {
			lines = append(lines, x.Count(texts.StatusMoreRefusals, len(s.refusals)-i))
			break
		}
		lines = append(lines, x.Say(texts.StatusRefusal, "reader", refusal.Reader, "scope", esc(refusal.Scope.String()), "why", esc(spoken(x, refusal.Reason))))
	}
	return lines
}

func (s *statusReport) subscriptionLines(x texts.Texts) []string {
	active, next := 0, time.Time{}
	var broken []string
	for _, sub := range s.subscriptions {
		if sub.Status != teams.SubscriptionActive {
			if len(broken) < statusListed {
				broken = append(broken, x.Say(texts.StatusSubscription, "resource", esc(sub.Resource), "state", spoken(x, string(sub.Status)),
					"why", esc(spoken(x, sub.LastError))))
			}
			continue
		}
		active++
		if next.IsZero() || sub.Expires.Before(next) {
			next = sub.Expires
		}
	}
	lines := append([]string{x.Say(texts.StatusSubscriptions, "active", strconv.Itoa(active), "all", strconv.Itoa(len(s.subscriptions)), "time", timeOf(x, next))}, broken...)
	if s.doubt.Any() {
		var why []string
		for _, reason := range s.doubt.Reasons {
			why = append(why, x.Say(doubtReasons[reason]))
		}
		lines = append(lines, x.Say(texts.StatusDoubt, "time", timeOf(x, s.doubt.Since), "until", timeOf(x, s.doubt.Until), "why", strings.Join(why, "; ")))
	}
	return append(lines, x.Say(texts.StatusNotifications, "waiting", strconv.Itoa(s.pending),
		"aside", strconv.Itoa(s.quarantined), "time", timeOf(x, s.certificate)))
}

var doubtReasons = map[string]texts.Key{
	teams.DoubtStarted: texts.DoubtStarted, teams.DoubtSlow: texts.DoubtSlow, teams.DoubtRefused: texts.DoubtRefused,
	teams.DoubtLate: texts.DoubtLate, teams.DoubtUnannounced: texts.DoubtUnannounced, teams.DoubtUnsubscribed: texts.DoubtUnsubscribed,
}

// timeOf is a point in time, empty where there is none.
func timeOf(x texts.Texts, at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return x.Time(at)
}

func (s *statusReport) accountLines(x texts.Texts) []string {
	lines := []string{x.Say(texts.StatusAccounts, "relays", strconv.Itoa(len(s.relays)), "people", strconv.Itoa(len(s.users)))}
	if len(s.relays) == 0 {
		lines = append(lines, x.Say(texts.StatusNoRelay))
	}
	for _, a := range s.expired {
		lines = append(lines, x.Say(texts.StatusExpired, "account", esc(a.UPN), "kind", word(x, a.Kind), "why", esc(spoken(x, a.Reason))))
	}
	return lines
}

package bridge

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/bridge/statuspage"
	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

const (
	// pageRows is how many conversations the page shows at once, pageOutages how
	// many outages; pageTeams how many teams can be chosen for a drill.
	pageRows    = 100
	pageOutages = 10
	pageTeams   = 500
)

// View implements statuspage.Bridge.
func (p pageBridge) View(ctx context.Context, find string) (v statuspage.View, err error) {
	r, x := p.r, p.r.c.texts
	s, err := r.status(ctx)
	if err != nil {
		return v, err
	}
	v.Level, v.Headline = s.headline(x)
	v.Groups = s.pageGroups(x)
	real, drill := r.outages.holdOf(database.HoldOutage), r.outages.holdOf(database.HoldDrill)
	v.Declared, v.Drilling = real != nil, drill != nil
	recent, err := r.outages.recent(ctx, pageOutages)
	if err != nil {
		return v, err
	}
	for _, line := range recent {
		v.Outages = append(v.Outages, plainMarkdown(outageText(x, line)))
	}
	report, err := r.outages.drillReport(ctx)
	if err == nil {
		v.Drill = plainMarkdown(report)
	} else if !errors.Is(err, errNoReport) {
		return v, err
	}
	return v, p.rows(ctx, find, &v)
}

// headline is the bridge in a sentence.
func (s *statusReport) headline(x texts.Texts) (statuspage.Level, string) {
	switch {
	case s.outage != nil, s.down:
		return statuspage.Bad, plainMarkdown(s.graphText(x))
	case s.drill != nil:
		return statuspage.Warn, plainMarkdown(x.Say(texts.StatusDrill, "time", x.Time(s.drill.Began)))
	case slices.ContainsFunc(s.dependencies, func(d vitals.Status) bool {
		return levelOf(d.State) == statuspage.Bad || levelOf(d.State) == statuspage.Warn
	}):
		return statuspage.Warn, x.Say(texts.PageNotWell)
	}
	return statuspage.Good, x.Say(texts.PageAllWell)
}

func levelOf(state vitals.State) statuspage.Level {
	switch state {
	case vitals.Up:
		return statuspage.Good
	case vitals.Down:
		return statuspage.Bad
	case vitals.Unknown:
		return statuspage.Idle
	default:
		return statuspage.Warn
	}
}

// warnIf is the level of a line that says what ought not to be.
func warnIf(bad bool) statuspage.Level {
	if bad {
		return statuspage.Warn
	}
	return statuspage.Good
}

// pageGroups are the facts, by heading.
func (s *statusReport) pageGroups(x texts.Texts) []statuspage.Group {
	var dependencies []statuspage.Line
	for _, d := range s.dependencies {
		line := statuspage.Line{Name: x.Say(dependencyNames[d.Dependency]), State: word(x, d.State.String()), Level: levelOf(d.State)}
		if d.Cause != vitals.NoCause {
			line.Note = causeSentence(x, d.Cause, d.Detail)
		}
		dependencies = append(dependencies, line)
	}
	waiting := func(n int, oldest time.Time) string {
		age := ""
		if n > 0 {
			age = s.age(x, oldest)
		}
		return x.Say(texts.PageWaiting, "n", strconv.Itoa(n), "age", age)
	}
	out, in := s.outbox.ByState, s.inbox.ByState
	parked := out[database.StateParked] + in[database.StateParked]
	traffic := []statuspage.Line{
		{Name: x.Say(texts.PageToTeams), State: waiting(s.waiting(), s.outbox.Oldest), Level: statuspage.Idle},
		{Name: x.Say(texts.PageToMatrix), State: waiting(in[database.StatePending], s.inbox.Oldest), Level: statuspage.Idle},
		{Name: x.Say(texts.PageParked), State: strconv.Itoa(parked), Level: warnIf(parked > 0)},
	}
	bridge := []statuspage.Line{
		{Name: x.Say(texts.PageVersion), State: s.version, Level: statuspage.Idle},
		{Name: x.Say(texts.PageUp), State: spokenFor(x, s.up), Level: statuspage.Idle},
		{Name: x.Say(texts.PageTenant), State: s.tenant, Level: statuspage.Idle},
		{Name: x.Say(texts.PageMirrored), State: x.Count(texts.TeamsCount, s.teams) + ", " + x.Count(texts.ChannelsCount, s.channels), Level: statuspage.Idle},
		{Name: x.Say(texts.PagePeople), State: ofAll(x, s.mapped, s.people), Level: statuspage.Idle},
		{Name: x.Say(texts.PageFilled), State: ofAll(x, s.filled, s.teams+s.channels), Level: statuspage.Idle},
	}
	return []statuspage.Group{
		{Heading: x.Say(texts.PageDependencies), Lines: dependencies}, {Heading: x.Say(texts.PageTraffic), Lines: traffic},
		{Heading: x.Say(texts.PageReading), Lines: s.readingLines(x)}, {Heading: x.Say(texts.PageAccounts), Lines: s.accountFacts(x)},
		{Heading: x.Say(texts.PageBridge), Lines: bridge},
	}
}

func ofAll(x texts.Texts, n, all int) string {
	return x.Say(texts.PageOf, "n", strconv.Itoa(n), "all", strconv.Itoa(all))
}

// readingLines are how messages come from Teams.
func (s *statusReport) readingLines(x texts.Texts) []statuspage.Line {
	subscriptions := statuspage.Line{Name: x.Say(texts.PageSubscriptions), State: x.Say(texts.PageNotificationsOff), Level: statuspage.Idle}
	if s.webhook {
		active := 0
		var why []string
		for _, sub := range s.subscriptions {
			if sub.Status == teams.SubscriptionActive {
				active++
			} else if sub.LastError != "" && len(why) < 3 {
				why = append(why, sub.Resource+": "+spoken(x, sub.LastError))
			}
		}
		for _, reason := range s.doubt.Reasons {
			why = append(why, plainMarkdown(x.Say(doubtReasons[reason])))
		}
		subscriptions.State, subscriptions.Note = ofAll(x, active, len(s.subscriptions)), strings.Join(why, "; ")
		subscriptions.Level = warnIf(active < len(s.subscriptions) || s.doubt.Any())
	}
	behind := statuspage.Line{Name: x.Say(texts.PageReadBehind), State: strconv.Itoa(s.poller.Waiting), Level: statuspage.Idle}
	if s.poller.LastError != "" {
		behind.Level, behind.Note = statuspage.Warn, spoken(x, s.poller.LastError)
	}
	return []statuspage.Line{subscriptions, behind}
}

// accountFacts are who writes in Teams, and who can't any more.
func (s *statusReport) accountFacts(x texts.Texts) []statuspage.Line {
	lines := []statuspage.Line{
		{Name: x.Say(texts.PageRelays), State: strconv.Itoa(len(s.relays)), Level: warnIf(len(s.relays) == 0)},
		{Name: x.Say(texts.PageUsers), State: strconv.Itoa(len(s.users)), Level: statuspage.Idle},
	}
	for i, a := range s.expired {
		if i == statusListed {
			lines = append(lines, statuspage.Line{Name: x.Count(texts.ListMore, len(s.expired)-i), Level: statuspage.Warn})
			break
		}
		lines = append(lines, statuspage.Line{Name: a.UPN, State: x.Say(texts.PageExpired), Level: statuspage.Warn})
	}
	return lines
}

// rows puts conversations into the view: first those in which something waits,
// can't go or is held, then by name.
func (p pageBridge) rows(ctx context.Context, find string, v *statuspage.View) error {
	r, x, now := p.r, p.r.c.texts, p.r.now()
	toTeams, err := r.db.Outbox.Backlogs(ctx)
	if err != nil {
		return err
	}
	toMatrix, err := r.db.Inbox.Backlogs(ctx)
	if err != nil {
		return err
	}
	type waits struct{ out, in database.Backlog }
	backlogs := map[string]waits{}
	for _, b := range toTeams {
		backlogs[b.Portal] = waits{out: b}
	}
	for _, b := range toMatrix {
		w := backlogs[b.Portal]
		w.in = b
		backlogs[b.Portal] = w
	}
	age := func(b database.Backlog) string {
		if b.Waiting == 0 {
			return ""
		}
		return x.Say(texts.PageWaiting, "n", strconv.Itoa(b.Waiting), "age", spokenFor(x, now.Sub(time.UnixMilli(b.Oldest))))
	}
	row := func(team, conv database.Conversation) statuspage.Row {
		w := backlogs[conv.Portal]
		out := statuspage.Row{
			Target: conv.TeamID, Team: team.Name, State: stateText(x, conv), Level: statuspage.Idle, Mirrored: isMirrored(conv),
			ToTeams: age(w.out), ToMatrix: age(w.in), Waiting: w.out.Waiting+w.out.Parked+w.in.Parked > 0,
		}
		if conv.Kind == database.ConversationChannel {
			out.Target, out.Name, out.Kind = conv.TeamID+"/"+conv.ChannelID, conv.Name, word(x, conv.Membership)
		} else {
			out.Kind = x.Say(texts.PageWholeTeam)
		}
		if parked := w.out.Parked + w.in.Parked; parked > 0 {
			out.Parked = strconv.Itoa(parked)
		}
		hold, held := r.holds.holding(conv.Portal)
		out.Paused = held && hold.Kind == database.HoldPause
		switch {
		case out.Parked != "" || conv.State == database.ConversationRefused || out.Paused:
			out.Level = statuspage.Warn
		case isMirrored(conv):
			out.Level = statuspage.Good
		}
		if out.Paused {
			out.State += ", " + x.Say(texts.PagePaused)
		}
		return out
	}
	find = strings.ToLower(strings.TrimSpace(find))
	for _, view := range teamViews(r.catalog.all(nil)) {
		if isMirrored(view.team) && len(v.Teams) < pageTeams {
			v.Teams = append(v.Teams, statuspage.Choice{Value: view.team.TeamID, Name: view.team.Name})
		}
		view.team.Portal = cmp.Or(view.team.Portal, string(portal.TeamPortal(view.team.TeamID).ID))
		teamFits := strings.Contains(strings.ToLower(view.team.Name), find)
		if teamFits {
			v.Rows = append(v.Rows, row(view.team, view.team))
		}
		for _, conv := range view.channels {
			if teamFits || strings.Contains(strings.ToLower(conv.Name), find) {
				v.Rows = append(v.Rows, row(view.team, conv))
			}
		}
	}
	slices.SortStableFunc(v.Rows, func(a, b statuspage.Row) int { return cmp.Compare(urgency(b), urgency(a)) })
	if len(v.Rows) > pageRows {
		v.Left = x.Count(texts.ListMore, len(v.Rows)-pageRows)
		v.Rows = v.Rows[:pageRows]
	}
	return nil
}

// urgency orders rows.
func urgency(row statuspage.Row) int {
	switch {
	case row.Parked != "" || row.Paused:
		return 2
	case row.ToTeams != "" || row.ToMatrix != "":
		return 1
	}
	return 0
}

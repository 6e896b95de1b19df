package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2/commands"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/texts"
)

const (
	// outagesListed is how many outages a command shows, outagesSearched how far
	// back one is looked for.
	outagesListed   = 10
	outagesSearched = 100
)

// declare declares an outage for everything, or changes its reason.
func (o *outages) declare(ctx context.Context, by, reason string) error {
	hold := database.Hold{Kind: database.HoldOutage, Reason: reason, By: by, Began: o.now()}
	if before := o.holdOf(database.HoldOutage); before != nil {
		hold.Began = before.Began
	}
	if err := o.holds.set(ctx, hold); err != nil {
		return err
	}
	return o.look(ctx)
}

// errNotDeclared is told to administrators who end what goes on by itself.
var errNotDeclared = errors.New(inEnglish(texts.OutageNotDeclared))

// endDeclared ends a declared outage. It returns the record where the outage
// goes on all the same.
func (o *outages) endDeclared(ctx context.Context) (goesOn *database.Outage, err error) {
	ok, err := o.letGo(ctx)
	if err != nil {
		return nil, err
	} else if !ok {
		return nil, errNotDeclared
	}
	if err := o.look(ctx); err != nil {
		return nil, err
	}
	real, _ := o.current()
	return real, nil
}

// outageLine is a record with what became of what was written in it.
type outageLine struct {
	database.Outage
	total tally
}

// recent returns the newest outages.
func (o *outages) recent(ctx context.Context, limit int) ([]outageLine, error) {
	records, err := o.db.Outages.Recent(ctx, limit)
	if err != nil {
		return nil, err
	}
	out := make([]outageLine, 0, len(records))
	for _, rec := range records {
		all, err := o.tallies(ctx, rec)
		if err != nil {
			return nil, err
		}
		out = append(out, outageLine{*rec, all.total()})
	}
	return out, nil
}

func (c *Connector) commandOutage(ctx context.Context, ce *commands.Event) {
	x := c.texts
	verb, rest := firstWord(arguments(ce))
	switch strings.ToLower(verb) {
	case "":
		recent, err := c.rt.outages.recent(ctx, outagesListed)
		if err != nil {
			c.failed(ce, err)
			return
		}
		reply(ce, outagesText(x, recent))
	case "start":
		if rest == "" {
			reply(ce, x.Say(texts.OutageAskWhy))
			return
		}
		if err := c.rt.outages.declare(ctx, ce.User.MXID.String(), rest); err != nil {
			c.failed(ce, err)
			return
		}
		reply(ce, x.Say(texts.OutageIsDeclared))
	case "end":
		goesOn, err := c.rt.outages.endDeclared(ctx)
		switch {
		case err != nil:
			c.failed(ce, err)
		case goesOn != nil:
			reply(ce, x.Say(texts.OutageGoesOn, "why", whyOps(x, goesOn)))
		default:
			reply(ce, x.Say(texts.OutageIsOver))
		}
	default:
		reply(ce, x.Say(texts.OutageUsage))
	}
}

func (c *Connector) commandDrill(ctx context.Context, ce *commands.Event) {
	verb, rest := firstWord(arguments(ce))
	switch strings.ToLower(verb) {
	case "start":
		c.drillStart(ctx, ce, rest)
	case "end":
		if err := c.rt.outages.endDrill(ctx); err != nil {
			c.failed(ce, err)
			return
		}
		reply(ce, c.texts.Say(texts.DrillIsOver))
	case "report":
		report, err := c.drillReport(ctx, rest)
		if err != nil {
			c.failed(ce, err)
			return
		}
		reply(ce, report)
	default:
		reply(ce, c.texts.Say(texts.DrillUsage))
	}
}

// drillReport is the answer to drill report: the report of the last drill, or a page
// of who was in its rooms.
func (c *Connector) drillReport(ctx context.Context, rest string) (string, error) {
	if rest == "" {
		return c.rt.outages.drillReport(ctx)
	}
	q, problem := drillQueryOf(c.texts, teamViews(c.rt.catalog.all(nil)), rest)
	if problem != "" {
		return problem, nil
	}
	return c.rt.outages.drillPage(ctx, q)
}

func (c *Connector) drillStart(ctx context.Context, ce *commands.Event, rest string) {
	scope, label, length, problem := drillTarget(c.texts, teamViews(c.rt.catalog.all(nil)), rest)
	if problem != "" {
		reply(ce, problem)
		return
	}
	until, err := c.rt.outages.startDrill(ctx, scope, label, ce.User.MXID.String(), length)
	if err != nil {
		c.failed(ce, err)
		return
	}
	reply(ce, c.texts.Say(texts.DrillStarted, "what", esc(drills.Retell(c.texts, label)), "time", c.texts.Time(until)))
}

// drillTarget reads TEAM|all [MINUTES]. The label is in English, for the record.
func drillTarget(x texts.Texts, views []teamView, text string) (scope, label string, length time.Duration, problem string) {
	length = drillDefault
	if text == "" {
		return "", "", 0, x.Say(texts.DrillUsage)
	}
	view, near := findTeam(views, text)
	if view == nil {
		if name, last := lastWord(text); name != "" {
			if minutes, err := strconv.Atoi(last); err == nil {
				text, length = name, time.Duration(minutes)*time.Minute
				view, near = findTeam(views, text)
			}
		}
	}
	switch {
	case view != nil && !isMirrored(view.team):
		return "", "", 0, x.Say(texts.DrillNotMirrored, "team", esc(view.team.Name))
	case view != nil:
		return string(portal.TeamPortal(view.team.TeamID).ID), inEnglish(texts.DrillTeam, "team", view.team.Name), length, ""
	case strings.EqualFold(text, "all"):
		return "", inEnglish(texts.DrillAll), length, ""
	default:
		return "", "", 0, unknownText(x, unknownTeam, text, near)
	}
}

// firstWord cuts the first word off.
func firstWord(s string) (word, rest string) {
	word, rest, _ = strings.Cut(s, " ")
	return word, strings.TrimSpace(rest)
}

// lastWord cuts the last word off.
func lastWord(s string) (rest, word string) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return "", s
	}
	return strings.TrimSpace(s[:i]), s[i+1:]
}

// outagesText is the answer to outage.
func outagesText(x texts.Texts, recent []outageLine) string {
	if len(recent) == 0 {
		return x.Say(texts.OutagesNone)
	}
	var b strings.Builder
	if !slices.ContainsFunc(recent, func(line outageLine) bool { return line.Ended.IsZero() }) {
		b.WriteString(x.Say(texts.OutagesNoneNow) + "\n\n")
	}
	for _, line := range recent {
		fmt.Fprintf(&b, "* %s\n", outageText(x, line))
	}
	return b.String()
}

// outageText is one outage in a line.
func outageText(x texts.Texts, line outageLine) string {
	began := x.Time(line.Began)
	head := x.Say(texts.OutageLine, "time", began)
	switch line.Kind {
	case database.OutageDeclared:
		head = x.Say(texts.OutageLineDeclared, "time", began)
	case database.OutageDrill:
		head = x.Say(texts.OutageLineDrill, "time", began)
	}
	state, lasted := x.Say(texts.OutageLineGoesOn), spokenFor(x, line.Ended.Sub(line.Began))
	switch {
	case line.Ended.IsZero():
	case line.Drained.IsZero():
		state = x.Say(texts.OutageLineDraining, "duration", lasted)
	default:
		state = x.Say(texts.OutageLineEnded, "duration", lasted)
	}
	whom, why := "", strings.TrimSuffix(whyOps(x, &line.Outage), ".")
	if line.Kind == database.OutageDrill {
		whom, why = x.Say(texts.OutageLineWhom, "what", esc(drills.Retell(x, line.Detail)), "who", esc(line.By)), ""
	}
	waiting := ""
	if line.total.waiting > 0 {
		waiting = strconv.Itoa(line.total.waiting)
	}
	counts := x.Count(texts.OutageLineCounts, line.total.messages(), "delivered", strconv.Itoa(line.total.delivered), "waiting", waiting)
	return x.Say(texts.OutageLineAll, "outage", head, "state", state, "whom", whom, "why", why, "counts", counts)
}

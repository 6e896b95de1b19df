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
)

const (
	// outagesListed is how many outages a command shows, outagesSearched how far
	// back one is looked for.
	outagesListed   = 10
	outagesSearched = 100
)

const (
	outageUsage = "Usage: `outage` to see outages, `outage start REASON` to declare one, `outage end` to end it."
	drillUsage  = "Usage: `drill start TEAM|all [MINUTES]`, `drill end`, `drill report`."
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
var errNotDeclared = errors.New("no outage is declared; one that was detected ends by itself when Teams answers")

// endDeclared ends a declared outage. It returns the record where the outage
// goes on all the same.
func (o *outages) endDeclared(ctx context.Context) (goesOn *database.Outage, err error) {
	ok, err := o.holds.clear(ctx, "", database.HoldOutage)
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
	verb, rest := firstWord(arguments(ce))
	switch strings.ToLower(verb) {
	case "":
		recent, err := c.rt.outages.recent(ctx, outagesListed)
		if err != nil {
			c.failed(ce, err)
			return
		}
		reply(ce, outagesText(recent))
	case "start":
		if rest == "" {
			reply(ce, "Please say why, people will be told: `outage start REASON`.")
			return
		}
		if err := c.rt.outages.declare(ctx, ce.User.MXID.String(), rest); err != nil {
			c.failed(ce, err)
			return
		}
		reply(ce, "An outage is declared. What people write in Matrix is kept until `outage end`; rooms in which something waits are told.")
	case "end":
		goesOn, err := c.rt.outages.endDeclared(ctx)
		switch {
		case err != nil:
			c.failed(ce, err)
		case goesOn != nil:
			reply(ce, fmt.Sprintf("The outage is no longer declared, but Teams can't be used: %s Rooms will be told when it can.", whyOps(goesOn)))
		default:
			reply(ce, "The declared outage is over. What was written meanwhile is on its way to Teams.")
		}
	default:
		reply(ce, outageUsage)
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
		reply(ce, "The drill is over. Its report comes when everything that was kept is in Teams.")
	case "report":
		report, err := c.rt.outages.drillReport(ctx)
		if err != nil {
			c.failed(ce, err)
			return
		}
		reply(ce, report)
	default:
		reply(ce, drillUsage)
	}
}

func (c *Connector) drillStart(ctx context.Context, ce *commands.Event, rest string) {
	scope, label, length, problem := drillTarget(teamViews(c.rt.catalog.all(nil)), rest)
	if problem != "" {
		reply(ce, problem)
		return
	}
	until, err := c.rt.outages.startDrill(ctx, scope, label, ce.User.MXID.String(), length)
	if err != nil {
		c.failed(ce, err)
		return
	}
	reply(ce, fmt.Sprintf("The drill for %s goes on until %s, or until `drill end`. What people write in Matrix is kept meanwhile. "+
		"Rooms in which something waits are told that it is a drill.", esc(label), clock(until)))
}

// drillTarget reads TEAM|all [MINUTES].
func drillTarget(views []teamView, text string) (scope, label string, length time.Duration, problem string) {
	length = drillDefault
	if text == "" {
		return "", "", 0, drillUsage
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
		return "", "", 0, fmt.Sprintf("The team **%s** is not mirrored, so there is nothing to rehearse.", esc(view.team.Name))
	case view != nil:
		return string(portal.TeamPortal(view.team.TeamID).ID), "the team " + view.team.Name, length, ""
	case strings.EqualFold(text, "all"):
		return "", "all teams", length, ""
	default:
		return "", "", 0, unknownText("team", text, near)
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
func outagesText(recent []outageLine) string {
	if len(recent) == 0 {
		return "There was no outage yet."
	}
	var b strings.Builder
	if !slices.ContainsFunc(recent, func(line outageLine) bool { return line.Ended.IsZero() }) {
		b.WriteString("No outage goes on.\n\n")
	}
	for _, line := range recent {
		fmt.Fprintf(&b, "* %s\n", outageText(line))
	}
	return b.String()
}

// outageText is one outage in a line.
func outageText(line outageLine) string {
	kind := map[string]string{database.OutageDetected: "Outage", database.OutageDeclared: "Declared outage", database.OutageDrill: "Drill"}[line.Kind]
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s, ", kind, clock(line.Began))
	switch {
	case line.Ended.IsZero():
		b.WriteString("**goes on**")
	case line.Drained.IsZero():
		fmt.Fprintf(&b, "ended after %s, what was kept is on its way", duration(line.Ended.Sub(line.Began)))
	default:
		fmt.Fprintf(&b, "ended after %s", duration(line.Ended.Sub(line.Began)))
	}
	switch {
	case line.Kind == database.OutageDrill:
		fmt.Fprintf(&b, ", for %s, by %s", esc(line.Detail), esc(line.By))
	default:
		fmt.Fprintf(&b, ": %s", strings.TrimSuffix(whyOps(&line.Outage), "."))
	}
	fmt.Fprintf(&b, "; %s, %d delivered", count(line.total.messages(), "message", "messages"), line.total.delivered)
	if line.total.waiting > 0 {
		fmt.Fprintf(&b, ", %d waiting", line.total.waiting)
	}
	return b.String()
}

package bridge

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2/commands"

	"teamsbridge/portal"
	"teamsbridge/teams"
)

// verifyDefault is how far back is compared where nothing is said.
const verifyDefault = 7 * 24 * time.Hour

const verifyUsage = "Usage: `verify [TEAM[/CHANNEL]] [SINCE] [--repair]`. SINCE is a length of time such as `12h` or `3d`, or a date such as `2026-11-20`; " +
	"without it, 7 days are compared. `verify stop` ends a comparison."

// verifyOrder is what somebody asked for.
type verifyOrder struct {
	name   string // TEAM[/CHANNEL], "" for all
	since  time.Time
	repair bool
	stop   bool
}

var (
	verifyAge  = regexp.MustCompile(`^(\d+)(m|h|d|w)$`)
	verifyDate = regexp.MustCompile(`^\d{4}-\d{1,2}-\d{1,2}$`)
)

// parseVerify reads the command's arguments. Names may have spaces, so the time
// is the last word, and options stand anywhere.
func parseVerify(text string, now time.Time) (o verifyOrder, problem string) {
	o.since = now.Add(-verifyDefault)
	var words []string
	for _, word := range strings.Fields(text) {
		switch {
		case word == "--repair", word == "—repair", word == "–repair": // some clients make dashes of it
			o.repair = true
		case strings.HasPrefix(word, "--"):
			return o, fmt.Sprintf("There is no option `%s`. %s", esc(word), verifyUsage)
		default:
			words = append(words, word)
		}
	}
	if len(words) == 1 && words[0] == "stop" && !o.repair {
		return verifyOrder{stop: true}, ""
	}
	if len(words) > 0 {
		since, isTime, problem := parseSince(words[len(words)-1], now)
		if problem != "" {
			return o, problem
		} else if isTime {
			o.since, words = since, words[:len(words)-1]
		}
	}
	o.name = strings.Join(words, " ")
	return o, ""
}

// parseSince reads a length of time or a date.
func parseSince(word string, now time.Time) (since time.Time, isTime bool, problem string) {
	if parts := verifyAge.FindStringSubmatch(strings.ToLower(word)); parts != nil {
		unit := map[string]time.Duration{"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}[parts[2]]
		n, err := strconv.Atoi(parts[1])
		if err != nil || n == 0 || n > int(100*365*24*time.Hour/unit) {
			return since, true, fmt.Sprintf("“%s” is no length of time to compare. %s", esc(word), verifyUsage)
		}
		return now.Add(-time.Duration(n) * unit), true, ""
	}
	if !verifyDate.MatchString(word) {
		return since, false, ""
	}
	since, err := time.Parse("2006-1-2", word)
	switch {
	case err != nil:
		return since, true, fmt.Sprintf("“%s” is no date. %s", esc(word), verifyUsage)
	case !since.Before(now):
		return since, true, fmt.Sprintf("“%s” is in the future.", esc(word))
	}
	return since, true, ""
}

func (c *Connector) commandVerify(ctx context.Context, ce *commands.Event) {
	order, problem := parseVerify(arguments(ce), c.rt.now())
	switch running := c.rt.verification.running(); {
	case problem != "":
		reply(ce, problem)
		return
	case order.stop && running == nil:
		reply(ce, "Nothing is being compared.")
		return
	case order.stop:
		running.stop()
		reply(ce, "The comparison ends with the channel that it is at.")
		return
	case c.homeserver == nil:
		reply(ce, "This bridge has no way to read rooms.")
		return
	}
	channels, what, problem, err := c.verifyChannels(ctx, order.name)
	switch {
	case err != nil:
		c.failed(ce, err)
		return
	case problem != "":
		reply(ce, problem)
		return
	}
	run := &verifyRun{channels: channels, since: order.since, repair: order.repair, by: ce.User.MXID}
	c.startVerify(ce, run, what)
}

// verifyChannels finds the channels that a name stands for, and says what that is.
func (c *Connector) verifyChannels(ctx context.Context, name string) (channels []verifyChannel, what, problem string, err error) {
	if name == "" {
		channels = c.verifyTargets("", "")
		if len(channels) == 0 {
			return nil, "", "No channel is mirrored yet.", nil
		}
		return channels, count(len(channels), "mirrored channel", "mirrored channels"), "", nil
	}
	team, channel, problem, err := c.resolve(ctx, name)
	if err != nil || problem != "" {
		return nil, "", problem, err
	}
	if channel != nil {
		channels = c.verifyTargets(team.TeamID, channel.ID)
		what = fmt.Sprintf("channel **%s** of team **%s**", esc(channel.DisplayName), esc(team.Name))
	} else {
		channels = c.verifyTargets(team.TeamID, "")
		what = fmt.Sprintf("%s of team **%s**", count(len(channels), "mirrored channel", "mirrored channels"), esc(team.Name))
	}
	if len(channels) == 0 {
		return nil, "", fmt.Sprintf("“%s” is not mirrored, so there is nothing to compare. `channels` says why.", esc(name)), nil
	}
	return channels, what, "", nil
}

// startVerify compares in the background and answers at the end.
func (c *Connector) startVerify(ce *commands.Event, run *verifyRun, what string) {
	v := c.rt.verification
	ctx, cancel := context.WithCancel(context.Background())
	run.stop = cancel
	if busy := v.begin(run); busy != nil {
		cancel()
		reply(ce, busyText(busy, v.now()))
		return
	}
	doing := "compared with their rooms"
	if run.repair {
		doing = "compared with their rooms and repaired"
	}
	reply(ce, fmt.Sprintf("Since %s: %s will be %s, one after the other. The result comes here; `verify` tells how far it is, `verify stop` ends it.",
		clock(run.since), what, doing))
	c.rt.services.start("verify", func(service context.Context) error {
		defer cancel()
		defer context.AfterFunc(service, cancel)()
		ctx := ce.Log.WithContext(ctx)
		told := func(s verifySummary) { c.tell(service, ce, progressText(run, s, v.now())) }
		s := v.run(ctx, run, told)
		ce.Log.Info().Int("channels", s.done).Int("differing", s.differing).Bool("repair", run.repair).Str("ended", s.ended).Msg("Compared channels with their rooms")
		c.tell(service, ce, verifyText(run, s, v.now()))
		return nil
	})
}

// tell answers a command long after it was given.
func (c *Connector) tell(ctx context.Context, ce *commands.Event, markdown string) {
	if ctx.Err() != nil {
		return // the bridge stops; the log has the sums
	}
	later := *ce
	later.Ctx = ctx
	reply(&later, markdown)
}

func busyText(run *verifyRun, now time.Time) string {
	return "A comparison is running already. " + progressText(run, run.copied(), now) + " `verify stop` ends it."
}

func progressText(run *verifyRun, s verifySummary, now time.Time) string {
	return fmt.Sprintf("%d of %s compared after %s, for %s; %s so far.", s.done, count(len(run.channels), "channel", "channels"),
		duration(now.Sub(run.began)), esc(run.by.String()), count(total(s.counts), "difference", "differences"))
}

func total(counts map[portal.Class]int) (n int) {
	for _, more := range counts {
		n += more
	}
	return n
}

// verifyText is the report: counts, reasons and examples by id and time, and
// nothing of what anybody wrote.
func verifyText(run *verifyRun, s verifySummary, now time.Time) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "* "+format+"\n", args...) }
	headline := "**Both sides have the same.**"
	if n := total(s.counts); n > 0 {
		headline = fmt.Sprintf("**%s in %s.**", count(n, "difference", "differences"), count(s.differing, "channel", "channels"))
	} else if s.done == 0 || s.done == len(flatten(s.errors)) {
		headline = "**Nothing was compared.**"
	}
	fmt.Fprintf(&b, "%s %d of %s since %s, in %s: %s in Teams, %s in Matrix.\n\n", headline, s.done, count(len(run.channels), "channel", "channels"),
		clock(run.since), duration(now.Sub(run.began)), count(s.inTeams, "message", "messages"), count(s.inMatrix, "event", "events"))
	if s.ended != "" {
		line("It ended early %s.", s.ended)
	}
	for _, class := range portal.Classes() {
		if n := s.counts[class]; n > 0 && run.repair {
			line("**%s**: %d, of which %d mended", class, n, s.mended[class])
		} else if n > 0 {
			line("**%s**: %d", class, n)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(s.reasons)) {
		line("Not mended: %s (%d)", esc(reason), s.reasons[reason])
	}
	line("On the way: %d", s.onTheWay)
	if s.readers[teams.SourceDelta]+s.readers[teams.SourceExport] > 0 {
		line("Read where Graph refuses the list: with delta %d, with the team's export %d", s.readers[teams.SourceDelta], s.readers[teams.SourceExport])
	}
	for _, reason := range slices.Sorted(maps.Keys(s.failed)) {
		line("Given up, %s: %d", esc(reason), s.failed[reason])
	}
	for _, reason := range slices.Sorted(maps.Keys(s.left)) {
		line("In order, %s: %d", reason, s.left[reason])
	}
	for _, reason := range slices.Sorted(maps.Keys(s.errors)) {
		labels := s.errors[reason]
		more := ""
		if len(labels) > 5 {
			more = fmt.Sprintf(" and %d more", len(labels)-5)
			labels = labels[:5]
		}
		line("Could not be compared (%s): %s%s", esc(reason), esc(strings.Join(labels, ", ")), more)
	}
	b.WriteString(exampleText(s))
	if total(s.counts) > 0 && !run.repair {
		b.WriteString("\n`verify … --repair` mends what can be mended.\n")
	}
	return b.String()
}

func flatten(byReason map[string][]string) (out []string) {
	for _, labels := range byReason {
		out = append(out, labels...)
	}
	return out
}

func exampleText(s verifySummary) string {
	if len(s.examples) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\nExamples:\n\n")
	for _, e := range s.examples {
		f := e.finding
		fmt.Fprintf(&b, "* %s, %s, %s:", f.Class, esc(e.label), f.At.UTC().Format("2006-01-02 15:04:05 UTC"))
		if f.Message != "" {
			fmt.Fprintf(&b, " message `%s`", f.Message)
		}
		if f.Event != "" {
			fmt.Fprintf(&b, " event `%s`", f.Event)
		}
		switch {
		case f.Mended && f.Reason != "":
			fmt.Fprintf(&b, " – mended, %s", esc(f.Reason))
		case f.Mended:
			b.WriteString(" – mended")
		case f.Reason != "":
			fmt.Fprintf(&b, " – %s", esc(f.Reason))
		}
		b.WriteByte('\n')
	}
	if left := total(s.counts) - len(s.examples); left > 0 {
		fmt.Fprintf(&b, "* … and %d more\n", left)
	}
	return b.String()
}

package bridge

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2/commands"

	"teamsbridge/texts"
)

// verifyDefault is how far back is compared where nothing is said.
const verifyDefault = 7 * 24 * time.Hour

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
func parseVerify(x texts.Texts, text string, now time.Time) (o verifyOrder, problem string) {
	o.since = now.Add(-verifyDefault)
	var words []string
	for _, word := range strings.Fields(text) {
		switch {
		case word == "--repair", word == "—repair", word == "–repair": // some clients make dashes of it
			o.repair = true
		case strings.HasPrefix(word, "--"):
			return o, x.Say(texts.VerifyNoOption, "option", esc(word)) + " " + x.Say(texts.VerifyUsage)
		default:
			words = append(words, word)
		}
	}
	if len(words) == 1 && words[0] == "stop" && !o.repair {
		return verifyOrder{stop: true}, ""
	}
	if len(words) > 0 {
		since, isTime, problem := parseSince(x, words[len(words)-1], now)
		if problem != "" {
			return o, problem
		} else if isTime {
			o.since, words = since, words[:len(words)-1]
		}
	}
	o.name = strings.Join(words, " ")
	return o, ""
}

// parseSince reads a length of time or a date, which begins in the zone of x.
func parseSince(x texts.Texts, word string, now time.Time) (since time.Time, isTime bool, problem string) {
	if parts := verifyAge.FindStringSubmatch(strings.ToLower(word)); parts != nil {
		unit := map[string]time.Duration{"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}[parts[2]]
		n, err := strconv.Atoi(parts[1])
		if err != nil || n == 0 || n > int(100*365*24*time.Hour/unit) {
			return since, true, x.Say(texts.VerifyNoLength, "word", esc(word)) + " " + x.Say(texts.VerifyUsage)
		}
		return now.Add(-time.Duration(n) * unit), true, ""
	}
	if !verifyDate.MatchString(word) {
		return since, false, ""
	}
	since, err := time.ParseInLocation("2006-1-2", word, x.Zone())
	switch {
	case err != nil:
		return since, true, x.Say(texts.VerifyNoDate, "word", esc(word)) + " " + x.Say(texts.VerifyUsage)
	case !since.Before(now):
		return since, true, x.Say(texts.VerifyFuture, "word", esc(word))
	}
	return since, true, ""
}

func (c *Connector) commandVerify(ctx context.Context, ce *commands.Event) {
	order, problem := parseVerify(c.texts, arguments(ce), c.rt.now())
	switch running := c.rt.verification.running(); {
	case problem != "":
		reply(ce, problem)
		return
	case order.stop && running == nil:
		reply(ce, c.texts.Say(texts.VerifyNotRunning))
		return
	case order.stop:
		running.stop()
		reply(ce, c.texts.Say(texts.VerifyStops))
		return
	case c.homeserver == nil:
		reply(ce, c.texts.Say(texts.VerifyNoWay))
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
			return nil, "", c.texts.Say(texts.VerifyNoChannel), nil
		}
		return channels, c.texts.Count(texts.MirroredCount, len(channels)), "", nil
	}
	team, channel, problem, err := c.resolve(ctx, name)
	if err != nil || problem != "" {
		return nil, "", problem, err
	}
	if channel != nil {
		channels = c.verifyTargets(team.TeamID, channel.ID)
		what = labelChannel(c.texts, channel.DisplayName, team.Name)
	} else {
		channels = c.verifyTargets(team.TeamID, "")
		what = c.texts.Count(texts.MirroredCountTeam, len(channels), "team", esc(team.Name))
	}
	if len(channels) == 0 {
		return nil, "", c.texts.Say(texts.VerifyNotMirrored, "name", esc(name)), nil
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
		reply(ce, busyText(c.texts, busy, v.now()))
		return
	}
	if run.repair {
		reply(ce, c.texts.Say(texts.VerifyStartedRepair, "time", c.texts.Time(run.since), "what", what))
	} else {
		reply(ce, c.texts.Say(texts.VerifyStarted, "time", c.texts.Time(run.since), "what", what))
	}
	c.rt.services.start("verify", func(service context.Context) error {
		defer cancel()
		defer context.AfterFunc(service, cancel)()
		ctx := ce.Log.WithContext(ctx)
		told := func(s verifySummary) { c.tell(service, ce, progressText(c.texts, run, s, v.now())) }
		s := v.run(ctx, run, told)
		ce.Log.Info().Int("channels", s.done).Int("differing", s.differing).Bool("repair", run.repair).Str("ended", s.ended).Msg("Compared channels with their rooms")
		c.tell(service, ce, verifyText(c.texts, run, s, v.now()))
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

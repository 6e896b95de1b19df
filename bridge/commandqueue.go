package bridge

import (
	"context"
	"fmt"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2/commands"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// commandQueue shows and handles what waits or was parked. It never shows what
// a message says.
func (c *Connector) commandQueue(ctx context.Context, ce *commands.Event) {
	answer, err := c.rt.queues.command(ctx, arguments(ce), ce.User.MXID.String())
	if err != nil {
		c.failed(ce, err)
		return
	}
	reply(ce, answer)
}

// command does what stands behind queue.
func (q *queues) command(ctx context.Context, text, by string) (answer string, err error) {
	verb, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	rest = strings.TrimSpace(rest)
	yes := false
	switch strings.ToLower(verb) {
	case "", "list":
		return q.listText(ctx)
	case "pause":
		return q.pauseCommand(ctx, rest, by)
	case "drop":
		rest, yes = withoutYes(rest)
	case "show", "retry", "resume":
	default:
		return q.texts.Say(texts.QueueUsage), nil
	}
	if rest == "" {
		return q.texts.Say(texts.QueueUsage), nil
	}
	s, ok := q.find(rest)
	if !ok {
		return q.unknown(rest), nil
	}
	switch strings.ToLower(verb) {
	case "show":
		return q.showText(ctx, s)
	case "retry":
		return q.retryCommand(ctx, s)
	case "drop":
		return q.dropCommand(ctx, s, rest, yes)
	default:
		return q.resumeCommand(ctx, s)
	}
}

// withoutYes takes the confirmation out of a command; phones write a dash of
// their own.
func withoutYes(text string) (rest string, yes bool) {
	var words []string
	for word := range strings.FieldsSeq(text) {
		if word == "--yes" || word == "—yes" || word == "–yes" {
			yes = true
			continue
		}
		words = append(words, word)
	}
	return strings.Join(words, " "), yes
}

// unknown answers a name that is not known.
func (q *queues) unknown(name string) string {
	views := teamViews(q.catalog.all(nil))
	for _, split := range splits(name) {
		if view, _ := findTeam(views, split[0]); view != nil && split[1] != "" {
			_, near := findChannel(view.channels, split[1])
			return unknownText(q.texts, unknownChannel, split[1], near)
		}
	}
	_, near := findTeam(views, name)
	return unknownText(q.texts, unknownTeam, name, near)
}

// listText is the answer to queue.
func (q *queues) listText(ctx context.Context) (string, error) {
	backlogs, err := q.list(ctx, queueScope{})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i, row := range backlogs {
		if i == maxListed {
			fmt.Fprintf(&b, "* %s\n", q.texts.Count(texts.QueueMore, len(backlogs)-i))
			break
		}
		var parts []string
		if row.Waiting > 0 {
			parts = append(parts, q.texts.Count(texts.QueueWaiting, row.Waiting, "age", q.age(time.UnixMilli(row.Oldest))))
		}
		if row.Parked > 0 {
			parts = append(parts, q.texts.Count(texts.QueueParked, row.Parked))
		}
		if row.fromTeams > 0 {
			parts = append(parts, q.texts.Count(texts.QueueParkedFromTeams, row.fromTeams))
		}
		fmt.Fprintf(&b, "* **%s** – %s", esc(row.name), strings.Join(parts, ", "))
		if row.why != "" {
			fmt.Fprintf(&b, " – %s", esc(row.why))
		}
		b.WriteByte('\n')
	}
	if b.Len() == 0 {
		b.WriteString(q.texts.Say(texts.QueueEmpty) + "\n")
	}
	for _, hold := range q.holds.list() {
		b.WriteString("* " + q.texts.Say(texts.QueueHeld, "scope", q.scopeName(hold.Scope), "why", esc(holdText(q.texts, hold)),
			"who", esc(hold.By), "time", q.texts.Time(hold.Began)) + "\n")
	}
	return b.String(), nil
}

// age is how old something is.
func (q *queues) age(since time.Time) string { return spokenFor(q.texts, q.now().Sub(since)) }

func (q *queues) scopeName(scope string) string {
	if scope == "" {
		return q.texts.Say(texts.Everything)
	}
	return "**" + esc(q.name(scope)) + "**"
}

// showText is the answer to queue show.
func (q *queues) showText(ctx context.Context, s queueScope) (string, error) {
	rows, parked, err := q.show(ctx, s, maxListed)
	if err != nil {
		return "", err
	}
	all, err := q.count(ctx, s)
	if err != nil {
		return "", err
	}
	if len(rows)+len(parked) == 0 {
		return q.texts.Say(texts.QueueNothingOf, "what", s.label), nil
	}
	var b strings.Builder
	for _, row := range rows {
		b.WriteString("* " + q.texts.Say(texts.QueueShow, "event", row.EventID, "kind", word(q.texts, row.Kind), "who", esc(row.SenderMXID),
			"where", esc(q.name(row.Portal)), "state", esc(q.rowText(row))) + "\n")
	}
	for _, row := range parked {
		b.WriteString("* " + q.texts.Say(texts.QueueShowFromTeams, "message", row.MessageID, "who", esc(teamsAuthor(q.texts, row)),
			"where", esc(q.name(row.Portal)), "age", q.age(row.CreatedAt), "why", esc(spoken(q.texts, row.Reason))) + "\n")
	}
	if shown := len(rows) + len(parked); shown < all {
		fmt.Fprintf(&b, "* %s\n", q.texts.Count(texts.QueueShowMore, all-shown))
	}
	return b.String(), nil
}

// rowText says how an event on its way to Teams is.
func (q *queues) rowText(row *database.OutboxRow) string {
	attempts, next := "", ""
	if row.Attempts > 0 {
		attempts = q.texts.Count(texts.AttemptsCount, row.Attempts)
	}
	if row.DoneAt.IsZero() && row.NextAt.After(q.now()) {
		next = q.texts.Time(row.NextAt)
	}
	return q.texts.Say(texts.QueueState, "state", word(q.texts, row.State), "age", q.age(row.CreatedAt), "attempts", attempts,
		"why", spoken(q.texts, row.Reason), "detail", spoken(q.texts, row.Detail), "time", next)
}

// teamsAuthor is who wrote a message in Teams.
func teamsAuthor(x texts.Texts, row database.InboxRow) string {
	m, err := teams.DecodeStored(row.Payload)
	if err != nil || m.From.DisplayName == "" {
		return x.Say(texts.Somebody)
	}
	return m.From.DisplayName
}

func (q *queues) retryCommand(ctx context.Context, s queueScope) (string, error) {
	done, err := q.retry(ctx, s)
	if err != nil {
		return "", err
	}
	if done.isNothing() {
		return q.texts.Say(texts.QueueNothingOf, "what", s.label), nil
	}
	var b strings.Builder
	if done.toTeams > 0 {
		fmt.Fprintf(&b, "* %s\n", q.texts.Count(texts.QueueRetried, done.toTeams))
	}
	if done.conversations > 0 {
		fmt.Fprintf(&b, "* %s\n", q.texts.Count(texts.QueueRetriedConversations, done.conversations))
	}
	if done.fromTeams > 0 {
		fmt.Fprintf(&b, "* %s\n", q.texts.Count(texts.QueueRetriedFromTeams, done.fromTeams))
	}
	for _, hold := range q.holds.list() {
		if s.event == "" && s.message == "" && (s.covers(hold.Scope) || hold.Covers(s.scope)) {
			b.WriteString("* " + q.texts.Say(texts.QueueHeldAllTheSame, "scope", q.scopeName(hold.Scope), "why", esc(holdText(q.texts, hold))) + "\n")
		}
	}
	return b.String(), nil
}

func (q *queues) dropCommand(ctx context.Context, s queueScope, name string, yes bool) (string, error) {
	n, err := q.count(ctx, s)
	if err != nil {
		return "", err
	}
	if n == 0 {
		return q.texts.Say(texts.QueueNothingOf, "what", s.label), nil
	}
	if n > 1 && !yes {
		return q.texts.Count(texts.QueueDropAsk, n, "what", s.label, "name", strings.ReplaceAll(name, "`", "")), nil
	}
	done, err := q.drop(ctx, s)
	if err != nil {
		return "", err
	}
	if done.toTeams+done.fromTeams+done.busy == 0 {
		return q.texts.Say(texts.QueueNothingOf, "what", s.label), nil
	}
	text := q.texts.Count(texts.QueueDropped, done.toTeams+done.fromTeams)
	if done.busy > 0 {
		text += " " + q.texts.Count(texts.QueueDropLeft, done.busy)
	}
	return text + q.partlyText(done), nil
}

// partlyText says which parts of messages Teams has.
func (q *queues) partlyText(done changed) string {
	var b strings.Builder
	for _, m := range done.partly {
		for _, some := range []struct {
			key   texts.Key
			parts []int
		}{{texts.QueueDropPartly, m.in}, {texts.QueueDropMaybe, m.maybe}} {
			if len(some.parts) > 0 {
				fmt.Fprintf(&b, "\n* %s", q.texts.Count(some.key, len(some.parts), "event", m.event, "parts", portal.PartNumbers(some.parts)))
			}
		}
	}
	if more := done.partlyAll - len(done.partly); more > 0 {
		fmt.Fprintf(&b, "\n* %s", q.texts.Count(texts.QueueDropPartlyMore, more))
	}
	return b.String()
}

func (q *queues) pauseCommand(ctx context.Context, text, by string) (string, error) {
	if text == "" {
		return q.texts.Say(texts.QueueUsage), nil
	}
	s, reason, ok := q.findFirst(text)
	if !ok {
		return q.unknown(text), nil
	} else if s.event != "" || s.message != "" {
		return q.texts.Say(texts.QueuePauseMessage) + " " + q.texts.Say(texts.QueueUsage), nil
	}
	if err := q.holds.set(ctx, database.Hold{Scope: s.scope, Kind: database.HoldPause, Reason: reason, By: by}); err != nil {
		return "", err
	}
	resume := "all"
	if s.scope != "" {
		resume = q.name(s.scope)
	}
	return q.texts.Say(texts.QueuePaused, "what", s.label, "name", strings.ReplaceAll(resume, "`", "")), nil
}

func (q *queues) resumeCommand(ctx context.Context, s queueScope) (string, error) {
	if s.event != "" || s.message != "" {
		return q.texts.Say(texts.QueueUsage), nil
	}
	n, err := q.resume(ctx, s)
	if err != nil {
		return "", err
	}
	for _, hold := range q.holds.list() {
		if s.covers(hold.Scope) || hold.Covers(s.scope) {
			return q.texts.Say(texts.QueueStillHeld, "scope", q.scopeName(hold.Scope), "why", esc(holdText(q.texts, hold))), nil
		}
	}
	if n == 0 {
		return q.texts.Say(texts.QueueNotPaused, "what", s.label), nil
	}
	return q.texts.Say(texts.QueueResumed, "what", s.label), nil
}

// newQueues wires the queue commands.
func (r *runtime) newQueues() *queues {
	return &queues{db: r.db, catalog: r.catalog, holds: r.holds, metrics: portal.Metrics(portalMetrics{r.metrics}), now: r.now, texts: r.c.texts,
		toTeams: r.sender.Wake, toMatrix: r.ingest.Wake, tell: r.sender.Tell, due: r.sender.Decided}
}

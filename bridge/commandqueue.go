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
)

const (
	queueUsage = "Usage: `queue`, `queue show EVENT|TEAM[/CHANNEL]|all`, `queue retry EVENT|TEAM[/CHANNEL]|all`, " +
		"`queue drop EVENT|TEAM[/CHANNEL]|all`, `queue pause TEAM[/CHANNEL]|all [REASON]` or `queue resume TEAM[/CHANNEL]|all`."
	// maxShown bounds how many messages of a conversation are shown.
	maxShown = 40
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
		return queueUsage, nil
	}
	if rest == "" {
		return queueUsage, nil
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
			return unknownText("channel", split[1], near)
		}
	}
	_, near := findTeam(views, name)
	return unknownText("team", name, near)
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
			fmt.Fprintf(&b, "* … and %s more\n", count(len(backlogs)-i, "conversation", "conversations"))
			break
		}
		var parts []string
		if row.Waiting > 0 {
			parts = append(parts, fmt.Sprintf("%d waiting, the oldest for %s", row.Waiting, duration(q.now().Sub(time.UnixMilli(row.Oldest)))))
		}
		if row.Parked > 0 {
			parts = append(parts, fmt.Sprintf("%d parked", row.Parked))
		}
		if row.fromTeams > 0 {
			parts = append(parts, fmt.Sprintf("%d from Teams parked", row.fromTeams))
		}
		fmt.Fprintf(&b, "* **%s** – %s", esc(row.name), strings.Join(parts, ", "))
		if row.why != "" {
			fmt.Fprintf(&b, " – %s", esc(row.why))
		}
		b.WriteByte('\n')
	}
	if b.Len() == 0 {
		b.WriteString("Nothing waits, and nothing is parked.\n")
	}
	for _, hold := range q.holds.list() {
		fmt.Fprintf(&b, "* Held: %s – %s (%s, since %s)\n", q.scopeName(hold.Scope), esc(holdText(hold)), esc(hold.By), clock(hold.Began))
	}
	return b.String(), nil
}

func (q *queues) scopeName(scope string) string {
	if scope == "" {
		return "everything"
	}
	return "**" + esc(q.name(scope)) + "**"
}

// showText is the answer to queue show.
func (q *queues) showText(ctx context.Context, s queueScope) (string, error) {
	rows, parked, err := q.show(ctx, s, maxShown)
	if err != nil {
		return "", err
	}
	if len(rows)+len(parked) == 0 {
		return fmt.Sprintf("Nothing of %s waits or is parked.", s.label), nil
	}
	var b strings.Builder
	shown := 0
	more := func() bool {
		shown++
		return shown <= maxListed
	}
	for _, row := range rows {
		if more() {
			fmt.Fprintf(&b, "* `%s` %s by %s in %s – %s\n", row.EventID, row.Kind, esc(row.SenderMXID), esc(q.name(row.Portal)), esc(q.rowText(row)))
		}
	}
	for _, row := range parked {
		if more() {
			fmt.Fprintf(&b, "* From Teams: `%s` by %s in %s – parked, %s: %s\n", row.MessageID, esc(teamsAuthor(row)), esc(q.name(row.Portal)),
				duration(q.now().Sub(row.CreatedAt))+" old", esc(row.Reason))
		}
	}
	if shown > maxListed {
		fmt.Fprintf(&b, "* … and %d more: name a channel\n", shown-maxListed)
	}
	return b.String(), nil
}

// rowText says how an event on its way to Teams is.
func (q *queues) rowText(row *database.OutboxRow) string {
	text := row.State + ", " + duration(q.now().Sub(row.CreatedAt)) + " old"
	if row.Attempts > 0 {
		text += ", " + count(row.Attempts, "attempt", "attempts")
	}
	if row.Reason != "" {
		text += ": " + row.Reason
	}
	if row.Detail != "" {
		text += " – " + row.Detail
	}
	if row.DoneAt.IsZero() && row.NextAt.After(q.now()) {
		text += ", tried again at " + clock(row.NextAt)
	}
	return text
}

// teamsAuthor is who wrote a message in Teams.
func teamsAuthor(row database.InboxRow) string {
	m, err := teams.DecodeStored(row.Payload)
	if err != nil || m.From.DisplayName == "" {
		return "somebody"
	}
	return m.From.DisplayName
}

func (q *queues) retryCommand(ctx context.Context, s queueScope) (string, error) {
	done, err := q.retry(ctx, s)
	if err != nil {
		return "", err
	}
	if done == (changed{}) {
		return fmt.Sprintf("Nothing of %s waits or is parked.", s.label), nil
	}
	var b strings.Builder
	if done.toTeams > 0 {
		fmt.Fprintf(&b, "* %s back in the queue for Teams.\n", count(done.toTeams, "parked message is", "parked messages are"))
	}
	if done.conversations > 0 {
		fmt.Fprintf(&b, "* %s now, unless Teams has told to wait.\n", count(done.conversations, "conversation tries again", "conversations try again"))
	}
	if done.fromTeams > 0 {
		fmt.Fprintf(&b, "* %s tried again.\n", count(done.fromTeams, "message from Teams is", "messages from Teams are"))
	}
	for _, hold := range q.holds.list() {
		if s.event == "" && s.message == "" && (s.covers(hold.Scope) || hold.Covers(s.scope)) {
			fmt.Fprintf(&b, "* Held all the same: %s – %s\n", q.scopeName(hold.Scope), esc(holdText(hold)))
		}
	}
	return b.String(), nil
}

func (q *queues) dropCommand(ctx context.Context, s queueScope, name string, yes bool) (string, error) {
	rows, parked, err := q.show(ctx, s, queueBatch)
	if err != nil {
		return "", err
	}
	n := len(rows) + len(parked)
	if n == 0 {
		return fmt.Sprintf("Nothing of %s waits or is parked.", s.label), nil
	}
	if n > 1 && !yes {
		return fmt.Sprintf("This would take %s of %s out of the queue for good, and tell their authors. Say `queue drop %s --yes` if that is what you want.",
			count(n, "message", "messages"), s.label, strings.ReplaceAll(name, "`", "")), nil
	}
	done, err := q.drop(ctx, s)
	if err != nil {
		return "", err
	}
	if done.toTeams+done.fromTeams+done.busy == 0 {
		return fmt.Sprintf("Nothing of %s waits or is parked.", s.label), nil
	}
	text := count(done.toTeams+done.fromTeams, "message was", "messages were") + " dropped. Authors in Matrix are told."
	if done.busy > 0 {
		text += fmt.Sprintf(" %s left: Teams may have a part of it.", count(done.busy, "message was", "messages were"))
	}
	return text, nil
}

func (q *queues) pauseCommand(ctx context.Context, text, by string) (string, error) {
	if text == "" {
		return queueUsage, nil
	}
	s, reason, ok := q.findFirst(text)
	if !ok {
		return q.unknown(text), nil
	} else if s.event != "" || s.message != "" {
		return "A queue is paused for a conversation, not for a message. " + queueUsage, nil
	}
	if err := q.holds.set(ctx, database.Hold{Scope: s.scope, Kind: database.HoldPause, Reason: reason, By: by}); err != nil {
		return "", err
	}
	resume := "all"
	if s.scope != "" {
		resume = q.name(s.scope)
	}
	return fmt.Sprintf("Paused: %s. What is written there is kept and shown as queued until `queue resume %s`. What comes from Teams goes on.",
		s.label, strings.ReplaceAll(resume, "`", "")), nil
}

func (q *queues) resumeCommand(ctx context.Context, s queueScope) (string, error) {
	if s.event != "" || s.message != "" {
		return queueUsage, nil
	}
	n, err := q.resume(ctx, s)
	if err != nil {
		return "", err
	}
	for _, hold := range q.holds.list() {
		if s.covers(hold.Scope) || hold.Covers(s.scope) {
			return fmt.Sprintf("Still held: %s – %s", q.scopeName(hold.Scope), esc(holdText(hold))), nil
		}
	}
	if n == 0 {
		return fmt.Sprintf("Not paused: %s.", s.label), nil
	}
	return fmt.Sprintf("Resumed: %s. What waited goes to Teams now, in order.", s.label), nil
}

// newQueues wires the queue commands.
func (r *runtime) newQueues() *queues {
	return &queues{db: r.db, catalog: r.catalog, holds: r.holds, metrics: portal.Metrics(portalMetrics{r.metrics}), now: r.now,
		toTeams: r.sender.Wake, toMatrix: r.ingest.Wake, tell: r.sender.Tell, due: r.sender.Decided}
}

package bridge

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/database"
	"teamsbridge/portal"
)

// Everything that people are told about outages stands in this file.

// causeWords is a cause in a word for everybody.
func causeWords(cause string) string {
	switch vitals.Cause(cause) {
	case vitals.TeamsDown:
		return "Microsoft's service does not answer"
	case vitals.SignInDown:
		return "Microsoft's sign-in service does not answer"
	case vitals.EgressDown:
		return "our network does not reach Microsoft"
	case vitals.CredentialExpired, vitals.PermissionRevoked:
		return "our access to it has to be renewed"
	default:
		return ""
	}
}

// beganOpsText tells administrators that an outage has begun.
func beganOpsText(rec *database.Outage, hold *database.Hold, seen *outage) string {
	var b strings.Builder
	switch {
	case rec.Kind == database.OutageDrill:
		fmt.Fprintf(&b, "**Drill** for %s, started by %s at %s%s. For people it is as if Microsoft Teams were unavailable: what they write in Matrix "+
			"is kept and goes to Teams when the drill ends. What is written in Teams goes on to come to Matrix.\n\n`drill end` ends it earlier.",
			esc(rec.Detail), esc(rec.By), clock(rec.Began), untilText(hold))
		return b.String()
	case !rec.Resumed.IsZero():
		fmt.Fprintf(&b, "**Microsoft Teams is unavailable again** since %s.", clock(rec.Resumed))
	default:
		fmt.Fprintf(&b, "**Microsoft Teams is unavailable** since %s.", clock(rec.Began))
	}
	fmt.Fprintf(&b, " %s", whyOps(rec))
	b.WriteString("\n\nRooms go on as usual.")
	if seen != nil && seen.NoReading && !seen.NoWriting {
		b.WriteString(" What is written in Teams comes when it can be read again. What is written in Matrix goes to Teams as long as Teams takes it, else it is kept.")
		return b.String()
	}
	b.WriteString(" What is written in them is kept and goes to Teams, in order, when Teams is back.")
	if seen != nil && seen.NoWriting && !seen.NoReading {
		b.WriteString(" What is written in Teams still comes to Matrix.")
	}
	if isDeclared(rec) {
		b.WriteString(" It lasts until an administrator says `outage end`.")
	}
	return b.String()
}

// changedOpsText tells administrators that an outage goes on for another reason,
// or that something else is concerned now.
func changedOpsText(seen outage) string {
	text := fmt.Sprintf("**Microsoft Teams is still unavailable.** %s", sentence(esc(seen.Cause)))
	if seen.NoWriting {
		text += " What is written in Matrix is kept and goes to Teams when it is back."
	}
	return text
}

// untilText says when a drill ends by itself.
func untilText(hold *database.Hold) string {
	if hold == nil || hold.Until.IsZero() {
		return ""
	}
	return ", until " + clock(hold.Until) + " at the latest"
}

// whyOps says why, for administrators.
func whyOps(rec *database.Outage) string {
	if isDeclared(rec) {
		return fmt.Sprintf("Declared by %s: %s.", esc(rec.By), esc(strings.TrimRight(rec.Detail, ".")))
	}
	if rec.Detail != "" {
		return sentence(esc(rec.Detail))
	}
	return sentence(causeWords(rec.Cause))
}

// whyItWas says for administrators why an outage was that is over, without what
// could be done about it.
func whyItWas(rec *database.Outage) string {
	if isDeclared(rec) {
		return whyOps(rec)
	}
	cause := vitals.Cause(rec.Cause)
	why := rec.Detail
	if advice := cause.Advice(); advice != "" {
		why = strings.TrimSpace(strings.Replace(why, strings.TrimRight(advice, "."), "", 1))
	}
	if why = strings.TrimRight(why, ". "); why == "" {
		why = cause.Sentence()
	}
	if why == "" {
		return ""
	}
	return "The cause was: " + esc(why) + "."
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(s string) string {
	if s = strings.TrimRight(s, "."); s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// beganRoomText tells a room in which something waits that an outage has begun.
func beganRoomText(rec *database.Outage, hold *database.Hold, policy string, now time.Time) string {
	since, again := rec.Began, ""
	if !rec.Resumed.IsZero() {
		since, again = rec.Resumed, " again"
	}
	from := hour(since)
	if now.Sub(since) > 12*time.Hour {
		from = clock(since)
	}
	switch {
	case rec.Kind == database.OutageDrill:
		end := "when the drill is over"
		if hold != nil && !hold.Until.IsZero() {
			end += ", at " + hour(hold.Until) + " at the latest"
		}
		return fmt.Sprintf("**This is a drill.** Since %s we behave as if Microsoft Teams were unavailable. %s", from, keptText(portal.PolicyFull, end))
	case isDeclared(rec):
		return fmt.Sprintf("Microsoft Teams is unavailable%s since %s, say our administrators: %s. %s",
			again, from, esc(strings.TrimRight(rec.Detail, ".")), keptText(policy, "when Teams is back"))
	}
	why := causeWords(rec.Cause)
	if why != "" {
		why = ": " + why
	}
	return fmt.Sprintf("Microsoft Teams is unavailable%s since %s%s. %s", again, from, why, keptText(policy, "when Teams is back"))
}

// keptText says what becomes of what is written meanwhile.
func keptText(policy, end string) string {
	if policy == portal.PolicyNone {
		return "You can go on here. What you write meanwhile stays in this room and does not go to Teams."
	}
	return "You can go on here: what you write is kept, and goes to Teams " + end + "."
}

// endedRoomText tells a room that knows of an outage that it is over.
func endedRoomText(rec *database.Outage, t tally, missed gap, policy string) string {
	drill := rec.Kind == database.OutageDrill
	if drill && rec.Cause == causeCut {
		return "**The drill is over, because Microsoft Teams really is unavailable now.** You can go on here: what you write is kept, and goes to Teams when Teams is back."
	}
	parts := []string{fmt.Sprintf("Microsoft Teams is available again. It was unavailable %s.", span(rec.Began, rec.Ended))}
	if drill {
		parts = []string{fmt.Sprintf("**The drill is over.** It lasted %s.", span(rec.Began, rec.Ended))}
	}
	parts = append(parts, deliveredText(rec, t, policy))
	switch {
	case missed.none:
	case !missed.complete:
		parts = append(parts, "What was written in Teams meanwhile is still being read.")
	case missed.count == 0:
		parts = append(parts, "From Teams, nothing of that time is missing here.")
	default:
		parts = append(parts, fmt.Sprintf("From Teams, %s of that time came here afterwards; nothing is missing.", count(missed.count, "message", "messages")))
	}
	return strings.Join(parts, " ")
}

// deliveredText says what became of what was written.
func deliveredText(rec *database.Outage, t tally, policy string) string {
	all, stays := t.messages(), t.delivered == 0 && policy == portal.PolicyNone
	const written = "written here meanwhile"
	var said string
	switch {
	case all == 0:
		return "No message waited here."
	case stays:
		return fmt.Sprintf("What was %s (%s) stays in this room.", written, count(all, "message", "messages"))
	case all == 1 && t.delivered == 1:
		said = "The message that was " + written + " is in Teams"
	case all == 1:
		said = "The message that was " + written + " is not in Teams"
	case t.delivered == all:
		said = fmt.Sprintf("All %d messages that were %s are in Teams", all, written)
	case t.delivered == 0:
		said = fmt.Sprintf("None of the %d messages that were %s is in Teams", all, written)
	default:
		said = fmt.Sprintf("Of the %d messages that were %s, %d %s in Teams", all, written, t.delivered, isAre(t.delivered))
	}
	if took := t.lastDone.Sub(rec.Ended); t.delivered > 0 && took >= time.Second {
		said += "; it took " + duration(took)
	}
	return strings.TrimSpace(said + ". " + restText(t))
}

// restText says what is not in Teams, and why.
func restText(t tally) string {
	var parts []string
	if t.waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d still %s and will go.", t.waiting, map[bool]string{true: "waits", false: "wait"}[t.waiting == 1]))
	}
	if t.takenBack > 0 {
		parts = append(parts, fmt.Sprintf("%d %s deleted before.", t.takenBack, wasWere(t.takenBack)))
	}
	for _, reason := range slices.Sorted(maps.Keys(t.refused)) {
		parts = append(parts, fmt.Sprintf("%d did not go to Teams: %s.", t.refused[reason], esc(reasonWords(reason))))
	}
	if t.changes > 0 {
		parts = append(parts, fmt.Sprintf("%s did not go to Teams.", count(t.changes, "edit, deletion or reaction", "edits, deletions or reactions")))
	}
	return strings.Join(parts, " ")
}

// reasonWords is a row's reason for people.
func reasonWords(reason string) string {
	switch reason {
	case "":
		return "no reason is known"
	case "permission missing":
		return "the account that writes to Teams is not allowed to write there"
	case "not found", "gone":
		return "the channel or message is not there any more"
	case "too large":
		return "too large for Teams"
	case "bad request", "conflict", "precondition failed":
		return "Teams refused it"
	case portal.ReasonKept:
		return "what is written in an outage stays here"
	case portal.ReasonTooOld:
		return "waited too long"
	default:
		return reason
	}
}

// endedOpsText tells administrators that an outage is over.
func endedOpsText(rec *database.Outage, all tallies, title func(string) string) string {
	total := all.total()
	var b strings.Builder
	fmt.Fprintf(&b, "**Microsoft Teams is available again.** It was unavailable %s, for %s.", span(rec.Began, rec.Ended), duration(rec.Ended.Sub(rec.Began)))
	if why := whyItWas(rec); why != "" {
		b.WriteString(" " + why)
	}
	b.WriteString("\n\n")
	writeTotals(&b, rec, all, total, title)
	return strings.TrimRight(b.String(), "\n")
}

// writeTotals writes how much was written, and what became of it.
func writeTotals(b *strings.Builder, rec *database.Outage, all tallies, total tally, title func(string) string) {
	rooms := 0
	for _, t := range all {
		if t.messages() > 0 {
			rooms++
		}
	}
	if rooms == 0 {
		b.WriteString("* Nothing was written in Matrix meanwhile.\n")
		return
	}
	fmt.Fprintf(b, "* Written in Matrix meanwhile: %s in %s\n", count(total.messages(), "message", "messages"), count(rooms, "room", "rooms"))
	fmt.Fprintf(b, "* Delivered to Teams: %d", total.delivered)
	if took := total.lastDone.Sub(rec.Ended); took >= time.Second {
		fmt.Fprintf(b, ", within %s", duration(took))
		if slowest, _ := all.slowest(); slowest != "" && rooms > 1 {
			fmt.Fprintf(b, "; the slowest room was %s", esc(title(slowest)))
		}
	}
	b.WriteByte('\n')
	if rest := restText(total); rest != "" {
		fmt.Fprintf(b, "* Not delivered: %s\n", rest)
	}
}

// span is a time between two points for people.
func span(from, to time.Time) string {
	from, to = from.UTC(), to.UTC()
	if from.YearDay() != to.YearDay() || from.Year() != to.Year() {
		return "from " + clock(from) + " to " + clock(to)
	}
	return fmt.Sprintf("from %s to %s", from.Format("15:04"), hour(to))
}

// hour is a time of the day for people.
func hour(t time.Time) string { return t.UTC().Format("15:04 UTC") }

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func wasWere(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

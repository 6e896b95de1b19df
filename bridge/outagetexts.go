package bridge

import (
	"fmt"
	"strings"
	"time"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/database"
	"teamsbridge/texts"
)

// What people are told about outages is put together in this file: rooms in the
// language that is configured, administrators in English.

// causeWords is a cause in a word for everybody.
func causeWords(x texts.Texts, cause string) string {
	switch vitals.Cause(cause) {
	case vitals.TeamsDown:
		return x.Say(texts.CauseTeams)
	case vitals.SignInDown:
		return x.Say(texts.CauseSignIn)
	case vitals.EgressDown:
		return x.Say(texts.CauseNetwork)
	case vitals.CredentialExpired, vitals.PermissionRevoked:
		return x.Say(texts.CauseAccess)
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
	return sentence(causeWords(texts.Texts{}, rec.Cause))
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

// endedOpsText tells administrators that an outage is over.
func endedOpsText(rec *database.Outage, all tallies, title func(string) string) string {
	total := all.total()
	var b strings.Builder
	fmt.Fprintf(&b, "**Microsoft Teams is available again.** It was unavailable %s, for %s.", span(texts.Texts{}, rec.Began, rec.Ended), duration(rec.Ended.Sub(rec.Began)))
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
	if rest := restText(texts.Texts{}, total); rest != "" {
		fmt.Fprintf(b, "* Not delivered: %s\n", rest)
	}
}

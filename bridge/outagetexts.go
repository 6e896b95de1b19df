package bridge

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/database"
	"teamsbridge/texts"
)

// What people are told about outages is put together in this file and in
// outageroomtexts.go.

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
func beganOpsText(x texts.Texts, rec *database.Outage, hold *database.Hold, seen *outage) string {
	if rec.Kind == database.OutageDrill {
		until := ""
		if hold != nil && !hold.Until.IsZero() {
			until = x.Time(hold.Until)
		}
		return x.Say(texts.OpsDrill, "what", esc(drills.Retell(x, rec.Detail)), "who", esc(rec.By), "time", x.Time(rec.Began), "until", until) +
			"\n\n" + x.Say(texts.OpsDrillEnd)
	}
	text := x.Say(texts.OpsDown, "time", x.Time(rec.Began))
	if !rec.Resumed.IsZero() {
		text = x.Say(texts.OpsDownAgain, "time", x.Time(rec.Resumed))
	}
	text += " " + whyOps(x, rec) + "\n\n" + x.Say(texts.OpsRoomsGoOn)
	if seen != nil && seen.NoReading && !seen.NoWriting {
		return text + " " + x.Say(texts.OpsNoReading)
	}
	text += " " + x.Say(texts.OpsKept)
	if seen != nil && seen.NoWriting && !seen.NoReading {
		text += " " + x.Say(texts.OpsStillReads)
	}
	if isDeclared(rec) {
		text += " " + x.Say(texts.OpsUntilEnd)
	}
	return text
}

// changedOpsText tells administrators that an outage goes on for another reason,
// or that something else is concerned now.
func changedOpsText(x texts.Texts, seen outage) string {
	text := x.Say(texts.OpsStillDown) + " " + sentence(esc(causeSentence(x, seen.Kind, seen.Detail)))
	if seen.NoWriting {
		text += " " + x.Say(texts.OpsKeptMeanwhile)
	}
	return text
}

// whyOps says why, for administrators.
func whyOps(x texts.Texts, rec *database.Outage) string {
	if isDeclared(rec) {
		return x.Say(texts.OpsDeclaredBy, "who", esc(rec.By), "why", esc(strings.TrimRight(rec.Detail, ".")))
	}
	return sentence(esc(causeSentence(x, vitals.Cause(rec.Cause), rec.Detail)))
}

// whyItWas says for administrators why an outage was that is over, without what
// could be done about it.
func whyItWas(x texts.Texts, rec *database.Outage) string {
	if isDeclared(rec) {
		return whyOps(x, rec)
	}
	why := troubleText(x, vitals.Cause(rec.Cause), rec.Detail)
	if why = strings.TrimRight(why, ". "); why == "" {
		return ""
	}
	return x.Say(texts.OpsCauseWas, "why", esc(why))
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(s string) string {
	if s = strings.TrimRight(s, "."); s == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:] + "."
}

// endedOpsText tells administrators that an outage is over.
func endedOpsText(x texts.Texts, rec *database.Outage, all tallies, title func(string) string) string {
	text := x.Say(texts.OpsUp, "span", span(x, rec.Began, rec.Ended), "duration", spokenFor(x, rec.Ended.Sub(rec.Began)))
	if why := whyItWas(x, rec); why != "" {
		text += " " + why
	}
	return text + "\n\n" + totalsText(x, rec, all, title)
}

// totalsText says how much was written, and what became of it.
func totalsText(x texts.Texts, rec *database.Outage, all tallies, title func(string) string) string {
	rooms, total := 0, all.total()
	for _, t := range all {
		if t.messages() > 0 {
			rooms++
		}
	}
	if rooms == 0 {
		return "* " + x.Say(texts.TotalsNone)
	}
	took, last := "", ""
	if d := total.lastDone.Sub(rec.Ended); d >= time.Second {
		took = spokenFor(x, d)
		if slowest, _ := all.slowest(); slowest != "" && rooms > 1 {
			last = esc(title(slowest))
		}
	}
	lines := []string{
		x.Count(texts.TotalsWritten, rooms, "messages", x.Count(texts.MessagesCount, total.messages())),
		x.Say(texts.TotalsDelivered, "delivered", strconv.Itoa(total.delivered), "duration", took, "room", last),
	}
	if rest := restText(x, total); rest != "" {
		lines = append(lines, x.Say(texts.TotalsNotDelivered, "why", rest))
	}
	return "* " + strings.Join(lines, "\n* ")
}

package bridge

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// beganRoomText tells a room in which something waits that an outage has begun.
func beganRoomText(x texts.Texts, rec *database.Outage, hold *database.Hold, policy string, now time.Time) string {
	since, again := rec.Began, !rec.Resumed.IsZero()
	if again {
		since = rec.Resumed
	}
	from := x.Hour(since)
	if now.Sub(since) > 12*time.Hour {
		from = x.Time(since)
	}
	kept := texts.OutageKept
	if policy == portal.PolicyNone {
		kept = texts.OutageStays
	}
	switch {
	case rec.Kind == database.OutageDrill:
		end := ""
		if hold != nil && !hold.Until.IsZero() {
			end = x.Hour(hold.Until)
		}
		return x.Say(texts.DrillBegan, "time", from) + " " + x.Say(texts.DrillKept, "time", end)
	case isDeclared(rec):
		key := texts.OutageDeclared
		if again {
			key = texts.OutageDeclaredAgain
		}
		return x.Say(key, "time", from, "why", esc(strings.TrimRight(rec.Detail, "."))) + " " + x.Say(kept)
	}
	key := texts.OutageBegan
	if again {
		key = texts.OutageBeganAgain
	}
	return x.Say(key, "time", from, "why", causeWords(x, rec.Cause)) + " " + x.Say(kept)
}

// endedRoomText tells a room that knows of an outage that it is over.
func endedRoomText(x texts.Texts, rec *database.Outage, t tally, missed gap, policy string) string {
	drill := rec.Kind == database.OutageDrill
	switch {
	case drill && rec.Cause == causeCutReading:
		return x.Say(texts.DrillCutReading)
	case isCut(rec) && policy == portal.PolicyNone:
		return x.Say(texts.DrillCut) + " " + x.Say(texts.OutageStays)
	case isCut(rec):
		return x.Say(texts.DrillCut) + " " + x.Say(texts.OutageKept)
	}
	parts := []string{x.Say(texts.OutageEnded, "span", span(x, rec.Began, rec.Ended))}
	if drill {
		parts = []string{x.Say(texts.DrillEnded, "span", span(x, rec.Began, rec.Ended))}
	}
	parts = append(parts, deliveredText(x, rec, t, policy))
	if !missed.none {
		parts = append(parts, missedText(x, missed))
	}
	return strings.Join(parts, " ")
}

// deliveredText says what became of what was written.
func deliveredText(x texts.Texts, rec *database.Outage, t tally, policy string) string {
	all, took := t.messages(), ""
	if d := t.lastDone.Sub(rec.Ended); t.delivered > 0 && d >= time.Second {
		took = spokenFor(x, d)
	}
	var said string
	switch {
	case all == 0:
		return x.Say(texts.WrittenNone)
	case t.delivered == 0 && policy == portal.PolicyNone:
		return x.Count(texts.WrittenStays, all)
	case t.delivered == all:
		said = x.Count(texts.WrittenAll, all, "duration", took)
	case t.delivered == 0:
		said = x.Count(texts.WrittenNowhere, all)
	default:
		said = x.Count(texts.WrittenSome, t.delivered, "all", strconv.Itoa(all), "duration", took)
	}
	return strings.TrimSpace(said + " " + restText(x, t))
}

// restText says what is not in Teams, and why.
func restText(x texts.Texts, t tally) string {
	var parts []string
	if t.waiting > 0 {
		parts = append(parts, x.Count(texts.RestWaiting, t.waiting))
	}
	if t.takenBack > 0 {
		parts = append(parts, x.Count(texts.RestTakenBack, t.takenBack))
	}
	for _, reason := range slices.Sorted(maps.Keys(t.refused)) {
		parts = append(parts, x.Count(texts.RestRefused, t.refused[reason], "why", esc(reasonWords(x, reason))))
	}
	if t.changes > 0 {
		parts = append(parts, x.Count(texts.RestChanges, t.changes))
	}
	return strings.Join(parts, " ")
}

// reasonWords is a row's reason for people.
func reasonWords(x texts.Texts, reason string) string {
	switch reason {
	case "":
		return x.Say(texts.ReasonUnknown)
	case teams.KindPermission.String():
		return x.Say(texts.ReasonPermission)
	case teams.KindNotFound.String(), teams.KindGone.String():
		return x.Say(texts.ReasonGone)
	case teams.KindTooLarge.String():
		return x.Say(texts.ReasonTooLarge)
	case teams.KindBadRequest.String(), teams.KindConflict.String(), teams.KindPrecondition.String():
		return x.Say(texts.ReasonRefused)
	case portal.ReasonKept:
		return x.Say(texts.ReasonKept)
	case portal.ReasonTooOld:
		return x.Say(texts.ReasonTooOld)
	default:
		return spoken(x, reason)
	}
}

// span is a time between two points for people.
func span(x texts.Texts, from, to time.Time) string {
	from, to = from.In(x.Zone()), to.In(x.Zone())
	if from.YearDay() != to.YearDay() || from.Year() != to.Year() {
		return x.Say(texts.Span, "from", x.Time(from), "to", x.Time(to))
	}
	return x.Say(texts.SpanInADay, "from", from.Format("15:04"), "to", x.Hour(to))
}

// spokenFor is a length of time for people.
func spokenFor(x texts.Texts, d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return x.Count(texts.Seconds, int(d.Seconds()))
	case d < 2*time.Hour:
		return x.Count(texts.Minutes, int(d.Minutes()))
	case d < 48*time.Hour:
		return x.Count(texts.Hours, int(d.Hours()))
	default:
		return x.Count(texts.Days, int(d.Hours()/24))
	}
}

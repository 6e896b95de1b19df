package bridge

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// verifyLabels is how many channels are named that could not be compared.
const verifyLabels = 5

func busyText(x texts.Texts, run *verifyRun, now time.Time) string {
	return x.Say(texts.VerifyBusy, "progress", progressText(x, run, run.copied(), now))
}

func progressText(x texts.Texts, run *verifyRun, s verifySummary, now time.Time) string {
	return x.Count(texts.VerifyProgress, len(run.channels), "done", strconv.Itoa(s.done), "duration", spokenFor(x, now.Sub(run.began)),
		"who", esc(run.by.String()), "differences", x.Count(texts.DifferencesCount, total(s.counts)))
}

func total(counts map[portal.Class]int) (n int) {
	for _, more := range counts {
		n += more
	}
	return n
}

// verifyText is the report: counts, reasons and examples by id and time, and
// nothing of what anybody wrote.
func verifyText(x texts.Texts, run *verifyRun, s verifySummary, now time.Time) string {
	headline := x.Say(texts.VerifySame)
	if n := total(s.counts); n > 0 {
		headline = x.Count(texts.VerifyDiffers, s.differing, "differences", x.Count(texts.DifferencesCount, n))
	} else if s.done == 0 || s.done == len(flatten(s.errors)) {
		headline = x.Say(texts.VerifyNothing)
	} else if s.ended != "" || len(s.errors) > 0 || len(s.unseen) > 0 {
		headline = x.Say(texts.VerifySameSeen)
	}
	sums := x.Count(texts.VerifySums, len(run.channels), "done", strconv.Itoa(s.done), "time", x.Time(run.since),
		"duration", spokenFor(x, now.Sub(run.began)), "messages", x.Count(texts.MessagesCount, s.inTeams), "events", x.Count(texts.EventsCount, s.inMatrix))
	text := headline + " " + sums + "\n\n" + list(verifyLines(x, run, s)) + exampleText(x, s)
	if total(s.counts) > 0 && !run.repair {
		text += "\n" + x.Say(texts.VerifyMends) + "\n"
	}
	return text
}

// verifyLines are what was found, by class, reason and what became of it.
func verifyLines(x texts.Texts, run *verifyRun, s verifySummary) (lines []string) {
	if s.ended != "" {
		lines = append(lines, x.Say(texts.VerifyEnded, "why", spoken(x, s.ended)))
	}
	for _, class := range portal.Classes() {
		name, n := spoken(x, string(class)), s.counts[class]
		if n > 0 && run.repair {
			lines = append(lines, x.Say(texts.VerifyClassMended, "class", name, "number", strconv.Itoa(n), "mended", strconv.Itoa(s.mended[class])))
		} else if n > 0 {
			lines = append(lines, x.Say(texts.VerifyClass, "class", name, "number", strconv.Itoa(n)))
		}
	}
	lines = append(lines, reasonLines(x, texts.VerifyNotMended, s.reasons)...)
	lines = append(lines, reasonLines(x, texts.VerifyUnseen, s.unseen)...)
	lines = append(lines, x.Say(texts.VerifyOnTheWay, "number", strconv.Itoa(s.onTheWay)))
	if s.readers[teams.SourceDelta]+s.readers[teams.SourceExport] > 0 {
		lines = append(lines, x.Say(texts.VerifyReaders, "delta", strconv.Itoa(s.readers[teams.SourceDelta]), "export", strconv.Itoa(s.readers[teams.SourceExport])))
	}
	lines = append(lines, reasonLines(x, texts.VerifyFailed, s.failed)...)
	lines = append(lines, reasonLines(x, texts.VerifyLeft, s.left)...)
	for _, reason := range slices.Sorted(maps.Keys(s.errors)) {
		labels, more := s.errors[reason], ""
		if len(labels) > verifyLabels {
			labels, more = labels[:verifyLabels], strconv.Itoa(len(labels)-verifyLabels)
		}
		lines = append(lines, x.Say(texts.VerifyErrors, "why", esc(spoken(x, reason)), "channels", esc(strings.Join(labels, ", ")), "more", more))
	}
	return lines
}

// reasonLines are a line for each reason, with how often it was met.
func reasonLines(x texts.Texts, key texts.Key, counts map[string]int) (lines []string) {
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		lines = append(lines, x.Say(key, "why", esc(spoken(x, reason)), "number", strconv.Itoa(counts[reason])))
	}
	return lines
}

func flatten(byReason map[string][]string) (out []string) {
	for _, labels := range byReason {
		out = append(out, labels...)
	}
	return out
}

func exampleText(x texts.Texts, s verifySummary) string {
	if len(s.examples) == 0 {
		return ""
	}
	var lines []string
	for _, e := range s.examples {
		f := e.finding
		outcome := esc(spoken(x, f.Reason))
		if f.Mended {
			outcome = x.Say(texts.VerifyMended, "why", outcome)
		}
		lines = append(lines, x.Say(texts.VerifyExample, "class", spoken(x, string(f.Class)), "channel", esc(e.label), "time", x.Second(f.At),
			"message", f.Message, "event", string(f.Event), "outcome", outcome))
	}
	if left := total(s.counts) - len(s.examples); left > 0 {
		lines = append(lines, x.Count(texts.ListMore, left))
	}
	return "\n" + x.Say(texts.VerifyExamples) + "\n\n" + list(lines)
}

package msgconv

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"teamsbridge/texts"
)

// What converted messages say in the bridge's own words comes from the catalogues
// of package texts. Here is how it is put together, and what is the same in every
// language. Functions take names that are clean already.
const (
	textRoom     = "@room"
	textFileMark = "📎"
	textEmote    = "* "
	textField    = "▢ "
	textMedia    = "🎞"
	textTaskDone = "☑ "
	textTaskOpen = "☐ "
)

// textColon stands between what something is and its name.
func textColon(x texts.Texts) string { return x.Say(texts.Colon) + " " }

// textSpan names a span of time, in the zone of its times.
func textSpan(from, to time.Time) string {
	zone := texts.ZoneOf(from)
	if from.Format(time.DateOnly) == to.Format(time.DateOnly) {
		return from.Format("2006-01-02 15:04") + "–" + to.Format("15:04 ") + zone
	}
	return from.Format("2006-01-02 15:04") + " – " + to.Format("2006-01-02 15:04 ") + zone
}

// textLate says when a late message was written, in the zone of its time.
func textLate(x texts.Texts, at time.Time) string {
	return x.Say(texts.Late, "time", at.Format("2006-01-02 15:04 ")+texts.ZoneOf(at))
}

func textPart(n, of int) string { return fmt.Sprintf("(%d/%d)", n, of) }

func textImage(x texts.Texts, alt string, number int) string {
	if alt != "" {
		return x.Say(texts.ImageAlt, "alt", alt)
	}
	return x.Say(texts.ImageNumber, "number", strconv.Itoa(number))
}

// textImageName is the name of an image's file, the same in every language, so
// that it stays what it is.
func textImageName(number int, extension string) string {
	return fmt.Sprintf("image-%d%s", number, extension)
}

func textForeignImage(x texts.Texts, alt string) string {
	if alt == "" {
		return x.Say(texts.Image)
	}
	return alt
}

func textSpoiler(x texts.Texts, reason string) string {
	if reason == "" {
		return x.Say(texts.Spoiler) + " "
	}
	return x.Say(texts.SpoilerReason, "reason", reason) + " "
}

func textSize(x texts.Texts, bytes int) string {
	number := func(v float64) string {
		return strings.Replace(strconv.FormatFloat(v, 'f', 1, 64), ".", x.Say(texts.DecimalPoint), 1)
	}
	switch {
	case bytes <= 0:
		return ""
	case bytes < 1000:
		return x.Say(texts.SizeBytes, "n", strconv.Itoa(bytes))
	case bytes < 1000*1000:
		return x.Say(texts.SizeKilobytes, "n", strconv.Itoa((bytes+500)/1000))
	case bytes < 1000*1000*1000:
		return x.Say(texts.SizeMegabytes, "n", number(float64(bytes)/1e6))
	}
	return x.Say(texts.SizeGigabytes, "n", number(float64(bytes)/1e9))
}

func textDuration(ms int) string {
	if ms <= 0 {
		return ""
	}
	s := (ms + 500) / 1000
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

func textAnswer(n int, text string) string { return fmt.Sprintf("%d. %s", n, text) }

// textSelections says how many answers to a poll one may choose.
func textSelections(x texts.Texts, most int) string {
	if most <= 1 {
		return ""
	}
	return " " + x.Say(texts.PollSelections, "n", strconv.Itoa(most))
}

// textProfile names who speaks through whose account.
func textProfile(name, account string) string { return name + " (" + account + ")" }

func textSnippet(x texts.Texts, name string, number int) string {
	if name == "" {
		return x.Say(texts.CodeNumber, "number", strconv.Itoa(number))
	}
	return x.Say(texts.CodeAlt, "name", name)
}

func textSnippetProblem(x texts.Texts, name, problem string) string {
	if problem == "" {
		return x.Say(texts.CodeEmpty, "name", name)
	}
	return x.Say(texts.CodeProblem, "name", name, "problem", problem)
}

// textCardRest says what of a card only Teams can show or do, or nothing.
func textCardRest(x texts.Texts, only []string, asks, cut bool) string {
	var parts []string
	if cut {
		parts = append(parts, x.Say(texts.CardCut))
	}
	names := "[" + strings.Join(only, "] [") + "]"
	switch {
	case asks && len(only) > 0:
		parts = append(parts, x.Say(texts.CardAsksAnd, "names", names))
	case asks:
		parts = append(parts, x.Say(texts.CardAsks))
	case len(only) > 0:
		parts = append(parts, x.Say(texts.CardOnly, "names", names))
	}
	line := strings.Join(parts, "; ")
	if line == "" {
		return ""
	}
	return strings.ToUpper(line[:1]) + line[1:]
}

func textCardImage(x texts.Texts, alt string) string { return "🖼 " + textForeignImage(x, alt) }

// textCardTime writes a time that a card wants to be shown in its reader's zone.
func textCardTime(at time.Time, date bool) string {
	if date {
		return at.Format(time.DateOnly)
	}
	return at.Format("15:04 ") + texts.ZoneOf(at)
}

// textNames lists people; more counts those without a name here.
func textNames(x texts.Texts, names []string, more int) string {
	switch {
	case len(names) == 0 && more > 1:
		return x.Count(texts.PeopleCount, more)
	case len(names) == 0:
		return x.Say(texts.Somebody)
	case more > 0:
		names = append(names[:len(names):len(names)], x.Count(texts.MorePeople, more))
	}
	list := names[0]
	if n := len(names); n > 1 {
		list = x.Say(texts.ListEnd, "list", strings.Join(names[:n-1], ", "), "last", names[n-1])
	}
	return list
}

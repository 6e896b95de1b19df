package msgconv

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The words of cards of Teams messages.
const (
	textHidden  = "More"
	textElement = "something"
	textButton  = "button"
	textField   = "▢ "
	textMedia   = "🎞"
	textTax     = "Tax"
	textVAT     = "VAT"
	textTotal   = "Total"
)

// textCardRest says what of a card only Teams can show or do, or nothing.
func textCardRest(only []string, asks, cut bool) string {
	var parts []string
	if cut {
		parts = append(parts, "there is more in this card than is shown here")
	}
	names := "[" + strings.Join(only, "] [") + "]"
	switch {
	case asks && len(only) > 0:
		parts = append(parts, "fields and buttons work only in Teams: "+names)
	case asks:
		parts = append(parts, "fields work only in Teams")
	case len(only) > 0:
		parts = append(parts, "only in Teams: "+names)
	}
	line := strings.Join(parts, "; ")
	if line == "" {
		return ""
	}
	return strings.ToUpper(line[:1]) + line[1:]
}

func textCardImage(alt string) string {
	if alt == "" {
		return "🖼 image"
	}
	return "🖼 " + alt
}

// textCardTime writes a time that a card wants to be shown in its reader's zone.
func textCardTime(at time.Time, date bool) string {
	if date {
		return at.Format(time.DateOnly)
	}
	zone := at.Format("-07:00")
	if zone == "+00:00" || zone == "Z" {
		zone = "UTC"
	}
	return at.Format("15:04 ") + zone
}

func textRating(value, most string) string { return "★ " + value + " of " + most }

func textProgress(value, most string) string { return value + " of " + most }

func textChart(title string) string {
	if title == "" {
		return "📊 Chart"
	}
	return "📊 Chart: " + title
}

// What else is attached to Teams messages.
const (
	textOpen       = "open"
	textTab        = "Tab"
	textQuoteCut   = "(what it says is not repeated here)"
	textNoCode     = "it was not copied"
	textSnippetCut = "The code goes on in Teams"
)

// Matrix messages that Teams has no form for.
const (
	textTaskDone = "☑ "
	textTaskOpen = "☐ "
)

// textProfile names who speaks through whose account.
func textProfile(name, account string) string { return name + " (" + account + ")" }

// textSelections says how many answers to a poll one may choose.
func textSelections(most int) string {
	if most <= 1 {
		return ""
	}
	return fmt.Sprintf(" (up to %d answers)", most)
}

func textForwardedFrom(author string) string { return "Forwarded from " + author }

// textQuoteTime says when a quoted message was written.
func textQuoteTime(at time.Time) string { return at.UTC().Format("2006-01-02 15:04") + " UTC" }

func textSnippet(name string, number int) string {
	if name == "" {
		return "[code " + strconv.Itoa(number) + "]"
	}
	return "[code: " + name + "]"
}

func textSnippetProblem(name, problem string) string {
	what := textCodeSnippet
	if name != "" {
		what += " “" + name + "”"
	}
	if problem == "" {
		return what + " is empty"
	}
	return what + " is not shown here: " + problem
}

package check

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Status is what a finding says.
type Status string

// The statuses, the worst last.
const (
	Right   Status = "ok"      // looked at, and right
	Skipped Status = "skipped" // could not be looked at, which the text explains
	Doubt   Status = "warning" // works, but not as most would want it
	Wrong   Status = "error"   // the bridge would not start, or not do its work
)

// Finding is the outcome of one look.
type Finding struct {
	// Area groups findings: config, database, homeserver, sign-in …
	Area string `json:"area"`
	// Code names the finding for programs; it is the same in every release.
	Code   string `json:"code"`
	Status Status `json:"status"`
	// Text is what was found, Fix what to do about it, empty where there is
	// nothing to do. Neither holds a token or a secret.
	Text string `json:"text"`
	Fix  string `json:"fix,omitempty"`
}

// Report is what a check has found, in the order in which it looked.
type Report struct {
	Findings []Finding
	// Each, where it is set, is told of every finding at once.
	Each func(Finding)
}

// Add adds a finding.
func (r *Report) Add(f Finding) {
	r.Findings = append(r.Findings, f)
	if r.Each != nil {
		r.Each(f)
	}
}

// Area adds findings of one area.
func (r *Report) Area(name string) *Area { return &Area{r: r, name: name} }

// Count returns how many findings have a status.
func (r *Report) Count(s Status) int {
	n := 0
	for _, f := range r.Findings {
		if f.Status == s {
			n++
		}
	}
	return n
}

// The exit codes of a check.
const (
	ExitRight = 0
	ExitWrong = 1
	// ExitDoubt is for warnings alone.
	ExitDoubt = 3
)

// ExitCode is the code with which the program ends.
func (r *Report) ExitCode() int {
	switch {
	case r.Count(Wrong) > 0:
		return ExitWrong
	case r.Count(Doubt) > 0:
		return ExitDoubt
	default:
		return ExitRight
	}
}

// Area is a part of a report.
type Area struct {
	r    *Report
	name string
	// failed says that something in the area is wrong.
	failed bool
}

func (a *Area) add(s Status, code, text, fix string) {
	a.failed = a.failed || s == Wrong
	a.r.Add(Finding{Area: a.name, Code: a.name + "." + code, Status: s, Text: text, Fix: fix})
}

// Right says that something is as it should be.
func (a *Area) Right(code, format string, args ...any) {
	a.add(Right, code, fmt.Sprintf(format, args...), "")
}

// Skipped says why something was not looked at.
func (a *Area) Skipped(code, format string, args ...any) {
	a.add(Skipped, code, fmt.Sprintf(format, args...), "")
}

// Doubt says what works but is worth a look.
func (a *Area) Doubt(code, text, fix string) { a.add(Doubt, code, text, fix) }

// Wrong says what is wrong, and how to mend it.
func (a *Area) Wrong(code, text, fix string) { a.add(Wrong, code, text, fix) }

// OK reports whether nothing in the area was wrong so far.
func (a *Area) OK() bool { return !a.failed }

// mark is how a status looks at the beginning of a line.
func (s Status) mark() string {
	switch s {
	case Right:
		return "ok     "
	case Skipped:
		return "-      "
	case Doubt:
		return "WARNING"
	default:
		return "ERROR  "
	}
}

// Line is a finding for people: what was found and, below it, what to do.
func (f Finding) Line() string {
	line := fmt.Sprintf("%s  %-12s %s\n", f.Status.mark(), f.Area, f.Text)
	if f.Fix != "" {
		line += strings.Repeat(" ", 22) + "→ " + f.Fix + "\n"
	}
	return line
}

// Summary is the last line of a report for people.
func (r *Report) Summary() string {
	wrong, doubt := r.Count(Wrong), r.Count(Doubt)
	switch {
	case wrong > 0:
		return fmt.Sprintf("%s to mend, %s.\n", count(wrong, "error"), count(doubt, "warning"))
	case doubt > 0:
		return fmt.Sprintf("Nothing is wrong; %s.\n", count(doubt, "warning"))
	default:
		return "Everything is right.\n"
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// WriteJSON writes the report for programs.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		OK       bool      `json:"ok"`
		Errors   int       `json:"errors"`
		Warnings int       `json:"warnings"`
		Findings []Finding `json:"findings"`
	}{r.Count(Wrong) == 0, r.Count(Wrong), r.Count(Doubt), r.Findings})
}

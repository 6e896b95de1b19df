package crashtest

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a run did and found.
type Report struct {
	Options Options
	// Took is the whole run without preparing, StormTook its traffic, RestTook
	// what the bridge then needed to come to rest.
	Took, StormTook, RestTook time.Duration
	// Kills, Restarts and Ended are how often the bridge was killed, restarted
	// as planned, and ended by itself.
	Kills, Restarts, Ended int
	Troubles               []Trouble
	// Lost, Doubled, Reordered and Different are messages; Different ones are
	// there, but not as they ought to be.
	Lost, Doubled, Reordered, Different int
	// ToldLate are messages of which the homeserver told the bridge behind younger
	// ones of their room, or not at all: their place in Teams is not looked at.
	ToldLate int
	// Differences are sentences about them, Problems about everything else that
	// must not be.
	Differences, Problems []string
	// Early is how many requests came before an announced pause was over; a
	// bridge that was killed knows nothing of a pause.
	Early int
	// Counters are what the bridge counted since its last start.
	Counters []string

	lines [][4]string
}

func newReport(o *Options) *Report { return &Report{Options: *o} }

func (p *Report) trouble(name string, hits int) {
	for i := range p.Troubles {
		if p.Troubles[i].Name == name {
			p.Troubles[i].Times++
			p.Troubles[i].Hits += hits
			return
		}
	}
	p.Troubles = append(p.Troubles, Trouble{Name: name, Times: 1, Hits: hits})
}

func (p *Report) add(channel string, v verdict) {
	p.Lost += v.lost
	p.Doubled += v.doubled
	p.Reordered += v.reordered
	p.Different += v.different
	p.ToldLate += v.toldLate
	for _, d := range v.differences {
		p.Differences = append(p.Differences, channel+": "+d)
	}
}

// Failed reports whether anything is not as it ought to be.
func (p *Report) Failed() bool { return len(p.Differences)+len(p.Problems) > 0 }

// fill takes the figures of the book.
func (p *Report) fill(b *book) {
	b.mu.Lock()
	defer b.mu.Unlock()
	line := func(name string, of [2]int) {
		p.lines = append(p.lines, [4]string{name, fmt.Sprint(of[inTeams]), fmt.Sprint(of[inMatrix]), fmt.Sprint(of[inTeams] + of[inMatrix])})
	}
	line("messages", b.said)
	line("of them in threads", b.replies)
	line("of them with a picture", b.pictures)
	line("edits", b.edits)
	line("deletions", b.deletes)
	line("reactions", b.reactions)
	line("reactions taken back", b.removals)
}

// maxShown bounds how many differences are printed.
const maxShown = 60

// Print writes the figures as tables.
func (p *Report) Print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...string) { _, _ = fmt.Fprintln(w, strings.Join(cells, "\t")+"\t") }
	row("\nsaid", "in Teams", "in Matrix", "together")
	for _, l := range p.lines {
		row(l[:]...)
	}
	_ = w.Flush()
	row("\nwent wrong", "times", "hits")
	row("bridge killed (kill -9)", fmt.Sprint(p.Kills), "")
	row("bridge restarted", fmt.Sprint(p.Restarts), "")
	row("bridge ended by itself", fmt.Sprint(p.Ended), "")
	slices.SortFunc(p.Troubles, func(a, b Trouble) int { return strings.Compare(a.Name, b.Name) })
	for _, t := range p.Troubles {
		row(t.Name, fmt.Sprint(t.Times), fmt.Sprint(t.Hits))
	}
	_ = w.Flush()
	row("\noutcome", "")
	row("lost", fmt.Sprint(p.Lost))
	row("doubled", fmt.Sprint(p.Doubled))
	row("reordered", fmt.Sprint(p.Reordered))
	row("different", fmt.Sprint(p.Different))
	row("told late by the homeserver", fmt.Sprint(p.ToldLate))
	row("requests before a pause was over", fmt.Sprint(p.Early))
	row("time", p.Took.Round(time.Second).String())
	row("of it to come to rest", p.RestTook.Round(100*time.Millisecond).String())
	_ = w.Flush()
	for _, c := range p.Counters {
		_, _ = fmt.Fprintln(out, "  counted", c)
	}
	for i, d := range append(slices.Clone(p.Problems), p.Differences...) {
		if i == maxShown {
			_, _ = fmt.Fprintf(out, "… and %d more\n", len(p.Problems)+len(p.Differences)-i)
			break
		}
		_, _ = fmt.Fprintln(out, "DIFFERENCE", d)
	}
}

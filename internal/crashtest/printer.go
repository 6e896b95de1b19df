package crashtest

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// printer writes progress, from several goroutines.
type printer struct {
	verbose bool
	began   time.Time

	mu  sync.Mutex
	out io.Writer
	now string
}

func newPrinter(out io.Writer, verbose bool) *printer {
	return &printer{out: out, verbose: verbose, began: time.Now()}
}

func (p *printer) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintf(p.out, "%6.1fs  %s\n", time.Since(p.began).Seconds(), fmt.Sprintf(format, args...))
}

// detail is a line for those who want to see everything.
func (p *printer) detail(format string, args ...any) {
	if p.verbose {
		p.line(format, args...)
	}
}

// progress says what goes on now, for the next line that tells how far it is.
func (p *printer) progress(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = fmt.Sprintf(format, args...)
}

func (p *printer) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *printer) progressLine(line string) { p.detail("%s", line) }

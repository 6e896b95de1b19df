package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// transcript writes what happens for people to read.
type transcript struct {
	w io.Writer
	// live is true on a terminal, where progress may overwrite its own line.
	live    bool
	pending bool
	shown   time.Time
}

func newTranscript(f *os.File) *transcript {
	info, err := f.Stat()
	return &transcript{w: f, live: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

func (t *transcript) title(text string) {
	fmt.Fprintf(t.w, "%s\n%s\n", text, strings.Repeat("=", len(text)))
}

func (t *transcript) heading(text string) {
	fmt.Fprintf(t.w, "\n%s\n%s\n", text, strings.Repeat("-", len(text)))
}

func (t *transcript) say(format string, args ...any) { fmt.Fprintf(t.w, format+"\n", args...) }

// done reports a step that worked and how long it took.
func (t *transcript) done(took time.Duration, format string, args ...any) {
	fmt.Fprintf(t.w, "  ok %8s  %s\n", took.Round(time.Millisecond), fmt.Sprintf(format, args...))
}

// quote shows what somebody was told, indented.
func (t *transcript) quote(text string) {
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		fmt.Fprintf(t.w, "              | %s\n", line)
	}
}

// progress shows the newest line of something slow: in place on a terminal,
// else every ten seconds.
func (t *transcript) progress(line string) {
	if !t.live {
		if time.Since(t.shown) > 10*time.Second {
			t.shown = time.Now()
			fmt.Fprintf(t.w, "     %s\n", line)
		}
		return
	}
	if r := []rune(line); len(r) > 90 {
		line = string(r[:90])
	}
	fmt.Fprintf(t.w, "\r\033[K     %s", line)
	t.pending = true
}

func (t *transcript) progressDone() {
	if t.pending {
		fmt.Fprint(t.w, "\r\033[K")
		t.pending = false
	}
}

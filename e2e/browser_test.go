package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

const (
	// browserEnv decides about the tests in a browser: 1 demands them, 0 leaves
	// them out, and without it they run where there is a Chromium.
	browserEnv = "TEAMSBRIDGE_E2E_BROWSER"
	// screenshotsEnv names the folder that screenshots are written to.
	screenshotsEnv = "TEAMSBRIDGE_E2E_SCREENSHOTS"
)

// chromium is the browser's program. The test is skipped without one, unless
// it is demanded.
func chromium(t *testing.T) string {
	t.Helper()
	wish := os.Getenv(browserEnv)
	if wish == "0" {
		t.Skipf("NOT RUN: %s=0", browserEnv)
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if wish == "1" {
		t.Fatalf("%s=1 demands a Chromium, and there is none in PATH", browserEnv)
	}
	t.Skipf("NOT RUN: there is no Chromium in PATH; the page of cmd/demo is not tested (%s=1 makes this fail)", browserEnv)
	return ""
}

// browser is a Chromium with one tab.
type browser struct {
	t     *testing.T
	ctx   context.Context
	shots string

	mu sync.Mutex
	// complaints are what the page wrote to the console.
	complaints []string
}

func openBrowser(t *testing.T, program string, more ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	options := append([]chromedp.ExecAllocatorOption{chromedp.ExecPath(program)}, more...)
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which Chromium refuses to root
	}
	limit, end := context.WithTimeout(context.Background(), 10*time.Minute)
	t.Cleanup(end)
	ctx, cancel := chromedp.NewContext(limit, chromedp.WithAllocatorOptions(options...))
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx, shots: os.Getenv(screenshotsEnv)}
	if b.shots == "" {
		b.shots = t.TempDir()
	}
	require.NoError(t, os.MkdirAll(b.shots, 0o755))
	require.NoError(t, chromedp.Do(ctx)) // starts it; a context with a limit of its own would end it
	b.size(1280, 800)
	console := chromedp.Console(ctx)
	go func() {
		for m, err := range console {
			if err != nil {
				return
			}
			if m.Source != "network" && (m.IsException() || m.Type == "error" || m.Type == "warning") {
				b.mu.Lock()
				b.complaints = append(b.complaints, m.String())
				b.mu.Unlock()
			}
		}
	}()
	return b
}

// size makes the window a computer's, or a phone's where it is narrow.
func (b *browser) size(width, height int64) {
	b.t.Helper()
	var options []chromedp.EmulateViewportOption
	if width < 500 {
		options = append(options, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait)
	}
	b.do("size the window", chromedp.EmulateViewport(width, height, options...))
}

// scheme is light or dark.
func (b *browser) scheme(name string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
	require.NoError(b.t, err)
}

// redrawn is how often a step is done again whose element was drawn anew meanwhile.
const redrawn = 5

func (b *browser) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, testLimit)
	defer cancel()
	for _, step := range steps {
		err := chromedp.Do(ctx, step)
		// The page draws a message anew when it changes, also between the moment at
		// which a step has found it and the one at which it wants to click it.
		for again := 0; again < redrawn && err != nil && strings.Contains(err.Error(), "Could not find node"); again++ {
			err = chromedp.Do(ctx, step)
		}
		if err != nil {
			b.fail(what, err)
		}
	}
}

// until waits until an expression is true in the page.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	_, err := chromedp.Run(b.ctx, chromedp.Poll[bool]("Boolean("+expression+")", chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(testLimit)))
	if err != nil {
		b.fail(what+": "+expression, err)
	}
}

// value is what an expression gives in the page, or what its promise brings.
func value[T any](b *browser, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, testLimit)
	defer cancel()
	got, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(b.t, err, expression)
	return got
}

// fail fails with a picture of what there was to see.
func (b *browser) fail(what string, err error) {
	b.t.Helper()
	b.shot("failed")
	b.t.Fatalf("%s: %v; the page is shown by %s; its console: %v", what, err, filepath.Join(b.shots, "failed.png"), b.said())
}

func (b *browser) said() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.complaints
}

// shot writes a picture of the window.
func (b *browser) shot(name string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, testLimit)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	require.NoError(b.t, err)
	require.NoError(b.t, os.WriteFile(filepath.Join(b.shots, name+".png"), picture, 0o644))
}

// side is one half of the page.
type side struct {
	b    *browser
	name string
}

// in is a selector of something in the half.
func (s side) in(rest string) chromedp.CSS {
	return chromedp.CSS(fmt.Sprintf(".pane[data-side=%q] %s", s.name, rest))
}

// find is an expression for the newest message with a text, undefined for none.
func (s side) find(text string) string {
	return fmt.Sprintf("[...document.querySelectorAll(%s)].findLast(m => m.textContent.includes(%s))", strconv.Quote(string(s.in(".message"))), strconv.Quote(text))
}

// shows waits for a message with the text; more is an expression about m.
func (s side) shows(text, more string) {
	s.b.t.Helper()
	s.b.until(s.name+" shows "+text, fmt.Sprintf("(m => m && (%s))(%s)", more, s.find(text)))
}

// lacks waits until no message has the text.
func (s side) lacks(text string) {
	s.b.t.Helper()
	s.b.until(s.name+" lacks "+text, "!"+s.find(text))
}

// as chooses who speaks, by typing the name as people do.
func (s side) as(name string) {
	s.b.t.Helper()
	s.b.do("choose "+name, chromedp.SendKeys(s.in(`[data-part="as"]`), name))
	s.b.until("it is "+name, fmt.Sprintf("document.querySelector(%s).selectedOptions[0].text.startsWith(%s)", strconv.Quote(string(s.in(`[data-part="as"]`))), strconv.Quote(name)))
}

// say types a text and sends it with the Enter key.
func (s side) say(text string) {
	s.b.t.Helper()
	s.b.do("say "+text, chromedp.SendKeys(s.in("textarea"), text+"\r"))
	s.b.until("it was sent", fmt.Sprintf("document.querySelector(%s).value === ''", strconv.Quote(string(s.in("textarea")))))
}

// press clicks a message, the newest one with the text, which shows what can be
// done with it, and then one of its buttons.
func (s side) press(text, button string) {
	s.b.t.Helper()
	s.shows(text, "true")
	xpath := fmt.Sprintf(`(//section[@data-side=%q]//li[@data-id][contains(., %q)])[last()]`, s.name, text)
	s.b.do("press "+button+" of "+text, chromedp.ScrollIntoView(xpath), chromedp.Click(xpath+`//*[@class="head"]`), chromedp.Click(xpath+"//button"+button))
}

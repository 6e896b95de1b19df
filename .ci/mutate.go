// Command mutate proves that the tests of the delivery contract notice when the
// code does not keep it. Each file in .ci/mutations takes one safeguard away; the
// test that it names has to pass with the safeguard and to fail without it. The
// tree is not touched: the compiler is handed the changed files as an overlay.
//
// A mutation is a txtar archive. Its comment says what is taken away (the first
// line), "test: ./package TestName", and "always" where no run leaves it out. Each of its files is a source file's
// path with what to replace, a line of seven equals signs, and what replaces it.
// What is to be replaced must be there exactly once, so a mutation that the code
// has left behind is an error and not a success.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/tools/txtar"
)

const (
	folder    = ".ci/mutations"
	separator = "\n=======\n"
	// timeout bounds one run of one test; a mutant that hangs has been noticed.
	timeout = "180s"
	// atOnce is how many run at a time: linking a test leaves a core idle.
	atOnce = 2
)

// mutation is one safeguard and the test that guards it.
type mutation struct {
	name, what    string
	pkg, test     string
	always        bool
	files         map[string][]byte // changed, by path
	outcome, why  string
	took          time.Duration
	survived, bad bool
}

func main() {
	onlyFit := flag.Bool("fit", false, "only see whether each mutation fits the code, which takes no time, and run nothing")
	turn := flag.String("turn", "", "K/N: only those that always run, and of the others every N-th beginning with the K-th, so that N runs with successive K run them all")
	flag.Parse()
	mutations, err := load(flag.Args())
	if err == nil && *turn != "" {
		mutations, err = inTurn(mutations, *turn)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if *onlyFit {
		fmt.Printf("%d mutations fit the code\n", len(mutations))
		return
	}
	began := time.Now()
	if err = baseline(mutations); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	failed := 0
	slots := make(chan struct{}, atOnce)
	done := make([]chan struct{}, len(mutations))
	for i, m := range mutations {
		done[i] = make(chan struct{})
		go func() {
			slots <- struct{}{}
			m.run()
			<-slots
			close(done[i])
		}()
	}
	for i, m := range mutations {
		<-done[i]
		fmt.Printf("%-9s %5.1f s  %s: %s %s%s\n", m.outcome, m.took.Seconds(), m.name, m.pkg, m.test, m.why)
		if m.survived || m.bad {
			failed++
		}
	}
	fmt.Printf("\n| taken away | noticed by |\n|---|---|\n")
	for _, m := range mutations {
		by := "`" + m.test + "` (`" + strings.TrimPrefix(m.pkg, "./") + "`)"
		if m.survived || m.bad {
			by = "**" + m.outcome + "**: " + by
		}
		fmt.Printf("| %s | %s |\n", m.what, by)
	}
	fmt.Printf("\n%d mutations in %.0f s, %d not noticed\n", len(mutations), time.Since(began).Seconds(), failed)
	if failed > 0 {
		os.Exit(1)
	}
}

// load reads the mutations and applies each to the files that it is about.
func load(names []string) ([]*mutation, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.txtar"))
	if err != nil {
		return nil, err
	}
	var out []*mutation
	var problems []error
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txtar")
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		m, err := read(path)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", path, err))
			continue
		}
		m.name = name
		out = append(out, m)
	}
	if len(out) == 0 && len(problems) == 0 {
		problems = append(problems, fmt.Errorf("no mutations %v in %s", names, folder))
	}
	return out, errors.Join(problems...)
}

// inTurn leaves those that always run and those whose turn it is.
func inTurn(mutations []*mutation, turn string) (out []*mutation, err error) {
	var k, n int
	if _, err = fmt.Sscanf(turn, "%d/%d", &k, &n); err != nil || k < 0 || n < 1 {
		return nil, fmt.Errorf("-turn %s: it must be two numbers, as in 2/5", turn)
	}
	others := 0
	for _, m := range mutations {
		if !m.always {
			others++
		}
		if m.always || others%n == k%n {
			out = append(out, m)
		}
	}
	fmt.Printf("turn %d of %d: %d of %d mutations\n", k%n, n, len(out), len(mutations))
	return out, nil
}

func read(path string) (*mutation, error) {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		return nil, err
	}
	m := &mutation{files: map[string][]byte{}}
	for line := range strings.Lines(string(archive.Comment)) {
		line = strings.TrimSpace(line)
		if test, ok := strings.CutPrefix(line, "test: "); ok {
			m.pkg, m.test, _ = strings.Cut(test, " ")
		} else if line == "always" {
			m.always = true
		} else if m.what == "" {
			m.what = line
		}
	}
	if m.what == "" || m.test == "" || len(archive.Files) == 0 {
		return nil, errors.New("it must say what is taken away, have a line \"test: ./package TestName\" and change a file")
	}
	for _, change := range archive.Files {
		source := m.files[change.Name]
		if source == nil {
			if source, err = os.ReadFile(change.Name); err != nil {
				return nil, err
			}
		}
		// Empty lines at the ends are the archive's, indentation is the code's.
		before, after, ok := strings.Cut("\n"+string(change.Data), separator)
		before, after = strings.Trim(before, "\n"), strings.Trim(after, "\n")
		if !ok || before == "" {
			return nil, fmt.Errorf("%s: a line of seven equals signs must stand between what is replaced and what replaces it", change.Name)
		}
		if n := bytes.Count(source, []byte(before)); n != 1 {
			return nil, fmt.Errorf("%s has the text to replace %d times, not once: the code has changed, so must the mutation", change.Name, n)
		}
		m.files[change.Name] = bytes.Replace(source, []byte(before), []byte(after), 1)
	}
	return m, nil
}

// baseline makes sure that the tests pass while nothing is taken away.
func baseline(mutations []*mutation) error {
	tests := map[string][]string{}
	for _, m := range mutations {
		if !slices.Contains(tests[m.pkg], m.test) {
			tests[m.pkg] = append(tests[m.pkg], m.test)
		}
	}
	for pkg, names := range tests {
		result := goTest(pkg, strings.Join(names, "|"), "")
		for _, name := range names {
			if result.tests[name] != "pass" {
				return fmt.Errorf("%s %s does not pass with nothing taken away (%s):\n%s", pkg, name, result.tests[name], result.output)
			}
		}
	}
	return nil
}

// run runs the mutation's test against the changed files.
func (m *mutation) run() {
	began := time.Now()
	defer func() { m.took = time.Since(began) }()
	overlay, remove, err := m.overlay()
	if err != nil {
		m.outcome, m.why, m.bad = "ERROR", "\n"+err.Error(), true
		return
	}
	defer remove()
	switch result := goTest(m.pkg, m.test, overlay); result.tests[m.test] {
	case "fail":
		m.outcome = "noticed"
	case "pass":
		m.outcome, m.survived = "SURVIVED", true
	default:
		m.outcome, m.why, m.bad = "ERROR", "\nthe test did not run:\n"+result.output, true
	}
}

// overlay writes the changed files where go test finds them in place of the tree's.
func (m *mutation) overlay() (path string, remove func(), err error) {
	dir, err := os.MkdirTemp("", "teamsbridge-mutation-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	replace := map[string]string{}
	for name, source := range m.files {
		at, err := filepath.Abs(name)
		if err != nil {
			return "", remove, err
		}
		replace[at] = filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err = os.WriteFile(replace[at], source, 0o600); err != nil {
			return "", remove, err
		}
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", remove, err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, remove, os.WriteFile(path, data, 0o600)
}

// testRun is what go test said.
type testRun struct {
	tests  map[string]string // pass, fail or skip, by name of the test
	output string
}

func goTest(pkg, pattern, overlay string) testRun {
	args := []string{"test", "-json", "-count=1", "-vet=off", "-failfast", "-ldflags=-s -w", "-timeout=" + timeout, "-run=^(" + pattern + ")$"}
	if !strings.Contains(os.Getenv("GOFLAGS"), "goolm") {
		args = append(args, "-tags=goolm")
	}
	if overlay != "" {
		args = append(args, "-overlay="+overlay)
	}
	out, _ := exec.Command("go", append(args, pkg)...).CombinedOutput()
	result := testRun{tests: map[string]string{}}
	var text strings.Builder
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var event struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &event) != nil {
			event.Output = lines.Text() + "\n"
		}
		text.WriteString(event.Output)
		if event.Action == "pass" || event.Action == "fail" || event.Action == "skip" {
			result.tests[event.Test] = event.Action
		}
	}
	result.output = text.String()
	if len(result.output) > 3000 {
		result.output = result.output[len(result.output)-3000:]
	}
	return result
}

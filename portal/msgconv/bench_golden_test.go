package msgconv

import (
	"encoding/json"
	"flag"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"
	"maunium.net/go/mautrix/event"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

var strictTime = flag.Bool("strict-time", false, "fail where 10 kB of a case take longer than a millisecond, which says nothing on a busy machine")

const (
	// benchSize is what a case is repeated up to.
	benchSize = 10_000
	// mostTime is the longest that a message of that size may take.
	mostTime = time.Millisecond
)

// goldenCases calls each with the files of every case of a folder.
func goldenCases(tb testing.TB, dir string, each func(name string, files map[string]string)) {
	paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
	require.NoError(tb, err)
	require.NotEmpty(tb, paths)
	for _, path := range paths {
		ar, err := txtar.ParseFile(path)
		require.NoError(tb, err)
		files := map[string]string{}
		for _, f := range ar.Files {
			files[f.Name] = strings.TrimSuffix(string(f.Data), "\n")
		}
		each(strings.TrimSuffix(filepath.Base(path), ".txtar"), files)
	}
}

// timed converts a case again and again and notes it in slow where even the
// shortest time, which nothing else on the machine has disturbed, is too long.
func timed(b *testing.B, size int, slow *[]string, convert func()) {
	b.ReportAllocs()
	b.SetBytes(int64(size))
	best, runs := time.Hour, 0
	for b.Loop() {
		start := time.Now()
		convert()
		best = min(best, time.Since(start))
		runs++
	}
	b.ReportMetric(float64(best.Nanoseconds())/1000, "best-µs/op")
	// The first runs fill caches, and are no measure.
	if best > mostTime && runs >= 20 {
		*slow = append(*slow, b.Name()+" "+best.String())
	}
}

func reportSlow(b *testing.B, slow []string) {
	slices.Sort(slow)
	switch {
	case len(slow) == 0:
	case *strictTime:
		b.Errorf("longer than %s:\n%s", mostTime, strings.Join(slow, "\n"))
	default:
		b.Logf("longer than %s:\n%s", mostTime, strings.Join(slow, "\n"))
	}
}

// teamsSize is how large a message from Teams is: what it says, its cards and
// what its event tells.
func teamsSize(m teams.Message) int {
	size := len(m.Body) + len(m.Subject)
	for _, a := range m.Attachments {
		size += len(a.Content) + len(a.Name) + len(a.ContentURL)
	}
	if m.Event != nil {
		size += len(m.Event.Raw)
	}
	return size
}

// larger repeats what a message says, its cards and what lists its event has, up
// to benchSize. What can't be repeated is converted as it is.
func larger(m teams.Message) teams.Message {
	times := benchSize / max(1, teamsSize(m))
	if times < 2 {
		return m
	}
	body, attachments := strings.Builder{}, []teams.Attachment(nil)
	for i := range times {
		part := m.Body
		for _, a := range m.Attachments {
			if i > 0 && a.ID != "" {
				fresh := a.ID + "-" + strconv.Itoa(i)
				part, a.ID = strings.ReplaceAll(part, `"`+a.ID+`"`, `"`+fresh+`"`), fresh
			}
			attachments = append(attachments, a)
		}
		body.WriteString(part)
	}
	m.Body, m.Attachments = body.String(), attachments
	if m.Event != nil {
		detail := *m.Event
		detail.Raw, m.Event = largerLists(detail.Raw, times), &detail
	}
	return m
}

// largerLists repeats the elements of the lists in an event.
func largerLists(raw json.RawMessage, times int) json.RawMessage {
	var fields map[string]any
	if json.Unmarshal(raw, &fields) != nil {
		return raw
	}
	for key, value := range fields {
		if list, ok := value.([]any); ok {
			fields[key] = slices.Repeat(list, times)
		}
	}
	out, err := json.Marshal(fields)
	if err != nil {
		return raw
	}
	return out
}

// BenchmarkGoldenToMatrix converts each case that is held against
// docs/content.md, repeated up to 10 kB, and tells which take too long.
func BenchmarkGoldenToMatrix(b *testing.B) {
	var slow []string
	goldenCases(b, "tomatrix", func(name string, files map[string]string) {
		m, env := matrixCase(b, files)
		size := teamsSize(larger(m))
		for _, s := range env.Snippets {
			size += len(s.Text)
		}
		if m = larger(m); size > 2*benchSize {
			return // a case of limits, which is larger by itself
		}
		b.Run(name, func(b *testing.B) {
			timed(b, size, &slow, func() { ToMatrix(m, env) })
		})
	})
	reportSlow(b, slow)
}

// contentSize is how large a message from Matrix is.
func contentSize(c *event.MessageEventContent) int { return max(len(c.Body), len(c.FormattedBody)) }

// largerContent repeats what an event says up to benchSize.
func largerContent(c *event.MessageEventContent) *event.MessageEventContent {
	times := benchSize / max(1, contentSize(c))
	if times < 2 {
		return c
	}
	larger := *c
	larger.Body, larger.FormattedBody = strings.Repeat(c.Body, times), strings.Repeat(c.FormattedBody, times)
	return &larger
}

// BenchmarkGoldenToTeams does the same for what Matrix has.
func BenchmarkGoldenToTeams(b *testing.B) {
	var slow []string
	goldenCases(b, "toteams", func(name string, files map[string]string) {
		c, env := teamsCase(b, texts.Texts{}, files)
		c = largerContent(c)
		size := contentSize(c)
		if size > 2*benchSize {
			return
		}
		b.Run(name, func(b *testing.B) {
			timed(b, size, &slow, func() {
				if _, err := ToTeams(c, env); err != nil && !isCaseError(files["want"]) {
					b.Fatal(err)
				}
			})
		})
	})
	reportSlow(b, slow)
}

// isCaseError reports whether a case is one that can't be converted.
func isCaseError(want string) bool { return strings.HasPrefix(want, "error: ") }

// What the benchmarks convert is what they say: each kind at its size, complete.
func TestGoldenCasesGrow(t *testing.T) {
	t.Parallel()
	small, all := []string(nil), 0
	goldenCases(t, "tomatrix", func(name string, files map[string]string) {
		m, env := matrixCase(t, files)
		all++
		before, n := teamsSize(m), len(m.Attachments)
		m = larger(m)
		if size := teamsSize(m); size < benchSize/2 {
			small = append(small, name)
		}
		require.GreaterOrEqual(t, len(m.Attachments), n)
		require.GreaterOrEqual(t, teamsSize(m), before, name)
		checkRendered(t, ToMatrix(m, env))
	})
	require.Greater(t, all, 2*len(small), "most kinds grow: %v", small)
	goldenCases(t, "toteams", func(name string, files map[string]string) {
		c, env := teamsCase(t, texts.Texts{}, files)
		if contentSize(c) == 0 {
			return // a file without a caption and the like
		}
		c = largerContent(c)
		require.Greater(t, contentSize(c), benchSize/2, name)
		drafts, err := ToTeams(c, env)
		require.Equal(t, isCaseError(files["want"]), err != nil, name)
		for _, d := range drafts {
			require.LessOrEqual(t, DraftSize(d), MaxDraftSize, name)
		}
	})
	require.JSONEq(t, `{"a":[1,1],"b":2}`, string(largerLists([]byte(`{"a":[1],"b":2}`), 2)))
}

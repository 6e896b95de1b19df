package msgconv

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// tableSide is one of the two tables of docs/content.md.
type tableSide struct {
	// golden is where its cases are, endToEnd where those of the end-to-end test.
	golden, endToEnd string
}

var tableSides = map[string]tableSide{
	"From Teams to Matrix": {"tomatrix", "content_from_teams*_test.go"},
	"From Matrix to Teams": {"toteams", "content_from_matrix*_test.go"},
}

var (
	tableName = regexp.MustCompile("`([^`]*)`")
	// e2eCase and e2eTest are how the sources of the end-to-end tests name them.
	e2eCase = regexp.MustCompile(`\{name: "([^"]*)"`)
	e2eTest = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
)

// TestContentTable holds docs/content.md against the golden cases and the
// end-to-end tests: each row names cases that are there and where the kind is
// shown on a real homeserver, and each case is named by a row.
func TestContentTable(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "content.md"))
	require.NoError(t, err)
	tests := inSources(t, "*_test.go", e2eTest)
	for _, part := range strings.Split(string(raw), "\n## ")[1:] {
		heading, rest, _ := strings.Cut(part, "\n")
		side, ok := tableSides[heading]
		require.True(t, ok, heading)
		left := map[string]bool{}
		paths, err := filepath.Glob(filepath.Join("testdata", side.golden, "*.txtar"))
		require.NoError(t, err)
		for _, path := range paths {
			left[path] = true
		}
		cases := inSources(t, side.endToEnd, e2eCase)
		unnamed := inSources(t, side.endToEnd, e2eCase)
		rows := 0
		for line := range strings.SplitSeq(rest, "\n") {
			cells := strings.Split(line, "|")
			if len(cells) != 6 || strings.HasPrefix(line, "|---") || strings.Contains(line, "| cases |") {
				require.False(t, strings.HasPrefix(line, "| ") && len(cells) != 6, "not four columns: %s", line)
				continue
			}
			rows++
			golden := tableName.FindAllStringSubmatch(cells[3], -1)
			require.NotEmpty(t, golden, "no cases: %s", line)
			for _, c := range golden {
				found, err := filepath.Glob(filepath.Join("testdata", side.golden, c[1]+".txtar"))
				require.NoError(t, err)
				require.NotEmpty(t, found, "%s is in the table, but there is no such case", c[1])
				for _, path := range found {
					delete(left, path)
				}
			}
			shown := tableName.FindAllStringSubmatch(cells[4], -1)
			require.NotEmpty(t, shown, "nothing end to end: %s", line)
			for _, c := range shown {
				require.True(t, cases[c[1]] || tests[c[1]], "%s is in the table, but no end-to-end test or case", c[1])
				delete(unnamed, c[1])
			}
		}
		require.Greater(t, rows, 20, heading)
		require.Empty(t, left, "cases that no row names")
		require.Empty(t, unnamed, "end-to-end cases that no row names")
	}
}

// inSources are the names that an expression finds in sources of ./e2e.
func inSources(t *testing.T, pattern string, expression *regexp.Regexp) map[string]bool {
	paths, err := filepath.Glob(filepath.Join("..", "..", "e2e", pattern))
	require.NoError(t, err)
	require.NotEmpty(t, paths, pattern)
	names := map[string]bool{}
	for _, path := range paths {
		source, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, found := range expression.FindAllStringSubmatch(string(source), -1) {
			names[found[1]] = true
		}
	}
	return names
}

package msgconv

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestContentTable holds docs/content.md against the golden cases: each row
// names cases that are there, and each case is named by a row.
func TestContentTable(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "content.md"))
	require.NoError(t, err)
	name := regexp.MustCompile("`([^`]*)`")
	for _, part := range strings.Split(string(raw), "\n## ")[1:] {
		heading, rest, _ := strings.Cut(part, "\n")
		dir := map[string]string{"From Teams to Matrix": "tomatrix", "From Matrix to Teams": "toteams"}[heading]
		require.NotEmpty(t, dir, heading)
		left := map[string]bool{}
		paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
		require.NoError(t, err)
		for _, path := range paths {
			left[path] = true
		}
		rows := 0
		for line := range strings.SplitSeq(rest, "\n") {
			cells := strings.Split(line, "|")
			if len(cells) != 5 || strings.HasPrefix(line, "|---") || strings.Contains(line, "| cases |") {
				continue
			}
			rows++
			cases := name.FindAllStringSubmatch(cells[3], -1)
			require.NotEmpty(t, cases, "no cases: %s", line)
			for _, c := range cases {
				found, err := filepath.Glob(filepath.Join("testdata", dir, c[1]+".txtar"))
				require.NoError(t, err)
				require.NotEmpty(t, found, "%s is in the table, but there is no such case", c[1])
				for _, path := range found {
					delete(left, path)
				}
			}
		}
		require.Greater(t, rows, 20, heading)
		require.Empty(t, left, "cases that no row names")
	}
}

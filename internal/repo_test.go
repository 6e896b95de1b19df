package internal_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = ".."

// files returns the repository's files with one of the endings.
func files(t *testing.T, endings ...string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return filepath.SkipDir
		}
		for _, ending := range endings {
			if !d.IsDir() && strings.HasSuffix(path, ending) {
				out = append(out, path)
				break
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, out)
	return out
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

// TestFilesAreSmall: no file but tests is longer than 600 lines.
func TestFilesAreSmall(t *testing.T) {
	for _, path := range files(t, ".go") {
		if !strings.HasSuffix(path, "_test.go") {
			require.LessOrEqual(t, strings.Count(read(t, path), "\n"), 600, path)
		}
	}
}

// TestPackagesSayWhatTheyAre: every package has a comment, in doc.go or in its only or main file.
func TestPackagesSayWhatTheyAre(t *testing.T) {
	comment := regexp.MustCompile(`(?m)^// (Package|Command) [a-z0-9]+ (.*\n)+?package `)
	said := map[string]bool{}
	for _, path := range files(t, ".go") {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		dir := filepath.Dir(path)
		said[dir] = said[dir] || comment.MatchString(read(t, path))
	}
	for dir, has := range said {
		require.True(t, has, "%s has no package comment", dir)
	}
}

// TestOneImporterOfTheSDK: everything else must compile in seconds.
func TestOneImporterOfTheSDK(t *testing.T) {
	for _, path := range files(t, ".go") {
		if !strings.Contains(path, filepath.Join("teams", "graph")) {
			require.NotContains(t, read(t, path), "\"github.com/microsoftgraph/"+"msgraph-sdk-go", path)
		}
	}
}

// TestBrowserIsForTests: nothing that is shipped drives a browser.
func TestBrowserIsForTests(t *testing.T) {
	for _, path := range files(t, ".go") {
		if !strings.HasSuffix(path, "_test.go") {
			require.NotContains(t, read(t, path), "\"github.com/"+"chromedp/", path)
		}
	}
}

// TestDocsLinkToWhatIsThere: relative links lead to files, and to headings where they name one.
func TestDocsLinkToWhatIsThere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped := regexp.MustCompile(`[^\w\- ]`)
	for _, path := range files(t, ".md") {
		for _, m := range link.FindAllStringSubmatch(read(t, path), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := path
			if target != "" {
				file = filepath.Join(filepath.Dir(path), target)
				_, err := os.Stat(file)
				require.NoError(t, err, "%s links to %s", path, m[1])
			}
			if anchor == "" {
				continue
			}
			found := false
			for _, h := range heading.FindAllStringSubmatch(read(t, file), -1) {
				id := strings.ReplaceAll(strings.ToLower(dropped.ReplaceAllString(h[1], "")), " ", "-")
				found = found || id == anchor
			}
			require.True(t, found, "%s links to %s, which has no such heading", path, m[1])
		}
	}
}

// TestDocsNameWhatIsThere: tests and metrics that the documents name exist.
func TestDocsNameWhatIsThere(t *testing.T) {
	var tests, code strings.Builder
	for _, path := range files(t, ".go") {
		if strings.HasSuffix(path, "_test.go") {
			tests.WriteString(read(t, path))
		} else {
			code.WriteString(read(t, path))
		}
	}
	name := regexp.MustCompile(`\b(Test[A-Z][A-Za-z]+|Benchmark[A-Z][A-Za-z]+)\b`)
	metric := regexp.MustCompile("`(teamsbridge_[a-z_]+)`")
	for _, path := range files(t, ".md") {
		text := read(t, path)
		for _, test := range name.FindAllString(text, -1) {
			require.Contains(t, tests.String(), "func "+test+"(", "%s names a test", path)
		}
		for _, m := range metric.FindAllStringSubmatch(text, -1) {
			require.Contains(t, code.String(), `"`+m[1]+`"`, "%s names a metric", path)
		}
	}
	described := read(t, filepath.Join(root, "docs", "operations.md"))
	for _, m := range regexp.MustCompile(`"(teamsbridge_[a-z_]+)"`).FindAllStringSubmatch(code.String(), -1) {
		require.Contains(t, described, "`"+m[1]+"`", "docs/operations.md lacks a metric")
	}
}

package stack

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// RepoRoot finds the checkout by walking up from the working directory.
func RepoRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the working directory: %w", err)
	}
	for {
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(data), "module teamsbridge\n") {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no teamsbridge checkout here: run this from inside the repository")
		}
		dir = parent
	}
}

// Progress is told what is being built and how far it is.
type Progress func(line string)

// BuildBridge builds cmd/teamsbridge and returns the binary's path.
func BuildBridge(ctx context.Context, dir string, progress Progress) (string, error) {
	root, err := RepoRoot()
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, "teamsbridge")
	return out, goBuild(ctx, root, "the bridge", progress, "-o", out, "./cmd/teamsbridge")
}

// BuildDendrite builds the Dendrite that the nested module names. The binary
// is kept in the user's cache under the hash of that module's versions,
// because linking it takes longer than a test.
func BuildDendrite(ctx context.Context, progress Progress) (string, error) {
	root, err := RepoRoot()
	if err != nil {
		return "", err
	}
	module := filepath.Join(root, "internal", "stack", "dendrite")
	sums, err := os.ReadFile(filepath.Join(module, "go.sum"))
	if err != nil {
		return "", fmt.Errorf("read Dendrite's versions: %w", err)
	}
	hash := sha256.Sum256(sums)
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	cache = filepath.Join(cache, "teamsbridge")
	out := filepath.Join(cache, "dendrite-"+hex.EncodeToString(hash[:6]))
	if _, err = os.Stat(out); err == nil {
		return out, nil
	}
	if err = os.MkdirAll(cache, 0o700); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	// Two test binaries may build at once: each into its own file, the rename decides.
	tmp, err := os.CreateTemp(cache, "dendrite-build-*")
	if err != nil {
		return "", fmt.Errorf("make a file for Dendrite: %w", err)
	}
	_ = tmp.Close()
	defer func() { _ = os.Remove(tmp.Name()) }()
	if err = goBuild(ctx, module, "Dendrite", progress, "-o", tmp.Name(), "github.com/element-hq/dendrite/cmd/dendrite"); err != nil {
		return "", err
	}
	if err = os.Chmod(tmp.Name(), 0o700); err != nil {
		return "", fmt.Errorf("make Dendrite executable: %w", err)
	}
	if err = os.Rename(tmp.Name(), out); err != nil {
		return "", fmt.Errorf("keep Dendrite: %w", err)
	}
	return out, nil
}

// goFlags are those of the surroundings where they name the tag that the bridge
// needs: what a test was built with is not compiled a second time, for minutes,
// only because its flags differ.
func goFlags(surrounding string) string {
	const needed = "-mod=readonly -buildvcs=false"
	if strings.Contains(surrounding, "goolm") {
		return surrounding + " " + needed
	}
	return "-tags=goolm " + needed
}

// goBuild runs go build with -v and reports every second how long it has taken
// and how many packages are done; a first build takes minutes and must not look hung.
func goBuild(ctx context.Context, dir, what string, progress Progress, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-v"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "GOFLAGS="+goFlags(os.Getenv("GOFLAGS")), "GOWORK=off")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("build %s: %w", what, err)
	}
	if err = cmd.Start(); err != nil {
		return fmt.Errorf("build %s: %w (is Go installed?)", what, err)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(stderr)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
		_, _ = io.Copy(io.Discard, stderr)
	}()
	// One package of the Graph SDK alone compiles for more than a minute, so the
	// time goes on being shown when no line comes.
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var tail []string
	count, began := 0, time.Now()
	for open := true; open; {
		var line string
		select {
		case line, open = <-lines:
			if open {
				count++
				if tail = append(tail, line); len(tail) > 30 {
					tail = tail[1:]
				}
			}
		case <-tick.C:
			if progress != nil && count > 0 {
				progress(fmt.Sprintf("building %s: %s, %d packages, after %s", what, time.Since(began).Round(time.Second), count, tail[len(tail)-1]))
			}
		}
	}
	if err = cmd.Wait(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", what, err, strings.Join(tail, "\n"))
	}
	return nil
}

package msgconv

import (
	"go/parser"
	gotoken "go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPure: the package imports nothing that reaches outside of it, and of ours
// only the plain structs of package teams and the texts.
func TestPure(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(gotoken.NewFileSet(), path, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			for _, bad := range []string{"net/http", "net", "os", "io", "context", "database/sql", "sync", "math/rand", "math/rand/v2"} {
				require.NotEqual(t, bad, name, path)
			}
			require.NotContains(t, name, "mautrix/bridgev2", path)
			require.True(t, name == "teamsbridge/teams" || name == "teamsbridge/texts" || !strings.HasPrefix(name, "teamsbridge/"), "%s imports %s", path, name)
		}
	}
}

package portal

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teamsbridge/texts"
)

// What the database and metrics call a reason is what English says of it, and
// the other languages say it in their words.
func TestReasonsAreSpoken(t *testing.T) {
	for reason, key := range spokenKeys {
		require.Equal(t, reason, spoken(texts.Texts{}, reason), key)
		for _, language := range []string{"de", "fr"} {
			x, err := texts.For(language, nil)
			require.NoError(t, err)
			require.NotEqual(t, reason, spoken(x, reason), "%s: %s", language, key)
		}
	}
	require.Equal(t, "something of Graph's", spoken(texts.Texts{}, "something of Graph's"))
}

// Every constant that says why a file or message did not make it is spoken, and
// nobody is told a reason that has no name.
func TestNoReasonIsForgotten(t *testing.T) {
	paths, err := filepath.Glob("*.go")
	require.NoError(t, err)
	reasons := 0
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				for i, name := range n.Names {
					if i >= len(n.Values) || !strings.HasPrefix(name.Name, "problem") && !strings.HasPrefix(name.Name, "fail") && !strings.HasPrefix(name.Name, "detail") {
						continue
					}
					if literal, ok := n.Values[i].(*ast.BasicLit); ok && literal.Kind == token.STRING {
						value, err := strconv.Unquote(literal.Value)
						require.NoError(t, err)
						require.Contains(t, spokenKeys, value, name.Name)
						reasons++
					}
				}
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "message" {
					_, literal := n.Value.(*ast.BasicLit)
					require.False(t, literal, "%s: a reason without a name", set.Position(n.Pos()))
				}
			}
			return true
		})
	}
	require.Greater(t, reasons, 20)
}

package portal

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

// isSpoken fails unless a reason is said in every language, and is in English
// what the database and the metrics call it.
func isSpoken(t *testing.T, reason, at string) {
	t.Helper()
	require.Equal(t, reason, spoken(texts.Texts{}, reason), at)
	for _, language := range texts.Languages() {
		x, err := texts.For(language, nil)
		require.NoError(t, err)
		if language != texts.English {
			require.NotEqual(t, reason, spoken(x, reason), "%s: nobody says it in %s", at, language)
		}
	}
}

func TestReasonsAreSpoken(t *testing.T) {
	for kind := teams.KindUnknown; kind <= teams.KindForeignHost; kind++ {
		isSpoken(t, kind.String(), "a kind")
		isSpoken(t, "Teams: "+kind.String(), "a kind")
		isSpoken(t, "teams "+kind.String(), "a kind")
	}
	for _, class := range Classes() {
		isSpoken(t, string(class), "a class")
		isSpoken(t, string(class)+": "+whyOrder, "a class")
	}
	for _, err := range []error{ErrTooMuch, ErrNoRoom, ErrOwnAccount, errIsQueued, errBadReaction} {
		isSpoken(t, err.Error(), "an error")
	}
	german, err := texts.For("de", nil)
	require.NoError(t, err)
	require.Equal(t, "something of Graph's", spoken(german, "something of Graph's"))
	require.Equal(t, "an Teams: Berechtigung fehlt", spoken(german, "to Teams: permission missing"))
}

// reasonPrefixes begin the names of constants that say why something is so.
var reasonPrefixes = []string{"problem", "fail", "detail", "Detail", "reason", "Reason", "why", "Left"}

// reasonCalls take a reason.
var reasonCalls = []string{"Cancel", "Fail", "Finish", "Park", "Drop", "drop"}

// literalReasons are the string literals that a node gives for reasons.
func literalReasons(n ast.Node) (out []ast.Expr) {
	switch n := n.(type) {
	case *ast.ValueSpec:
		for i, name := range n.Names {
			if i < len(n.Values) && slices.ContainsFunc(reasonPrefixes, func(prefix string) bool { return strings.HasPrefix(name.Name, prefix) }) {
				out = append(out, n.Values[i])
			}
		}
	case *ast.KeyValueExpr:
		if key, ok := n.Key.(*ast.Ident); ok && strings.EqualFold(key.Name, "reason") {
			out = append(out, n.Value)
		}
	case *ast.AssignStmt:
		for i, left := range n.Lhs {
			if field, ok := left.(*ast.SelectorExpr); ok && strings.EqualFold(field.Sel.Name, "reason") && len(n.Rhs) == len(n.Lhs) {
				out = append(out, n.Rhs[i])
			}
		}
	case *ast.CallExpr:
		if fun, ok := n.Fun.(*ast.SelectorExpr); ok && slices.Contains(reasonCalls, fun.Sel.Name) {
			out = append(out, n.Args...)
		}
	case *ast.FuncDecl:
		if n.Name.Name == "reasonOf" || n.Name.Name == "homeserverReason" {
			ast.Inspect(n, func(n ast.Node) bool {
				if ret, ok := n.(*ast.ReturnStmt); ok && len(ret.Results) > 0 {
					out = append(out, ret.Results[0])
				}
				return true
			})
		}
	}
	return out
}

// Every reason that the code names is spoken, and nobody is told one that has no
// name.
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
			for _, expr := range literalReasons(n) {
				if literal, ok := expr.(*ast.BasicLit); ok && literal.Kind == token.STRING && literal.Value != `""` {
					value, err := strconv.Unquote(literal.Value)
					require.NoError(t, err)
					isSpoken(t, value, set.Position(literal.Pos()).String())
					reasons++
				}
			}
			if pair, ok := n.(*ast.KeyValueExpr); ok {
				if key, ok := pair.Key.(*ast.Ident); ok && key.Name == "message" {
					_, literal := pair.Value.(*ast.BasicLit)
					require.False(t, literal, "%s: a reason without a name", set.Position(pair.Pos()))
				}
			}
			return true
		})
	}
	require.Greater(t, reasons, 70)
}

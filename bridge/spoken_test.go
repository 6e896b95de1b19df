package bridge

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/database"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// others are the texts in all languages but English.
func others(t *testing.T) []texts.Texts {
	t.Helper()
	var out []texts.Texts
	for _, language := range texts.Languages() {
		if language != texts.English {
			x, err := texts.For(language, nil)
			require.NoError(t, err)
			out = append(out, x)
		}
	}
	require.Len(t, out, 2)
	return out
}

// isHint reports whether an expression's value becomes a hint of teams.Error:
// what a field or a variable of that name is given, or a function of that name
// returns.
func isHint(name string) bool { return strings.HasSuffix(strings.ToLower(name), "hint") }

func hintsOf(n ast.Node) (out []ast.Expr) {
	switch n := n.(type) {
	case *ast.KeyValueExpr:
		if key, ok := n.Key.(*ast.Ident); ok && isHint(key.Name) {
			out = append(out, n.Value)
		}
	case *ast.AssignStmt:
		for i, left := range n.Lhs {
			if field, ok := left.(*ast.SelectorExpr); ok && isHint(field.Sel.Name) && len(n.Lhs) == len(n.Rhs) {
				out = append(out, n.Rhs[i])
			}
		}
	case *ast.ValueSpec:
		for i, name := range n.Names {
			if isHint(name.Name) && i < len(n.Values) {
				out = append(out, n.Values[i])
			}
		}
	case *ast.FuncDecl:
		if isHint(n.Name.Name) {
			ast.Inspect(n, func(n ast.Node) bool {
				if ret, ok := n.(*ast.ReturnStmt); ok {
					out = append(out, ret.Results...)
				}
				return true
			})
		}
	}
	return out
}

// What package teams tells operators to do is spoken. A file's transfer is never
// what the sign-in or the state of Graph is about, so nobody is shown its hints.
func TestHintsAreSpoken(t *testing.T) {
	paths, err := filepath.Glob("../teams/*.go")
	require.NoError(t, err)
	hints := 0
	for _, path := range paths {
		name := filepath.Base(path)
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "file") || name == "httpfile.go" {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			for _, expr := range hintsOf(n) {
				literal, ok := expr.(*ast.BasicLit)
				if !ok || literal.Value == `""` {
					continue
				}
				hint, err := strconv.Unquote(literal.Value)
				require.NoError(t, err)
				hints++
				for _, x := range others(t) {
					require.NotEqual(t, hint, spoken(x, hint), "%s: nobody says it", set.Position(literal.Pos()))
					detail := detailOf(&teams.Error{Op: "GET team", Kind: teams.KindPermission, Status: 403, Code: "Forbidden", Hint: hint})
					require.True(t, strings.HasSuffix(spoken(x, detail), spoken(x, hint)), spoken(x, detail))
				}
			}
			return true
		})
	}
	require.Greater(t, hints, 30)
}

// Whatever the database may have as a reason is spoken where it is shown.
func TestReasonsOfTheBridgeAreSpoken(t *testing.T) {
	sales := teams.Team{ID: "1", DisplayName: "Sales"}
	board := teams.Channel{ID: "2", TeamID: "1", DisplayName: "Board", MembershipType: teams.MembershipPrivate}
	all := []string{teams.MembershipStandard, teams.MembershipPrivate}
	var reasons []string
	for _, s := range []*selector{
		newSelector(SelectionConfig{Include: []string{"*"}, MembershipTypes: all}, nil, nil),
		newSelector(SelectionConfig{Include: []string{"IT"}, MembershipTypes: all}, nil, nil),
		newSelector(SelectionConfig{Include: []string{"*"}, Exclude: []string{"Sal*"}}, nil, nil),
		newSelector(SelectionConfig{Include: []string{"*"}, MembershipTypes: all[:1]}, nil, nil),
		newSelector(SelectionConfig{Include: []string{"*"}, MembershipTypes: all, ExcludeChannels: map[string][]string{"*": {"Board"}}}, nil, nil),
		newSelector(SelectionConfig{Include: []string{"*"}, MembershipTypes: all, Channels: map[string][]string{"Sales": {"Board"}}}, nil, nil),
		newSelector(SelectionConfig{Include: []string{"*"}, MembershipTypes: all, Channels: map[string][]string{"Sales": {"General"}}}, nil, nil),
		newSelector(SelectionConfig{Rules: []SelectionRule{{Mirror: true, Label: "Public"}}, MembershipTypes: all}, nil, nil),
		newSelector(SelectionConfig{Rules: []SelectionRule{{Name: "Sales"}}, MembershipTypes: all}, nil, nil),
		newSelector(SelectionConfig{}, []choice{{TeamID: "1", By: "@ann:x"}}, nil),
		newSelector(SelectionConfig{}, []choice{{TeamID: "1", Mirror: true, By: "@ann:x"}}, nil),
	} {
		reasons = append(reasons, s.team(sales).reason, s.channel(sales, board).reason)
	}
	reasons = append(reasons, reasonDeleted, reasonSealed, teams.ErrUnreadable.Error(), teams.ErrDeclined.Error())
	for _, status := range []teams.SubscriptionStatus{
		teams.SubscriptionActive, teams.SubscriptionPending, teams.SubscriptionForbidden, teams.SubscriptionUnreachable,
		teams.SubscriptionRefused, teams.SubscriptionUnavailable,
	} {
		reasons = append(reasons, string(status))
	}
	for _, n := range []int{1, 3} {
		states := slices.Repeat([]teams.SubscriptionState{{Status: teams.SubscriptionRefused}}, n)
		_, none := judgeSubscriptions(states)
		_, some := judgeSubscriptions(append(states, teams.SubscriptionState{Status: teams.SubscriptionActive}))
		reasons = append(reasons, none, some)
	}
	for _, err := range []error{errDrillOn, errOutageOn, errNoDrill, errNoReport, errDrillBound, errNotDeclared} {
		reasons = append(reasons, err.Error())
	}
	german := regexp.MustCompile(`\b(is|are|not|has|does|the|said)\b`)
	for _, x := range others(t) {
		for _, reason := range reasons {
			require.NotEqual(t, reason, spoken(x, reason))
			require.NotRegexp(t, german, spoken(x, reason))
			require.Equal(t, reason, spoken(texts.Texts{}, reason))
		}
		for _, name := range []string{
			database.StateQueued, database.StateSending, database.StateSent, database.StateDone, database.StateFailed, database.StateCancelled,
			database.StateParked, database.KindEdit, database.KindReaction, database.KindUnreact, database.KindDelete, teams.MembershipPrivate,
			teams.MembershipShared, database.AccountRelay, database.AccountUser,
		} {
			require.NotEqual(t, name, word(x, name))
		}
		for _, state := range vitals.States() {
			require.NotEqual(t, state.String(), word(x, state.String()))
		}
	}
}

func TestEveryCauseHasWords(t *testing.T) {
	for _, c := range vitals.Causes() {
		require.Contains(t, troubles, c)
		if c != vitals.Unsteady {
			require.Contains(t, advices, c)
		}
	}
	for _, d := range vitals.Dependencies() {
		require.Contains(t, dependencyNames, d)
	}
}

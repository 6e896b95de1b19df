package texts

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// keys returns the constants of the files of keys by their names.
func keys(t *testing.T) map[string]Key {
	t.Helper()
	names, err := filepath.Glob("keys*.go")
	require.NoError(t, err)
	out := map[string]Key{}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok {
				value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				require.NoError(t, err)
				out[spec.Names[0].Name] = Key(value)
			}
			return true
		})
	}
	require.Greater(t, len(out), 100)
	return out
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// Every language says everything, each with the same places, and nothing else.
func TestLanguagesAreComplete(t *testing.T) {
	require.Equal(t, []string{"de", "en", "fr"}, Languages())
	known := map[Key]bool{}
	for name, key := range keys(t) {
		require.False(t, known[key], "%s is a second name", name)
		known[key] = true
	}
	english := load()[English].says
	for language, c := range load() {
		require.Len(t, c.says, len(known), language)
		for key, f := range c.says {
			require.True(t, known[key], "%s: nothing names %s", language, key)
			want := sorted(english[key].other.places())
			require.Equal(t, want, sorted(f.other.places()), "%s: %s", language, key)
			if !slices.Contains(want, "n") && len(want) == 0 {
				require.Equal(t, f.one, f.other, "%s: %s depends on no number", language, key)
			}
			for _, place := range f.one.places() {
				require.Contains(t, want, place, "%s: %s of one", language, key)
			}
			require.NotEmpty(t, f.one.String(), "%s: %s of one", language, key)
			require.NotEmpty(t, f.other.String(), "%s: %s", language, key)
			for _, form := range []string{f.one.String(), f.other.String()} {
				require.Equal(t, strings.Trim(form, " "), form, "%s: %s has space around it", language, key)
				require.Equal(t, strings.Count(english[key].other.String(), "**"), strings.Count(form, "**"), "%s: %s has other markup", language, key)
				require.Equal(t, strings.Count(english[key].other.String(), "`"), strings.Count(form, "`"), "%s: %s names other commands", language, key)
			}
		}
	}
}

// use is a call of Say or Count somewhere in the bridge.
type use struct {
	at    string
	count bool
	// places are the names that it gives; all says that they are known.
	places []string
	all    bool
}

// uses finds where keys are used: those in calls, and the rest.
func uses(t *testing.T) (calls map[string][]use, named map[string]bool) {
	t.Helper()
	calls, named = map[string][]use{}, map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == ".ci" || d.Name() == ".git" || path == "../texts"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if name := keyName(n); name != "" {
				named[name] = true
			}
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			fun, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || fun.Sel.Name != "Say" && fun.Sel.Name != "Count" || keyName(call.Args[0]) == "" {
				return true
			}
			u := use{at: set.Position(call.Pos()).String(), count: fun.Sel.Name == "Count", all: true}
			from := 1
			if u.count {
				from, u.places = 2, []string{"n"}
			}
			for i := from; i < len(call.Args); i += 2 {
				literal, ok := call.Args[i].(*ast.BasicLit)
				if u.all = u.all && ok && i+1 < len(call.Args); !u.all {
					break
				}
				name, err := strconv.Unquote(literal.Value)
				if err != nil {
					return false
				}
				u.places = append(u.places, name)
			}
			calls[keyName(call.Args[0])] = append(calls[keyName(call.Args[0])], u)
			return true
		})
		return nil
	})
	require.NoError(t, err)
	return calls, named
}

// keyName returns the name of a key that an expression names: texts.Name.
func keyName(n ast.Node) string {
	sel, ok := n.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if pkg, ok := sel.X.(*ast.Ident); !ok || pkg.Name != "texts" {
		return ""
	}
	return sel.Sel.Name
}

// No text is there that nobody says, and who says one fills all its places.
func TestTextsAreUsedAsTheyAre(t *testing.T) {
	calls, named := uses(t)
	english := load()[English].says
	for name, key := range keys(t) {
		require.True(t, named[name], "nobody says %s", key)
		for _, u := range calls[name] {
			require.True(t, u.all, "%s: the places are not named by literals", u.at)
			want := sorted(append(english[key].other.places(), english[key].one.places()...))
			if u.count {
				want = sorted(append(want, "n"))
			}
			require.Equal(t, want, sorted(u.places), "%s: %s", u.at, key)
			if english[key].one.String() != english[key].other.String() {
				require.True(t, u.count, "%s: %s depends on a number", u.at, key)
			}
		}
	}
}

func TestPlacesAndWhatIsLeftOut(t *testing.T) {
	tmpl, err := parse("Hello {name}<, {greeting}>< ({a}, {b})>!")
	require.NoError(t, err)
	require.Equal(t, "Hello Ada!", tmpl.fill([]string{"name", "Ada"}))
	require.Equal(t, "Hello {b}, <well>!", tmpl.fill([]string{"name", "{b}", "greeting", "<well>", "a", "1"}))
	require.Equal(t, "Hello Ada (1, 2)!", tmpl.fill([]string{"name", "Ada", "a", "1", "b", "2"}))
	for _, bad := range []string{"{", "{}", "}", "<", "<{a}", ">", "<always there>", "<{a>}"} {
		_, err = parse(bad)
		require.Error(t, err, bad)
	}
}

func TestNumbers(t *testing.T) {
	for language, want := range map[string][]string{
		"en": {"0 days", "1 day", "2 days"}, "fr": {"0 jour", "1 jour", "2 jours"}, "de": {"0 Tage", "1 Tag", "2 Tage"},
	} {
		x, err := For(language, nil)
		require.NoError(t, err)
		for n, say := range want {
			require.Equal(t, say, x.Count(Days, n))
		}
	}
}

func TestLanguageAndZone(t *testing.T) {
	at := time.Date(2026, 3, 1, 23, 30, 0, 0, time.UTC)
	require.Equal(t, "somebody", Texts{}.Say(Somebody))
	require.Equal(t, "2026-03-01 23:30 UTC", Texts{}.Time(at))
	x, err := For("", time.FixedZone("x", 2*3600))
	require.NoError(t, err)
	require.Equal(t, "somebody", x.Say(Somebody))
	require.Equal(t, "2026-03-02 01:30 +02:00", x.Time(at))
	require.Equal(t, "2026-03-02 01:30:00 +02:00", x.Second(at))
	require.Equal(t, "01:30 +02:00", x.Hour(at))
	_, err = For("tlh", nil)
	require.ErrorContains(t, err, "de, en, fr")
}

// What is stored in English is retold, as far as it is known.
func TestPhrases(t *testing.T) {
	p := NewPhrases(KindPermission, KindWithStatus, HintSecretWrong, SubscriptionsNone, SubscriptionQuota, ChosenTeamNot, ChosenMirror)
	german, err := For("de", nil)
	require.NoError(t, err)
	french, err := For("fr", nil)
	require.NoError(t, err)
	for english, want := range map[string]string{
		"":                   "",
		"nobody knows":       "nobody knows",
		"permission missing": "Berechtigung fehlt",
		"GET team: permission missing (HTTP 403 Forbidden): Missing role": "GET team: Berechtigung fehlt (HTTP 403 Forbidden): Missing role",
		"sign in: the client secret is wrong: network.client_secret wants the secret's value, not its id": "sign in: " +
			"Der geheime Clientschlüssel ist falsch: network.client_secret verlangt den Wert, nicht die ID des Geheimnisses",
		"GET team: permission missing (HTTP 403): Ask (or else)": "GET team: Berechtigung fehlt (HTTP 403): Ask (or else)",
		"none of 1 subscription is active: quota":                "von 1 Abonnement ist keines aktiv: Kontingent",
		"none of 2 subscriptions is active: quota":               "von 2 Abonnements ist keines aktiv: Kontingent",
		"its team is not mirrored: @ann:x said mirror":           "das Team wird nicht gespiegelt: mirror, veranlasst von @ann:x",
		"its team is not mirrored: permission is not y":          "das Team wird nicht gespiegelt: permission is not y",
	} {
		require.Equal(t, want, p.Retell(german, english))
		require.Equal(t, english, p.Retell(Texts{}, english))
	}
	require.Equal(t, "GET team\u00a0: autorisation manquante", p.Retell(french, "GET team: permission missing"))
}

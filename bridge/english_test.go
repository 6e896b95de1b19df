package bridge

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// notSaid are the files whose English nobody is told by the bot, and why.
var notSaid = map[string]string{
	"config.go": "mistakes of the configuration, told at the start", "validate.go": "the same", "validaterooms.go": "the same", "retention.go": "the same",
	"connector.go": "the same", "runtime.go": "the same", "mapping.go": "the same", "main.go": "what the program says in a terminal",
	"upgrade.go": "keys of the configuration", "example.go": "keys of the configuration", "metrics.go": "what metrics are",
	"probes.go": "answers to probes", "standby.go": "the same", "leash.go": "an error of the last moment", "condition.go": "the same", "healthcommand.go": "what the program says in a terminal", "backupcommand.go": "the same",
	"tempfolder.go": "errors of the start", "overridesfile.go": "mistakes of the configuration", "directory.go": "reasons that only the database has", "auditing.go": "reasons for programs", "keys.go": "names of secrets in the database",
}

// unsaid are words elsewhere that nobody is told.
var unsaid = map[string]string{
	"GET channel messages": "an operation", "GET team messages export": "an operation", "POST channel message": "an operation",
	"cut short": "a cause in the database", "cut short reading": "another one", "its room is there": "for the log",
	"the team has no space that its channels could be open to": "an error of no command", "the homeserver's connector does not read state": "another one",
	errNoLabels.Error(): "an error of no command", errNoFacts.Error(): "another one", errNotKept.Error(): "another one",
	"this is not your account": "an error that is put into other words", "the room did not take everything": "an error of no command",
	"listing people: Graph listed nobody, which can't be": "an error of no command", "the bridge's own login can't be loaded": "an error of the start",
	"no such command": "an error of no command", "no room": "for the log", "not asked": "for the log", "Tenant mirror": "the name of a login that nobody sees",
}

// quiet are the functions whose words go to the log, or name what was tried.
var quiet = map[string]bool{"Msg": true, "Errorf": true, "Str": true, "start": true, "Request": true, "DirectoryChanged": true}

// sentences are two words or more; names of arguments are in capitals.
var sentences = regexp.MustCompile(`\p{Ll}[,.:;]? +\p{L}?\p{Ll}`)

// Nobody writes into the code what people are told: it stands in the catalogues.
// Errors that commands meet are put into words by package errors only where a
// catalogue has them.
func TestNoEnglishInTheCode(t *testing.T) {
	paths, err := filepath.Glob("*.go")
	require.NoError(t, err)
	looked, english := 0, []string(nil)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") || notSaid[path] != "" || strings.HasPrefix(path, "check") || strings.HasPrefix(path, "plan") { // these speak in a terminal
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ImportSpec:
				return false
			case *ast.CallExpr:
				if fun, ok := n.Fun.(*ast.SelectorExpr); ok && quiet[fun.Sel.Name] {
					return false
				}
			case *ast.BasicLit:
				if value, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
					looked++
					if sentences.MatchString(value) && unsaid[value] == "" {
						english = append(english, fmt.Sprintf("%s: %q", set.Position(n.Pos()), value))
					}
				}
			}
			return true
		})
	}
	require.Empty(t, english, "this is to stand in the catalogues")
	require.Greater(t, looked, 500)
}

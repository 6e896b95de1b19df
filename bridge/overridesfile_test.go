package bridge

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teamsbridge/teams"
)

func TestOverridesFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "people.csv")
	read := func(text string) (*exceptions, error) {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return readOverrides(path)
	}
	for name, tc := range map[string]struct{ text, problem string }{
		"empty":               {"", "first line is person,matrix_id"},
		"no header":           {"a@x,@a:x\n", `line 1: column 1 is "a@x"`},
		"columns swapped":     {"matrix_id,person\n", `column 1 is "matrix_id" and not "person"`},
		"a column too many":   {"person,matrix_id\na@x,@a:x,yes\n", "line 2"},
		"a column too few":    {"person,matrix_id\n\na@x\n", "line 3"},
		"semicolons":          {"person;matrix_id\n", "line 1"},
		"nobody":              {"person,matrix_id\n,@a:x\n", "line 2 names nobody"},
		"no id":               {"person,matrix_id\na@x,jane\n", `line 2: "jane" is not a Matrix id`},
		"somebody twice":      {"person,matrix_id\na@x,@a:x\nb@x,\nA@X,@c:x\n", "line 4 names A@X, as line 2 does"},
		"an account twice":    {"person,matrix_id\na@x,@a:x\n# that was one\nb@x,@a:x\n", "line 4 gives @a:x, as line 2 does"},
		"a quote not closed":  {"person,matrix_id\n\"a@x,@a:x\n", "line 2"},
		"larger than allowed": {"person,matrix_id\n" + strings.Repeat("#\n", maxOverridesFile/2), "larger than 16 MiB"},
	} {
		_, err := read(tc.text)
		require.ErrorContains(t, err, tc.problem, name)
	}
	got, err := read("\ufeffPerson, Matrix_ID\r\n# a remark\r\nJ.Doe@Corp.example , @jane:corp.example\r\n\"boss@corp.example\",\r\n")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"j.doe@corp.example": "@jane:corp.example", "boss@corp.example": ""}, got.byPerson)

	cfg := MappingConfig{Attribute: "upn", Template: "{{.Local}}", OverridesFile: path, Overrides: map[string]string{"x@corp.example": "@x:corp.example"}}
	m, err := newMapper(cfg, "hs.example")
	require.NoError(t, err)
	for upn, want := range map[string]mapped{
		"j.doe@corp.example": {"@jane:corp.example", "mapped", "mapping.overrides_file", true},
		"boss@corp.example":  {"", "unmapped", "excluded by mapping.overrides_file", false},
		"x@corp.example":     {"@x:corp.example", "mapped", "mapping.overrides", true},
		"y@corp.example":     {"@y:hs.example", "mapped", "mapping.template", false},
	} {
		require.Equal(t, want, m.person(teams.User{ID: "1", UPN: upn, Enabled: true}), upn)
	}
	require.NoError(t, os.WriteFile(path, []byte("person,matrix_id\nX@corp.example,\n"), 0o600))
	_, err = newMapper(cfg, "hs.example")
	require.ErrorContains(t, err, "network.mapping.overrides_file names x@corp.example, as mapping.overrides does")
}

// A file that changes is taken over when it has come to rest, and people are mapped
// by it at the next look; one that can't be used changes nothing.
func TestOverridesFileChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "people.csv")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte("person,matrix_id\n"+text), 0o600)) }
	write("ann@corp.example,@jane:example.org\n")
	p := newPeopleTest(t, person("a", "ann@corp.example"), person("b", "bob@corp.example"))
	mapper, err := newMapper(MappingConfig{Attribute: "upn", Template: "{{.Local}}", OverridesFile: path}, "example.org")
	require.NoError(t, err)
	p.dir.mapper = mapper
	changes := 0
	watch := &overridesWatch{mapper: mapper, changed: func() { changes++ }}
	look := func() string {
		require.NoError(t, watch.look(t.Context()))
		require.NoError(t, p.staff.refresh(t.Context(), false))
		ann, _ := p.dir.staff("a")
		return ann.MXID
	}
	require.Equal(t, "@jane:example.org", look())
	require.Zero(t, changes)
	write("") // somebody is writing it
	require.Equal(t, "@jane:example.org", look())
	write("ann@corp.example,@anna:example.org\n")
	require.Equal(t, "@jane:example.org", look(), "it has changed since the last look")
	require.Equal(t, "@anna:example.org", look())
	require.Equal(t, 1, changes)
	require.Equal(t, "@anna:example.org", look())
	require.Equal(t, 1, changes)
	write("ann@corp.example\n")
	require.ErrorContains(t, watch.look(t.Context()), "what was read before stays")
	require.NoError(t, os.Remove(path))
	require.Error(t, watch.look(t.Context()))
	require.Equal(t, "@anna:example.org", mapper.person(teams.User{ID: "a", UPN: "ann@corp.example", Enabled: true}).mxid.String())
	write("ann@corp.example,\n")
	look()
	require.Empty(t, look())
	require.Equal(t, 2, changes)
}

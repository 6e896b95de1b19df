package bridge

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

var (
	descName   = regexp.MustCompile(`fqName: "([a-z_]+)"`)
	descLabels = regexp.MustCompile(`variableLabels: \{([a-z_,]*)\}`)
	// selector is a metric with its labels, as PromQL has it.
	selectorOf = regexp.MustCompile(`(teamsbridge_[a-z_]+)(?:\{([^}]*)\})?`)
	usedLabel  = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)`)
	groupingOf = regexp.MustCompile(`by \(([^)]*)\)`)
	inDocs     = regexp.MustCompile("`(teamsbridge_[a-z_]+)`")
)

// exported are the bridge's own metrics with their labels.
func exported(t *testing.T) map[string][]string {
	t.Helper()
	m := newMetrics(&runtime{})
	out := map[string][]string{}
	for _, c := range m.own(&runtime{}) {
		descs := make(chan *prometheus.Desc, 100)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			name, labels := descName.FindStringSubmatch(d.String()), descLabels.FindStringSubmatch(d.String())
			require.NotNil(t, name, d.String())
			require.NotNil(t, labels, d.String())
			out[name[1]] = strings.FieldsFunc(labels[1], func(r rune) bool { return r == ',' })
		}
	}
	return out
}

func deployed(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "deploy", "monitoring", name))
	require.NoError(t, err)
	return data
}

// namesExported checks that an expression names metrics and labels that there are.
func namesExported(t *testing.T, have map[string][]string, expr string) {
	t.Helper()
	var labels []string
	for _, found := range selectorOf.FindAllStringSubmatch(expr, -1) {
		name := found[1]
		if _, ok := have[name]; !ok {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				name = strings.TrimSuffix(name, suffix)
			}
		}
		require.Contains(t, have, name, "in %q", expr)
		labels = append(labels, have[name]...)
		for _, l := range usedLabel.FindAllStringSubmatch(found[2], -1) {
			require.Contains(t, have[name], l[1], "in %q", expr)
		}
	}
	for _, by := range groupingOf.FindAllStringSubmatch(expr, -1) {
		for _, l := range strings.Split(by[1], ",") {
			require.Contains(t, append(labels, "le"), strings.TrimSpace(l), "in %q", expr)
		}
	}
}

// Every series that the alert rules name exists, with its labels, and every rule
// says what it means.
func TestAlertRulesNameWhatIsExported(t *testing.T) {
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(deployed(t, "alerts.yaml"), &file))
	have := exported(t)
	seen := map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			require.False(t, seen[r.Alert], "%s is there twice", r.Alert)
			seen[r.Alert] = true
			require.Regexp(t, selectorOf, r.Expr)
			namesExported(t, have, r.Expr)
			require.Contains(t, []string{"warning", "critical"}, r.Labels["severity"], r.Alert)
			require.NotEmpty(t, r.Annotations["summary"], r.Alert)
			require.NotEmpty(t, r.Annotations["description"], r.Alert)
		}
	}
	require.Greater(t, len(seen), 10)
}

// Every series that the dashboard draws exists, and every metric of the bridge is
// drawn.
func TestDashboardDrawsWhatIsExported(t *testing.T) {
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	data := deployed(t, "dashboard.json")
	require.NoError(t, json.Unmarshal(data, &board))
	have := exported(t)
	for _, p := range board.Panels {
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			namesExported(t, have, target.Expr)
		}
	}
	for name := range have {
		if !slices.Contains([]string{"teamsbridge_outage", "teamsbridge_graph_pauses_total"}, name) { // drawn as their lengths
			require.Contains(t, string(data), name, "is drawn nowhere")
		}
	}
}

// The handbook's list of metrics is whole, and names none that is not there.
func TestHandbookListsTheMetrics(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "docs", "operations.md"))
	require.NoError(t, err)
	have := exported(t)
	listed := map[string]bool{}
	for _, found := range inDocs.FindAllStringSubmatch(string(data), -1) {
		listed[found[1]] = true
		require.Contains(t, have, found[1])
	}
	for name := range have {
		require.True(t, listed[name], "%s is not in the handbook", name)
	}
}

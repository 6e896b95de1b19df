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

	vitals "teamsbridge/bridge/health"
	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
)

var (
	descName   = regexp.MustCompile(`fqName: "([a-z_]+)"`)
	descLabels = regexp.MustCompile(`variableLabels: \{([a-z_,]*)\}`)
	// selector is a metric with its labels, as PromQL has it.
	selectorOf = regexp.MustCompile(`(teamsbridge_[a-z_]+)(?:\{([^}]*)\})?`)
	usedLabel  = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"`)
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
			valuesExported(t, name, l[1], l[2], expr)
		}
	}
	for _, by := range groupingOf.FindAllStringSubmatch(expr, -1) {
		for _, l := range strings.Split(by[1], ",") {
			require.Contains(t, append(labels, "le"), strings.TrimSpace(l), "in %q", expr)
		}
	}
}

// exportedValues are the values of a label, where they are a fixed set.
func exportedValues(metric, label string) (values []string) {
	switch metric + " " + label {
	case "teamsbridge_dependency_state dependency", "teamsbridge_dependency_changes_total dependency":
		for _, d := range vitals.Dependencies() {
			values = append(values, string(d))
		}
	case "teamsbridge_dependency_state state", "teamsbridge_dependency_changes_total state":
		for _, s := range vitals.States() {
			values = append(values, s.String())
		}
	case "teamsbridge_outage kind", "teamsbridge_outage_seconds kind", "teamsbridge_outages_total kind":
		values = []string{database.OutageDetected, database.OutageDeclared, database.OutageDrill}
	case "teamsbridge_subscriptions state":
		for _, s := range teams.SubscriptionStatuses() {
			values = append(values, strings.ReplaceAll(string(s), " ", "_"))
		}
	case "teamsbridge_messages_total event":
		values = []string{portal.MetricParked, portal.MetricFailed, portal.MetricUntold, portal.MetricSent, portal.MetricDelivered}
	case "teamsbridge_message_delay_seconds direction":
		values = []string{portal.DurationIngest, portal.DurationSend}
	case "teamsbridge_outbox_rows state":
		values = outboxStates()
	case "teamsbridge_inbox_rows state":
		values = inboxStates()
	case "teamsbridge_queue_age_seconds queue":
		values = []string{"outbox", "inbox"}
	case "teamsbridge_notifications state":
		values = []string{"pending", "quarantined"}
	case "teamsbridge_rooms people":
		values = []string{"complete", "incomplete"}
	case "teamsbridge_joins_total outcome":
		values = joinOutcomes()
	case "teamsbridge_credential_expires_timestamp_seconds credential":
		values = []string{credentialSecret, credentialCertificate, credentialNotification}
	}
	return values
}

// valuesExported checks that the values that an expression asks a label for,
// in its | alternatives, are values that it can have.
func valuesExported(t *testing.T, metric, label, pattern, expr string) {
	t.Helper()
	values := exportedValues(metric, label)
	require.NotEmpty(t, values, "%q asks for values of a label of which this test knows none", expr)
	if strings.Contains(pattern, "(") { // the dashboard's list of whatever goes wrong
		return
	}
	for _, v := range strings.Split(pattern, "|") {
		require.Contains(t, values, v, "%s of %s in %q", label, metric, expr)
	}
}

type alertRule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

// alertRules are the rules that are shipped.
func alertRules(t *testing.T) (rules []alertRule) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []alertRule }
	}
	require.NoError(t, yaml.Unmarshal(deployed(t, "alerts.yaml"), &file))
	for _, g := range file.Groups {
		rules = append(rules, g.Rules...)
	}
	return rules
}

// Every alert has, for promtool, a course of things in which it fires and one
// in which it does not. promtool itself runs in .ci/run.
func TestAlertRulesHaveTests(t *testing.T) {
	var file struct {
		Tests []struct {
			AlertRuleTest []struct {
				Alertname string `yaml:"alertname"`
				ExpAlerts []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	require.NoError(t, yaml.Unmarshal(deployed(t, "alerts_test.yaml"), &file))
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, at := range test.AlertRuleTest {
			if len(at.ExpAlerts) > 0 {
				fires[at.Alertname] = true
			} else {
				quiet[at.Alertname] = true
			}
		}
	}
	for _, r := range alertRules(t) {
		require.True(t, fires[r.Alert], "no test has %s fire", r.Alert)
		require.True(t, quiet[r.Alert], "no test has %s not fire", r.Alert)
	}
}

// Every series that the alert rules name exists, with its labels and their
// values, and every rule says what it means.
func TestAlertRulesNameWhatIsExported(t *testing.T) {
	have := exported(t)
	seen := map[string]bool{}
	for _, r := range alertRules(t) {
		require.False(t, seen[r.Alert], "%s is there twice", r.Alert)
		seen[r.Alert] = true
		require.Regexp(t, selectorOf, r.Expr)
		namesExported(t, have, r.Expr)
		require.Contains(t, []string{"warning", "critical"}, r.Labels["severity"], r.Alert)
		require.NotEmpty(t, r.Annotations["summary"], r.Alert)
		require.NotEmpty(t, r.Annotations["description"], r.Alert)
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

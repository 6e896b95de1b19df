package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"teamsbridge/internal/freeport"
	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// promtoolEnv names Prometheus' promtool; .ci/run builds it (.ci/promtool).
const promtoolEnv = "TEAMSBRIDGE_PROMTOOL"

// What the bridge measures at rest raises no alert, in an outage of Teams the one
// for that and in one of the homeserver the one for that: the rules that are
// shipped, on the samples of a bridge that runs, evaluated by Prometheus' own tool.
func TestOutagesRaiseTheirAlerts(t *testing.T) {
	promtool := os.Getenv(promtoolEnv)
	if promtool == "" {
		t.Skip(promtoolEnv + " does not name a promtool")
	}
	t.Parallel()
	port, err := freeport.Get()
	require.NoError(t, err)
	listen := fmt.Sprintf("127.0.0.1:%d", port)
	o := newOffice(t, stack.Options{Settings: map[string]any{"network": map[string]any{"metrics": map[string]any{"listen": listen}}}})
	a := &alarm{office: o, promtool: promtool, listen: listen, rules: shippedRules(t)}
	o.runRelayed(o.ada)
	ben := o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)
	o.agree(o.general)
	a.measured("at rest", `teamsbridge_graph_up 1`, `teamsbridge_dependency_state{dependency="homeserver",state="up"} 1`,
		`teamsbridge_outbox_rows{state="queued"} 0`)
	a.raises()

	o.Tenant.Down(teamstest.DownUnavailable)
	_, err = ben.SendText(o.ctx, room, "said in an outage")
	require.NoError(t, err)
	a.measured("in an outage of Teams", `teamsbridge_graph_up 0`)
	a.raises("TeamsbridgeTeamsOutage")
	require.NoError(t, o.Tenant.Up())
	o.inTeams(o.general, "said in an outage", nil)
	a.measured("after it", `teamsbridge_graph_up 1`, `teamsbridge_outbox_rows{state="queued"} 0`)
	a.raises()

	o.Homeserver.Stop()
	o.general.Post(o.cleo, teamstest.Msg{HTML: "<p>the homeserver is away</p>"})
	a.measured("without a homeserver", `teamsbridge_dependency_state{dependency="homeserver",state="down"} 1`)
	a.raises("TeamsbridgeHomeserverDown")

	o.Bridge.Kill()
	a.samples = ""
	a.raises("TeamsbridgeAway")
}

type rule struct {
	Alert               string
	Labels, Annotations map[string]string
}

func rulesFile(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "deploy", "monitoring", "alerts.yaml"))
	require.NoError(t, err)
	return path
}

func shippedRules(t *testing.T) (rules []rule) {
	t.Helper()
	data, err := os.ReadFile(rulesFile(t))
	require.NoError(t, err)
	var file struct{ Groups []struct{ Rules []rule } }
	require.NoError(t, yaml.Unmarshal(data, &file))
	for _, g := range file.Groups {
		rules = append(rules, g.Rules...)
	}
	return rules
}

// alarm evaluates the rules on what the bridge exports.
type alarm struct {
	*office
	promtool, listen string
	rules            []rule
	samples          string
}

// measured scrapes the bridge until it exports all of the lines.
func (a *alarm) measured(when string, lines ...string) {
	a.t.Helper()
	a.within(2*time.Minute, "the metrics "+when, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.listen+"/metrics", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		data, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		a.samples = string(data)
		for _, line := range lines {
			if !strings.Contains("\n"+a.samples, "\n"+line+"\n") {
				err = errors.Join(err, errors.New(line+" is not there yet"))
			}
		}
		return err
	})
}

var sample = regexp.MustCompile(`(?m)^(teamsbridge_\S*(?:\{.*\})?) (\S+)$`)

// urgent are the alerts of which none may be raised but the right one. What else
// an outage may raise depends on how long things take.
var urgent = []string{"TeamsbridgeAway", "TeamsbridgeDatabaseAway", "TeamsbridgeTeamsOutage", "TeamsbridgeHomeserverDown",
	"TeamsbridgeOutageLasts", "TeamsbridgeReadingBehind", "TeamsbridgeJournalStands", "TeamsbridgeToTeamsLate"}

// raises checks that what was measured, if it stays so for ten minutes, raises
// these alerts and none else that is urgent.
func (a *alarm) raises(want ...string) {
	a.t.Helper()
	var series, tests []map[string]any
	for _, m := range sample.FindAllStringSubmatch(a.samples, -1) {
		v, err := strconv.ParseFloat(m[2], 64)
		require.NoError(a.t, err)
		series = append(series, map[string]any{"series": m[1], "values": strconv.FormatFloat(v, 'f', -1, 64) + "x10"})
	}
	known := map[string]rule{}
	for _, r := range a.rules {
		known[r.Alert] = r
	}
	for _, name := range urgent {
		require.Contains(a.t, known, name)
		expect := []map[string]any{}
		for _, w := range want {
			if w == name {
				expect = append(expect, map[string]any{"exp_labels": a.labels(known[name]), "exp_annotations": known[name].Annotations})
			}
		}
		tests = append(tests, map[string]any{"eval_time": "10m", "alertname": name, "exp_alerts": expect})
	}
	data, err := yaml.Marshal(map[string]any{"rule_files": []string{rulesFile(a.t)}, "evaluation_interval": "1m",
		"tests": []map[string]any{{"interval": "1m", "input_series": series, "alert_rule_test": tests}}})
	require.NoError(a.t, err)
	file := filepath.Join(a.Dir, "alerts.yaml")
	require.NoError(a.t, os.WriteFile(file, data, 0o600))
	ctx, cancel := context.WithTimeout(a.ctx, time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, a.promtool, "test", "rules", file).CombinedOutput()
	require.NoError(a.t, err, "%s", out)
}

// labels are what an alert carries: the rule's own and those of its series.
func (a *alarm) labels(r rule) map[string]string {
	labels := map[string]string{}
	for k, v := range r.Labels {
		labels[k] = v
	}
	if r.Alert == "TeamsbridgeHomeserverDown" {
		labels["dependency"], labels["state"] = "homeserver", "down"
	}
	return labels
}

package internal_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

type object = map[string]any

func deployFile(parts ...string) string {
	return filepath.Join(append([]string{root, "deploy"}, parts...)...)
}

func parseYAML(t *testing.T, path string) (docs []object) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(read(t, path)))
	for {
		var doc object
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs
		}
		require.NoError(t, err, path)
		docs = append(docs, doc)
	}
}

// at follows keys and indices, and fails where there is nothing.
func at(t *testing.T, value any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, ok := value.(object)
			require.True(t, ok && m[step] != nil, "%v has no %v", path, step)
			value = m[step]
		case int:
			list, ok := value.([]any)
			require.True(t, ok && len(list) > step, "%v has no %v", path, step)
			value = list[step]
		}
	}
	return value
}

// envPrefix is what the shipped files give env_config_prefix.
const envPrefix = "TEAMSBRIDGE_"

// namesAKey checks that a variable of the environment overrides a key that there
// is, and that a listener in it has the port that the image exposes.
func namesAKey(t *testing.T, name, value string) {
	t.Helper()
	key, ok := strings.CutPrefix(name, envPrefix)
	require.True(t, ok, "%s does not begin with %s", name, envPrefix)
	key = strings.TrimSuffix(key, "_FILE")
	var path []any
	for _, part := range strings.Split(strings.ToLower(key), "__") {
		path = append(path, part)
	}
	at(t, parseYAML(t, filepath.Join(root, "example-config.yaml"))[0], path...)
	if m := regexp.MustCompile(`:(29\d{3})$`).FindStringSubmatch(value); m != nil {
		require.Contains(t, exposed(t), m[1], name)
	}
}

// exposed are the ports of the image.
func exposed(t *testing.T) []string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^EXPOSE (.*)$`).FindStringSubmatch(read(t, filepath.Join(root, "Dockerfile")))
	require.NotNil(t, m)
	return strings.Fields(m[1])
}

// The image runs one static binary as a user without rights, says what is in it,
// and is asked how it is.
func TestImage(t *testing.T) {
	file := read(t, filepath.Join(root, "Dockerfile"))
	stages := strings.Split(file, "\nFROM ")
	last := stages[len(stages)-1]
	require.Contains(t, file, "deploy/build /out/teamsbridge")
	require.NotContains(t, last, "RUN", "the image that is shipped has no shell")
	require.Regexp(t, `(?m)^USER 65532:65532$`, last)
	require.Contains(t, last, "sbom.cdx.json")
	require.Regexp(t, `HEALTHCHECK[^\n]*\\\n +CMD \["/usr/bin/teamsbridge", "health", "-c", "/data/config.yaml"\]`, last)
	for _, copied := range []string{".ci/tools", "deploy/build"} {
		_, err := os.Stat(filepath.Join(root, copied))
		require.NoError(t, err)
	}
	example := at(t, parseYAML(t, filepath.Join(root, "example-config.yaml"))[0])
	require.Contains(t, exposed(t), strconv.Itoa(at(t, example, "appservice", "port").(int)))
	require.True(t, strings.HasSuffix(at(t, example, "network", "webhook", "listen").(string), ":"+exposed(t)[1]))
}

// The compose file names keys, ports, files and secrets that there are.
func TestCompose(t *testing.T) {
	doc := parseYAML(t, deployFile("compose.yaml"))[0]
	services := at(t, doc, "services").(object)
	secrets := at(t, doc, "secrets").(object)
	networks, volumes := at(t, doc, "networks").(object), at(t, doc, "volumes").(object)
	for name := range services {
		service := services[name].(object)
		for _, secret := range list(service["secrets"]) {
			require.Contains(t, secrets, secret, name)
		}
		for _, network := range list(service["networks"]) {
			require.Contains(t, networks, network, name)
		}
		for _, mount := range list(service["volumes"]) {
			source := strings.Split(mount.(string), ":")[0]
			switch {
			case !strings.HasPrefix(source, "."):
				require.Contains(t, volumes, source, name)
			case strings.Contains(filepath.Base(source), "."):
				_, err := os.Stat(deployFile(source))
				require.NoError(t, err, "%s mounts a file that is not shipped", name)
			}
		}
		for other := range mapping(service["depends_on"]) {
			require.Contains(t, services, other, name)
			at(t, services, other, "healthcheck", "test")
		}
		if image, ok := service["image"].(string); ok {
			require.Regexp(t, `:[v\d]`, image, "%s names no version", name)
		}
		require.Equal(t, "unless-stopped", service["restart"], name)
	}
	bridge := services["teamsbridge"].(object)
	for name, value := range at(t, bridge, "environment").(object) {
		namesAKey(t, name, value.(string))
		if strings.HasSuffix(name, "_FILE") {
			require.Contains(t, list(bridge["secrets"]), filepath.Base(value.(string)))
		}
	}
	require.Equal(t, true, bridge["read_only"])
	require.Equal(t, []any{"ALL"}, bridge["cap_drop"])
	require.Equal(t, []any{"CMD", "/usr/bin/teamsbridge", "health", "-c", "/data/config.yaml"}, at(t, bridge, "healthcheck", "test"))
	for _, port := range list(bridge["ports"]) {
		parts := strings.Split(port.(string), ":")
		require.Equal(t, "127.0.0.1", parts[0], "only this host")
		require.Contains(t, exposed(t), parts[2])
	}
	require.Equal(t, true, at(t, networks, "inside", "internal"))
	synapse := parseYAML(t, deployFile("compose", "synapse.yaml"))[0]
	require.Len(t, at(t, synapse, "app_service_config_files"), 2)
	require.Contains(t, list(at(t, services, "synapse", "networks")), "inside")
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func mapping(v any) object {
	m, _ := v.(object)
	return m
}

// The manifests belong together: labels, ports, secrets, probes; and the pods
// may do nothing that they need not.
func TestKubernetes(t *testing.T) {
	kustomization := parseYAML(t, deployFile("kubernetes", "kustomization.yaml"))[0]
	found, err := filepath.Glob(deployFile("kubernetes", "*.yaml"))
	require.NoError(t, err)
	kinds := map[string]object{}
	var services []object
	for _, path := range found {
		if filepath.Base(path) == "kustomization.yaml" {
			continue
		}
		require.Contains(t, list(kustomization["resources"]), filepath.Base(path))
		for _, doc := range parseYAML(t, path) {
			kind := doc["kind"].(string)
			kinds[kind] = doc
			if kind == "Service" {
				services = append(services, doc)
			}
		}
	}
	require.Len(t, list(kustomization["resources"]), len(found)-1)
	for _, kind := range []string{"Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget", "ServiceAccount"} {
		require.Contains(t, kinds, kind)
	}
	spec := at(t, kinds["Deployment"], "spec").(object)
	require.Equal(t, 2, spec["replicas"])
	pod := at(t, spec, "template", "spec").(object)
	labels := at(t, spec, "template", "metadata", "labels")
	require.Equal(t, labels, at(t, spec, "selector", "matchLabels"))
	require.Equal(t, labels, at(t, kinds["PodDisruptionBudget"], "spec", "selector", "matchLabels"))
	require.Equal(t, labels, at(t, kinds["NetworkPolicy"], "spec", "podSelector", "matchLabels"))
	require.Equal(t, []any{"Ingress", "Egress"}, at(t, kinds["NetworkPolicy"], "spec", "policyTypes"))
	require.Equal(t, at(t, kinds["ServiceAccount"], "metadata", "name"), pod["serviceAccountName"])
	require.Equal(t, false, pod["automountServiceAccountToken"])
	require.Equal(t, true, at(t, pod, "securityContext", "runAsNonRoot"))
	require.Equal(t, 65532, at(t, pod, "securityContext", "runAsUser"))

	bridge := at(t, pod, "containers", 0).(object)
	require.Equal(t, object{"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": object{"drop": []any{"ALL"}}}, bridge["securityContext"])
	require.Equal(t, at(t, kustomization, "images", 0, "name"), bridge["image"])
	ports := map[string]int{}
	for _, p := range list(bridge["ports"]) {
		ports[p.(object)["name"].(string)] = p.(object)["containerPort"].(int)
		require.Contains(t, exposed(t), strconv.Itoa(p.(object)["containerPort"].(int)))
	}
	for _, service := range services {
		require.Equal(t, labels, at(t, service, "spec", "selector"))
		for _, p := range list(at(t, service, "spec", "ports")) {
			require.Equal(t, ports[p.(object)["targetPort"].(string)], p.(object)["port"])
		}
	}
	served := read(t, filepath.Join(root, "bridge", "probes.go"))
	for _, probe := range []string{"livenessProbe", "readinessProbe"} {
		require.Contains(t, ports, at(t, bridge, probe, "httpGet", "port"))
		require.Contains(t, served, `"GET `+at(t, bridge, probe, "httpGet", "path").(string)+`"`)
	}
	mounted := map[string]bool{}
	for _, m := range list(bridge["volumeMounts"]) {
		mounted[m.(object)["name"].(string)] = true
	}
	for _, v := range list(pod["volumes"]) {
		require.True(t, mounted[v.(object)["name"].(string)])
	}
	require.Len(t, list(pod["volumes"]), len(mounted))
	how := read(t, deployFile("kubernetes", "kustomization.yaml"))
	for _, e := range list(bridge["env"]) {
		name, value := e.(object)["name"].(string), e.(object)["value"].(string)
		namesAKey(t, name, value)
		if strings.HasSuffix(name, "_FILE") {
			require.Equal(t, "/config", filepath.Dir(value))
			require.Contains(t, how, "--from-file="+filepath.Base(value), "the secret is made without it")
		}
	}
	require.Contains(t, list(bridge["args"]), "-n", "the config can't be written")
	for _, arg := range list(bridge["args"]) {
		if strings.HasPrefix(arg.(string), "/") {
			require.Contains(t, how, "--from-file="+filepath.Base(arg.(string)))
		}
	}
}

// The unit is one that systemd understands, and leaves the process as little as
// it can do with.
func TestUnit(t *testing.T) {
	unit := read(t, deployFile("teamsbridge.service"))
	for _, line := range []string{"NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "Restart=always"} {
		require.True(t, slices.Contains(strings.Split(unit, "\n"), line), line)
	}
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not here")
	}
	// The binary need not be installed where this is tested.
	changed := regexp.MustCompile(`(?m)^ExecStart=\S+`).ReplaceAllString(unit, "ExecStart=/bin/true")
	path := filepath.Join(t.TempDir(), "teamsbridge.service")
	require.NoError(t, os.WriteFile(path, []byte(changed), 0o600))
	out, err := exec.CommandContext(t.Context(), program, "verify", "--man=no", path).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Empty(t, string(bytes.TrimSpace(out)))
	out, err = exec.CommandContext(t.Context(), program, "security", "--offline=yes", "--threshold=20", path).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

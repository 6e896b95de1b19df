package bridge

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	up "go.mau.fi/util/configupgrade"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	"maunium.net/go/mautrix/bridgev2/matrix/mxmain"
)

// ExampleConfig returns a complete configuration file with comments: the
// framework's example with this bridge's defaults, and the network section. It
// is what an upgrade makes of an empty file, so upgrading it changes nothing.
func ExampleConfig() (string, error) {
	base, err := fullExample(exampleNetworkConfig, networkName())
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "teamsbridge-example-*")
	if err != nil {
		return "", fmt.Errorf("making the example config: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte("{}\n"), 0o600); err != nil {
		return "", fmt.Errorf("making the example config: %w", err)
	}
	keep := func() string { return generateKey }
	network := &up.ProxyUpgrader{Target: networkUpgrader(keep), Prefix: []string{"network"}}
	out, _, err := up.Do(file, false, up.MergeUpgraders(base, network, bridgeconfig.Upgrader), up.SimpleUpgrader(keepGenerate))
	if err != nil {
		return "", fmt.Errorf("making the example config: %w", err)
	}
	lines := strings.Split(string(out), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n"), nil
}

// keepGenerate puts back the words that the framework's upgrader replaces with
// random keys, which have no place in an example.
func keepGenerate(helper up.Helper) {
	for _, path := range [][]string{
		{"provisioning", "shared_secret"}, {"public_media", "signing_key"},
		{"direct_media", "server_key"}, {"encryption", "pickle_key"},
	} {
		helper.Set(up.Str, generateKey, path...)
	}
}

// fullExample joins the network section and the framework's example as
// mxmain does for its own -e.
func fullExample(network string, name bridgev2.BridgeName) (string, error) {
	tmpl, err := template.New("example-config.yaml").Delims("$<<", ">>").Parse(mxmain.MatrixExampleConfigBase)
	if err != nil {
		return "", fmt.Errorf("parsing the framework's example config: %w", err)
	}
	var b strings.Builder
	b.WriteString("# Network-specific config options\nnetwork:\n")
	for _, line := range strings.Split(network, "\n") {
		b.WriteString("    " + line + "\n")
	}
	b.WriteByte('\n')
	if err := tmpl.Execute(&b, name); err != nil {
		return "", fmt.Errorf("filling the framework's example config: %w", err)
	}
	return b.String(), nil
}

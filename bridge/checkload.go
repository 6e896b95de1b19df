package bridge

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"

	up "go.mau.fi/util/configupgrade"
	"gopkg.in/yaml.v3"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	"maunium.net/go/mautrix/bridgev2/matrix/mxmain"

	"teamsbridge/bridge/check"
)

// exampleHomeserver is the address in the framework's example.
const exampleHomeserver = "http://example.localhost:8008"

// loadForCheck reads the configuration as a start does, but saves nothing and
// says everything that is wrong with it. ok is false where the file can't be
// used at all.
func (c *Connector) loadForCheck(path string, area *check.Area) (ok bool) {
	source, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		area.Wrong("file", path+" does not exist", "write an example with `teamsbridge -e -c "+path+"` and fill it in")
		return false
	case err != nil:
		area.Wrong("file", fmt.Sprintf("%s can't be read: %v", path, err), "run this as the user that the bridge runs as, or let that user read the file")
		return false
	}
	looseMode(path, area)
	var given yaml.Node
	if err = yaml.Unmarshal(source, &given); err != nil {
		area.Wrong("yaml", fmt.Sprintf("%s is not YAML: %s", path, yamlProblem(err)), "mend the line; indent with spaces and put texts with : or # into quotes")
		return false
	}
	base, err := fullExample(exampleNetworkConfig, c.GetName())
	if err != nil {
		area.Wrong("example", err.Error(), "this is a mistake of the bridge, report it")
		return false
	}
	network := &up.ProxyUpgrader{Target: networkUpgrader(newEncryptionKey), Prefix: []string{"network"}}
	full, _, err := up.Do(path, false, up.MergeUpgraders(base, network, bridgeconfig.Upgrader))
	if err != nil {
		area.Wrong("yaml", fmt.Sprintf("%s can't be brought up to date: %v", path, err), "compare it with the example of `teamsbridge -e`")
		return false
	}
	var current yaml.Node
	if err = yaml.Unmarshal(full, &current); err != nil {
		area.Wrong("yaml", err.Error(), "compare it with the example of `teamsbridge -e`")
		return false
	}
	unknown, misshapen := compareKeys(root(&given), root(&current), nil)
	for _, key := range unknown {
		area.Doubt("unknown-key", fmt.Sprintf("%s is not a key of the configuration and is ignored", key), "look for its right name in the example of `teamsbridge -e`, or remove it")
	}
	for _, key := range misshapen {
		area.Doubt("shape", fmt.Sprintf("%s is not written as it has to be and is ignored", key), "write it as the example of `teamsbridge -e` does: a text, a list or a map")
	}
	return c.decodeForCheck(full, area)
}

// decodeForCheck fills the two halves of the configuration.
func (c *Connector) decodeForCheck(full []byte, area *check.Area) bool {
	var cfg bridgeconfig.Config
	if err := yaml.Unmarshal(full, &cfg); err != nil {
		area.Wrong("value", yamlProblem(err), "write the value as the example of `teamsbridge -e` does")
		return false
	}
	if err := cfg.Network.Decode(&c.Config); err != nil {
		area.Wrong("value", yamlProblem(err), "write the value as the example of `teamsbridge -e` does")
		return false
	}
	cfg.Bridge.Backfill = cfg.Backfill
	if prefix := cfg.EnvConfigPrefix; prefix != "" {
		if err := mxmain.UpdateConfigFromEnv(&cfg, &c.Config, prefix); err != nil {
			area.Wrong("environment", fmt.Sprintf("an environment variable that begins with %s can't be used: %v", prefix, err),
				"write the key in capitals, with __ between its levels")
			return false
		}
	}
	c.main.Config, c.main.SaveConfig = &cfg, true
	return true
}

// looseMode warns of a file with secrets that others on the machine can read.
func looseMode(path string, area *check.Area) {
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o007 != 0 {
		area.Doubt("file-mode", fmt.Sprintf("%s holds secrets and everybody on this machine may use it (%s)", path, info.Mode().Perm()), "chmod 600 "+path)
	}
}

func root(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		return n.Content[0]
	}
	return n
}

// compareKeys returns the keys that an upgrade of the file leaves out because
// nothing knows them, and those whose value it does not take.
func compareKeys(given, current *yaml.Node, path []string) (unknown, misshapen []string) {
	known := map[string]*yaml.Node{}
	for i := 0; i+1 < len(current.Content); i += 2 {
		known[current.Content[i].Value] = current.Content[i+1]
	}
	for i := 0; i+1 < len(given.Content); i += 2 {
		path := append(slices.Clone(path), given.Content[i].Value)
		name, value := strings.Join(path, "."), given.Content[i+1]
		mine, ok := known[given.Content[i].Value]
		switch isNull := value.Tag == "!!null"; {
		case !ok:
			unknown = append(unknown, name)
		case mine.Kind == yaml.MappingNode && value.Kind == yaml.MappingNode:
			u, m := compareKeys(value, mine, path)
			unknown, misshapen = append(unknown, u...), append(misshapen, m...)
		case mine.Kind != value.Kind && !isNull:
			misshapen = append(misshapen, name)
		}
	}
	return unknown, misshapen
}

var quotedValue = regexp.MustCompile("`[^`]*`")

// yamlProblem is a YAML error without the value, which may be a secret.
func yamlProblem(err error) string {
	var typed *yaml.TypeError
	if !errors.As(err, &typed) {
		return strings.TrimPrefix(err.Error(), "yaml: ")
	}
	return quotedValue.ReplaceAllString(strings.Join(typed.Errors, "; "), "a value")
}

// checkConfig says what is wrong with the values of the configuration.
func (c *Connector) checkConfig(area *check.Area) {
	for _, err := range apart(c.frameworkMistakes()) {
		area.Wrong("framework", err.Error(), "see the comments of the example of `teamsbridge -e`")
	}
	for _, err := range apart(c.ValidateConfig()) {
		var wrong *ConfigError
		if !errors.As(err, &wrong) {
			area.Wrong("value", err.Error(), "see the comments of the example of `teamsbridge -e`")
			continue
		}
		text := *wrong
		text.Fix = ""
		area.Wrong("value", strings.TrimSuffix(text.Error(), ": "), wrong.Fix)
	}
	if area.OK() {
		area.Right("value", "every key has a value that can be used")
	}
}

// frameworkMistakes are those for which the framework refuses to start; it
// keeps its own list to itself.
func (c *Connector) frameworkMistakes() error {
	cfg := c.main.Config
	const generated = "This value is generated when generating the registration"
	var errs []error
	wrong := func(is bool, text string) {
		if is {
			errs = append(errs, errors.New(text))
		}
	}
	wrong(cfg.Homeserver.Address == "" || cfg.Homeserver.Address == exampleHomeserver, "homeserver.address is not set")
	wrong(cfg.Homeserver.Domain == "" || cfg.Homeserver.Domain == "example.com", "homeserver.domain is not set")
	wrong(!bridgeconfig.AllowedHomeserverSoftware[cfg.Homeserver.Software], "homeserver.software is none of standard, asmux and hungry")
	wrong(cfg.AppService.ASToken == generated || cfg.AppService.HSToken == generated, "appservice.as_token and hs_token are not set: make the registration with `teamsbridge -g -r registration.yaml`")
	wrong(cfg.Database.URI == "postgres://user:password@host/database?sslmode=disable", "database.uri is not set")
	wrong(!cfg.Bridge.Permissions.IsConfigured(), "bridge.permissions is not set: nobody could use the bridge")
	wrong(!strings.Contains(cfg.AppService.FormatUsername("1234567890"), "1234567890"), "appservice.username_template has no {{.}} for the person's id")
	return errors.Join(errs...)
}

// apart takes joined errors apart.
func apart(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, one := range joined.Unwrap() {
		out = append(out, apart(one)...)
	}
	return out
}

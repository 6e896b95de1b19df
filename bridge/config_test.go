package bridge

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	up "go.mau.fi/util/configupgrade"
	"gopkg.in/yaml.v3"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
)

var update = flag.Bool("update", false, "rewrite the generated files")

// validConfig is the example with what an operator has to fill in.
func validConfig(t *testing.T) *Config {
	t.Helper()
	var cfg Config
	require.NoError(t, yaml.Unmarshal([]byte(exampleNetworkConfig), &cfg))
	cfg.TenantID = "11111111-2222-3333-4444-555555555555"
	cfg.ClientID = "66666666-7777-8888-9999-000000000000"
	cfg.ClientSecret = "secret"
	cfg.EncryptionKey = newEncryptionKey()
	cfg.Webhook.Enabled = true
	cfg.Webhook.PublicURL = "https://bridge.corp.example/teams"
	return &cfg
}

func TestConfigValid(t *testing.T) {
	require.NoError(t, validConfig(t).Validate())
	web := validConfig(t)
	web.WebLogin = WebLoginConfig{Enabled: true, Listen: "127.0.0.1:29320", PublicURL: "https://bridge.corp.example/signin"}
	require.NoError(t, web.Validate())
	local := validConfig(t)
	local.Webhook.PublicURL = "http://127.0.0.1:1234"
	require.NoError(t, local.Validate())
	poll := validConfig(t)
	poll.Webhook = WebhookConfig{Scope: ScopeTenant}
	poll.Poller.Mode = ModeContinuous
	require.NoError(t, poll.Validate())
}

func TestConfigMistakes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("\n"), 0o600))
	missing := filepath.Join(t.TempDir(), "missing")
	for _, tc := range []struct {
		name  string
		key   string
		spoil func(c *Config)
	}{
		{"no tenant", "tenant_id", func(c *Config) { c.TenantID = "" }},
		{"tenant's name", "tenant_id", func(c *Config) { c.TenantID = "corp.onmicrosoft.com" }},
		{"no client", "client_id", func(c *Config) { c.ClientID = "" }},
		{"client's name", "client_id", func(c *Config) { c.ClientID = "teamsbridge" }},
		{"no credential", "client_secret", func(c *Config) { c.ClientSecret = "" }},
		{"secret twice", "client_secret", func(c *Config) { c.ClientSecretFile = file }},
		{"secret file missing", "client_secret_file", func(c *Config) { c.ClientSecret, c.ClientSecretFile = "", missing }},
		{"secret file empty", "client_secret_file", func(c *Config) { c.ClientSecret, c.ClientSecretFile = "", file }},
		{"secret and certificate", "certificate_file", func(c *Config) { c.CertificateFile = file }},
		{"certificate missing", "certificate_file", func(c *Config) { c.ClientSecret, c.CertificateFile = "", missing }},
		{"key without certificate", "certificate_key_file", func(c *Config) { c.CertificateKeyFile = file }},
		{"certificate password twice", "certificate_password", func(c *Config) { c.CertificatePassword, c.CertificatePasswordFile = "a", file }},
		{"certificate password file missing", "certificate_password_file", func(c *Config) { c.CertificatePasswordFile = missing }},
		{"unknown cloud", "cloud", func(c *Config) { c.Cloud = "mars" }},
		{"half of endpoints", "endpoints", func(c *Config) { c.Endpoints.Login = "https://login.example" }},
		{"endpoint without TLS", "endpoints.graph", func(c *Config) {
			c.Endpoints = EndpointsConfig{Login: "https://login.example", Graph: "http://graph.example"}
		}},
		{"sign-in without TLS", "endpoints.login", func(c *Config) {
			c.Endpoints = EndpointsConfig{Login: "login.example", Graph: "https://graph.example"}
		}},
		{"hosts without endpoints", "endpoints.hosts", func(c *Config) { c.Endpoints.Hosts = []string{"a.example"} }},
		{"host with a scheme", "endpoints.hosts", func(c *Config) {
			c.Endpoints = EndpointsConfig{Login: "https://l.example", Graph: "https://g.example", Hosts: []string{"https://a.example"}}
		}},
		{"CA file empty", "ca_file", func(c *Config) { c.CAFile = file }},
		{"CA file missing", "ca_file", func(c *Config) { c.CAFile = missing }},
		{"proxy without scheme", "proxy", func(c *Config) { c.Proxy = "proxy:3128" }},
		{"short key", "encryption_key", func(c *Config) { c.EncryptionKey = "short" }},
		{"no key", "encryption_key", func(c *Config) { c.EncryptionKey = "" }},
		{"key twice", "encryption_key", func(c *Config) { c.EncryptionKeyFile = file }},
		{"key file missing", "encryption_key_file", func(c *Config) { c.EncryptionKey, c.EncryptionKeyFile = "", missing }},
		{"key before twice", "encryption_key_previous", func(c *Config) { c.EncryptionKeyPrevious, c.EncryptionKeyPreviousFile = "a", file }},
		{"key before missing", "encryption_key_previous_file", func(c *Config) { c.EncryptionKeyPreviousFile = missing }},
		{"short key before", "encryption_key_previous", func(c *Config) { c.EncryptionKeyPrevious = "short" }},
		{"key before in use", "encryption_key_previous", func(c *Config) { c.EncryptionKeyPrevious = c.EncryptionKey }},
		{"nothing included", "teams.include", func(c *Config) { c.Teams.Include = nil }},
		{"a rule for all", "teams.rules[1]", func(c *Config) { c.Teams.Rules = []SelectionRule{{Mirror: true}} }},
		{"a rule by a visibility that there is not", "teams.rules[2]", func(c *Config) {
			c.Teams.Rules = []SelectionRule{{Name: "x"}, {Visibility: "secret"}}
		}},
		{"a rule by a group's name", "teams.rules[1]", func(c *Config) { c.Teams.Rules = []SelectionRule{{MemberOf: "Staff"}} }},
		{"people of a group by name", "mapping.members_of", func(c *Config) { c.Mapping.MembersOf = []string{"Staff"} }},
		{"empty team name", "teams.include", func(c *Config) { c.Teams.Include = []string{" "} }},
		{"empty exclusion", "teams.exclude", func(c *Config) { c.Teams.Exclude = []string{""} }},
		{"team without channels", "teams.channels", func(c *Config) { c.Teams.Channels = map[string][]string{"Sales": nil} }},
		{"empty channel name", "teams.channels.Sales", func(c *Config) { c.Teams.Channels = map[string][]string{"Sales": {""}} }},
		{"empty channel exclusion", "teams.exclude_channels.Sales", func(c *Config) { c.Teams.ExcludeChannels = map[string][]string{"Sales": {""}} }},
		{"no membership type", "teams.membership_types", func(c *Config) { c.Teams.MembershipTypes = nil }},
		{"wrong membership type", "teams.membership_types", func(c *Config) { c.Teams.MembershipTypes = []string{"public"} }},
		{"wrong attribute", "mapping.attribute", func(c *Config) { c.Mapping.Attribute = "phone" }},
		{"broken template", "mapping.template", func(c *Config) { c.Mapping.Template = "{{.Local" }},
		{"unknown field", "mapping.template", func(c *Config) { c.Mapping.Template = "{{.Phone}}" }},
		{"constant template", "mapping.template", func(c *Config) { c.Mapping.Template = "staff" }},
		{"impossible template", "mapping.template", func(c *Config) { c.Mapping.Template = "{{.UPN}}" }},
		{"domain with scheme", "mapping.domain", func(c *Config) { c.Mapping.Domain = "https://corp.example" }},
		{"exceptions that are missing", "mapping.overrides_file", func(c *Config) { c.Mapping.OverridesFile = missing }},
		{"exceptions that are empty", "mapping.overrides_file", func(c *Config) { c.Mapping.OverridesFile = file }},
		{"override without server", "mapping.overrides", func(c *Config) { c.Mapping.Overrides = map[string]string{"a@b": "jane"} }},
		{"wrong join", "rooms.join", func(c *Config) { c.Rooms.Join = "some" }},
		{"no join", "rooms.join", func(c *Config) { c.Rooms.Join = "" }},
		{"active at no time", "rooms.active_days", func(c *Config) { c.Rooms.ActiveDays = 0 }},
		{"active at any time", "rooms.active_days", func(c *Config) { c.Rooms.ActiveDays = 5000 }},
		{"open to the world", "rooms.join_rule", func(c *Config) { c.Rooms.JoinRule = "public" }},
		{"readable by the world", "rooms.history_visibility", func(c *Config) { c.Rooms.HistoryVisibility = "world_readable" }},
		{"power to a name", "rooms.power_levels", func(c *Config) { c.Rooms.PowerLevels = map[string]int{"jane": 100} }},
		{"too much power", "rooms.power_levels", func(c *Config) { c.Rooms.PowerLevels = map[string]int{"@jane:corp.example": 101} }},
		{"rules for nobody", "rooms.teams", func(c *Config) { c.Rooms.Teams = map[string]TeamRoomsConfig{" ": {}} }},
		{"wrong join of a team", "rooms.teams.Sales", func(c *Config) { c.Rooms.Teams = map[string]TeamRoomsConfig{"Sales": {Join: "none"}} }},
		{"wrong power in a team", "rooms.teams.Sales", func(c *Config) {
			c.Rooms.Teams = map[string]TeamRoomsConfig{"Sales": {PowerLevels: map[string]int{"@jane:corp.example": -1}}}
		}},
		{"no joins", "limits.joins_per_second", func(c *Config) { c.Limits.JoinsPerSecond = 0 }},
		{"negative history", "history", func(c *Config) { c.History = -1 }},
		{"directory too often", "directory_interval", func(c *Config) { c.DirectoryInterval = time.Second }},
		{"webhook without port", "webhook.listen", func(c *Config) { c.Webhook.Listen = "localhost" }},
		{"webhook without TLS", "webhook.public_url", func(c *Config) { c.Webhook.PublicURL = "http://bridge.example" }},
		{"web sign-in without port", "web_login.listen", func(c *Config) {
			c.WebLogin = WebLoginConfig{Enabled: true, Listen: "here", PublicURL: "https://bridge.example"}
		}},
		{"web sign-in without TLS", "web_login.public_url", func(c *Config) {
			c.WebLogin = WebLoginConfig{Enabled: true, Listen: ":1", PublicURL: "http://bridge.example"}
		}},
		{"web sign-in with a query", "web_login.public_url", func(c *Config) {
			c.WebLogin = WebLoginConfig{Enabled: true, Listen: ":1", PublicURL: "https://bridge.example/?a=b"}
		}},
		{"web sign-in on the webhook", "web_login.listen", func(c *Config) {
			c.WebLogin = WebLoginConfig{Enabled: true, Listen: c.Webhook.Listen, PublicURL: "https://bridge.example"}
		}},
		{"metrics for browsers", "metrics.listen", func(c *Config) {
			c.WebLogin = WebLoginConfig{Enabled: true, Listen: ":1", PublicURL: "https://bridge.example"}
			c.Metrics.Listen = ":1"
		}},
		{"wrong scope", "webhook.scope", func(c *Config) { c.Webhook.Scope = "team" }},
		{"wrong mode", "poller.mode", func(c *Config) { c.Poller.Mode = "always" }},
		{"nothing brings messages", "poller.mode", func(c *Config) { c.Webhook.Enabled = false }},
		{"too fast", "poller.interval", func(c *Config) { c.Poller.Interval = time.Millisecond }},
		{"no reader", "poller.readers", func(c *Config) { c.Poller.Readers = nil }},
		{"unknown reader", "poller.readers", func(c *Config) { c.Poller.Readers = []string{"rss"} }},
		{"reader twice", "poller.readers", func(c *Config) { c.Poller.Readers = []string{"list", "list"} }},
		{"no budget", "poller.requests_per_second", func(c *Config) { c.Poller.RequestsPerSecond = 0 }},
		{"reconciles all the time", "poller.reconcile_interval", func(c *Config) { c.Poller.ReconcileInterval = time.Second }},
		{"redactions by guess", "redactions", func(c *Config) { c.Redactions = "pull" }},
		{"redactions by nothing", "redactions", func(c *Config) { c.Redactions = "" }},
		{"custom reactions by icon", "custom_reactions", func(c *Config) { c.CustomReactions = "icon" }},
		{"no patience", "limits.redaction_wait", func(c *Config) { c.Limits.RedactionWait = 0 }},
		{"no rooms", "limits.rooms_per_second", func(c *Config) { c.Limits.RoomsPerSecond = 0 }},
		{"no images", "limits.image_size", func(c *Config) { c.Limits.ImageSize = 0 }},
		{"negative files", "limits.file_size", func(c *Config) { c.Limits.FileSize = -1 }},
		{"files from anywhere", "endpoints.files", func(c *Config) { c.Endpoints.Files = []string{"*"} }},
		{"metrics without port", "metrics.listen", func(c *Config) { c.Metrics.Listen = "here" }},
		{"metrics in public", "metrics.listen", func(c *Config) { c.Metrics.Listen = c.Webhook.Listen }},
		{"status page without port", "status_page.listen", func(c *Config) {
			c.StatusPage = StatusPageConfig{Enabled: true, Listen: "here", PublicURL: "https://x.example"}
		}},
		{"status page in public", "status_page.listen", func(c *Config) {
			c.StatusPage = StatusPageConfig{Enabled: true, Listen: c.Webhook.Listen, PublicURL: "https://x.example"}
		}},
		{"status page in clear", "status_page.public_url", func(c *Config) {
			c.StatusPage = StatusPageConfig{Enabled: true, Listen: "127.0.0.1:29321", PublicURL: "http://x.example"}
		}},
		{"unknown policy", "outage.policy", func(c *Config) { c.Outage.Policy = "some" }},
		{"no digest threshold", "outage.digest_above", func(c *Config) { c.Outage.DigestAbove = 0 }},
		{"negative age", "outage.max_age", func(c *Config) { c.Outage.MaxAge = Age(-time.Hour) }},
		{"age without a unit", "outage.max_age", func(c *Config) { c.Outage.MaxAge = 48 }},
		{"unknown policy of a team", "outage.teams.Sales", func(c *Config) {
			c.Outage.Teams = map[string]TeamOutageConfig{"Sales": {Policy: "some"}}
		}},
		{"short age of a team", "outage.teams.Sales", func(c *Config) {
			age := Age(time.Second)
			c.Outage.Teams = map[string]TeamOutageConfig{"Sales": {MaxAge: &age}}
		}},
		{"team without a name", "outage.teams", func(c *Config) {
			c.Outage.Teams = map[string]TeamOutageConfig{" ": {Policy: "none"}}
		}},
		{"words as a reaction", "outage.reaction", func(c *Config) { c.Outage.Reaction = "waits for Teams" }},
		{"language without texts", "language", func(c *Config) { c.Language = "tlh" }},
		{"no zone", "time_zone", func(c *Config) { c.TimeZone = "Europe/Atlantis" }},
		{"room's alias", "ops_room", func(c *Config) { c.OpsRoom = "#ops:corp.example" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := validConfig(t)
			tc.spoil(cfg)
			err := cfg.Validate()
			require.Error(t, err)
			var ce *ConfigError
			require.ErrorAs(t, err, &ce)
			require.Equal(t, tc.key, ce.Key, err.Error())
			require.Contains(t, err.Error(), "network."+tc.key)
			require.NotEmpty(t, ce.Fix, "an error must say how to mend it")
		})
	}
}

func TestConfigErrorsAreAllNamed(t *testing.T) {
	cfg := validConfig(t)
	cfg.TenantID, cfg.History, cfg.Cloud = "", -1, "mars"
	err := cfg.Validate()
	for _, key := range []string{"network.tenant_id", "network.history", "network.cloud"} {
		require.ErrorContains(t, err, key)
	}
}

func TestFrameworkSettingsThatBreakPromisesAreRefused(t *testing.T) {
	for key, spoil := range map[string]func(c *bridgeconfig.Config){
		"bridge.split_portals":             func(c *bridgeconfig.Config) { c.Bridge.SplitPortals = true },
		"bridge.async_events":              func(c *bridgeconfig.Config) { c.Bridge.AsyncEvents = true },
		"appservice.async_transactions":    func(c *bridgeconfig.Config) { c.AppService.AsyncTransactions = true },
		"bridge.cleanup_on_logout.enabled": func(c *bridgeconfig.Config) { c.Bridge.CleanupOnLogout.Enabled = true },
		"direct_media.enabled":             func(c *bridgeconfig.Config) { c.DirectMedia.Enabled = true },
	} {
		var cfg bridgeconfig.Config
		require.NoError(t, validateFramework(&cfg))
		spoil(&cfg)
		err := validateFramework(&cfg)
		require.ErrorContains(t, err, key+" is true")
		require.NotContains(t, err.Error(), "network.")
	}
}

// TestUpgradeKeepsEveryKey sets every key to something else than the example's
// value and finds it again after an upgrade.
func TestUpgradeKeepsEveryKey(t *testing.T) {
	var node map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(exampleNetworkConfig), &node))
	changed := changeAll(node).(map[string]any)
	out := upgrade(t, changed)
	require.Equal(t, changed, out["network"])
}

func changeAll(value any) any {
	switch v := value.(type) {
	case map[string]any:
		if len(v) == 0 {
			return map[string]any{"x": "y"}
		}
		out := map[string]any{}
		for key, sub := range v {
			out[key] = changeAll(sub)
		}
		return out
	case []any:
		return []any{"other"}
	case bool:
		return !v
	case int:
		return v + 1
	case string:
		return v + "x"
	default:
		return value
	}
}

func upgrade(t *testing.T, network map[string]any) map[string]any {
	t.Helper()
	data, err := yaml.Marshal(map[string]any{"network": network})
	require.NoError(t, err)
	return upgradeFile(t, string(data))
}

func upgradeFile(t *testing.T, text string) map[string]any {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	base, err := fullExample(exampleNetworkConfig, networkName())
	require.NoError(t, err)
	proxied := &up.ProxyUpgrader{Target: networkUpgrader(func() string { return "made" }), Prefix: []string{"network"}}
	out, ok, err := up.Do(file, true, up.MergeUpgraders(base, proxied, bridgeconfig.Upgrader))
	require.NoError(t, err)
	require.True(t, ok)
	var parsed map[string]any
	require.NoError(t, yaml.Unmarshal(out, &parsed))
	return parsed
}

func TestUpgradeGeneratesTheKeyOnce(t *testing.T) {
	get := func(network map[string]any) any {
		return upgrade(t, network)["network"].(map[string]any)["encryption_key"]
	}
	require.Equal(t, "made", get(map[string]any{"encryption_key": "generate"}))
	require.Equal(t, "made", get(map[string]any{}))
	require.Equal(t, "kept", get(map[string]any{"encryption_key": "kept"}))
	require.Equal(t, "", get(map[string]any{"encryption_key": "generate", "encryption_key_file": "/run/secrets/key"}))
}

func TestGeneratedKeyMustBeSaved(t *testing.T) {
	cfg := validConfig(t)
	c := &Connector{Config: *cfg, generatedKey: cfg.EncryptionKey}
	require.NoError(t, c.ValidateConfig())
}

// TestExampleConfig keeps the file for operators equal to what -e writes, and
// both stable under an upgrade.
func TestExampleConfig(t *testing.T) {
	text, err := ExampleConfig()
	require.NoError(t, err)
	const path = "../example-config.yaml"
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	have, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, text, string(have), "run: go test -tags goolm ./bridge -run TestExampleConfig -update")

	var before map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &before))
	after := upgradeFile(t, text)
	for _, generated := range [][]string{
		{"network", "encryption_key"}, {"provisioning", "shared_secret"}, {"public_media", "signing_key"},
		{"direct_media", "server_key"}, {"encryption", "pickle_key"},
	} {
		before[generated[0]].(map[string]any)[generated[1]] = after[generated[0]].(map[string]any)[generated[1]]
	}
	require.Equal(t, before, after, "an upgrade must not change the example")
}

func TestExampleConfigHasOurDefaults(t *testing.T) {
	text, err := ExampleConfig()
	require.NoError(t, err)
	var cfg bridgeconfig.Config
	require.NoError(t, yaml.Unmarshal([]byte(text), &cfg))
	require.False(t, cfg.Bridge.PersonalFilteringSpaces)
	require.False(t, cfg.Bridge.DeduplicateMatrixMessages)
	require.Equal(t, 256, cfg.Bridge.PortalEventBuffer)
	require.False(t, cfg.Bridge.KickMatrixUsers)
	require.True(t, cfg.Matrix.MessageStatusEvents)
	require.True(t, cfg.Matrix.DeliveryReceipts)
	require.False(t, cfg.Matrix.FederateRooms)
	require.Equal(t, "sqlite3-fk-wal-fullsync", cfg.Database.Type)
	require.True(t, strings.Contains(cfg.Database.URI, "_txlock=immediate"))
	require.Equal(t, cfg.Database.MaxOpenConns, cfg.Database.MaxIdleConns)
	require.NoError(t, validateFramework(&cfg))
	require.Equal(t, "!teams", cfg.Bridge.CommandPrefix)
}

func TestConfigErrorUnwraps(t *testing.T) {
	require.ErrorIs(t, &ConfigError{Key: "x", Err: os.ErrNotExist}, os.ErrNotExist)
	require.False(t, errors.Is(&ConfigError{Key: "x"}, os.ErrNotExist))
}

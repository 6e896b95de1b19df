package bridge

import (
	_ "embed"
	"fmt"
	"os"
	"strings"
	"time"
	_ "time/tzdata" // for containers that have none

	"gopkg.in/yaml.v3"

	"teamsbridge/database"
	"teamsbridge/texts"
)

//go:embed example-config.yaml
var exampleNetworkConfig string

// Config is the network section of the configuration file. Its keys are
// explained in example-config.yaml.
type Config struct {
	TenantID                string `yaml:"tenant_id"`
	ClientID                string `yaml:"client_id"`
	ClientSecret            string `yaml:"client_secret"`
	ClientSecretFile        string `yaml:"client_secret_file"`
	ClientSecretExpires     string `yaml:"client_secret_expires"`
	CertificateFile         string `yaml:"certificate_file"`
	CertificateKeyFile      string `yaml:"certificate_key_file"`
	CertificatePassword     string `yaml:"certificate_password"`
	CertificatePasswordFile string `yaml:"certificate_password_file"`

	Cloud     string          `yaml:"cloud"`
	Endpoints EndpointsConfig `yaml:"endpoints"`
	CAFile    string          `yaml:"ca_file"`
	Proxy     string          `yaml:"proxy"`

	EncryptionKey     string `yaml:"encryption_key"`
	EncryptionKeyFile string `yaml:"encryption_key_file"`

	EncryptionKeyPrevious     string `yaml:"encryption_key_previous"`
	EncryptionKeyPreviousFile string `yaml:"encryption_key_previous_file"`

	Teams             SelectionConfig  `yaml:"teams"`
	Mapping           MappingConfig    `yaml:"mapping"`
	Rooms             RoomsConfig      `yaml:"rooms"`
	History           int              `yaml:"history"`
	DirectoryInterval time.Duration    `yaml:"directory_interval"`
	Redactions        string           `yaml:"redactions"`
	Webhook           WebhookConfig    `yaml:"webhook"`
	WebLogin          WebLoginConfig   `yaml:"web_login"`
	Poller            PollerConfig     `yaml:"poller"`
	Limits            LimitsConfig     `yaml:"limits"`
	Outage            OutageConfig     `yaml:"outage"`
	Metrics           MetricsConfig    `yaml:"metrics"`
	Audit             AuditConfig      `yaml:"audit"`
	StatusPage        StatusPageConfig `yaml:"status_page"`
	OpsRoom           string           `yaml:"ops_room"`
	// Language and TimeZone are those of what the bridge itself says in rooms and
	// in Teams.
	Language string `yaml:"language"`
	TimeZone string `yaml:"time_zone"`
	// CustomReactions says how an organisation's own emoji show in reactions.
	CustomReactions string `yaml:"custom_reactions"`
}

// EndpointsConfig replaces a named cloud's addresses.
type EndpointsConfig struct {
	Login string   `yaml:"login"`
	Graph string   `yaml:"graph"`
	Hosts []string `yaml:"hosts"`
	Files []string `yaml:"files"`
}

// SelectionConfig says which teams and channels are mirrored.
type SelectionConfig struct {
	Rules           []SelectionRule     `yaml:"rules"`
	Include         []string            `yaml:"include"`
	Exclude         []string            `yaml:"exclude"`
	Channels        map[string][]string `yaml:"channels"`
	ExcludeChannels map[string][]string `yaml:"exclude_channels"`
	MembershipTypes []string            `yaml:"membership_types"`
}

// SelectionRule selects or leaves out the teams for which all holds that it names.
type SelectionRule struct {
	Mirror bool `yaml:"mirror"`
	// Name, Mail and Label are patterns; Mail is of an address or of its part
	// before the @, Label of a label's name or its id.
	Name       string `yaml:"name"`
	Mail       string `yaml:"mail"`
	Label      string `yaml:"label"`
	Visibility string `yaml:"visibility"`
	// MemberOf is the id of a group of the directory that the team's group is in.
	MemberOf string `yaml:"member_of"`
}

// MappingConfig says which Matrix account belongs to which person.
type MappingConfig struct {
	Attribute string            `yaml:"attribute"`
	Template  string            `yaml:"template"`
	Domain    string            `yaml:"domain"`
	Overrides map[string]string `yaml:"overrides"`
	// OverridesFile is a CSV file with more of them.
	OverridesFile string `yaml:"overrides_file"`
	Guests        bool   `yaml:"guests"`
	// MembersOf are ids of groups of the directory: only who is in one of them is
	// mapped, where there are any.
	MembersOf []string `yaml:"members_of"`
}

// WebhookConfig is about change notifications.
type WebhookConfig struct {
	Enabled      bool   `yaml:"enabled"`
	Listen       string `yaml:"listen"`
	PublicURL    string `yaml:"public_url"`
	Scope        string `yaml:"scope"`
	ResourceData bool   `yaml:"resource_data"`
}

// WebLoginConfig is about people's sign-in on a web page.
type WebLoginConfig struct {
	Enabled   bool   `yaml:"enabled"`
	Listen    string `yaml:"listen"`
	PublicURL string `yaml:"public_url"`
}

// PollerConfig is about reading from Graph.
type PollerConfig struct {
	Mode              string        `yaml:"mode"`
	Interval          time.Duration `yaml:"interval"`
	Readers           []string      `yaml:"readers"`
	RequestsPerSecond float64       `yaml:"requests_per_second"`
	ReconcileInterval time.Duration `yaml:"reconcile_interval"`
}

// LimitsConfig bounds what the bridge does at once.
type LimitsConfig struct {
	RoomsPerSecond float64 `yaml:"rooms_per_second"`
	// JoinsPerSecond is how many people are brought into rooms in a second.
	JoinsPerSecond float64 `yaml:"joins_per_second"`
	ImageSize      int64   `yaml:"image_size"`
	// FileSize is the most bytes of a file that is copied, 0 for none at all.
	FileSize int64 `yaml:"file_size"`
	// RedactionWait is how long a redaction waits for an event that the
	// homeserver has not sent yet.
	RedactionWait time.Duration `yaml:"redaction_wait"`
}

// OutageConfig says what becomes of what is written while Teams is unavailable.
type OutageConfig struct {
	// Policy is one of portal's policies; MaxAge is from when on a message does
	// not go to Teams any more, 0 is never.
	Policy string `yaml:"policy"`
	MaxAge Age    `yaml:"max_age"`
	// DigestAbove is above how many waiting messages the late ones of a
	// conversation go as a digest, where that is the policy.
	DigestAbove int `yaml:"digest_above"`
	// Teams are teams, by name or id, for which something else holds.
	Teams map[string]TeamOutageConfig `yaml:"teams"`
	// Reaction marks messages that wait.
	Reaction string `yaml:"reaction"`
}

// TeamOutageConfig is what holds for one team; what it leaves out is as for all.
type TeamOutageConfig struct {
	Policy string `yaml:"policy"`
	MaxAge *Age   `yaml:"max_age"`
}

// Age is a duration that can be written as 0.
type Age time.Duration

// UnmarshalYAML implements yaml.Unmarshaler.
func (a *Age) UnmarshalYAML(node *yaml.Node) error {
	d, err := time.ParseDuration(node.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is no duration such as 48h, nor 0", node.Line, node.Value)
	}
	*a = Age(d)
	return nil
}

// MetricsConfig is about Prometheus metrics.
type MetricsConfig struct {
	Listen string `yaml:"listen"`
}

// The values of configuration keys that are words.
const (
	ScopeTenant  = "tenant"
	ScopeChannel = "channel"

	ModeCatchUp    = "catchup"
	ModeContinuous = "continuous"

	ReactionsByName    = "name"
	ReactionsByPicture = "picture"

	generateKey = "generate"
)

// zone is the zone in which people are told times, nil for UTC.
func (c *Config) zone() (*time.Location, error) {
	if c.TimeZone == "" {
		return nil, nil
	}
	return time.LoadLocation(c.TimeZone)
}

// texts is what people are told in.
func (c *Config) texts() (texts.Texts, error) {
	zone, err := c.zone()
	if err != nil {
		return texts.Texts{}, fmt.Errorf("network.time_zone: %w", err)
	}
	return texts.For(c.Language, zone)
}

// secrets are the values that may stand in the file or in a file of their own.
type secrets struct {
	clientSecret        string
	certificatePassword string
	encryptionKey       string
	// previousKeys open what was sealed before the key in use.
	previousKeys []string
}

// sealer seals what must not be readable in a copy of the database.
func (s secrets) sealer() (database.Sealer, error) {
	return database.NewSealer(s.encryptionKey, s.previousKeys...)
}

// keyNames names the encryption keys that there are, for people who look for one.
func (s secrets) keyNames() string {
	name := func(secret string) string {
		id, err := database.KeyID(secret)
		if err != nil {
			return "too short"
		}
		return id
	}
	if s.encryptionKey == "" {
		return "there is no encryption_key"
	}
	names := "encryption_key is " + name(s.encryptionKey)
	for _, previous := range s.previousKeys {
		names += ", in encryption_key_previous is " + name(previous)
	}
	return names
}

// loadSecrets reads the x_file halves of x / x_file pairs.
func (c *Config) loadSecrets() (secrets, error) {
	var s secrets
	var previous string
	for _, pair := range []struct {
		key, value, file string
		into             *string
	}{
		{"client_secret", c.ClientSecret, c.ClientSecretFile, &s.clientSecret},
		{"certificate_password", c.CertificatePassword, c.CertificatePasswordFile, &s.certificatePassword},
		{"encryption_key", c.EncryptionKey, c.EncryptionKeyFile, &s.encryptionKey},
		{"encryption_key_previous", c.EncryptionKeyPrevious, c.EncryptionKeyPreviousFile, &previous},
	} {
		*pair.into = pair.value
		if pair.file == "" {
			continue
		}
		data, err := os.ReadFile(pair.file)
		if err != nil {
			return s, &ConfigError{pair.key + "_file", "can't be read", "name a file that the bridge's user may read", err}
		}
		*pair.into = strings.TrimSpace(string(data))
		if *pair.into == "" {
			return s, &ConfigError{pair.key + "_file", "is empty", "put the value into the file", nil}
		}
	}
	s.previousKeys = strings.Fields(previous)
	return s, nil
}

// ConfigError says which key of the configuration is wrong and how to mend it.
type ConfigError struct {
	// Key is the key's path below network, or an absolute one with a colon in front.
	Key string
	// Problem is what is wrong with the value, Fix what to do about it.
	Problem, Fix string
	Err          error
}

// Error implements error.
func (e *ConfigError) Error() string {
	key := "network." + e.Key
	if rest, ok := strings.CutPrefix(e.Key, ":"); ok {
		key = rest
	}
	if e.Err != nil {
		return fmt.Sprintf("%s %s (%v): %s", key, e.Problem, e.Err, e.Fix)
	}
	return fmt.Sprintf("%s %s: %s", key, e.Problem, e.Fix)
}

// Unwrap returns the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

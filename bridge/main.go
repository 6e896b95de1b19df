package bridge

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"gopkg.in/yaml.v3"
	flag "maunium.net/go/mauflag"

	up "go.mau.fi/util/configupgrade"
	"go.mau.fi/util/random"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	"maunium.net/go/mautrix/bridgev2/matrix/mxmain"

	"teamsbridge/database"
)

// Run is the bridge as a program: flags, configuration, start, and stop on a
// signal. main must have filled Name, Description, URL and Version.
func Run(m *mxmain.BridgeMain, c *Connector) {
	puppets := flag.MakeFull("d", "double-puppet-registration",
		"Save the registration for double puppeting to the path, put its token into the config and quit (or go on with -g).", "").String()
	m.AdditionalShortFlags = "d"
	m.AdditionalLongFlags = " [-d <path>]"
	keepFilesPrivate()
	m.Connector = c
	c.main = m
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "check":
			os.Exit(runCheck(c, os.Args[2:], os.Stdout, os.Stderr))
		case "plan":
			os.Exit(runPlan(c, os.Args[2:], os.Stdout, os.Stderr))
		case "backup":
			os.Exit(runBackup(c, os.Args[2:], os.Stdout, os.Stderr))
		case "health":
			os.Exit(runHealth(c, os.Args[2:], os.Stdout, os.Stderr))
		}
	}
	m.PostInit = c.postInit
	if exit, code := earlyFlags(m, puppets); exit {
		os.Exit(code)
	}
	m.PreInit()
	m.Config.Database.PoolConfig = database.Fenced(m.Config.Database.PoolConfig)
	m.Init()
	m.Start()
	code := m.WaitForInterrupt()
	m.Stop()
	c.instance.leave()
	os.Exit(code)
}

// earlyFlags handles the flags that the framework would handle without this
// bridge's defaults. Whatever else is on the command line is left to it.
func earlyFlags(m *mxmain.BridgeMain, puppets *string) (exit bool, code int) {
	args := flag.New(os.Args[1:])
	config := args.MakeFull("c", "config", "", "config.yaml").String()
	example := args.MakeFull("e", "generate-example-config", "", "false").Bool()
	registration := args.MakeFull("g", "generate-registration", "", "false").Bool()
	puppetPath := args.MakeFull("d", "double-puppet-registration", "", "").String()
	for _, known := range [][2]string{{"r", "registration"}} {
		args.MakeFull(known[0], known[1], "", "").String()
	}
	for _, known := range [][2]string{{"n", "no-update"}, {"v", "version"}, {"h", "help"}} {
		args.MakeFull(known[0], known[1], "", "false").Bool()
	}
	for _, known := range []string{"version-json", "ignore-unsupported-database", "ignore-foreign-tables", "ignore-unsupported-server"} {
		args.Make().LongKey(known).Default("false").Bool()
	}
	if args.Parse() != nil {
		return false, 0
	}
	var err error
	switch {
	case *example:
		err = writeExample(*config)
	case *puppetPath != "":
		*puppets = *puppetPath
		err = writePuppetRegistration(m, *config, *puppetPath)
		exit = !*registration
	default:
		return false, 0
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return true, 1
	}
	return exit || *example, 0
}

// writeExample is -e: the example config to the path, or to standard output.
func writeExample(path string) error {
	text, err := ExampleConfig()
	if err != nil {
		return err
	}
	if path == "-" || path == "/dev/stdout" {
		fmt.Print(text)
		return nil
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s already exists, please remove it if you want to generate a new example", path)
	} else if err != nil {
		return fmt.Errorf("writing the example config: %w", err)
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("writing the example config: %w", err)
	}
	fmt.Println("Wrote example config to", path)
	return nil
}

// puppetRegistration is a registration that receives no events; its token may
// act as every account of the homeserver.
type puppetRegistration struct {
	ID              string                `yaml:"id"`
	URL             *string               `yaml:"url"`
	ASToken         string                `yaml:"as_token"`
	HSToken         string                `yaml:"hs_token"`
	SenderLocalpart string                `yaml:"sender_localpart"`
	RateLimited     bool                  `yaml:"rate_limited"`
	Namespaces      appservice.Namespaces `yaml:"namespaces"`
}

// writePuppetRegistration is -d: a second registration with which mapped staff
// speak from their own accounts.
func writePuppetRegistration(m *mxmain.BridgeMain, configPath, path string) error {
	data, err := os.ReadFile(configPath)
	if err != nil {
		return fmt.Errorf("reading the config: %w", err)
	}
	var cfg struct {
		Homeserver bridgeconfig.HomeserverConfig `yaml:"homeserver"`
		AppService struct {
			ID string `yaml:"id"`
		} `yaml:"appservice"`
	}
	if err := yaml.Unmarshal(data, &cfg); err != nil {
		return fmt.Errorf("parsing the config: %w", err)
	}
	if cfg.Homeserver.Domain == "" || cfg.Homeserver.Domain == "example.com" {
		return errors.New("homeserver.domain is not set in the config: set it to the server name before making registrations")
	}
	reg := puppetRegistration{
		ID: cfg.AppService.ID + "-doublepuppet", ASToken: random.String(64), HSToken: random.String(64), SenderLocalpart: random.String(32),
		Namespaces: appservice.Namespaces{UserIDs: appservice.NamespaceList{{
			Regex: "@.*:" + regexp.QuoteMeta(cfg.Homeserver.Domain), Exclusive: false,
		}}},
	}
	if out, err := yaml.Marshal(reg); err != nil {
		return fmt.Errorf("making the registration for double puppeting: %w", err)
	} else if err := os.WriteFile(path, out, 0o600); err != nil {
		return fmt.Errorf("saving the registration for double puppeting: %w", err)
	}
	network := &up.ProxyUpgrader{Target: networkUpgrader(newEncryptionKey), Prefix: []string{"network"}}
	base, err := fullExample(exampleNetworkConfig, m.Connector.GetName())
	if err != nil {
		return err
	}
	secret := up.SimpleUpgrader(func(helper up.Helper) { setPuppetSecret(helper, cfg.Homeserver.Domain, reg.ASToken) })
	if _, _, err := up.Do(configPath, true, up.MergeUpgraders(base, network, bridgeconfig.Upgrader), secret); err != nil {
		return fmt.Errorf("saving the config: %w", err)
	}
	fmt.Printf("Registration for double puppeting saved to %s and its token to double_puppet.secrets in %s.\n"+
		"List the file in the homeserver's configuration beside %s's own registration and restart the homeserver.\n",
		path, configPath, filepath.Base(m.Name))
	return nil
}

// setPuppetSecret keeps the other servers' secrets and drops the example's.
func setPuppetSecret(helper up.Helper, domain, token string) {
	secrets := up.YAMLMap{}
	if old := helper.GetNode("double_puppet", "secrets"); old != nil {
		for server, value := range old.Map {
			if server != "example.com" {
				secrets[server] = value
			}
		}
	}
	secrets[domain] = up.StringNode("as_token:" + token)
	helper.SetMap(secrets, "double_puppet", "secrets")
}

func newEncryptionKey() string { return random.String(64) }

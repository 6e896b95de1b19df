package bridge

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	up "go.mau.fi/util/configupgrade"
	"maunium.net/go/mautrix/bridgev2"
	mxdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/matrix/mxmain"
	"maunium.net/go/mautrix/event"

	"teamsbridge/matrix"
	"teamsbridge/portal"
	"teamsbridge/texts"
)

// Connector is the network connector: one tenant's Teams.
type Connector struct {
	Config Config

	graph Graph
	br    *bridgev2.Bridge
	main  *mxmain.BridgeMain
	rt    *runtime
	// homeserver is the homeserver's side, nil where the bridge is embedded without it.
	homeserver *matrix.Connector
	// texts is what people are told in.
	texts texts.Texts
	// instance is this process among those on the database, nil where it looks at
	// things only.
	instance *instance
	// temp is where this process's temporary files are, nil where that is not its own.
	temp *tempFolder
	// generatedKey is the encryption key that this start has made up.
	generatedKey string

	system      atomic.Pointer[bridgev2.UserLogin]
	tenantName  atomic.Pointer[string]
	maxFileSize atomic.Int64
}

var (
	_ bridgev2.NetworkConnector        = (*Connector)(nil)
	_ bridgev2.ConfigValidatingNetwork = (*Connector)(nil)
	_ bridgev2.MaxFileSizeingNetwork   = (*Connector)(nil)
	_ bridgev2.StoppableNetwork        = (*Connector)(nil)
)

// New returns a connector; Run or an embedding test configures and starts it.
func New(graph Graph) *Connector { return &Connector{graph: graph} }

// networkName is what the framework calls the network.
func networkName() bridgev2.BridgeName {
	return bridgev2.BridgeName{
		DisplayName:          "Microsoft Teams",
		NetworkURL:           "https://teams.microsoft.com",
		NetworkID:            "teams",
		BeeperBridgeType:     "teamsbridge",
		DefaultPort:          29317,
		DefaultCommandPrefix: "!teams",
	}
}

// GetName implements bridgev2.NetworkConnector.
func (c *Connector) GetName() bridgev2.BridgeName { return networkName() }

// GetConfig implements bridgev2.NetworkConnector.
func (c *Connector) GetConfig() (string, any, up.Upgrader) {
	return exampleNetworkConfig, &c.Config, networkUpgrader(func() string {
		c.generatedKey = newEncryptionKey()
		return c.generatedKey
	})
}

// ValidateConfig implements bridgev2.ConfigValidatingNetwork.
func (c *Connector) ValidateConfig() error {
	errs := []error{c.Config.Validate()}
	if c.main != nil {
		errs = append(errs, validateFramework(c.main.Config))
		if !c.main.SaveConfig && c.generatedKey != "" && c.Config.EncryptionKey == c.generatedKey {
			errs = append(errs, &ConfigError{Key: "encryption_key", Problem: `is "generate", but the config can't be saved (-n)`,
				Fix: "start once without -n, or set 32 or more random characters (openssl rand -hex 32)"})
		}
	}
	return errors.Join(errs...)
}

// GetDBMetaTypes implements bridgev2.NetworkConnector.
func (c *Connector) GetDBMetaTypes() mxdb.MetaTypes { return portal.MetaTypes() }

// GetCapabilities implements bridgev2.NetworkConnector.
func (c *Connector) GetCapabilities() *bridgev2.NetworkGeneralCapabilities {
	return &bridgev2.NetworkGeneralCapabilities{}
}

// GetBridgeInfoVersion implements bridgev2.NetworkConnector.
func (c *Connector) GetBridgeInfoVersion() (info, capabilities int) { return 1, 1 }

// Init implements bridgev2.NetworkConnector.
func (c *Connector) Init(br *bridgev2.Bridge) {
	c.br = br
	forceFramework(br)
}

// forceFramework sets what the promises of this bridge need and what no
// operator has a reason to set otherwise.
func forceFramework(br *bridgev2.Bridge) {
	br.Config.DeduplicateMatrixMessages = false
	br.Config.PersonalFilteringSpaces = false
	br.Config.KickMatrixUsers = false
	br.Config.PortalEventBuffer = max(br.Config.PortalEventBuffer, 256)
	// The mirror fetches history itself: the framework's backfill would drop
	// what is older than a message that waits to be sent.
	br.Config.Backfill.Enabled = false
}

// postInit wires the parts when the framework has been set up and nothing has
// been started. A mistake in the configuration ends the program here, and a
// second instance waits here.
func (c *Connector) postInit() {
	c.instance = newInstance(c.br.Log)
	c.main.Config.Matrix.MessageStatusEvents = true
	c.main.Config.Matrix.DeliveryReceipts = true
	if err := c.setup(); err != nil {
		c.br.Log.Fatal().Err(err).Msg("Configuration error")
	}
	c.homeserver = matrix.Install(c.main, matrix.Options{
		DB: c.rt.db, Source: c.source, OnUpgraded: c.rt.intake, OnDuplicate: c.rt.duplicated, OnEcho: c.rt.echoed,
		Redactions: c.Config.Redactions, RedactionWait: c.Config.Limits.RedactionWait, OnRedaction: c.rt.metrics.redaction,
		Present: c.rt.present, OnAnswer: c.rt.homeserverAnswer, OnTransaction: c.rt.health.homeserverSpoke,
		Leash: c.instance.leash, OnDelivered: c.rt.shownDelivered, OnDoubt: c.rt.restorer.Doubt, OnRoom: c.rt.rooms.takeOver,
		Words: matrix.Words{
			Reset: c.texts.Say(texts.HelpEncryption), WasReset: c.texts.Say(texts.EncryptionReset), NoEncryption: c.texts.Say(texts.EncryptionNone),
		},
	})
	watch := &optOuts{br: c.br, db: c.rt.db, dir: c.rt.dir, puppetMark: c.main.Matrix.AS.DoublePuppetValue}
	c.main.Matrix.EventProcessor.On(event.StateMember, watch.handle)
	c.rt.monitoring.open()
	c.alone()
	c.ownTempFiles()
}

// setup makes everything that runs and adds the commands.
func (c *Connector) setup() error {
	rt, err := newRuntime(c)
	if err != nil {
		return err
	}
	c.rt = rt
	c.addCommands()
	return nil
}

// Start implements bridgev2.NetworkConnector. It succeeds with Graph down: all
// that it needs is our own database. Everything else starts in run.
func (c *Connector) Start(ctx context.Context) error { return c.ensureSystemLogin(ctx) }

// Stop implements bridgev2.StoppableNetwork.
func (c *Connector) Stop() {
	c.rt.stop()
	c.temp.remove()
}

// puppetServers are the servers on which accounts can be spoken for.
func (c *Connector) puppetServers() map[string]bool {
	servers := map[string]bool{}
	if c.main == nil {
		return servers
	}
	for server, secret := range c.main.Config.DoublePuppet.Secrets {
		if strings.HasPrefix(secret, "as_token:") {
			servers[server] = true
		}
	}
	return servers
}

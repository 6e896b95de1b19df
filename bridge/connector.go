package bridge

import (
	"context"
	"errors"
	"fmt"

	up "go.mau.fi/util/configupgrade"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/matrix/mxmain"
)

// Connector is the network connector: one tenant's Teams.
type Connector struct {
	Config Config

	br   *bridgev2.Bridge
	main *mxmain.BridgeMain
	// generatedKey is the encryption key that this start has made up.
	generatedKey string
}

var (
	_ bridgev2.NetworkConnector        = (*Connector)(nil)
	_ bridgev2.ConfigValidatingNetwork = (*Connector)(nil)
)

// New returns a connector; Run or an embedding test configures and starts it.
func New() *Connector { return &Connector{} }

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
func (c *Connector) GetDBMetaTypes() database.MetaTypes { return database.MetaTypes{} }

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
	br.Config.DeduplicateMatrixMessages = true
	br.Config.PersonalFilteringSpaces = false
	br.Config.KickMatrixUsers = false
	br.Config.PortalEventBuffer = max(br.Config.PortalEventBuffer, 256)
}

func (c *Connector) postInit() {
	c.main.Config.Matrix.MessageStatusEvents = true
	c.main.Config.Matrix.DeliveryReceipts = true
}

// Start implements bridgev2.NetworkConnector. It succeeds with Graph down.
func (c *Connector) Start(context.Context) error { return nil }

// LoadUserLogin implements bridgev2.NetworkConnector.
func (c *Connector) LoadUserLogin(_ context.Context, login *bridgev2.UserLogin) error {
	return fmt.Errorf("login %s has no client yet", login.ID)
}

// GetLoginFlows implements bridgev2.NetworkConnector.
func (c *Connector) GetLoginFlows() []bridgev2.LoginFlow { return nil }

// CreateLogin implements bridgev2.NetworkConnector.
func (c *Connector) CreateLogin(context.Context, *bridgev2.User, string) (bridgev2.LoginProcess, error) {
	return nil, bridgev2.ErrInvalidLoginFlowID
}

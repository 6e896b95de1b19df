package bridge

import (
	"context"
	"errors"
	"fmt"

	"maunium.net/go/mautrix/bridgev2"
	mxdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"

	"teamsbridge/portal"
)

// systemLoginPrefix begins the id of the login that is owned by the bot.
const systemLoginPrefix = "app:"

// SystemClient is the network client of the bot's own login: the source of
// everything that comes from Teams, and the relay for Matrix users who are
// mapped to nobody.
type SystemClient struct{ client }

var (
	_ bridgev2.NetworkAPI                  = (*SystemClient)(nil)
	_ bridgev2.EditHandlingNetworkAPI      = (*SystemClient)(nil)
	_ bridgev2.ReactionHandlingNetworkAPI  = (*SystemClient)(nil)
	_ bridgev2.RedactionHandlingNetworkAPI = (*SystemClient)(nil)
)

func (c *Connector) systemLoginID() networkid.UserLoginID {
	return networkid.UserLoginID(systemLoginPrefix + c.Config.TenantID)
}

// ensureSystemLogin makes the bot's login at the first start.
func (c *Connector) ensureSystemLogin(ctx context.Context) error {
	login, err := c.br.GetExistingUserLoginByID(ctx, c.systemLoginID())
	if err != nil {
		return fmt.Errorf("loading the bridge's own login: %w", err)
	}
	if login == nil {
		// Inserted and loaded instead of made by User.NewLogin: a login that
		// NewLogin makes has no cache of the portals it is in, and bridgev2 then
		// asks the homeserver for the whole room state with every event until
		// the next restart.
		bot, err := c.br.GetUserByMXID(ctx, c.br.Bot.GetMXID())
		if err != nil {
			return fmt.Errorf("loading the bot: %w", err)
		}
		err = c.br.DB.UserLogin.Insert(ctx, &mxdb.UserLogin{
			UserMXID: bot.MXID, ID: c.systemLoginID(), RemoteName: "Tenant mirror", Metadata: &portal.UserLoginMetadata{Mirror: true},
		})
		if err != nil {
			return fmt.Errorf("making the bridge's own login: %w", err)
		}
		if login, err = c.br.GetExistingUserLoginByID(ctx, c.systemLoginID()); err != nil {
			return fmt.Errorf("loading the bridge's own login: %w", err)
		} else if login == nil {
			return errors.New("the bridge's own login can't be loaded")
		}
	}
	c.system.Store(login)
	return nil
}

// Connect implements bridgev2.NetworkAPI: from here on, both sides can be used.
func (s *SystemClient) Connect(context.Context) { s.c.rt.run() }

// Disconnect implements bridgev2.NetworkAPI.
func (s *SystemClient) Disconnect() { s.c.rt.stop() }

// IsLoggedIn implements bridgev2.NetworkAPI. See UserClient.IsLoggedIn.
func (s *SystemClient) IsLoggedIn() bool { return true }

// LogoutRemote implements bridgev2.NetworkAPI.
func (s *SystemClient) LogoutRemote(context.Context) {}

// IsThisUser implements bridgev2.NetworkAPI: the application is nobody.
func (s *SystemClient) IsThisUser(context.Context, networkid.UserID) bool { return false }

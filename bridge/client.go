package bridge

import (
	"context"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"

	"teamsbridge/portal"
)

// client is what the system login and people's logins have in common: both
// see the same tenant and hand what is said in Matrix to the same outbox.
type client struct {
	c     *Connector
	login *bridgev2.UserLogin
	// userID is the person behind the login, empty for the system login.
	userID string
}

// UserClient is the network client of a mapped person. It needs no sign-in:
// whether the person's own account or one of the relay pool writes is decided
// when something is sent.
type UserClient struct{ client }

var (
	_ bridgev2.NetworkAPI                  = (*UserClient)(nil)
	_ bridgev2.NetworkAPIWithUserID        = (*UserClient)(nil)
	_ bridgev2.EditHandlingNetworkAPI      = (*UserClient)(nil)
	_ bridgev2.ReactionHandlingNetworkAPI  = (*UserClient)(nil)
	_ bridgev2.RedactionHandlingNetworkAPI = (*UserClient)(nil)
)

// Connect implements bridgev2.NetworkAPI. Nothing is connected per person.
func (u *UserClient) Connect(context.Context) {}

// Disconnect implements bridgev2.NetworkAPI.
func (u *UserClient) Disconnect() {}

// IsLoggedIn implements bridgev2.NetworkAPI. It is true even without a sign-in
// and in an outage: everything is taken and sent when that is possible.
func (u *UserClient) IsLoggedIn() bool { return true }

// LogoutRemote implements bridgev2.NetworkAPI: the token is forgotten.
func (u *UserClient) LogoutRemote(ctx context.Context) { u.c.forgetAccount(ctx, u.userID) }

// IsThisUser implements bridgev2.NetworkAPI.
func (u *UserClient) IsThisUser(_ context.Context, userID networkid.UserID) bool {
	return userID == portal.UserID(u.userID)
}

// GetUserID implements bridgev2.NetworkAPIWithUserID.
func (u *UserClient) GetUserID() networkid.UserID { return portal.UserID(u.userID) }

// GetCapabilities implements bridgev2.NetworkAPI.
func (k *client) GetCapabilities(ctx context.Context, p *bridgev2.Portal) *event.RoomFeatures {
	return k.c.capabilities(ctx, p)
}

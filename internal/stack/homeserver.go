package stack

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// Homeserver is a running real homeserver on the loopback interface.
type Homeserver interface {
	// Name is "dendrite" or "synapse".
	Name() string
	// ServerName is the domain part of the user ids.
	ServerName() string
	// URL is the client-server API's base.
	URL() string
	// Start starts it, again after Stop, with the same data.
	Start(ctx context.Context) error
	// Stop ends it and keeps its data.
	Stop()
}

// registrationSecret is the shared secret for creating accounts; the servers
// listen on the loopback interface only and live as long as the test.
const registrationSecret = "testsecret"

// RegisterUser creates an account by the shared-secret admin API, which both
// homeservers have, and returns a client that is signed in.
func RegisterUser(ctx context.Context, hs Homeserver, localpart, password string) (*mautrix.Client, error) {
	cli, err := mautrix.NewClient(hs.URL(), "", "")
	if err != nil {
		return nil, fmt.Errorf("make a Matrix client: %w", err)
	}
	cli.Client = &http.Client{Timeout: 60 * time.Second}
	var nonce struct {
		Nonce string `json:"nonce"`
	}
	url := cli.BuildURL(mautrix.SynapseAdminURLPath{"v1", "register"})
	if _, err = cli.MakeRequest(ctx, http.MethodGet, url, nil, &nonce); err != nil {
		return nil, fmt.Errorf("ask for a registration nonce: %w", err)
	}
	mac := hmac.New(sha1.New, []byte(registrationSecret))
	mac.Write([]byte(strings.Join([]string{nonce.Nonce, localpart, password, "notadmin"}, "\x00")))
	body := map[string]any{
		"nonce": nonce.Nonce, "username": localpart, "password": password, "admin": false,
		"mac": hex.EncodeToString(mac.Sum(nil)),
	}
	var raw json.RawMessage
	if _, err = cli.MakeRequest(ctx, http.MethodPost, url, body, &raw); err != nil {
		return nil, fmt.Errorf("register %s: %w", localpart, err)
	}
	if _, err = cli.Login(ctx, &mautrix.ReqLogin{
		Type:                     mautrix.AuthTypePassword,
		Identifier:               mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: localpart},
		Password:                 password,
		InitialDeviceDisplayName: "teamsbridge stack",
		StoreCredentials:         true,
	}); err != nil {
		return nil, fmt.Errorf("sign in %s: %w", localpart, err)
	}
	cli.UserID = id.NewUserID(localpart, hs.ServerName())
	return cli, nil
}

package teamstest_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"teamsbridge/teams/teamstest"
)

// azureOptions points Microsoft's client at the tenant.
func (b *bench) azureOptions() azcore.ClientOptions {
	return azcore.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: b.URL()},
		Transport: b.HTTPClient(),
		Retry:     policy.RetryOptions{MaxRetries: -1},
	}
}

func TestAzureClientSecretCredential(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	cred, err := azidentity.NewClientSecretCredential(b.TenantID, b.App().ClientID, b.App().Secret(), &azidentity.ClientSecretCredentialOptions{
		ClientOptions: b.azureOptions(), DisableInstanceDiscovery: true,
	})
	require.NoError(t, err)
	token, err := cred.GetToken(b.context(), policy.TokenRequestOptions{Scopes: []string{b.URL() + "/.default"}})
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Hour), token.ExpiresOn, time.Minute)
	require.Equal(t, http.StatusOK, b.get(token.Token, "/organization").status)

	_, err = cred.GetToken(b.context(), policy.TokenRequestOptions{Scopes: []string{"https://graph.microsoft.com/.default"}})
	require.ErrorContains(t, err, "AADSTS500011")

	b.App().RemoveSecrets()
	fresh, err := azidentity.NewClientSecretCredential(b.TenantID, b.App().ClientID, "wrong", &azidentity.ClientSecretCredentialOptions{
		ClientOptions: b.azureOptions(), DisableInstanceDiscovery: true,
	})
	require.NoError(t, err)
	_, err = fresh.GetToken(b.context(), policy.TokenRequestOptions{Scopes: []string{b.URL() + "/.default"}})
	require.ErrorContains(t, err, "AADSTS7000215")
}

func TestAzureClientCertificateCredential(t *testing.T) {
	b := newBench(t, teamstest.Options{})
	certPEM, keyPEM, err := b.App().NewCertificate()
	require.NoError(t, err)
	certs, key, err := azidentity.ParseCertificates(append(certPEM, keyPEM...), nil)
	require.NoError(t, err)
	for _, advanced := range []time.Duration{0, 48 * time.Hour} {
		// The client's assertion is made by the real clock.
		b.Clock().Advance(advanced)
		cred, err := azidentity.NewClientCertificateCredential(b.TenantID, b.App().ClientID, certs, key, &azidentity.ClientCertificateCredentialOptions{
			ClientOptions: b.azureOptions(), DisableInstanceDiscovery: true,
		})
		require.NoError(t, err)
		token, err := cred.GetToken(b.context(), policy.TokenRequestOptions{Scopes: []string{b.URL() + "/.default"}})
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, b.get(token.Token, "/organization").status)
	}
	b.App().RemoveCertificates()
	cred, err := azidentity.NewClientCertificateCredential(b.TenantID, b.App().ClientID, certs, key, &azidentity.ClientCertificateCredentialOptions{
		ClientOptions: b.azureOptions(), DisableInstanceDiscovery: true,
	})
	require.NoError(t, err)
	_, err = cred.GetToken(b.context(), policy.TokenRequestOptions{Scopes: []string{b.URL() + "/.default"}})
	require.ErrorContains(t, err, "AADSTS700027")
}

func TestAzureDeviceCodeCredential(t *testing.T) {
	b := newBench(t, teamstest.Options{SignIn: teamstest.SignInOptions{DeviceInterval: time.Second}})
	cred, err := azidentity.NewDeviceCodeCredential(&azidentity.DeviceCodeCredentialOptions{
		ClientOptions: b.azureOptions(), TenantID: b.TenantID, ClientID: b.App().ClientID, DisableInstanceDiscovery: true,
		UserPrompt: func(_ context.Context, m azidentity.DeviceCodeMessage) error {
			return b.ApproveDevice(m.UserCode, b.ann)
		},
	})
	require.NoError(t, err)
	token, err := cred.GetToken(b.context(), policy.TokenRequestOptions{Scopes: []string{b.URL() + "/ChannelMessage.Send"}})
	require.NoError(t, err)
	posted, err := b.post(token.Token, "from Microsoft's client")
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, posted.status)
}

func TestGoOAuth2DeviceFlow(t *testing.T) {
	b := newBench(t, teamstest.Options{SignIn: teamstest.SignInOptions{DeviceInterval: time.Second}})
	config := &oauth2.Config{
		ClientID: b.App().ClientID, Scopes: []string{"ChannelMessage.Send", "offline_access"},
		Endpoint: oauth2.Endpoint{
			DeviceAuthURL: b.URL() + "/" + b.TenantID + "/oauth2/v2.0/devicecode",
			TokenURL:      b.URL() + "/" + b.TenantID + "/oauth2/v2.0/token",
			AuthStyle:     oauth2.AuthStyleInParams,
		},
	}
	ctx := context.WithValue(b.context(), oauth2.HTTPClient, b.HTTPClient())
	begun, err := config.DeviceAuth(ctx)
	require.NoError(t, err)
	done := make(chan error, 1)
	var token *oauth2.Token
	go func() {
		var err error
		token, err = config.DeviceAccessToken(ctx, begun)
		done <- err
	}()
	b.eventually("the device asks", func() bool {
		return b.CountRequests(func(r teamstest.Request) bool { return r.Op == teamstest.OpToken && r.Status == 400 }) > 0
	})
	require.NoError(t, b.ApproveDevice(begun.UserCode, b.bob))
	require.NoError(t, <-done)
	require.NotEmpty(t, token.RefreshToken)

	// The library refreshes by itself when the token is over.
	token.Expiry = time.Now().Add(-time.Minute)
	fresh, err := config.TokenSource(ctx, token).Token()
	require.NoError(t, err)
	require.NotEqual(t, token.RefreshToken, fresh.RefreshToken)
	posted, err := b.post(fresh.AccessToken, "from Go's client")
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, posted.status)
}

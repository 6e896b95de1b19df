package bridge

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/rs/zerolog"

	"teamsbridge/teams"
)

// Credential is a sign-in of package teams: the application's or a person's.
type Credential interface {
	azcore.TokenCredential
	Invalidate(token string) bool
}

// GraphOptions is what reading Graph needs.
type GraphOptions struct {
	Endpoints  teams.Endpoints
	Credential Credential
	HTTP       *http.Client
	TenantID   string
	Logger     zerolog.Logger
}

// WriterOptions is what writing as one account needs.
type WriterOptions struct {
	Endpoints  teams.Endpoints
	Credential Credential
	HTTP       *http.Client
	Account    teams.Account
	// Messages reads what is about to be edited.
	Messages teams.Reader
}

// Graph makes what talks to Graph. Package teams/graph does; it is handed in
// so that this package and its tests compile without the SDK.
type Graph struct {
	NewReader func(GraphOptions) (teams.Reader, teams.SubscriptionAPI, error)
	NewWriter func(WriterOptions) (teams.Writer, error)
}

// graphAccess is the application's sign-in and the one HTTP client.
type graphAccess struct {
	endpoints teams.Endpoints
	http      *http.Client
	// credential is the application's.
	credential Credential
	// prove is with what the application proves to be itself in web sign-ins.
	prove  func() (url.Values, error)
	reader teams.Reader
	subs   teams.SubscriptionAPI
}

// openGraph makes the application's access to Graph. Nothing is sent yet, so
// it fails for wrong configuration only. replaced is told of a new credential.
func (c *Connector) openGraph(ctx context.Context, secrets secrets, metrics teams.HTTPMetrics, health *health, replaced func()) (*graphAccess, error) {
	cfg := &c.Config
	log := zerolog.Ctx(ctx).With().Str("component", "graph").Logger()
	endpoints, err := teams.ResolveEndpoints(cfg.Cloud, cfg.Endpoints.Login, cfg.Endpoints.Graph, cfg.Endpoints.Hosts)
	if err == nil {
		endpoints, err = endpoints.WithFiles(cfg.Endpoints.Files)
	}
	if err != nil {
		return nil, err
	}
	if endpoints.Caveat != "" && cfg.Endpoints.Graph == "" {
		log.Warn().Str("cloud", cfg.Cloud).Str("caveat", endpoints.Caveat).Msg("This cloud does not have everything")
	}
	a := &graphAccess{endpoints: endpoints}
	a.http, err = teams.NewHTTPClient(teams.HTTPOptions{
		Endpoints: endpoints, Proxy: cfg.Proxy, CAFile: cfg.CAFile, UserAgent: c.userAgent(), Metrics: metrics, Observer: health, Logger: log,
		Leash: c.instance.leash,
	})
	if err != nil {
		return nil, fmt.Errorf("making the HTTP client: %w", err)
	}
	credential, err := teams.NewAppCredential(teams.AppConfig{
		Endpoints: endpoints, TenantID: cfg.TenantID, ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret, ClientSecretFile: cfg.ClientSecretFile,
		CertificateFile: cfg.CertificateFile, KeyFile: cfg.CertificateKeyFile, CertificatePassword: secrets.certificatePassword,
		HTTP: a.http,
		Changed: func(err error) {
			if err != nil {
				log.Warn().Err(err).Msg("The application's credential can't be read, going on with the one before")
			} else {
				log.Info().Msg("The application's credential was replaced")
				replaced()
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("application sign-in: %w", err)
	}
	a.credential, a.prove = credential, credential.Prove
	a.reader, a.subs, err = c.graph.NewReader(GraphOptions{
		Endpoints: endpoints, Credential: &watchedCredential{credential, health.appSignInFailed}, HTTP: a.http, TenantID: cfg.TenantID, Logger: log,
	})
	if err != nil {
		return nil, fmt.Errorf("making the Graph reader: %w", err)
	}
	return a, nil
}

// delegated is the configuration of people's sign-ins. With a device code they
// are of a public client, in which the application's secret has no place; on the
// web of a confidential one.
func (a *graphAccess) delegated(cfg *Config, store teams.TokenStore) teams.DelegatedConfig {
	return teams.DelegatedConfig{
		Endpoints: a.endpoints, TenantID: cfg.TenantID, ClientID: cfg.ClientID, HTTP: a.http, Store: store, Prove: a.prove,
		Files: cfg.Limits.FileSize > 0,
	}
}

func (c *Connector) userAgent() string {
	if c.main == nil {
		return "teamsbridge"
	}
	return "teamsbridge/" + c.main.Version
}

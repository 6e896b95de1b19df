package teamstest

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Options sets a tenant up. The zero value is a calm tenant on a port of the
// system's choice, in real time, without throttling.
type Options struct {
	// Seed makes ids and the demo's content. 0 means 1.
	Seed uint64
	// Clock is the tenant's clock, nil for one that shows real time.
	Clock *Clock
	// Addr is the address to listen on, "" for 127.0.0.1:0.
	Addr string
	// PublicURL is what the tenant calls itself in links, "" for https and
	// the address it listens on.
	PublicURL string
	// Hosts are further names the server certificate is valid for.
	Hosts []string
	// Name is the organisation's display name.
	Name string
	// Domain is the organisation's mail domain.
	Domain string
	// Limits turns the documented throttling on.
	Limits bool
	// Lag is how long a write stays invisible to reads, on the tenant's
	// clock. Notifications do not wait for it.
	Lag time.Duration
	// PageSize bounds every page of a list, as a service under load does. 0
	// leaves what the client asked for.
	PageSize int
	// UnevenPages makes some pages shorter than asked for although more
	// follow, which Graph may do at any time.
	UnevenPages bool
	// RefuseAppDelta answers channel delta with an application token with the
	// 400 that tenants have been seen to give.
	RefuseAppDelta bool
	// DeltaTokenLife is how long skip and delta tokens of a delta query live,
	// 0 for 30 days. Microsoft names no figure for messages.
	DeltaTokenLife time.Duration
	// ExpandLimit is how many replies $expand=replies returns of a post, 0
	// for the documented 1,000.
	ExpandLimit int
	// ExportOmitsShared leaves shared channels out of getAllMessages. Its
	// page speaks of "public and private channels" only.
	ExportOmitsShared bool
	// UploadLife is how long an upload may take, 0 for a week.
	UploadLife time.Duration
	// NoSystemEvents keeps the channels free of system messages.
	NoSystemEvents bool

	// SignIn sets the sign-in service up.
	SignIn SignInOptions
	// Notify sets change notifications up.
	Notify NotifyOptions

	// prepare runs after installEdge: tests of the core put in their own seams.
	prepare func(t *Tenant)
}

// Tenant is a simulated Microsoft 365 tenant. Start makes one.
type Tenant struct {
	// TenantID is the directory id.
	TenantID string

	opts   Options
	clock  *Clock
	ids    *ids
	ca     *authority
	server *server
	url    string
	seams  seams
	routes []compiledRoute

	// mu guards everything below, and the state behind every handle.
	mu        sync.Mutex
	users     []*User
	usersByID map[string]*User
	teams     []*Team
	groups    []*Group // those that are no teams
	teamsByID map[string]*Team
	drive     drive
	pages     int    // counts pages of lists, for uneven ones
	seq       uint64 // counts committed changes of messages
	lag       time.Duration
	writeLag  time.Duration
	pending   []change // committed, not yet delivered to onChange
	// Page tokens carry the epoch of their making; older ones are refused.
	epoch, goneEpoch, forgottenEpoch int

	// delivering is held while onChange hears of changes, to keep their order.
	delivering sync.Mutex

	edge edgeState
}

// Start brings a tenant up. The caller closes it.
func Start(opts Options) (*Tenant, error) {
	if opts.Seed == 0 {
		opts.Seed = 1
	}
	if opts.Clock == nil {
		opts.Clock = NewClock(time.Time{})
	}
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	if opts.Name == "" {
		opts.Name = "Contoso"
	}
	if opts.Domain == "" {
		opts.Domain = "contoso.example"
	}
	if opts.DeltaTokenLife == 0 {
		opts.DeltaTokenLife = 30 * 24 * time.Hour
	}
	t := &Tenant{
		opts: opts, clock: opts.Clock, ids: newIDs(opts.Seed),
		lag:       opts.Lag,
		usersByID: map[string]*User{}, teamsByID: map[string]*Team{},
		drive: drive{downloads: map[string]download{}, sessions: map[string]*uploadSession{}},
	}
	t.TenantID = t.ids.guid()
	var err error
	if t.ca, err = newAuthority(append([]string{"127.0.0.1", "localhost"}, opts.Hosts...)...); err != nil {
		return nil, err
	}
	if t.server, err = newServer(opts.Addr, t.ca, t); err != nil {
		return nil, err
	}
	t.url = strings.TrimSuffix(opts.PublicURL, "/")
	if t.url == "" {
		t.url = "https://" + t.server.addr
	}
	t.seams = defaultSeams()
	t.installEdge()
	if opts.prepare != nil {
		opts.prepare(t)
	}
	t.routes = compileRoutes(append(coreRoutes(), t.seams.routes...))
	t.server.serve()
	return t, nil
}

// Close stops the tenant and everything it started.
func (t *Tenant) Close() error {
	t.seams.close()
	return t.server.close()
}

// SetLag changes how long writes from now on stay invisible to reads.
func (t *Tenant) SetLag(lag time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lag = lag
}

// SetWriteLag changes how long after it was written a message answers 404 to
// whoever names it: to replies, edits, reactions, deletions and reads by id. Lists
// have it meanwhile, see SetLag for those. Microsoft says that reads may come before
// the service is consistent, and is silent about writes; this is the harder choice.
func (t *Tenant) SetWriteLag(lag time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writeLag = lag
}

// SetRefuseAppDelta changes whether channel delta is refused to applications.
func (t *Tenant) SetRefuseAppDelta(refuse bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opts.RefuseAppDelta = refuse
}

// URL is the origin of both the sign-in service and Graph.
func (t *Tenant) URL() string { return t.url }

// GraphURL is the base of Graph v1.0, without a trailing slash.
func (t *Tenant) GraphURL() string { return t.url + "/v1.0" }

// Clock is the tenant's clock.
func (t *Tenant) Clock() *Clock { return t.clock }

// CAPEM is the certificate of the authority that signed the server's.
func (t *Tenant) CAPEM() []byte { return append([]byte(nil), t.ca.pem...) }

// CAFile writes CAPEM to a file in dir and returns its path.
func (t *Tenant) CAFile(dir string) (string, error) {
	path := filepath.Join(dir, "tenant-ca.pem")
	if err := os.WriteFile(path, t.ca.pem, 0o600); err != nil {
		return "", fmt.Errorf("write CA file: %w", err)
	}
	return path, nil
}

// CertPool holds the tenant's authority alone.
func (t *Tenant) CertPool() *x509.CertPool { return t.ca.pool.Clone() }

// HTTPClient returns a client that trusts the tenant.
func (t *Tenant) HTTPClient() *http.Client {
	return &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: t.CertPool(), MinVersion: tls.VersionTLS12}},
	}
}

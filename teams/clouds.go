package teams

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// Endpoints says where sign-in and Graph are. Tokens and app registrations of
// one cloud are worth nothing in another.
type Endpoints struct {
	// Login is the sign-in authority, such as https://login.microsoftonline.com.
	Login string
	// Graph is Graph's origin without the version, such as https://graph.microsoft.com.
	Graph string
	// Hosts are the hosts (with a port, where it is not 443) that may be sent
	// a token. Graph's own host is always among them.
	Hosts []string
	// Files are the hosts that files' bytes come from and go to, without a token:
	// a host as in Hosts, or "*.example" for every host below that domain.
	Files []string
	// Scope is the application scope, such as https://graph.microsoft.com/.default.
	Scope string
	// Caveat tells an operator what the cloud is documented not to have.
	Caveat string
}

type cloudEntry struct{ login, graph, files, caveat string }

func cloudTable() map[string]cloudEntry {
	const (
		usGov = "soft-delete of messages and shared channels' APIs are documented as missing in this cloud"
		china = "change notifications and export of Teams messages are documented as missing in this cloud: use the poller with the list reader"
		bleu  = "quotes and message import are missing in this cloud"
		delos = "Graph's metadata lists no Teams messages in this cloud; expect every read to be refused"
	)
	return map[string]cloudEntry{
		"global": {"login.microsoftonline.com", "graph.microsoft.com", "*.sharepoint.com", ""},
		"gcc":    {"login.microsoftonline.com", "graph.microsoft.com", "*.sharepoint.com", ""},
		"gcch":   {"login.microsoftonline.us", "graph.microsoft.us", "*.sharepoint.us", usGov},
		"dod":    {"login.microsoftonline.us", "dod-graph.microsoft.us", "*.sharepoint-mil.us", usGov},
		"china":  {"login.chinacloudapi.cn", "microsoftgraph.chinacloudapi.cn", "*.sharepoint.cn", china},
		"bleu":   {"login.sovcloud-identity.fr", "graph.svc.sovcloud.fr", "*.sovcloud-sharepoint.fr", bleu},
		"delos":  {"login.sovcloud-identity.de", "graph.svc.sovcloud.de", "*.sovcloud-sharepoint.de", delos},
	}
}

// CloudNames returns the names that Cloud knows.
func CloudNames() []string {
	return []string{"global", "gcc", "gcch", "dod", "china", "bleu", "delos"}
}

// Cloud returns the endpoints of a named Microsoft cloud; "" is "global".
func Cloud(name string) (Endpoints, error) {
	key := strings.ToLower(strings.TrimSpace(name))
	if key == "" {
		key = "global"
	}
	c, ok := cloudTable()[key]
	if !ok {
		return Endpoints{}, fmt.Errorf("network.cloud: unknown cloud %q (known: %s)", name, strings.Join(CloudNames(), ", "))
	}
	graph := "https://" + c.graph
	return Endpoints{
		Files:  []string{c.files},
		Login:  "https://" + c.login,
		Graph:  graph,
		Hosts:  []string{c.graph},
		Scope:  graph + "/.default",
		Caveat: c.caveat,
	}, nil
}

// ResolveEndpoints returns a named cloud's endpoints with the explicit
// settings network.endpoints.login, .graph and .hosts put over them; its
// errors name the setting that is wrong.
func ResolveEndpoints(cloud, login, graph string, hosts []string) (Endpoints, error) {
	e, err := Cloud(cloud)
	if err != nil {
		return Endpoints{}, err
	}
	if login != "" {
		u, err := originURL("network.endpoints.login", login)
		if err != nil {
			return Endpoints{}, err
		}
		if u.Scheme != "https" {
			return Endpoints{}, fmt.Errorf("network.endpoints.login: must be https, the sign-in library refuses anything else")
		}
		e.Login = u.String()
	}
	if graph != "" {
		u, err := originURL("network.endpoints.graph", graph)
		if err != nil {
			return Endpoints{}, err
		}
		if u.Scheme == "http" && !isLoopback(u.Hostname()) {
			return Endpoints{}, fmt.Errorf("network.endpoints.graph: must be https, plain http is for loopback only")
		}
		u.Path = strings.TrimSuffix(u.Path, "/v1.0")
		e.Graph = u.String()
		e.Hosts, e.Files = []string{u.Host}, []string{u.Host}
		e.Scope = u.Scheme + "://" + u.Host + "/.default"
	}
	for _, h := range hosts {
		h = strings.ToLower(strings.TrimSpace(h))
		u, err := url.Parse("https://" + h)
		if err != nil || h == "" || u.Host != h || u.Hostname() == "" {
			return Endpoints{}, fmt.Errorf("network.endpoints.hosts: %q is not a host or host:port", h)
		}
		if !slices.Contains(e.Hosts, h) {
			e.Hosts = append(e.Hosts, h)
		}
	}
	return e, nil
}

// WithFiles returns the endpoints with further hosts for files' bytes
// (network.endpoints.files).
func (e Endpoints) WithFiles(hosts []string) (Endpoints, error) {
	e.Files = slices.Clone(e.Files)
	for _, h := range hosts {
		h = strings.ToLower(strings.TrimSpace(h))
		u, err := url.Parse("https://" + strings.TrimPrefix(h, "*."))
		if err != nil || h == "" || u.Host != strings.TrimPrefix(h, "*.") || strings.Contains(u.Host, "*") || u.Hostname() == "" {
			return Endpoints{}, fmt.Errorf("network.endpoints.files: %q is not a host, host:port or *.domain", h)
		}
		e.Files = append(e.Files, h)
	}
	return e, nil
}

func originURL(setting, raw string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(strings.TrimSpace(raw), "/"))
	if err != nil {
		return nil, fmt.Errorf("%s: not a URL", setting)
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%s: must be an https URL", setting)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%s: has no host", setting)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%s: must not have credentials, a query or a fragment", setting)
	}
	u.Host = strings.ToLower(u.Host)
	return u, nil
}

// Root returns the URL in front of every v1.0 path.
func (e Endpoints) Root() string { return e.Graph + "/v1.0" }

// DelegatedScopes returns the scopes of a person's sign-in.
func (e Endpoints) DelegatedScopes() []string {
	prefix := strings.TrimSuffix(e.Scope, ".default")
	return []string{prefix + "ChannelMessage.Send", prefix + "ChannelMessage.ReadWrite", prefix + "User.Read", "offline_access"}
}

// FileScope is the scope of a person's sign-in that puts files into channels.
func (e Endpoints) FileScope() string {
	return strings.TrimSuffix(e.Scope, ".default") + "Files.ReadWrite.All"
}

// TokenURL is where the tenant issues tokens.
func (e Endpoints) TokenURL(tenantID string) string {
	return e.Login + "/" + url.PathEscape(tenantID) + "/oauth2/v2.0/token"
}

// AuthorizeURL is where a browser is sent to sign in.
func (e Endpoints) AuthorizeURL(tenantID string) string {
	return e.Login + "/" + url.PathEscape(tenantID) + "/oauth2/v2.0/authorize"
}

// DeviceURL is where a device sign-in starts.
func (e Endpoints) DeviceURL(tenantID string) string {
	return e.Login + "/" + url.PathEscape(tenantID) + "/oauth2/v2.0/devicecode"
}

// ConfigurationURL is where the sign-in service describes itself to anybody.
func (e Endpoints) ConfigurationURL(tenantID string) string {
	return e.Login + "/" + url.PathEscape(tenantID) + "/v2.0/.well-known/openid-configuration"
}

// AllowsToken reports whether an access token may be sent to u.
func (e Endpoints) AllowsToken(u *url.URL) bool {
	if u == nil || u.User != nil || u.Scheme != "https" && !(u.Scheme == "http" && e.plain() && isLoopback(u.Hostname())) {
		return false
	}
	for _, h := range e.Hosts {
		if sameHost(u, h) {
			return true
		}
	}
	return false
}

// IsLogin reports whether u is at the sign-in authority.
func (e Endpoints) IsLogin(u *url.URL) bool {
	login, err := url.Parse(e.Login)
	return err == nil && u != nil && u.User == nil && u.Scheme == login.Scheme && sameHost(u, login.Host)
}

// isGraphPath tells Graph from sign-in where both are at one origin.
func (e Endpoints) isGraphPath(u *url.URL) bool {
	root, err := url.Parse(e.Root())
	return err == nil && (u.Path == root.Path || strings.HasPrefix(u.Path, root.Path+"/"))
}

// plain reports whether Graph itself is configured without TLS, which only a
// test on this machine can be.
func (e Endpoints) plain() bool { return strings.HasPrefix(e.Graph, "http://") }

// sameHost compares with default ports filled in, so that graph.example and
// graph.example:443 are one and graph.example:8443 is another.
func sameHost(u *url.URL, host string) bool {
	return strings.EqualFold(withPort(u.Host, u.Scheme), withPort(host, u.Scheme))
}

func withPort(host, scheme string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	port := "443"
	if scheme == "http" {
		port = "80"
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

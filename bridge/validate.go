package bridge

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	"maunium.net/go/mautrix/id"

	"teamsbridge/matrix"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// What ids and host names look like.
var (
	guidPattern   = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	domainPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*(:[0-9]{1,5})?$`)
)

// Validate returns every mistake of the configuration, each a *ConfigError.
func (c *Config) Validate() error {
	return errors.Join(slices.Concat(
		c.validateApplication(), c.validateNetwork(), c.validateSelection(),
		c.validateMapping(), c.validateRooms(), c.validateReading(), c.validateOutage(), c.validateRest(),
	)...)
}

// checks collects mistakes.
type checks []error

func (c *checks) that(ok bool, key, problem, fix string) {
	if !ok {
		*c = append(*c, &ConfigError{Key: key, Problem: problem, Fix: fix})
	}
}

func (c *checks) err(err error, key, problem, fix string) {
	if err != nil {
		*c = append(*c, &ConfigError{Key: key, Problem: problem, Fix: fix, Err: err})
	}
}

// exclusive reports x and x_file both set.
func (c *checks) exclusive(key, value, file string) {
	c.that(value == "" || file == "", key, "and network."+key+"_file are both set", "keep one of them and empty the other")
}

func oneOf(value string, allowed ...string) bool { return slices.Contains(allowed, value) }

func (c *Config) validateApplication() checks {
	var e checks
	e.that(c.TenantID != "", "tenant_id", "is missing", "copy the directory (tenant) id from the app registration's overview page")
	e.that(c.TenantID == "" || guidPattern.MatchString(c.TenantID), "tenant_id", "is not an id", "copy the directory (tenant) id from the app registration's overview page")
	e.that(c.ClientID != "", "client_id", "is missing", "copy the application (client) id from the app registration's overview page")
	e.that(c.ClientID == "" || guidPattern.MatchString(c.ClientID), "client_id", "is not an id", "copy the application (client) id, not the name, from the app registration's overview page")

	e.exclusive("client_secret", c.ClientSecret, c.ClientSecretFile)
	e.exclusive("certificate_password", c.CertificatePassword, c.CertificatePasswordFile)
	hasSecret := c.ClientSecret != "" || c.ClientSecretFile != ""
	e.that(hasSecret || c.CertificateFile != "", "client_secret", "is missing, and there is no certificate either",
		"set client_secret, client_secret_file or certificate_file")
	e.that(!hasSecret || c.CertificateFile == "", "certificate_file", "and network.client_secret are both set", "decide for the secret or the certificate and empty the other")
	_, err := c.secretExpires()
	e.err(err, "client_secret_expires", "is no date", "write it as 2027-05-31, or leave it empty")
	e.that(c.CertificateKeyFile == "" || c.CertificateFile != "", "certificate_key_file", "is set without certificate_file", "set certificate_file, too")
	for key, file := range map[string]string{"certificate_file": c.CertificateFile, "certificate_key_file": c.CertificateKeyFile} {
		if file != "" {
			_, err := os.Stat(file)
			e.err(err, key, "can't be read", "name a file that the bridge's user may read")
		}
	}
	e.exclusive("encryption_key", c.EncryptionKey, c.EncryptionKeyFile)
	e.exclusive("encryption_key_previous", c.EncryptionKeyPrevious, c.EncryptionKeyPreviousFile)
	s, err := c.loadSecrets()
	if err != nil {
		return append(e, err)
	}
	e.that(len(s.encryptionKey) >= 32, "encryption_key", "is shorter than 32 characters", `put the key there that the database was sealed with; for a new database set it to "generate", or to 32 or more random characters (openssl rand -hex 32)`)
	for _, key := range s.previousKeys {
		e.that(len(key) >= 32, "encryption_key_previous", "has a key that is shorter than 32 characters", "write the keys as they stood in encryption_key, with white space between several")
		e.that(key != s.encryptionKey, "encryption_key_previous", "is the key in use", "put a new key into encryption_key, or empty encryption_key_previous")
	}
	return e
}

func (c *Config) validateNetwork() checks {
	var e checks
	e.that(oneOf(c.Cloud, teams.CloudNames()...), "cloud", fmt.Sprintf("is %q", c.Cloud), "use global, gcc, gcch, dod, china, bleu or delos, or set endpoints")
	e.that((c.Endpoints.Login == "") == (c.Endpoints.Graph == ""), "endpoints", "name only one of login and graph", "set both or none")
	e.that(len(c.Endpoints.Hosts) == 0 || c.Endpoints.Graph != "", "endpoints.hosts", "is set without login and graph", "set all three, or leave the cloud's own")
	_, err := teams.Endpoints{}.WithFiles(c.Endpoints.Files)
	e.that(err == nil, "endpoints.files", "names what is not a host", "list host names without https://, or *.example.com for all hosts below it")
	for key, value := range map[string]string{"endpoints.login": c.Endpoints.Login, "endpoints.graph": c.Endpoints.Graph} {
		e.that(value == "" || isURL(value, "https"), key, "is not an https URL", "write it as https://host[:port]")
	}
	for _, host := range c.Endpoints.Hosts {
		e.that(domainPattern.MatchString(host), "endpoints.hosts", fmt.Sprintf("names %q, which is not a host", host), "list host names without https://")
	}
	if c.CAFile != "" {
		e.err(checkCAFile(c.CAFile), "ca_file", "has no usable certificate", "name a PEM file with certificates of authorities")
	}
	e.that(c.Proxy == "" || isURL(c.Proxy, "http", "https", "socks5"), "proxy", "is not a proxy's URL", "write it as http://host:port")
	return e
}

func checkCAFile(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return errors.New("no PEM block")
	}
	_, err = x509.ParseCertificate(block.Bytes)
	return err
}

func isURL(value string, schemes ...string) bool {
	u, err := url.Parse(value)
	return err == nil && u.Host != "" && slices.Contains(schemes, u.Scheme)
}

// isLoopback reports whether a plain http URL stays on this machine, as the
// simulated tenant's does.
func isLoopback(value string) bool {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback())
}

func (c *Config) validateSelection() checks {
	var e checks
	selects := slices.ContainsFunc(c.Teams.Rules, func(r SelectionRule) bool { return r.Mirror })
	e.that(len(c.Teams.Include) > 0 || selects, "teams.include", "is empty, so nothing would be mirrored", `list teams, or "*" for all`)
	for i, r := range c.Teams.Rules {
		key := fmt.Sprintf("teams.rules[%d]", i+1)
		e.that(r.Name != "" || r.asksGroup(), key, "names nothing that teams could have, so it would fit all", "give it name, mail, label, visibility or member_of")
		e.that(oneOf(strings.ToLower(r.Visibility), "", "public", "private", "hiddenmembership"), key, fmt.Sprintf("has the visibility %q", r.Visibility), "use public, private or hiddenmembership")
		e.that(r.MemberOf == "" || guidPattern.MatchString(r.MemberOf), key, fmt.Sprintf("has member_of %q, which is not an id", r.MemberOf), "copy the group's object id from the Entra admin centre")
	}
	lists := map[string][]string{"teams.include": c.Teams.Include, "teams.exclude": c.Teams.Exclude}
	for team, channels := range c.Teams.Channels {
		e.that(len(channels) > 0, "teams.channels", fmt.Sprintf("has no channels for team %q", team), "list channels, or remove the team to mirror all of its channels")
		lists["teams.channels."+team] = channels
	}
	for team, channels := range c.Teams.ExcludeChannels {
		lists["teams.exclude_channels."+team] = channels
	}
	for key, list := range lists {
		for _, name := range list {
			e.that(strings.TrimSpace(name) != "", key, "has an empty name", "remove it")
		}
	}
	e.that(len(c.Teams.MembershipTypes) > 0, "teams.membership_types", "is empty, so nothing would be mirrored", "list standard, private, shared, or some of them")
	for _, typ := range c.Teams.MembershipTypes {
		e.that(oneOf(typ, teams.MembershipStandard, teams.MembershipPrivate, teams.MembershipShared), "teams.membership_types",
			fmt.Sprintf("has %q", typ), "use standard, private and shared")
	}
	return e
}

func (c *Config) validateMapping() checks {
	var e checks
	m := c.Mapping
	e.that(oneOf(m.Attribute, attributeUPN, attributeMail), "mapping.attribute", fmt.Sprintf("is %q", m.Attribute), "use upn or mail")
	_, err := newMapper(m, "example.org")
	if mistake := (*ConfigError)(nil); errors.As(err, &mistake) {
		e = append(e, mistake)
	} else {
		e.err(err, "mapping.template", "can't be used", `write a localpart with {{.Local}}, such as "{{.Local}}"`)
	}
	for _, group := range m.MembersOf {
		e.that(guidPattern.MatchString(group), "mapping.members_of", fmt.Sprintf("has %q, which is not an id", group), "copy the group's object id from the Entra admin centre")
	}
	e.that(m.Domain == "" || domainPattern.MatchString(m.Domain), "mapping.domain", "is not a homeserver's name", "write it as in the accounts, behind the colon")
	for who, mxid := range m.Overrides {
		if mxid == "" {
			continue
		}
		_, _, err := id.UserID(mxid).Parse()
		e.err(err, "mapping.overrides", fmt.Sprintf("gives %q to %q, which is not a Matrix id", mxid, who), `write it as "@name:server", or "" for nobody`)
	}
	return e
}

func (c *Config) validateReading() checks {
	var e checks
	w := c.Webhook
	e.that(oneOf(w.Scope, ScopeTenant, ScopeChannel), "webhook.scope", fmt.Sprintf("is %q", w.Scope), "use tenant or channel")
	if w.Enabled {
		e.that(isListen(w.Listen), "webhook.listen", "is not an address to listen on", "write it as host:port, such as 0.0.0.0:29318")
		e.that(isURL(w.PublicURL, "https") || isLoopback(w.PublicURL), "webhook.public_url", "is not an https URL", "write the address under which Microsoft reaches the listener, as https://host/path")
	}
	e = append(e, c.validateWebLogin()...)
	e = append(e, c.validateStatusPage()...)
	p := c.Poller
	e.that(oneOf(p.Mode, ModeCatchUp, ModeContinuous), "poller.mode", fmt.Sprintf("is %q", p.Mode), "use catchup or continuous")
	e.that(w.Enabled || p.Mode == ModeContinuous, "poller.mode", "is catchup while webhook.enabled is false, so that messages would come once a day",
		"enable the webhook, or set poller.mode to continuous")
	e.that(p.Interval >= time.Second, "poller.interval", "is shorter than a second", "write a duration such as 30s")
	e.that(len(p.Readers) > 0, "poller.readers", "is empty", "list export, delta and list, or some of them")
	for i, reader := range p.Readers {
		e.that(oneOf(reader, "export", "delta", "list"), "poller.readers", fmt.Sprintf("has %q", reader), "use export, delta and list")
		e.that(!slices.Contains(p.Readers[:i], reader), "poller.readers", fmt.Sprintf("has %q twice", reader), "name each reader once")
	}
	e.that(p.RequestsPerSecond > 0, "poller.requests_per_second", "is not above 0", "write a number such as 2")
	e.that(p.ReconcileInterval >= time.Minute, "poller.reconcile_interval", "is shorter than a minute", "write a duration such as 24h")
	return e
}

func (c *Config) validateWebLogin() checks {
	var e checks
	w := c.WebLogin
	if !w.Enabled {
		return e
	}
	e.that(isListen(w.Listen), "web_login.listen", "is not an address to listen on", "write it as host:port, such as 0.0.0.0:29320")
	e.that(!c.Webhook.Enabled || w.Listen != c.Webhook.Listen, "web_login.listen", "is the webhook's listener", "use another port")
	u, err := url.Parse(w.PublicURL)
	e.that(err == nil && (isURL(w.PublicURL, "https") || isLoopback(w.PublicURL)) && u.RawQuery == "" && u.Fragment == "" && u.User == nil,
		"web_login.public_url", "is not an https URL", "write the address under which people's browsers reach the listener, as https://host/path")
	return e
}

func (c *Config) validateStatusPage() checks {
	var e checks
	p := c.StatusPage
	if !p.Enabled {
		return e
	}
	e.that(isListen(p.Listen), "status_page.listen", "is not an address to listen on", "write it as host:port, such as 127.0.0.1:29321")
	for other, used := range map[string]bool{c.Webhook.Listen: c.Webhook.Enabled, c.WebLogin.Listen: c.WebLogin.Enabled, c.Metrics.Listen: true} {
		e.that(!used || other == "" || p.Listen != other, "status_page.listen", "is another listener of the bridge", "use another port")
	}
	u, err := url.Parse(p.PublicURL)
	e.that(err == nil && (isURL(p.PublicURL, "https") || isLoopback(p.PublicURL)) && u.RawQuery == "" && u.Fragment == "" && u.User == nil,
		"status_page.public_url", "is not an https URL", "write the address under which administrators' browsers reach the listener, as https://host/path")
	return e
}

func (c *Config) validateRest() checks {
	var e checks
	e.that(c.History >= 0, "history", "is negative", "write 0 for none, or how many messages per channel come along")
	e.that(c.DirectoryInterval >= time.Minute, "directory_interval", "is shorter than a minute", "write a duration such as 24h")
	e.that(oneOf(c.Redactions, matrix.RedactionsAuto, matrix.RedactionsPush, matrix.RedactionsSync), "redactions",
		fmt.Sprintf("is %q", c.Redactions), "use auto, push or sync")
	e.that(oneOf(c.CustomReactions, "", ReactionsByName, ReactionsByPicture), "custom_reactions", fmt.Sprintf("is %q", c.CustomReactions), "use name or picture")
	e.that(c.Limits.RoomsPerSecond > 0, "limits.rooms_per_second", "is not above 0", "write a number such as 5")
	e.that(c.Limits.JoinsPerSecond > 0, "limits.joins_per_second", "is not above 0", "write a number such as 20")
	e.that(c.Limits.ImageSize > 0, "limits.image_size", "is not above 0", "write a number of bytes such as 20971520")
	e.that(c.Limits.FileSize >= 0, "limits.file_size", "is negative", "write a number of bytes such as 104857600, or 0 to copy no files")
	e.that(c.Limits.RedactionWait >= time.Second, "limits.redaction_wait", "is shorter than a second", "write a duration such as 10m")
	e.that(c.Metrics.Listen == "" || isListen(c.Metrics.Listen), "metrics.listen", "is not an address to listen on", "write it as host:port, such as 127.0.0.1:9090, or leave it empty")
	e.that(c.Metrics.Listen == "" || c.Metrics.Listen != c.Webhook.Listen, "metrics.listen", "is the webhook's listener, which is public", "use another port")
	e.that(c.Metrics.Listen == "" || !c.WebLogin.Enabled || c.Metrics.Listen != c.WebLogin.Listen, "metrics.listen", "is the web sign-in's listener, which is public", "use another port")
	zone, err := c.zone()
	e.err(err, "time_zone", fmt.Sprintf("is %q, which is no zone", c.TimeZone), "write a name such as Europe/Paris, or leave it empty for UTC")
	_, err = texts.For(c.Language, zone)
	e.err(err, "language", "is not one of the bridge's", "write one of "+strings.Join(texts.Languages(), ", "))
	e.that(c.OpsRoom == "" || (strings.HasPrefix(c.OpsRoom, "!") && len(c.OpsRoom) > 1), "ops_room", "is not a room id", "write the room's internal id, which begins with !")
	return e
}

func isListen(value string) bool {
	_, port, err := net.SplitHostPort(value)
	return err == nil && port != ""
}

// validateFramework refuses settings of the framework that would break a
// promise of this bridge. Harmless ones are set right in Init instead.
func validateFramework(cfg *bridgeconfig.Config) error {
	var e checks
	e.that(!cfg.Bridge.SplitPortals, ":bridge.split_portals", "is true", "set it to false: everybody shares a channel's one room")
	e.that(!cfg.Bridge.AsyncEvents, ":bridge.async_events", "is true", "set it to false: messages would change their order")
	e.that(!cfg.AppService.AsyncTransactions, ":appservice.async_transactions", "is true", "set it to false: messages would change their order")
	e.that(!cfg.Bridge.CleanupOnLogout.Enabled, ":bridge.cleanup_on_logout.enabled", "is true", "set it to false: a logout must not take rooms away from others")
	e.that(!cfg.DirectMedia.Enabled, ":direct_media.enabled", "is true", "set it to false: in an outage the copy in Teams is out of reach")
	return errors.Join(e...)
}

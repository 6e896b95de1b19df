package bridge

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"teamsbridge/bridge/check"
	"teamsbridge/teams"
)

const (
	// graphCheckTimeout bounds one question to Graph.
	graphCheckTimeout = time.Minute
	// teamsTried is in how many teams a question is asked until one can answer it.
	teamsTried = 20
	// expirySoon is when a certificate's end is worth a warning.
	expirySoon = 30 * 24 * time.Hour
)

// checkSignIn signs in as the application and returns the access to Graph.
func (c *Connector) checkSignIn(ctx context.Context, secrets secrets, area *check.Area) (*graphAccess, []string) {
	c.checkExpiry(area)
	quiet := newHealth(func(context.Context) error { return nil }, time.Now)
	graph, err := c.openGraph(ctx, secrets, nil, quiet, func() {})
	if err != nil {
		area.Wrong("setup", err.Error(), "see the comments of the example of `teamsbridge -e`")
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, graphCheckTimeout)
	defer cancel()
	token, err := graph.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{graph.endpoints.Scope}})
	if err != nil {
		fix := "check network.tenant_id, network.client_id and the secret or certificate against the app registration's pages"
		if teams.KindOf(err) == teams.KindUnavailable {
			fix = "check the way out to " + graph.endpoints.Login + ": network.proxy, network.ca_file, network.cloud, firewall, name resolution"
		}
		area.Wrong("refused", "the application can't sign in: "+explained(err), fix)
		return nil, nil
	}
	area.Right("application", "the application signs in at %s", graph.endpoints.Login)
	roles, readable := tokenRoles(token.Token)
	if !readable {
		return graph, nil
	}
	return graph, roles
}

// explained is an error of Graph's for operators, with the hint that came with it.
func explained(err error) string {
	var e *teams.Error
	if errors.As(err, &e) && e.Hint != "" {
		return err.Error() + " – " + e.Hint
	}
	return err.Error()
}

// checkExpiry says until when the credentials of the sign-in can be used.
func (c *Connector) checkExpiry(area *check.Area) {
	cert, err := certificateOf(c.Config.CertificateFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		area.Wrong("certificate", fmt.Sprintf("network.certificate_file has a certificate that can't be read: %v", err), "export it anew as PEM or PFX")
	} else if cert != nil {
		sayExpiry(area, "certificate", cert.NotAfter, "make a new one, upload it to the app registration and set network.certificate_file")
	}
	if c.Config.ClientSecret == "" && c.Config.ClientSecretFile == "" {
		return
	}
	at, err := c.Config.secretExpires()
	switch {
	case err != nil:
		return // Validate has said so
	case at.IsZero():
		area.Skipped("secret", "when the client secret expires is not known: note the date of the app registration's page in network.client_secret_expires")
	default:
		sayExpiry(area, "secret", at, "create a new secret in the app registration, and set network.client_secret and client_secret_expires")
	}
}

func sayExpiry(area *check.Area, what string, at time.Time, fix string) {
	date := at.UTC().Format(time.DateOnly)
	switch left := time.Until(at); {
	case left <= 0:
		area.Wrong(what, fmt.Sprintf("the %s has expired on %s", what, date), fix)
	case left < expirySoon:
		area.Doubt(what, fmt.Sprintf("the %s expires on %s", what, date), fix+" in time")
	default:
		area.Right(what, "the %s can be used until %s", what, date)
	}
}

// tokenRoles reads which application permissions a token says that it has.
// Microsoft promises nothing about the inside of Graph's tokens, so it decides
// nothing: what is missing is found by asking Graph.
func tokenRoles(token string) (roles []string, readable bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, false
	}
	var claims struct {
		Roles []string `json:"roles"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return nil, false
	}
	slices.Sort(claims.Roles)
	return claims.Roles, true
}

// wantedPermissions are the application permissions that the chosen mode uses
// (docs/permissions.md).
func (c *Connector) wantedPermissions() []string {
	wanted := []string{"ChannelMessage.Read.All", "Team.ReadBasic.All", "Channel.ReadBasic.All", "TeamMember.Read.All",
		"User.Read.All", "Organization.Read.All"}
	if slices.ContainsFunc(c.Config.Teams.MembershipTypes, func(t string) bool { return t != teams.MembershipStandard }) {
		wanted = append(wanted, "ChannelMember.Read.All")
	}
	if c.Config.Limits.FileSize > 0 {
		wanted = append(wanted, "Files.Read.All")
	}
	if c.Config.asksGroups() {
		wanted = append(wanted, "GroupMember.Read.All")
	}
	return wanted
}

// consentURL is where an administrator grants what the registration lists.
func (c *Connector) consentURL(graph *graphAccess) string {
	return graph.endpoints.Login + "/" + c.Config.TenantID + "/adminconsent?client_id=" + c.Config.ClientID
}

// checkPermissions makes each kind of request once that the chosen mode makes.
// It returns what it has learned of the tenant on the way.
func (c *Connector) checkPermissions(ctx context.Context, graph *graphAccess, roles []string, area *check.Area) *tenantView {
	v := &tenantView{graph: graph, members: map[string][]teams.Member{}}
	ask := func(permission, what string, call func(ctx context.Context) error) bool {
		ctx, cancel := context.WithTimeout(ctx, graphCheckTimeout)
		defer cancel()
		err := call(ctx)
		switch kind := teams.KindOf(err); {
		case err == nil:
			area.Right(permission, "%s: %s", permission, what)
			return true
		case kind == teams.KindPermission:
			area.Wrong(permission, fmt.Sprintf("%s is missing: Graph refuses %s (%v)", permission, what, err),
				"add the application permission "+permission+" to the app registration and grant consent: "+c.consentURL(graph))
		default:
			area.Wrong("graph", fmt.Sprintf("Graph does not answer for %s: %s", what, explained(err)), "try again; if it stays, look at the way out to "+graph.endpoints.Graph)
		}
		return false
	}
	ask("Organization.Read.All", "the tenant's name", func(ctx context.Context) (err error) {
		v.name, err = graph.reader.Organization(ctx)
		return err
	})
	ask("User.Read.All", "the directory", func(ctx context.Context) (err error) {
		v.users, err = graph.reader.Users(ctx)
		return err
	})
	if !ask("Team.ReadBasic.All", "the list of teams", func(ctx context.Context) (err error) {
		v.teams, err = graph.reader.Teams(ctx)
		return err
	}) {
		return v
	}
	if !c.checkGroups(ctx, v, ask, area) {
		area.Skipped("teams", "which teams are selected is not known, so what needs one was not asked")
		return v
	}
	v.choose(newSelector(c.Config.Teams, nil, v.facts))
	if len(v.chosen) == 0 {
		area.Skipped("teams", "no team is selected, so what needs one was not asked")
		return v
	}
	c.checkTeam(ctx, v, ask)
	c.checkSuperfluous(roles, area)
	return v
}

// checkTeam asks what is asked of teams and their channels.
func (c *Connector) checkTeam(ctx context.Context, v *tenantView, ask func(permission, what string, call func(context.Context) error) bool) {
	reader := v.graph.reader
	first := v.chosen[0]
	if !ask("Channel.ReadBasic.All", "a team's channels", func(ctx context.Context) error { return v.readChannels(ctx, teamsTried) }) {
		return
	}
	ask("TeamMember.Read.All", "a team's members", func(ctx context.Context) error {
		members, err := reader.TeamMembers(ctx, first.ID)
		if err == nil {
			v.members[first.ID] = members
		}
		return err
	})
	if ch := v.find(func(ch teams.Channel) bool { return ch.MembershipType != teams.MembershipStandard }); ch != nil {
		ask("ChannelMember.Read.All", "a private or shared channel's members", func(ctx context.Context) error {
			_, err := reader.ChannelMembers(ctx, ch.Ref())
			return err
		})
	}
	ch := v.find(func(ch teams.Channel) bool { return ch.MembershipType == teams.MembershipStandard })
	if ch == nil {
		return
	}
	ask("ChannelMessage.Read.All", "messages", func(ctx context.Context) error { return c.readOnce(ctx, reader, *ch) })
	if c.Config.Limits.FileSize > 0 {
		ask("Files.Read.All", "a channel's folder", func(ctx context.Context) error {
			_, err := reader.ChannelFolder(ctx, ch.Ref())
			if teams.KindOf(err) == teams.KindNotFound {
				return nil // a channel that is new has none yet
			}
			return err
		})
	}
}

// readOnce reads with each of the readers that the configuration names.
func (c *Connector) readOnce(ctx context.Context, reader teams.Reader, ch teams.Channel) error {
	since := time.Now().Add(-time.Hour)
	var err error
	for _, name := range c.Config.Poller.Readers {
		switch name {
		case "export":
			_, err = reader.ExportTeam(ctx, ch.TeamID, since, "")
		case "delta":
			_, err = reader.Delta(ctx, ch.Ref(), since, "")
		case "list":
			_, err = reader.List(ctx, ch.Ref(), "")
		}
		if err != nil {
			return fmt.Errorf("reader %s: %w", name, err)
		}
	}
	return nil
}

// checkSuperfluous says which permissions the application has and never uses.
func (c *Connector) checkSuperfluous(roles []string, area *check.Area) {
	if roles == nil {
		area.Skipped("superfluous", "the token does not tell which permissions the application has, so whether some are superfluous is not known")
		return
	}
	wanted := c.wantedPermissions()
	var extra []string
	for _, role := range roles {
		if !slices.Contains(wanted, role) && !strings.HasSuffix(role, ".Group") {
			extra = append(extra, role)
		}
	}
	if len(extra) > 0 {
		area.Doubt("superfluous", "the application has permissions that this configuration never uses: "+strings.Join(extra, ", "), "remove them from the app registration, unless something else uses it")
		return
	}
	area.Right("superfluous", "the application has no permission that is not used")
}

// tenantView is what a check has learned of the tenant.
type tenantView struct {
	graph *graphAccess
	name  string
	users []teams.User
	teams []teams.Team
	// chosen are the teams that are mirrored, channels those of some of them.
	chosen   []teams.Team
	selector *selector
	channels []teams.Channel
	members  map[string][]teams.Member
	// facts are what rules ask about teams, allowed who is mapped by mapping.members_of.
	facts   map[string]teamFacts
	allowed map[string]bool
}

func (v *tenantView) choose(sel *selector) {
	v.selector = sel
	for _, t := range v.teams {
		if sel.team(t).mirror || sel.anyChannelChosen(t.ID) {
			v.chosen = append(v.chosen, t)
		}
	}
}

// readChannels reads the channels of teams until there is one of each kind.
func (v *tenantView) readChannels(ctx context.Context, limit int) error {
	kinds := map[string]bool{}
	for i, t := range v.chosen {
		if i == limit || kinds[teams.MembershipStandard] && len(kinds) > 1 {
			return nil
		}
		list, err := v.graph.reader.Channels(ctx, t.ID)
		if err != nil {
			return err
		}
		for _, ch := range list {
			kinds[ch.MembershipType] = true
		}
		v.channels = append(v.channels, list...)
	}
	return nil
}

func (v *tenantView) find(is func(teams.Channel) bool) *teams.Channel {
	if i := slices.IndexFunc(v.channels, is); i >= 0 {
		return &v.channels[i]
	}
	return nil
}

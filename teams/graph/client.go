package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	abstractions "github.com/microsoft/kiota-abstractions-go"
	"github.com/microsoftgraph/msgraph-sdk-go/organization"
	sdkteams "github.com/microsoftgraph/msgraph-sdk-go/teams"
	"github.com/microsoftgraph/msgraph-sdk-go/users"
	"github.com/rs/zerolog"
	"teamsbridge/teams"
)

// Options configures New.
type Options struct {
	Endpoints teams.Endpoints
	// Credential is the application's.
	Credential Credential
	// HTTP is a client of teams.NewHTTPClient.
	HTTP     *http.Client
	TenantID string
	Logger   zerolog.Logger
}

// Client reads the tenant and manages subscriptions.
type Client struct {
	*conn
	*teams.Files
	tenantID string
	log      zerolog.Logger
}

var (
	_ teams.Reader          = (*Client)(nil)
	_ teams.SubscriptionAPI = (*Client)(nil)
)

// New returns a Client; nothing is sent yet.
func New(o Options) (*Client, error) {
	c, err := newConn(o.Endpoints, o.Credential, o.HTTP)
	if err != nil {
		return nil, err
	}
	files := teams.NewFiles(teams.FilesOptions{Endpoints: o.Endpoints, Credential: o.Credential, HTTP: o.HTTP})
	return &Client{conn: c, Files: files, tenantID: o.TenantID, log: o.Logger}, nil
}

const (
	// maxItems bounds a list, so that links in a circle end.
	maxItems = 500_000
	maxPages = 10_000
	maxPhoto = 4 << 20
	pageSize = int32(999)
)

// list collects all pages of a list.
func list[W any](ctx context.Context, c *conn, op string, info *abstractions.RequestInformation, err error) ([]W, error) {
	var all []W
	for range maxPages {
		raw, err := c.read(ctx, info, err)
		if err != nil {
			return nil, err
		}
		var page struct {
			Value []W    `json:"value"`
			Next  string `json:"@odata.nextLink"`
		}
		if err := json.Unmarshal(raw, &page); err != nil {
			return nil, garbled(op, err)
		}
		all = append(all, page.Value...)
		if page.Next == "" {
			return all, nil
		}
		if len(all) > maxItems {
			break
		}
		if info, err = c.follow(page.Next); err != nil {
			return nil, err
		}
	}
	return nil, garbled(op, errors.New("the list does not end"))
}

func get[W any](ctx context.Context, c *conn, op string, info *abstractions.RequestInformation, err error) (W, error) {
	var w W
	raw, err := c.read(ctx, info, err)
	if err != nil {
		return w, err
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		return w, garbled(op, err)
	}
	return w, nil
}

// Organization implements teams.Reader.
func (c *Client) Organization(ctx context.Context) (string, error) {
	info, err := c.client.Organization().ToGetRequestInformation(ctx, &organization.OrganizationRequestBuilderGetRequestConfiguration{
		QueryParameters: &organization.OrganizationRequestBuilderGetQueryParameters{Select: []string{"id", "displayName"}},
	})
	orgs, err := list[struct{ ID, DisplayName string }](ctx, c.conn, "GET organization", info, err)
	if err != nil {
		return "", err
	}
	for _, o := range orgs {
		if len(orgs) == 1 || strings.EqualFold(o.ID, c.tenantID) {
			return o.DisplayName, nil
		}
	}
	return "", garbled("GET organization", errors.New("the tenant is not in the answer"))
}

type wireTeam struct {
	ID, DisplayName, Description, Visibility, WebURL string
	IsArchived                                       *bool
}

func (w wireTeam) team() teams.Team {
	return teams.Team{ID: w.ID, DisplayName: w.DisplayName, Description: w.Description, Visibility: w.Visibility,
		WebURL: w.WebURL, Archived: w.IsArchived != nil && *w.IsArchived}
}

// Teams implements teams.Reader. Graph fills only names and descriptions in
// this list; Team has the rest.
func (c *Client) Teams(ctx context.Context) ([]teams.Team, error) {
	info, err := c.client.Teams().ToGetRequestInformation(ctx, nil)
	items, err := list[wireTeam](ctx, c.conn, "GET teams", info, err)
	if err != nil {
		return nil, err
	}
	out := make([]teams.Team, 0, len(items))
	for _, w := range items {
		if w.ID != "" {
			out = append(out, w.team())
		}
	}
	return out, nil
}

// Team implements teams.Reader.
func (c *Client) Team(ctx context.Context, teamID string) (teams.Team, error) {
	if err := need(teamID); err != nil {
		return teams.Team{}, err
	}
	info, err := c.client.Teams().ByTeamId(teamID).ToGetRequestInformation(ctx, nil)
	w, err := get[wireTeam](ctx, c.conn, "GET team", info, err)
	return w.team(), err
}

type wireChannel struct {
	ID, DisplayName, Description, MembershipType, LayoutType, WebURL, TenantID string
	IsArchived                                                                 *bool
	CreatedDateTime                                                            wireTime
}

func (w wireChannel) channel(teamID string) teams.Channel {
	return teams.Channel{ID: w.ID, TeamID: teamID, DisplayName: w.DisplayName, Description: w.Description,
		MembershipType: w.MembershipType, LayoutType: w.LayoutType, WebURL: w.WebURL, TenantID: w.TenantID,
		Archived: w.IsArchived != nil && *w.IsArchived, Created: w.CreatedDateTime.Time}
}

// Channels implements teams.Reader. The list has the channels that the team
// hosts, shared ones included, and none that other teams share with it.
func (c *Client) Channels(ctx context.Context, teamID string) ([]teams.Channel, error) {
	if err := need(teamID); err != nil {
		return nil, err
	}
	team := c.client.Teams().ByTeamId(teamID)
	info, err := team.Channels().ToGetRequestInformation(ctx, nil)
	items, err := list[wireChannel](ctx, c.conn, "GET channels", info, err)
	if err != nil {
		return nil, err
	}
	// General may have any name; only this call tells which it is.
	info, err = team.PrimaryChannel().ToGetRequestInformation(ctx, nil)
	primary, err := get[wireChannel](ctx, c.conn, "GET primary channel", info, err)
	if err != nil && teams.KindOf(err) != teams.KindNotFound {
		return nil, err
	}
	out := make([]teams.Channel, 0, len(items))
	for _, w := range items {
		if w.ID == "" {
			continue
		}
		ch := w.channel(teamID)
		ch.General = ch.ID == primary.ID
		out = append(out, ch)
	}
	return out, nil
}

type wireMember struct {
	UserID, DisplayName, Email, TenantID string
	Roles                                []string
}

func members(items []wireMember) []teams.Member {
	out := make([]teams.Member, 0, len(items))
	for _, w := range items {
		if w.UserID != "" {
			out = append(out, teams.Member(w))
		}
	}
	return out
}

// TeamMembers implements teams.Reader.
func (c *Client) TeamMembers(ctx context.Context, teamID string) ([]teams.Member, error) {
	if err := need(teamID); err != nil {
		return nil, err
	}
	top := pageSize
	info, err := c.client.Teams().ByTeamId(teamID).Members().ToGetRequestInformation(ctx, &sdkteams.ItemMembersRequestBuilderGetRequestConfiguration{
		QueryParameters: &sdkteams.ItemMembersRequestBuilderGetQueryParameters{Top: &top},
	})
	items, err := list[wireMember](ctx, c.conn, "GET team members", info, err)
	return members(items), err
}

// ChannelMembers implements teams.Reader.
func (c *Client) ChannelMembers(ctx context.Context, ch teams.ChannelRef) ([]teams.Member, error) {
	if err := need(ch.TeamID, ch.ChannelID); err != nil {
		return nil, err
	}
	info, err := c.client.Teams().ByTeamId(ch.TeamID).Channels().ByChannelId(ch.ChannelID).AllMembers().ToGetRequestInformation(ctx, nil)
	items, err := list[wireMember](ctx, c.conn, "GET channel members", info, err)
	return members(items), err
}

type wireUser struct {
	ID, DisplayName, UserPrincipalName, Mail, UserType string
	AccountEnabled                                     *bool
}

func (w wireUser) user() teams.User {
	return teams.User{ID: w.ID, DisplayName: w.DisplayName, UPN: w.UserPrincipalName, Mail: w.Mail, UserType: w.UserType,
		Enabled: w.AccountEnabled == nil || *w.AccountEnabled}
}

func userFields() []string {
	return []string{"id", "displayName", "userPrincipalName", "mail", "userType", "accountEnabled"}
}

// Users implements teams.Reader.
func (c *Client) Users(ctx context.Context) ([]teams.User, error) {
	top := pageSize
	info, err := c.client.Users().ToGetRequestInformation(ctx, &users.UsersRequestBuilderGetRequestConfiguration{
		QueryParameters: &users.UsersRequestBuilderGetQueryParameters{Select: userFields(), Top: &top},
	})
	items, err := list[wireUser](ctx, c.conn, "GET users", info, err)
	if err != nil {
		return nil, err
	}
	out := make([]teams.User, 0, len(items))
	for _, w := range items {
		if w.ID != "" {
			out = append(out, w.user())
		}
	}
	return out, nil
}

// User implements teams.Reader.
func (c *Client) User(ctx context.Context, userID string) (teams.User, error) {
	if err := need(userID); err != nil {
		return teams.User{}, err
	}
	info, err := c.client.Users().ByUserId(userID).ToGetRequestInformation(ctx, &users.UserItemRequestBuilderGetRequestConfiguration{
		QueryParameters: &users.UserItemRequestBuilderGetQueryParameters{Select: userFields()},
	})
	w, err := get[wireUser](ctx, c.conn, "GET user", info, err)
	return w.user(), err
}

// UserPhoto implements teams.Reader.
func (c *Client) UserPhoto(ctx context.Context, userID string) ([]byte, string, error) {
	if err := need(userID); err != nil {
		return nil, "", err
	}
	info, err := c.client.Users().ByUserId(userID).Photo().Content().ToGetRequestInformation(ctx, nil)
	return c.photo(ctx, info, err)
}

// TeamPhoto implements teams.Reader.
func (c *Client) TeamPhoto(ctx context.Context, teamID string) ([]byte, string, error) {
	if err := need(teamID); err != nil {
		return nil, "", err
	}
	info, err := c.client.Teams().ByTeamId(teamID).Photo().Content().ToGetRequestInformation(ctx, nil)
	return c.photo(ctx, info, err)
}

func (c *Client) photo(ctx context.Context, info *abstractions.RequestInformation, err error) ([]byte, string, error) {
	resp, err := c.open(teams.WithBodyLimit(ctx, maxPhoto), info, err)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, "", typed(err)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, "", &teams.Error{Op: "GET photo", Kind: teams.KindNotFound, Status: resp.StatusCode}
	}
	return data, contentType(resp.Header.Get("Content-Type"), data), nil
}

// contentType returns what the answer says, or what the data look like where
// it does not say.
func contentType(header string, data []byte) string {
	typ, _, _ := strings.Cut(header, ";")
	if typ = strings.ToLower(strings.TrimSpace(typ)); typ == "" || typ == "application/octet-stream" {
		return http.DetectContentType(data)
	}
	return typ
}

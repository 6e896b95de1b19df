package teamstest

import "net/url"

// wireTeam has the properties of a team that matter to anybody. Lists leave
// most of them null.
type wireTeam struct {
	Context       string         `json:"@odata.context,omitempty"`
	ID            string         `json:"id"`
	Created       *string        `json:"createdDateTime"`
	DisplayName   string         `json:"displayName"`
	Description   string         `json:"description"`
	InternalID    *string        `json:"internalId"`
	Classif       *string        `json:"classification"`
	Special       *string        `json:"specialization"`
	Visibility    *string        `json:"visibility"`
	WebURL        *string        `json:"webUrl"`
	IsArchived    *bool          `json:"isArchived"`
	TenantID      *string        `json:"tenantId"`
	OwnersOnly    *bool          `json:"isMembershipLimitedToOwners"`
	MemberSetting map[string]any `json:"memberSettings"`
	GuestSettings map[string]any `json:"guestSettings"`
	Messaging     map[string]any `json:"messagingSettings"`
	FunSettings   map[string]any `json:"funSettings"`
	Discovery     map[string]any `json:"discoverySettings"`
}

// wire renders a team, whole or as lists show it. The tenant's lock is held.
func (team *Team) wire(whole bool) wireTeam {
	w := wireTeam{ID: team.ID, DisplayName: team.displayName, Description: team.description}
	visibility := team.visibility
	w.Visibility = &visibility
	if !whole {
		return w
	}
	no, archived := false, team.archived
	w.Created = graphTimePtr(team.created)
	w.InternalID, w.TenantID = &team.channels[0].ID, &team.t.TenantID
	webURL := "https://teams.microsoft.com/l/team/" + url.QueryEscape(team.channels[0].ID) + "/conversations?groupId=" + team.ID + "&tenantId=" + team.t.TenantID
	w.WebURL, w.IsArchived, w.OwnersOnly = &webURL, &archived, &no
	w.MemberSetting = map[string]any{"allowCreateUpdateChannels": true, "allowDeleteChannels": true}
	w.GuestSettings = map[string]any{"allowCreateUpdateChannels": false, "allowDeleteChannels": false}
	w.Messaging = map[string]any{
		"allowUserEditMessages": true, "allowUserDeleteMessages": true, "allowOwnerDeleteMessages": true,
		"allowTeamMentions": true, "allowChannelMentions": true,
	}
	w.FunSettings = map[string]any{"allowGiphy": true, "allowStickersAndMemes": true}
	w.Discovery = map[string]any{"showInTeamsSearchAndSuggestions": true}
	return w
}

type wireChannel struct {
	Context     string  `json:"@odata.context,omitempty"`
	ODataID     string  `json:"@odata.id,omitempty"`
	ID          string  `json:"id"`
	Created     string  `json:"createdDateTime"`
	DisplayName string  `json:"displayName"`
	Description *string `json:"description"`
	Favorite    *bool   `json:"isFavoriteByDefault"`
	Email       *string `json:"email"`
	TenantID    string  `json:"tenantId"`
	WebURL      string  `json:"webUrl"`
	Membership  string  `json:"membershipType"`
	IsArchived  bool    `json:"isArchived"`
	Layout      string  `json:"layoutType"`
}

// wire renders a channel. The tenant's lock is held.
func (c *Channel) wire() wireChannel {
	return wireChannel{
		ID: c.ID, Created: graphTime(c.created), DisplayName: c.displayName, Description: nullIfEmpty(c.description),
		TenantID: c.tenantID, Membership: c.kind, IsArchived: c.archived || c.team.archived, Layout: "post",
		WebURL: "https://teams.microsoft.com/l/channel/" + url.QueryEscape(c.ID) + "/" + url.PathEscape(c.displayName) +
			"?groupId=" + c.team.ID + "&tenantId=" + c.tenantID + "&allowXTenantAccess=False",
	}
}

// forReader hides the membership type that was added after the enum's first
// version from readers that did not ask for it.
func (w wireChannel) forReader(unknownMembers bool) wireChannel {
	if w.Membership == Shared && !unknownMembers {
		w.Membership = "unknownFutureValue"
	}
	return w
}

type wireMember struct {
	ODataType      string   `json:"@odata.type"`
	ID             string   `json:"id"`
	Roles          []string `json:"roles"`
	DisplayName    string   `json:"displayName"`
	VisibleHistory string   `json:"visibleHistoryStartDateTime"`
	UserID         string   `json:"userId"`
	Email          *string  `json:"email"`
	TenantID       string   `json:"tenantId"`
}

func (m *membership) wire(t *Tenant) wireMember {
	return wireMember{
		ODataType: "#microsoft.graph.aadUserConversationMember", ID: m.id, Roles: m.roles(),
		DisplayName: m.user.displayName, VisibleHistory: "0001-01-01T00:00:00Z",
		UserID: m.user.ID, Email: nullIfEmpty(m.user.mail), TenantID: t.TenantID,
	}
}

// property returns a property of a person by its Graph name.
func (u *User) property(name string) (any, bool) {
	switch name {
	case "id":
		return u.ID, true
	case "displayName":
		return u.displayName, true
	case "userPrincipalName":
		return u.upn, true
	case "mail":
		return nullIfEmpty(u.mail), true
	case "jobTitle":
		return nullIfEmpty(u.jobTitle), true
	case "userType":
		if u.guest {
			return "Guest", true
		}
		return "Member", true
	case "accountEnabled":
		return u.enabled, true
	case "createdDateTime":
		return graphTime(u.created), true
	case "businessPhones", "proxyAddresses", "otherMails":
		return []string{}, true
	case "givenName", "surname", "mobilePhone", "officeLocation", "preferredLanguage", "department", "employeeId":
		return nil, true
	default:
		return nil, false
	}
}

// defaultUserProperties are what Graph returns of a person without $select.
// Whether the account is enabled, and whether it is a guest's, is not among
// them.
func defaultUserProperties() []string {
	return []string{
		"businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone",
		"officeLocation", "preferredLanguage", "surname", "userPrincipalName", "id",
	}
}

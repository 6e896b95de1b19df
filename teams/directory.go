package teams

import "time"

// Team is a team of the tenant (resource team).
type Team struct {
	ID          string
	DisplayName string
	Description string
	Visibility  string
	WebURL      string
	Archived    bool
}

// Group is what the directory says about a Microsoft 365 group, such as a team's,
// whose id is the same.
type Group struct {
	ID           string
	Mail         string
	MailNickname string
	// Visibility is Public, Private or HiddenMembership.
	Visibility string
	Labels     []Label
}

// Label is a sensitivity label of a group.
type Label struct{ ID, Name string }

// GroupMembers are the users and the groups in a group, those in groups in it
// included.
type GroupMembers struct{ Users, Groups []string }

// The membership types of a Channel.
const (
	MembershipStandard = "standard"
	MembershipPrivate  = "private"
	MembershipShared   = "shared"
)

// Channel is a channel hosted by a team (resource channel).
type Channel struct {
	ID          string
	TeamID      string
	DisplayName string
	Description string
	// MembershipType is "standard", "private" or "shared".
	MembershipType string
	// LayoutType is "post" or "chat"; empty where the cloud does not say.
	LayoutType string
	WebURL     string
	// TenantID is the tenant that owns the channel; other tenants' channels
	// that are shared into a team can't be read with our application token.
	TenantID string
	Archived bool
	// General marks the team's primary channel, whatever its name.
	General bool
	Created time.Time
}

// Ref returns the channel's name for Graph paths.
func (c Channel) Ref() ChannelRef { return ChannelRef{TeamID: c.TeamID, ChannelID: c.ID} }

// Member is a member of a team or channel (resource aadUserConversationMember).
type Member struct {
	UserID      string
	DisplayName string
	Email       string
	TenantID    string
	Roles       []string
}

// IsOwner reports whether the member owns the team or channel.
func (m Member) IsOwner() bool { return m.hasRole("owner") }

// IsGuest reports whether the member is a guest.
func (m Member) IsGuest() bool { return m.hasRole("guest") }

func (m Member) hasRole(role string) bool {
	for _, r := range m.Roles {
		if r == role {
			return true
		}
	}
	return false
}

// User is a person of the directory (resource user).
type User struct {
	ID          string
	DisplayName string
	UPN         string
	Mail        string
	// UserType is "Member" or "Guest".
	UserType string
	Enabled  bool
}

// Account is a person whose delegated sign-in the bridge holds.
type Account struct {
	UserID      string
	UPN         string
	DisplayName string
}

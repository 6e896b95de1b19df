package teamstest

import "time"

// Membership types of channels.
const (
	Standard = "standard"
	Private  = "private"
	Shared   = "shared"
)

// membership is one person's place in a team or channel.
type membership struct {
	id    string // opaque, as in URLs
	user  *User
	owner bool
	since time.Time
}

// Team is a team of the tenant.
type Team struct {
	// ID is the team's id, which is its group's id too. It never changes.
	ID string

	t           *Tenant
	displayName string
	description string
	visibility  string
	archived    bool
	deleted     bool
	created     time.Time
	members     []*membership
	channels    []*Channel // the primary channel first; deleted ones stay
	photo       []byte
	photoType   string
}

// Channel is a channel of a team.
type Channel struct {
	// ID is the channel's id. It never changes.
	ID string

	t           *Tenant
	team        *Team
	displayName string
	description string
	kind        string
	archived    bool
	deleted     bool
	created     time.Time
	members     []*membership // of private and shared channels
	sharedWith  []*Team
}

// team finds a team that exists. t.mu is held.
func (t *Tenant) team(id string) *Team {
	if team := t.teamsByID[id]; team != nil && !team.deleted {
		return team
	}
	return nil
}

// channel finds a channel of the team that exists. The tenant's lock is held.
func (team *Team) channel(id string) *Channel {
	for _, c := range team.channels {
		if c.ID == id && !c.deleted {
			return c
		}
	}
	return nil
}

func (team *Team) member(userID string) *membership { return findMember(team.members, userID) }

func findMember(list []*membership, userID string) *membership {
	for _, m := range list {
		if m.user.ID == userID {
			return m
		}
	}
	return nil
}

// mayRead reports whether a person sees a channel: members of the team see
// standard channels, private and shared ones have members of their own. The
// tenant's lock is held.
func (c *Channel) mayRead(userID string) bool {
	if c.kind == Standard {
		return c.team.member(userID) != nil
	}
	if findMember(c.members, userID) != nil {
		return true
	}
	for _, team := range c.sharedWith {
		if team.member(userID) != nil {
			return true
		}
	}
	return false
}

package teamstest

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"
)

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
}

// TeamSpec describes a team to add.
type TeamSpec struct {
	// ID is the team's id, "" for one of the tenant's making.
	ID          string
	DisplayName string
	Description string
	// Visibility is public or private, "" for private.
	Visibility string
	Owners     []*User
	Members    []*User
	// MailNickname is the name of the team's group in addresses, "" for one made
	// from the display name.
	MailNickname string
	// Label is the name of the group's sensitivity label, "" for none.
	Label string
	// General is the name of the primary channel, "" for General.
	General string
	// At is when it was created, zero for now.
	At time.Time
}

// Team is a team of the tenant.
type Team struct {
	// ID is the team's id, which is its group's id too. It never changes.
	ID string

	t           *Tenant
	displayName string
	description string
	visibility  string
	nickname    string
	label       string
	archived    bool
	deleted     bool
	created     time.Time
	members     []*membership
	channels    []*Channel // the primary channel first; deleted ones stay
	incoming    []*Channel // shared into the team by others
	photo       []byte
	photoType   string
}

// AddTeam adds a team with its primary channel. No system messages tell of
// what a team starts with.
func (t *Tenant) AddTeam(spec TeamSpec) *Team {
	t.mu.Lock()
	defer t.unlock()
	team := &Team{
		ID: spec.ID, t: t, displayName: spec.DisplayName, description: spec.Description,
		visibility: orDefault(spec.Visibility, "private"), created: spec.At,
		nickname: orDefault(spec.MailNickname, strings.ReplaceAll(localPart(spec.DisplayName), ".", "")), label: spec.Label,
	}
	if team.ID == "" {
		team.ID = t.ids.guid()
	}
	if team.created.IsZero() {
		team.created = t.clock.Now()
	}
	for _, u := range spec.Owners {
		team.members = append(team.members, newMembership(team.ID, u, true))
	}
	for _, u := range spec.Members {
		if team.member(u.ID) == nil {
			team.members = append(team.members, newMembership(team.ID, u, false))
		}
	}
	t.teams = append(t.teams, team)
	t.teamsByID[team.ID] = team
	general := team.newChannel(ChannelSpec{DisplayName: orDefault(spec.General, "General"), At: team.created})
	team.emit(changeTeamCreated)
	general.emit(changeChannelCreated)
	return team
}

// Team returns the team with that id, nil if there is none.
func (t *Tenant) Team(id string) *Team { return locked(t, func() *Team { return t.team(id) }) }

// Teams returns the teams that exist.
func (t *Tenant) Teams() []*Team {
	return locked(t, func() []*Team {
		return slices.DeleteFunc(slices.Clone(t.teams), func(team *Team) bool { return team.deleted })
	})
}

// team finds a team that exists. t.mu is held.
func (t *Tenant) team(id string) *Team {
	if team := t.teamsByID[id]; team != nil && !team.deleted {
		return team
	}
	return nil
}

// DisplayName is the team's name.
func (team *Team) DisplayName() string {
	return locked(team.t, func() string { return team.displayName })
}

// General is the team's primary channel, whatever its name.
func (team *Team) General() *Channel {
	return locked(team.t, func() *Channel { return team.channels[0] })
}

// Channels returns the channels that the team owns, the primary one first.
func (team *Team) Channels() []*Channel { return locked(team.t, team.existing) }

func (team *Team) existing() []*Channel {
	return slices.DeleteFunc(slices.Clone(team.channels), func(c *Channel) bool { return c.deleted })
}

// Channel returns the team's channel with that id or name, nil if none.
func (team *Team) Channel(key string) *Channel {
	return locked(team.t, func() *Channel {
		for _, c := range team.existing() {
			if c.ID == key || c.displayName == key {
				return c
			}
		}
		return nil
	})
}

// Members returns who belongs to the team.
func (team *Team) Members() []*User {
	return locked(team.t, func() []*User { return people(team.members) })
}

// Rename gives the team another name.
func (team *Team) Rename(by *User, name string) {
	team.change(changeTeamUpdated, func() {
		team.displayName = name
		team.tell(event{kind: "teamRenamed", initiator: by, fields: []eventField{{"teamId", team.ID}, {"teamDisplayName", name}}})
	})
}

// SetDescription changes what the team says it is for.
func (team *Team) SetDescription(by *User, text string) {
	team.change(changeTeamUpdated, func() {
		team.description = text
		team.tell(event{kind: "teamDescriptionUpdated", initiator: by, fields: []eventField{{"teamId", team.ID}, {"teamDescription", text}}})
	})
}

// SetArchived makes the team read-only, or not.
func (team *Team) SetArchived(by *User, archived bool) {
	team.change(changeTeamUpdated, func() {
		if team.archived == archived {
			return
		}
		team.archived = archived
		kind := "teamUnarchived"
		if archived {
			kind = "teamArchived"
		}
		team.tell(event{kind: kind, initiator: by, fields: []eventField{{"teamId", team.ID}}})
	})
}

// Delete removes the team and its channels.
func (team *Team) Delete() { team.change(changeTeamDeleted, func() { team.deleted = true }) }

// Restore brings a deleted team back as it was.
func (team *Team) Restore() { team.change(changeTeamCreated, func() { team.deleted = false }) }

// SetPhoto gives the team a picture; nil takes it away.
func (team *Team) SetPhoto(data []byte, contentType string) {
	team.t.mu.Lock()
	defer team.t.unlock()
	team.photo, team.photoType = slices.Clone(data), contentType
}

// AddMember adds a person. The primary channel tells of it.
func (team *Team) AddMember(by, u *User) {
	team.t.mu.Lock()
	defer team.t.unlock()
	if team.member(u.ID) != nil {
		return
	}
	m := newMembership(team.ID, u, false)
	team.members = append(team.members, m)
	team.emitMember(changeMemberCreated, nil, m)
	team.tell(event{kind: "membersAdded", initiator: by, members: []*User{u}, visibleHistory: true})
}

// RemoveMember removes a person, from the team's private and shared channels
// too.
func (team *Team) RemoveMember(by, u *User) {
	team.t.mu.Lock()
	defer team.t.unlock()
	team.removeMember(u, by)
}

func (team *Team) removeMember(u, by *User) {
	m := team.member(u.ID)
	if m == nil {
		return
	}
	for _, c := range team.channels {
		c.removeMember(u, by)
	}
	team.members = slices.DeleteFunc(team.members, func(other *membership) bool { return other == m })
	team.emitMember(changeMemberDeleted, nil, m)
	team.tell(event{kind: "membersDeleted", initiator: by, members: []*User{u}})
}

// SetOwner makes a member an owner, or not.
func (team *Team) SetOwner(by, u *User, owner bool) {
	team.t.mu.Lock()
	defer team.t.unlock()
	m := team.member(u.ID)
	if m == nil || m.owner == owner {
		return
	}
	m.owner = owner
	team.emitMember(changeMemberUpdated, nil, m)
	team.tell(event{kind: "conversationMemberRoleUpdated", initiator: by, fields: []eventField{
		{"conversationMemberRoles", m.roles()}, {"conversationMemberUser", u.eventIdentity()},
	}})
}

// tell posts a system message in the primary channel.
func (team *Team) tell(e event) { team.channels[0].tell(e) }

func (team *Team) change(kind changeKind, alter func()) {
	team.t.mu.Lock()
	defer team.t.unlock()
	alter()
	team.emit(kind)
}

func (team *Team) emit(kind changeKind) {
	team.t.emit(change{Kind: kind, TeamID: team.ID, Resource: "teams('" + team.ID + "')", object: team.wire(true)})
}

// emitMember tells the edge of a change of a team's members, or of a channel's.
func (team *Team) emitMember(kind changeKind, c *Channel, m *membership) {
	ch := change{Kind: kind, TeamID: team.ID, UserID: m.user.ID, MemberID: m.id, object: m.wire(team.t)}
	ch.Resource = "teams('" + team.ID + "')"
	if c != nil {
		ch.ChannelID = c.ID
		ch.Resource += "/channels('" + c.ID + "')"
	}
	ch.Resource += "/members('" + m.id + "')"
	team.t.emit(ch)
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

func newMembership(conversationID string, u *User, owner bool) *membership {
	id := base64.StdEncoding.EncodeToString([]byte("MCMjMiMj" + u.t.TenantID + "##" + conversationID + "##" + u.ID))
	return &membership{id: id, user: u, owner: owner}
}

func (m *membership) roles() []string {
	switch {
	case m.owner:
		return []string{"owner"}
	case m.user.guest:
		return []string{"guest"}
	default:
		return []string{}
	}
}

func people(list []*membership) []*User {
	users := make([]*User, len(list))
	for i, m := range list {
		users[i] = m.user
	}
	return users
}

func orDefault(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

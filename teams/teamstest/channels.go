package teamstest

import (
	"slices"
	"time"
)

// ChannelSpec describes a channel to add.
type ChannelSpec struct {
	// ID is the channel's id, "" for one of the tenant's making.
	ID          string
	DisplayName string
	Description string
	// Kind is Standard, Private or Shared, "" for Standard.
	Kind string
	// Owners and Members belong to a private or shared channel.
	Owners, Members []*User
	// SharedWith are the teams that a shared channel is shared with.
	SharedWith []*Team
	// By is who created it, told in the primary channel.
	By *User
	// At is when it was created, zero for now.
	At time.Time
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
	// tenantID is the owner of a channel that came from another tenant.
	tenantID string

	messages map[string]*Message
	roots    []*Message // oldest first

	// folder is the name of the channel's folder, which stays when the channel
	// is renamed.
	folder string
	files  []*File // oldest first
}

// AddChannel adds a channel. The primary channel tells of it.
func (team *Team) AddChannel(spec ChannelSpec) *Channel {
	team.t.mu.Lock()
	defer team.t.unlock()
	c := team.newChannel(spec)
	c.emit(changeChannelCreated)
	if c.kind == Standard {
		team.channels[0].tellAt(spec.At, event{kind: "channelAdded", initiator: spec.By, fields: c.eventFields()})
	}
	return c
}

func (team *Team) newChannel(spec ChannelSpec) *Channel {
	t := team.t
	c := &Channel{
		ID: spec.ID, t: t, team: team, displayName: spec.DisplayName, description: spec.Description,
		kind: orDefault(spec.Kind, Standard), created: spec.At, tenantID: t.TenantID,
		sharedWith: slices.Clone(spec.SharedWith), messages: map[string]*Message{}, folder: spec.DisplayName,
	}
	if c.ID == "" {
		c.ID = t.ids.channel()
	}
	if c.created.IsZero() {
		c.created = t.clock.Now()
	}
	if c.kind != Standard {
		for _, u := range spec.Owners {
			c.members = append(c.members, newMembership(c.ID, u, true))
		}
		for _, u := range spec.Members {
			if findMember(c.members, u.ID) == nil {
				c.members = append(c.members, newMembership(c.ID, u, false))
			}
		}
	}
	team.channels = append(team.channels, c)
	for _, other := range c.sharedWith {
		other.incoming = append(other.incoming, c)
	}
	return c
}

// AddForeignChannel shares a channel of another tenant into the team. It shows
// in allChannels and incomingChannels, and can not be read with this tenant's
// application tokens.
func (team *Team) AddForeignChannel(name string) *Channel {
	t := team.t
	t.mu.Lock()
	defer t.unlock()
	host := &Team{ID: t.ids.guid(), t: t, displayName: "Partner", visibility: "private", created: t.clock.Now()}
	c := &Channel{
		ID: t.ids.channel(), t: t, team: host, displayName: name, kind: Shared, created: t.clock.Now(),
		tenantID: t.ids.guid(), messages: map[string]*Message{},
	}
	host.channels = []*Channel{c}
	team.incoming = append(team.incoming, c)
	return c
}

// Team is the team that owns the channel.
func (c *Channel) Team() *Team { return c.team }

// DisplayName is the channel's name.
func (c *Channel) DisplayName() string { return locked(c.t, func() string { return c.displayName }) }

// Kind is Standard, Private or Shared.
func (c *Channel) Kind() string { return c.kind }

// Members returns who belongs to the channel: the team for a standard one.
func (c *Channel) Members() []*User { return locked(c.t, func() []*User { return people(c.direct()) }) }

// Rename gives the channel another name. The channel itself tells of it.
func (c *Channel) Rename(by *User, name string) {
	c.change(changeChannelUpdated, func() {
		c.displayName = name
		c.tell(event{kind: "channelRenamed", initiator: by, fields: c.eventFields()})
	})
}

// SetDescription changes what the channel says it is for.
func (c *Channel) SetDescription(by *User, text string) {
	c.change(changeChannelUpdated, func() {
		c.description = text
		c.tell(event{kind: "channelDescriptionUpdated", initiator: by, fields: []eventField{{"channelId", c.ID}, {"channelDescription", text}}})
	})
}

// SetArchived makes the channel read-only, or not.
func (c *Channel) SetArchived(archived bool) {
	c.change(changeChannelUpdated, func() { c.archived = archived })
}

// Delete removes the channel. The primary channel tells of it.
func (c *Channel) Delete(by *User) {
	c.change(changeChannelDeleted, func() {
		c.deleted = true
		if c.kind == Standard {
			c.team.tell(event{kind: "channelDeleted", initiator: by, fields: c.eventFields()})
		}
	})
}

// Restore brings a deleted channel back with its messages.
func (c *Channel) Restore() { c.change(changeChannelCreated, func() { c.deleted = false }) }

// AddMember adds a person to a private or shared channel.
func (c *Channel) AddMember(by, u *User) {
	c.t.mu.Lock()
	defer c.t.unlock()
	if c.kind == Standard || findMember(c.members, u.ID) != nil {
		return
	}
	m := newMembership(c.ID, u, false)
	c.members = append(c.members, m)
	c.team.emitMember(changeMemberCreated, c, m)
	c.tell(event{kind: "membersAdded", initiator: by, members: []*User{u}, visibleHistory: true})
}

// RemoveMember removes a person from a private or shared channel.
func (c *Channel) RemoveMember(by, u *User) {
	c.t.mu.Lock()
	defer c.t.unlock()
	c.removeMember(u, by)
}

func (c *Channel) removeMember(u, by *User) {
	m := findMember(c.members, u.ID)
	if m == nil {
		return
	}
	c.members = slices.DeleteFunc(c.members, func(other *membership) bool { return other == m })
	c.team.emitMember(changeMemberDeleted, c, m)
	c.tell(event{kind: "membersDeleted", initiator: by, members: []*User{u}})
}

func (c *Channel) change(kind changeKind, alter func()) {
	c.t.mu.Lock()
	defer c.t.unlock()
	alter()
	c.emit(kind)
}

func (c *Channel) emit(kind changeKind) {
	c.t.emit(change{
		Kind: kind, TeamID: c.team.ID, ChannelID: c.ID,
		Resource: "teams('" + c.team.ID + "')/channels('" + c.ID + "')", object: c.wire(),
	})
}

func (c *Channel) eventFields() []eventField {
	return []eventField{{"channelId", c.ID}, {"channelDisplayName", c.displayName}}
}

// direct are the channel's own members: the team's for a standard channel.
func (c *Channel) direct() []*membership {
	if c.kind == Standard {
		return c.team.members
	}
	return c.members
}

// indirect adds who may read through a team that the channel is shared with.
func (c *Channel) indirect() []*membership {
	all := slices.Clone(c.direct())
	for _, team := range c.sharedWith {
		for _, m := range team.members {
			if findMember(all, m.user.ID) == nil {
				all = append(all, newMembership(c.ID, m.user, false))
			}
		}
	}
	return all
}

// mayRead reports whether a person sees a channel: members of the team see
// standard channels, private and shared ones have members of their own. The
// tenant's lock is held.
func (c *Channel) mayRead(userID string) bool {
	if findMember(c.direct(), userID) != nil {
		return true
	}
	for _, team := range c.sharedWith {
		if team.member(userID) != nil {
			return true
		}
	}
	return false
}

// mayModerate reports whether a person owns the channel or its team.
func (c *Channel) mayModerate(userID string) bool {
	m := findMember(c.direct(), userID)
	return m != nil && m.owner
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

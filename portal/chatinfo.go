package portal

import (
	"context"

	"go.mau.fi/util/ptr"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/teams"
)

// maxTopic is the most bytes of a description that become a topic.
const maxTopic = 4096

// RoomMember is a person who belongs into a room or space.
type RoomMember struct {
	UserID string
	// MXID is the person's account, empty where there is none.
	MXID id.UserID
	// Mapped is set where a login stands for the person.
	Mapped bool
	// Admin gives power level 100, so that the room can be administered
	// without the bridge.
	Admin bool
	// Left removes the person, who was a member before.
	Left bool
}

// TeamInput is what a team's space is made of.
type TeamInput struct {
	Team    teams.Team
	Members []RoomMember
	// Total is how many members the team has, unmapped ones included.
	Total  int
	Avatar *bridgev2.Avatar
}

// ChannelInput is what a channel's room is made of.
type ChannelInput struct {
	Channel teams.Channel
	Team    teams.Team
	Members []RoomMember
	// Total is how many members the channel has, unmapped ones included.
	Total int
	// Relay takes over for Matrix users who are mapped to nobody.
	Relay *bridgev2.UserLogin
	// JoinRule is set only where it has to change: it is sent on every sync.
	JoinRule *event.JoinRulesEventContent
}

// TeamInfo returns what the space of a team looks like.
func TeamInfo(in TeamInput) *bridgev2.ChatInfo {
	return &bridgev2.ChatInfo{
		Name:    ptr.Ptr(in.Team.DisplayName),
		Topic:   ptr.Ptr(topic(in.Team.Description)),
		Avatar:  in.Avatar,
		Members: members(in.Members, in.Total),
		Type:    ptr.Ptr(database.RoomTypeSpace),

		ExcludeChangesFromTimeline: true,
		ExtraUpdates:               noteConversation("", in.Team.WebURL),
	}
}

// ChannelInfo returns what the room of a channel looks like. The General
// channel is named after its team too, since a room list shows rooms of many
// teams side by side.
func ChannelInfo(in ChannelInput) *bridgev2.ChatInfo {
	name := in.Channel.DisplayName
	if in.Channel.General && in.Team.DisplayName != "" {
		name = in.Team.DisplayName + " – " + name
	}
	parent := TeamPortal(in.Channel.TeamID).ID
	return &bridgev2.ChatInfo{
		Name:     ptr.Ptr(name),
		Topic:    ptr.Ptr(topic(in.Channel.Description)),
		Members:  members(in.Members, in.Total),
		JoinRule: in.JoinRule,
		Type:     ptr.Ptr(database.RoomTypeDefault),
		ParentID: ptr.Ptr(parent),

		ExcludeChangesFromTimeline: true,
		ExtraUpdates: bridgev2.MergeExtraUpdaters(
			noteConversation(in.Channel.MembershipType, in.Channel.WebURL), setRelay(in.Relay)),
	}
}

// members never lists unmapped people: their ghosts join with their first
// message. It is not a full list either, because a full one would remove
// Matrix users who are guests of the room.
func members(list []RoomMember, total int) *bridgev2.ChatMemberList {
	out := &bridgev2.ChatMemberList{
		ExcludeChangesFromTimeline: true,
		TotalMemberCount:           total,
		MemberMap:                  make(bridgev2.ChatMemberMap, len(list)),
		PowerLevels:                &bridgev2.PowerLevelOverrides{Events: map[event.Type]int{event.StateTombstone: 100}},
	}
	for _, m := range list {
		if !m.Mapped {
			continue
		}
		member := bridgev2.ChatMember{EventSender: personSender(m.UserID, true), Membership: event.MembershipJoin}
		switch {
		case m.Left:
			member.Membership, member.PrevMembership = event.MembershipLeave, event.MembershipJoin
		case m.Admin:
			member.PowerLevel = ptr.Ptr(100)
		}
		out.MemberMap.Set(member)
	}
	return out
}

// personSender names a person as the sender of something.
func personSender(userID string, mapped bool) bridgev2.EventSender {
	s := bridgev2.EventSender{Sender: UserID(userID)}
	if mapped {
		s.SenderLogin = LoginID(userID)
	}
	return s
}

func noteConversation(membership, webURL string) bridgev2.ExtraUpdater[*bridgev2.Portal] {
	return func(_ context.Context, p *bridgev2.Portal) bool {
		meta, ok := p.Metadata.(*PortalMetadata)
		if !ok || meta == nil {
			meta = &PortalMetadata{}
			p.Metadata = meta
		}
		changed := meta.Membership != membership || meta.WebURL != webURL || meta.Detached != ""
		meta.Membership, meta.WebURL, meta.Detached = membership, webURL, ""
		return changed
	}
}

func setRelay(relay *bridgev2.UserLogin) bridgev2.ExtraUpdater[*bridgev2.Portal] {
	if relay == nil {
		return nil
	}
	return func(_ context.Context, p *bridgev2.Portal) bool {
		if p.Relay == relay && p.RelayLoginID == relay.ID {
			return false
		}
		p.Relay, p.RelayLoginID = relay, networkid.UserLoginID(relay.ID)
		return true
	}
}

func topic(s string) string {
	if len(s) <= maxTopic {
		return s
	}
	cut := maxTopic
	for cut > 0 && s[cut]&0xc0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}

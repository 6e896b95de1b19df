package portal

import (
	"fmt"
	"strings"

	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"teamsbridge/teams"
)

const (
	teamPrefix        = "t:"
	channelPrefix     = "c:"
	provisionalPrefix = "~q:"
	appUserPrefix     = "app-"
)

// SourceField is the key under which events carry their source key.
const SourceField = "org.teamsbridge.source"

// TeamPortal names the space of a team.
func TeamPortal(teamID string) networkid.PortalKey {
	return networkid.PortalKey{ID: networkid.PortalID(teamPrefix + teamID)}
}

// ChannelPortal names the room of a channel.
func ChannelPortal(ref teams.ChannelRef) networkid.PortalKey {
	return networkid.PortalKey{ID: networkid.PortalID(channelPrefix + ref.String())}
}

// ParsePortal reads a portal id: a channel, or a team where ChannelID is empty.
func ParsePortal(portalID networkid.PortalID) (ref teams.ChannelRef, ok bool) {
	if teamID, isTeam := strings.CutPrefix(string(portalID), teamPrefix); isTeam {
		return teams.ChannelRef{TeamID: teamID}, teamID != ""
	}
	rest, isChannel := strings.CutPrefix(string(portalID), channelPrefix)
	if !isChannel {
		return teams.ChannelRef{}, false
	}
	ref.TeamID, ref.ChannelID, ok = strings.Cut(rest, "/")
	return ref, ok && ref.TeamID != "" && ref.ChannelID != ""
}

// MessageID names a Teams message for bridgev2, which needs ids that are unique
// over all rooms.
func MessageID(ref teams.ChannelRef, messageID string) networkid.MessageID {
	return networkid.MessageID(ref.ChannelID + "/" + messageID)
}

// ParseMessageID reverses MessageID; ok is false for provisional ids.
func ParseMessageID(msgID networkid.MessageID) (channelID, messageID string, ok bool) {
	if IsProvisional(msgID) {
		return "", "", false
	}
	i := strings.LastIndexByte(string(msgID), '/')
	if i <= 0 || i == len(msgID)-1 {
		return "", "", false
	}
	return string(msgID[:i]), string(msgID[i+1:]), true
}

// ProvisionalID names a Matrix message that Teams does not have yet.
func ProvisionalID(eventID id.EventID) networkid.MessageID {
	return networkid.MessageID(provisionalPrefix + eventID.String())
}

// IsProvisional reports whether a message id was made by ProvisionalID.
func IsProvisional(msgID networkid.MessageID) bool {
	return strings.HasPrefix(string(msgID), provisionalPrefix)
}

// provisionalEvent returns the event that a provisional id stands for.
func provisionalEvent(msgID networkid.MessageID) (eventID string, ok bool) {
	return strings.CutPrefix(string(msgID), provisionalPrefix)
}

// UserID names a person of the directory, or anybody else known by id.
func UserID(aadID string) networkid.UserID { return networkid.UserID(aadID) }

// AppUserID names an application (bot, connector, webhook) as a sender.
func AppUserID(appID string) networkid.UserID { return networkid.UserID(appUserPrefix + appID) }

// ParseAppUserID reverses AppUserID.
func ParseAppUserID(userID networkid.UserID) (appID string, ok bool) {
	return strings.CutPrefix(string(userID), appUserPrefix)
}

// LoginID names the login of a mapped person; it equals their user id.
func LoginID(aadID string) networkid.UserLoginID { return networkid.UserLoginID(aadID) }

// SourceKey names one change of one message (or of one of its parts): the
// transaction id of the event it becomes is derived from it, and the event
// carries it under SourceField.
func SourceKey(ref teams.ChannelRef, messageID string, version int64, part string) string {
	return fmt.Sprintf("%s/%s/%d/%s", ref, messageID, version, part)
}

// sourceMessage returns the message that a source key is a change of.
func sourceMessage(key string) (messageID string, ok bool) {
	fields := strings.SplitN(key, "/", 5)
	if len(fields) < 5 {
		return "", false
	}
	return fields[2], true
}

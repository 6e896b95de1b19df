package msgconv

import (
	"strings"

	"github.com/tidwall/gjson"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

// systemLine says what a system event tells, in one line.
func systemLine(e *teams.EventDetail, env MatrixEnv) string {
	if e == nil {
		return env.Texts.Say(texts.EventUnsaid)
	}
	l := eventLine{x: env.Texts, env: env, raw: gjson.ParseBytes(e.Raw), by: actor(e.Initiator, env)}
	for _, say := range []func(string) string{l.call, l.channel, l.members, l.team} {
		if line := say(e.Type); line != "" {
			return line
		}
	}
	if kind := cleanName(e.Type); kind != "" {
		return l.x.Say(texts.EventUnknown, "kind", kind)
	}
	return l.x.Say(texts.EventUnsaid)
}

// eventLine puts the line of a system event together. by is who did it, or "".
type eventLine struct {
	x   texts.Texts
	env MatrixEnv
	raw gjson.Result
	by  string
}

func (l eventLine) str(key string) string { return cleanName(l.raw.Get(key).String()) }

// name returns a name in quotation marks.
func (l eventLine) name(key string) string {
	if name := l.str(key); name != "" {
		return l.x.Say(texts.QuotedName, "name", name)
	}
	return l.x.Say(texts.NoName)
}

// call says what became of a call or meeting.
func (l eventLine) call(kind string) string {
	switch kind {
	case "callStarted":
		switch l.str("callEventType") {
		case "meeting":
			return l.x.Say(texts.MeetingStarted, "by", l.by)
		case "screenShare":
			return l.x.Say(texts.ScreenStarted, "by", l.by)
		}
		return l.x.Say(texts.CallStarted, "by", l.by)
	case "callEnded":
		return l.callEnded()
	case "callRecording":
		return l.recording()
	case "callTranscript":
		return l.x.Say(texts.TranscriptReady)
	case "meetingPolicyUpdated":
		if l.raw.Get("meetingChatEnabled").Bool() {
			return l.x.Say(texts.MeetingChatOn, "by", l.by)
		}
		return l.x.Say(texts.MeetingChatOff, "by", l.by)
	}
	return ""
}

// callEnded says that a call is over, how long it was and who was there.
func (l eventLine) callEnded() string {
	names, duration := "", spokenDuration(l.x, l.str("callDuration"))
	if who, more := participants(l.raw.Get("callParticipants"), l.env); len(who) > 0 || more > 0 {
		names = textNames(l.x, who, more)
	}
	switch l.str("callEventType") {
	case "meeting":
		return l.x.Say(texts.MeetingEnded, "duration", duration, "names", names)
	case "screenShare":
		return l.x.Say(texts.ScreenEnded, "duration", duration, "names", names)
	}
	return l.x.Say(texts.CallEnded, "duration", duration, "names", names)
}

func (l eventLine) recording() string {
	name, duration := l.str("callRecordingDisplayName"), spokenDuration(l.x, l.str("callRecordingDuration"))
	switch l.str("callRecordingStatus") {
	case "success":
		return l.x.Say(texts.RecordingReady, "name", name, "duration", duration)
	case "failure":
		return l.x.Say(texts.RecordingFailed, "name", name, "duration", duration)
	case "initial":
		return l.x.Say(texts.RecordingStarted, "name", name, "duration", duration)
	case "chunkFinished":
		return l.x.Say(texts.RecordingPart, "name", name, "duration", duration)
	}
	return l.x.Say(texts.RecordingChanged, "name", name, "duration", duration)
}

// channel says what became of a channel, or of what is in it.
func (l eventLine) channel(kind string) string {
	switch kind {
	case "channelAdded":
		return l.x.Say(texts.ChannelAdded, "name", l.name("channelDisplayName"), "by", l.by)
	case "channelDeleted":
		return l.x.Say(texts.ChannelDeleted, "name", l.name("channelDisplayName"), "by", l.by)
	case "channelRenamed":
		return l.x.Say(texts.ChannelRenamed, "name", l.name("channelDisplayName"), "by", l.by)
	case "channelDescriptionUpdated":
		if text := l.str("channelDescription"); text != "" {
			return l.x.Say(texts.ChannelDescribed, "text", text, "by", l.by)
		}
		return l.x.Say(texts.ChannelUndescribed, "by", l.by)
	case "channelSetAsFavoriteByDefault":
		return l.x.Say(texts.ChannelShown, "by", l.by)
	case "channelUnsetAsFavoriteByDefault":
		return l.x.Say(texts.ChannelUnshown, "by", l.by)
	case "channelSharingUpdated":
		return l.x.Say(texts.ChannelSharing, "by", l.by)
	case "chatRenamed":
		return l.x.Say(texts.ChatRenamed, "name", l.name("chatDisplayName"), "by", l.by)
	case "messagePinned":
		return l.x.Say(texts.MessagePinned, "by", l.by)
	case "messageUnpinned":
		return l.x.Say(texts.MessageUnpinned, "by", l.by)
	case "tabUpdated":
		return l.x.Say(texts.TabChanged, "by", l.by)
	}
	return ""
}

// members says who came, went, or has another role.
func (l eventLine) members(kind string) string {
	names, more := people(l.raw.Get("members"), l.env)
	all, list := len(names)+more, textNames(l.x, names, more)
	switch kind {
	case "membersAdded":
		return l.x.Count(texts.MembersAdded, max(all, 1), "names", list, "by", l.by)
	case "membersDeleted":
		return l.x.Count(texts.MembersRemoved, max(all, 1), "names", list, "by", l.by)
	case "membersJoined":
		return l.x.Count(texts.MembersJoined, max(all, 1), "names", list)
	case "membersLeft":
		return l.x.Count(texts.MembersLeft, max(all, 1), "names", list)
	case "conversationMemberRoleUpdated":
		who := person(l.raw.Get("conversationMemberUser"), l.env)
		if roles := roles(l.x, l.raw.Get("conversationMemberRoles")); len(roles) > 0 {
			return l.x.Say(texts.RoleChanged, "who", who, "roles", strings.Join(roles, ", "), "by", l.by)
		}
		return l.x.Say(texts.RoleMember, "who", who, "by", l.by)
	}
	return ""
}

// team says what became of a team, or of its apps.
func (l eventLine) team(kind string) string {
	switch kind {
	case "teamArchived":
		return l.x.Say(texts.TeamArchived, "by", l.by)
	case "teamUnarchived":
		return l.x.Say(texts.TeamUnarchived, "by", l.by)
	case "teamCreated":
		return l.x.Say(texts.TeamCreated, "name", l.name("teamDisplayName"), "by", l.by)
	case "teamDescriptionUpdated":
		if text := l.str("teamDescription"); text != "" {
			return l.x.Say(texts.TeamDescribed, "text", text, "by", l.by)
		}
		return l.x.Say(texts.TeamUndescribed, "by", l.by)
	case "teamJoiningEnabled":
		return l.x.Say(texts.TeamJoiningOn, "by", l.by)
	case "teamJoiningDisabled":
		return l.x.Say(texts.TeamJoiningOff, "by", l.by)
	case "teamRenamed":
		return l.x.Say(texts.TeamRenamed, "name", l.name("teamDisplayName"), "by", l.by)
	case "teamsAppInstalled":
		return l.x.Say(texts.AppAdded, "name", l.name("teamsAppDisplayName"), "by", l.by)
	case "teamsAppRemoved":
		return l.x.Say(texts.AppRemoved, "name", l.name("teamsAppDisplayName"), "by", l.by)
	case "teamsAppUpgraded":
		return l.x.Say(texts.AppUpgraded, "name", l.name("teamsAppDisplayName"), "by", l.by)
	}
	return ""
}

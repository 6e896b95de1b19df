package msgconv

import (
	"regexp"
	"strings"

	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix/event"

	"teamsbridge/teams"
)

// maxNames is how many people a system event names; the rest is counted.
const maxNames = 10

// systemNotice turns a system event into one calm line.
func systemNotice(m teams.Message, env MatrixEnv) Part {
	line := systemLine(m.Event, env)
	return Part{Type: event.EventMessage, Content: &event.MessageEventContent{
		MsgType: event.MsgNotice, Body: line, Mentions: &event.Mentions{},
	}}
}

func systemLine(e *teams.EventDetail, env MatrixEnv) string {
	if e == nil {
		return textSystemUnknown("")
	}
	raw := gjson.ParseBytes(e.Raw)
	str := func(key string) string { return cleanName(raw.Get(key).String()) }
	by := actor(e.Initiator, env)
	names, more := people(raw.Get("members"), env)
	switch e.Type {
	case "callStarted":
		return textCall(str("callEventType"), by, true, "")
	case "callEnded":
		return textCall(str("callEventType"), by, false, spokenDuration(str("callDuration")))
	case "callRecording":
		return textRecording(str("callRecordingStatus"), str("callRecordingDisplayName"), spokenDuration(str("callRecordingDuration")))
	case "callTranscript":
		return textTranscript
	case "channelAdded":
		return textBy("The channel "+quoted(str("channelDisplayName"))+" was created", by)
	case "channelDeleted":
		return textBy("The channel "+quoted(str("channelDisplayName"))+" was deleted", by)
	case "channelRenamed":
		return textBy("The channel was renamed to "+quoted(str("channelDisplayName")), by)
	case "channelDescriptionUpdated":
		return textDescription("channel", str("channelDescription"), by)
	case "channelSetAsFavoriteByDefault":
		return textBy("The channel was set to be shown to everybody in the team", by)
	case "channelUnsetAsFavoriteByDefault":
		return textBy("The channel was set not to be shown to everybody in the team", by)
	case "channelSharingUpdated":
		return textBy("The channel's sharing with other teams was changed", by)
	case "chatRenamed":
		return textBy("The chat was renamed to "+quoted(str("chatDisplayName")), by)
	case "conversationMemberRoleUpdated":
		return textRoles(person(raw.Get("conversationMemberUser"), env), roles(raw.Get("conversationMemberRoles")), by)
	case "meetingPolicyUpdated":
		if raw.Get("meetingChatEnabled").Bool() {
			return textBy("The meeting chat was turned on", by)
		}
		return textBy("The meeting chat was turned off", by)
	case "membersAdded":
		return textMembers(names, more, "was added", "were added", by)
	case "membersDeleted":
		return textMembers(names, more, "was removed", "were removed", by)
	case "membersJoined":
		return textMembers(names, more, "joined", "joined", "")
	case "membersLeft":
		return textMembers(names, more, "left", "left", "")
	case "messagePinned":
		return textBy("A message was pinned", by)
	case "messageUnpinned":
		return textBy("A message was unpinned", by)
	case "tabUpdated":
		return textBy("A tab was changed", by)
	case "teamArchived":
		return textBy("The team was archived", by)
	case "teamUnarchived":
		return textBy("The team was taken out of the archive", by)
	case "teamCreated":
		return textBy("The team "+quoted(str("teamDisplayName"))+" was created", by)
	case "teamDescriptionUpdated":
		return textDescription("team", str("teamDescription"), by)
	case "teamJoiningEnabled":
		return textBy("Joining the team was turned on", by)
	case "teamJoiningDisabled":
		return textBy("Joining the team was turned off", by)
	case "teamRenamed":
		return textBy("The team was renamed to "+quoted(str("teamDisplayName")), by)
	case "teamsAppInstalled":
		return textBy("The app "+quoted(str("teamsAppDisplayName"))+" was added", by)
	case "teamsAppRemoved":
		return textBy("The app "+quoted(str("teamsAppDisplayName"))+" was removed", by)
	case "teamsAppUpgraded":
		return textBy("The app "+quoted(str("teamsAppDisplayName"))+" was upgraded", by)
	}
	return textSystemUnknown(cleanName(e.Type))
}

// actor names who caused an event, or returns "" where Graph did not say.
func actor(who *teams.Identity, env MatrixEnv) string {
	if who == nil || who.ID == "" && who.DisplayName == "" {
		return ""
	}
	return nameOf(who.ID, who.DisplayName, env.People)
}

// nameOf returns the name of a Teams user as the directory knows it, else as
// the message gives it.
func nameOf(userID, given string, people People) string {
	if people != nil && userID != "" {
		if _, name, _ := people.Mention(userID); cleanName(name) != "" {
			return cleanName(name)
		}
	}
	if name := cleanName(given); name != "" {
		return name
	}
	return textSomebody
}

// person names somebody in an event's JSON, where the identity stands either
// as it is or under "user".
func person(v gjson.Result, env MatrixEnv) string {
	if u := v.Get("user"); u.IsObject() {
		v = u
	}
	return nameOf(v.Get("id").String(), v.Get("displayName").String(), env.People)
}

func people(list gjson.Result, env MatrixEnv) (names []string, more int) {
	list.ForEach(func(_, v gjson.Result) bool {
		if len(names) < maxNames {
			names = append(names, person(v, env))
		} else {
			more++
		}
		return true
	})
	return names, more
}

func roles(list gjson.Result) []string {
	var out []string
	list.ForEach(func(_, v gjson.Result) bool {
		if role := cleanName(v.String()); role != "" && len(out) < maxNames {
			out = append(out, role)
		}
		return true
	})
	return out
}

var isoDuration = regexp.MustCompile(`^P(?:\d+D)?T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?$`)

// spokenDuration turns an ISO 8601 duration such as PT1H5M into "1 h 5 min".
func spokenDuration(iso string) string {
	m := isoDuration.FindStringSubmatch(iso)
	if m == nil {
		return ""
	}
	var out []string
	for i, unit := range []string{"h", "min", "s"} {
		if v := strings.TrimLeft(m[i+1], "0"); v != "" {
			out = append(out, v+" "+unit)
		}
	}
	return strings.Join(out, " ")
}

package msgconv

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"teamsbridge/teams"
)

// Everything that the bridge itself says in converted messages. Functions take
// names that are clean already.
const (
	textReactionNotEmoji = "Teams takes only emoji as reactions"
	textReactionCustom   = "Teams takes no custom emoji from outside"
	textNothingToSend    = "the message has no content to send"

	textSomebody    = "somebody"
	textOpenInTeams = "open in Teams"
	textOpenInApp   = "open in Matrix"
	textEmptyBody   = "A message without visible content, perhaps blocked by a policy"
	textRoom        = "@room"
	textFileMark    = "📎"
	textEmote       = "* "
	textImportant   = "❗ Important"
	textUrgent      = "🚨 Urgent"
	textNoPicture   = "it was not copied"
	textLinkTooLong = "(the link is too long for Teams)"
	textForwarded   = "Forwarded message"
	textQuoted      = "Quoted message"
)

// Digests of long backlogs.
const (
	textDigestDeleted = "(deleted)"
	textDigestTooLong = "(This message was changed, and is too long to stand here now.)"
)

func textDigestHead(from, to time.Time) string {
	return "In Matrix while Teams was unavailable, " + textSpan(from, to)
}

func textDigestCount(messages int) string {
	if messages == 1 {
		return "1 message stands in the replies to this post."
	}
	return fmt.Sprintf("%d messages stand in the replies to this post.", messages)
}

func textDigestNotice(from, to time.Time, messages int) string {
	what := fmt.Sprintf("%d messages", messages)
	if messages == 1 {
		what = "1 message"
	}
	return "What was written here while Teams was unavailable (" + textSpan(from, to) + ", " + what + ") is in Teams as one post. Replies to that post come into this thread."
}

// textSpan names a span of time, in the zone of its times.
func textSpan(from, to time.Time) string {
	zone := from.Format("-07:00")
	if zone == "+00:00" {
		zone = "UTC"
	}
	if from.Format(time.DateOnly) == to.Format(time.DateOnly) {
		return from.Format("2006-01-02 15:04") + "–" + to.Format("15:04 ") + zone
	}
	return from.Format("2006-01-02 15:04") + " – " + to.Format("2006-01-02 15:04 ") + zone
}

// Attachments of Teams messages that Matrix has nothing for.
const (
	textCard         = "Card"
	textAnnouncement = "Announcement"
	textCodeSnippet  = "Code snippet"
	textLoop         = "Loop component"
	textMeeting      = "Meeting"
	textConnector    = "Message of an app"
	textAudioCard    = "Audio"
	textVideoCard    = "Video"
	textFileNoName   = "file"
	textAttachment   = "Attachment"
)

func textOther(kind string) string { return "Attachment of a kind that is not shown here: " + kind }

func textImage(alt string, number int) string {
	if alt != "" {
		return "[image: " + alt + "]"
	}
	return fmt.Sprintf("[image %d]", number)
}

func textImageProblem(alt, problem string) string {
	what := "Image"
	if alt != "" {
		what = "Image “" + alt + "”"
	}
	return what + " is not shown here: " + problem
}

func textImageName(number int, extension string) string {
	return fmt.Sprintf("image-%d%s", number, extension)
}

func textForeignImage(alt string) string {
	if alt == "" {
		return "image"
	}
	return alt
}

func textSpoiler(reason string) string {
	if reason == "" {
		return "[spoiler] "
	}
	return "[spoiler: " + reason + "] "
}

// textLate says when a late message was written, in the zone of its time.
func textLate(at time.Time) string {
	zone := at.Format("-07:00")
	if zone == "+00:00" {
		zone = "UTC"
	}
	return "(written " + at.Format("2006-01-02 15:04 ") + zone + ")"
}

func textPart(n, of int) string { return fmt.Sprintf("(%d/%d)", n, of) }

// Matrix messages that Teams has nothing for.
const (
	textFile     = "📎 File"
	textPicture  = "🖼 Image"
	textVideo    = "🎞 Video"
	textAudio    = "🔊 Audio"
	textVoice    = "🎤 Voice message"
	textSticker  = "Sticker"
	textLocation = "📍 Location"
	textPoll     = "📊 Poll"
)

func textSize(bytes int) string {
	switch {
	case bytes <= 0:
		return ""
	case bytes < 1000:
		return fmt.Sprintf("%d B", bytes)
	case bytes < 1000*1000:
		return fmt.Sprintf("%d kB", (bytes+500)/1000)
	case bytes < 1000*1000*1000:
		return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(bytes)/1e9)
}

func textDuration(ms int) string {
	if ms <= 0 {
		return ""
	}
	s := (ms + 500) / 1000
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

func textAnswer(n int, text string) string { return fmt.Sprintf("%d. %s", n, text) }

// systemLine says what a system event tells, in one line.
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
		return textCall(str("callEventType"), by)
	case "callEnded":
		who, others := participants(raw.Get("callParticipants"), env)
		return textCallEnd(str("callEventType"), spokenDuration(str("callDuration")), who, others)
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

const textTranscript = "A transcript of the meeting is available in Teams"

func textSystemUnknown(kind string) string {
	if kind == "" {
		return "Something changed in Teams (it did not say what)"
	}
	return "Something changed in Teams: " + kind
}

// textBy names who did something, if that is known.
func textBy(what, who string) string {
	if who == "" {
		return what
	}
	return what + " by " + who
}

func quoted(name string) string {
	if name == "" {
		return "(no name)"
	}
	return "“" + name + "”"
}

func textCall(kind, by string) string { return textBy(textCallKind(kind)+" was started", by) }

func textCallKind(kind string) string {
	switch kind {
	case "meeting":
		return "A meeting"
	case "screenShare":
		return "Screen sharing"
	}
	return "A call"
}

// textCallEnd says that a call is over, how long it was and who was there.
func textCallEnd(kind, duration string, who []string, more int) string {
	line := textCallKind(kind) + " ended"
	if duration != "" {
		line += " after " + duration
	}
	if len(who) == 0 && more == 0 {
		return line
	}
	return line + ", with " + textNames(who, more)
}

const textOpenRecording = "open the recording"

func textRecording(status, name, duration string) string {
	detail := ""
	if name != "" {
		detail = ": " + name
	}
	if duration != "" {
		detail += " (" + duration + ")"
	}
	switch status {
	case "success":
		return "A recording of the meeting is available in Teams" + detail
	case "failure":
		return "The recording of the meeting failed" + detail
	case "initial":
		return "The meeting is being recorded" + detail
	case "chunkFinished":
		return "A part of the meeting's recording is ready" + detail
	}
	return "The recording of the meeting changed" + detail
}

func textDescription(of, text, by string) string {
	if text == "" {
		return textBy("The description of the "+of+" was removed", by)
	}
	return textBy("The description of the "+of+" was changed", by) + ": " + text
}

func textRoles(who string, roles []string, by string) string {
	if len(roles) == 0 {
		return textBy(who+" was made a member", by)
	}
	return textBy(who+" was made "+strings.Join(roles, ", "), by)
}

// textMembers says what several people did; more counts those without a name here.
func textMembers(names []string, more int, one, several, by string) string {
	did := several
	if len(names) <= 1 {
		did = one
	}
	return textBy(textNames(names, more)+" "+did, by)
}

// textNames lists people; more counts those without a name here.
func textNames(names []string, more int) string {
	switch {
	case len(names) == 0 && more > 1:
		return fmt.Sprintf("%d people", more)
	case len(names) == 0:
		return textSomebody
	case more > 0:
		names = append(names[:len(names):len(names)], fmt.Sprintf("%d more", more))
	}
	list := names[0]
	if n := len(names); n > 1 {
		list = strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return list
}

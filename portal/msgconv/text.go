package msgconv

import (
	"fmt"
	"strings"
	"time"
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
	textImportant   = "❗ Important"
	textUrgent      = "🚨 Urgent"
	textNoPicture   = "it was not copied"
	textLinkTooLong = "(the link is too long for Teams)"
	textForwarded   = "Forwarded message"
	textQuoted      = "Quoted message"
)

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

// System events of Teams.
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

func textCall(kind, by string, started bool, duration string) string {
	what := "A call"
	switch kind {
	case "meeting":
		what = "A meeting"
	case "screenShare":
		what = "Screen sharing"
	}
	if started {
		return textBy(what+" was started", by)
	}
	if duration != "" {
		return what + " ended after " + duration
	}
	return what + " ended"
}

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
	switch {
	case len(names) == 0:
		names = []string{textSomebody}
	case more > 0:
		names = append(names, fmt.Sprintf("%d more", more))
	}
	list := names[0]
	if n := len(names); n > 1 {
		list = strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return textBy(list+" "+did, by)
}

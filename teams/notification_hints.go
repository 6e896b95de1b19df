package teams

import "time"

// What DirectoryChanged is told besides the type of a system event.
const (
	HintTeam    = "team"
	HintChannel = "channel"
	HintMember  = "member"
)

// directoryEvents are the system messages that report a change of a team, a
// channel or its members. Whether they bring everything is not to be relied
// on: Graph's own lists are the truth, these only say when to look.
func directoryEvent(typ string) bool {
	switch typ {
	case "membersAdded", "membersDeleted", "membersJoined", "membersLeft", "conversationMemberRoleUpdated",
		"channelAdded", "channelDeleted", "channelRenamed", "channelDescriptionUpdated", "channelSharingUpdated",
		"teamArchived", "teamUnarchived", "teamCreated", "teamRenamed", "teamDescriptionUpdated",
		"teamJoiningEnabled", "teamJoiningDisabled":
		return true
	default:
		return false
	}
}

// hint is one call of ChangeSink.
type hint struct{ teamID, what string }

// messageHints returns what the messages say about the directory, each once;
// messages not newer than since were hinted at before.
func messageHints(msgs []Message, since time.Time) []hint {
	var out []hint
	seen := map[hint]bool{}
	for i := range msgs {
		m := &msgs[i]
		if m.Event == nil || !directoryEvent(m.Event.Type) || m.Channel.TeamID == "" {
			continue
		}
		if newest := newestOf(m); !since.IsZero() && !newest.IsZero() && !newest.After(since) {
			continue
		}
		h := hint{m.Channel.TeamID, m.Event.Type}
		if !seen[h] {
			seen[h] = true
			out = append(out, h)
		}
	}
	return out
}

// resourceHint returns what a notification of a directory resource says.
func resourceHint(r Resource) (hint, bool) {
	switch r.Kind {
	case ResourceMember:
		return hint{r.TeamID, HintMember}, true
	case ResourceChannel:
		return hint{r.TeamID, HintChannel}, true
	case ResourceTeam:
		return hint{r.TeamID, HintTeam}, true
	default:
		return hint{}, false
	}
}

// newestOf returns when the message last changed, as Graph says.
func newestOf(m *Message) time.Time {
	newest := m.Modified
	if m.Created.After(newest) {
		newest = m.Created
	}
	return newest
}

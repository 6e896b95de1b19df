package msgconv

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/teams"
)

func TestSystemEventsAreOneNoticeEach(t *testing.T) {
	t.Parallel()
	ana := &teams.Identity{ID: "u-ana", Kind: "user"}
	members := `{"members":[{"id":"u-bob"}]}`
	for _, c := range []struct{ kind, raw, want string }{
		{"callStarted", `{"callEventType":"call"}`, "A call was started by Ana de la Cruz"},
		{"callStarted", `{"callEventType":"meeting"}`, "A meeting was started by Ana de la Cruz"},
		{"callStarted", `{"callEventType":"screenShare"}`, "Screen sharing was started by Ana de la Cruz"},
		{"callEnded", `{"callEventType":"meeting","callDuration":"PT1H5M3.2S"}`, "A meeting ended after 1 h 5 min 3 s"},
		{"callEnded", `{"callDuration":"rubbish"}`, "A call ended"},
		{"callRecording", `{"callRecordingStatus":"success","callRecordingDisplayName":"rec.mp4","callRecordingDuration":"PT2M"}`, "A recording of the meeting is available in Teams: rec.mp4 (2 min)"},
		{"callRecording", `{"callRecordingStatus":"failure"}`, "The recording of the meeting failed"},
		{"callRecording", `{"callRecordingStatus":"initial"}`, "The meeting is being recorded"},
		{"callRecording", `{"callRecordingStatus":"chunkFinished"}`, "A part of the meeting's recording is ready"},
		{"callRecording", `{}`, "The recording of the meeting changed"},
		{"callTranscript", `{}`, "A transcript of the meeting is available in Teams"},
		{"channelAdded", `{"channelDisplayName":"Sales"}`, "The channel “Sales” was created by Ana de la Cruz"},
		{"channelDeleted", `{"channelDisplayName":"Sales"}`, "The channel “Sales” was deleted by Ana de la Cruz"},
		{"channelRenamed", `{"channelDisplayName":"Sales\n2"}`, "The channel was renamed to “Sales 2” by Ana de la Cruz"},
		{"channelDescriptionUpdated", `{"channelDescription":"About us"}`, "The description of the channel was changed by Ana de la Cruz: About us"},
		{"channelDescriptionUpdated", `{}`, "The description of the channel was removed by Ana de la Cruz"},
		{"channelSetAsFavoriteByDefault", `{}`, "The channel was set to be shown to everybody in the team by Ana de la Cruz"},
		{"channelUnsetAsFavoriteByDefault", `{}`, "The channel was set not to be shown to everybody in the team by Ana de la Cruz"},
		{"channelSharingUpdated", `{}`, "The channel's sharing with other teams was changed by Ana de la Cruz"},
		{"chatRenamed", `{"chatDisplayName":""}`, "The chat was renamed to (no name) by Ana de la Cruz"},
		{"conversationMemberRoleUpdated", `{"conversationMemberRoles":["owner"],"conversationMemberUser":{"id":"u-bob"}}`, "Bob Stone was made owner by Ana de la Cruz"},
		{"conversationMemberRoleUpdated", `{"conversationMemberRoles":[],"conversationMemberUser":{"user":{"id":"u-bob"}}}`, "Bob Stone was made a member by Ana de la Cruz"},
		{"meetingPolicyUpdated", `{"meetingChatEnabled":true}`, "The meeting chat was turned on by Ana de la Cruz"},
		{"meetingPolicyUpdated", `{"meetingChatEnabled":false}`, "The meeting chat was turned off by Ana de la Cruz"},
		{"membersAdded", members, "Bob Stone was added by Ana de la Cruz"},
		{"membersDeleted", members, "Bob Stone was removed by Ana de la Cruz"},
		{"membersJoined", members, "Bob Stone joined"},
		{"membersLeft", members, "Bob Stone left"},
		{"membersLeft", `{}`, "somebody left"},
		{"messagePinned", `{}`, "A message was pinned by Ana de la Cruz"},
		{"messageUnpinned", `{}`, "A message was unpinned by Ana de la Cruz"},
		{"tabUpdated", `{}`, "A tab was changed by Ana de la Cruz"},
		{"teamArchived", `{}`, "The team was archived by Ana de la Cruz"},
		{"teamUnarchived", `{}`, "The team was taken out of the archive by Ana de la Cruz"},
		{"teamCreated", `{"teamDisplayName":"T"}`, "The team “T” was created by Ana de la Cruz"},
		{"teamDescriptionUpdated", `{"teamDescription":"D"}`, "The description of the team was changed by Ana de la Cruz: D"},
		{"teamJoiningEnabled", `{}`, "Joining the team was turned on by Ana de la Cruz"},
		{"teamJoiningDisabled", `{}`, "Joining the team was turned off by Ana de la Cruz"},
		{"teamRenamed", `{"teamDisplayName":"T"}`, "The team was renamed to “T” by Ana de la Cruz"},
		{"teamsAppInstalled", `{"teamsAppDisplayName":"Polls"}`, "The app “Polls” was added by Ana de la Cruz"},
		{"teamsAppRemoved", `{"teamsAppDisplayName":"Polls"}`, "The app “Polls” was removed by Ana de la Cruz"},
		{"teamsAppUpgraded", `{"teamsAppDisplayName":"Polls"}`, "The app “Polls” was upgraded by Ana de la Cruz"},
		{"brandNew", `{"a":[`, "Something changed in Teams: brandNew"},
	} {
		m := teams.Message{Type: teams.TypeSystem, Body: "<systemEventMessage/>", Event: &teams.EventDetail{Type: c.kind, Raw: json.RawMessage(c.raw), Initiator: ana}}
		r := ToMatrix(m, MatrixEnv{People: staff{}})
		require.Len(t, r.Parts, 1, c.kind)
		require.Equal(t, event.MsgNotice, r.Parts[0].Content.MsgType, c.kind)
		require.Equal(t, c.want, r.Parts[0].Content.Body, c.kind)
		m.Event.Initiator = nil
		require.NotContains(t, ToMatrix(m, MatrixEnv{}).Parts[0].Content.Body, " by ", c.kind)
	}
}

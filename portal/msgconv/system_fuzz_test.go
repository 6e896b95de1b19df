package msgconv

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix/event"

	"teamsbridge/teams"
)

// FuzzSystem: whatever a system event says of itself, it is one notice within
// the limits that mentions nobody.
func FuzzSystem(f *testing.F) {
	for _, kind := range append([]string{"", "brandNew"}, teamsKinds...) {
		f.Add(kind, `{"members":[{"id":"u-bob"},{"user":{"displayName":"<b>"}}],"callDuration":"PT1H5M3.2S","callRecordingUrl":"https://a.b/c","callRecordingStatus":"success"}`, "Ana")
		f.Add(kind, `{"members":{"id":[1]},"callDuration":"P999999999999999999Y","callRecordingUrl":"javascript:1","channelDisplayName":{"a":`, "@room")
	}
	for _, s := range hostile() {
		name, err := json.Marshal(s)
		require.NoError(f, err)
		f.Add(s, s, s)
		f.Add("channelRenamed", `{"channelDisplayName":`+string(name)+`}`, s)
		f.Add("callRecording", `{"callRecordingStatus":"success","callRecordingUrl":`+string(name)+`,"callRecordingDisplayName":`+string(name)+`}`, s)
	}
	f.Fuzz(func(t *testing.T, kind, raw, name string) {
		m := teams.Message{Type: teams.TypeSystem, Body: "<systemEventMessage/>", Event: &teams.EventDetail{
			Type: kind, Raw: json.RawMessage(raw), Initiator: &teams.Identity{ID: "u-x", DisplayName: name},
		}}
		r := ToMatrix(m, MatrixEnv{People: staff{}})
		checkRendered(t, r)
		require.LessOrEqual(t, len(r.Parts), 1)
		for _, p := range r.Parts {
			require.Equal(t, event.MsgNotice, p.Content.MsgType)
			require.Empty(t, p.Content.Mentions.UserIDs)
			require.False(t, p.Content.Mentions.Room)
		}
	})
}

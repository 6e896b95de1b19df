package bridge

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/portal/portaltest"
)

// Polls are presented in mirrored rooms only, and redactions where they take a
// vote back: one that is on its way, or one that was counted.
func TestPresent(t *testing.T) {
	ctx := context.Background()
	rig := portaltest.New(t)
	rig.Start()
	r := &runtime{c: &Connector{br: rig.Bridge}, db: rig.DB, log: zerolog.Nop()}
	in := func(room id.RoomID, kind, rest string) string {
		return `{"event_id":"$e","room_id":"` + room.String() + `","type":"` + kind + `",` + rest + `}`
	}
	markOf := func(raw string) *msgconv.PollMark {
		shown := r.present(json.RawMessage(raw))
		content, _ := gjson.GetBytes(shown, "content").Value().(map[string]any)
		mark := msgconv.PollMarkOf(content)
		if mark == nil {
			require.JSONEq(t, raw, string(shown))
		}
		return mark
	}
	const vote = `"content":{"m.relates_to":{"rel_type":"m.reference","event_id":"$p"},"m.selections":["a"]}`
	require.Equal(t, &msgconv.PollMark{Kind: msgconv.PollVote, Of: "$p", Answers: []string{"a"}}, markOf(in(rig.Room, "m.poll.response", vote)))
	require.Nil(t, markOf(in("!management:example.org", "m.poll.response", vote)))
	require.Nil(t, markOf(in(rig.Room, "m.room.message", `"content":{"body":"poll"}`)))

	require.NoError(t, rig.DB.Journal.Append(ctx, []database.JournalEntry{
		{EventID: "$journalled", RoomID: rig.Room.String(), Type: "m.poll.response", Raw: []byte("{}")},
		{EventID: "$message", RoomID: rig.Room.String(), Type: "m.room.message", Raw: []byte("{}")},
	}))
	_, err := rig.DB.Polls.Vote(ctx, database.PollVote{EventID: "$counted", PollID: "$p", Portal: rig.Portal(), Voter: "@a:b"})
	require.NoError(t, err)
	for target, isVote := range map[string]bool{"$journalled": true, "$counted": true, "$message": false, "$unknown": false, "": false} {
		for _, fields := range []string{`"redacts":"` + target + `","content":{}`, `"content":{"redacts":"` + target + `"}`} {
			mark := markOf(in(rig.Room, "m.room.redaction", fields))
			if isVote {
				require.Equal(t, &msgconv.PollMark{Kind: msgconv.PollRetract, Of: target}, mark)
			} else {
				require.Nil(t, mark, target)
			}
		}
	}
}

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"maunium.net/go/mautrix/event"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// What Teams keeps for a message beside it: the code of a snippet, the image of
// a card. Both come with the message, and both follow its edits.
func TestCodeAndImagesOfCardsFromTeams(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	o.run()
	ben := o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)
	shows := func(m *teamstest.Message, want ...func(e stack.Entry) error) {
		t.Helper()
		o.until("all parts of a message", func(ctx context.Context) error {
			list, err := o.entries(ctx, ben, room, func(e stack.Entry) bool { return stack.SourceMessage(e) == m.ID })
			if err != nil {
				return err
			} else if len(list) != len(want) {
				return fmt.Errorf("%d parts", len(list))
			}
			for i, check := range want {
				if err := check(list[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	says := func(parts ...string) func(stack.Entry) error {
		return func(e stack.Entry) error { return inOrder(e.HTML+e.Body, parts) }
	}
	picture := func(e stack.Entry) error {
		if e.MsgType != event.MsgImage || e.Body != "Plan" {
			return fmt.Errorf("no image but %s %q", e.MsgType, e.Body)
		}
		return nil
	}
	code := func(text string) teamstest.Image {
		return teamstest.Image{Name: "code", ContentType: "text/plain", Data: []byte(text)}
	}
	snippet := teamstest.Attachment{ID: "s1", ContentType: "application/vnd.microsoft.card.codesnippet", Content: `{"language":"Go","codeSnippetUrl":"../hostedContents/code/$value"}`}
	m := o.general.Post(o.ada, teamstest.Msg{HTML: `<p>Right?</p><attachment id="s1"></attachment>`, Images: []teamstest.Image{code("x := 1")}, Attachments: []teamstest.Attachment{snippet}})
	shows(m, says("Right?"), says(`<pre><code class="language-go">x := 1</code></pre>`))
	m.Edit(teamstest.Msg{HTML: `<p>And now?</p><attachment id="s1"></attachment>`, Images: []teamstest.Image{code("x := 2")}, Attachments: []teamstest.Attachment{snippet}})
	shows(m, says("And now?"), says(`<pre><code class="language-go">x := 2</code></pre>`))

	plan := teamstest.Attachment{ID: "c1", ContentType: "application/vnd.microsoft.card.adaptive",
		Content: `{"body":[{"type":"TextBlock","text":"The plan"},{"type":"Image","url":"../hostedContents/plan/$value","altText":"Plan"}]}`}
	pic := []teamstest.Image{{Name: "plan", ContentType: "image/png", Data: []byte("png")}}
	m = o.general.Post(o.ada, teamstest.Msg{HTML: `<attachment id="c1"></attachment>`, Images: pic, Attachments: []teamstest.Attachment{plan}})
	shows(m, says("The plan"), picture)
	plan.Content = strings.Replace(plan.Content, "The plan", "The new plan", 1)
	m.Edit(teamstest.Msg{HTML: `<attachment id="c1"></attachment>`, Images: pic, Attachments: []teamstest.Attachment{plan}})
	shows(m, says("The new plan"), picture)
}

// Events of a channel are notices, a line each. They are there before the
// bridge starts: the subscription for the whole tenant tells of none, so that
// they come with the readings of a channel.
func TestEventsFromTeams(t *testing.T) {
	t.Parallel()
	o := newOffice(t, stack.Options{})
	user := func(u *teamstest.User) map[string]any {
		return map[string]any{"user": map[string]any{"id": u.ID, "displayName": nil, "userIdentityType": "aadUser"}}
	}
	want := map[string]string{}
	for _, c := range []struct {
		kind   string
		fields map[string]any
		want   string
	}{
		{"callStarted", map[string]any{"callId": "c", "callEventType": "meeting"}, "A meeting was started by Ada Lovelace"},
		{"callEnded", map[string]any{"callId": "c", "callEventType": "meeting", "callDuration": "PT1H5M", "callParticipants": []any{
			map[string]any{"participant": user(o.ada)}, map[string]any{"participant": user(o.ben)}}}, "A meeting ended after 1 h 5 min, with Ada Lovelace and Ben Okri"},
		{"callRecording", map[string]any{"callId": "c", "callRecordingStatus": "success", "callRecordingDisplayName": "Weekly.mp4", "callRecordingUrl": "https://contoso.example/Weekly.mp4"},
			"A recording of the meeting is available in Teams: Weekly.mp4 – open the recording (https://contoso.example/Weekly.mp4)"},
		{"callTranscript", map[string]any{"callId": "c"}, "A transcript of the meeting is available in Teams"},
		{"conversationMemberRoleUpdated", map[string]any{"conversationMemberRoles": []string{"owner"}, "conversationMemberUser": user(o.ben)}, "Ben Okri was made owner by Ada Lovelace"},
		{"teamsAppInstalled", map[string]any{"teamsAppId": "a", "teamsAppDisplayName": "Polls"}, "The app “Polls” was added by Ada Lovelace"},
		{"membersAdded", map[string]any{"members": []any{map[string]any{"id": o.ben.ID, "displayName": nil}}}, "Ben Okri was added by Ada Lovelace"},
		{"membersDeleted", map[string]any{"members": []any{map[string]any{"id": o.ben.ID, "displayName": nil}}}, "Ben Okri was removed by Ada Lovelace"},
		{"membersJoined", map[string]any{"members": []any{map[string]any{"id": o.ben.ID, "displayName": nil}}}, "Ben Okri joined"},
		{"membersLeft", map[string]any{"members": []any{map[string]any{"id": o.ben.ID, "displayName": nil}}}, "Ben Okri left"},
		{"channelAdded", map[string]any{"channelId": "19:x", "channelDisplayName": "Sales"}, "The channel “Sales” was created by Ada Lovelace"},
		{"channelDeleted", map[string]any{"channelDisplayName": "Sales"}, "The channel “Sales” was deleted by Ada Lovelace"},
		{"channelRenamed", map[string]any{"channelDisplayName": "Sales"}, "The channel was renamed to “Sales” by Ada Lovelace"},
		{"channelDescriptionUpdated", map[string]any{"channelDescription": "All about us"}, "The description of the channel was changed by Ada Lovelace: All about us"},
		{"channelSetAsFavoriteByDefault", map[string]any{"channelId": "19:x"}, "The channel was set to be shown to everybody in the team by Ada Lovelace"},
		{"channelSharingUpdated", map[string]any{}, "The channel's sharing with other teams was changed by Ada Lovelace"},
		{"teamCreated", map[string]any{"teamDisplayName": "Alpha"}, "The team “Alpha” was created by Ada Lovelace"},
		{"teamRenamed", map[string]any{"teamDisplayName": "Beta"}, "The team was renamed to “Beta” by Ada Lovelace"},
		{"teamArchived", map[string]any{"teamId": "t"}, "The team was archived by Ada Lovelace"},
		{"teamJoiningEnabled", map[string]any{"teamId": "t"}, "Joining the team was turned on by Ada Lovelace"},
		{"chatRenamed", map[string]any{"chatDisplayName": "Lunch"}, "The chat was renamed to “Lunch” by Ada Lovelace"},
		{"meetingPolicyUpdated", map[string]any{"meetingChatEnabled": false}, "The meeting chat was turned off by Ada Lovelace"},
		{"teamsAppRemoved", map[string]any{"teamsAppDisplayName": "Polls"}, "The app “Polls” was removed by Ada Lovelace"},
		{"teamsAppUpgraded", map[string]any{"teamsAppDisplayName": "Polls"}, "The app “Polls” was upgraded by Ada Lovelace"},
		{"messageUnpinned", map[string]any{"eventDateTime": "2024-01-01T00:00:00Z"}, "A message was unpinned by Ada Lovelace"},
		{"messagePinned", map[string]any{"eventDateTime": "2024-01-01T00:00:00Z"}, "A message was pinned by Ada Lovelace"},
		{"tabUpdated", map[string]any{"tabId": "t"}, "A tab was changed by Ada Lovelace"},
		{"brandNew", map[string]any{"x": 1}, "Something changed in Teams: brandNew"},
	} {
		want[o.general.PostEvent(c.kind, o.ada, c.fields).ID] = c.want
	}
	o.run()
	ben := o.as(stack.Localpart(o.ben))
	room := o.room(ben, o.general)
	o.until("all events in the room", func(ctx context.Context) error {
		list, err := o.entries(ctx, ben, room, func(e stack.Entry) bool { return want[stack.SourceMessage(e)] != "" })
		if err != nil {
			return err
		} else if len(list) != len(want) {
			return fmt.Errorf("%d of %d events", len(list), len(want))
		}
		for _, e := range list {
			if e.MsgType != event.MsgNotice || !o.isBot(e.Sender) || e.Body != want[stack.SourceMessage(e)] {
				return fmt.Errorf("%s of %s: %s", e.MsgType, e.Sender, e.Body)
			}
		}
		return nil
	})
}

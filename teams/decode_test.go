package teams

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const channelPost = `{"@odata.context":"x","id":"1616990032035","replyToId":null,"etag":"1707948456260","messageType":"message",
 "createdDateTime":"2021-03-29T03:53:52.035Z","lastModifiedDateTime":"2024-02-14T22:07:36.26Z","lastEditedDateTime":null,"deletedDateTime":null,
 "subject":null,"summary":null,"chatId":null,"importance":"high","locale":"en-us","webUrl":"https://teams.example/l/message/1","policyViolation":null,
 "eventDetail":null,"from":{"application":null,"device":null,"user":{"@odata.type":"#microsoft.graph.teamworkUserIdentity","id":"u1","displayName":"Robin Kline","userIdentityType":"aadUser","tenantId":"t0"}},
 "body":{"contentType":"html","content":"<div>Hi <at id=\"0\">Jane</at></div>"},
 "channelIdentity":{"teamId":"team1","channelId":"19:a@thread.tacv2"},
 "attachments":[{"id":"a1","contentType":"reference","contentUrl":"https://files.example/x","name":"x.docx","content":null,"thumbnailUrl":null},{"id":"a2","contentType":"application/vnd.microsoft.card.adaptive","content":{"type":"AdaptiveCard"}}],
 "mentions":[{"id":0,"mentionText":"Jane","mentioned":{"application":null,"user":{"id":"u2","displayName":"Jane","userIdentityType":"aadUser"}}},
  {"id":1,"mentionText":"General","mentioned":{"user":null,"conversation":{"id":"19:a@thread.tacv2","displayName":"General","conversationIdentityType":"channel"}}},
  {"id":2,"mentionText":"ops","mentioned":{"user":null,"conversation":null,"tag":{"id":"tag1","displayName":"ops"}}},
  {"id":3,"mentionText":"Bot","mentioned":{"user":null,"application":{"id":"app1","displayName":"Bot","applicationIdentityType":"bot"}}},
  {"id":4,"mentionText":"Nobody","mentioned":null}],
 "reactions":[{"reactionType":"💯","displayName":"Hundred points","reactionContentUrl":null,"createdDateTime":"2024-02-14T22:07:36.3Z","user":{"application":null,"user":{"id":"u3","displayName":null,"userIdentityType":"aadUser"}}},
  {"reactionType":"custom","displayName":"party","reactionContentUrl":"https://graph.example/v1.0/x/$value","createdDateTime":"2024-02-14T22:07:36Z","user":{"user":{"id":"u4"}}}],
 "messageHistory":[{"actions":"reactionAdded"}],"somethingNew":{"a":[1,2]},"onBehalfOf":null}`

func TestDecodeMessage(t *testing.T) {
	m, err := DecodeMessage([]byte(channelPost))
	require.NoError(t, err)
	require.Equal(t, ChannelRef{TeamID: "team1", ChannelID: "19:a@thread.tacv2"}, m.Channel)
	require.Equal(t, "1616990032035", m.ID)
	require.EqualValues(t, 1707948456260, m.ETag)
	require.Equal(t, TypeMessage, m.Type)
	require.Equal(t, time.Date(2024, 2, 14, 22, 7, 36, 260e6, time.UTC), m.Modified)
	require.True(t, m.Edited.IsZero())
	require.True(t, m.Deleted.IsZero())
	require.Equal(t, Identity{ID: "u1", DisplayName: "Robin Kline", Kind: "user", UserType: "aadUser", TenantID: "t0"}, m.From)
	require.Equal(t, BodyHTML, m.BodyType)
	require.Len(t, m.Attachments, 2)
	require.JSONEq(t, `{"type":"AdaptiveCard"}`, m.Attachments[1].Content)
	require.Len(t, m.Mentions, 5)
	require.Equal(t, "u2", m.Mentions[0].User.ID)
	require.Equal(t, "channel", m.Mentions[1].Conversation.Type)
	require.Equal(t, "tag1", m.Mentions[2].Tag.ID)
	require.Equal(t, "bot", m.Mentions[3].Application.UserType)
	require.Equal(t, Mention{ID: 4, Text: "Nobody"}, m.Mentions[4])
	require.Len(t, m.Reactions, 2)
	require.Equal(t, "💯", m.Reactions[0].Type)
	require.Equal(t, Identity{ID: "u3", Kind: "user", UserType: "aadUser"}, m.Reactions[0].User)
	require.Equal(t, "https://graph.example/v1.0/x/$value", m.Reactions[1].ContentURL)

	stored, err := EncodeStored(m)
	require.NoError(t, err)
	again, err := DecodeStored(stored)
	require.NoError(t, err)
	require.Equal(t, m, again)
}

func TestDecodeMessageTolerates(t *testing.T) {
	ms := func(n int64) time.Time { return time.UnixMilli(n).UTC() }
	cases := map[string]struct {
		raw  string
		want Message
	}{
		"nothing but an id": {`{"id":"1616990032035"}`,
			Message{ID: "1616990032035", ETag: 1616990032035, Type: TypeMessage, Created: ms(1616990032035)}},
		"everything null": {`{"id":"1","from":null,"body":null,"etag":null,"mentions":null,"reactions":null,"attachments":null,"eventDetail":null,"channelIdentity":null,"messageType":null,"replies":null,"createdDateTime":null}`,
			Message{ID: "1", ETag: 1, Type: TypeMessage, Created: ms(1), BodyType: BodyText}},
		"wrong kinds everywhere": {`{"id":"1","from":[],"body":"x","etag":{},"mentions":{},"reactions":3,"attachments":"","eventDetail":[],"createdDateTime":7}`,
			Message{ID: "1", ETag: 1, Type: TypeMessage, Created: ms(1), BodyType: BodyText}},
		"version from the modification": {`{"id":"1","lastModifiedDateTime":"2024-02-14T22:07:36.2Z"}`,
			Message{ID: "1", ETag: 1707948456200, Type: TypeMessage, Created: ms(1), Modified: ms(1707948456200)}},
		"quoted and numeric versions": {`{"id":5,"etag":"W/\"42\""}`,
			Message{ID: "5", ETag: 42, Type: TypeMessage, Created: ms(5)}},
		"no zone, seven digits": {`{"id":"x","createdDateTime":"2024-02-14T22:07:36.2000000","lastModifiedDateTime":"2024-02-15T00:07:36.2000000+02:00"}`,
			Message{ID: "x", ETag: 1707948456200, Type: TypeMessage, Created: ms(1707948456200), Modified: ms(1707948456200)}},
		"never": {`{"id":"1","lastEditedDateTime":"0001-01-01T00:00:00Z"}`,
			Message{ID: "1", ETag: 1, Type: TypeMessage, Created: ms(1)}},
		"deleted": {`{"id":"1","etag":"9","deletedDateTime":"2024-02-14T22:07:36.2Z","body":{"contentType":"html","content":""}}`,
			Message{ID: "1", ETag: 9, Type: TypeMessage, Created: ms(1), Deleted: ms(1707948456200), BodyType: BodyHTML}},
		"a type of tomorrow": {`{"id":"1","messageType":"unknownFutureValue","body":{"contentType":"html","content":"hi"}}`,
			Message{ID: "1", ETag: 1, Type: "unknownFutureValue", Created: ms(1), BodyType: BodyHTML, Body: "hi"}},
		"a root that names itself": {`{"id":"1","replyToId":"1"}`,
			Message{ID: "1", ETag: 1, Type: TypeMessage, Created: ms(1)}},
		"an application": {`{"id":"1","from":{"user":null,"application":{"id":"b","displayName":"Bot","applicationIdentityType":"office365Connector"}}}`,
			Message{ID: "1", ETag: 1, Type: TypeMessage, Created: ms(1), From: Identity{ID: "b", DisplayName: "Bot", Kind: "application", UserType: "office365Connector"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m, err := DecodeMessage([]byte(c.raw))
			require.NoError(t, err)
			require.Equal(t, c.want, m)
		})
	}
}

func TestDecodeSystemEvent(t *testing.T) {
	for _, typ := range []string{"unknownFutureValue", "systemEventMessage"} {
		m, err := DecodeMessage([]byte(`{"id":"1616883610266","messageType":"` + typ + `","from":null,"body":{"contentType":"html","content":"<systemEventMessage/>"},
 "eventDetail":{"@odata.type":"#microsoft.graph.membersAddedEventMessageDetail","members":[{"id":"m1"}],"initiator":{"application":null,"user":{"id":"u9","displayName":null}}}}`))
		require.NoError(t, err)
		require.Equal(t, TypeSystem, m.Type)
		require.Equal(t, "membersAdded", m.Event.Type)
		require.Equal(t, "u9", m.Event.Initiator.ID)
		require.Contains(t, string(m.Event.Raw), `"m1"`)
		require.Zero(t, m.From)
	}
}

func TestDecodeTombstone(t *testing.T) {
	before := time.Now().UnixMilli()
	m, err := DecodeMessage([]byte(`{"id":"1616883610266","@removed":{"reason":"deleted"}}`))
	require.NoError(t, err)
	require.False(t, m.Deleted.IsZero())
	require.GreaterOrEqual(t, m.ETag, before, "a tombstone must win over every version seen before it")
}

func TestDecodeRefuses(t *testing.T) {
	for name, raw := range map[string]string{
		"empty": ``, "list": `[]`, "null": `null`, "cut": `{"id":"1"`, "no id": `{"etag":"1"}`, "empty id": `{"id":""}`,
		"id with a slash": `{"id":"a/b"}`, "id with NUL": `{"id":"a\u0000"}`, "huge id": `{"id":"` + strings.Repeat("1", 600) + `"}`,
		"bad root": `{"id":"1","replyToId":"a b"}`, "too deep": strings.Repeat("[", 100000),
		"too big": `{"id":"1","body":{"content":"` + strings.Repeat("x", MaxMessageBytes) + `"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := DecodeMessage([]byte(raw))
			require.ErrorIs(t, err, ErrMalformed)
		})
	}
}

func TestDecodePage(t *testing.T) {
	page, err := DecodePage([]byte(`{"@odata.count":2,"@odata.nextLink":"https://g/next","value":[
 {"id":"10","channelIdentity":{"teamId":"T","channelId":"C"},"replies@odata.nextLink":"https://g/more","replies":[
   {"id":"12","replyToId":"10"},{"id":"11","channelIdentity":{"teamId":"T","channelId":"C"}},{"noid":true}]},
 {"id":"20","replies":[{"id":"21"}]}, 7]}`))
	require.NoError(t, err)
	require.Equal(t, "https://g/next", page.NextLink)
	require.Empty(t, page.DeltaLink)
	require.Equal(t, 2, page.Malformed)
	page.FillChannel(ChannelRef{TeamID: "T2", ChannelID: "C2"})
	var got []string
	for _, m := range page.Messages {
		got = append(got, m.Channel.String()+"/"+m.ReplyToID+"/"+m.ID)
	}
	require.Equal(t, []string{"T/C//10", "T/C/10/12", "T/C/10/11", "T2/C2//20", "T2/C2/20/21"}, got)
	require.Equal(t, []MoreReplies{{Root: MessageRef{ChannelRef: ChannelRef{TeamID: "T", ChannelID: "C"}, ID: "10"}, Link: "https://g/more"}}, page.MoreReplies)

	page, err = DecodePage([]byte(`{"value":[],"@odata.deltaLink":"https://g/delta"}`))
	require.NoError(t, err)
	require.Equal(t, "https://g/delta", page.DeltaLink)
	for _, raw := range []string{``, `{}`, `{"value":{}}`, `[]`, `{"value":[`} {
		_, err = DecodePage([]byte(raw))
		require.ErrorIs(t, err, ErrMalformed)
	}
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add([]byte(channelPost))
	f.Add([]byte(`{"id":"1","eventDetail":{"@odata.type":"#microsoft.graph.x"},"etag":-1,"createdDateTime":"9999-12-31T23:59:59Z"}`))
	f.Add([]byte(`{"value":[{"id":"1","replies":[{"id":"2"}],"replies@odata.nextLink":"x"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := DecodePage(raw); err != nil {
			require.ErrorIs(t, err, ErrMalformed)
		}
		m, err := DecodeMessage(raw)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			return
		}
		require.NotEmpty(t, m.ID)
		require.GreaterOrEqual(t, m.ETag, int64(0))
		stored, err := EncodeStored(m)
		require.NoError(t, err)
		again, err := DecodeStored(stored)
		require.NoError(t, err)
		if m.Event != nil {
			// Marshalling compacts the raw document.
			require.Equal(t, json.Valid(m.Event.Raw), json.Valid(again.Event.Raw))
			m.Event.Raw, again.Event.Raw = nil, nil
		}
		require.Equal(t, m, again)
	})
}

package teamstest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMessageShape compares one message with the documented example, key by
// key: null where Graph writes null, nothing that Graph does not write.
func TestMessageShape(t *testing.T) {
	w := newWorld(t, Options{})
	at := time.Date(2021, 3, 29, 3, 53, 52, 30e6, time.UTC)
	m := w.general.Post(w.ann, Msg{Text: "Hello World", At: at})
	require.Equal(t, "1616990032030", m.ID)
	a := w.get(asApp, w.general.messagesPath()+"/"+m.ID).want(http.StatusOK)
	encoded := url.QueryEscape(w.general.ID)
	require.JSONEq(t, `{
		"@odata.context":"`+w.GraphURL()+`/$metadata#teams('`+w.team.ID+`')/channels('`+encoded+`')/messages/$entity",
		"id":"1616990032030","replyToId":null,"etag":"1616990032030","messageType":"message",
		"createdDateTime":"2021-03-29T03:53:52.03Z","lastModifiedDateTime":"2021-03-29T03:53:52.03Z",
		"lastEditedDateTime":null,"deletedDateTime":null,"subject":null,"summary":null,"chatId":null,
		"importance":"normal","locale":"en-us",
		"webUrl":"https://teams.microsoft.com/l/message/`+encoded+`/1616990032030?groupId=`+w.team.ID+`&tenantId=`+w.TenantID+`&createdTime=1616990032030&parentMessageId=1616990032030",
		"policyViolation":null,"eventDetail":null,
		"from":{"application":null,"device":null,"user":{"@odata.type":"#microsoft.graph.teamworkUserIdentity","id":"`+w.ann.ID+`","displayName":"Ann Example","userIdentityType":"aadUser","tenantId":"`+w.TenantID+`"}},
		"body":{"contentType":"text","content":"Hello World"},
		"channelIdentity":{"teamId":"`+w.team.ID+`","channelId":"`+w.general.ID+`"},
		"attachments":[],"mentions":[],"reactions":[],"messageHistory":[]}`, string(a.raw))
}

func TestTimesDropTrailingZeros(t *testing.T) {
	for at, want := range map[time.Time]string{
		time.UnixMilli(1_700_000_000_000): "2023-11-14T22:13:20Z",
		time.UnixMilli(1_700_000_000_100): "2023-11-14T22:13:20.1Z",
		time.UnixMilli(1_700_000_000_150): "2023-11-14T22:13:20.15Z",
		time.UnixMilli(1_700_000_000_157): "2023-11-14T22:13:20.157Z",
	} {
		require.Equal(t, want, graphTime(at))
	}
}

func TestIDsAreUniqueInAChannelOnly(t *testing.T) {
	w := newWorld(t, Options{})
	at := w.clock.Now()
	first := w.general.Post(w.ann, Msg{Text: "1", At: at})
	second := w.general.Post(w.ann, Msg{Text: "2", At: at})
	reply := first.Reply(w.bob, Msg{Text: "3", At: at})
	elsewhere := w.private.Post(w.ann, Msg{Text: "4", At: at})
	require.Equal(t, msID(at.Add(time.Millisecond)), second.ID)
	require.Equal(t, msID(at.Add(2*time.Millisecond)), reply.ID)
	require.Equal(t, first.ID, elsewhere.ID)
}

func TestListIsNewestRootFirstAndPaged(t *testing.T) {
	w := newWorld(t, Options{})
	posts := w.posts(w.general, 45)
	path := w.general.messagesPath()

	pages := w.pages(asApp, path)
	require.Len(t, pages, 3, "20 is the default page")
	require.EqualValues(t, 20, pages[0].json["@odata.count"])
	require.Equal(t, idsOf(reversed(posts)), column(w.all(asApp, path), "id"))
	require.Len(t, w.get(asApp, path+"?$top=50").value(), 45)
	w.get(asApp, path+"?$top=51").refused(http.StatusBadRequest, "BadRequest", "The limit of '50' for Top query has been exceeded")
	w.get(asApp, path+"?$top=x").refused(http.StatusBadRequest, "BadRequest", "$top")
	w.get(asApp, path+"?$filter=x").refused(http.StatusBadRequest, "BadRequest", "'filter'")
	w.get(asApp, path+"?$expand=hostedContents").refused(http.StatusBadRequest, "BadRequest", "hostedContents")
	w.get(asApp, path+"?$skiptoken=rubbish").refused(http.StatusBadRequest, "BadRequest", "skip token")

	// What is posted while a client pages neither repeats nor hides anything.
	first := w.get(asApp, path)
	w.posts(w.general, 3)
	rest := w.all(asApp, first.json["@odata.nextLink"].(string))
	require.Equal(t, idsOf(reversed(posts)), append(column(first.value(), "id"), column(rest, "id")...))

	// An old post with a new reply stays where it was.
	posts[0].Reply(w.bob, Msg{Text: "late"})
	require.NotEqual(t, posts[0].ID, w.get(asApp, path+"?$top=1").value()[0]["id"])
}

func TestRepliesAndExpand(t *testing.T) {
	w := newWorld(t, Options{ExpandLimit: 3})
	root := w.general.Post(w.ann, Msg{Text: "root"})
	var replies []*Message
	for range 5 {
		w.clock.Advance(time.Second)
		replies = append(replies, root.Reply(w.bob, Msg{Text: "reply"}))
	}
	require.Equal(t, replies[0].Reply(w.ann, Msg{Text: "again"}).RootID, root.ID, "no replies to replies")
	path := w.general.messagesPath()
	list := w.all(asApp, path+"/"+root.ID+"/replies?$top=4")
	require.Len(t, list, 6)
	require.Equal(t, idsOf(reversed(replies)), column(list[1:], "id"))
	require.Equal(t, root.ID, list[0]["replyToId"])

	posts := w.get(asApp, path+"?$expand=replies").value()
	require.Len(t, posts, 1, "replies are no posts")
	require.NotContains(t, w.get(asApp, path).value()[0], "replies")
	expanded := objects(posts[0]["replies"])
	require.Len(t, expanded, 3)
	require.EqualValues(t, 3, posts[0]["replies@odata.count"])
	more := w.all(asApp, posts[0]["replies@odata.nextLink"].(string))
	require.Equal(t, column(list, "id"), append(column(expanded, "id"), column(more, "id")...))

	one := w.get(asApp, path+"/"+root.ID+"/replies/"+replies[0].ID).want(http.StatusOK)
	require.Equal(t, replies[0].ID, one.json["id"])
	require.Contains(t, one.json["webUrl"], "parentMessageId="+root.ID)
	w.get(asApp, path+"/"+replies[0].ID).refused(http.StatusNotFound, "NotFound", "")
}

func TestPageSizesAreTheServicesChoice(t *testing.T) {
	w := newWorld(t, Options{PageSize: 6, UnevenPages: true})
	posts := w.posts(w.general, 20)
	pages := w.pages(asApp, w.general.messagesPath()+"?$top=50")
	sizes := map[int]bool{}
	var ids []any
	for _, page := range pages {
		sizes[len(page.value())] = true
		ids = append(ids, column(page.value(), "id")...)
	}
	require.True(t, sizes[6] && sizes[4], "%v", sizes)
	require.Equal(t, idsOf(reversed(posts)), ids)
}

func TestPeopleChangeMessages(t *testing.T) {
	w := newWorld(t, Options{})
	m := w.general.Post(w.ann, Msg{
		HTML: `<p><at id="0">Bob</at> and <at id="1">General</at></p>`, Subject: "Plan", Importance: "urgent",
		Mentions: []Mention{{User: w.bob, Text: "Bob"}, {Channel: w.general}},
	})
	path := w.general.messagesPath() + "/" + m.ID
	get := func() map[string]any { t.Helper(); return w.get(asApp, path).want(http.StatusOK).json }
	first := get()
	require.Equal(t, "Plan", first["subject"])
	require.Equal(t, "urgent", first["importance"])
	mentions := objects(first["mentions"])
	require.Equal(t, w.bob.ID, mentions[0]["mentioned"].(map[string]any)["user"].(map[string]any)["id"])
	require.Equal(t, map[string]any{"id": w.general.ID, "displayName": "General", "conversationIdentityType": "channel"},
		mentions[1]["mentioned"].(map[string]any)["conversation"])

	w.clock.Advance(time.Second)
	m.React(w.bob, "💯")
	reacted := get()
	require.Nil(t, reacted["lastEditedDateTime"], "a reaction is no edit")
	require.Greater(t, reacted["etag"], first["etag"])
	require.Equal(t, reacted["etag"], msID(w.clock.Now()))
	reaction := objects(reacted["reactions"])[0]
	require.Equal(t, "Hundred points", reaction["displayName"])
	require.Nil(t, reaction["user"].(map[string]any)["user"].(map[string]any)["displayName"])
	require.Equal(t, "reactionAdded", objects(reacted["messageHistory"])[0]["actions"])
	m.React(w.bob, "🎉")
	require.Len(t, objects(get()["reactions"]), 2)
	m.Unreact(w.bob, "💯")
	require.Equal(t, []any{"🎉"}, column(objects(get()["reactions"]), "reactionType"))
	m.ReactCustom(w.ann, "shipit", Image{ContentType: "image/gif", Data: []byte("gif")})
	custom := objects(get()["reactions"])[1]
	require.Equal(t, "custom", custom["reactionType"])
	require.Equal(t, "gif", string(w.get(asApp, custom["reactionContentUrl"].(string)).want(http.StatusOK).raw))
	m.Unreact(w.ann, "shipit")
	require.Len(t, objects(get()["reactions"]), 1)

	w.clock.Advance(time.Second)
	m.Edit(Msg{HTML: "<p>changed</p>"})
	edited := get()
	require.Equal(t, edited["lastModifiedDateTime"], edited["lastEditedDateTime"])
	require.Equal(t, first["createdDateTime"], edited["createdDateTime"])
	require.Equal(t, first["id"], edited["id"])
	require.Len(t, objects(edited["reactions"]), 1)

	m.Delete()
	deleted := get()
	require.NotNil(t, deleted["deletedDateTime"])
	require.Equal(t, map[string]any{"contentType": "html", "content": ""}, deleted["body"])
	require.Len(t, w.get(asApp, w.general.messagesPath()).value(), 1, "it stays in lists")
	require.Equal(t, "<p>changed</p>", m.State().Content, "tests still see what it said")
	m.Undelete()
	require.Nil(t, get()["deletedDateTime"])
	require.Equal(t, "<p>changed</p>", get()["body"].(map[string]any)["content"])
}

func TestETagsGrowWithinOneMillisecond(t *testing.T) {
	w := newWorld(t, Options{})
	m := w.general.Post(w.ann, Msg{Text: "x"})
	last := m.State().ETag
	for range 5 {
		m.Edit(Msg{Text: "y"})
		require.Greater(t, m.State().ETag, last)
		last = m.State().ETag
	}
}

func TestImagesOfPeople(t *testing.T) {
	w := newWorld(t, Options{})
	root := w.general.Post(w.ann, Msg{Text: "root"})
	m := root.Reply(w.ann, Msg{Text: "look", Images: []Image{{Name: "cat.png", ContentType: "image/png", Data: []byte("cat")}}})
	path := w.general.messagesPath() + "/" + root.ID + "/replies/" + m.ID
	content := w.get(asApp, path).want(http.StatusOK).json["body"].(map[string]any)["content"].(string)
	start := strings.Index(content, `src="`) + 5
	src := content[start : start+strings.Index(content[start:], `"`)]
	require.True(t, strings.HasPrefix(src, w.GraphURL()+path+"/hostedContents/"), src)
	a := w.get(asApp, src).want(http.StatusOK)
	require.Equal(t, "cat", string(a.raw))
	require.Equal(t, "image/png", a.header.Get("Content-Type"))
	list := w.get(asApp, path+"/hostedContents").value()
	require.Len(t, list, 1)
	require.Nil(t, list[0]["contentBytes"])
	require.Nil(t, list[0]["contentType"])
	w.get(asApp, path+"/hostedContents/none/$value").refused(http.StatusNotFound, "NotFound", "")
	m.Delete()
	w.get(asApp, src).refused(http.StatusNotFound, "NotFound", "")
}

func TestBotsAndCards(t *testing.T) {
	w := newWorld(t, Options{})
	m := w.general.Post(nil, Msg{Bot: "Build bot", Text: "card", Attachments: []Attachment{{
		ID: "74d20c7f", ContentType: "application/vnd.microsoft.card.adaptive", Content: `{"type":"AdaptiveCard"}`,
	}}})
	got := w.get(asApp, w.general.messagesPath()+"/"+m.ID).want(http.StatusOK).json
	from := got["from"].(map[string]any)
	require.Nil(t, from["user"])
	require.Equal(t, "Build bot", from["application"].(map[string]any)["displayName"])
	require.Contains(t, got["body"].(map[string]any)["content"], `<attachment id="74d20c7f"></attachment>`)
	require.Nil(t, objects(got["attachments"])[0]["contentUrl"])
}

// TestReadersLagBehind holds writes back from readers, not from hooks.
func TestReadersLagBehind(t *testing.T) {
	w := newWorld(t, Options{Lag: time.Minute})
	m := w.general.Post(w.ann, Msg{Text: "one"})
	path := w.general.messagesPath() + "/" + m.ID
	require.Len(t, w.takeChanges(), 1, "notifications do not wait")
	w.get(asApp, path).refused(http.StatusNotFound, "NotFound", "")
	require.Empty(t, w.get(asApp, w.general.messagesPath()).value())
	w.clock.Advance(time.Minute)
	w.get(asApp, path).want(http.StatusOK)
	m.Edit(Msg{Text: "two"})
	m.Edit(Msg{Text: "three"})
	body := func() any {
		return w.get(asApp, path).want(http.StatusOK).json["body"].(map[string]any)["content"]
	}
	require.Equal(t, "one", body())
	w.clock.Advance(30 * time.Second)
	m.Edit(Msg{Text: "four"})
	w.clock.Advance(30 * time.Second)
	require.Equal(t, "three", body())
	w.clock.Advance(30 * time.Second)
	require.Equal(t, "four", body())
	require.Equal(t, "four", m.State().Content)
}

func TestChangesAreHeardInOrder(t *testing.T) {
	w := newWorld(t, Options{})
	m := w.general.Post(w.ann, Msg{Text: "x"})
	reply := m.Reply(w.bob, Msg{Text: "y"})
	reply.React(w.ann, "👍")
	reply.Unreact(w.ann, "👍")
	reply.Delete()
	reply.Undelete()
	w.team.AddMember(w.ann, w.eve)
	var kinds []changeKind
	changes := w.takeChanges()
	for _, c := range changes {
		kinds = append(kinds, c.Kind)
	}
	require.Equal(t, []changeKind{
		changeMessageCreated, changeMessageCreated, changeMessageUpdated,
		changeMessageUpdated, changeMessageUpdated, // one removal is told twice
		changeMessageDeleted, changeMessageUpdated, changeMemberCreated, changeMessageCreated,
	}, kinds)
	require.Equal(t, "teams('"+w.team.ID+"')/channels('"+w.general.ID+"')/messages('"+m.ID+"')/replies('"+reply.ID+"')", changes[1].Resource)
	require.Contains(t, string(changes[1].resourceJSON(false)), `"replies":[],"hostedContents":[]`)
	require.Contains(t, string(changes[8].resourceJSON(false)), `"unknownFutureValue"`)
	require.Contains(t, string(changes[8].resourceJSON(true)), `"systemEventMessage"`)
	require.Contains(t, string(changes[5].resourceJSON(true)), `"content":""`)
}

package teamstest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type object = map[string]any

func TestPostAndReply(t *testing.T) {
	w := newWorld(t, Options{})
	path := w.general.messagesPath()
	w.post(asApp, path, htmlBody("x")).refused(http.StatusPreconditionFailed, "PreconditionFailed", "application-only")
	root := w.post(as(w.ann), path, object{"body": object{"content": "plain <b>"}, "subject": "S", "importance": "high"}).want(http.StatusCreated)
	require.Equal(t, object{"contentType": "text", "content": "plain <b>"}, root.json["body"])
	require.Equal(t, "S", root.json["subject"])
	require.Equal(t, "high", root.json["importance"])
	user := root.json["from"].(object)["user"].(object)
	require.Equal(t, object{"id": w.ann.ID, "displayName": "Ann Example", "userIdentityType": "aadUser"}, user, "a POST's answer has no type and tenant")

	id := root.json["id"].(string)
	w.clock.Advance(time.Second)
	reply := w.post(as(w.bob), path+"/"+id+"/replies", htmlBody("yes")).want(http.StatusCreated)
	require.Equal(t, id, reply.json["replyToId"])
	require.Contains(t, reply.json["@odata.context"], "/replies/$entity")
	require.Len(t, w.takeChanges(), 2)
	w.post(as(w.bob), path+"/1/replies", htmlBody("yes")).refused(http.StatusNotFound, "NotFound", "")

	w.general.Message(id).Delete()
	w.post(as(w.bob), path+"/"+id+"/replies", htmlBody("yes")).refused(http.StatusNotFound, "NotFound", "deleted")
	w.team.SetArchived(w.ann, true)
	w.post(as(w.bob), path, htmlBody("yes")).refused(http.StatusForbidden, "Forbidden", "archived")
}

func TestWriteLag(t *testing.T) {
	w := newWorld(t, Options{})
	w.SetWriteLag(time.Minute)
	path := w.general.messagesPath()
	id := w.post(as(w.ann), path, htmlBody("root")).want(http.StatusCreated).json["id"].(string)
	react := object{"reactionType": "👍"}
	w.post(as(w.bob), path+"/"+id+"/replies", htmlBody("yes")).refused(http.StatusNotFound, "NotFound", "")
	w.call(as(w.ann), http.MethodPatch, path+"/"+id, htmlBody("edited")).refused(http.StatusNotFound, "NotFound", "")
	w.post(as(w.bob), path+"/"+id+"/setReaction", react).refused(http.StatusNotFound, "NotFound", "")
	w.post(as(w.ann), path+"/"+id+"/softDelete", nil).refused(http.StatusNotFound, "NotFound", "")
	w.get(asApp, path+"/"+id).refused(http.StatusNotFound, "NotFound", "")
	require.Len(t, w.get(asApp, path).want(http.StatusOK).json["value"], 1, "lists have it")

	w.clock.Advance(time.Minute)
	reply := w.post(as(w.bob), path+"/"+id+"/replies", htmlBody("yes")).want(http.StatusCreated).json["id"].(string)
	w.get(asApp, path+"/"+id).want(http.StatusOK)
	w.post(as(w.ann), path+"/"+id+"/replies/"+reply+"/setReaction", react).refused(http.StatusNotFound, "NotFound", "")
	w.post(as(w.ann), path+"/"+id+"/setReaction", react).want(http.StatusNoContent)
}

func TestPostIsChecked(t *testing.T) {
	w := newWorld(t, Options{})
	mention := func(id int, text, user string) object {
		return object{"id": id, "mentionText": text, "mentioned": object{"user": object{"id": user}}}
	}
	body := func(content string) object { return object{"contentType": "html", "content": content} }
	for name, c := range map[string]struct {
		body    any
		status  int
		message string
	}{
		"not JSON":              {"{", 400, "JSON"},
		"nothing":               {object{}, 400, "Missing body content"},
		"nothing left":          {object{"body": body("<script>x</script>")}, 400, "Missing body content"},
		"importance":            {object{"body": body("x"), "importance": "very"}, 400, "importance"},
		"content type":          {object{"body": object{"contentType": "markdown", "content": "x"}}, 400, "contentType"},
		"creation time":         {object{"body": body("x"), "createdDateTime": "2020-01-01T00:00:00Z"}, 400, "migration"},
		"sender":                {object{"body": body("x"), "from": object{"user": object{"id": w.bob.ID}}}, 400, "migration"},
		"too large":             {object{"body": body(strings.Repeat("x", maxMessage))}, 413, "too large"},
		"far too large":         {object{"body": body(strings.Repeat("<b>", 2*maxMessage))}, 413, "too large"},
		"attachment not shown":  {object{"body": body("x"), "attachments": []object{{"id": "1", "contentType": "reference"}}}, 400, "Body does not contain marker for attachment with Id '1'"},
		"attachment without id": {object{"body": body("x"), "attachments": []object{{}}}, 400, "Attachment id"},
		"reference without url": {object{"body": body(`<attachment id="1"></attachment>`), "attachments": []object{{"id": "1", "contentType": "reference"}}}, 400, "contentUrl"},
		"mention not shown":     {object{"body": body("x"), "mentions": []object{mention(0, "Bob", w.bob.ID)}}, 400, "marker for mention with Id '0'"},
		"mention text differs":  {object{"body": body(`<at id="0">Rob</at>`), "mentions": []object{mention(0, "Bob", w.bob.ID)}}, 400, "marker for mention with Id '0'"},
		"mention not named":     {object{"body": body(`<at id="0">Bob</at>`)}, 400, "not in mentions"},
		"mention of nobody":     {object{"body": body(`<at id="0">Bob</at>`), "mentions": []object{mention(0, "Bob", "gone")}}, 400, "user identity"},
		"other conversation":    {object{"body": body(`<at id="0">X</at>`), "mentions": []object{{"id": 0, "mentionText": "X", "mentioned": object{"conversation": object{"id": "19:x", "conversationIdentityType": "channel"}}}}}, 400, "conversation identity"},
		"picture not sent":      {object{"body": body(`<img src="../hostedContents/1/$value">`)}, 400, "temporary id '1'"},
		"picture not base64":    {object{"body": body("x"), "hostedContents": []object{{"@microsoft.graph.temporaryId": "1", "contentBytes": "%", "contentType": "image/png"}}}, 400, "contentBytes"},
		"picture not a picture": {object{"body": body("x"), "hostedContents": []object{{"@microsoft.graph.temporaryId": "1", "contentBytes": "eA==", "contentType": "text/plain"}}}, 400, "image"},
	} {
		t.Run(name, func(t *testing.T) {
			w.T = t
			code := map[int]string{400: "BadRequest", 413: "RequestEntityTooLarge"}[c.status]
			a := w.post(as(w.ann), w.general.messagesPath(), c.body)
			a.t = t
			a.refused(c.status, code, c.message)
		})
	}
	require.Empty(t, w.general.Messages(), "nothing refused is kept")
}

func TestPostMentionsAttachmentsAndPictures(t *testing.T) {
	w := newWorld(t, Options{})
	picture := []byte{0x89, 'P', 'N', 'G'}
	a := w.post(as(w.ann), w.general.messagesPath(), object{
		"body": object{"contentType": "html", "content": `<div>Hi <at id="0">O&#39;Neil &amp; Co</at> <at id="1">General</at><img src="../hostedContents/7/$value" width="10" data-x="y"></div><attachment id="f1"></attachment>`},
		"mentions": []object{
			{"id": 0, "mentionText": "O'Neil & Co", "mentioned": object{"user": object{"id": w.bob.ID, "displayName": "whatever", "userIdentityType": "aadUser"}}},
			{"id": 1, "mentionText": "General", "mentioned": object{"conversation": object{"id": w.general.ID, "displayName": "General", "conversationIdentityType": "channel"}}},
		},
		"attachments":    []object{{"id": "f1", "contentType": "reference", "contentUrl": "https://contoso.example/f.docx", "name": "f.docx"}},
		"hostedContents": []object{{"@microsoft.graph.temporaryId": "7", "contentBytes": base64.StdEncoding.EncodeToString(picture), "contentType": "image/png"}},
	}).want(http.StatusCreated)
	content := a.json["body"].(object)["content"].(string)
	require.NotContains(t, content, "data-x")
	require.NotContains(t, content, "../hostedContents")
	state := w.general.Messages()[0]
	require.Equal(t, []MentionState{{ID: 0, Text: "O'Neil & Co", UserID: w.bob.ID}, {ID: 1, Text: "General", Kind: "channel", ConversationID: w.general.ID}}, state.Mentions)
	require.Equal(t, "f.docx", state.Attachments[0].Name)
	require.Equal(t, picture, state.Images[0].Data)
	path := w.general.messagesPath() + "/" + state.ID
	require.Equal(t, picture, w.get(asApp, path+"/hostedContents/"+state.Images[0].Name+"/$value").want(http.StatusOK).raw)

	// An edit keeps the pictures that its body still shows, and nothing else
	// that is not sent again.
	w.clock.Advance(time.Second)
	src := content[strings.Index(content, `src="`)+5:]
	src = src[:strings.Index(src, `"`)]
	patch := w.call(as(w.ann), http.MethodPatch, path, htmlBody(`<p>kept <img src="`+src+`"></p>`)).want(http.StatusNoContent)
	require.Empty(t, patch.raw)
	state = w.general.Messages()[0]
	require.Len(t, state.Images, 1)
	require.Empty(t, state.Attachments)
	require.Empty(t, state.Mentions)
	require.Equal(t, state.Modified, state.Edited)
	w.get(asApp, src).want(http.StatusOK)
	w.call(as(w.ann), http.MethodPatch, path, htmlBody("<p>gone</p>")).want(http.StatusNoContent)
	w.get(asApp, src).refused(http.StatusNotFound, "NotFound", "")
}

func TestEditAndDeleteAreForTheSender(t *testing.T) {
	w := newWorld(t, Options{})
	m := w.general.Post(w.bob, Msg{Text: "bob's", Subject: "kept"})
	path := w.general.messagesPath() + "/" + m.ID
	w.call(as(w.ann), http.MethodPatch, path, htmlBody("x")).refused(http.StatusForbidden, "Forbidden", "sender")
	w.call(asApp, http.MethodPatch, path, htmlBody("x")).refused(http.StatusForbidden, "Forbidden", "policyViolation")
	w.call(asApp, http.MethodPatch, path, object{"policyViolation": object{"dlpAction": "none"}}).want(http.StatusOK)
	w.call(as(w.bob), http.MethodPatch, path, htmlBody("<p>new</p>")).want(http.StatusNoContent)
	require.Equal(t, "kept", m.State().Subject)
	w.call(as(w.bob), http.MethodPatch, path, object{"importance": "high"}).want(http.StatusNoContent)
	require.Equal(t, "<p>new</p>", m.State().Content)

	other := w.AddUser(UserSpec{DisplayName: "Other"})
	w.team.AddMember(w.ann, other)
	w.post(as(other), path+"/softDelete", nil).refused(http.StatusForbidden, "Forbidden", "owner")
	w.post(asApp, path+"/softDelete", nil).refused(http.StatusPreconditionFailed, "PreconditionFailed", "")
	w.post(as(w.ann), path+"/softDelete", nil).want(http.StatusNoContent) // an owner
	w.post(as(w.bob), path+"/softDelete", nil).refused(http.StatusBadRequest, "BadRequest", "deleted already")
	w.call(as(w.bob), http.MethodPatch, path, htmlBody("x")).refused(http.StatusNotFound, "NotFound", "")
	w.post(as(w.bob), path+"/setReaction", object{"reactionType": "👍"}).refused(http.StatusNotFound, "NotFound", "")
	w.post(as(w.bob), path+"/undoSoftDelete", nil).want(http.StatusNoContent)
	w.post(as(w.bob), path+"/undoSoftDelete", nil).refused(http.StatusBadRequest, "BadRequest", "not deleted")
	require.Equal(t, "<p>new</p>", m.State().Content)
}

func TestReactions(t *testing.T) {
	w := newWorld(t, Options{})
	m := w.general.Post(w.bob, Msg{Text: "x"}).Reply(w.bob, Msg{Text: "y"})
	path := w.general.messagesPath() + "/" + m.RootID + "/replies/" + m.ID
	react := object{"reactionType": "💘"}
	w.post(as(w.ann), path+"/setReaction", react).want(http.StatusNoContent)
	etag := m.State().ETag
	w.post(as(w.ann), path+"/setReaction", react).want(http.StatusNoContent)
	require.Equal(t, etag, m.State().ETag, "setting it twice changes nothing")
	require.Len(t, m.State().Reactions, 1)
	for _, bad := range []string{"", "custom", "thumbsup", "+1"} {
		w.post(as(w.ann), path+"/setReaction", object{"reactionType": bad}).refused(http.StatusBadRequest, "BadRequest", "reaction")
	}
	w.post(as(w.ann), path+"/setReaction", object{"reactionType": "1️⃣"}).want(http.StatusNoContent)
	w.post(as(w.ann), path+"/setReaction", object{"reactionType": "like"}).want(http.StatusNoContent)
	w.post(as(w.ann), path+"/unsetReaction", react).want(http.StatusNoContent)
	w.post(as(w.ann), path+"/unsetReaction", react).refused(http.StatusNotFound, "NotFound", "")
	require.Len(t, m.State().Reactions, 2)
	w.post(asApp, path+"/setReaction", react).refused(http.StatusPreconditionFailed, "PreconditionFailed", "")
}

func TestBatch(t *testing.T) {
	w := newWorld(t, Options{})
	m := w.general.Post(w.bob, Msg{Text: "x"})
	path := w.general.messagesPath() + "/" + m.ID
	jsonHeader := object{"Content-Type": "application/json"}
	a := w.post(as(w.bob), "/$batch", object{"requests": []object{
		{"id": "1", "method": "PATCH", "url": path, "headers": jsonHeader, "body": htmlBody("<p>batched</p>")},
		{"id": "2", "method": "GET", "url": path, "dependsOn": []string{"1"}},
		{"id": "3", "method": "GET", "url": w.general.messagesPath() + "/1"},
		{"id": "4", "method": "GET", "url": path, "dependsOn": []string{"3"}},
		{"id": "5", "method": "PATCH", "url": path, "body": htmlBody("x")},
		{"id": "6", "method": "GET", "url": "https://graph.microsoft.com/v1.0" + path},
		{"id": "7", "method": "GET", "url": path, "headers": object{"Authorization": "Bearer user:" + w.eve.ID + ":*"}},
	}}).want(http.StatusOK)
	answers := map[string]object{}
	for _, r := range objects(a.json["responses"]) {
		answers[r["id"].(string)] = r
	}
	status := func(id string) int { return int(answers[id]["status"].(float64)) }
	require.Equal(t, 204, status("1"))
	require.NotContains(t, answers["1"], "body")
	require.Equal(t, 200, status("2"))
	require.Equal(t, "<p>batched</p>", answers["2"]["body"].(object)["body"].(object)["content"])
	require.Equal(t, []int{404, 424, 400, 400, 403}, []int{status("3"), status("4"), status("5"), status("6"), status("7")})
	require.NotEqual(t, answers["2"]["headers"].(object)["Request-Id"], answers["3"]["headers"].(object)["Request-Id"])

	many := make([]object, 21)
	for i := range many {
		many[i] = object{"id": fmt.Sprint(i), "method": "GET", "url": path}
	}
	w.post(asApp, "/%24batch", object{"requests": many}).refused(http.StatusBadRequest, "BadRequest", "20")
	w.post(asApp, "/$batch", object{"requests": []object{many[0], many[0]}}).refused(http.StatusBadRequest, "BadRequest", "unique")
	w.post(asApp, "/$batch", "[]").refused(http.StatusBadRequest, "BadRequest", "batch")
}

// TestEverybodyAtOnce lets people, clients and readers loose on one channel.
func TestEverybodyAtOnce(t *testing.T) {
	w := newWorld(t, Options{Clock: NewClock(time.Time{})})
	root := w.general.Post(w.ann, Msg{Text: "root"})
	var wg sync.WaitGroup
	const each = 20
	for range 4 {
		wg.Go(func() {
			for range each {
				m := root.Reply(w.bob, Msg{Text: "person"})
				m.React(w.ann, "👍")
				m.Edit(Msg{Text: "edited"})
			}
		})
		wg.Go(func() {
			for range each {
				w.post(as(w.ann), w.general.messagesPath(), htmlBody("client")).want(http.StatusCreated)
			}
		})
		wg.Go(func() {
			for range each {
				w.get(asApp, w.general.messagesPath()+"?$expand=replies").want(http.StatusOK)
				w.general.Messages()
			}
		})
	}
	wg.Wait()
	messages := w.general.Messages()
	require.Len(t, messages, 1+4*each)
	require.Len(t, messages[0].Replies, 4*each)
	seen := map[string]bool{root.ID: true}
	for _, m := range append(messages[1:], messages[0].Replies...) {
		require.False(t, seen[m.ID], "id twice")
		seen[m.ID] = true
	}
	require.Len(t, w.takeChanges(), 1+4*each*3+4*each)
}

package teamstest

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// round follows a delta query to its deltaLink and returns the items, repeats
// and all.
func (w *world) round(link string) (items []map[string]any, deltaLink string, pages int) {
	w.Helper()
	for deltaLink == "" {
		page := w.get(asApp, link).want(http.StatusOK)
		pages++
		require.Less(w, pages, 200, "the round does not end")
		items = append(items, page.value()...)
		next, hasNext := page.json["@odata.nextLink"].(string)
		delta, hasDelta := page.json["@odata.deltaLink"].(string)
		require.NotEqual(w, hasNext, hasDelta, "one link, never both")
		link, deltaLink = next, delta
	}
	return items, deltaLink, pages
}

// last keeps the last sight of each item, in the order of first sight.
func last(items []map[string]any) []map[string]any {
	place := map[any]int{}
	var list []map[string]any
	for _, item := range items {
		if i, ok := place[item["id"]]; ok {
			list[i] = item
			continue
		}
		place[item["id"]] = len(list)
		list = append(list, item)
	}
	return list
}

func TestDelta(t *testing.T) {
	w := newWorld(t, Options{})
	posts := w.posts(w.general, 25)
	path := w.general.messagesPath() + "/delta"

	first := w.get(asApp, path+"?$top=10").want(http.StatusOK)
	require.Empty(t, first.value(), "the first page of the first round is empty")
	require.Contains(t, first.json, "@odata.nextLink")

	items, link, pages := w.round(path + "?$top=10&$expand=replies")
	require.Greater(t, len(items), 25, "items repeat")
	require.Equal(t, idsOf(posts), column(last(items), "id"), "oldest first")
	require.Equal(t, typeChatMessage, items[0]["@odata.type"])
	require.Equal(t, 4, pages)

	items, link, pages = w.round(link)
	require.Empty(t, items)
	require.Equal(t, 1, pages)

	w.clock.Advance(time.Second)
	reply := posts[3].Reply(w.bob, Msg{Text: "late"})
	posts[7].React(w.bob, "👍")
	posts[5].Delete()
	posts[1].Edit(Msg{Text: "edited"})
	fresh := w.general.Post(w.bob, Msg{Text: "new"})
	items, link, _ = w.round(link)
	require.Equal(t, idsOf([]*Message{posts[3], posts[7], posts[5], posts[1], fresh}), column(items, "id"))
	require.Equal(t, reply.ID, objects(items[0]["replies"])[0]["id"], "options are baked into the token")
	require.NotNil(t, items[2]["deletedDateTime"])

	for range 2 {
		for _, m := range posts {
			m.React(w.ann, "🎉")
			m.Unreact(w.ann, "🎉")
		}
		var seen []map[string]any
		seen, link, _ = w.round(link)
		require.Greater(t, len(seen), 25, "items repeat")
		require.Equal(t, idsOf(posts), column(last(seen), "id"))
	}
}

// TestDeltaLosesNothing changes messages while a client pages.
func TestDeltaLosesNothing(t *testing.T) {
	w := newWorld(t, Options{PageSize: 2, UnevenPages: true})
	posts := w.posts(w.general, 9)
	known := map[any]any{}
	link := w.general.messagesPath() + "/delta?$expand=replies"
	for i := range 250 {
		page := w.get(asApp, link).want(http.StatusOK)
		for _, item := range page.value() {
			known[item["id"]] = item["etag"]
		}
		if i < 30 {
			w.clock.Advance(time.Second)
			m := posts[(i*5)%len(posts)]
			m.Edit(Msg{Text: "again"})
			posts = append(posts, w.general.Post(w.ann, Msg{Text: "more"}))
		}
		next, ok := page.json["@odata.nextLink"].(string)
		if !ok {
			next = page.json["@odata.deltaLink"].(string)
		}
		link = next
	}
	for _, m := range posts {
		require.Equal(t, msID(m.State().Modified), known[m.ID], m.ID)
	}
}

func TestDeltaFilterAndWindow(t *testing.T) {
	w := newWorld(t, Options{})
	old := w.general.Post(w.ann, Msg{Text: "old", At: w.clock.Now().Add(-deltaWindow - time.Hour)})
	posts := w.posts(w.general, 4)
	since := w.clock.Now()
	w.clock.Advance(time.Second)
	posts[1].Reply(w.bob, Msg{Text: "new"})
	path := w.general.messagesPath() + "/delta"
	items, _, _ := w.round(path + "?$filter=" + url.QueryEscape("lastModifiedDateTime gt "+graphTime(since)))
	require.Equal(t, idsOf(posts[1:2]), column(items, "id"), "the chain that was touched")
	items, _, _ = w.round(path)
	require.NotContains(t, column(items, "id"), old.ID)
	for _, bad := range []string{"lastModifiedDateTime lt 2026-01-01T00:00:00Z", "createdDateTime gt 2026-01-01T00:00:00Z", "lastModifiedDateTime gt soon"} {
		w.get(asApp, path+"?$filter="+url.QueryEscape(bad)).refused(http.StatusBadRequest, "BadRequest", "filter clause")
	}
	w.get(asApp, path+"?$orderby=x").refused(http.StatusBadRequest, "BadRequest", "'orderby'")
	w.get(asApp, path+"?$top=51").refused(http.StatusBadRequest, "BadRequest", "'50'")
}

func TestDeltaTokensEnd(t *testing.T) {
	w := newWorld(t, Options{DeltaTokenLife: time.Hour})
	w.posts(w.general, 2)
	path := w.general.messagesPath() + "/delta()"
	_, link, _ := w.round(path)

	w.clock.Advance(2 * time.Hour)
	a := w.get(asApp, link).refused(http.StatusGone, "resyncRequired", "")
	location := a.header.Get("Location")
	require.Contains(t, location, "$deltatoken=")
	items, link, _ := w.round(location)
	require.Len(t, items, 2, "a round from the start")

	w.ExpirePageTokens()
	w.get(asApp, link).refused(http.StatusGone, "resyncRequired", "")
	_, link, _ = w.round(path)
	w.ForgetPageTokens()
	w.get(asApp, link).refused(http.StatusBadRequest, "syncStateNotFound", "")
	w.get(asApp, path+"?$deltatoken=rubbish").refused(http.StatusBadRequest, "syncStateNotFound", "")
	_, link, _ = w.round(path)
	w.get(asApp, link).want(http.StatusOK)
	elsewhere := w.private.messagesPath() + "/delta()?" + link[len(w.GraphURL()+path)+1:]
	w.get(asApp, elsewhere).refused(http.StatusBadRequest, "syncStateNotFound", "")
}

func TestDeltaRefusedToApplications(t *testing.T) {
	w := newWorld(t, Options{RefuseAppDelta: true})
	path := w.general.messagesPath() + "/delta"
	w.get(asApp, path).refused(http.StatusBadRequest, "BadRequest", "Delta query is not supported by this resource")
	w.get(as(w.ann), path).want(http.StatusOK)
	w.SetRefuseAppDelta(false)
	w.get(asApp, path).want(http.StatusOK)
}

func TestDeltaWaitsForWhatReadersDoNotSeeYet(t *testing.T) {
	w := newWorld(t, Options{})
	posts := w.posts(w.general, 2)
	w.SetLag(time.Minute)
	hidden := w.general.Post(w.ann, Msg{Text: "hidden"})
	w.SetLag(0)
	seen := w.general.Post(w.ann, Msg{Text: "seen"})
	items, link, _ := w.round(w.general.messagesPath() + "/delta")
	require.Equal(t, idsOf([]*Message{posts[0], posts[1], seen}), column(items, "id"))
	items, link, _ = w.round(link)
	require.Empty(t, items)
	w.clock.Advance(time.Minute)
	items, _, _ = w.round(link)
	require.Contains(t, column(items, "id"), hidden.ID)
}

func TestExport(t *testing.T) {
	w := newWorld(t, Options{})
	joint := w.team.AddChannel(ChannelSpec{DisplayName: "Joint", Kind: Shared, Owners: []*User{w.ann}})
	posts := w.posts(w.general, 30)
	posts = append(posts, w.posts(w.private, 30)...)
	w.clock.Advance(time.Second)
	since := w.clock.Now()
	w.clock.Advance(time.Second)
	reply := posts[0].Reply(w.bob, Msg{Text: "late"})
	posts[40].Delete()
	w.clock.Advance(time.Second)
	shared := w.posts(joint, 1)[0]
	path := "/teams/" + w.team.ID + "/channels/getAllMessages"

	all := w.all(asApp, path)
	require.Len(t, all, 62)
	require.Equal(t, shared.ID, all[0]["id"], "newest first, over all channels")
	sizes := map[int]int{}
	for _, page := range w.pages(asApp, path+"?$top=50") {
		sizes[len(page.value())]++
	}
	require.Len(t, sizes, 2, "a page may be shorter than asked for: %v", sizes)
	require.LessOrEqual(t, len(w.get(asApp, path+"?$top=500").value()), exportPage)

	filter := func(s string) string { return path + "?$filter=" + url.QueryEscape(s) }
	changed := w.all(asApp, filter("lastModifiedDateTime gt "+graphTime(since)))
	require.Equal(t, []any{shared.ID, reply.ID, posts[40].ID}, column(changed, "id"))
	require.Equal(t, []any{nil, posts[0].ID, nil}, column(changed, "replyToId"))
	between := w.all(asApp, filter("lastModifiedDateTime gt "+graphTime(since)+" and lastModifiedDateTime lt "+graphTime(shared.State().Modified)))
	require.Equal(t, []any{reply.ID, posts[40].ID}, column(between, "id"))
	w.get(asApp, filter("createdDateTime gt 2026-01-01T00:00:00Z")).refused(http.StatusBadRequest, "BadRequest", "filter")
	w.get(asApp, path+"?$expand=replies").refused(http.StatusBadRequest, "BadRequest", "'expand'")
	w.get(as(w.ann), path).refused(http.StatusPreconditionFailed, "PreconditionFailed", "delegated")

	// A message that changes while a client pages may show twice or not at
	// all in this run, but never hides another.
	first := w.get(asApp, path+"?$top=10")
	posts[20].Edit(Msg{Text: "moved"})
	rest := w.all(asApp, first.json["@odata.nextLink"].(string))
	require.Len(t, last(append(first.value(), rest...)), 62)
}

func TestExportMayOmitSharedChannels(t *testing.T) {
	w := newWorld(t, Options{ExportOmitsShared: true})
	joint := w.team.AddChannel(ChannelSpec{DisplayName: "Joint", Kind: Shared, Owners: []*User{w.ann}})
	w.posts(joint, 2)
	w.posts(w.private, 1)
	require.Len(t, w.all(asApp, "/teams/"+w.team.ID+"/channels/getAllMessages"), 1)
}

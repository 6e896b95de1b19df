package teamstest

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOrganization(t *testing.T) {
	w := newWorld(t, Options{Name: "Fabrikam"})
	org := w.get(asApp, "/organization").value()[0]
	require.Equal(t, "Fabrikam", org["displayName"])
	require.Equal(t, w.TenantID, org["id"])
}

func TestUsersArePagedAndSelected(t *testing.T) {
	w := newWorld(t, Options{})
	for i := range 7 {
		w.AddUser(UserSpec{DisplayName: fmt.Sprintf("User %d", i)})
	}
	guest := w.AddUser(UserSpec{DisplayName: "Gina Guest", Guest: true})
	gone := w.AddUser(UserSpec{DisplayName: "Gone"})
	gone.Delete()

	pages := w.pages(asApp, "/users?$top=4&$select=id,displayName,userType,accountEnabled")
	require.Len(t, pages, 3)
	for _, page := range pages {
		for _, u := range page.value() {
			require.Len(t, u, 4)
			require.Equal(t, true, u["accountEnabled"])
		}
	}
	all := w.all(asApp, "/users?$top=4")
	require.Len(t, all, 11)
	require.NotContains(t, all[0], "userType", "Graph does not return it unasked")

	guests := w.all(asApp, "/users?$filter=userType%20eq%20'Guest'&$select=id,mail,userPrincipalName")
	require.Equal(t, []any{guest.ID}, column(guests, "id"))
	require.Equal(t, "gina.guest@partner.example", guests[0]["mail"])
	require.Equal(t, "gina.guest_partner.example#EXT#@contoso.example", guests[0]["userPrincipalName"])

	one := w.get(asApp, "/users/"+w.ann.UPN()).want(http.StatusOK).json
	require.Equal(t, w.ann.ID, one["id"])
	me := w.get(as(w.bob), "/me?$select=id,displayName").want(http.StatusOK).json
	require.Equal(t, w.bob.ID, me["id"])
	w.get(asApp, "/me").refused(http.StatusBadRequest, "BadRequest", "delegated")
	w.get(asApp, "/users/"+gone.ID).refused(http.StatusNotFound, "Request_ResourceNotFound", gone.ID)
	w.get(asApp, "/users?$top=1000").refused(http.StatusBadRequest, "BadRequest", "999")
	w.get(asApp, "/users?$select=shoeSize").refused(http.StatusBadRequest, "BadRequest", "shoeSize")
}

func TestPhotos(t *testing.T) {
	w := newWorld(t, Options{})
	path := "/users/" + w.ann.ID + "/photo/$value"
	w.get(asApp, path).refused(http.StatusNotFound, "ImageNotFound", "")
	w.ann.SetPhoto([]byte("jpeg"), "image/jpeg")
	for _, path := range []string{path, "/users/" + w.ann.ID + "/photo/%24value", "/users/" + w.ann.ID + "/photos/48x48/$value"} {
		a := w.get(asApp, path).want(http.StatusOK)
		require.Equal(t, "image/jpeg", a.header.Get("Content-Type"))
		require.Equal(t, "jpeg", string(a.raw))
	}
	w.team.SetPhoto([]byte("png"), "image/png")
	for _, owner := range []string{"/teams/", "/groups/"} {
		require.Equal(t, "png", string(w.get(asApp, owner+w.team.ID+"/photo/$value").want(http.StatusOK).raw))
	}
}

func TestTeamsLists(t *testing.T) {
	w := newWorld(t, Options{})
	other := w.AddTeam(TeamSpec{DisplayName: "Other", Visibility: "public"})
	other.SetArchived(w.ann, true)
	list := w.all(asApp, "/teams?$top=1")
	require.Equal(t, []any{w.team.ID, other.ID}, column(list, "id"))
	require.Nil(t, list[1]["isArchived"], "lists fill in the basic properties only")
	require.Contains(t, list[1], "isArchived")
	require.Equal(t, "public", list[1]["visibility"])
	require.Equal(t, true, w.get(asApp, "/teams/"+other.ID).want(http.StatusOK).json["isArchived"])

	groups := w.all(asApp, "/groups?$filter=resourceProvisioningOptions/Any(x:x%20eq%20'Team')")
	require.Equal(t, []any{w.team.ID, other.ID}, column(groups, "id"))

	other.Delete()
	require.Len(t, w.all(asApp, "/teams"), 1)
	w.get(asApp, "/teams/"+other.ID).refused(http.StatusNotFound, "NotFound", "")
	other.Restore()
	require.Len(t, w.all(asApp, "/teams"), 2)
}

func TestChannels(t *testing.T) {
	w := newWorld(t, Options{})
	guestTeam := w.AddTeam(TeamSpec{DisplayName: "Receiving", Owners: []*User{w.eve}})
	shared := w.team.AddChannel(ChannelSpec{DisplayName: "Joint", Kind: Shared, Owners: []*User{w.ann}, SharedWith: []*Team{guestTeam}})
	foreign := guestTeam.AddForeignChannel("From outside")
	const prefer = "include-unknown-enum-members"
	channels := "/teams/" + w.team.ID + "/channels"

	require.Equal(t, []any{"standard", "private", "unknownFutureValue"}, column(w.get(asApp, channels).value(), "membershipType"))
	require.Equal(t, []any{"standard", "private", "shared"}, column(w.get(asApp, channels, "Prefer", prefer).value(), "membershipType"))
	w.get(asApp, channels+"?$top=5").refused(http.StatusBadRequest, "BadRequest", "'top'")
	require.Len(t, w.get(asApp, channels+"?$filter=membershipType%20eq%20'private'").value(), 1)

	all := w.get(asApp, "/teams/"+guestTeam.ID+"/allChannels", "Prefer", prefer).value()
	require.Equal(t, []any{guestTeam.General().ID, shared.ID, foreign.ID}, column(all, "id"))
	require.NotEqual(t, w.TenantID, all[2]["tenantId"])
	require.Contains(t, all[1]["@odata.id"], "/teams/"+w.team.ID+"/")
	require.Len(t, w.get(asApp, "/teams/"+guestTeam.ID+"/incomingChannels").value(), 2)
	w.get(asApp, "/teams/"+guestTeam.ID+"/channels/"+foreign.ID+"/messages").refused(http.StatusNotFound, "NotFound", "")

	// Who reads a shared channel through another team is an indirect member.
	members := "/teams/" + w.team.ID + "/channels/" + shared.ID
	require.Equal(t, []any{w.ann.ID}, column(w.get(asApp, members+"/members").value(), "userId"))
	require.Equal(t, []any{w.ann.ID, w.eve.ID}, column(w.get(asApp, members+"/allMembers").value(), "userId"))
	w.get(as(w.eve), shared.messagesPath()).want(http.StatusOK)

	w.general.Rename(w.ann, "Lobby")
	require.Equal(t, "Lobby", w.get(asApp, "/teams/"+w.team.ID+"/primaryChannel").want(http.StatusOK).json["displayName"])
	shared.Delete(w.ann)
	require.Len(t, w.get(asApp, channels).value(), 2)
	require.Len(t, w.get(asApp, "/teams/"+guestTeam.ID+"/incomingChannels").value(), 1)
	w.get(asApp, w.general.path()+"/filesFolder").want(http.StatusOK)
}

func TestMembers(t *testing.T) {
	w := newWorld(t, Options{})
	guest := w.AddUser(UserSpec{DisplayName: "Gina", Guest: true})
	w.team.AddMember(w.ann, guest)
	path := "/teams/" + w.team.ID + "/members"
	list := w.all(asApp, path+"?$top=2")
	require.Equal(t, []any{w.ann.ID, w.bob.ID, guest.ID}, column(list, "userId"))
	require.Equal(t, []any{[]any{"owner"}, []any{}, []any{"guest"}}, column(list, "roles"))
	require.Equal(t, "#microsoft.graph.aadUserConversationMember", list[0]["@odata.type"])
	require.Equal(t, "ann.example@contoso.example", list[0]["email"])
	one := w.get(asApp, path+"?$filter=(microsoft.graph.aadUserConversationMember/userId%20eq%20'"+w.bob.ID+"')").value()
	require.Equal(t, []any{w.bob.ID}, column(one, "userId"))
	require.Len(t, w.get(asApp, w.general.path()+"/members").value(), 3)
	require.Len(t, w.get(asApp, w.private.path()+"/members").value(), 1)
}

// TestSystemMessages checks where each change of a team is told, and how it
// looks with and without the preference for newer enum values.
func TestSystemMessages(t *testing.T) {
	w := newWorld(t, Options{})
	for name, c := range map[string]struct {
		act   func()
		kind  string
		where *Channel
		check func(detail map[string]any)
	}{
		"member added": {func() { w.team.AddMember(w.ann, w.eve) }, "membersAdded", w.general, func(d map[string]any) {
			require.Equal(t, w.eve.ID, objects(d["members"])[0]["id"])
			require.Nil(t, objects(d["members"])[0]["displayName"])
			require.Equal(t, "0001-01-01T00:00:00Z", d["visibleHistoryStartDateTime"])
			require.Equal(t, w.ann.ID, d["initiator"].(map[string]any)["user"].(map[string]any)["id"])
		}},
		"owner": {func() { w.team.SetOwner(w.ann, w.bob, true) }, "conversationMemberRoleUpdated", w.general, func(d map[string]any) {
			require.Equal(t, []any{"owner"}, d["conversationMemberRoles"])
		}},
		"team renamed":        {func() { w.team.Rename(w.ann, "New") }, "teamRenamed", w.general, func(d map[string]any) { require.Equal(t, "New", d["teamDisplayName"]) }},
		"description":         {func() { w.team.SetDescription(w.ann, "For work") }, "teamDescriptionUpdated", w.general, nil},
		"private channel":     {func() { w.private.AddMember(w.ann, w.bob) }, "membersAdded", w.private, nil},
		"channel renamed":     {func() { w.private.Rename(w.ann, "Cabinet") }, "channelRenamed", w.private, func(d map[string]any) { require.Equal(t, "Cabinet", d["channelDisplayName"]) }},
		"channel description": {func() { w.private.SetDescription(w.ann, "x") }, "channelDescriptionUpdated", w.private, nil},
		"channel added":       {func() { w.team.AddChannel(ChannelSpec{DisplayName: "News"}) }, "channelAdded", w.general, nil},
		"call": {func() {
			w.general.PostEvent("callStarted", w.ann, map[string]any{"callId": "c1", "callEventType": "meeting"})
		}, "callStarted", w.general, func(d map[string]any) {
			require.Equal(t, "meeting", d["callEventType"])
		}},
		"channel deleted": {func() { w.team.AddChannel(ChannelSpec{DisplayName: "Brief"}).Delete(w.ann) }, "channelDeleted", w.general, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w.clock.Advance(time.Minute)
			c.act()
			m := w.get(asApp, c.where.messagesPath()+"?$top=1", "Prefer", "include-unknown-enum-members").value()[0]
			require.Equal(t, "systemEventMessage", m["messageType"])
			require.Nil(t, m["from"])
			require.Equal(t, "<systemEventMessage/>", m["body"].(map[string]any)["content"])
			detail := m["eventDetail"].(map[string]any)
			require.Equal(t, "#microsoft.graph."+c.kind+"EventMessageDetail", detail["@odata.type"])
			if c.check != nil {
				c.check(detail)
			}
			plain := w.get(asApp, c.where.messagesPath()+"?$top=1").value()[0]
			require.Equal(t, "unknownFutureValue", plain["messageType"])
		})
	}
	quiet := newWorld(t, Options{NoSystemEvents: true})
	quiet.team.AddMember(nil, quiet.eve)
	require.Empty(t, quiet.general.Messages())
}

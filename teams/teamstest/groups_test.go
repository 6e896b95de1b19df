package teamstest

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGroups(t *testing.T) {
	w := newWorld(t, Options{})
	w.App().GrantRoles("GroupMember.Read.All")
	labelled := w.AddTeam(TeamSpec{DisplayName: "Secret Plans", Visibility: "public", Label: "Confidential", Members: []*User{w.bob}})
	list := w.all(asApp, "/groups?$filter=resourceProvisioningOptions/Any(x:x%20eq%20'Team')&$select=id,mail,mailNickname,visibility,assignedLabels&$top=1")
	require.Equal(t, []any{w.team.ID, labelled.ID}, column(list, "id"))
	require.Equal(t, "secretplans", list[1]["mailNickname"])
	require.Equal(t, "Public", list[1]["visibility"])
	require.Equal(t, []any{map[string]any{"labelId": LabelID("Confidential"), "displayName": "Confidential"}}, list[1]["assignedLabels"])
	require.NotContains(t, w.all(asApp, "/groups")[1], "assignedLabels", "Graph does not return it unasked")
	require.Equal(t, labelled.ID, w.get(asApp, "/groups/"+labelled.ID+"?$select=id,assignedLabels").want(http.StatusOK).json["id"])
	w.get(asApp, "/groups/none").refused(http.StatusNotFound, "Request_ResourceNotFound", "none")

	inner := w.AddGroup(GroupSpec{DisplayName: "Inner", Users: []*User{w.ann, w.bob}, Teams: []*Team{labelled}})
	outer := w.AddGroup(GroupSpec{DisplayName: "Outer", Groups: []*Group{inner}})
	members := w.all(asApp, "/groups/"+outer.ID+"/transitiveMembers?$select=id&$top=2")
	require.ElementsMatch(t, []any{inner.ID, w.ann.ID, w.bob.ID, labelled.ID}, column(members, "id"))
	require.Equal(t, "#microsoft.graph.group", members[0]["@odata.type"])
	inner.SetUsers(w.ann)
	labelled.SetLabel("")
	require.ElementsMatch(t, []any{w.bob.ID}, column(w.all(asApp, "/groups/"+labelled.ID+"/transitiveMembers"), "id"))
	w.get(asApp, "/groups/none/transitiveMembers").refused(http.StatusNotFound, "Request_ResourceNotFound", "none")
}

package teamstest

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Group is a group of the directory that is no team: a security group.
type Group struct {
	// ID is the group's object id.
	ID string

	t           *Tenant
	displayName string
	users       []*User
	groups      []*Group
	teams       []*Team
}

// GroupSpec describes a group to add.
type GroupSpec struct {
	// ID is the object id, "" for one of the tenant's making.
	ID          string
	DisplayName string
	// Users, Groups and Teams are its direct members.
	Users  []*User
	Groups []*Group
	Teams  []*Team
}

// AddGroup adds a security group.
func (t *Tenant) AddGroup(spec GroupSpec) *Group {
	t.mu.Lock()
	defer t.unlock()
	g := &Group{ID: spec.ID, t: t, displayName: spec.DisplayName, users: spec.Users, groups: spec.Groups, teams: spec.Teams}
	if g.ID == "" {
		g.ID = t.ids.guid()
	}
	t.groups = append(t.groups, g)
	return g
}

// SetUsers replaces the group's direct users.
func (g *Group) SetUsers(users ...*User) {
	g.t.mu.Lock()
	defer g.t.unlock()
	g.users = slices.Clone(users)
}

// SetLabel gives the team's group another sensitivity label, "" for none.
func (team *Team) SetLabel(name string) {
	team.t.mu.Lock()
	defer team.t.unlock()
	team.label = name
}

// LabelID is the id of the sensitivity label with a name.
func LabelID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// groupProperty returns a property of the team's group by its Graph name.
func (team *Team) groupProperty(name string) (any, bool) {
	switch name {
	case "id":
		return team.ID, true
	case "displayName":
		return team.displayName, true
	case "description":
		return team.description, true
	case "mail":
		return team.nickname + "@" + team.t.opts.Domain, true
	case "mailNickname":
		return team.nickname, true
	case "visibility":
		return strings.ToUpper(team.visibility[:1]) + team.visibility[1:], true
	case "groupTypes":
		return []string{"Unified"}, true
	case "resourceProvisioningOptions":
		return []string{"Team"}, true
	case "assignedLabels":
		labels := []map[string]string{}
		if team.label != "" {
			labels = append(labels, map[string]string{"labelId": LabelID(team.label), "displayName": team.label})
		}
		return labels, true
	default:
		return nil, false
	}
}

// groupObject renders the team's group. Its labels are returned only where $select
// names them.
func (team *Team) groupObject(selected string) (orderedObject, *apiError) {
	names := []string{"id", "displayName", "description", "mail", "mailNickname", "visibility", "groupTypes", "resourceProvisioningOptions"}
	if selected != "" {
		names = strings.Split(selected, ",")
	}
	var object orderedObject
	for _, name := range names {
		value, known := team.groupProperty(strings.TrimSpace(name))
		if !known {
			return nil, errBadRequest("Parsing OData Select and Expand failed: Could not find a property named '" + name + "' on type 'microsoft.graph.group'.")
		}
		object = append(object, eventField{strings.TrimSpace(name), value})
	}
	return object, nil
}

// getGroup answers for teams' groups, which are all that the bridge asks for.
func getGroup(x *exchange) (*response, *apiError) {
	team := x.t.team(x.vars["group"])
	if team == nil {
		return nil, errGroupMissing(x.vars["group"])
	}
	object, refused := team.groupObject(x.query.Get("$select"))
	if refused != nil {
		return nil, refused
	}
	return jsonResponse(http.StatusOK, slices.Insert(object, 0, eventField{"@odata.context", x.context("groups/$entity")})), nil
}

func errGroupMissing(id string) *apiError {
	return &apiError{Status: http.StatusNotFound, Code: "Request_ResourceNotFound",
		Message: "Resource '" + id + "' does not exist or one of its queried reference-property objects are not present."}
}

// groupMember is one of a group's members, of whatever type.
type groupMember struct{ kind, id string }

// transitive collects a group's members, each once, through groups in it.
func (g *Group) transitive(seen map[string]bool) (out []groupMember) {
	add := func(kind, id string) bool {
		if seen[id] {
			return false
		}
		seen[id] = true
		out = append(out, groupMember{kind, id})
		return true
	}
	for _, u := range g.users {
		if !u.deleted {
			add("user", u.ID)
		}
	}
	for _, team := range g.teams {
		if team.exists() && add("group", team.ID) {
			for _, m := range team.members {
				add("user", m.user.ID)
			}
		}
	}
	for _, sub := range g.groups {
		if add("group", sub.ID) {
			out = append(out, sub.transitive(seen)...)
		}
	}
	return out
}

func listTransitiveMembers(x *exchange) (*response, *apiError) {
	i := slices.IndexFunc(x.t.groups, func(g *Group) bool { return strings.EqualFold(g.ID, x.vars["group"]) })
	var members []groupMember
	if i >= 0 {
		members = x.t.groups[i].transitive(map[string]bool{})
	} else if team := x.t.team(x.vars["group"]); team != nil {
		for _, m := range team.members {
			members = append(members, groupMember{"user", m.user.ID})
		}
	} else {
		return nil, errGroupMissing(x.vars["group"])
	}
	if s := x.query.Get("$select"); s != "" && s != "id" {
		return nil, errBadRequest("The simulated tenant tells ids of members only.")
	}
	top, refused := x.top(100, 999)
	if refused != nil {
		return nil, refused
	}
	token, refused := x.token(kindGroupMembers)
	if refused != nil {
		return nil, refused
	}
	if token == nil {
		token = &pageToken{Kind: kindGroupMembers, Top: top}
	}
	items, next := slicePage(members, token.After, x.t.pageSize(token.Top, false), func(groupMember) bool { return true })
	value := make([]orderedObject, 0, len(items))
	for _, m := range items {
		value = append(value, orderedObject{{"@odata.type", "#microsoft.graph." + m.kind}, {"id", m.id}})
	}
	page := wirePage{Context: x.context("directoryObjects(id)"), Value: value}
	if next != "" {
		token.After = next
		page.NextLink = x.nextLink(*token)
	}
	return jsonResponse(http.StatusOK, page), nil
}

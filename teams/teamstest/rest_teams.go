package teamstest

import (
	"net/http"
	"strings"
)

// listTeams lists every team of the tenant. Only id, displayName, description
// and visibility are filled in, the rest is null.
func listTeams(x *exchange) (*response, *apiError) {
	if refused := x.allow("$top", "$skiptoken", "$select", "$filter", "$count"); refused != nil {
		return nil, refused
	}
	top, refused := x.top(100, 999)
	if refused != nil {
		return nil, refused
	}
	token, refused := x.token(kindTeams)
	if refused != nil {
		return nil, refused
	}
	if token == nil {
		token = &pageToken{Kind: kindTeams, Top: top}
	}
	items, next := slicePage(x.t.teams, token.After, x.t.pageSize(token.Top, false), (*Team).exists)
	page := wirePage{Context: x.context("teams"), Count: count(len(items)), Value: wireTeams(items)}
	if next != "" {
		token.After = next
		page.NextLink = x.nextLink(*token)
	}
	return jsonResponse(http.StatusOK, page), nil
}

func wireTeams(teams []*Team) []wireTeam {
	value := make([]wireTeam, 0, len(teams))
	for _, team := range teams {
		value = append(value, team.wire(false))
	}
	return value
}

// listJoinedTeams lists the teams of a person, without those that only share a
// channel with them.
func listJoinedTeams(x *exchange) (*response, *apiError) {
	u, refused := x.findUser()
	if refused != nil {
		return nil, refused
	}
	var joined []*Team
	for _, team := range x.t.teams {
		if team.exists() && team.member(u.ID) != nil {
			joined = append(joined, team)
		}
	}
	return jsonResponse(http.StatusOK, wirePage{Context: x.context("teams"), Count: count(len(joined)), Value: wireTeams(joined)}), nil
}

func getTeam(x *exchange) (*response, *apiError) {
	team, refused := x.findTeam()
	if refused != nil {
		return nil, refused
	}
	w := team.wire(true)
	w.Context = x.context("teams/$entity")
	return jsonResponse(http.StatusOK, w), nil
}

func listTeamMembers(x *exchange) (*response, *apiError) {
	team, refused := x.findTeam()
	if refused != nil {
		return nil, refused
	}
	return x.members(team.members, "teams('"+team.ID+"')/members")
}

func listChannelMembers(x *exchange) (*response, *apiError) {
	c, refused := x.findChannel()
	if refused != nil {
		return nil, refused
	}
	return x.members(c.direct(), "teams('"+c.team.ID+"')/channels('"+c.ID+"')/members")
}

// listChannelAllMembers adds who reads a shared channel through a team that it
// is shared with.
func listChannelAllMembers(x *exchange) (*response, *apiError) {
	c, refused := x.findChannel()
	if refused != nil {
		return nil, refused
	}
	return x.members(c.indirect(), "teams('"+c.team.ID+"')/channels('"+c.ID+"')/allMembers")
}

func (x *exchange) members(list []*membership, context string) (*response, *apiError) {
	if refused := x.allow("$top", "$skiptoken", "$filter", "$select"); refused != nil {
		return nil, refused
	}
	top, refused := x.top(100, 999)
	if refused != nil {
		return nil, refused
	}
	token, refused := x.token(kindMembers)
	if refused != nil {
		return nil, refused
	}
	if token == nil {
		token = &pageToken{Kind: kindMembers, Top: top}
	}
	if filter := x.query.Get("$filter"); filter != "" {
		_, id, ok := strings.Cut(filter, "aadUserConversationMember/userId eq '")
		if !ok {
			return nil, errBadRequest("Invalid filter clause.")
		}
		id = strings.TrimRight(id, "') ")
		var one []*membership
		if m := findMember(list, id); m != nil {
			one = append(one, m)
		}
		list = one
	}
	items, next := slicePage(list, token.After, x.t.pageSize(token.Top, false), func(*membership) bool { return true })
	value := make([]wireMember, 0, len(items))
	for _, m := range items {
		value = append(value, m.wire(x.t))
	}
	page := wirePage{Context: x.context(context), Count: count(len(items)), Value: value}
	if next != "" {
		token.After = next
		page.NextLink = x.nextLink(*token)
	}
	return jsonResponse(http.StatusOK, page), nil
}

package teamstest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// The kinds of page tokens.
const (
	kindUsers  = "users"
	kindGroups = "groups"

	kindGroupMembers = "group members"

	kindTeams   = "teams"
	kindMembers = "members"
	kindList    = "messages"
	kindReplies = "replies"
	kindDelta   = "delta"
	kindExport  = "export"
)

// guarded runs a handler that only reads under the tenant's lock.
func guarded(handle func(x *exchange) (*response, *apiError)) func(x *exchange) (*response, *apiError) {
	return func(x *exchange) (*response, *apiError) {
		x.t.mu.Lock()
		defer x.t.mu.Unlock()
		return handle(x)
	}
}

// writing runs a handler that changes something.
func writing(handle func(x *exchange) (*response, *apiError)) func(x *exchange) (*response, *apiError) {
	return func(x *exchange) (*response, *apiError) {
		x.t.mu.Lock()
		defer x.t.unlock()
		return handle(x)
	}
}

func (x *exchange) context(rest string) string { return x.t.GraphURL() + "/$metadata#" + rest }

func getOrganization(x *exchange) (*response, *apiError) {
	return jsonResponse(http.StatusOK, wirePage{Context: x.context("organization"), Value: []orderedObject{{
		{"id", x.t.TenantID},
		{"displayName", x.t.opts.Name},
		{"tenantType", "AAD"},
		{"verifiedDomains", []map[string]any{{"name": x.t.opts.Domain, "isDefault": true, "isInitial": false, "type": "Managed", "capabilities": "Email, OfficeCommunicationsOnline"}}},
	}}}), nil
}

func listUsers(x *exchange) (*response, *apiError) {
	top, refused := x.top(100, 999)
	if refused != nil {
		return nil, refused
	}
	token, refused := x.token(kindUsers)
	if refused != nil {
		return nil, refused
	}
	if token == nil {
		token = &pageToken{Kind: kindUsers, Top: top, Select: x.query.Get("$select"), Filter: x.query.Get("$filter")}
	}
	var bad *apiError
	items, next := slicePage(x.t.users, token.After, x.t.pageSize(token.Top, false), func(u *User) bool {
		ok, refused := u.matches(token.Filter)
		if refused != nil {
			bad = refused
		}
		return ok && !u.deleted
	})
	if bad != nil {
		return nil, bad
	}
	value := make([]orderedObject, 0, len(items))
	for _, u := range items {
		object, refused := u.selected(token.Select)
		if refused != nil {
			return nil, refused
		}
		value = append(value, object)
	}
	page := wirePage{Context: x.context("users"), Value: value}
	if next != "" {
		token.After = next
		page.NextLink = x.nextLink(*token)
	}
	return jsonResponse(http.StatusOK, page), nil
}

// matches applies a $filter of simple comparisons joined by and.
func (u *User) matches(filter string) (bool, *apiError) {
	if filter == "" {
		return true, nil
	}
	for clause := range strings.SplitSeq(filter, " and ") {
		fields := strings.SplitN(strings.TrimSpace(clause), " ", 3)
		if len(fields) != 3 || fields[1] != "eq" {
			return false, &apiError{Status: http.StatusBadRequest, Code: "Request_UnsupportedQuery", Message: "Unsupported or invalid query filter clause."}
		}
		value, known := u.property(fields[0])
		if !known {
			return false, &apiError{Status: http.StatusBadRequest, Code: "Request_UnsupportedQuery", Message: "Unsupported property filter clause: " + fields[0]}
		}
		if text, ok := value.(*string); ok {
			value = ""
			if text != nil {
				value = *text
			}
		}
		if !strings.EqualFold(fmt.Sprint(value), strings.Trim(fields[2], "'")) {
			return false, nil
		}
	}
	return true, nil
}

// selected renders the properties that $select names.
func (u *User) selected(names string) (orderedObject, *apiError) {
	list := defaultUserProperties()
	if names != "" {
		list = strings.Split(names, ",")
	}
	var object orderedObject
	for _, name := range list {
		name = strings.TrimSpace(name)
		value, known := u.property(name)
		if !known {
			return nil, &apiError{Status: http.StatusBadRequest, Code: "BadRequest", Message: "Parsing OData Select and Expand failed: Could not find a property named '" + name + "' on type 'microsoft.graph.user'."}
		}
		object = append(object, eventField{name, value})
	}
	return object, nil
}

func getUser(x *exchange) (*response, *apiError) {
	u, refused := x.findUser()
	if refused != nil {
		return nil, refused
	}
	object, refused := u.selected(x.query.Get("$select"))
	if refused != nil {
		return nil, refused
	}
	object = slices.Insert(object, 0, eventField{"@odata.context", x.context("users/$entity")})
	return jsonResponse(http.StatusOK, object), nil
}

func getUserPhoto(x *exchange) (*response, *apiError) {
	u, refused := x.findUser()
	if refused != nil {
		return nil, refused
	}
	return photo(u.photo, u.photoType)
}

func getTeamPhoto(x *exchange) (*response, *apiError) {
	team, refused := x.findTeam()
	if refused != nil {
		return nil, refused
	}
	return photo(team.photo, team.photoType)
}

// photo answers with a picture. The code of the 404 is not documented.
func photo(data []byte, contentType string) (*response, *apiError) {
	if data == nil {
		return nil, &apiError{Status: http.StatusNotFound, Code: "ImageNotFound", Message: "The photo wasn't found."}
	}
	return &response{status: http.StatusOK, header: http.Header{"Content-Type": {contentType}}, body: data}, nil
}

func listGroups(x *exchange) (*response, *apiError) {
	filter := strings.Join(strings.Fields(strings.ReplaceAll(strings.ToLower(x.query.Get("$filter")), "any(", "any( ")), " ")
	if filter != "" && filter != "resourceprovisioningoptions/any( x:x eq 'team')" {
		return nil, &apiError{Status: http.StatusBadRequest, Code: "Request_UnsupportedQuery", Message: "Unsupported or invalid query filter clause."}
	}
	top, refused := x.top(100, 999)
	if refused != nil {
		return nil, refused
	}
	token, refused := x.token(kindGroups)
	if refused != nil {
		return nil, refused
	}
	if token == nil {
		token = &pageToken{Kind: kindGroups, Top: top, Select: x.query.Get("$select")}
	}
	items, next := slicePage(x.t.teams, token.After, x.t.pageSize(token.Top, false), (*Team).exists)
	value := make([]orderedObject, 0, len(items))
	for _, team := range items {
		object, refused := team.groupObject(token.Select)
		if refused != nil {
			return nil, refused
		}
		value = append(value, object)
	}
	page := wirePage{Context: x.context("groups"), Value: value}
	if next != "" {
		token.After = next
		page.NextLink = x.nextLink(*token)
	}
	return jsonResponse(http.StatusOK, page), nil
}

func (team *Team) exists() bool { return !team.deleted }

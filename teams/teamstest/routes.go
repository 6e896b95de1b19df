package teamstest

import (
	"net/http"
	"net/url"
	"strings"
)

// route is one method and path of Graph. Path segments in braces are
// parameters, decoded into exchange.vars. Literals are compared without case,
// as Graph does.
type route struct {
	op     Op
	method string
	path   string
	perm   permission
	handle func(x *exchange) (*response, *apiError)
}

// coreRoutes are the routes of the core.
func coreRoutes() []route {
	routes := []route{
		{OpBatch, "POST", "/$batch", anyToken(), runBatch},
		{OpOrganization, "GET", "/organization", readsOrganization(), guarded(getOrganization)},
		{OpUsers, "GET", "/users", readsUsers(), guarded(listUsers)},
		{OpMe, "GET", "/me", anyToken(), guarded(getUser)},
		{OpUser, "GET", "/users/{user}", readsUsers(), guarded(getUser)},
		{OpGroups, "GET", "/groups", readsGroups(), guarded(listGroups)},
		{OpGroup, "GET", "/groups/{group}", readsGroups(), guarded(getGroup)},
		{OpGroupMembers, "GET", "/groups/{group}/transitiveMembers", readsGroupMembers(), guarded(listTransitiveMembers)},
		{OpTeams, "GET", "/teams", readsTeams(), guarded(listTeams)},
		{OpJoinedTeams, "GET", "/me/joinedTeams", readsTeams(), guarded(listJoinedTeams)},
		{OpJoinedTeams, "GET", "/users/{user}/joinedTeams", readsTeams(), guarded(listJoinedTeams)},
		{OpTeam, "GET", "/teams/{team}", readsTeam(), guarded(getTeam)},
		{OpTeamMembers, "GET", "/teams/{team}/members", readsTeamMembers(), guarded(listTeamMembers)},
		{OpChannels, "GET", "/teams/{team}/channels", readsChannels(), guarded(listChannels)},
		{OpAllChannels, "GET", "/teams/{team}/allChannels", readsAllChannels(), guarded(listAllChannels)},
		{OpIncomingChannels, "GET", "/teams/{team}/incomingChannels", readsAllChannels(), guarded(listIncomingChannels)},
		{OpPrimaryChannel, "GET", "/teams/{team}/primaryChannel", readsChannels(), guarded(getPrimaryChannel)},
		{OpExport, "GET", "/teams/{team}/channels/getAllMessages", exportsMessages(), guarded(exportMessages)},
		{OpChannel, "GET", "/teams/{team}/channels/{channel}", readsChannels(), guarded(getChannel)},
		{OpChannelMembers, "GET", "/teams/{team}/channels/{channel}/members", readsChannelMembers(), guarded(listChannelMembers)},
		{OpChannelAllMembers, "GET", "/teams/{team}/channels/{channel}/allMembers", readsChannelMembers(), guarded(listChannelAllMembers)},
		{OpFilesFolder, "GET", "/teams/{team}/channels/{channel}/filesFolder", readsFiles(), guarded(getFilesFolder)},
		{OpMessages, "GET", "/teams/{team}/channels/{channel}/messages", readsMessages(), guarded(listMessages)},
		{OpPostMessage, "POST", "/teams/{team}/channels/{channel}/messages", sendsMessages(), writing(postMessage)},
		{OpMessagesDelta, "GET", "/teams/{team}/channels/{channel}/messages/delta", readsMessages(), guarded(messagesDelta)},
		{OpReplies, "GET", "/teams/{team}/channels/{channel}/messages/{message}/replies", readsMessages(), guarded(listReplies)},
		{OpPostReply, "POST", "/teams/{team}/channels/{channel}/messages/{message}/replies", sendsMessages(), writing(postReply)},
	}
	for _, owner := range []string{"/me", "/users/{user}"} {
		routes = append(routes,
			route{OpUserPhoto, "GET", owner + "/photo/$value", readsPhotos(), guarded(getUserPhoto)},
			route{OpUserPhoto, "GET", owner + "/photos/{size}/$value", readsPhotos(), guarded(getUserPhoto)})
	}
	for _, owner := range []string{"/teams/{team}", "/groups/{team}"} {
		routes = append(routes,
			route{OpTeamPhoto, "GET", owner + "/photo/$value", readsTeam(), guarded(getTeamPhoto)},
			route{OpTeamPhoto, "GET", owner + "/photos/{size}/$value", readsTeam(), guarded(getTeamPhoto)})
	}
	const post = "/teams/{team}/channels/{channel}/messages/{message}"
	for path, get := range map[string]Op{post: OpMessage, post + "/replies/{reply}": OpReply} {
		routes = append(routes,
			route{get, "GET", path, readsMessages(), guarded(getMessage)},
			route{OpPatchMessage, "PATCH", path, editsMessages(), writing(patchMessage)},
			route{OpSoftDelete, "POST", path + "/softDelete", deletesMessages(), writing(softDeleteMessage)},
			route{OpUndoSoftDelete, "POST", path + "/undoSoftDelete", deletesMessages(), writing(undoSoftDeleteMessage)},
			route{OpSetReaction, "POST", path + "/setReaction", reacts(), writing(setReaction)},
			route{OpUnsetReaction, "POST", path + "/unsetReaction", reacts(), writing(unsetReaction)},
			route{OpHostedContents, "GET", path + "/hostedContents", readsMessages(), guarded(listHostedContents)},
			route{OpHostedContent, "GET", path + "/hostedContents/{content}/$value", readsMessages(), guarded(getHostedContent)})
	}
	return append(routes, driveRoutes()...)
}

type compiledRoute struct {
	route
	segments []string
}

func compileRoutes(routes []route) []compiledRoute {
	compiled := make([]compiledRoute, len(routes))
	for i, r := range routes {
		compiled[i] = compiledRoute{r, strings.Split(strings.Trim(r.path, "/"), "/")}
	}
	return compiled
}

// match finds the route of a request. Known paths with another method are
// reported as such.
func match(routes []compiledRoute, method string, segments []string) (found *compiledRoute, vars map[string]string, otherMethod bool) {
	for i := range routes {
		v, ok := matchSegments(routes[i].segments, segments)
		if !ok {
			continue
		}
		if routes[i].method == method {
			return &routes[i], v, false
		}
		otherMethod = true
	}
	return nil, nil, otherMethod
}

func matchSegments(pattern, segments []string) (map[string]string, bool) {
	if len(pattern) != len(segments) {
		return nil, false
	}
	vars := map[string]string{}
	for i, p := range pattern {
		if name, ok := strings.CutPrefix(p, "{"); ok {
			if segments[i] == "" {
				return nil, false
			}
			vars[strings.TrimSuffix(name, "}")] = segments[i]
		} else if !strings.EqualFold(p, segments[i]) {
			return nil, false
		}
	}
	return vars, true
}

// splitPath cuts an escaped path into decoded segments. OData's forms are
// levelled: "delta()" is "delta", "teams('x')" is "teams", "x".
func splitPath(escaped string) ([]string, error) {
	var segments []string
	for part := range strings.SplitSeq(strings.Trim(escaped, "/"), "/") {
		segment, err := url.PathUnescape(part)
		if err != nil {
			return nil, err
		}
		segment = strings.TrimSuffix(segment, "()")
		if name, key, ok := strings.Cut(segment, "('"); ok && strings.HasSuffix(key, "')") {
			segments = append(segments, name, strings.TrimSuffix(key, "')"))
			continue
		}
		segments = append(segments, segment)
	}
	return segments, nil
}

// isGraph reports whether a request is for Graph, and its path after /v1.0.
func isGraph(r *http.Request) (string, bool) {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), "/v1.0")
	if !ok || (rest != "" && rest[0] != '/') {
		return "", false
	}
	return rest, true
}

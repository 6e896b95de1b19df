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
func coreRoutes() []route { return nil }

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

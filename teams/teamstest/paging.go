package teamstest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pageToken is what the tenant remembers in a skip or delta token. To clients
// it is opaque; the options of the first request are baked in.
type pageToken struct {
	Kind   string `json:"k"`
	Path   string `json:"p"`
	Issued int64  `json:"i"`
	Epoch  int    `json:"g,omitempty"`
	Top    int    `json:"n,omitempty"`
	Expand bool   `json:"e,omitempty"`
	Since  int64  `json:"s,omitempty"` // filter, nanoseconds
	Until  int64  `json:"u,omitempty"`
	After  string `json:"a,omitempty"` // position in a list
	Select string `json:"c,omitempty"`
	Filter string `json:"f,omitempty"` // of people
	// of delta rounds
	Initial  bool   `json:"r,omitempty"`
	Seq      uint64 `json:"q,omitempty"` // everything up to here was shown
	NextSeq  uint64 `json:"x,omitempty"` // where the next round starts
	LastSeen string `json:"l,omitempty"` // the item to replay
}

// encode makes the token of now.
func (p pageToken) encode(x *exchange) string {
	p.Path, p.Issued, p.Epoch = x.tokenPath(), x.t.clock.Now().UnixNano(), x.t.epoch
	return base64.RawURLEncoding.EncodeToString(mustJSON(p))
}

func (x *exchange) tokenPath() string { return strings.ToLower(strings.ReplaceAll(x.path, "()", "")) }

// link makes a link to this request's resource with nothing but a token. It is
// absolute and names the tenant's own host, as Graph's does.
func (x *exchange) link(name, token string) string {
	path, _ := isGraph(x.r)
	return x.t.GraphURL() + path + "?" + name + "=" + url.QueryEscape(token)
}

// nextLink makes the link to the page after this one.
func (x *exchange) nextLink(p pageToken) string { return x.link("$skiptoken", p.encode(x)) }

// token reads the token of a request, nil when it has none or an empty one.
func (x *exchange) token(kind string) (*pageToken, *apiError) {
	raw := x.query.Get("$skiptoken")
	if raw == "" {
		raw = x.query.Get("$deltatoken")
	}
	if raw == "" {
		return nil, nil
	}
	var p pageToken
	plain, err := base64.RawURLEncoding.DecodeString(raw)
	if err == nil {
		err = json.Unmarshal(plain, &p)
	}
	age := x.t.clock.Now().Sub(time.Unix(0, p.Issued))
	switch {
	case err != nil || p.Kind != kind || p.Path != x.tokenPath(), p.Epoch < x.t.forgottenEpoch:
		return nil, x.badToken(kind)
	case p.Epoch < x.t.goneEpoch, age > x.t.opts.DeltaTokenLife:
		if kind != kindDelta {
			return nil, x.badToken(kind)
		}
		return nil, &apiError{
			Status: http.StatusGone, Code: "resyncRequired", Message: "Resync is required.",
			Header: http.Header{"Location": {x.link("$deltatoken", "")}},
		}
	}
	return &p, nil
}

func (x *exchange) badToken(kind string) *apiError {
	if kind == kindDelta {
		return &apiError{Status: http.StatusBadRequest, Code: "syncStateNotFound", Message: "The sync state generation is not found; a full sync is required."}
	}
	return errBadRequest("The skip token is invalid or has expired.")
}

// ExpirePageTokens makes every skip and delta token handed out so far too old: a
// delta query answers 410 with a Location, a list 400.
func (t *Tenant) ExpirePageTokens() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch++
	t.goneEpoch = t.epoch
}

// ForgetPageTokens makes every skip and delta token handed out so far unknown: a
// delta query answers 400 syncStateNotFound.
func (t *Tenant) ForgetPageTokens() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch++
	t.forgottenEpoch = t.epoch
}

// allow refuses query options that a resource does not support. Names without
// a dollar sign, such as model, are ignored.
func (x *exchange) allow(names ...string) *apiError {
	for name := range x.query {
		if strings.HasPrefix(name, "$") && !slices.Contains(names, name) {
			return errBadRequest(fmt.Sprintf("Query option '%s' is not allowed. To allow it, set the 'AllowedQueryOptions' property on EnableQueryAttribute or QueryValidationSettings.", strings.TrimPrefix(name, "$")))
		}
	}
	return nil
}

// top reads $top.
func (x *exchange) top(standard, most int) (int, *apiError) {
	raw := x.query.Get("$top")
	if raw == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(raw)
	if err != nil || n < 1 {
		return 0, errBadRequest(fmt.Sprintf("Invalid value '%s' for $top query option found. The $top query option requires a positive integer value.", raw))
	}
	if n > most {
		return 0, errBadRequest(fmt.Sprintf("The limit of '%d' for Top query has been exceeded. The value from the incoming request is '%d'.", most, n))
	}
	return n, nil
}

// pageSize is how many items a page really gets: a service may always give
// fewer than asked for. t.mu is held.
func (t *Tenant) pageSize(asked int, uneven bool) int {
	if t.opts.PageSize > 0 {
		asked = min(asked, t.opts.PageSize)
	}
	t.pages++
	if (uneven || t.opts.UnevenPages) && t.pages%3 == 0 {
		asked = max(1, asked*2/3)
	}
	return asked
}

// expandReplies reads $expand, of which only replies is supported.
func (x *exchange) expandReplies() (bool, *apiError) {
	switch raw := x.query.Get("$expand"); raw {
	case "":
		return false, nil
	case "replies":
		return true, nil
	default:
		return false, errBadRequest(fmt.Sprintf("Could not find a property named '%s' on type 'Microsoft.Teams.GraphSvc.chatMessage'.", raw))
	}
}

// modifiedRange reads a $filter of lastModifiedDateTime gt and lt.
func (x *exchange) modifiedRange(before bool) (since, until int64, refused *apiError) {
	raw := strings.TrimSpace(x.query.Get("$filter"))
	if raw == "" {
		return 0, 0, nil
	}
	for clause := range strings.SplitSeq(raw, " and ") {
		fields := strings.Fields(clause)
		if len(fields) != 3 || fields[0] != "lastModifiedDateTime" {
			return 0, 0, errBadRequest("Invalid filter clause: only lastModifiedDateTime is supported.")
		}
		at, err := time.Parse(time.RFC3339Nano, fields[2])
		switch {
		case err != nil:
			return 0, 0, errBadRequest("Invalid filter clause: '" + fields[2] + "' is not a DateTimeOffset.")
		case fields[1] == "gt":
			since = at.UnixNano()
		case fields[1] == "lt" && before:
			until = at.UnixNano()
		default:
			return 0, 0, errBadRequest("Invalid filter clause: operator '" + fields[1] + "' is not supported.")
		}
	}
	return since, until, nil
}

// wirePage is one page of a collection.
type wirePage struct {
	Context   string `json:"@odata.context"`
	Count     *int   `json:"@odata.count,omitempty"`
	NextLink  string `json:"@odata.nextLink,omitempty"`
	DeltaLink string `json:"@odata.deltaLink,omitempty"`
	Value     any    `json:"value"`
}

func count(n int) *int { return &n }

// slicePage cuts one page out of a list that only grows: items that are left
// out keep their place, so that positions stay true while a client pages. It
// returns the position of the next page, "" when there is none.
func slicePage[T any](list []T, after string, size int, in func(T) bool) (page []T, next string) {
	start, _ := strconv.Atoi(after) // "" is the start
	for i := max(start, 0); i < len(list); i++ {
		if !in(list[i]) {
			continue
		}
		if len(page) == size {
			return page, strconv.Itoa(i)
		}
		page = append(page, list[i])
	}
	return page, ""
}

package teamstest

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// expandLimit is how many replies $expand=replies returns of one post.
const expandLimit = 1000

// listMessages lists posts, newest first by the time of their creation.
// Microsoft promises no order. In this one an old post with a new reply stays
// where it was, deep in the list: a reader that stops at the first page loses
// the reply.
func listMessages(x *exchange) (*response, *apiError) {
	c, refused := x.findChannel()
	if refused != nil {
		return nil, refused
	}
	if refused = x.allow("$top", "$expand", "$skiptoken"); refused != nil {
		return nil, refused
	}
	token, refused := x.listToken(kindList)
	if refused != nil {
		return nil, refused
	}
	now := x.t.clock.Now()
	items, next := newest(c.roots, token.After, x.t.pageSize(token.Top, false), now)
	value := make([]wireMessage, 0, len(items))
	for _, m := range items {
		w := m.wire(m.view(now), x.wireOptions())
		if token.Expand {
			x.expand(&w, m, now)
		}
		value = append(value, w)
	}
	page := wirePage{Context: c.context("messages"), Count: count(len(value)), Value: value}
	if next != "" {
		token.After = next
		page.NextLink = x.nextLink(*token)
	}
	return jsonResponse(http.StatusOK, page), nil
}

func listReplies(x *exchange) (*response, *apiError) {
	root, refused := x.findMessage()
	if refused != nil {
		return nil, refused
	}
	if refused = x.allow("$top", "$skiptoken"); refused != nil {
		return nil, refused
	}
	now := x.t.clock.Now()
	if root.view(now) == nil {
		return nil, errNotFound("NotFound: message " + root.ID)
	}
	token, refused := x.listToken(kindReplies)
	if refused != nil {
		return nil, refused
	}
	items, next := newest(root.replies, token.After, x.t.pageSize(token.Top, false), now)
	value := make([]wireMessage, 0, len(items))
	for _, m := range items {
		value = append(value, m.wire(m.view(now), x.wireOptions()))
	}
	page := wirePage{Context: root.ch.context("messages('" + root.ID + "')/replies"), Count: count(len(value)), Value: value}
	if next != "" {
		token.After = next
		page.NextLink = x.nextLink(*token)
	}
	return jsonResponse(http.StatusOK, page), nil
}

func (x *exchange) listToken(kind string) (*pageToken, *apiError) {
	top, refused := x.top(20, 50)
	if refused != nil {
		return nil, refused
	}
	expand, refused := x.expandReplies()
	if refused != nil {
		return nil, refused
	}
	token, refused := x.token(kind)
	if refused != nil {
		return nil, refused
	}
	if token == nil {
		token = &pageToken{Kind: kind, Top: top, Expand: expand}
	}
	return token, nil
}

func (x *exchange) wireOptions() wireOptions {
	return wireOptions{unknownMembers: x.prefersUnknownEnumMembers()}
}

// newest returns up to size messages older than the one with the id after,
// newest first, and the position of the next page.
func newest(list []*Message, after string, size int, now time.Time) (items []*Message, next string) {
	limit := int64(-1)
	if after != "" {
		limit, _ = strconv.ParseInt(after, 10, 64) // the tenant's own token
	}
	for _, m := range slices.Backward(list) {
		if limit >= 0 && m.created.UnixMilli() >= limit || m.view(now) == nil {
			continue
		}
		if len(items) == size {
			return items, items[size-1].ID
		}
		items = append(items, m)
	}
	return items, ""
}

// expand adds a post's replies, newest first, and a link to those beyond the
// limit.
func (x *exchange) expand(w *wireMessage, root *Message, now time.Time) {
	limit := expandLimit
	if x.t.opts.ExpandLimit > 0 {
		limit = x.t.opts.ExpandLimit
	}
	items, next := newest(root.replies, "", limit, now)
	replies := make([]wireMessage, 0, len(items))
	o := x.wireOptions()
	for _, m := range items {
		replies = append(replies, m.wire(m.view(now), o))
	}
	w.RepliesContext = root.ch.context("messages('" + root.ID + "')/replies")
	w.RepliesCount, w.Replies = count(len(replies)), &replies
	if next == "" {
		return
	}
	// The link leads to another resource than this request's.
	path := root.graphPath() + "/replies"
	token := pageToken{Kind: kindReplies, Top: 50, After: next}
	there := *x
	there.path = path
	w.RepliesNextLink = x.t.GraphURL() + path + "?$skiptoken=" + url.QueryEscape(token.encode(&there))
}

// getMessage returns one post or reply. $expand is ignored here: that it works
// for single messages is not documented.
func getMessage(x *exchange) (*response, *apiError) {
	m, refused := x.findMessage()
	if refused != nil {
		return nil, refused
	}
	v := m.view(x.t.clock.Now())
	if v == nil {
		return nil, errNotFound("NotFound: message " + m.ID)
	}
	o := x.wireOptions()
	o.context = m.entityContext()
	return jsonResponse(http.StatusOK, m.wire(v, o)), nil
}

func (m *Message) entityContext() string {
	if m.root != nil {
		return m.ch.context("messages('" + m.RootID + "')/replies/$entity")
	}
	return m.ch.context("messages/$entity")
}

// findHosted finds the message of the path and its pictures, as readers see
// them.
func (x *exchange) findHosted() (*Message, []*hostedContent, *apiError) {
	m, refused := x.findMessage()
	if refused != nil {
		return nil, nil, refused
	}
	v := m.view(x.t.clock.Now())
	if v == nil {
		return nil, nil, errNotFound("NotFound: message " + m.ID)
	}
	if !v.deleted.IsZero() {
		return m, nil, nil
	}
	return m, v.hosted, nil
}

// listHostedContents lists pictures without their bytes and types, which are
// always null here.
func listHostedContents(x *exchange) (*response, *apiError) {
	if refused := x.allow(); refused != nil {
		return nil, refused
	}
	m, hosted, refused := x.findHosted()
	if refused != nil {
		return nil, refused
	}
	value := make([]orderedObject, 0, len(hosted))
	for _, h := range hosted {
		value = append(value, orderedObject{{"id", h.id}, {"contentBytes", nil}, {"contentType", nil}})
	}
	return jsonResponse(http.StatusOK, wirePage{
		Context: m.ch.context("messages('" + m.ID + "')/hostedContents"), Count: count(len(value)), Value: value,
	}), nil
}

func getHostedContent(x *exchange) (*response, *apiError) {
	_, hosted, refused := x.findHosted()
	if refused != nil {
		return nil, refused
	}
	for _, h := range hosted {
		if h.id == x.vars["content"] {
			return &response{status: http.StatusOK, header: http.Header{"Content-Type": {h.contentType}}, body: h.data}, nil
		}
	}
	return nil, errNotFound("NotFound: hosted content " + x.vars["content"])
}

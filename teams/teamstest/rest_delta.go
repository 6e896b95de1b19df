package teamstest

import (
	"cmp"
	"net/http"
	"slices"
	"time"
)

// deltaWindow is how far back a delta query of messages looks.
const deltaWindow = 8 * 30 * 24 * time.Hour

// messagesDelta answers a delta query of a channel. A round without a token
// lists every post of the window, oldest first; its first page is empty, with a
// nextLink, as Graph's has been seen to be. Further rounds list the posts whose
// chain changed, in the order of change. Every page after the first of a round
// begins with the last item of the page before: items may repeat, Microsoft
// says, so here they do. Nothing is ever skipped: what readers do not see yet
// stays in front of the position.
func messagesDelta(x *exchange) (*response, *apiError) {
	c, refused := x.findChannel()
	if refused != nil {
		return nil, refused
	}
	if x.caller.App && x.t.opts.RefuseAppDelta {
		return nil, errBadRequest("Invalid request. Delta query is not supported by this resource.")
	}
	token, refused := x.deltaToken()
	if refused != nil {
		return nil, refused
	}
	if token == nil {
		if token, refused = x.firstDelta(c); refused != nil {
			return nil, refused
		}
		return x.deltaPage(nil, *token, true), nil
	}
	now := x.t.clock.Now()
	size := x.t.pageSize(token.Top, false)
	if token.Initial {
		return x.initialDelta(c, *token, size, now), nil
	}
	return x.laterDelta(c, *token, size, now), nil
}

func (x *exchange) deltaToken() (*pageToken, *apiError) {
	if refused := x.allow("$top", "$skip", "$expand", "$filter", "$skiptoken", "$deltatoken"); refused != nil {
		return nil, refused
	}
	return x.token(kindDelta)
}

// firstDelta reads the options of a round without a token.
func (x *exchange) firstDelta(c *Channel) (*pageToken, *apiError) {
	top, refused := x.top(20, 50)
	if refused != nil {
		return nil, refused
	}
	expand, refused := x.expandReplies()
	if refused != nil {
		return nil, refused
	}
	since, _, refused := x.modifiedRange(false)
	if refused != nil {
		return nil, refused
	}
	now := x.t.clock.Now()
	if window := now.Add(-deltaWindow).UnixNano(); since < window {
		since = window
	}
	start := x.t.seq
	for _, m := range c.roots {
		if _, hidden := m.chainSeq(now); hidden > 0 {
			start = min(start, hidden-1)
		}
	}
	return &pageToken{Kind: kindDelta, Top: top, Expand: expand, Since: since, Initial: true, NextSeq: start}, nil
}

func (x *exchange) initialDelta(c *Channel, token pageToken, size int, now time.Time) *response {
	var items []*Message
	replay, fresh := token.LastSeen, 0
	for _, m := range c.roots {
		if m.view(now) == nil || !m.chainTouched(token.Since, now) {
			continue
		}
		if token.After != "" && !isLater(m, token.After) && m.ID != replay {
			continue
		}
		if fresh > 0 && len(items) >= size {
			token.After, token.LastSeen = items[len(items)-1].ID, items[len(items)-1].ID
			return x.deltaPage(items, token, true)
		}
		if m.ID != replay {
			fresh++
		}
		items = append(items, m)
	}
	token.Initial, token.After, token.LastSeen = false, "", ""
	token.Seq, token.NextSeq = token.NextSeq, 0
	return x.deltaPage(items, token, false)
}

func (x *exchange) laterDelta(c *Channel, token pageToken, size int, now time.Time) *response {
	type touched struct {
		m   *Message
		seq uint64
	}
	var found []touched
	barrier := x.t.seq + 1
	for _, m := range c.roots {
		seen, hidden := m.chainSeq(now)
		if hidden > 0 {
			barrier = min(barrier, hidden)
		}
		if m.view(now) != nil && seen > token.Seq {
			found = append(found, touched{m, seen})
		}
	}
	slices.SortFunc(found, func(a, b touched) int { return cmp.Compare(a.seq, b.seq) })
	var items []*Message
	if m := c.messages[token.LastSeen]; m != nil && len(found) > 0 && m.view(now) != nil {
		items = append(items, m)
	}
	fresh := 0
	for _, f := range found {
		if f.seq >= barrier {
			break
		}
		if fresh > 0 && len(items) >= size {
			token.LastSeen = items[len(items)-1].ID
			return x.deltaPage(items, token, true)
		}
		items = append(items, f.m)
		token.Seq = f.seq
		fresh++
	}
	token.LastSeen = ""
	return x.deltaPage(items, token, false)
}

// deltaPage renders a page with a nextLink, or with the deltaLink that ends a
// round.
func (x *exchange) deltaPage(items []*Message, token pageToken, more bool) *response {
	now := x.t.clock.Now()
	value := make([]wireMessage, 0, len(items))
	o := x.wireOptions()
	o.typed = true
	for _, m := range items {
		w := m.wire(m.view(now), o)
		if token.Expand {
			x.expand(&w, m, now)
		}
		value = append(value, w)
	}
	page := wirePage{Context: x.context("Collection(chatMessage)"), Value: value}
	if more {
		page.NextLink = x.nextLink(token)
	} else {
		page.DeltaLink = x.link("$deltatoken", token.encode(x))
	}
	return jsonResponse(http.StatusOK, page)
}

// isLater reports whether a message was created after the one with that id.
func isLater(m *Message, id string) bool {
	return len(m.ID) > len(id) || len(m.ID) == len(id) && m.ID > id
}

// chainTouched reports whether the post or a reply was modified after since.
func (m *Message) chainTouched(since int64, now time.Time) bool {
	if v := m.view(now); v != nil && v.modified.UnixNano() > since {
		return true
	}
	return slices.ContainsFunc(m.replies, func(r *Message) bool {
		v := r.view(now)
		return v != nil && v.modified.UnixNano() > since
	})
}

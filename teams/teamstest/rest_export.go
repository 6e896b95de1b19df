package teamstest

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// exportPage is the most that a page of getAllMessages has. A larger $top is
// not refused, its pages are shorter.
const exportPage = 50

// exportMessages lists posts and replies of all channels of a team, deleted
// ones too. In which order is not documented; here it is that of creation,
// newest first, over all channels, so that a page says nothing about how far
// back in changes it reaches. Every third page is shorter than asked for.
func exportMessages(x *exchange) (*response, *apiError) {
	team, refused := x.findTeam()
	if refused != nil {
		return nil, refused
	}
	if refused = x.allow("$top", "$filter", "$skiptoken"); refused != nil {
		return nil, refused
	}
	token, refused := x.token(kindExport)
	if refused != nil {
		return nil, refused
	}
	if token == nil {
		top, refused := x.top(20, 1<<30)
		if refused != nil {
			return nil, refused
		}
		token = &pageToken{Kind: kindExport, Top: min(top, exportPage)}
		if token.Since, token.Until, refused = x.modifiedRange(true); refused != nil {
			return nil, refused
		}
	}
	now := x.t.clock.Now()
	items := team.exported(x.t, *token, now)
	size := x.t.pageSize(token.Top, true)
	more := len(items) > size
	if more {
		items = items[:size]
		last := items[size-1]
		token.After = last.ID + "/" + last.ch.ID
	}
	value := make([]wireMessage, 0, len(items))
	for _, m := range items {
		value = append(value, m.wire(m.view(now), x.wireOptions()))
	}
	page := wirePage{Context: x.context("Collection(chatMessage)"), Count: count(len(value)), Value: value}
	if more {
		page.NextLink = x.nextLink(*token)
	}
	return jsonResponse(http.StatusOK, page), nil
}

// exported collects what follows the token's position, in order.
func (team *Team) exported(t *Tenant, token pageToken, now time.Time) []*Message {
	id, channelID, _ := strings.Cut(token.After, "/")
	created, _ := strconv.ParseInt(id, 10, 64) // the tenant's own token
	var items []*Message
	for _, c := range team.existing() {
		if c.kind == Shared && t.opts.ExportOmitsShared {
			continue
		}
		for _, m := range c.messages {
			v := m.view(now)
			if v == nil || v.modified.UnixNano() <= token.Since || token.Until != 0 && v.modified.UnixNano() >= token.Until {
				continue
			}
			if token.After != "" && exportOrder(m.created.UnixMilli(), c.ID, created, channelID) <= 0 {
				continue
			}
			items = append(items, m)
		}
	}
	slices.SortFunc(items, func(a, b *Message) int {
		return exportOrder(a.created.UnixMilli(), a.ch.ID, b.created.UnixMilli(), b.ch.ID)
	})
	return items
}

func exportOrder(aCreated int64, aChannel string, bCreated int64, bChannel string) int {
	return cmp.Or(cmp.Compare(bCreated, aCreated), cmp.Compare(aChannel, bChannel))
}

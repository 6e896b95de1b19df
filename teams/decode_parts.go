package teams

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Bounds of lists and documents inside a message; what is beyond them no
// client of Teams can make.
const (
	maxListItems  = 2000
	maxEventBytes = 256 << 10
)

func body(v gjson.Result) (BodyType, string) {
	typ, content := BodyType(text(v.Get("contentType"))), text(v.Get("content"))
	if typ != BodyHTML {
		// Text is the safe reading: it is escaped on its way to Matrix.
		typ = BodyText
	}
	return typ, content
}

// identitySet reads {application, device, user}, of which one is set.
func identitySet(v gjson.Result) Identity {
	for _, kind := range []string{"user", "application", "device"} {
		if part := v.Get(kind); part.IsObject() {
			return identity(part, kind)
		}
	}
	return Identity{}
}

func identity(v gjson.Result, kind string) Identity {
	id := Identity{
		ID:          text(v.Get("id")),
		DisplayName: text(v.Get("displayName")),
		Kind:        kind,
		TenantID:    text(v.Get("tenantId")),
	}
	if kind == "application" {
		id.UserType = text(v.Get("applicationIdentityType"))
	} else {
		id.UserType = text(v.Get("userIdentityType"))
	}
	if id.ID != "" && !validID(id.ID) {
		id.ID = ""
	}
	return id
}

func attachments(v gjson.Result) []Attachment {
	var out []Attachment
	each(v, func(item gjson.Result) {
		content := text(item.Get("content"))
		if c := item.Get("content"); c.IsObject() {
			content = c.Raw
		}
		out = append(out, Attachment{
			ID:           text(item.Get("id")),
			ContentType:  text(item.Get("contentType")),
			ContentURL:   text(item.Get("contentUrl")),
			Content:      content,
			Name:         text(item.Get("name")),
			ThumbnailURL: text(item.Get("thumbnailUrl")),
			TeamsAppID:   text(item.Get("teamsAppId")),
		})
	})
	return out
}

func mentions(v gjson.Result) []Mention {
	var out []Mention
	each(v, func(item gjson.Result) {
		id, err := strconv.Atoi(text(item.Get("id")))
		if err != nil {
			return
		}
		mention := Mention{ID: id, Text: text(item.Get("mentionText"))}
		who := item.Get("mentioned")
		if c := who.Get("conversation"); c.IsObject() {
			mention.Conversation = &ConversationMention{
				ID:          text(c.Get("id")),
				DisplayName: text(c.Get("displayName")),
				Type:        text(c.Get("conversationIdentityType")),
			}
		} else if t := who.Get("tag"); t.IsObject() {
			mention.Tag = &TagMention{ID: text(t.Get("id")), DisplayName: text(t.Get("displayName"))}
		} else if u := who.Get("user"); u.IsObject() {
			user := identity(u, "user")
			mention.User = &user
		} else if a := who.Get("application"); a.IsObject() {
			app := identity(a, "application")
			mention.Application = &app
		}
		out = append(out, mention)
	})
	return out
}

func reactions(v gjson.Result) []Reaction {
	var out []Reaction
	each(v, func(item gjson.Result) {
		r := Reaction{
			Type:        text(item.Get("reactionType")),
			DisplayName: text(item.Get("displayName")),
			ContentURL:  text(item.Get("reactionContentUrl")),
			Created:     instant(item.Get("createdDateTime")),
			User:        identitySet(item.Get("user")),
		}
		if r.Type != "" {
			out = append(out, r)
		}
	})
	return out
}

func eventDetail(v gjson.Result) *EventDetail {
	if !v.IsObject() {
		return nil
	}
	typ := text(v.Get(`\@odata\.type`))
	typ = strings.TrimPrefix(strings.TrimPrefix(typ, "#"), "microsoft.graph.")
	detail := &EventDetail{Type: strings.TrimSuffix(typ, "EventMessageDetail")}
	if len(v.Raw) <= maxEventBytes {
		detail.Raw = json.RawMessage(v.Raw)
	}
	if who := identitySet(v.Get("initiator")); who != (Identity{}) {
		detail.Initiator = &who
	}
	return detail
}

func each(v gjson.Result, f func(gjson.Result)) {
	if !v.IsArray() {
		return
	}
	n := 0
	v.ForEach(func(_, item gjson.Result) bool {
		if item.IsObject() {
			f(item)
		}
		n++
		return n < maxListItems
	})
}

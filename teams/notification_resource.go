package teams

import "strings"

// ResourceKind says what a notified resource is.
type ResourceKind string

// The kinds of resources that Graph notifies of.
const (
	ResourceMessage ResourceKind = "message"
	ResourceMember  ResourceKind = "member"
	ResourceChannel ResourceKind = "channel"
	ResourceTeam    ResourceKind = "team"
)

// Resource is a parsed resource path, of a notification or a subscription.
type Resource struct {
	Kind      ResourceKind
	TeamID    string
	ChannelID string
	// MessageID is the post, ReplyID the reply; both empty for a collection.
	MessageID string
	ReplyID   string
	// Tenant marks a resource of the whole tenant, such as /teams/getAllMessages.
	Tenant bool
}

// Message returns the name of the notified message.
func (r Resource) Message() MessageRef {
	ref := MessageRef{ChannelRef: ChannelRef{TeamID: r.TeamID, ChannelID: r.ChannelID}, ID: r.MessageID}
	// Some samples show a post as a reply to itself.
	if r.ReplyID != "" && r.ReplyID != r.MessageID {
		ref.RootID, ref.ID = r.MessageID, r.ReplyID
	}
	return ref
}

// Scope returns what the poller has to read to catch up with the resource;
// the zero Scope means everything.
func (r Resource) Scope() Scope { return Scope{TeamID: r.TeamID, ChannelID: r.ChannelID} }

// ParseResource reads "teams('t')/channels('c')/messages('m')/replies('r')",
// the same with slashes, and the resources of subscriptions.
func ParseResource(path string) (Resource, bool) {
	path, _, _ = strings.Cut(strings.TrimPrefix(path, "/"), "?")
	segments, ok := splitResource(path)
	if !ok || len(segments) == 0 || !strings.EqualFold(segments[0].name, "teams") {
		return Resource{}, false
	}
	r := Resource{Kind: ResourceTeam}
	for i, seg := range segments {
		if !seg.keyed && seg.key != "" && strings.HasPrefix(strings.ToLower(seg.key), "getall") {
			r.Tenant = r.TeamID == "" && i == 0
			return r.collection(seg.key)
		}
		switch strings.ToLower(seg.name) {
		case "teams":
			r.Kind, r.TeamID = ResourceTeam, seg.key
		case "channels":
			r.Kind, r.ChannelID = ResourceChannel, seg.key
		case "messages":
			r.Kind, r.MessageID = ResourceMessage, seg.key
		case "replies":
			r.Kind, r.ReplyID = ResourceMessage, seg.key
		case "members", "allmembers":
			r.Kind = ResourceMember
		default:
			return Resource{}, false
		}
	}
	return r, true
}

func (r Resource) collection(name string) (Resource, bool) {
	switch strings.ToLower(name) {
	case "getallmessages":
		r.Kind = ResourceMessage
	case "getallchannels":
		r.Kind = ResourceChannel
	case "getallmembers":
		r.Kind = ResourceMember
	default:
		return Resource{}, false
	}
	return r, true
}

type resourceSegment struct {
	name, key string
	keyed     bool // key in parentheses, not behind a slash
}

// splitResource cuts the path into collections and keys. A quote inside a key
// is doubled, and a key may contain slashes only inside quotes.
func splitResource(path string) ([]resourceSegment, bool) {
	var out []resourceSegment
	for path != "" {
		end := strings.IndexAny(path, "/(")
		if end < 0 {
			out = append(out, resourceSegment{name: path})
			break
		}
		seg := resourceSegment{name: path[:end]}
		if path[end] == '(' {
			key, rest, ok := quotedKey(path[end:])
			if !ok {
				return nil, false
			}
			seg.key, seg.keyed, path = key, true, strings.TrimPrefix(rest, "/")
		} else {
			seg.key, path, _ = strings.Cut(path[end+1:], "/")
		}
		out = append(out, seg)
	}
	return out, true
}

func quotedKey(s string) (key, rest string, ok bool) {
	s, ok = strings.CutPrefix(s, "('")
	if !ok {
		return "", "", false
	}
	var b strings.Builder
	for {
		end := strings.IndexByte(s, '\'')
		if end < 0 {
			return "", "", false
		}
		b.WriteString(s[:end])
		s = s[end+1:]
		if !strings.HasPrefix(s, "'") {
			break
		}
		b.WriteByte('\'')
		s = s[1:]
	}
	rest, ok = strings.CutPrefix(s, ")")
	return b.String(), rest, ok
}

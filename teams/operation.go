package teams

import (
	"net/http"
	"net/url"
	"strings"
)

// row is a line of Microsoft's throttling table: requests per second for the
// application within the tenant, per resource (team or channel) and per user;
// 0 is "no limit documented". The dimension "per app in all tenants" can't be
// reached by a bridge that serves one tenant.
type row struct {
	name                   string
	tenant, resource, user float64
}

// rowPost is the row of posts and replies.
const rowPost = "post message"

// rowFileContent is the row of files' bytes.
const rowFileContent = "file content"

// The documented rows that the bridge's calls fall into (Teams throttling
// limits of February 2026).
func rows() map[string]row {
	list := []row{
		{"team", 30, 4, 0},
		{"channels", 60, 4, 0},
		{"channel", 30, 1, 0},
		{"channel members", 60, 1, 0},
		{"team members", 60, 4, 0},
		{"messages", 20, 1, 0},
		{rowPost, 50, 1, 1},
		{"patch message", 30, 1, 0},
		{"soft delete", 30, 1, 0},
		{"list hosted contents", 50, 1, 0},
		{"hosted content", 60, 1, 0},
		{"export", 200, 0, 0},
		{"other read", 30, 1, 1},
		{"other write", 30, 1, 1},
		{"other delete", 15, 1, 1},
		// Directory calls have a budget in units per ten seconds that Graph
		// does not tell beforehand; this keeps far below the smallest tenant's.
		{"directory", 50, 0, 0},
		{"sign-in", 20, 0, 0},
		// SharePoint limits by units per minute that depend on the tenant's size,
		// and tells of them with 429 and Retry-After; this keeps below the smallest.
		{"files", 10, 0, 0},
		{rowFileContent, 10, 0, 0},
	}
	out := make(map[string]row, len(list))
	for _, r := range list {
		out[r.name] = r
	}
	return out
}

// call is one request as the limiter, the metrics and the errors see it.
type call struct {
	op       string // for people: "GET channel messages"
	row      string
	resource string
	scope    string // what it is about, where that is not the limits' resource
	user     string
	write    bool
	login    bool
	file     bool   // a file's bytes, at an address that Graph gave out
	hint     string // what a 403 usually means
}

// classify finds out what a request does from its method and path. It takes
// the plain form (/teams/{id}) and the one with keys in parentheses
// (/teams('{id}')) that nextLinks may have.
func classify(method string, u *url.URL) call {
	segs := segments(u)
	c := call{write: method != http.MethodGet && method != http.MethodHead}
	switch {
	case len(segs) == 0:
		c.op, c.row = "root", otherRow(method)
	case segs[0] == "teams":
		c.classifyTeams(method, segs)
	case segs[0] == "subscriptions":
		c.op, c.row = "subscription", otherRow(method)
		c.hint = "the application needs the read permission of the subscribed resource; a 403 also means that Graph's quota of subscriptions is used up"
	case segs[0] == "groups" && segs[len(segs)-1] != "$value":
		c.op, c.row, c.hint = "group", "directory", groupHint
		if segs[len(segs)-1] == "transitiveMembers" {
			c.op = "group members"
		}
	case segs[0] == "organization" || segs[0] == "users" || segs[0] == "me" || segs[0] == "groups":
		c.op, c.row = strings.TrimSuffix(segs[0], "s"), "directory"
		if segs[len(segs)-1] == "$value" {
			c.op += " photo"
		}
		c.hint = "needs User.Read.All (users, photos) or Organization.Read.All with admin consent"
	case segs[0] == "drives":
		c.op, c.row, c.hint = "file", "files", "needs the application permission Files.Read.All with admin consent"
		if c.write {
			c.op, c.hint = "upload session", "the account needs the delegated permission Files.ReadWrite.All"
		}
	default:
		c.op, c.row = "other", otherRow(method)
	}
	c.op = method + " " + c.op
	return c
}

func (c *call) classifyTeams(method string, segs []string) {
	if len(segs) == 1 {
		c.op, c.row, c.hint = "teams", otherRow(method), "needs the application permission Team.ReadBasic.All with admin consent"
		return
	}
	c.resource = segs[1]
	if len(segs) == 2 {
		c.op, c.row, c.hint = "team", otherRow(method), "needs the application permission Team.ReadBasic.All with admin consent"
		if method == http.MethodGet {
			c.row = "team"
		}
		return
	}
	switch segs[2] {
	case "members":
		c.op, c.row, c.hint = "team members", "team members", "needs the application permission TeamMember.Read.All with admin consent"
	case "primaryChannel":
		c.op, c.row, c.hint = "primary channel", "channel", channelHint
	case "allChannels", "incomingChannels":
		c.op, c.row, c.hint = "channels", "channels", channelHint
	case "channels":
		c.classifyChannel(method, segs)
	case "photo":
		c.op, c.row = "team photo", "other read"
	default:
		c.op, c.row = "team "+segs[2], otherRow(method)
	}
}

const groupHint = "needs the application permission GroupMember.Read.All with admin consent"

const channelHint = "needs the application permission Channel.ReadBasic.All with admin consent"

func (c *call) classifyChannel(method string, segs []string) {
	switch {
	case len(segs) == 3:
		c.op, c.row, c.hint = "channels", "channels", channelHint
		return
	case segs[3] == "getAllMessages":
		c.op, c.row, c.hint, c.resource, c.scope = "team messages export", "export", readHint, "", segs[1]
		return
	}
	c.resource = segs[3]
	if len(segs) == 4 {
		c.op, c.row, c.hint = "channel", "channel", channelHint
		return
	}
	switch segs[4] {
	case "members", "allMembers":
		c.op, c.row, c.hint = "channel members", "channel members", "needs the application permission ChannelMember.Read.All with admin consent"
	case "messages":
		c.classifyMessage(method, segs)
	case "filesFolder":
		c.op, c.row, c.hint = "channel filesFolder", otherRow(method), "needs the application permission Files.Read.All with admin consent"
	default:
		c.op, c.row = "channel "+segs[4], otherRow(method)
	}
}

const (
	readHint  = "needs the application permission ChannelMessage.Read.All with admin consent"
	writeHint = "the account needs the delegated permissions ChannelMessage.Send and ChannelMessage.ReadWrite, and must be a member of the channel"
)

func (c *call) classifyMessage(method string, segs []string) {
	last := segs[len(segs)-1]
	c.hint = readHint
	if c.write {
		c.hint = writeHint
	}
	switch {
	case last == "hostedContents":
		c.op, c.row = "hosted contents", "list hosted contents"
	case last == "$value":
		c.op, c.row = "hosted content", "hosted content"
	case last == "softDelete" || last == "undoSoftDelete":
		c.op, c.row = "message "+last, "soft delete"
	case last == "setReaction" || last == "unsetReaction":
		c.op, c.row = "message "+last, "other write"
	case method == http.MethodGet:
		c.op, c.row = "channel messages", "messages"
	case method == http.MethodPost:
		c.op, c.row = "channel message", rowPost
	case method == http.MethodPatch:
		c.op, c.row = "channel message", "patch message"
	default:
		c.op, c.row = "channel message", otherRow(method)
	}
}

func otherRow(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead:
		return "other read"
	case http.MethodDelete:
		return "other delete"
	default:
		return "other write"
	}
}

// segments returns the unescaped path below /v1.0, keys in parentheses split
// off and empty argument lists dropped.
func segments(u *url.URL) []string {
	parts := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	for i, p := range parts {
		if p == "v1.0" || p == "beta" {
			parts = parts[i+1:]
			break
		}
	}
	var out []string
	for _, p := range parts {
		if s, err := url.PathUnescape(p); err == nil {
			p = s
		}
		p = strings.TrimSuffix(p, "()")
		if name, key, ok := strings.Cut(p, "('"); ok && strings.HasSuffix(key, "')") {
			out = append(out, name, strings.TrimSuffix(key, "')"))
		} else if p != "" {
			out = append(out, p)
		}
	}
	return out
}

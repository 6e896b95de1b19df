package msgconv

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"teamsbridge/teams"
)

// Images lists the images in the body of a message in document order, and
// behind them those that Teams keeps of its cards and of messages that it
// forwards; the one at index 2 becomes
// the part "img:2". Those that are not Foreign are to be fetched before
// ToMatrix.
func Images(m teams.Message) []ImageRef {
	if !m.Deleted.IsZero() || isSystem(m) {
		return nil
	}
	var out []ImageRef
	if m.BodyType != teams.BodyText && strings.Contains(strings.ToLower(m.Body), "<img") {
		nodes := bodyImages(parse(m.Body, fromTeams))
		out = make([]ImageRef, len(nodes))
		for i, n := range nodes {
			out[i] = imageRef(n, m)
		}
	}
	return append(out, attachedImages(m)...)
}

// maxCardImages is how many images of a message's cards are shown as images, and
// how many of what it forwards.
const maxCardImages = 10

// attachedImages lists the images of cards, and behind them those of forwarded
// messages.
func attachedImages(m teams.Message) []ImageRef {
	out := cardImages(m)
	most := len(out) + maxCardImages
	for i := range m.Attachments {
		a := &m.Attachments[i]
		if a.ContentType != "forwardedMessageReference" || !strings.Contains(a.Content, "hostedContents") {
			continue
		}
		content, _ := parseJSON(a.Content)
		for _, n := range bodyImages(parse(content.str("originalMessageContent"), fromTeams)) {
			ref := imageRef(n, m)
			if len(out) < most && !ref.Foreign && !slices.ContainsFunc(out, func(o ImageRef) bool { return o.URL == ref.URL }) {
				out = append(out, ref)
			}
		}
	}
	return out
}

// cardImages lists the images of cards that are hosted contents of the
// message's channel, each once.
func cardImages(m teams.Message) []ImageRef {
	var out []ImageRef
	seen := map[string]bool{}
	for i := range m.Attachments {
		a := &m.Attachments[i]
		if cardKinds[cardKind(a.ContentType)] == nil || !strings.Contains(a.Content, "hostedContents") {
			continue
		}
		card, _ := parseJSON(a.Content)
		card.each(func(v jsonValue) bool {
			for _, key := range []string{"url", "image"} {
				src := strings.TrimSpace(v.str(key))
				if src == "" || seen[src] || !isHosted(src, m.Channel) {
					continue
				}
				seen[src] = true
				out = append(out, ImageRef{URL: src, Alt: firstOf(v.name("altText"), v.name("alt"), v.name("title"))})
			}
			return len(out) < maxCardImages
		})
		if len(out) >= maxCardImages {
			break
		}
	}
	return out
}

// bodyImages returns the images of a body that have an address.
func bodyImages(root *node) []*node {
	var out []*node
	walk(root, func(n *node) bool {
		if n.tag == "img" && strings.TrimSpace(n.attr("src")) != "" {
			out = append(out, n)
		}
		return true
	})
	return out
}

func imageRef(n *node, m teams.Message) ImageRef {
	src := strings.TrimSpace(n.attr("src"))
	alt := cleanName(n.attr("alt"))
	if alt == "" {
		alt = cleanName(n.attr("title"))
	}
	if strings.EqualFold(alt, "image") {
		alt = ""
	}
	return ImageRef{
		URL: src, Alt: alt, Foreign: !isHosted(src, m.Channel),
		Width: pixels(n.attr("width")), Height: pixels(n.attr("height")),
	}
}

// isHosted reports whether src names a hosted content of a message in this
// very channel. A message can name any address, and the bridge may read every
// channel: a picture of another one must not get here because somebody wrote
// its address. Which hosts are Graph's, the reader checks.
func isHosted(src string, ch teams.ChannelRef) bool {
	u, err := url.Parse(src)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	parts := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	for i, part := range parts {
		p, err := url.PathUnescape(part)
		if err != nil || p == "" || p == "." || p == ".." || strings.ContainsAny(p, "/\\") {
			return false
		}
		parts[i] = p
	}
	// version/teams/T/channels/C/messages/M[/replies/R]/hostedContents/H/$value
	if len(parts) == 12 && strings.EqualFold(parts[7], "replies") {
		parts = append(parts[:7:7], parts[9:]...)
	}
	return len(parts) == 10 && ch.TeamID != "" && ch.ChannelID != "" &&
		strings.EqualFold(parts[1], "teams") && strings.EqualFold(parts[2], ch.TeamID) &&
		strings.EqualFold(parts[3], "channels") && strings.EqualFold(parts[4], ch.ChannelID) &&
		strings.EqualFold(parts[5], "messages") &&
		strings.EqualFold(parts[7], "hostedContents") && parts[9] == "$value"
}

// pixels reads a length attribute such as "297", "297px" or "297.5".
func pixels(s string) int {
	s = strings.TrimSuffix(strings.TrimSpace(s), "px")
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f < 1 || f > 1e5 {
		return 0
	}
	return int(f)
}

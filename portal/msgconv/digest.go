package msgconv

import (
	"html"
	"slices"
	"strings"
	"time"

	"teamsbridge/texts"
)

// DigestReaction is a reaction to a message of a digest. Where several messages
// are one post in Teams, reactions to one of them can only be told.
type DigestReaction struct {
	// EventID is the Matrix event of the reaction.
	EventID string `json:"event"`
	Emoji   string `json:"emoji"`
	Name    string `json:"name"`
}

// DigestHead returns the HTML of the post under which the messages of a long
// backlog stand, for the time from the first of them to the last, in the zone
// of these times. why is one of the While keys.
func DigestHead(x texts.Texts, why texts.Key, from, to time.Time, messages int) string {
	return "<p><b>" + html.EscapeString(x.Say(texts.DigestHead, "why", x.Say(why), "span", textSpan(from, to))) + "</b></p><p>" + html.EscapeString(x.Count(texts.DigestCount, messages)) + "</p>"
}

// DigestNotice returns what the room is told about a digest, as plain text.
func DigestNotice(x texts.Texts, why texts.Key, from, to time.Time, messages int) string {
	return x.Count(texts.DigestNotice, messages, "why", x.Say(why), "span", textSpan(from, to))
}

// DigestEntry returns the HTML of one message of a digest: what it says, which
// is a draft's HTML, and the reactions to it.
func DigestEntry(x texts.Texts, said string, deleted bool, reactions []DigestReaction) string {
	if deleted {
		return "<div><p><i>" + html.EscapeString(x.Say(texts.DigestDeleted)) + "</i></p></div>"
	}
	var b strings.Builder
	b.WriteString("<div>")
	b.WriteString(said)
	if line := reactionLine(reactions); line != "" {
		b.WriteString("<p>" + html.EscapeString(line) + "</p>")
	}
	b.WriteString("</div>")
	return b.String()
}

// reactionLine lists reactions as "👍 Ada, Ben · 🎉 Cleo", each emoji where it
// came first.
func reactionLine(reactions []DigestReaction) string {
	var order []string
	names := map[string][]string{}
	for _, r := range reactions {
		if !slices.Contains(order, r.Emoji) {
			order = append(order, r.Emoji)
		}
		if name := cleanName(r.Name); !slices.Contains(names[r.Emoji], name) {
			names[r.Emoji] = append(names[r.Emoji], name)
		}
	}
	groups := make([]string, len(order))
	for i, emoji := range order {
		groups[i] = emoji + " " + strings.Join(names[emoji], ", ")
	}
	return strings.Join(groups, " · ")
}

// DigestRoom is how many bytes of a post a digest fills at first: the rest is
// for reactions and longer wording that come later.
const DigestRoom = MaxDraftSize * 4 / 5

// DigestTooLong returns what stands for an entry that has become too long for
// its post.
func DigestTooLong(x texts.Texts, link string) string {
	if href, ok := cleanHref(link, false); ok {
		return "<p><i>" + html.EscapeString(x.Say(texts.DigestTooLong)) + ` <a href="` + html.EscapeString(href) + `">` + html.EscapeString(x.Say(texts.OpenInMatrix)) + "</a></i></p>"
	}
	return "<p><i>" + html.EscapeString(x.Say(texts.DigestTooLong)) + "</i></p>"
}

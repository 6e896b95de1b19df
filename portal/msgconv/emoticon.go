package msgconv

import (
	"regexp"
	"slices"
	"strings"

	"teamsbridge/teams"
)

// maxEmoticons is how many different custom emoji of a message are shown as
// pictures.
const maxEmoticons = 8

// Emoticons lists the custom emoji in the body of a message whose pictures
// Teams keeps, each once. Those that the caller has fetched into
// MatrixEnv.Media stand in the text as pictures, the others as their names, so
// nothing has to wait for them.
func Emoticons(m teams.Message) []ImageRef {
	if m.BodyType == teams.BodyText || !m.Deleted.IsZero() || isSystem(m) || !strings.Contains(strings.ToLower(m.Body), "<customemoji") {
		return nil
	}
	var out []ImageRef
	seen := map[string]bool{}
	walk(parse(m.Body, fromTeams), func(n *node) bool {
		if n.tag != "customemoji" {
			return true
		}
		ref := ImageRef{URL: strings.TrimSpace(n.attr("source")), Alt: emoticonName(n)}
		if ref.Alt != "" && !seen[ref.URL] && isHosted(ref.URL, m.Channel) {
			seen[ref.URL] = true
			out = append(out, ref)
		}
		return len(out) < maxEmoticons
	})
	return out[:min(len(out), maxEmoticons)]
}

// ReactionPictures lists the pictures that Teams keeps of the custom emoji with
// which people have reacted to a message, each emoji once. Alt is the emoji as
// EmojiFromTeams names it.
func ReactionPictures(m teams.Message) []ImageRef {
	if !m.Deleted.IsZero() {
		return nil
	}
	var out []ImageRef
	for _, r := range m.Reactions {
		ref := ImageRef{URL: strings.TrimSpace(r.ContentURL), Alt: EmojiFromTeams(r)}
		if IsCustomReaction(r) && ref.Alt != "" && isHosted(ref.URL, m.Channel) && !slices.ContainsFunc(out, func(o ImageRef) bool { return o.Alt == ref.Alt }) {
			out = append(out, ref)
		}
	}
	return out
}

// ReactionPicture returns the key of a reaction that shows what was fetched
// (MSC4027), or nothing where that is not a picture that everybody may see.
func ReactionPicture(media Media) string {
	if media.Problem != "" || media.File != nil || !strings.HasPrefix(media.MimeType, "image/") || !isMXC(string(media.URI)) {
		return ""
	}
	return string(media.URI)
}

// emoticonName returns a custom emoji's name between colons, or nothing.
func emoticonName(n *node) string {
	name := strings.Trim(cleanName(firstOf(n.attr("alt"), n.attr("title"))), ":")
	if name == "" {
		return ""
	}
	return ":" + name + ":"
}

// emoticon shows a custom emoji: its picture where it was fetched, as clients
// do it that have emoji of their own (MSC2545), else its name.
func (t *toMatrix) emoticon(n *node) {
	name := emoticonName(n)
	media := t.env.Media[strings.TrimSpace(n.attr("source"))]
	if name == "" || media.Problem != "" || media.File != nil || !isMXC(string(media.URI)) || !isHosted(strings.TrimSpace(n.attr("source")), t.m.Channel) {
		t.out.text(name)
		return
	}
	t.out.open("img", attr{"data-mx-emoticon", ""}, attr{"src", string(media.URI)}, attr{"alt", name}, attr{"title", name}, attr{"height", emoticonHeight})
}

// emoticonHeight is how high clients show emoji of their own.
const emoticonHeight = "32"

var mxc = regexp.MustCompile(`^mxc://[A-Za-z0-9.:\[\]-]{1,255}/[A-Za-z0-9_-]{1,255}$`)

func isMXC(s string) bool { return mxc.MatchString(s) }

package portal

import (
	"slices"
	"strconv"
	"strings"

	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// A picture in a message that was written in Matrix came with it, or somebody has
// put it there in Teams. Teams gives every picture an address of its own, which
// nobody knows before Teams lists the message. So it is kept of each text that
// brought pictures which addresses they got.

// maxPictured is of how many texts of a message the pictures are kept.
const maxPictured = 8

// Pictured names the pictures that a text of a message from Matrix brought to Teams.
type Pictured struct {
	// Given is the text (given.content), Sources are hashes of addresses.
	Given   string   `json:"given"`
	Sources []string `json:"sources"`
}

// contentOf is what a draft gives to Teams: its hash (msgconv.ContentHash), and how
// many pictures come with it.
func contentOf(d teams.Draft) string {
	content := msgconv.ContentHash(d)
	if n := len(d.Images); n > 0 && content != "" {
		content += "." + strconv.Itoa(n)
	}
	return content
}

// brought is how many pictures came with a text.
func (g given) brought() int {
	_, rest, _ := strings.Cut(g.content, ".")
	_, count, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(count)
	if err != nil {
		return 0
	}
	return n
}

// isPictured reports whether an address is that of a picture which came with the
// message.
func (m *MessageMetadata) isPictured(source string) bool {
	hash := hashOf(source)
	return slices.ContainsFunc(m.Pictured, func(p Pictured) bool { return slices.Contains(p.Sources, hash) })
}

// pictures tells the pictures of a message apart: those that are known to have come
// with its event, and those of which nobody was told.
func (m *MessageMetadata) pictures(of teams.Message) (own, strange []string) {
	for _, ref := range msgconv.Images(of) {
		switch {
		case ref.Foreign:
		case m.isPictured(ref.URL):
			own = append(own, ref.URL)
		case !slices.Contains(m.Added, hashOf(ref.URL)):
			strange = append(strange, ref.URL)
		}
	}
	return own, strange
}

// ownPictures returns the addresses of those pictures of a message that came with
// its event, and with which text: the one that Teams was given last, or one of those
// that it may have got. Of a text whose addresses are not known they are the first
// that nobody was told of.
func ownPictures(meta *MessageMetadata, m teams.Message, last given, maybe []given) (own []string, with given) {
	own, strange := meta.pictures(m)
	with = last
	shown := with.isShownBy(m)
	for _, g := range maybe {
		if !shown && g.brought() > 0 && g.isShownBy(m) {
			with, shown = g, true
		}
	}
	missing := with.brought() - len(own)
	known := len(own) > 0 || slices.ContainsFunc(meta.Pictured, func(p Pictured) bool { return p.Given == with.content })
	if missing > 0 && (!known || shown) {
		own = append(own, strange[:min(missing, len(strange))]...)
	}
	return own, with
}

// isShownBy reports whether a message is just what a text gave to Teams.
func (g given) isShownBy(m teams.Message) bool { return msgconv.LooksLike(m, g.content) }

// learnPictures keeps which pictures came with a text; news says that there are any.
func (m *MessageMetadata) learnPictures(g given, own []string) (news bool) {
	if g.brought() == 0 {
		return false
	}
	for _, source := range own {
		if m.isPictured(source) {
			continue
		}
		news = true
		if at := slices.IndexFunc(m.Pictured, func(p Pictured) bool { return p.Given == g.content }); at >= 0 {
			m.Pictured[at].Sources = append(m.Pictured[at].Sources, hashOf(source))
		} else {
			m.Pictured = append(m.Pictured, Pictured{Given: g.content, Sources: []string{hashOf(source)}})
		}
	}
	m.Pictured = m.Pictured[max(0, len(m.Pictured)-maxPictured):]
	return news
}

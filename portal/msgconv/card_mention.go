package msgconv

import (
	"strings"

	"teamsbridge/texts"
)

// maxAt is the longest mention in the text of a card.
const maxAt = 300

// atTag returns the length of the <at>…</at> that s begins with, or 0.
func atTag(s string) int {
	if !strings.HasPrefix(s, "<at>") {
		return 0
	}
	end := strings.Index(s[:min(len(s), maxAt)], "</at>")
	if end < 0 {
		return 0
	}
	return end + len("</at>")
}

// mentionsOf reads whom an adaptive card mentions: its texts say <at>…</at>,
// and msteams.entities who that is.
func (w *cardWriter) mentionsOf(card jsonValue) {
	w.people = map[string]jsonValue{}
	for i, e := range card.get("msteams").list("entities") {
		if i >= maxCardElements {
			break
		}
		if e.kind() == "mention" {
			w.people[e.str("text")] = e.get("mentioned")
		}
	}
}

// mention adds a mention as it stands in the text, tags and all.
func (w *cardWriter) mention(at string) {
	text := cleanName(strings.TrimSuffix(strings.TrimPrefix(at, "<at>"), "</at>"))
	who, known := w.people[at]
	if text == "" {
		text = firstOf(cleanName(who.str("name")), w.t.env.Texts.Say(texts.Somebody))
	}
	if !known || w.t.env.People == nil {
		w.put(text)
		return
	}
	mxid, _, ok := w.t.env.People.Mention(w.person(who.str("id")))
	if !ok || mxid == "" {
		w.put(text)
		return
	}
	if pill := w.t.out.open("a", attr{"href", mxid.URI().MatrixToURL()}); pill != nil {
		pill.mention = &mention{mxid: mxid}
	}
	w.put(text)
	w.t.out.close("a")
}

// person returns the id of a user whom a card names by it, as an app or a bot
// writes it, or by the name that they sign in with.
func (w *cardWriter) person(s string) string {
	s = strings.TrimPrefix(strings.TrimSpace(s), "8:orgid:")
	if strings.Contains(s, "@") {
		userID, _ := w.t.env.People.ByUPN(s)
		return userID
	}
	return strings.ToLower(s)
}

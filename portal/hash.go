package portal

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"

	"maunium.net/go/mautrix/event"

	"teamsbridge/teams"
)

// hashOf returns a short hash of strings; where one ends matters.
func hashOf(parts ...string) string {
	h := sha256.New()
	for _, s := range parts {
		h.Write([]byte(strconv.Itoa(len(s))))
		h.Write([]byte{':'})
		h.Write([]byte(s))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

// contentHash covers everything of a message that can show in Matrix, except
// its reactions. Times and versions are not in it: reactions change them.
func contentHash(m teams.Message) string {
	parts := []string{m.Type, m.Subject, m.Importance, string(m.BodyType), m.Body}
	for _, v := range []any{m.Attachments, m.Mentions, m.Event} {
		b, err := json.Marshal(v)
		if err != nil { // a raw event that is not JSON can't come out of the ledger
			b = nil
		}
		parts = append(parts, string(b))
	}
	return hashOf(parts...)
}

// contentPartHash covers what one part shows.
func contentPartHash(c *event.MessageEventContent) string {
	b, err := json.Marshal(c)
	if err != nil {
		return ""
	}
	return hashOf(string(b))
}

// imageIndex returns the number in a part id "img:N", fileIndex that in "file:N".
func imageIndex(partID string) (n int, ok bool) { return partIndex(partID, "img:") }
func fileIndex(partID string) (n int, ok bool)  { return partIndex(partID, "file:") }

func partIndex(partID, prefix string) (n int, ok bool) {
	digits, ok := strings.CutPrefix(partID, prefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil && n >= 0
}

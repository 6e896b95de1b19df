package demopage

import (
	"encoding/json"
	"strings"
)

// maxWords bounds what is shown of a card.
const maxWords = 240

// wordsOf gathers the texts of a card, in the order in which they stand.
func wordsOf(content string) string {
	decoder := json.NewDecoder(strings.NewReader(content))
	var words []string
	key, isKey := "", false
	var depth []bool // whether each open value is an object
	for {
		token, err := decoder.Token()
		if err != nil {
			break
		}
		inObject := len(depth) > 0 && depth[len(depth)-1]
		switch v := token.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				depth = append(depth, v == '{')
				isKey = v == '{'
				continue
			}
			depth = depth[:len(depth)-1]
			isKey = len(depth) > 0 && depth[len(depth)-1]
			continue
		case string:
			if inObject && isKey {
				key, isKey = v, false
				continue
			}
			if key == "text" || key == "title" || key == "value" || key == "subtitle" {
				words = append(words, v)
			}
		}
		isKey = inObject
	}
	return shortened(strings.Join(words, " · "), maxWords)
}

// quoteOf reads the message that an attachment refers to.
func quoteOf(content string) *quote {
	var ref struct {
		Preview string `json:"messagePreview"`
		Sender  struct {
			User *graphIdentity `json:"user"`
		} `json:"messageSender"`
	}
	if json.Unmarshal([]byte(content), &ref) != nil {
		return nil
	}
	q := &quote{Text: shortened(ref.Preview, maxWords)}
	if ref.Sender.User != nil {
		q.Author = ref.Sender.User.DisplayName
	}
	return q
}

func shortened(text string, limit int) string {
	if r := []rune(text); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return text
}

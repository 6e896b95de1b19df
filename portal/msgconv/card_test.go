package msgconv

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"teamsbridge/teams"
)

const cardChannel = "https://graph.microsoft.com/v1.0/teams/team-1/channels/19:chan/messages/1/hostedContents/"

// cardTypes are the content types of all kinds of cards, and some that are none.
func cardTypes() []string {
	var out []string
	for _, kind := range slices.Sorted(maps.Keys(cardKinds)) {
		out = append(out, "application/vnd.microsoft.card."+kind)
	}
	return append(out, "application/vnd.microsoft.card.codesnippet", "Application/VND.Microsoft.Card.CodeSnippet", "application/vnd.microsoft.card.fluidEmbedCard", "meetingReference",
		"messageReference", "forwardedMessageReference", "reference", "tabReference", "", "application/vnd.microsoft.card.", "text/plain")
}

func FuzzCards(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join("testdata", "tomatrix", "*.txtar"))
	require.NoError(f, err)
	for _, path := range paths {
		ar, err := txtar.ParseFile(path)
		require.NoError(f, err)
		for _, file := range ar.Files {
			if file.Name == "card.json" && len(file.Data) < 10_000 {
				f.Add(string(file.Data), "hello", uint8(0))
			}
		}
	}
	for i, s := range hostile() {
		raw, err := json.Marshal(s)
		require.NoError(f, err)
		f.Add(`{"body":[{"type":"TextBlock","text":`+string(raw)+`}],"text":`+string(raw)+`,"title":`+string(raw)+`}`, s, uint8(i))
	}
	f.Add(`{"codeSnippetUrl":"`+cardChannel+`a/$value","url":"`+cardChannel+`b/$value"}`, "", uint8(3))
	f.Fuzz(checkCard)
}

// checkCard: whatever a card says, in whatever kind of attachment, becomes
// valid events within the limits, with what is fetched as the parts that were
// asked for.
func checkCard(t *testing.T, content, code string, flags uint8) {
	m := teams.Message{
		Channel: teams.ChannelRef{TeamID: "team-1", ChannelID: "19:chan"}, ID: "1", BodyType: teams.BodyHTML, WebURL: "https://teams.microsoft.com/l/message/19:chan/1",
	}
	for i, kind := range cardTypes() {
		m.Attachments = append(m.Attachments, teams.Attachment{ID: fmt.Sprint(i), ContentType: kind, Content: content, Name: code})
	}
	if flags&1 != 0 {
		m.Attachments = m.Attachments[:1]
		m.Attachments[0].ContentType = "application/vnd.microsoft.card.adaptive"
	}
	env := MatrixEnv{People: staff{}, Snippets: map[string]Snippet{}}
	parts := map[string]bool{}
	for i, ref := range Snippets(m) {
		env.Snippets[ref.URL] = Snippet{Text: code}
		parts[fmt.Sprintf("code:%d", i)] = true
	}
	for i, ref := range Images(m) {
		require.False(t, ref.Foreign)
		require.Contains(t, ref.URL, "hostedContents")
		parts[fmt.Sprintf("img:%d", i)] = true
	}
	r := ToMatrix(m, env)
	checkRendered(t, r)
	for _, p := range r.Parts {
		if strings.HasPrefix(p.ID, "img:") || strings.HasPrefix(p.ID, "code:") {
			require.True(t, parts[p.ID], p.ID)
			delete(parts, p.ID)
		}
		require.NotContains(t, p.Content.FormattedBody, `href="javascript`)
	}
	require.Empty(t, parts)
	again := ToMatrix(m, env)
	require.Equal(t, r, again, "the same message is always converted alike")
}

// randomCard makes an Adaptive Card of all kinds of elements, some of them of
// wrong types, and returns the words in it.
func randomCard(r *rand.Rand) (card string, words []string) {
	word := func() string {
		w := fmt.Sprintf("word%dx", len(words))
		words = append(words, w)
		return w
	}
	left := 60
	var element func(depth int) any
	list := func(depth, most int) []any {
		out := []any{}
		for range 1 + r.IntN(most) {
			if left--; left > 0 {
				out = append(out, element(depth+1))
			}
		}
		return out
	}
	element = func(depth int) any {
		kind := r.IntN(16)
		if depth > 5 {
			kind = r.IntN(6)
		}
		switch kind {
		case 0:
			return word()
		case 1:
			return map[string]any{"type": "RichTextBlock", "inlines": []any{word(), map[string]any{"type": "TextRun", "text": word(), "italic": true}}}
		case 2:
			return map[string]any{"type": "FactSet", "facts": []any{map[string]any{"title": word(), "value": word()}, map[string]any{"value": word()}}}
		case 3:
			return map[string]any{"type": "Input.ChoiceSet", "label": word(), "choices": []any{map[string]any{"title": word(), "value": "1"}}}
		case 4:
			return map[string]any{"type": "Image", "url": "https://a.b/c", "altText": word()}
		case 6:
			return map[string]any{"type": "Container", "items": list(depth, 4), "isVisible": r.IntN(4) > 0}
		case 7:
			return map[string]any{"type": "ColumnSet", "columns": []any{
				map[string]any{"type": "Column", "items": list(depth, 2)}, map[string]any{"type": "Column", "items": list(depth, 2)}}}
		case 8:
			return map[string]any{"type": "Table", "rows": []any{map[string]any{"type": "TableRow", "cells": []any{
				map[string]any{"type": "TableCell", "items": list(depth, 3)}, map[string]any{"type": "TableCell", "items": list(depth, 3)}}}}}
		case 9:
			return map[string]any{"type": "ActionSet", "actions": []any{
				map[string]any{"type": "Action.OpenUrl", "title": word(), "url": "https://a.b/"}, map[string]any{"type": "Action.ShowCard", "title": word(), "card": map[string]any{"body": list(depth, 3)}}}}
		case 10:
			return map[string]any{"type": "NewThing", "title": word(), "items": list(depth, 3)}
		case 11:
			return map[string]any{"type": "TextBlock", "text": "- " + word() + "\n- **" + word() + "** [" + word() + "](https://a.b/c)"}
		case 12:
			return map[string]any{"type": "Carousel", "pages": map[string]any{"type": "CarouselPage", "items": list(depth, 3)}}
		case 13:
			return map[string]any{"type": "CodeBlock", "codeSnippet": word()}
		}
		return map[string]any{"type": "TextBlock", "text": word() + " _" + word() + "_", "weight": "Bolder"}
	}
	raw, err := json.Marshal(map[string]any{"type": "AdaptiveCard", "body": list(0, 12)})
	if err != nil {
		panic(err)
	}
	return string(raw), words
}

// TestCardsLoseNothing: every word of a card is shown, or a reader is told that
// there is more.
func TestCardsLoseNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		card, words := randomCard(rand.New(rand.NewPCG(seed, 4)))
		m := teams.Message{ID: "1", BodyType: teams.BodyHTML, WebURL: "https://teams.microsoft.com/l/message/c/1",
			Attachments: []teams.Attachment{{ID: "c", ContentType: "application/vnd.microsoft.card.adaptive", Content: card}}}
		r := ToMatrix(m, MatrixEnv{People: staff{}})
		checkRendered(t, r)
		var html strings.Builder
		for _, p := range r.Parts {
			html.WriteString(p.Content.FormattedBody + p.Content.Body)
		}
		for _, w := range words {
			require.Contains(t, html.String(), w, "seed %d: %s", seed, card)
		}
		checkCard(t, card, "code", uint8(seed))
	}
}

// TestCardLimits shows that each limit of a card is told where it cuts.
func TestCardLimits(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"type":"Container","items":[`, maxCardDepth+5) + `{"type":"TextBlock","text":"bottom"}` + strings.Repeat("]}", maxCardDepth+5)
	many := strings.TrimSuffix(strings.Repeat(`{"type":"TextBlock","text":"x"},`, maxCardElements+10), ",")
	long := `{"type":"TextBlock","text":"` + strings.Repeat("é ", maxCardText/2) + `"}`
	buttons := strings.TrimSuffix(strings.Repeat(`{"type":"ActionSet","actions":[{"type":"Action.Submit","title":"b"}]},`, maxNamed+1), ",")
	for name, body := range map[string]string{"deep": deep, "many": many, "long": long, "buttons": buttons} {
		m := teams.Message{ID: "1", BodyType: teams.BodyHTML, WebURL: "https://teams.microsoft.com/l/message/c/1",
			Attachments: []teams.Attachment{{ContentType: "application/vnd.microsoft.card.adaptive", Content: `{"body":[{"type":"TextBlock","text":"top"},` + body + `]}`}}}
		r := ToMatrix(m, MatrixEnv{})
		checkRendered(t, r)
		last := r.Parts[len(r.Parts)-1].Content.Body
		require.Contains(t, last, "There is more in this card", name)
		require.Contains(t, last, m.WebURL, name)
		require.Contains(t, r.Parts[0].Content.Body, "top", name)
		require.NotContains(t, last, "bottom", name)
	}
	huge := `{"body":[{"type":"TextBlock","text":"` + strings.Repeat("x", maxCardJSON) + `"}]}`
	m := teams.Message{ID: "1", BodyType: teams.BodyHTML, WebURL: "https://teams.microsoft.com/l/message/c/1",
		Attachments: []teams.Attachment{{ContentType: "application/vnd.microsoft.card.adaptive", Content: huge}}}
	require.Contains(t, ToMatrix(m, MatrixEnv{}).Parts[0].Content.Body, "Card – open in Teams")
}

func TestHostileCards(t *testing.T) {
	t.Parallel()
	for i, src := range append(hostile(), huge()...) {
		raw, err := json.Marshal(src[:min(len(src), 30_000)])
		require.NoError(t, err)
		checkCard(t, `{"body":[{"type":"TextBlock","text":`+string(raw)+`}],"text":`+string(raw)+`}`, src, uint8(i))
		checkCard(t, src, src, uint8(i))
	}
}

// TestSnippetsOfOtherChannels: code is asked for of the own channel only.
func TestSnippetsOfOtherChannels(t *testing.T) {
	t.Parallel()
	m := teams.Message{Channel: teams.ChannelRef{TeamID: "team-1", ChannelID: "19:chan"}}
	for url, ok := range map[string]bool{
		cardChannel + "a/$value": true, strings.Replace(cardChannel, "19:chan", "19:other", 1) + "a/$value": false,
		"https://evil.example/code": false, "": false, "file:///etc/passwd": false,
	} {
		content, err := json.Marshal(map[string]string{"codeSnippetUrl": url})
		require.NoError(t, err)
		m.Attachments = []teams.Attachment{{ContentType: "application/vnd.microsoft.card.codesnippet", Content: string(content)}}
		require.Len(t, Snippets(m), map[bool]int{true: 1}[ok], url)
	}
	deleted := m
	deleted.Deleted = time.Unix(1, 0)
	require.Empty(t, Snippets(deleted))
}

// TestCardTimeIsLinear does to cards what TestTimeIsLinear does to bodies: text
// that is nothing but marks takes longer than words, which are fewer elements,
// but not out of proportion, as it would if its time were quadratic.
func TestCardTimeIsLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time")
	}
	took := func(unit string) time.Duration {
		text := strings.Repeat(unit, 90_000/len(unit))
		m := teams.Message{BodyType: teams.BodyHTML, Attachments: []teams.Attachment{
			{ContentType: "application/vnd.microsoft.card.adaptive", Content: `{"body":[{"type":"TextBlock","text":"` + text + `"}]}`},
			{ContentType: "application/vnd.microsoft.card.hero", Content: `{"text":"` + text + `"}`}}}
		best := time.Hour
		for range 3 {
			start := cpuTime(t)
			ToMatrix(m, MatrixEnv{People: staff{}})
			best = min(best, cpuTime(t)-start)
		}
		return best
	}
	words := took("word ")
	for _, unit := range []string{"*", "**", "_", "~~", "[", "](", "[a](", "[a](b)", "[a](b \\\"", "\\\\", "<at>", "<at></at>", "{{DATE(", "- x\\n", "x\\n\\n", "**a** ", "*a**b*", "<b>", "<br>", "a_b*c"} {
		require.Less(t, took(unit), 30*words+150*time.Millisecond, "%q; words take %v", unit, words)
	}
}

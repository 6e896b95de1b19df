package msgconv

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"
	"maunium.net/go/mautrix/event"

	"teamsbridge/teams"
)

// clients are ways in which a client sends the text of an event that somebody has
// added a word to.
var clients = map[string]func(c event.MessageEventContent, from, to string) *event.MessageEventContent{
	"formatted": func(c event.MessageEventContent, from, to string) *event.MessageEventContent {
		if c.FormattedBody == "" {
			c.Format, c.FormattedBody = event.FormatHTML, strings.ReplaceAll(asHTML(c.Body), "\n", "<br>")
		}
		c.FormattedBody = said(c.FormattedBody, from, to, "<p>"+to+"</p>")
		return &c
	},
	"loosely formatted": func(c event.MessageEventContent, from, to string) *event.MessageEventContent {
		if c.FormattedBody == "" {
			c.Format, c.FormattedBody = event.FormatHTML, "<p>"+strings.ReplaceAll(asHTML(c.Body), "\n", "<br />")+"</p>"
		}
		c.FormattedBody = strings.NewReplacer("<blockquote>", "\n<blockquote>\n", "</blockquote>", "\n</blockquote>\n").Replace(c.FormattedBody)
		c.FormattedBody = said(c.FormattedBody, from, to, "\n<p>"+to+"</p>\n")
		return &c
	},
	"plain": func(c event.MessageEventContent, from, to string) *event.MessageEventContent {
		c.Format, c.FormattedBody = "", ""
		c.Body = said(c.Body, from, to, "\n\n"+to)
		return &c
	},
}

// said says another word instead of one, or behind a text.
func said(text, from, to, behind string) string {
	switch {
	case from != "":
		return strings.Replace(text, from, to, 1)
	case to != "":
		return text + behind
	}
	return text
}

func asHTML(s string) string { return render(&node{kids: []*node{{text: s}}}) }

// roundTrip brings a message to Matrix, where a client changes a word, and back. ok
// is false where the message has no text that could be edited.
func roundTrip(t testing.TB, m teams.Message, env MatrixEnv, edit func(c event.MessageEventContent, from, to string) *event.MessageEventContent, from, to string) (next teams.Message, said string, ok bool) {
	parts := ToMatrix(m, env).Parts
	if len(parts) == 0 || parts[0].ID != "" || len(parts) > 1 && strings.HasPrefix(parts[1].ID, "text:") || isSystem(m) {
		return m, "", false
	}
	drafts, err := ToTeams(edit(*parts[0].Content, from, to), TeamsEnv{People: env.People, Texts: env.Texts, Kept: Quoted(m, MatrixEnv{People: env.People, Texts: env.Texts})})
	if err != nil || len(drafts) != 1 {
		require.ErrorIs(t, err, ErrNothingToSend)
		return m, "", false
	}
	d := WithText(m, drafts[0], env.Texts)
	next = m
	next.BodyType, next.Body, next.Attachments, next.Mentions = teams.BodyHTML, d.HTML, d.Attachments, d.Mentions
	return next, string(appendVisible(nil, textContent(parse(d.HTML, fromTeams)))), true
}

// TestTextsOverRounds edits each golden message in Matrix and shows it again, over
// and over: what is attached to it is there once on both sides, and in Teams it is
// no text.
func TestTextsOverRounds(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob(filepath.Join("testdata", "tomatrix", "*.txtar"))
	require.NoError(t, err)
	edited := 0
	for _, path := range paths {
		ar, err := txtar.ParseFile(path)
		require.NoError(t, err)
		files := map[string]string{}
		for _, f := range ar.Files {
			files[f.Name] = strings.TrimSuffix(string(f.Data), "\n")
		}
		first, env := matrixCase(t, files)
		if len(first.Attachments) == 0 {
			continue
		}
		for i := range first.Attachments {
			first.Attachments[i].ID = firstOf(first.Attachments[i].ID, "made-"+strconv.Itoa(i))
		}
		for client, edit := range clients {
			m, ok := first, false
			from, told, shown := "", "", ""
			for n := range 4 {
				to, said := "round"+strconv.Itoa(n), ""
				if m, said, ok = roundTrip(t, m, env, edit, from, to); !ok {
					break
				}
				edited++
				name := filepath.Base(path) + ", " + client + ", round " + strconv.Itoa(n)
				require.Len(t, m.Attachments, len(first.Attachments), name)
				for _, a := range m.Attachments {
					require.Equal(t, 1, strings.Count(m.Body, attachmentMark(a.ID)), name)
				}
				own := string(appendVisible(nil, sourceText(parse(first.Body, fromTeams))))
				require.Contains(t, said, to, name)
				require.LessOrEqual(t, len(strings.Replace(said, to, "", 1)), len(own), "%s: %s", name, said)
				require.True(t, from == "" || !strings.Contains(said, from), name)
				now := renderedText(ToMatrix(m, env))
				said, now = strings.Replace(said, to, "", 1), strings.Replace(string(appendVisible(nil, now)), to, "", 1)
				if n > 1 {
					require.Equal(t, told, said, name)
					require.Equal(t, shown, now, name)
				}
				from, told, shown = to, said, now
			}
		}
	}
	require.Greater(t, edited, 100)
}

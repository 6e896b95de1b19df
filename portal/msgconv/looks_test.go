package msgconv

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teamsbridge/teams"
)

func TestLooksLike(t *testing.T) {
	t.Parallel()
	bob := teams.Mention{Text: "Bob Stone", User: &teams.Identity{ID: "bob", DisplayName: "Bob Stone", Kind: "user"}}
	file := teams.Attachment{ID: "AB-1", ContentType: "reference", ContentURL: "https://example.org/f"}
	d := teams.Draft{
		HTML:     `<p><b>Ana</b>: See <at id="0">Bob Stone</at>, it's <i>&lt;done&gt;</i> 👍</p><p><a href="https://example.org/a">here</a><br>x</p><img src="../hostedContents/1/$value" alt="x">` + attachmentMark("AB-1"),
		Mentions: []teams.Mention{bob}, Images: []teams.InlineImage{{ID: "1", ContentType: "image/png", Data: []byte("a")}}, Attachments: []teams.Attachment{file},
	}
	hash := ContentHash(d)
	words := bob
	words.ID = 7
	lower := file
	lower.ID = "ab-1"
	listed := teams.Message{BodyType: teams.BodyHTML, Mentions: []teams.Mention{bob}, Attachments: []teams.Attachment{file}, Body: d.HTML}
	require.True(t, LooksLike(listed, hash))
	other := listed
	other.Body = rewritten(d.HTML)
	require.True(t, LooksLike(other, hash))
	other = teams.Message{BodyType: teams.BodyHTML, Attachments: []teams.Attachment{lower}, Mentions: []teams.Mention{bob, words}, Body: `<div>
<div><strong>Ana</strong>: See <at id="0">Bob</at>&nbsp;<at id="7">Stone</at>, it&#39;s <em>&lt;done&gt;</em> <emoji id="yes" alt="👍" title="Like"></emoji></div>
<p>&nbsp;</p><div><a href="https://example.org/a" title="there">here</a></div><div>x</div><img src="https://graph.microsoft.com/v1.0/x" width="10" style="a"></div>` + attachmentMark("AB-1")}
	require.True(t, LooksLike(other, hash))

	for name, change := range map[string]func(m *teams.Message){
		"words":      func(m *teams.Message) { m.Body = strings.Replace(m.Body, "See", "Look", 1) },
		"spaces":     func(m *teams.Message) { m.Body = strings.Replace(m.Body, "See <", "See<", 1) },
		"lines":      func(m *teams.Message) { m.Body = strings.Replace(m.Body, "<br>", " ", 1) },
		"format":     func(m *teams.Message) { m.Body = strings.NewReplacer("<i>", "", "</i>", "").Replace(m.Body) },
		"link":       func(m *teams.Message) { m.Body = strings.Replace(m.Body, "org/a", "org/b", 1) },
		"mention":    func(m *teams.Message) { m.Mentions = nil },
		"image":      func(m *teams.Message) { m.Body += `<img src="https://example.org/x">` },
		"file":       func(m *teams.Message) { m.Attachments = nil },
		"other file": func(m *teams.Message) { m.Attachments = []teams.Attachment{{ID: "CD"}} },
	} {
		other = listed
		change(&other)
		require.False(t, LooksLike(other, hash), name)
	}
	require.False(t, LooksLike(listed, ""))

	for name, change := range map[string]func(d *teams.Draft){
		"picture": func(d *teams.Draft) {
			d.Images = []teams.InlineImage{{ID: "1", ContentType: "image/png", Data: []byte("b")}}
		},
		"alt":  func(d *teams.Draft) { d.HTML = strings.Replace(d.HTML, `alt="x"`, `alt="y"`, 1) },
		"link": func(d *teams.Draft) { d.HTML = strings.Replace(d.HTML, "org/a", "org/b", 1) },
		"name": func(d *teams.Draft) { d.Attachments = []teams.Attachment{{ID: "AB-1", Name: "n"}} },
	} {
		next := d
		change(&next)
		require.NotEqual(t, hash, ContentHash(next), name)
	}
	require.Equal(t, hash, ContentHash(d))
	require.NotContains(t, hash, ":")
}

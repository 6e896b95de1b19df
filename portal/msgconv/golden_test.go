package msgconv

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

var update = flag.Bool("update", false, "rewrite the expected output of the conversion cases")

// staff is the directory of all test cases.
type staff struct{}

var directory = []struct {
	userID, name string
	mxid         id.UserID
}{
	{"u-ana", "Ana de la Cruz", "@ana:example.org"},
	{"u-bob", "Bob Stone", "@bob:example.org"},
	{"u-carl", "Carl Ängström", "@carl:example.org"},
	{"u-eve", "Eve <script>", "@eve:example.org"},
}

func (staff) Mention(userID string) (id.UserID, string, bool) {
	for _, p := range directory {
		if p.userID == userID {
			return p.mxid, p.name, true
		}
	}
	if userID == "u-guest" {
		return "", "Gast Guest", false
	}
	return "", "", false
}

func (staff) ByUPN(upn string) (string, bool) {
	for _, p := range directory {
		if strings.EqualFold(upn, strings.TrimPrefix(p.userID, "u-")+"@example.org") {
			return p.userID, true
		}
	}
	return "", false
}

func (staff) Person(mxid id.UserID) (string, string, bool) {
	for _, p := range directory {
		if p.mxid == mxid {
			return p.userID, p.name, true
		}
	}
	return "", "", false
}

// golden runs convert on every case of a folder and compares, or with -update
// writes, the file called "want".
func golden(t *testing.T, dir string, least int, convert func(t *testing.T, files map[string]string) string) {
	paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(paths), least)
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			ar, err := txtar.ParseFile(path)
			require.NoError(t, err)
			intent := strings.TrimSpace(string(ar.Comment))
			require.NotEmpty(t, intent, "a case starts with one sentence of intent")
			require.NotContains(t, intent, "\n")
			files := map[string]string{}
			for _, f := range ar.Files {
				files[f.Name] = strings.TrimSuffix(string(f.Data), "\n")
			}
			got := convert(t, files)
			if *update {
				kept := ar.Files[:0]
				for _, f := range ar.Files {
					if f.Name != "want" {
						kept = append(kept, f)
					}
				}
				ar.Files = append(kept, txtar.File{Name: "want", Data: []byte(got)})
				require.NoError(t, os.WriteFile(path, txtar.Format(ar), 0o644))
				return
			}
			require.Equal(t, files["want"], strings.TrimSuffix(got, "\n"))
		})
	}
}

func TestToMatrixGolden(t *testing.T) {
	golden(t, "tomatrix", 80, func(t *testing.T, files map[string]string) string {
		m, env := matrixCase(t, files)
		r := ToMatrix(m, env)
		checkRendered(t, r)
		return showRendered(r)
	})
}

// matrixCase reads a case: "html" or "text" is the body, "message.json" the
// other fields as teams.Message, "media.json" the images that were fetched,
// "snippets.json" the code that was; "card.json" is the content of an
// attachment whose content type is "kind".
func matrixCase(t testing.TB, files map[string]string) (teams.Message, MatrixEnv) {
	m := teams.Message{
		Channel: teams.ChannelRef{TeamID: "team-1", ChannelID: "19:chan@thread.tacv2"}, ID: "1700000000000", Type: teams.TypeMessage,
		WebURL: "https://teams.microsoft.com/l/message/19%3Achan/1700000000000", From: teams.Identity{ID: "u-bob", Kind: "user"},
		BodyType: teams.BodyHTML,
	}
	if raw, ok := files["message.json"]; ok {
		require.NoError(t, json.Unmarshal([]byte(raw), &m))
	}
	if body, ok := files["html"]; ok {
		m.Body = unquote(body)
	}
	if body, ok := files["text"]; ok {
		m.Body, m.BodyType = unquote(body), teams.BodyText
	}
	if card, ok := files["card.json"]; ok {
		m.Attachments = append(m.Attachments, teams.Attachment{ID: "c1", ContentType: files["kind"], Content: unquote(card)})
		if m.Body == "" {
			m.Body = `<attachment id="c1"></attachment>`
		}
	}
	env := MatrixEnv{People: staff{}, Media: map[string]Media{}}
	if raw, ok := files["snippets.json"]; ok {
		require.NoError(t, json.Unmarshal([]byte(raw), &env.Snippets))
	}
	if raw, ok := files["media.json"]; ok {
		require.NoError(t, json.Unmarshal([]byte(raw), &env.Media))
		env.Files = env.Media
	}
	return m, env
}

// unquote undoes Go escapes in a body that starts with a quote, for bytes that
// a text file cannot show, and repeats what is to be repeated.
func unquote(body string) string {
	var s string
	if strings.HasPrefix(body, `"`) {
		if _, err := fmt.Sscanf(body, "%q", &s); err == nil {
			return s
		}
	}
	return repeat.ReplaceAllStringFunc(body, func(part string) string {
		m := repeat.FindStringSubmatch(part)
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return part
		}
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.ReplaceAll(m[2], "{{i}}", strconv.Itoa(i)))
		}
		return b.String()
	})
}

// repeat is how a case says a thing many times; {{i}} in it counts.
var repeat = regexp.MustCompile(`(?s)\{\{repeat (\d+)\}\}(.*?)\{\{end\}\}`)

func showRendered(r Rendered) string {
	var b strings.Builder
	if r.Deleted {
		b.WriteString("deleted\n")
	}
	for _, p := range r.Parts {
		c := p.Content
		fmt.Fprintf(&b, "part %q %s\n", p.ID, c.MsgType)
		if m := c.Mentions; m != nil && (len(m.UserIDs) > 0 || m.Room) {
			fmt.Fprintf(&b, "  mentions %v room=%t\n", m.UserIDs, m.Room)
		}
		if c.URL != "" {
			fmt.Fprintf(&b, "  url %s\n", c.URL)
		}
		if c.FileName != "" {
			fmt.Fprintf(&b, "  file %s\n", c.FileName)
		}
		if c.Info != nil {
			fmt.Fprintf(&b, "  info %s %d bytes %dx%d\n", c.Info.MimeType, c.Info.Size, c.Info.Width, c.Info.Height)
		}
		showText(&b, "body", c.Body)
		if c.FormattedBody != "" {
			showText(&b, "html", c.FormattedBody)
		}
	}
	return b.String()
}

// showText writes a text with each line marked; of a long one only both ends.
func showText(b *strings.Builder, name, s string) {
	if len(s) > 1500 {
		s = fmt.Sprintf("%.200s\n… %d bytes …\n%s", s, len(s), strings.ToValidUTF8(s[len(s)-200:], ""))
	}
	for line := range strings.SplitSeq(s, "\n") {
		fmt.Fprintf(b, "  %s|%s\n", name, line)
	}
}

func TestToTeamsGolden(t *testing.T) {
	golden(t, "toteams", 80, func(t *testing.T, files map[string]string) string {
		c, env := teamsCase(t, texts.Texts{}, files)
		drafts, err := ToTeams(c, env)
		if err != nil {
			return "error: " + err.Error() + "\n"
		}
		var b strings.Builder
		for _, d := range drafts {
			checkDraft(t, d)
			showText(&b, "html", d.HTML)
			for i, m := range d.Mentions {
				if i >= 3 && i < len(d.Mentions)-1 {
					continue
				}
				raw, err := json.Marshal(m)
				require.NoError(t, err)
				fmt.Fprintf(&b, "  mention %s\n", raw)
			}
			for _, i := range d.Images {
				fmt.Fprintf(&b, "  image %s %s %d bytes\n", i.ID, i.ContentType, len(i.Data))
			}
			for _, a := range d.Attachments {
				fmt.Fprintf(&b, "  attached %s %s %s %s\n", a.ID, a.ContentType, a.Name, a.ContentURL)
			}
			if len(drafts) > 1 {
				fmt.Fprintf(&b, "--- %d bytes\n", DraftSize(d))
			}
		}
		return b.String()
	})
}

// teamsEnvFile is TeamsEnv as a case writes it in "env.json".
type teamsEnvFile struct {
	Author *struct {
		Name string
		Late string
	}
	Room  *RoomMention
	Image string
	Link  string
	Reply *Quote
	File  *teams.Attachment
	// Problem is why there is no file.
	Problem string
}

// teamsCase reads a case: "content.json" is the event's content, "html" or
// "body" what it says, "poll.json" the start of a poll and "votes.json" what
// came of it.
func teamsCase(t testing.TB, x texts.Texts, files map[string]string) (*event.MessageEventContent, TeamsEnv) {
	c := &event.MessageEventContent{MsgType: event.MsgText}
	if raw, ok := files["content.json"]; ok {
		require.NoError(t, json.Unmarshal([]byte(raw), c))
		ReadLocation(c, []byte(raw))
	}
	if raw, ok := files["poll.json"]; ok {
		c = pollCase(t, x, raw, files["votes.json"])
	}
	if body, ok := files["body"]; ok {
		c.Body = unquote(body)
	}
	if body, ok := files["html"]; ok {
		c.Format, c.FormattedBody = event.FormatHTML, unquote(body)
		if c.Body == "" {
			c.Body = "(plain body)"
		}
	}
	env := TeamsEnv{People: staff{}}
	if raw, ok := files["env.json"]; ok {
		var f teamsEnvFile
		require.NoError(t, json.Unmarshal([]byte(raw), &f))
		env.RoomMention, env.Link, env.Reply, env.File, env.FileProblem = f.Room, f.Link, f.Reply, f.File, f.Problem
		if f.Image != "" {
			env.Image = &teams.InlineImage{ContentType: f.Image, Data: []byte("bytes")}
		}
		if f.Author != nil {
			env.Author = &Author{Name: f.Author.Name}
			if f.Author.Late != "" {
				at, err := time.Parse(time.RFC3339, f.Author.Late)
				require.NoError(t, err)
				env.Author.Late, env.Author.At = true, at
			}
		}
	}
	return c, env
}

// pollCase returns the message that a poll is in Teams once it has been voted in.
func pollCase(t testing.TB, x texts.Texts, poll, votes string) *event.MessageEventContent {
	kind := "m.poll.start"
	if strings.Contains(poll, "org.matrix.msc3381") {
		kind = "org.matrix.msc3381.poll.start"
	}
	shown := PresentPoll(x, json.RawMessage(`{"type":"`+kind+`","content":`+poll+`}`))
	var evt struct {
		Type    string
		Content event.Content
	}
	require.NoError(t, json.Unmarshal(shown, &evt))
	require.Equal(t, "m.room.message", evt.Type)
	require.NoError(t, evt.Content.ParseRaw(event.EventMessage))
	mark := PollMarkOf(evt.Content.Raw)
	require.NotNil(t, mark)
	c := evt.Content.AsMessage()
	require.Equal(t, c.Body, mark.Poll.Text(x, PollResult{}))
	if votes == "" {
		return c
	}
	var f struct {
		Ended bool
		Votes [][]string
	}
	require.NoError(t, json.Unmarshal([]byte(votes), &f))
	var ended time.Time
	if f.Ended {
		ended = time.UnixMilli(1000)
	}
	var ballots []Ballot
	for i, answers := range f.Votes {
		ballots = append(ballots, Ballot{Event: fmt.Sprint("$", i), Voter: fmt.Sprint(i), At: time.UnixMilli(int64(i)), Answers: answers})
	}
	c.Body = mark.Poll.Text(x, mark.Poll.Tally(ballots, ended))
	return c
}

// checkRendered holds for every conversion to Matrix.
func checkRendered(t testing.TB, r Rendered) {
	if !r.Deleted {
		require.NotEmpty(t, r.Parts)
	}
	seen := map[string]bool{}
	for _, p := range r.Parts {
		require.False(t, seen[p.ID], "part id twice")
		seen[p.ID] = true
		require.LessOrEqual(t, ContentSize(p.Content), MaxContentSize)
		require.Equal(t, p.Content.FormattedBody, SanitizeMatrix(p.Content.FormattedBody))
		require.NotNil(t, p.Content.Mentions)
		require.NotEmpty(t, p.Content.Body)
	}
}

// checkDraft holds for every draft.
func checkDraft(t testing.TB, d teams.Draft) {
	require.LessOrEqual(t, DraftSize(d), MaxDraftSize)
	html := d.HTML
	for _, a := range d.Attachments {
		html = strings.TrimSuffix(html, attachmentMark(a.ID)) // the one thing that is not from outside
	}
	require.Equal(t, html, SanitizeTeams(html))
	require.NotEmpty(t, d.HTML)
	require.Equal(t, len(d.Mentions), strings.Count(d.HTML, "<at "))
	for i, m := range d.Mentions {
		require.Equal(t, i, m.ID)
		require.Contains(t, d.HTML, fmt.Sprintf(`<at id="%d">%s</at>`, i, strings.ReplaceAll(escaped(m.Text), "&#39;", "'")))
	}
	require.Equal(t, len(d.Images), strings.Count(d.HTML, "<img "))
	require.Equal(t, len(d.Attachments), strings.Count(d.HTML, "<attachment "))
}

func escaped(s string) string {
	var b strings.Builder
	escape(&b, s)
	return b.String()
}

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
	"teamsbridge/teams/teamstest"
)

// jsEnv set to 1 demands that the test with the library of web clients runs.
const jsEnv = "TEAMSBRIDGE_E2E_JS"

// jsMessage is a message as matrix-js-sdk resolves it: edited, redacted and
// reacted to.
type jsMessage struct {
	ID         id.EventID             `json:"id"`
	Sender     id.UserID              `json:"sender"`
	Redacted   bool                   `json:"redacted"`
	Edited     bool                   `json:"edited"`
	MsgType    event.MessageType      `json:"msgtype"`
	Body       string                 `json:"body"`
	HTML       string                 `json:"html"`
	Mentions   []id.UserID            `json:"mentions"`
	Everybody  bool                   `json:"everybody"`
	Highlights bool                   `json:"highlight"`
	Thread     id.EventID             `json:"thread"`
	ReplyTo    id.EventID             `json:"reply_to"`
	Reactions  map[string][]id.UserID `json:"reactions"`
	Media      *jsMedia               `json:"media"`
}

// jsMedia is a file as the library's address for it hands it out.
type jsMedia struct {
	Path   string `json:"path"`
	Status int    `json:"status"`
	Type   string `json:"type"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
}

// jsThread is a thread as the library put it together.
type jsThread struct {
	Root    id.EventID  `json:"root"`
	Length  int         `json:"length"`
	Newest  id.EventID  `json:"newest"`
	Replies []jsMessage `json:"replies"`
}

// jsRoom is what the library shows of a room.
type jsRoom struct {
	Main          []jsMessage             `json:"main"`
	Threads       map[id.EventID]jsThread `json:"threads"`
	ServerThreads bool                    `json:"server_threads"`
}

// all finds every message by its event.
func (r jsRoom) all() map[id.EventID]jsMessage {
	out := map[id.EventID]jsMessage{}
	for _, m := range r.Main {
		out[m.ID] = m
	}
	for _, thread := range r.Threads {
		for _, m := range thread.Replies {
			out[m.ID] = m
		}
	}
	return out
}

// jsLibrary installs the library in the locked version and returns the folder
// with the script. Without node, or out of the registry's reach, the test is
// skipped, unless it is demanded.
func jsLibrary(t *testing.T) string {
	t.Helper()
	cannot := func(format string, args ...any) {
		t.Helper()
		if os.Getenv(jsEnv) == "1" {
			t.Fatalf(format, args...)
		}
		t.Skipf("NOT RUN, the library of Matrix web clients reads no room: "+format, args...)
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			cannot("%s is not on this machine", program)
		}
	}
	version, err := exec.Command("node", "--version").Output()
	var major int
	if _, scanned := fmt.Sscanf(string(version), "v%d.", &major); err != nil || scanned != nil || major < 20 {
		cannot("node is %q (%v) and the library needs 20", bytes.TrimSpace(version), err)
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "read.mjs"} {
		data, err := os.ReadFile(filepath.Join("testdata", "matrixjs", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		cannot("npm ci: %v\n%s", err, out)
	}
	return dir
}

// jsRead lets the library sign a person in and read a room. Where the homeserver
// does not say that it knows threads, the library takes messages of threads for
// answers; with threads it reads threads there, too.
func (o *office) jsRead(dir string, as *teamstest.User, room id.RoomID, threads bool) (read jsRoom) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.ctx, 2*time.Minute)
	defer cancel()
	answer := filepath.Join(dir, "answer.json")
	ask, err := json.Marshal(map[string]any{
		"homeserver": o.Homeserver.URL(), "user": stack.Localpart(as), "password": stack.Password,
		"room": room, "limit": 200, "threads": threads, "answer": answer,
	})
	require.NoError(o.t, err)
	node := exec.CommandContext(ctx, "node", "read.mjs")
	node.Dir, node.Stdin = dir, bytes.NewReader(ask)
	out, err := node.CombinedOutput()
	require.NoError(o.t, err, string(out))
	data, err := os.ReadFile(answer)
	require.NoError(o.t, err)
	require.NoError(o.t, json.Unmarshal(data, &read), string(data))
	return read
}

// talk is what people of both sides said for the library to read: the events,
// by what they say.
type talk struct {
	*office
	room   id.RoomID
	image  []byte
	report teamstest.Content
	scan   teamstest.Content
	ids    map[string]id.EventID
}

// at remembers the event of a message that came from Teams.
func (k *talk) at(text string, check func(stack.Entry) error) {
	k.t.Helper()
	k.ids[text] = k.find(k.as(stack.Localpart(k.ben)), k.room, text, check).EventID
}

// media remembers the event of the newest file of a kind.
func (k *talk) media(name string, kind event.MessageType) {
	k.t.Helper()
	k.until(name+" in the room", func(ctx context.Context) error {
		list, err := k.entries(ctx, k.as(stack.Localpart(k.ben)), k.room, func(e stack.Entry) bool { return e.MsgType == kind && e.URL != "" })
		if err != nil || len(list) != 1 {
			return fmt.Errorf("%d of them: %w", len(list), err)
		}
		k.ids[name] = list[0].EventID
		return nil
	})
}

// say sends a message as a person of the Matrix side, in a thread or none.
func (k *talk) say(who *teamstest.User, text, thread string, content *event.MessageEventContent) {
	k.t.Helper()
	if content == nil {
		content = &event.MessageEventContent{MsgType: event.MsgText, Body: text}
	}
	if thread != "" {
		content.RelatesTo = (&event.RelatesTo{}).SetThread(k.ids[thread], k.ids[thread])
	}
	sent, err := k.as(stack.Localpart(who)).SendMessageEvent(k.ctx, k.room, event.EventMessage, content)
	require.NoError(k.t, err)
	k.ids[text] = sent.EventID
}

// fromTeams posts what Teams has in channels, and waits until it is in the room.
func (k *talk) fromTeams() {
	k.t.Helper()
	plan := k.general.Post(k.cleo, teamstest.Msg{HTML: "<p>the plan</p>"})
	k.at("the plan", nil)
	first := plan.Reply(k.ada, teamstest.Msg{HTML: "<p>a first answer</p>"})
	plan.Reply(k.ben, teamstest.Msg{HTML: "<p>a second answer</p>"}).React(k.cleo, "🎉")
	k.at("a first answer", nil)
	k.at("a second answer", reactions(map[string]int{"🎉": 1}))
	plan.Reply(k.cleo, teamstest.Msg{HTML: `<p><at id="0">Ben Okri</at> look here</p>`, Mentions: []teamstest.Mention{{User: k.ben}}})
	k.at("look here", nil)
	plan.Reply(k.ada, teamstest.Msg{HTML: `<p>a chart <img src="../hostedContents/one/$value" alt="chart.png" width="24" height="16"></p>`,
		Images: []teamstest.Image{{Name: "one", ContentType: "image/png", Data: k.image}}})
	k.at("a chart", nil)
	k.media("chart", event.MsgImage)
	plan.Reply(k.cleo, teamstest.Msg{HTML: "<p>the report</p>", Attachments: []teamstest.Attachment{k.general.PutFile(k.cleo, "report.bin", k.report).Attachment()}})
	k.at("the report", nil)
	k.media("report", event.MsgFile)
	gone := plan.Reply(k.ada, teamstest.Msg{HTML: "<p>said by mistake</p>"})
	k.at("said by mistake", nil)
	k.general.Post(k.ada, teamstest.Msg{HTML: `<attachment id="q1"></attachment><p>I agree with that</p>`, Attachments: []teamstest.Attachment{{ID: "q1", ContentType: "messageReference",
		Content: fmt.Sprintf(`{"messageId":%q,"messagePreview":"so it was planned","messageSender":{"user":{"id":%q,"displayName":"Cleo Patra"}}}`, plan.ID, k.cleo.ID)}}})
	k.at("I agree with that", nil)

	first.Edit(teamstest.Msg{HTML: "<p>a first answer, <b>corrected</b></p>"})
	plan.React(k.cleo, "like")
	plan.React(k.ada, "👍")
	gone.Delete()
	k.at("a first answer, corrected", nil)
	k.at("the plan", reactions(map[string]int{"👍": 2}))
	k.until("the redaction", func(ctx context.Context) error {
		list, err := k.entries(ctx, k.as(stack.Localpart(k.ben)), k.room, func(e stack.Entry) bool { return e.EventID == k.ids["said by mistake"] })
		if err == nil && len(list) > 0 {
			return errors.New("still there")
		}
		return err
	})
}

// fromMatrix says what Matrix clients can, lets people in Teams go on with it,
// and waits until each side has the other's.
func (k *talk) fromMatrix() {
	k.t.Helper()
	ada, ben := k.as(stack.Localpart(k.ada)), k.as(stack.Localpart(k.ben))
	inTeams := func(text string) *teamstest.Message {
		m := k.inTeams(k.general, text, nil)
		return k.general.Message(m.ID)
	}
	k.say(k.ada, "a question from Matrix", "", nil)
	question := inTeams("a question from Matrix")
	k.say(k.ben, "answered in Matrix", "a question from Matrix", nil)
	inTeams("answered in Matrix")
	question.Reply(k.cleo, teamstest.Msg{HTML: "<p>answered in Teams</p>"})
	k.at("answered in Teams", nil)
	question.React(k.cleo, "heart")
	// The key that clients use, with the variation selector.
	_, err := ben.SendReaction(k.ctx, k.room, k.ids["a second answer"], "🎉")
	require.NoError(k.t, err)
	_, err = ben.SendReaction(k.ctx, k.room, k.ids["the plan"], "👍️")
	require.NoError(k.t, err)

	// A Matrix person joins a thread of Teams, and an answer of the old kind does.
	k.say(k.ada, "Matrix in the thread of the plan", "the plan", nil)
	inTeams("Matrix in the thread of the plan")
	reply := &event.MessageEventContent{MsgType: event.MsgText, Body: "an answer to one message", RelatesTo: (&event.RelatesTo{}).SetReplyTo(k.ids["I agree with that"])}
	k.say(k.ben, "an answer to one message", "", reply)
	answered := inTeams("an answer to one message")
	answered.Reply(k.ada, teamstest.Msg{HTML: "<p>and Teams goes on there</p>"})
	k.at("and Teams goes on there", nil)

	benID := k.UserID(stack.Localpart(k.ben))
	k.say(k.ada, "Ben: hello", "", &event.MessageEventContent{MsgType: event.MsgText, Body: "Ben: hello", Format: event.FormatHTML,
		FormattedBody: fmt.Sprintf(`<a href="%s">Ben</a>: hello`, benID.URI().MatrixToURL()), Mentions: &event.Mentions{UserIDs: []id.UserID{benID}}})
	k.say(k.ada, "a draft", "", nil)
	_, err = ada.SendMessageEvent(k.ctx, k.room, event.EventMessage, &event.MessageEventContent{MsgType: event.MsgText, Body: "* the final words",
		NewContent: &event.MessageEventContent{MsgType: event.MsgText, Body: "the final words"}, RelatesTo: (&event.RelatesTo{}).SetReplace(k.ids["a draft"])})
	require.NoError(k.t, err)
	inTeams("the final words").React(k.cleo, "🚀")
	k.say(k.ada, "taken back", "", nil)
	inTeams("taken back")
	_, err = ada.RedactEvent(k.ctx, k.room, k.ids["taken back"])
	require.NoError(k.t, err)

	up, err := ada.UploadMedia(k.ctx, mautrix.ReqUploadMedia{ContentBytes: k.image, ContentType: "image/png", FileName: "photo.png"})
	require.NoError(k.t, err)
	k.say(k.ada, "a photo of Matrix", "a question from Matrix", &event.MessageEventContent{MsgType: event.MsgImage, Body: "a photo of Matrix", FileName: "photo.png",
		URL: up.ContentURI.CUString(), Info: &event.FileInfo{MimeType: "image/png", Size: len(k.image), Width: 24, Height: 16}})
	inTeams("a photo of Matrix")
	k.sendFile(ben, k.room, "scan.bin", "a scan of Matrix", k.scan)
	k.attached(testLimit, k.general, "a scan of Matrix", "scan.bin")
	k.ids["a scan of Matrix"] = k.find(ben, k.room, "a scan of Matrix", nil).EventID
	k.find(ben, k.room, "the final words", reactions(map[string]int{"🚀": 1}))
	k.find(ben, k.room, "a question from Matrix", reactions(map[string]int{"❤": 1}))
}

// matrix-js-sdk, on which Matrix web clients stand, resolves what the bridge
// made: threads, edits, reactions, mentions, files and redactions.
func TestWebClientsLibraryReadsARoom(t *testing.T) {
	t.Parallel()
	dir := jsLibrary(t)
	o := newOffice(t, stack.Options{})
	o.runRelayed(o.ada)
	ben := o.as(stack.Localpart(o.ben))
	k := &talk{office: o, room: o.room(ben, o.general), image: picture(120), report: teamstest.Random(11, 300<<10), scan: teamstest.Random(12, 200<<10), ids: map[string]id.EventID{}}
	o.room(o.as(stack.Localpart(o.ada)), o.general)
	k.fromTeams()
	k.fromMatrix()

	read := o.jsRead(dir, o.ben, k.room, false)
	require.Equal(t, stackIsSynapse(), read.ServerThreads)
	t.Run("messages", func(t *testing.T) { k.requireMessages(t, read) })
	t.Run("files", func(t *testing.T) { k.requireFiles(t, read) })
	t.Run("answers", func(t *testing.T) { k.requireAnswers(t, read) })
	if !read.ServerThreads {
		read = o.jsRead(dir, o.ben, k.room, true)
	}
	t.Run("threads", func(t *testing.T) { k.requireThreads(t, read) })
}

// requireMessages holds authors, texts, edits, reactions, mentions and
// redactions against what was said.
func (k *talk) requireMessages(t *testing.T, read jsRoom) {
	ada, ben, cleo := k.UserID(stack.Localpart(k.ada)), k.UserID(stack.Localpart(k.ben)), k.UserID(stack.Localpart(k.cleo))
	all := read.all()
	for said, want := range map[string]jsMessage{
		"the plan":                         {Sender: cleo, Body: "the plan", Reactions: map[string][]id.UserID{"👍\ufe0f": {ada, ben, cleo}}},
		"a first answer":                   {Sender: ada, Body: "a first answer, corrected", HTML: "a first answer, <b>corrected</b>", Edited: true},
		"a second answer":                  {Sender: ben, Body: "a second answer", Reactions: map[string][]id.UserID{"🎉": {ben, cleo}}},
		"look here":                        {Sender: cleo, Body: "Ben Okri look here", HTML: fmt.Sprintf(`<a href="https://matrix.to/#/%s">Ben Okri</a> look here`, ben), Mentions: []id.UserID{ben}},
		"a chart":                          {Sender: ada, Body: "a chart"},
		"the report":                       {Sender: cleo, Body: "the report"},
		"said by mistake":                  {Sender: ada, Redacted: true},
		"a question from Matrix":           {Sender: ada, Body: "a question from Matrix", Reactions: map[string][]id.UserID{"❤\ufe0f": {cleo}}},
		"answered in Matrix":               {Sender: ben, Body: "answered in Matrix"},
		"answered in Teams":                {Sender: cleo, Body: "answered in Teams"},
		"Matrix in the thread of the plan": {Sender: ada, Body: "Matrix in the thread of the plan"},
		"an answer to one message":         {Sender: ben, Body: "an answer to one message"},
		"and Teams goes on there":          {Sender: ada, Body: "and Teams goes on there"},
		"Ben: hello":                       {Sender: ada, Body: "Ben: hello", HTML: fmt.Sprintf(`<a href="https://matrix.to/#/%s">Ben</a>: hello`, ben), Mentions: []id.UserID{ben}},
		"a draft":                          {Sender: ada, Body: "the final words", Edited: true, Reactions: map[string][]id.UserID{"🚀": {cleo}}},
		"taken back":                       {Sender: ada, Redacted: true},
	} {
		got, ok := all[k.ids[said]]
		require.True(t, ok, "%s is not there", said)
		want.ID, want.Highlights = k.ids[said], len(want.Mentions) > 0 && read.ServerThreads // Dendrite has no rule for mentions
		want.Thread, want.ReplyTo = got.Thread, got.ReplyTo                                  // looked at elsewhere
		if want.MsgType = event.MsgText; want.Redacted {
			want.MsgType = ""
		}
		if want.Reactions == nil {
			want.Reactions = map[string][]id.UserID{}
		}
		if want.Mentions == nil {
			want.Mentions = []id.UserID{}
		}
		require.Equal(t, want, got, said)
	}
	quote := all[k.ids["I agree with that"]]
	require.NoError(t, inOrder(quote.HTML, []string{"<blockquote>", "Cleo Patra", "so it was planned", "</blockquote>", "I agree with that"}))
	require.NotContains(t, quote.HTML, "mx-reply")
}

// requireFiles holds the bytes that the library's addresses hand out against
// what was uploaded.
func (k *talk) requireFiles(t *testing.T, read jsRoom) {
	all := read.all()
	image := teamstest.Bytes(k.image)
	for said, want := range map[string]struct {
		kind    event.MessageType
		mime    string
		content teamstest.Content
	}{
		"chart":             {event.MsgImage, "image/png", image},
		"report":            {event.MsgFile, "application/octet-stream", k.report},
		"a photo of Matrix": {event.MsgImage, "image/png", image},
		"a scan of Matrix":  {event.MsgFile, "application/octet-stream", k.scan},
	} {
		got := all[k.ids[said]]
		require.Equal(t, want.kind, got.MsgType, said)
		require.Equal(t, &jsMedia{
			Path: "/_matrix/client/v1/media", Status: 200, Type: want.mime, Size: int(want.content.Size()), SHA256: sumOfContent(want.content),
		}, got.Media, said)
	}
}

// requireAnswers looks at what clients show that know no threads: each message
// from Teams answers the one before it in its thread.
func (k *talk) requireAnswers(t *testing.T, read jsRoom) {
	all := read.all()
	for _, chain := range [][]string{
		{"the plan", "a first answer", "a second answer", "look here", "a chart", "chart", "the report", "report"},
		{"a question from Matrix", "answered in Matrix", "answered in Teams"},
		{"I agree with that", "an answer to one message", "and Teams goes on there"},
	} {
		require.Empty(t, all[k.ids[chain[0]]].ReplyTo, chain[0])
		for i, said := range chain[1:] {
			require.Equal(t, k.ids[chain[i]], all[k.ids[said]].ReplyTo, "%s answers %s", said, chain[i])
		}
	}
}

// requireThreads holds the threads against what was said: each with its root,
// its answers in order and no other.
func (k *talk) requireThreads(t *testing.T, read jsRoom) {
	want := map[string][]string{
		"the plan":               {"a first answer", "a second answer", "look here", "a chart", "chart", "the report", "report", "Matrix in the thread of the plan"},
		"a question from Matrix": {"answered in Matrix", "answered in Teams", "a photo of Matrix"},
		"I agree with that":      {"and Teams goes on there"},
	}
	require.Len(t, read.Threads, len(want))
	for root, answers := range want {
		thread := read.Threads[k.ids[root]]
		require.Equal(t, k.ids[root], thread.Root, root)
		require.Equal(t, len(answers), thread.Length, root)
		var got, wanted []id.EventID
		for _, m := range thread.Replies {
			require.Equal(t, k.ids[root], m.Thread, m.Body)
			got = append(got, m.ID)
		}
		for _, said := range answers {
			wanted = append(wanted, k.ids[said])
		}
		require.Equal(t, wanted, got, root)
		require.Equal(t, wanted[len(wanted)-1], thread.Newest, root)
	}
	// What stands in a thread stands nowhere else.
	for _, m := range read.Main {
		require.NotEqual(t, k.ids["answered in Teams"], m.ID)
	}
}

package msgconv

import (
	"strconv"
	"strings"

	"maunium.net/go/mautrix/event"

	"teamsbridge/teams"
	"teamsbridge/texts"
)

// FileRef is a file that a Teams message has attached.
type FileRef struct {
	URL, Name string
}

// Files lists the files that a message has attached, in their order; the one at
// index 2 becomes the part "file:2". They are to be fetched before ToMatrix.
func Files(m teams.Message) []FileRef {
	if !m.Deleted.IsZero() || isSystem(m) {
		return nil
	}
	var out []FileRef
	for i := range m.Attachments {
		if a := &m.Attachments[i]; isFile(a) {
			out = append(out, FileRef{URL: a.ContentURL, Name: cleanName(a.Name)})
		}
	}
	return out
}

func isFile(a *teams.Attachment) bool { return a.ContentType == "reference" }

// files makes a part of each attached file, behind the text and the pictures.
func (t *toMatrix) files() []Part {
	refs := Files(t.m)
	parts := make([]Part, len(refs))
	for i, ref := range refs {
		parts[i] = Part{ID: "file:" + strconv.Itoa(i), Source: ref.URL, Type: event.EventMessage, Content: t.file(ref)}
	}
	return parts
}

// file shows a file that was copied, or says in a line which one there is and
// why it was not.
func (t *toMatrix) file(ref FileRef) *event.MessageEventContent {
	media, ok := t.env.Files[ref.URL]
	if !ok || media.Problem != "" || media.URI == "" && media.File == nil {
		t2 := &toMatrix{m: t.m, env: MatrixEnv{Texts: t.env.Texts}, out: newBuilder(forMatrix)}
		t2.fileLink(ref, media)
		root := t2.out.finish()
		tidy(root)
		c := textContentOf(root)
		c.MsgType = event.MsgNotice
		return c
	}
	name := firstOf(cleanName(media.Name), ref.Name, t.env.Texts.Say(texts.FileNoName))
	c := &event.MessageEventContent{
		MsgType: fileType(media.MimeType), Body: name, FileName: name, URL: media.URI, File: media.File, Mentions: &event.Mentions{},
		Info: &event.FileInfo{MimeType: media.MimeType, Size: media.Size},
	}
	if media.File != nil {
		c.URL = ""
	}
	return c
}

// fileLink names a file, with its size and what is the matter with it, and
// links to it.
func (t *toMatrix) fileLink(ref FileRef, media Media) {
	name := firstOf(ref.Name, cleanName(media.Name), t.env.Texts.Say(texts.FileNoName))
	t.out.open("p")
	t.out.text(textFileMark + " ")
	href, ok := cleanHref(ref.URL, false)
	if ok {
		t.out.element("a", name, attr{"href", href})
	} else {
		t.out.text(name)
	}
	var details []string
	for _, d := range []string{textSize(t.env.Texts, media.Size), cleanName(media.Problem)} {
		if d != "" {
			details = append(details, d)
		}
	}
	if len(details) > 0 {
		t.out.text(" (" + strings.Join(details, ", ") + ")")
	}
	if teamsLink, linked := cleanHref(t.m.WebURL, false); linked && !ok {
		t.out.text(" – ")
		t.out.element("a", t.env.Texts.Say(texts.OpenInTeams), attr{"href", teamsLink})
	}
	t.out.close("p")
}

// fileType is how clients show a file. Pictures that are programs at the same
// time, such as SVG, are files.
func fileType(mimeType string) event.MessageType {
	kind, sub, _ := strings.Cut(strings.ToLower(mimeType), "/")
	switch {
	case kind == "image" && (sub == "png" || sub == "jpeg" || sub == "gif" || sub == "webp" || sub == "bmp"):
		return event.MsgImage
	case kind == "video":
		return event.MsgVideo
	case kind == "audio":
		return event.MsgAudio
	}
	return event.MsgFile
}

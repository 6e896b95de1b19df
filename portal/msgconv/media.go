package msgconv

import (
	"strconv"
	"strings"

	"maunium.net/go/mautrix/event"

	"teamsbridge/texts"
)

// media carries over a message that is not text, and reports whether it was
// one. An image whose bytes are at hand goes inline, everything else becomes a
// line with a name and a link.
func (t *toTeams) media() bool {
	c := t.c
	what := texts.Key("")
	switch c.MsgType {
	case event.MsgText, event.MsgNotice, event.MsgEmote:
		return false
	case event.MsgImage:
		what = texts.Picture
	case event.MsgVideo:
		what = texts.Video
	case event.MsgAudio:
		what = texts.Audio
		if c.MSC3245Voice != nil {
			what = texts.Voice
		}
	case event.MsgFile:
		what = texts.File
	case event.MsgLocation:
		t.location()
		return true
	case event.CapMsgSticker:
		what = texts.Sticker
	case "":
		if c.URL == "" && c.File == nil && t.env.Image == nil {
			return false
		}
		what = texts.Sticker
	default:
		return false
	}
	name, caption := fileName(c)
	if what == texts.Voice {
		name = "" // that its file is one says nothing more
	}
	if t.env.Image != nil && (what == texts.Picture || what == texts.Sticker) {
		t.inline(name)
	} else if t.env.File == nil {
		t.fileLine(what, name)
	}
	if caption != nil {
		t.out.open("p")
		t.text(caption)
		t.out.close("p")
	}
	return true
}

// FileName returns the name of a message's file, empty where it has none.
func FileName(c *event.MessageEventContent) string {
	name, _ := fileName(current(c))
	return name
}

// fileName tells a file's name from its caption.
func fileName(c *event.MessageEventContent) (string, *event.MessageEventContent) {
	if c.FileName == "" || c.FileName == c.Body {
		return cleanName(c.Body), nil
	}
	return cleanName(c.FileName), c
}

// inline shows the image itself.
func (t *toTeams) inline(name string) {
	image := *t.env.Image
	image.ID = "1"
	t.image = &image
	attrs := []attr{{"src", "../hostedContents/1/$value"}}
	if name != "" {
		attrs = append(attrs, attr{"alt", name})
	}
	if info := t.c.Info; info != nil && info.Width > 0 && info.Height > 0 && info.Width < 1e5 && info.Height < 1e5 {
		w, h := shown(info.Width, info.Height)
		attrs = append(attrs, attr{"width", strconv.Itoa(w)}, attr{"height", strconv.Itoa(h)})
	}
	t.out.open("p")
	t.out.open("img", attrs...)
	t.out.close("p")
}

// shown scales an image's size down to what fits a message on a screen.
func shown(w, h int) (int, int) {
	const most = 800
	if w <= most && h <= most {
		return w, h
	}
	if w >= h {
		return most, max(1, h*most/w)
	}
	return max(1, w*most/h), most
}

// fileLine names a file and links to where it can be had.
func (t *toTeams) fileLine(what texts.Key, name string) {
	var details []string
	if info := t.c.Info; info != nil {
		for _, d := range []string{textDuration(info.Duration), textSize(t.env.Texts, info.Size)} {
			if d != "" {
				details = append(details, d)
			}
		}
	}
	t.out.open("p")
	t.out.text(t.env.Texts.Say(what))
	if name != "" {
		t.out.text(textColon(t.env.Texts))
	}
	if href, ok := cleanHref(t.env.Link, false); ok {
		if name == "" {
			t.out.text(" ")
			name = t.env.Texts.Say(texts.OpenInMatrix)
		}
		t.out.element("a", name, attr{"href", href})
	} else {
		t.out.text(name)
	}
	if problem := cleanName(t.env.FileProblem); problem != "" {
		details = append(details, problem)
	}
	if len(details) > 0 {
		t.out.text(" (" + strings.Join(details, ", ") + ")")
	}
	t.out.close("p")
}

package crashtest

import (
	"context"
	"fmt"
	"html"
	"strings"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"teamsbridge/teams/teamstest"
)

// markup makes a part of a text bold, so that both ways convert something.
func markup(text string) string {
	token, rest, _ := strings.Cut(text, " ")
	first, rest, _ := strings.Cut(rest, " ")
	return html.EscapeString(token) + " <b>" + html.EscapeString(first) + "</b> " + html.EscapeString(rest)
}

func png(m *remark) []byte { return teamstest.PNG(teamstest.Avatar(m.token, 24)) }

// teamsVoice is people at their Teams clients.
type teamsVoice struct{ r *run }

func (v teamsVoice) message(m *remark) (*teamstest.Message, error) {
	if found := m.place.channel.Message(m.message); found != nil {
		return found, nil
	}
	return nil, fmt.Errorf("%s is not in Teams", m.token)
}

func (v teamsVoice) say(_ context.Context, m *remark) error {
	msg := teamstest.Msg{HTML: "<p>" + markup(m.text) + "</p>"}
	if m.picture {
		msg.Images = []teamstest.Image{{Name: "picture", ContentType: "image/png", Data: png(m)}}
	}
	var said *teamstest.Message
	if m.root == nil {
		said = m.place.channel.Post(m.author.user, msg)
	} else {
		root, err := v.message(m.root)
		if err != nil {
			return err
		}
		said = root.Reply(m.author.user, msg)
	}
	v.r.book.seen(m.token, inTeams, "", said.ID)
	return nil
}

func (v teamsVoice) edit(_ context.Context, m *remark, text string) error {
	said, err := v.message(m)
	if err == nil {
		said.Edit(teamstest.Msg{HTML: "<p>" + markup(text) + "</p>"})
	}
	return err
}

func (v teamsVoice) remove(_ context.Context, m *remark) error {
	said, err := v.message(m)
	if err == nil {
		said.Delete()
	}
	return err
}

func (v teamsVoice) react(_ context.Context, m *remark, by *person) (id.EventID, error) {
	said, err := v.message(m)
	if err == nil {
		said.React(by.user, by.emoji(inTeams))
	}
	return "", err
}

func (v teamsVoice) unreact(_ context.Context, m *remark, by *person, _ id.EventID) error {
	said, err := v.message(m)
	if err == nil {
		said.Unreact(by.user, by.emoji(inTeams))
	}
	return err
}

// matrixVoice is people at their Matrix clients.
type matrixVoice struct{ r *run }

func (v matrixVoice) say(ctx context.Context, m *remark) error {
	content := &event.MessageEventContent{MsgType: event.MsgText, Body: m.text, Format: event.FormatHTML, FormattedBody: markup(m.text)}
	if m.picture {
		data := png(m)
		uploaded, err := m.author.cli.UploadBytesWithName(ctx, data, "image/png", "picture.png")
		if err != nil {
			return fmt.Errorf("upload a picture: %w", err)
		}
		content = &event.MessageEventContent{MsgType: event.MsgImage, Body: m.text, FileName: "picture.png", URL: uploaded.ContentURI.CUString(),
			Info: &event.FileInfo{MimeType: "image/png", Size: len(data), Width: 24, Height: 24}}
	}
	v.r.book.note(func() {
		m.began = time.Now()
		if m.root != nil {
			m.rootEvent = m.root.event
			content.RelatesTo = (&event.RelatesTo{}).SetThread(m.rootEvent, m.rootEvent)
		}
	})
	sent, err := m.author.cli.SendMessageEvent(ctx, m.place.room, event.EventMessage, content)
	v.r.book.note(func() { m.ended = time.Now() })
	if err == nil {
		v.r.book.seen(m.token, inMatrix, sent.EventID, "")
	}
	return err
}

func (v matrixVoice) edit(ctx context.Context, m *remark, text string) error {
	fresh := &event.MessageEventContent{MsgType: event.MsgText, Body: text, Format: event.FormatHTML, FormattedBody: markup(text)}
	_, err := m.author.cli.SendMessageEvent(ctx, m.place.room, event.EventMessage, &event.MessageEventContent{
		MsgType: event.MsgText, Body: "* " + text, NewContent: fresh, RelatesTo: (&event.RelatesTo{}).SetReplace(m.event),
	})
	return err
}

func (v matrixVoice) remove(ctx context.Context, m *remark) error {
	_, err := m.author.cli.RedactEvent(ctx, m.place.room, m.event)
	return err
}

func (v matrixVoice) react(ctx context.Context, m *remark, by *person) (id.EventID, error) {
	var target id.EventID
	v.r.book.note(func() {
		target = m.event
		m.reactedTo[by.emoji(inMatrix)] = target
	})
	sent, err := by.cli.SendReaction(ctx, m.place.room, target, by.emoji(inMatrix))
	if err != nil {
		return "", err
	}
	return sent.EventID, nil
}

func (v matrixVoice) unreact(ctx context.Context, m *remark, by *person, reaction id.EventID) error {
	_, err := by.cli.RedactEvent(ctx, m.place.room, reaction)
	return err
}

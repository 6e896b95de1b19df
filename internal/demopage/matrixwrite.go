package demopage

import (
	"context"
	"fmt"
	"io"
	"mime"
	"path"
	"slices"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/format"
	"maunium.net/go/mautrix/id"

	"teamsbridge/internal/stack"
)

// sayInMatrix sends a message, into a thread or not, with or without a file.
func (p *Page) sayInMatrix(ctx context.Context, cli *mautrix.Client, room id.RoomID, s said) error {
	content := event.MessageEventContent{MsgType: event.MsgText}
	if s.Text != "" {
		content = format.RenderMarkdown(s.Text, true, false)
	}
	if s.file != nil {
		if err := upload(ctx, cli, s, &content); err != nil {
			return err
		}
	}
	if s.ReplyTo != "" {
		relation, err := threadOf(ctx, cli, room, id.EventID(s.ReplyTo))
		if err != nil {
			return err
		}
		content.RelatesTo = relation
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	if _, err := cli.SendMessageEvent(ctx, room, event.EventMessage, &content); err != nil {
		return fmt.Errorf("the homeserver refuses the message: %w", err)
	}
	return nil
}

// upload makes a message one that carries a file; a text becomes its caption.
func upload(ctx context.Context, cli *mautrix.Client, s said, content *event.MessageEventContent) error {
	kind := cmpOr(mime.TypeByExtension(path.Ext(s.name)), "application/octet-stream")
	up, err := cli.UploadMedia(ctx, mautrix.ReqUploadMedia{Content: io.LimitReader(s.file, s.size), ContentLength: s.size, ContentType: kind, FileName: s.name})
	if err != nil {
		return fmt.Errorf("the homeserver refuses the file: %w", err)
	}
	content.MsgType = event.MsgFile
	if imageType(s.name) != "" {
		content.MsgType = event.MsgImage
	}
	content.FileName, content.URL = s.name, up.ContentURI.CUString()
	content.Info = &event.FileInfo{MimeType: kind, Size: int(s.size)}
	if content.Body == "" {
		content.Body = s.name
	}
	return nil
}

// threadOf is how a message relates to the one that it answers: it is in its
// thread, and names it unless it is the thread's root.
func threadOf(ctx context.Context, cli *mautrix.Client, room id.RoomID, target id.EventID) (*event.RelatesTo, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	evt, err := cli.GetEvent(ctx, room, target)
	if err != nil {
		return nil, fmt.Errorf("read what is answered: %w", err)
	}
	_ = evt.Content.ParseRaw(evt.Type)
	root := evt.Content.AsMessage().RelatesTo.GetThreadParent()
	if root == "" {
		return (&event.RelatesTo{}).SetThread(target, target), nil
	}
	relation := (&event.RelatesTo{}).SetThread(root, target)
	relation.IsFallingBack = false
	return relation, nil
}

// changeInMatrix edits, redacts or reacts.
func (p *Page) changeInMatrix(ctx context.Context, cli *mautrix.Client, room id.RoomID, c change) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	target := id.EventID(c.ID)
	var err error
	switch c.Do {
	case "edit":
		content := format.RenderMarkdown(c.Text, true, false)
		content.SetEdit(target)
		_, err = cli.SendMessageEvent(ctx, room, event.EventMessage, &content)
	case "delete":
		_, err = cli.RedactEvent(ctx, room, target)
	case "react":
		_, err = cli.SendReaction(ctx, room, target, c.Key)
	case "unreact":
		err = unreact(ctx, cli, room, target, c.Key)
	default:
		return errUnknown
	}
	if err != nil {
		return fmt.Errorf("the homeserver refuses it: %w", err)
	}
	return nil
}

// unreact redacts somebody's reaction, which has to be found first.
func unreact(ctx context.Context, cli *mautrix.Client, room id.RoomID, target id.EventID, key string) error {
	found, err := cli.GetRelations(ctx, room, target, &mautrix.ReqGetRelations{RelationType: event.RelAnnotation, EventType: event.EventReaction, Limit: 100})
	if err != nil {
		return fmt.Errorf("read the reactions: %w", err)
	}
	i := slices.IndexFunc(found.Chunk, func(evt *event.Event) bool {
		_ = evt.Content.ParseRaw(evt.Type)
		return evt.Sender == cli.UserID && evt.Content.AsReaction().RelatesTo.Key == key
	})
	if i < 0 {
		return errGone
	}
	_, err = cli.RedactEvent(ctx, room, found.Chunk[i].ID)
	return err
}

// speaker is the client of a member who has an account.
func (p *Page) speaker(ctx context.Context, key string) (*mautrix.Client, error) {
	u := p.opts.Stack.Tenant.User(key)
	if u == nil || !p.hasAccount(u) {
		return nil, errNoAccount
	}
	return p.opts.Stack.Person(ctx, stack.Localpart(u))
}

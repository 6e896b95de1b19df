package graph

import (
	"context"
	"net/http"

	abstractions "github.com/microsoft/kiota-abstractions-go"
	sdkteams "github.com/microsoftgraph/msgraph-sdk-go/teams"
	"teamsbridge/teams"
)

// WriterOptions configures NewWriter.
type WriterOptions struct {
	Endpoints teams.Endpoints
	// Credential is the account's own sign-in.
	Credential Credential
	// HTTP is a client of teams.NewHTTPClient.
	HTTP    *http.Client
	Account teams.Account
	// Messages reads a message before it is edited, because an edit replaces
	// its attachments. It is the application's reader: the sign-in of people
	// brings no permission to read channels.
	Messages MessageGetter
}

// MessageGetter is the part of teams.Reader that a Writer needs.
type MessageGetter interface {
	Message(ctx context.Context, ref teams.MessageRef) (teams.Message, error)
}

// Writer writes as one signed-in account.
type Writer struct {
	*conn
	*teams.Files
	account  teams.Account
	messages MessageGetter
}

var _ teams.Writer = (*Writer)(nil)

// maxRequest is what Graph takes in one request; with more, pictures go
// missing without an error.
const maxRequest = 4 << 20

// NewWriter returns a Writer; nothing is sent yet.
func NewWriter(o WriterOptions) (*Writer, error) {
	c, err := newConn(o.Endpoints, o.Credential, o.HTTP)
	if err != nil {
		return nil, err
	}
	files := teams.NewFiles(teams.FilesOptions{Endpoints: o.Endpoints, Credential: o.Credential, HTTP: o.HTTP, Account: o.Account.UserID})
	return &Writer{conn: c, Files: files, account: o.Account, messages: o.Messages}, nil
}

// Account implements teams.Writer.
func (w *Writer) Account() teams.Account { return w.account }

// write sends a request as the account; the user counts for Graph's limits.
func (w *Writer) write(ctx context.Context, op string, info *abstractions.RequestInformation, err error) ([]byte, error) {
	if err == nil && len(info.Content) > maxRequest {
		return nil, &teams.Error{Op: op, Kind: teams.KindTooLarge, Hint: "the message is larger than the 4 MB that Graph takes"}
	}
	return w.send(teams.WithAccount(ctx, w.account.UserID), info, err)
}

// Post implements teams.Writer.
func (w *Writer) Post(ctx context.Context, ch teams.ChannelRef, rootID string, d teams.Draft) (teams.Message, error) {
	const op = "POST channel message"
	if err := need(ch.TeamID, ch.ChannelID); err != nil {
		return teams.Message{}, err
	}
	body, err := chatMessage(d)
	if err != nil {
		return teams.Message{}, err
	}
	var info *abstractions.RequestInformation
	if rootID == "" {
		info, err = w.conn.messages(ch).ToPostRequestInformation(ctx, body, nil)
	} else {
		info, err = w.conn.messages(ch).ByChatMessageId(rootID).Replies().ToPostRequestInformation(ctx, body, nil)
	}
	raw, err := w.write(ctx, op, info, err)
	if err != nil {
		return teams.Message{}, err
	}
	m, err := teams.DecodeMessage(raw)
	if err != nil {
		// Graph took it, but nobody knows under which id.
		return teams.Message{}, ambiguous(op, err)
	}
	complete(&m, ch, rootID)
	return m, nil
}

// Edit implements teams.Writer.
func (w *Writer) Edit(ctx context.Context, ref teams.MessageRef, d teams.Draft) error {
	const op = "PATCH channel message"
	if err := need(ref.TeamID, ref.ChannelID, ref.ID); err != nil {
		return err
	}
	if d.Attachments == nil && w.messages != nil {
		old, err := w.messages.Message(ctx, ref)
		if err != nil {
			return err
		}
		d = keepAttachments(d, old)
	}
	body, err := chatMessage(d)
	if err != nil {
		return err
	}
	var info *abstractions.RequestInformation
	if ref.RootID == "" {
		info, err = w.conn.messages(ref.ChannelRef).ByChatMessageId(ref.ID).ToPatchRequestInformation(ctx, body, nil)
	} else {
		info, err = w.conn.messages(ref.ChannelRef).ByChatMessageId(ref.RootID).Replies().ByChatMessageId1(ref.ID).ToPatchRequestInformation(ctx, body, nil)
	}
	_, err = w.write(ctx, op, info, err)
	return err
}

// root and reply lead to the two places that a message can be at.
func (w *Writer) root(ref teams.MessageRef) *sdkteams.ItemChannelsItemMessagesChatMessageItemRequestBuilder {
	return w.conn.messages(ref.ChannelRef).ByChatMessageId(ref.ID)
}

func (w *Writer) reply(ref teams.MessageRef) *sdkteams.ItemChannelsItemMessagesItemRepliesChatMessageItemRequestBuilder {
	return w.conn.messages(ref.ChannelRef).ByChatMessageId(ref.RootID).Replies().ByChatMessageId1(ref.ID)
}

// Delete implements teams.Writer.
func (w *Writer) Delete(ctx context.Context, ref teams.MessageRef) error {
	return w.act(ctx, "POST message softDelete", ref, func() (*abstractions.RequestInformation, error) {
		if ref.RootID == "" {
			return w.root(ref).SoftDelete().ToPostRequestInformation(ctx, nil)
		}
		return w.reply(ref).SoftDelete().ToPostRequestInformation(ctx, nil)
	})
}

// Undelete implements teams.Writer.
func (w *Writer) Undelete(ctx context.Context, ref teams.MessageRef) error {
	return w.act(ctx, "POST message undoSoftDelete", ref, func() (*abstractions.RequestInformation, error) {
		if ref.RootID == "" {
			return w.root(ref).UndoSoftDelete().ToPostRequestInformation(ctx, nil)
		}
		return w.reply(ref).UndoSoftDelete().ToPostRequestInformation(ctx, nil)
	})
}

// React implements teams.Writer.
func (w *Writer) React(ctx context.Context, ref teams.MessageRef, emoji string) error {
	return w.act(ctx, "POST message setReaction", ref, func() (*abstractions.RequestInformation, error) {
		if ref.RootID == "" {
			body := sdkteams.NewItemChannelsItemMessagesItemSetReactionPostRequestBody()
			body.SetReactionType(&emoji)
			return w.root(ref).SetReaction().ToPostRequestInformation(ctx, body, nil)
		}
		body := sdkteams.NewItemChannelsItemMessagesItemRepliesItemSetReactionPostRequestBody()
		body.SetReactionType(&emoji)
		return w.reply(ref).SetReaction().ToPostRequestInformation(ctx, body, nil)
	})
}

// Unreact implements teams.Writer.
func (w *Writer) Unreact(ctx context.Context, ref teams.MessageRef, emoji string) error {
	return w.act(ctx, "POST message unsetReaction", ref, func() (*abstractions.RequestInformation, error) {
		if ref.RootID == "" {
			body := sdkteams.NewItemChannelsItemMessagesItemUnsetReactionPostRequestBody()
			body.SetReactionType(&emoji)
			return w.root(ref).UnsetReaction().ToPostRequestInformation(ctx, body, nil)
		}
		body := sdkteams.NewItemChannelsItemMessagesItemRepliesItemUnsetReactionPostRequestBody()
		body.SetReactionType(&emoji)
		return w.reply(ref).UnsetReaction().ToPostRequestInformation(ctx, body, nil)
	})
}

func (w *Writer) act(ctx context.Context, op string, ref teams.MessageRef, build func() (*abstractions.RequestInformation, error)) error {
	if err := need(ref.TeamID, ref.ChannelID, ref.ID); err != nil {
		return err
	}
	info, err := build()
	_, err = w.write(ctx, op, info, err)
	return err
}

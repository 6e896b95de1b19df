package graph

import (
	"html"
	"strings"

	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"teamsbridge/teams"
)

// chatMessage turns a draft into the SDK's body. It is good for one request:
// the SDK writes only what changed since a body was written before.
func chatMessage(d teams.Draft) (models.ChatMessageable, error) {
	m := models.NewChatMessage()
	body := models.NewItemBody()
	typ := models.HTML_BODYTYPE
	body.SetContentType(&typ)
	body.SetContent(&d.HTML)
	m.SetBody(body)
	if d.Subject != "" {
		m.SetSubject(&d.Subject)
	}
	if d.Importance != "" {
		v, err := models.ParseChatMessageImportance(d.Importance)
		importance, ok := v.(*models.ChatMessageImportance)
		if err != nil || !ok {
			return nil, &teams.Error{Op: "message", Kind: teams.KindBadRequest, Hint: "importance is normal, high or urgent"}
		}
		m.SetImportance(importance)
	}
	if len(d.Mentions) > 0 {
		list := make([]models.ChatMessageMentionable, 0, len(d.Mentions))
		for _, mention := range d.Mentions {
			list = append(list, chatMention(mention))
		}
		m.SetMentions(list)
	}
	if len(d.Attachments) > 0 {
		list := make([]models.ChatMessageAttachmentable, 0, len(d.Attachments))
		for _, a := range d.Attachments {
			list = append(list, chatAttachment(a))
		}
		m.SetAttachments(list)
	}
	if len(d.Images) > 0 {
		list := make([]models.ChatMessageHostedContentable, 0, len(d.Images))
		for _, image := range d.Images {
			hosted := models.NewChatMessageHostedContent()
			hosted.SetContentBytes(image.Data)
			hosted.SetContentType(&image.ContentType)
			hosted.SetAdditionalData(map[string]any{"@microsoft.graph.temporaryId": image.ID})
			list = append(list, hosted)
		}
		m.SetHostedContents(list)
	}
	return m, nil
}

func chatMention(mention teams.Mention) models.ChatMessageMentionable {
	out := models.NewChatMessageMention()
	id := int32(mention.ID)
	out.SetId(&id)
	out.SetMentionText(&mention.Text)
	who := models.NewChatMessageMentionedIdentitySet()
	switch {
	case mention.User != nil:
		who.SetUser(chatIdentity(mention.User, "userIdentityType", "aadUser"))
	case mention.Application != nil:
		who.SetApplication(chatIdentity(mention.Application, "applicationIdentityType", "bot"))
	case mention.Conversation != nil:
		c := models.NewTeamworkConversationIdentity()
		c.SetId(&mention.Conversation.ID)
		c.SetDisplayName(&mention.Conversation.DisplayName)
		if v, err := models.ParseTeamworkConversationIdentityType(mention.Conversation.Type); err == nil {
			if typ, ok := v.(*models.TeamworkConversationIdentityType); ok {
				c.SetConversationIdentityType(typ)
			}
		}
		who.SetConversation(c)
	case mention.Tag != nil:
		tag := models.NewIdentity()
		tag.SetId(&mention.Tag.ID)
		tag.SetDisplayName(&mention.Tag.DisplayName)
		who.SetAdditionalData(map[string]any{"tag": tag})
	}
	out.SetMentioned(who)
	return out
}

func chatIdentity(id *teams.Identity, typeKey, typ string) models.Identityable {
	out := models.NewIdentity()
	out.SetId(&id.ID)
	out.SetDisplayName(&id.DisplayName)
	if id.UserType != "" {
		typ = id.UserType
	}
	out.SetAdditionalData(map[string]any{typeKey: typ})
	return out
}

func chatAttachment(a teams.Attachment) models.ChatMessageAttachmentable {
	out := models.NewChatMessageAttachment()
	set := func(f func(*string), v string) {
		if v != "" {
			f(&v)
		}
	}
	set(out.SetId, a.ID)
	set(out.SetContentType, a.ContentType)
	set(out.SetContentUrl, a.ContentURL)
	set(out.SetContent, a.Content)
	set(out.SetName, a.Name)
	set(out.SetThumbnailUrl, a.ThumbnailURL)
	set(out.SetTeamsAppId, a.TeamsAppID)
	return out
}

// keepAttachments adds what the message has attached to a draft that edits
// it, with the markers without which Graph refuses an attachment.
func keepAttachments(d teams.Draft, old teams.Message) teams.Draft {
	for _, a := range old.Attachments {
		if a.ID == "" {
			continue
		}
		d.Attachments = append(d.Attachments, a)
		if marker := `<attachment id="` + html.EscapeString(a.ID) + `"></attachment>`; !strings.Contains(d.HTML, `<attachment id="`+html.EscapeString(a.ID)+`"`) {
			d.HTML += marker
		}
	}
	return d
}

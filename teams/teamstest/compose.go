package teamstest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxMessage is Teams' bound for one message: text, markup, mentions and
// attachments together. Figures vary around 28 KB; counting bytes is the
// strictest reading.
const maxMessage = 28 * 1024

// incoming is the body of a POST or PATCH of a message. Pointers tell what was
// not sent.
type incoming struct {
	Subject     *string           `json:"subject"`
	Importance  *string           `json:"importance"`
	Body        *wireBody         `json:"body"`
	Attachments []wireAttachment  `json:"attachments"`
	Mentions    []incomingMention `json:"mentions"`
	Hosted      []incomingHosted  `json:"hostedContents"`
	Created     *string           `json:"createdDateTime"`
	From        json.RawMessage   `json:"from"`
	Violation   json.RawMessage   `json:"policyViolation"`
}

type incomingMention struct {
	ID        *int    `json:"id"`
	Text      *string `json:"mentionText"`
	Mentioned struct {
		User         *wireIdentity     `json:"user"`
		Conversation *wireConversation `json:"conversation"`
		Application  *wireIdentity     `json:"application"`
		Tag          *wireIdentity     `json:"tag"`
	} `json:"mentioned"`
}

type incomingHosted struct {
	TemporaryID string `json:"@microsoft.graph.temporaryId"`
	Bytes       string `json:"contentBytes"`
	ContentType string `json:"contentType"`
}

// readIncoming decodes a message to post or patch.
func (x *exchange) readIncoming() (*incoming, *apiError) {
	var in incoming
	if err := json.Unmarshal(x.body, &in); err != nil {
		return nil, errBadRequest("Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.")
	}
	return &in, nil
}

// composer turns what a client sent into a draft. Pictures need the message's
// own address, so the last step happens when it has an id.
type composer struct {
	ch     *Channel
	in     *incoming
	refs   found
	draft  draft
	hosted map[string]*hostedContent // by temporary id
}

// compose checks what was sent and rewrites it as Teams would. old are the
// pictures that the message has already. The tenant's lock is held.
func (c *Channel) compose(in *incoming, old []*hostedContent) (*composer, *apiError) {
	p := &composer{ch: c, in: in, draft: draft{importance: "normal", contentType: "text"}, hosted: map[string]*hostedContent{}}
	if in.Body == nil || in.Body.Content == "" {
		return nil, errBadRequest("Missing body content")
	}
	if len(in.Body.Content) > 4*maxMessage {
		// Rewriting may make a body smaller, never by that much.
		return nil, errTooLarge("Message payload too large.")
	}
	if in.Subject != nil {
		p.draft.subject = *in.Subject
	}
	if in.Importance != nil {
		if !slices.Contains([]string{"normal", "high", "urgent"}, *in.Importance) {
			return nil, errBadRequest("Invalid value specified for property 'importance' of resource 'chatMessage'.")
		}
		p.draft.importance = *in.Importance
	}
	switch kind := strings.ToLower(in.Body.ContentType); kind {
	case "", "text":
		p.draft.content = in.Body.Content
	case "html":
		p.draft.contentType = kind
		content, refs, err := rewriteHTML(in.Body.Content, func(src string) string { return src })
		if err != nil {
			return nil, errBadRequest("Invalid HTML content.")
		}
		if content == "" {
			return nil, errBadRequest("Missing body content")
		}
		p.draft.content, p.refs = content, refs
	default:
		return nil, errBadRequest("Invalid value specified for property 'contentType' of resource 'itemBody'.")
	}
	for _, step := range []func() *apiError{p.readAttachments, p.readMentions, p.checkSize, func() *apiError { return p.readHosted(old) }} {
		if refused := step(); refused != nil {
			return nil, refused
		}
	}
	return p, nil
}

func (p *composer) readAttachments() *apiError {
	for _, a := range p.in.Attachments {
		if a.ID == nil || *a.ID == "" {
			return errBadRequest("Attachment id must not be empty.")
		}
		if !slices.Contains(p.refs.attachments, *a.ID) {
			return errBadRequest("Body does not contain marker for attachment with Id '" + *a.ID + "'.")
		}
		if a.ContentType == nil || *a.ContentType == "" {
			return errBadRequest("Attachment content type must not be empty.")
		}
		if *a.ContentType == "reference" && (a.ContentURL == nil || a.Name == nil) {
			return errBadRequest("Reference attachment must have contentUrl and name.")
		}
		if *a.ContentType == "reference" {
			if refused := p.ch.checkReference(*a.ID, *a.ContentURL, *a.Name); refused != nil {
				return refused
			}
		}
		p.draft.attachments = append(p.draft.attachments, attachment{a.ID, a.ContentType, a.ContentURL, a.Content, a.Name, a.ThumbnailURL, a.TeamsAppID})
	}
	return nil
}

// readMentions wants each mention in the body, with the same text once both
// are decoded, and the other way round.
func (p *composer) readMentions() *apiError {
	seen := map[string]bool{}
	for _, in := range p.in.Mentions {
		if in.ID == nil || in.Text == nil {
			return errBadRequest("Mention id and text must not be empty.")
		}
		id := strconv.Itoa(*in.ID)
		if text, ok := p.refs.mentions[id]; !ok || text != *in.Text {
			return errBadRequest("Neither Body nor adaptive card content contains marker for mention with Id '" + id + "'.")
		}
		if seen[id] {
			return errBadRequest("Duplicate mention id '" + id + "'.")
		}
		seen[id] = true
		m, refused := p.ch.mention(in)
		if refused != nil {
			return refused
		}
		p.draft.mentions = append(p.draft.mentions, m)
	}
	for id := range p.refs.mentions {
		if !seen[id] {
			return errBadRequest("Body contains a marker for mention with Id '" + id + "' that is not in mentions.")
		}
	}
	return nil
}

func (c *Channel) mention(in incomingMention) (mention, *apiError) {
	m := mention{id: *in.ID, text: *in.Text}
	switch {
	case in.Mentioned.User != nil:
		m.user = c.t.usersByID[strings.ToLower(in.Mentioned.User.ID)]
		if m.user == nil || m.user.deleted {
			return m, errBadRequest("Invalid user identity in mention with Id '" + strconv.Itoa(m.id) + "'.")
		}
	case in.Mentioned.Conversation != nil:
		conv := in.Mentioned.Conversation
		m.convID, m.convKind = conv.ID, conv.Kind
		if conv.DisplayName != nil {
			m.convName = *conv.DisplayName
		}
		if !(conv.Kind == "channel" && conv.ID == c.ID || conv.Kind == "team" && conv.ID == c.team.ID) {
			return m, errBadRequest("Invalid conversation identity in mention with Id '" + strconv.Itoa(m.id) + "'.")
		}
	default:
		return m, errBadRequest("Mention with Id '" + strconv.Itoa(m.id) + "' names nobody.")
	}
	return m, nil
}

func (p *composer) checkSize() *apiError {
	size := len(p.draft.content) + len(p.draft.subject)
	if len(p.in.Mentions) > 0 {
		size += len(mustJSON(p.in.Mentions))
	}
	if len(p.in.Attachments) > 0 {
		size += len(mustJSON(p.in.Attachments))
	}
	if size > maxMessage {
		return errTooLarge(fmt.Sprintf("Message payload too large: %d bytes, at most %d are allowed.", size, maxMessage))
	}
	return nil
}

// relativeHosted is how a client refers to a picture that it sends along.
var relativeHosted = regexp.MustCompile(`^(?:\.\./|/)?hostedContents/([^/]+)/\$value$`)

// readHosted takes the pictures that were sent along, and keeps those of the
// old ones that the body still shows.
func (p *composer) readHosted(old []*hostedContent) *apiError {
	for _, in := range p.in.Hosted {
		data, err := base64.StdEncoding.DecodeString(in.Bytes)
		if err != nil || len(data) == 0 {
			return errBadRequest("Invalid contentBytes in hosted content.")
		}
		if in.TemporaryID == "" || !strings.HasPrefix(in.ContentType, "image/") {
			return errBadRequest("Hosted content needs a temporary id and an image content type.")
		}
		h := p.ch.t.newHosted(in.ContentType, data)
		p.hosted[in.TemporaryID] = h
		p.draft.hosted = append(p.draft.hosted, h)
	}
	for _, src := range p.refs.images {
		if ref := relativeHosted.FindStringSubmatch(src); ref != nil && p.hosted[ref[1]] == nil {
			return errBadRequest("Hosted content with temporary id '" + ref[1] + "' was not sent.")
		}
		for _, h := range old {
			if strings.Contains(src, "/hostedContents/"+h.id+"/") {
				p.draft.hosted = append(p.draft.hosted, h)
			}
		}
	}
	return nil
}

// finish gives the pictures their absolute addresses below the message.
func (p *composer) finish(m *Message) draft {
	d := p.draft
	d.content = m.absoluteImages(d.content, d.contentType, p.hosted)
	return d
}

// absoluteImages rewrites references to pictures by temporary id.
func (m *Message) absoluteImages(content, contentType string, hosted map[string]*hostedContent) string {
	if contentType != "html" || len(hosted) == 0 {
		return content
	}
	return imageSource.ReplaceAllStringFunc(content, func(attr string) string {
		src := strings.TrimSuffix(strings.TrimPrefix(attr, `src="`), `"`)
		ref := relativeHosted.FindStringSubmatch(src)
		if ref == nil || hosted[ref[1]] == nil {
			return attr
		}
		return `src="` + m.hostedURL(hosted[ref[1]].id) + `"`
	})
}

var imageSource = regexp.MustCompile(`src="[^"]*"`)

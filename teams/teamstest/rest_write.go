package teamstest

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// postMessage takes a post from a person. Application tokens are refused by
// the permission table: importing in migration mode is not simulated.
func postMessage(x *exchange) (*response, *apiError) {
	c, refused := x.findChannel()
	if refused != nil {
		return nil, refused
	}
	return x.post(c, nil)
}

func postReply(x *exchange) (*response, *apiError) {
	root, refused := x.findMessage()
	if refused != nil {
		return nil, refused
	}
	if !root.latest().deleted.IsZero() {
		// Not documented. Answering a deleted post is refused here, so that
		// a bridge has to know what to do with the reply.
		return nil, errNotFound("NotFound: message " + root.ID + " was deleted")
	}
	return x.post(root.ch, root)
}

func (x *exchange) post(c *Channel, root *Message) (*response, *apiError) {
	author, refused := x.writer(c)
	if refused != nil {
		return nil, refused
	}
	in, refused := x.readIncoming()
	if refused != nil {
		return nil, refused
	}
	if in.Created != nil || isSet(in.From) {
		return nil, errBadRequest("createdDateTime and from can only be set while the channel is in migration mode.")
	}
	p, refused := c.compose(in, nil)
	if refused != nil {
		return nil, refused
	}
	m := c.createMessage(root, time.Time{}, func(m *Message) draft {
		m.author = author
		return p.finish(m)
	})
	o := x.wireOptions()
	o.context, o.posted = m.entityContext(), true
	resp := jsonResponse(http.StatusCreated, m.wire(m.latest(), o))
	resp.header.Set("Location", x.t.GraphURL()+m.graphPath())
	return resp, nil
}

func isSet(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// writer is the person who writes, if the channel takes anything in.
func (x *exchange) writer(c *Channel) (*User, *apiError) {
	u, refused := x.callerUser()
	if refused != nil {
		return nil, refused
	}
	if c.archived || c.team.archived {
		return nil, errForbidden("The team or channel is archived.")
	}
	return u, nil
}

// patchMessage replaces what the sender wrote. Attachments, mentions and
// pictures that are not sent again are gone.
func patchMessage(x *exchange) (*response, *apiError) {
	m, refused := x.findMessage()
	if refused != nil {
		return nil, refused
	}
	in, refused := x.readIncoming()
	if refused != nil {
		return nil, refused
	}
	if x.caller.App {
		return x.patchViolation(m, in)
	}
	u, refused := x.writer(m.ch)
	if refused != nil {
		return nil, refused
	}
	if m.author != u {
		return nil, errForbidden("Only the sender of a message can update it.")
	}
	v := m.latest()
	if !v.deleted.IsZero() {
		return nil, errNotFound("NotFound: message " + m.ID + " was deleted")
	}
	if isSet(in.Violation) {
		return nil, errBadRequest("policyViolation can not be updated in delegated context.")
	}
	if in.Subject == nil && v.subject != "" {
		in.Subject = &v.subject
	}
	if in.Importance == nil {
		in.Importance = &v.importance
	}
	if in.Body == nil {
		in.Body = &wireBody{v.contentType, v.content}
		in.Attachments = nil
		for _, a := range v.attachments {
			in.Attachments = append(in.Attachments, wireAttachment{a.id, a.contentType, a.contentURL, a.content, a.name, a.thumbnailURL, a.teamsAppID})
		}
	}
	p, refused := m.ch.compose(in, v.hosted)
	if refused != nil {
		return nil, refused
	}
	m.edit(p.finish(m), time.Time{})
	return noContent(), nil
}

// patchViolation is the one change that an application may make.
func (x *exchange) patchViolation(m *Message, in *incoming) (*response, *apiError) {
	if !isSet(in.Violation) || in.Body != nil || in.Subject != nil {
		return nil, errForbidden("Only policyViolation can be updated in application-only context.")
	}
	m.update(changeMessageUpdated, time.Time{}, func(v *version) { v.violation = in.Violation })
	o := x.wireOptions()
	o.context = m.entityContext()
	return jsonResponse(http.StatusOK, m.wire(m.latest(), o)), nil
}

// softDelete and its opposite are for the sender and for owners. A second
// softDelete is refused: what Graph answers is not documented, and a client
// that repeats a call of unknown outcome has to look for itself.
func softDeleteMessage(x *exchange) (*response, *apiError) {
	m, refused := x.deletable()
	if refused != nil {
		return nil, refused
	}
	if !m.softDelete() {
		return nil, errBadRequest("The message is deleted already.")
	}
	return noContent(), nil
}

func undoSoftDeleteMessage(x *exchange) (*response, *apiError) {
	m, refused := x.deletable()
	if refused != nil {
		return nil, refused
	}
	if !m.undoSoftDelete() {
		return nil, errBadRequest("The message is not deleted.")
	}
	return noContent(), nil
}

func (x *exchange) deletable() (*Message, *apiError) {
	m, refused := x.findMessage()
	if refused != nil {
		return nil, refused
	}
	u, refused := x.writer(m.ch)
	if refused != nil {
		return nil, refused
	}
	if m.event != nil || m.author != u && !m.ch.mayModerate(u.ID) && !m.ch.team.owns(u.ID) {
		return nil, errForbidden("Only the sender of a message or an owner can delete it.")
	}
	return m, nil
}

func (team *Team) owns(userID string) bool {
	m := team.member(userID)
	return m != nil && m.owner
}

// setReaction adds the caller's reaction. Setting it twice changes nothing.
func setReaction(x *exchange) (*response, *apiError) {
	m, u, kind, refused := x.reaction()
	if refused != nil {
		return nil, refused
	}
	m.react(u, reaction{kind: kind, name: reactionName(kind)})
	return noContent(), nil
}

// unsetReaction removes the caller's reaction. Removing what is not there is
// refused, which is not documented.
func unsetReaction(x *exchange) (*response, *apiError) {
	m, u, kind, refused := x.reaction()
	if refused != nil {
		return nil, refused
	}
	if !m.unreact(u, kind, reactionName(kind)) {
		return nil, errNotFound("NotFound: the reaction does not exist.")
	}
	return noContent(), nil
}

func (x *exchange) reaction() (*Message, *User, string, *apiError) {
	m, refused := x.findMessage()
	if refused != nil {
		return nil, nil, "", refused
	}
	u, refused := x.writer(m.ch)
	if refused != nil {
		return nil, nil, "", refused
	}
	if !m.latest().deleted.IsZero() {
		return nil, nil, "", errNotFound("NotFound: message " + m.ID + " was deleted")
	}
	var in struct {
		ReactionType string `json:"reactionType"`
	}
	if err := json.Unmarshal(x.body, &in); err != nil || !isReaction(in.ReactionType) {
		return nil, nil, "", errBadRequest("Invalid reaction type specified.")
	}
	return m, u, in.ReactionType, nil
}

// isReaction accepts one emoji, or one of the words that came before them.
// Custom emoji can not be set this way.
func isReaction(kind string) bool {
	if slices.Contains(legacyReactions(), kind) {
		return true
	}
	pictures := 0
	for _, r := range kind {
		switch {
		case r >= 0x80:
			pictures++
		case r == '#' || r == '*' || r >= '0' && r <= '9': // keycaps
		default:
			return false
		}
	}
	return pictures > 0 && pictures <= 16
}

func legacyReactions() []string {
	return []string{"like", "angry", "sad", "laugh", "heart", "surprised"}
}

// reactionName is the name that Teams shows for some reactions.
func reactionName(kind string) string {
	switch kind {
	case "like", "👍":
		return "Like"
	case "heart", "❤️":
		return "Heart"
	case "laugh", "😆":
		return "Laugh"
	case "surprised", "😮":
		return "Surprised"
	case "sad", "🙁":
		return "Sad"
	case "angry", "😡":
		return "Angry"
	case "💯":
		return "Hundred points"
	case "🎉":
		return "Party popper"
	case "👀":
		return "Eyes"
	default:
		return ""
	}
}

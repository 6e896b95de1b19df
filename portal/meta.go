package portal

import (
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/id"

	"teamsbridge/portal/msgconv"
)

// MetaTypes tells bridgev2 how our metadata is decoded.
func MetaTypes() database.MetaTypes {
	return database.MetaTypes{
		Portal:    func() any { return &PortalMetadata{} },
		Ghost:     func() any { return &GhostMetadata{} },
		Message:   func() any { return &MessageMetadata{} },
		Reaction:  func() any { return &ReactionMetadata{} },
		UserLogin: func() any { return &UserLoginMetadata{} },
	}
}

// PortalMetadata is what a portal row says beyond bridgev2's columns.
type PortalMetadata struct {
	// Detached says why the conversation is not mirrored any more while its
	// room stays; empty means that it is mirrored.
	Detached string `json:"detached,omitempty"`
	// Membership is the channel's membership type.
	Membership string `json:"membership,omitempty"`
	WebURL     string `json:"web_url,omitempty"`
	// Levels are the power levels that the configuration gave to accounts, and
	// InviteLevel the one that it asks for to invite, so that they can be taken back.
	Levels      map[id.UserID]int `json:"levels,omitempty"`
	InviteLevel int               `json:"invite_level,omitempty"`
}

// GhostMetadata is what a ghost row says beyond bridgev2's columns.
type GhostMetadata struct {
	UPN string `json:"upn,omitempty"`
}

// UserLoginMetadata is what a login row says beyond bridgev2's columns. Tokens
// are not in it: they are in the accounts store, encrypted.
type UserLoginMetadata struct {
	// Mirror marks a login that the directory made for a mapped person.
	Mirror bool   `json:"mirror,omitempty"`
	UPN    string `json:"upn,omitempty"`
}

// CopyFrom implements database.MetaMerger: a new sign-in of the same person
// keeps what the directory said.
func (m *UserLoginMetadata) CopyFrom(other any) {
	o, ok := other.(*UserLoginMetadata)
	if !ok || o == nil {
		return
	}
	m.Mirror = m.Mirror || o.Mirror
	if o.UPN != "" {
		m.UPN = o.UPN
	}
}

// MessageMetadata is what a message row (one per part) says beyond bridgev2's
// columns.
type MessageMetadata struct {
	// ETag is the version of the message that the part shows.
	ETag int64 `json:"etag,omitempty"`
	// EditedMS is when the text was edited last, in Unix milliseconds.
	EditedMS int64 `json:"edited,omitempty"`
	// ListedMS is, while Unseen is set, when what ContentHash covers was edited, by
	// Teams' clock.
	ListedMS int64 `json:"listed,omitempty"`
	// ContentHash covers everything of the Teams message that can show in
	// Matrix, reactions excepted: while it stays, nothing is converted again.
	ContentHash string `json:"hash,omitempty"`
	// Lacks is set while a part of the message shows why there is no picture or file,
	// and that may change: Graph did not show it yet.
	Lacks bool `json:"lacks,omitempty"`
	// PartHash covers what this part shows.
	PartHash string `json:"part_hash,omitempty"`
	// Source is the address of the picture, file or snippet that this part shows.
	Source string `json:"source,omitempty"`
	// Media is the image that this part shows, so that it need not be fetched
	// again when the text around it changes.
	Media *MediaMetadata `json:"media,omitempty"`
	// System marks a notice about the conversation itself.
	System bool `json:"system,omitempty"`
	// Deleted marks a message that was deleted on either side. Its row stays,
	// because its thread goes on under its event.
	Deleted bool `json:"deleted,omitempty"`
	// DeletedMS is when Teams took a deletion made in Matrix, by our clock; 0
	// again once Teams has shown it.
	DeletedMS int64 `json:"deleted_at,omitempty"`
	// DeletedIn is the version in which Teams showed the deletion, 0 while it has not.
	DeletedIn int64 `json:"deleted_in,omitempty"`
	// Placeholder marks a notice that stands for a root which was deleted
	// before the bridge saw it.
	Placeholder bool `json:"placeholder,omitempty"`
	// Gone marks a message whose event a comparison did not find in the room any
	// more: the next delivery sends a new one in its place.
	Gone bool `json:"gone,omitempty"`
	// Outbound marks a message that was written in Matrix.
	Outbound bool `json:"outbound,omitempty"`
	// Deleting marks a message that was redacted in Matrix and that Teams is
	// yet to be told about.
	Deleting bool `json:"deleting,omitempty"`
	// TakenOut marks a first part that was redacted in Matrix and taken out of its
	// message in Teams: the row stays, because the thread goes on under its event.
	TakenOut bool `json:"taken_out,omitempty"`
	// Added names what of an outbound message's post was added to it in Teams and
	// is told: hashes of addresses.
	Added []string `json:"added,omitempty"`
	// Edit is the newest edit made in Matrix that Teams has.
	Edit string `json:"edit,omitempty"`
	// Pictured says which pictures of an outbound message's post came with it.
	Pictured []Pictured `json:"pictured,omitempty"`
	// Relayed marks an outbound message that somebody else's account posted.
	Relayed bool `json:"relayed,omitempty"`
	// Prints are the fingerprints of what an outbound message says in Teams
	// now, one per part, and Before those of earlier texts of it: an echo of
	// either is no edit made in Teams.
	Prints []string `json:"prints,omitempty"`
	Before []string `json:"before,omitempty"`
	// Given says what Teams was given for each of the Prints
	// (msgconv.ContentHash). Both are empty for what somebody wrote there.
	Given []string `json:"given,omitempty"`
	// Unseen is set from an edit made in Matrix that Teams took until Teams lists
	// the message with it.
	Unseen bool `json:"unseen,omitempty"`
}

// MediaMetadata names an image that was copied to the homeserver.
type MediaMetadata struct {
	Source string        `json:"source"`
	Media  msgconv.Media `json:"media"`
}

// CopyFrom implements database.MetaMerger. An edit replaces everything.
func (m *MessageMetadata) CopyFrom(other any) {
	if o, ok := other.(*MessageMetadata); ok && o != nil {
		*m = *o
	}
}

// ReactionMetadata is what a reaction row says beyond bridgev2's columns.
type ReactionMetadata struct {
	// OutboxEvent is the Matrix reaction that is being, or was, brought to
	// Teams; empty for one that came from there.
	OutboxEvent string `json:"outbox_event,omitempty"`
	// Relayed marks a reaction that an account of the relay pool made: what
	// Teams lists says nothing about it.
	Relayed bool `json:"relayed,omitempty"`
	// Queued is set until Teams has the reaction.
	Queued bool `json:"queued,omitempty"`
	// Removing is set from the redaction until Teams has it.
	Removing bool `json:"removing,omitempty"`
	// AckMS is when Teams took the reaction, in Unix milliseconds.
	AckMS int64 `json:"ack,omitempty"`
	// ListedVersion is the version of the message in which Teams was first seen to
	// list the reaction, 0 while it was not.
	ListedVersion int64 `json:"listed,omitempty"`
}

// CopyFrom implements database.MetaMerger.
func (m *ReactionMetadata) CopyFrom(other any) {
	if o, ok := other.(*ReactionMetadata); ok && o != nil {
		*m = *o
	}
}

// metaOf returns a message row's metadata, never nil, and attached to the row.
func metaOf(m *database.Message) *MessageMetadata {
	meta, ok := m.Metadata.(*MessageMetadata)
	if !ok || meta == nil {
		meta = &MessageMetadata{}
		m.Metadata = meta
	}
	return meta
}

// reactionMetaOf does the same for a reaction row.
func reactionMetaOf(r *database.Reaction) *ReactionMetadata {
	meta, ok := r.Metadata.(*ReactionMetadata)
	if !ok || meta == nil {
		meta = &ReactionMetadata{}
		r.Metadata = meta
	}
	return meta
}

package portal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	brdb "maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// target is a message in Teams that a row acts on.
type target struct {
	// ref is its first part, account who posted it.
	ref     teams.MessageRef
	account string
	// parts are those that we posted, none for a message that was written in Teams.
	parts []database.SentPart
	// out is its outbox row, and stored its message row, where there are any.
	out    *database.OutboxRow
	stored *brdb.Message
	// digest is the message's entry where it is in Teams in a digest; the rest
	// says nothing then.
	digest *database.DigestEntry
	// rows are the message rows of all its parts, where it was written in Teams.
	rows []*brdb.Message
}

// target finds what a row acts on, at the time it is sent: what was queued when
// the row was made is in Teams by now.
func (s *Sender) target(ctx context.Context, row *database.OutboxRow, eventID string) (t target, err error) {
	ch, ok := ParsePortal(networkid.PortalID(row.Portal))
	if !ok {
		return t, &failure{reason: "not a channel", message: failNoChannel}
	}
	if t.parts, err = s.o.DB.Sent.ByEvent(ctx, eventID); err != nil {
		return t, err
	}
	if t.out, err = s.o.DB.Outbox.ByEvent(ctx, eventID); err != nil {
		return t, err
	}
	if t.stored, err = s.o.Bridge.DB.Message.GetPartByMXID(ctx, id.EventID(eventID)); err != nil {
		return t, fmt.Errorf("get message row of target: %w", err)
	}
	if t.out != nil && isLost(t.out) {
		// Nobody else finds out any more what became of its parts.
		settled, err := s.settleAll(ctx, slices.Clone(t.parts))
		if err != nil {
			t.out = nil // what it says does not matter yet
			return t, err
		}
		t.parts = settled
	}
	switch {
	case len(t.parts) > 0 && t.parts[0].State != database.StateSending && t.parts[0].Part == 0:
		first := t.parts[0]
		t.ref = partRef(first)
		t.account = first.AccountID
		return t, nil
	case t.out != nil && isLost(t.out):
		return t, &failure{reason: "target not in Teams", message: errNeverSent.Error()}
	case t.out != nil && t.out.Digest != "" && t.out.State != database.StateQueued && t.out.State != database.StateSending:
		if t.digest, err = s.o.DB.Digests.ByEvent(ctx, eventID); err != nil || t.digest != nil {
			return t, err
		}
		return t, &failure{reason: "target not in Teams", message: errNeverSent.Error()}
	case t.out != nil && t.out.DoneAt.IsZero():
		return t, errBehind
	case t.stored == nil:
		return t, &failure{reason: "target unknown", message: failTargetUnknown}
	}
	_, messageID, ok := ParseMessageID(t.stored.ID)
	if !ok {
		return t, &failure{reason: "target not in Teams", message: errNeverSent.Error()}
	}
	t.ref = teams.MessageRef{ChannelRef: ch, ID: messageID}
	t.account = string(t.stored.SenderID)
	if t.stored.ThreadRoot != "" && t.stored.ThreadRoot != t.stored.ID {
		if t.ref.RootID, err = s.remoteID(ctx, t.stored.ThreadRoot); err != nil {
			return t, err
		}
	}
	return t, nil
}

// remoteID returns the Teams id behind a message row's id, provisional or not;
// empty where Teams does not have it.
func (s *Sender) remoteID(ctx context.Context, msgID networkid.MessageID) (string, error) {
	if _, remote, ok := ParseMessageID(msgID); ok {
		return remote, nil
	}
	event, ok := provisionalEvent(msgID)
	if !ok {
		return "", nil
	}
	parts, err := s.o.DB.Sent.ByEvent(ctx, event)
	if err != nil || len(parts) == 0 || parts[0].Part != 0 {
		return "", err
	}
	return parts[0].RemoteID, nil
}

func partRef(p database.SentPart) teams.MessageRef {
	return teams.MessageRef{
		ChannelRef: teams.ChannelRef{TeamID: p.TeamID, ChannelID: p.ChannelID}, RootID: p.RootID, ID: p.RemoteID,
	}
}

// root is the thread that a message goes into.
type root struct {
	// id is the post to reply to, empty for a post of its own.
	id string
	// answers is a root that Teams does not have, or has in a digest; quote stands for it.
	answers *database.OutboxRow
	quote   *msgconv.Quote
}

// rootOf finds the thread of a message at the time it is sent. Its root was in
// front of it in the same lane; where that never got to Teams, the reply goes
// as a post of its own rather than be lost, and the thread goes on under it.
func (s *Sender) rootOf(ctx context.Context, row *database.OutboxRow) (root, error) {
	r, err := s.placeOf(ctx, row)
	if err == nil && r.answers != nil {
		r.quote = s.quoteOf(ctx, r.answers)
	}
	return r, err
}

// placeOf is rootOf without asking the homeserver what the quote says.
func (s *Sender) placeOf(ctx context.Context, row *database.OutboxRow) (root, error) {
	if row.RootEventID == "" {
		return root{}, nil
	}
	parts, err := s.o.DB.Sent.ByEvent(ctx, row.RootEventID)
	if err != nil {
		return root{}, err
	}
	if len(parts) > 0 && parts[0].Part == 0 && parts[0].RemoteID != "" {
		if parts[0].RootID != "" {
			return root{id: parts[0].RootID}, nil
		}
		return root{id: parts[0].RemoteID}, nil
	}
	stored, err := s.o.Bridge.DB.Message.GetPartByMXID(ctx, id.EventID(row.RootEventID))
	if err != nil {
		return root{}, fmt.Errorf("get message row of root: %w", err)
	}
	thread := ProvisionalID(id.EventID(row.RootEventID))
	if stored == nil {
		// What the root is was known when the reply was queued, though there was
		// no row for it yet.
		own, err := s.o.Bridge.DB.Message.GetPartByMXID(ctx, id.EventID(row.EventID))
		if err != nil {
			return root{}, fmt.Errorf("get message row of reply: %w", err)
		} else if own != nil {
			if _, remote, ok := ParseMessageID(own.ThreadRoot); ok {
				return root{id: remote}, nil
			}
		}
	} else {
		thread = stored.ID
		if stored.ThreadRoot != "" {
			thread = stored.ThreadRoot
		}
		if remote, err := s.remoteID(ctx, thread); err != nil || remote != "" {
			return root{id: remote}, err
		}
	}
	return s.lostRoot(ctx, row, thread)
}

// lostRoot finds the thread of a reply to a message that never got to Teams.
func (s *Sender) lostRoot(ctx context.Context, row *database.OutboxRow, thread networkid.MessageID) (root, error) {
	out, err := s.o.DB.Outbox.ByEvent(ctx, row.RootEventID)
	if err != nil {
		return root{}, err
	} else if out != nil && !isLost(out) && out.Digest != "" && out.State != database.StateQueued && out.State != database.StateSending {
		return s.digestRoot(ctx, out)
	} else if out != nil && !isLost(out) && out.DoneAt.IsZero() && out.ID < row.ID {
		return root{}, errBehind
	}
	first, err := s.firstDelivered(ctx, row.Portal, thread)
	if err != nil || first != "" {
		return root{id: first}, err
	}
	r := root{}
	if out != nil && (out.State == database.StateFailed || out.State == database.StateParked) {
		// What was deleted is not quoted.
		r.answers = out
	}
	return r, nil
}

// digestRoot is the thread of a reply to a message that is in Teams in a digest:
// the digest's, where the reply says what it answers.
func (s *Sender) digestRoot(ctx context.Context, answered *database.OutboxRow) (root, error) {
	r := root{answers: answered}
	parts, err := s.o.DB.Sent.ByEvent(ctx, answered.Digest)
	if err == nil && len(parts) > 0 && parts[0].Part == 0 {
		r.id = parts[0].RemoteID
	}
	return r, err
}

// firstDelivered returns the oldest message of a thread that Teams has, empty
// where there is none.
func (s *Sender) firstDelivered(ctx context.Context, portal string, thread networkid.MessageID) (string, error) {
	var msgID networkid.MessageID
	err := s.o.Bridge.DB.QueryRow(ctx, `SELECT id FROM message
		WHERE bridge_id=$1 AND room_id=$2 AND room_receiver='' AND thread_root_id=$3 AND id NOT LIKE '~q:%'
		ORDER BY timestamp, id LIMIT 1`, s.o.Bridge.ID, portal, thread).Scan(&msgID)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	} else if err != nil {
		return "", fmt.Errorf("get first delivered reply: %w", err)
	}
	_, remote, _ := ParseMessageID(msgID)
	return remote, nil
}

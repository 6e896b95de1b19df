package portal

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// A database that was restored from a backup knows less than both sides. What it
// does not know, the rooms tell: what came from Teams bears its source, and what
// Teams has of people's events stands in their statuses. Where a status is missing,
// the message is looked for in Teams before it is sent, and what may be it waits.

// fact is what a status says of an event that Teams has.
type fact struct {
	// Of is the event that the parts are of, the event itself where empty.
	Of    string     `json:"of,omitempty"`
	Parts []factPart `json:"parts,omitempty"`
	// Account is who has reacted.
	Account string `json:"account,omitempty"`
}

// factPart is a post. Its text is not in it, nor a hash: the room may be encrypted.
type factPart struct {
	Part    int    `json:"part"`
	ID      string `json:"id"`
	Root    string `json:"root,omitempty"`
	Account string `json:"account"`
	At      int64  `json:"at"`
}

// factOf returns what the status of a delivered row says. An edit may have added
// posts; what is in a digest is in a post of that.
func factOf(ctx context.Context, db *database.Database, row *database.OutboxRow) (json.RawMessage, error) {
	var f fact
	of := row.EventID
	switch row.Kind {
	case database.KindReaction:
		made, err := db.SentReactions.ByEvent(ctx, row.EventID)
		if err != nil {
			return nil, err
		} else if made != nil {
			f.Account = made.AccountID
		}
		return json.Marshal(f)
	case database.KindEdit:
		of, f.Of = row.TargetEventID, row.TargetEventID
	case database.KindMessage:
		if row.Digest != "" {
			of, f.Of = row.Digest, row.Digest
		}
	default:
		return json.Marshal(f)
	}
	parts, err := db.Sent.ByEvent(ctx, of)
	if err != nil {
		return nil, err
	}
	if row.Digest != "" {
		entry, err := db.Digests.ByEvent(ctx, row.EventID)
		if err != nil {
			return nil, err
		}
		parts = slices.DeleteFunc(parts, func(p database.SentPart) bool { return p.Part != 0 && (entry == nil || p.Part != entry.Part) })
	}
	for _, p := range parts {
		if p.RemoteID != "" {
			f.Parts = append(f.Parts, factPart{Part: p.Part, ID: p.RemoteID, Root: p.RootID, Account: p.AccountID, At: p.StartedAt.UnixMilli()})
		}
	}
	return json.Marshal(f)
}

// Shown is what a room shows of an event that Teams has.
type Shown struct {
	RoomID  id.RoomID
	EventID id.EventID
	Sender  id.UserID
	At      time.Time
	// What is what its status was given by WithDelivered; it may be empty.
	What json.RawMessage
	// Redaction is the event that redacted it meanwhile, By who did; empty where
	// nobody has, or Teams has that, too.
	Redaction id.EventID
	By        id.UserID
}

// Restorer keeps what rooms tell a database that was restored. Nothing may be sent
// to either side until all of it was told.
type Restorer struct{ o Common }

// NewRestorer makes a Restorer.
func NewRestorer(o Common) *Restorer {
	o.setDefaults()
	return &Restorer{o: o}
}

// Delivered notes that Teams has an event.
func (r *Restorer) Delivered(ctx context.Context, s Shown) error {
	portal, ch, err := r.channel(ctx, s.RoomID)
	if err != nil || portal == "" {
		return err
	}
	known, err := r.o.DB.Outbox.ByEvent(ctx, s.EventID.String())
	if err != nil || known != nil && !known.DoneAt.IsZero() {
		return err
	}
	var f fact
	state := database.RestoredDelivered
	if json.Unmarshal(s.What, &f) != nil { // by a version that did not say
		state = database.RestoredDoubt
	}
	return r.o.DB.DoTxn(ctx, nil, func(ctx context.Context) error {
		of := f.Of
		if of == "" {
			of = s.EventID.String()
		}
		for _, p := range f.Parts {
			if err := r.o.DB.Sent.Known(ctx, database.SentPart{
				EventID: of, Part: p.Part, Portal: portal, TeamID: ch.TeamID, ChannelID: ch.ChannelID,
				RootID: p.Root, RemoteID: p.ID, AccountID: p.Account, StartedAt: time.UnixMilli(p.At),
			}); err != nil {
				return err
			}
		}
		if s.Redaction != "" && s.By == s.Sender && known == nil && f.Of == "" && len(f.Parts) > 0 {
			if err := r.takeBack(ctx, portal, s); err != nil {
				return err
			}
		}
		return r.o.DB.Restores.Note(ctx, database.Restored{EventID: s.EventID.String(), Portal: portal, State: state, AccountID: f.Account})
	})
}

// takeBack has a message deleted in Teams that its author has taken back in Matrix,
// and of which nothing is left there: it can't be handed to anybody any more.
func (r *Restorer) takeBack(ctx context.Context, portal string, s Shown) error {
	userID, name, _ := r.o.Directory.Person(s.By)
	_, err := r.o.DB.Outbox.Enqueue(ctx, &database.OutboxRow{
		EventID: s.Redaction.String(), Portal: portal, RoomID: s.RoomID.String(), Kind: database.KindDelete, TargetEventID: s.EventID.String(),
		SenderMXID: s.By.String(), SenderUserID: userID, SenderName: name, EventAt: s.At,
	})
	return err
}

// Doubt notes that Teams may have a message.
func (r *Restorer) Doubt(ctx context.Context, roomID id.RoomID, eventID id.EventID) error {
	portal, _, err := r.channel(ctx, roomID)
	if err != nil || portal == "" {
		return err
	}
	known, err := r.o.DB.Outbox.ByEvent(ctx, eventID.String())
	if err != nil || known != nil && !known.DoneAt.IsZero() {
		return err
	}
	return r.o.DB.Restores.Note(ctx, database.Restored{EventID: eventID.String(), Portal: portal, State: database.RestoredDoubt})
}

func (r *Restorer) channel(ctx context.Context, roomID id.RoomID) (string, teams.ChannelRef, error) {
	p, err := r.o.Bridge.GetPortalByMXID(ctx, roomID)
	if err != nil {
		return "", teams.ChannelRef{}, fmt.Errorf("get portal: %w", err)
	} else if p == nil {
		return "", teams.ChannelRef{}, nil
	}
	ch, ok := ParsePortal(p.ID)
	if !ok || ch.ChannelID == "" {
		return "", teams.ChannelRef{}, nil
	}
	return string(p.ID), ch, nil
}

// wasRestored is read once from the database, when nothing was sent yet.
type wasRestored struct{ is atomic.Bool }

// load is repeated until it succeeds; ctx ends it.
func (w *wasRestored) load(ctx context.Context, db *database.Database, retry time.Duration) {
	for {
		is, err := db.Restores.Any(ctx)
		if err == nil {
			w.is.Store(is)
			return
		}
		zerolog.Ctx(ctx).Err(err).Msg("Could not see whether the database was restored")
		timer := time.NewTimer(retry)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// restoredRow returns what is known of a row's event where the database was
// restored, nil where that is nothing.
func (s *Sender) restoredRow(ctx context.Context, row *database.OutboxRow) (*database.Restored, error) {
	if !s.restored.is.Load() {
		return nil, nil
	}
	return s.o.DB.Restores.Of(ctx, row.EventID)
}

// isDelivered reports whether Teams has a row's event, as the room says.
func isDelivered(r *database.Restored) bool {
	return r != nil && r.State == database.RestoredDelivered
}

// restoredEditPatience is how long a listing waits for an edit that the bridge before
// has made, or may have made: it is told as made in Teams otherwise.
const restoredEditPatience = 10 * time.Minute

// awaitsRestored reports whether an edit has yet to be noted that a restored database
// does not know.
func (in *Ingest) awaitsRestored(ctx context.Context, row *database.OutboxRow) (bool, error) {
	if !in.restored.is.Load() || in.o.Now().Sub(in.began) > restoredEditPatience {
		return false, nil
	}
	known, err := in.o.DB.Restores.Of(ctx, row.EventID)
	return known != nil, err
}

// keepUnlessThere is keep, but for what Teams has, or may have.
func (s *Sender) keepUnlessThere(ctx context.Context, row *database.OutboxRow) (bool, error) {
	if known, err := s.restoredRow(ctx, row); err != nil || known != nil {
		return false, err
	}
	return s.keep(ctx, row)
}

// takeDelivered ends a row of which Teams has everything; edits have to find out
// first what they gave to it.
func (s *Sender) takeDelivered(ctx context.Context, row *database.OutboxRow, known *database.Restored) error {
	s.o.Metrics.Count(MetricDoubt, "restored")
	switch row.Kind {
	case database.KindMessage:
		parts, err := s.o.DB.Sent.ByEvent(ctx, row.EventID)
		if err != nil {
			return err
		}
		s.describe(ctx, row, parts)
		if err = s.markSent(ctx, row); err != nil {
			return err
		}
		s.ackOrLeave(ctx, row)
		return nil
	case database.KindDelete:
		parts, err := s.o.DB.Sent.ByEvent(ctx, row.TargetEventID)
		if err != nil {
			return err
		}
		for _, p := range parts {
			if err = s.o.DB.Sent.SetDeleted(ctx, p.EventID, p.Part, true); err != nil {
				return err
			}
		}
		return s.acked(ctx, row, func(ctx context.Context) error { return s.ackRemove(ctx, row) })
	case database.KindReaction:
		return s.takeReaction(ctx, row, known.AccountID)
	case database.KindUnreact:
		r, err := s.o.DB.SentReactions.ByEvent(ctx, row.TargetEventID)
		if err != nil {
			return err
		} else if r == nil {
			r = &database.SentReaction{EventID: row.TargetEventID, Portal: row.Portal, Emoji: string(row.Payload), AccountID: row.SenderUserID}
		}
		return s.acked(ctx, row, func(ctx context.Context) error { return s.ackUnreact(ctx, row, *r) })
	}
	return nil
}

// isGoneBefore reports, with a restored database, whether a message is deleted in
// Teams already: the redaction may be what the bridge before made of that, in the
// name of its author.
func (s *Sender) isGoneBefore(ctx context.Context, ref teams.MessageRef) (bool, error) {
	if !s.restored.is.Load() {
		return false, nil
	}
	m, err := s.o.Reader.Message(ctx, ref)
	if isMissing(err) {
		return false, nil // deleting it says more
	} else if err != nil {
		return false, fmt.Errorf("see whether a message is deleted: %w", err)
	}
	return !m.Deleted.IsZero(), nil
}

// isUnreactedBefore reports the same of a reaction that nobody has in Teams.
func (s *Sender) isUnreactedBefore(ctx context.Context, ref teams.MessageRef, r database.SentReaction) (bool, error) {
	if !s.restored.is.Load() {
		return false, nil
	}
	m, err := s.o.Reader.Message(ctx, ref)
	if isMissing(err) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("see whether a reaction is there: %w", err)
	}
	return !slices.ContainsFunc(m.Reactions, func(there teams.Reaction) bool {
		return there.User.ID == r.AccountID && emojiID(msgconv.EmojiFromTeams(there)) == emojiID(r.Emoji)
	}), nil
}

// takeReaction notes a reaction that Teams has.
func (s *Sender) takeReaction(ctx context.Context, row *database.OutboxRow, account string) error {
	t, err := s.target(ctx, row, row.TargetEventID)
	if err != nil {
		return s.dropIfCancelled(ctx, row, t, err)
	}
	r := database.SentReaction{
		EventID: row.EventID, Portal: row.Portal, TargetID: t.ref.ID, Emoji: string(row.Payload), AccountID: account, SenderMXID: row.SenderMXID, SentAt: s.o.Now(),
	}
	return s.acked(ctx, row, func(ctx context.Context) error {
		if err := s.o.DB.SentReactions.Add(ctx, r); err != nil {
			return err
		}
		return s.ackReact(ctx, row, account != row.SenderUserID, r)
	})
}

// describe notes what known parts were given, as far as that can be told: an edit
// that comes back from Teams is measured against it.
func (s *Sender) describe(ctx context.Context, row *database.OutboxRow, parts []database.SentPart) {
	if len(parts) == 0 || hasFile(row) {
		return
	}
	r, err := s.rootOf(ctx, row)
	if err != nil {
		zerolog.Ctx(ctx).Debug().Err(err).Msg("Could not tell what a message in Teams was given")
		return
	}
	drafts, err := s.drafts(ctx, row, s.wordingOf(row, parts, false, r.quote))
	if err != nil || len(drafts) != len(parts) {
		zerolog.Ctx(ctx).Debug().Err(err).Msg("Could not tell what a message in Teams was given")
		return
	}
	for i, p := range parts {
		p.Fingerprint, p.ContentHash = fingerprint(drafts[i].HTML), contentOf(drafts[i])
		if err = s.o.DB.Sent.Describe(ctx, p); err != nil {
			zerolog.Ctx(ctx).Err(err).Msg("Could not note what a message in Teams was given")
		}
	}
}

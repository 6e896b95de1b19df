package portal

import (
	"context"
	"fmt"
	"slices"

	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
)

// changeDigest brings an edit, a deletion or a reaction to a message that is in
// Teams as a part of a digest: the post is written anew. All of it may be
// repeated; what the entry says is stored when Teams has it.
func (s *Sender) changeDigest(ctx context.Context, row *database.OutboxRow, t target) error {
	if t.digest.Unreadable != nil && row.Kind != database.KindDelete {
		return unreadableDigest(t.digest.Unreadable)
	}
	before := *t.digest
	after, err := s.changedEntry(row, t)
	if err != nil {
		return err
	}
	write := after != before
	if !write {
		// A text that nobody knows the outcome of was given up since.
		if write, err = s.maybeOther(ctx, before.DigestID, before.Part); err != nil {
			return err
		}
	}
	if write {
		if err = s.rewriteDigest(ctx, row, &after); err != nil {
			return err
		}
	}
	return s.acked(ctx, row, func(ctx context.Context) error {
		if err := s.o.DB.Digests.Change(ctx, after); err != nil {
			return err
		}
		switch row.Kind {
		case database.KindEdit:
			return s.ackEdit(ctx, row, t, nil)
		case database.KindDelete:
			return s.ackRemove(ctx, row)
		case database.KindReaction:
			return s.ackReact(ctx, row, true, database.SentReaction{})
		default:
			return s.ackUnreact(ctx, row, database.SentReaction{})
		}
	})
}

// changedEntry returns what an entry says after a row.
func (s *Sender) changedEntry(row *database.OutboxRow, t target) (database.DigestEntry, error) {
	e := *t.digest
	switch row.Kind {
	case database.KindDelete:
		e.HTML, e.Deleted, e.Reactions, e.Unreadable = "", true, "", nil
	case database.KindEdit:
		drafts, err := s.digestDrafts(t.out, row)
		if err != nil {
			return e, &failure{reason: "not convertible", message: failNotConvertible, err: err}
		}
		e.HTML = drafts[0]
		if len(drafts) > 1 {
			e.HTML = msgconv.DigestTooLong(s.o.Texts, s.o.Link(id.RoomID(row.RoomID), id.EventID(e.EventID)))
		}
	case database.KindReaction:
		reaction, ok := digestReaction(row)
		if !ok {
			return e, &failure{reason: "not an emoji", message: errBadReaction.Error()}
		}
		list := decodeReactions(e.Reactions)
		if !slices.ContainsFunc(list, func(r msgconv.DigestReaction) bool { return r.EventID == reaction.EventID }) {
			e.Reactions = encodeReactions(append(list, reaction))
		}
	case database.KindUnreact:
		e.Reactions = encodeReactions(slices.DeleteFunc(decodeReactions(e.Reactions), func(r msgconv.DigestReaction) bool {
			return r.EventID == row.TargetEventID
		}))
	}
	return e, nil
}

// freshen brings entries of a post that was not begun up to date with the edits
// and deletions that came after the digest was put together: Teams never sees
// what was taken back. Their own rows then find nothing to do.
func (s *Sender) freshen(ctx context.Context, entries []database.DigestEntry) error {
	for i := range entries {
		waiting, err := s.o.DB.Outbox.ByTarget(ctx, entries[i].EventID)
		if err != nil {
			return err
		}
		before := entries[i]
		for _, row := range waiting {
			if row.Kind != database.KindEdit && row.Kind != database.KindDelete {
				continue
			}
			out, err := s.o.DB.Outbox.ByEvent(ctx, row.TargetEventID)
			if err != nil {
				return err
			} else if out == nil || entries[i].Deleted {
				continue
			}
			changed, err := s.changedEntry(row, target{out: out, digest: &entries[i]})
			if err != nil {
				continue // its own row tells
			}
			entries[i] = changed
		}
		if entries[i] == before {
			continue
		}
		if err = s.o.DB.Digests.Change(ctx, entries[i]); err != nil {
			return err
		}
	}
	return nil
}

// rewriteDigest edits the post that an entry is in.
func (s *Sender) rewriteDigest(ctx context.Context, row *database.OutboxRow, changed *database.DigestEntry) error {
	parts, err := s.o.DB.Sent.ByEvent(ctx, changed.DigestID)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(parts, func(p database.SentPart) bool { return p.Part == changed.Part })
	if at < 0 || parts[at].State == database.StateSending {
		return errBehind
	}
	part := parts[at]
	entries, err := s.o.DB.Digests.Entries(ctx, changed.DigestID, changed.Part)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(entries, func(e database.DigestEntry) bool { return e.EventID == changed.EventID })
	if i < 0 {
		return fmt.Errorf("entry %s is not in its digest", changed.EventID)
	}
	if why := unreadableEntry(entries, changed.EventID); why != nil {
		return unreadableDigest(why)
	}
	entries[i] = *changed
	html := renderDigest(s.o.Texts, entries)
	if len(html) > msgconv.MaxDraftSize {
		if row.Kind == database.KindReaction {
			return &failure{reason: problemTooLarge, message: failTooLarge} // rather than the message's words
		}
		changed.HTML, changed.Reactions = msgconv.DigestTooLong(s.o.Texts, s.o.Link(id.RoomID(row.RoomID), id.EventID(changed.EventID))), ""
		entries[i] = *changed
		html = renderDigest(s.o.Texts, entries)
	}
	return s.writeDigest(ctx, row, part, html)
}

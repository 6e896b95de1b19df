package portal

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"maunium.net/go/mautrix/event"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
	"teamsbridge/teams"
)

// hasFile reports whether a row brings a file, which would have to be uploaded to
// know what its post says.
func hasFile(row *database.OutboxRow) bool {
	var content event.MessageEventContent
	return json.Unmarshal(row.Payload, &content) == nil && msgconv.HasFile(&content)
}

// findRestored looks in Teams for a message that the bridge before may have posted,
// and notes those of its parts that are there. A message with a file is not looked
// for: what its post says is known only when the file is there again.
func (s *Sender) findRestored(ctx context.Context, row *database.OutboxRow, ch teams.ChannelRef, r root) error {
	if !hasFile(row) {
		wordings, err := s.wordings(ctx, row, r)
		if err != nil {
			return err
		}
		for i, rootID := 0, r.id; i < len(wordings[0]); i++ {
			found, err := s.findPart(ctx, row, ch, rootID, i, wordings)
			if err != nil {
				return err
			} else if found == nil {
				break
			}
			if rootID == "" {
				rootID = found.RemoteID
			}
		}
	}
	if err := s.o.DB.Restores.Judged(ctx, row.EventID); err != nil {
		return err
	}
	s.o.Echoed(row.Portal)
	return nil
}

// wordings returns what a message may have been posted as: by its author or by a
// relay account, at once or late.
func (s *Sender) wordings(ctx context.Context, row *database.OutboxRow, r root) (all [][]teams.Draft, err error) {
	for _, relayed := range []bool{false, true} {
		for _, late := range []bool{false, true} {
			w := s.wordingOf(row, nil, relayed, r.quote)
			w.late = late
			drafts, err := s.drafts(ctx, row, w)
			if err != nil {
				return nil, err
			}
			all = append(all, drafts)
		}
	}
	return all, nil
}

// findPart looks for one part in what was written since the message was said.
func (s *Sender) findPart(ctx context.Context, row *database.OutboxRow, ch teams.ChannelRef, rootID string, i int, wordings [][]teams.Draft) (*database.SentPart, error) {
	part := database.SentPart{
		EventID: row.EventID, Part: i, Portal: row.Portal, TeamID: ch.TeamID, ChannelID: ch.ChannelID, RootID: rootID,
		StartedAt: row.EventAt, State: database.StateSending,
	}
	list := s.conversation(part)
	for range maxLookPages {
		page, err := list.read(ctx, list.link)
		if isMissing(err) {
			return nil, nil // its root is gone, and it with that
		} else if err != nil {
			return nil, fmt.Errorf("look for a message of before the restore: %w", err)
		}
		for _, m := range page.Messages {
			if draft := s.draftOf(row, part, m, i, wordings); draft != nil {
				if found, err := s.claimRestored(ctx, part, m, *draft); found != nil || err != nil {
					return found, err
				}
			}
		}
		if page.NextLink == "" || list.past != nil && list.past(page) {
			return nil, nil
		}
		list.link = page.NextLink
	}
	return nil, fmt.Errorf("look for a message of before the restore: %w", errEndless)
}

// draftOf returns as what a message of Teams was posted, nil where it is another one.
func (s *Sender) draftOf(row *database.OutboxRow, part database.SentPart, m teams.Message, i int, wordings [][]teams.Draft) *teams.Draft {
	own := m.From.ID == row.SenderUserID
	if !m.From.IsUser() || !own && !s.o.Directory.IsRelay(m.From.ID) || m.ReplyToID != part.RootID || !m.Deleted.IsZero() ||
		m.Created.Before(part.StartedAt.Add(-s.o.Echo.skew)) {
		return nil
	}
	print := msgconv.FingerprintOf(m)
	at := slices.IndexFunc(wordings, func(drafts []teams.Draft) bool { return i < len(drafts) && fingerprint(drafts[i].HTML) == print })
	if at < 0 {
		return nil
	}
	return &wordings[at][i]
}

// claimRestored notes that a message of Teams is a part, unless it is known as
// something else.
func (s *Sender) claimRestored(ctx context.Context, part database.SentPart, m teams.Message, d teams.Draft) (*database.SentPart, error) {
	defer s.o.Echo.judge(part.Portal)()
	part.AccountID, part.Fingerprint, part.ContentHash = m.From.ID, fingerprint(d.HTML), contentOf(d)
	if err := s.o.DB.Sent.Begin(ctx, part); err != nil {
		return nil, err
	}
	found, err := s.confirmAs(ctx, part, m)
	if err == nil && found == nil {
		err = s.o.DB.Sent.Abort(ctx, part.EventID, part.Part)
	} else if found != nil {
		s.o.Metrics.Count(MetricDoubt, "found")
	}
	return found, err
}

package matrix

import (
	"context"
	"fmt"
	"net/http"

	"github.com/tidwall/gjson"
	"maunium.net/go/mautrix/id"

	"teamsbridge/database"
)

// What became of a journalled event that the encryption key does not open.
const (
	Reopened = "asked for again, the encryption key does not open it"
	Unopened = "lost, the encryption key does not open it and the homeserver does not have it"
)

// reopen asks the homeserver for those entries once more that the encryption key
// does not open, because it was changed or lost. An event that the homeserver does
// not have either is gone: it is counted, and the others go on.
func (j *journal) reopen(ctx context.Context, entries []database.JournalEntry) ([]database.JournalEntry, error) {
	out := make([]database.JournalEntry, 0, len(entries))
	for _, entry := range entries {
		if entry.Unreadable == nil {
			out = append(out, entry)
			continue
		}
		readable, err := j.reopenOne(ctx, &entry)
		if err != nil {
			return nil, err
		} else if readable {
			out = append(out, entry)
		}
	}
	return out, nil
}

func (j *journal) reopenOne(ctx context.Context, entry *database.JournalEntry) (readable bool, err error) {
	log := j.log.With().Str("event_id", entry.EventID).Str("room_id", entry.RoomID).Str("event_type", entry.Type).Logger()
	raw, err := j.fetch(ctx, id.RoomID(entry.RoomID), id.EventID(entry.EventID))
	if statusOf(err) == http.StatusForbidden {
		raw, err = nil, nil
	} else if err != nil {
		return false, fmt.Errorf("ask for a journalled event again: %w", err)
	}
	switch evt := gjson.ParseBytes(raw); {
	case len(raw) == 0:
		log.Error().Err(entry.Unreadable).Msg("Lost an event: the encryption key does not open it, and the homeserver does not have it")
		j.count(Unopened)
		j.finish(ctx, entry.EventID)
		return false, nil
	case isRedacted(evt):
		if _, err = j.db.Echoes.Record(ctx, []database.Echo{goneEcho(evt, entry.RoomID, j.now())}); err != nil {
			return false, err
		}
		j.count(RedactedBefore)
		j.finish(ctx, entry.EventID)
		return false, nil
	}
	if raw, err = withRoom(raw, entry.RoomID); err != nil {
		return false, fmt.Errorf("ask for a journalled event again: %w", err)
	}
	if err = j.db.Journal.Restore(ctx, entry.EventID, raw); err != nil {
		return false, err
	}
	log.Warn().Err(entry.Unreadable).Msg("The encryption key does not open a journalled event, asked the homeserver for it")
	entry.Raw, entry.Unreadable = raw, nil
	j.count(Reopened)
	return true, nil
}

package portal

import (
	"context"
	"encoding/json"
	"errors"

	"maunium.net/go/mautrix/event"

	"teamsbridge/database"
	"teamsbridge/portal/msgconv"
)

// aloneInDigest is how many messages go by themselves at their place in a digest,
// although there is room for them in it: at a post a second a long backlog with
// many of them would take as long as one without a digest.
const aloneInDigest = 60

// digestable is a message of a backlog with what a digest says of it.
type digestable struct {
	row  *database.OutboxRow
	html string
	// alone means that it goes by itself, between the posts of the digest.
	alone bool
}

// choose takes out of a digest what has no place in it, and returns the rest, with
// what goes by itself in between. Nothing is left where that is too little for a
// digest.
func (s *Sender) choose(ctx context.Context, rows []*database.OutboxRow, above int) ([]digestable, error) {
	late := 0
	for i, row := range rows {
		if s.late(row) {
			late = i + 1
		}
	}
	var out []digestable
	in, alone := 0, 0
	for _, row := range rows[:late] {
		if stays, err := s.mayStay(ctx, row); err != nil {
			return nil, err
		} else if stays {
			continue // it stays in Matrix when its turn comes
		}
		d := digestable{row: row}
		html, ok := s.digestFragment(row)
		if d.html, d.alone = html, !ok; ok && alone < aloneInDigest {
			better, err := s.betterAlone(ctx, row)
			if err != nil {
				return nil, err
			} else if better {
				d.alone = true
				alone++
			}
		}
		if !d.alone {
			in++
		}
		out = append(out, d)
	}
	if in <= above {
		out = nil
	}
	stays := map[int64]bool{}
	for _, d := range out {
		stays[d.row.ID] = !d.alone
	}
	for _, row := range rows {
		if !stays[row.ID] {
			if err := s.o.DB.Digests.Leave(ctx, row.ID); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// late reports whether a message is from an outage: what was said since goes by
// itself behind the digest, with its mentions and in its thread.
func (s *Sender) late(row *database.OutboxRow) bool {
	return s.o.Now().Sub(row.EventAt) >= s.o.LateAfter
}

// betterAlone reports whether a message would lose in a digest what it is about:
// its picture, or the thread that Teams has already. It runs in a transaction, so
// it asks nobody.
func (s *Sender) betterAlone(ctx context.Context, row *database.OutboxRow) (bool, error) {
	var c event.MessageEventContent
	if json.Unmarshal(row.Payload, &c) == nil && c.MsgType == event.MsgImage && msgconv.HasFile(&c) {
		return true, nil
	}
	root, err := s.placeOf(ctx, row)
	switch {
	case errors.Is(err, errBehind):
		return false, nil // its root is in the backlog too
	case err != nil:
		return false, err
	}
	return root.id != "" && root.answers == nil, nil
}

package database

import (
	"context"
	"fmt"
	"time"

	"go.mau.fi/util/dbutil"
)

// DeliveredInPart says that Matrix has this version but for something that was not
// to be had yet: the row is done, keeps its payload, and is delivered once more at a
// time. A newer version comes first, and takes that back.
func (s *Inbox) DeliveredInPart(ctx context.Context, portal, messageID string, version int64, again time.Time) error {
	return s.inTxn(ctx, func(ctx context.Context) error {
		row, err := s.Get(ctx, portal, messageID)
		if err != nil || row == nil {
			return err
		}
		if err = s.Delivered(ctx, portal, messageID, version); err != nil || row.Version != version {
			return err
		}
		payload, err := s.sealInbox(*row)
		if err != nil {
			return fmt.Errorf("keep for another delivery: %w", err)
		}
		_, err = s.exec(ctx, "keep for another delivery", `UPDATE teams_inbox SET payload = $3, again_at = $4 WHERE portal = $1 AND message_id = $2`,
			portal, messageID, payload, ms(again))
		return err
	})
}

// TakeAgain makes the rows pending that are to be delivered once more, and returns
// their portals. They count as delivered in an earlier version.
func (s *Inbox) TakeAgain(ctx context.Context, now time.Time) ([]string, error) {
	return list(ctx, s.base, "take messages again", dbutil.ScanSingleColumn[string], `
		UPDATE teams_inbox SET state = 'pending', delivered = version - 1, attempts = 0, next_at = 0, again_at = 0
		WHERE again_at <> 0 AND again_at <= $1 RETURNING portal`, ms(now))
}

// HasAgain reports whether there are rows to be delivered once more.
func (s *Inbox) HasAgain(ctx context.Context) (bool, error) {
	n, err := s.count(ctx, `SELECT COUNT(*) FROM teams_inbox WHERE again_at <> 0`)
	return n > 0, err
}

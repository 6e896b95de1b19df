package database

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"go.mau.fi/util/dbutil"
)

// RawNotification is a change notification as it was received.
type RawNotification struct {
	Seq int64
	// Body is sealed at rest.
	Body []byte
	// Unreadable is why the body can't be opened, nil where it can.
	Unreadable error
	ReceivedAt time.Time
	// Reason says why it was put aside, for quarantined ones.
	Reason string
}

// Notifications keeps change notifications from the 202 until they are processed.
type Notifications struct{ base }

const notificationColumns = `seq, body, received_at, quarantined`

// AppendNotification stores a body; nil means that it is durable.
func (s *Notifications) AppendNotification(ctx context.Context, body []byte, at time.Time) error {
	receivedAt := ms(s.orNow(at))
	sealed, err := s.sealValue(notificationBody, body, strconv.FormatInt(receivedAt, 10))
	if err != nil {
		return fmt.Errorf("append notification: %w", err)
	}
	_, err = s.exec(ctx, "append notification",
		`INSERT INTO teams_notification (body, received_at, quarantined) VALUES ($1, $2, '')`, sealed, receivedAt)
	return err
}

// PendingNotifications returns the oldest notifications that are not processed.
func (s *Notifications) PendingNotifications(ctx context.Context, limit int) ([]RawNotification, error) {
	return list(ctx, s.base, "pending notifications", s.scanNotification,
		`SELECT `+notificationColumns+` FROM teams_notification WHERE quarantined = '' ORDER BY seq LIMIT $1`, limit)
}

// DeleteNotification forgets a notification that was processed.
func (s *Notifications) DeleteNotification(ctx context.Context, seq int64) error {
	_, err := s.exec(ctx, "delete notification", `DELETE FROM teams_notification WHERE seq = $1`, seq)
	return err
}

// QuarantineNotification puts a notification aside that must not be processed,
// with the reason, for an operator to look at.
func (s *Notifications) QuarantineNotification(ctx context.Context, seq int64, reason string) error {
	if reason == "" {
		return fmt.Errorf("quarantine: a reason is needed")
	}
	_, err := s.exec(ctx, "quarantine notification", `UPDATE teams_notification SET quarantined = $2 WHERE seq = $1`, seq, reason)
	return err
}

// Quarantined returns what was put aside, newest first.
func (s *Notifications) Quarantined(ctx context.Context, limit int) ([]RawNotification, error) {
	return list(ctx, s.base, "quarantined notifications", s.scanNotification,
		`SELECT `+notificationColumns+` FROM teams_notification WHERE quarantined <> '' ORDER BY seq DESC LIMIT $1`, limit)
}

// PurgeQuarantined forgets what was put aside before a time.
func (s *Notifications) PurgeQuarantined(ctx context.Context, before time.Time) (int64, error) {
	return s.exec(ctx, "purge quarantine", `DELETE FROM teams_notification WHERE quarantined <> '' AND received_at < $1`, ms(before))
}

// Count returns how many notifications are pending and how many are quarantined.
func (s *Notifications) Count(ctx context.Context) (pending, quarantined int, err error) {
	st, err := s.stats(ctx, "count notifications", `
		SELECT 'pending', COUNT(*), 0 FROM teams_notification WHERE quarantined = ''
		UNION ALL SELECT 'quarantined', COUNT(*), 0 FROM teams_notification WHERE quarantined <> ''`)
	return st.ByState["pending"], st.ByState["quarantined"], err
}

func (b base) scanNotification(row dbutil.Scannable) (n RawNotification, err error) {
	var at int64
	err = row.Scan(&n.Seq, &n.Body, &at, &n.Reason)
	n.ReceivedAt = fromMS(at)
	if err == nil {
		n.Body, n.Unreadable = b.openValue(notificationBody, n.Body, strconv.FormatInt(at, 10))
	}
	return n, err
}

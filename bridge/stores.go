package bridge

import (
	"context"

	"teamsbridge/database"
	"teamsbridge/teams"
)

// cursorStore is the cursors' table as package teams wants it.
type cursorStore struct{ *database.Cursors }

// LoadCursor implements teams.CursorStore.
func (s cursorStore) LoadCursor(ctx context.Context, scope string) (teams.Cursor, error) {
	c, err := s.Cursors.LoadCursor(ctx, scope)
	return teams.Cursor(c), err
}

// SaveCursor implements teams.CursorStore.
func (s cursorStore) SaveCursor(ctx context.Context, scope string, c teams.Cursor) error {
	return s.Cursors.SaveCursor(ctx, scope, database.Cursor(c))
}

// notificationLog is the notifications' table as package teams wants it.
type notificationLog struct {
	*database.Notifications
	// unreadable is told of bodies that the encryption key does not open: what they
	// announced has to be read.
	unreadable func()
}

// reasonUnopened is why a body is put aside that can't be opened.
const reasonUnopened = "the encryption key does not open it"

// PendingNotifications implements teams.NotificationLog.
func (s notificationLog) PendingNotifications(ctx context.Context, limit int) ([]teams.RawNotification, error) {
	rows, err := s.Notifications.PendingNotifications(ctx, limit)
	if err != nil {
		return nil, err
	}
	out, told := make([]teams.RawNotification, 0, len(rows)), false
	for _, row := range rows {
		if row.Unreadable == nil {
			out = append(out, teams.RawNotification{Seq: row.Seq, Body: row.Body, ReceivedAt: row.ReceivedAt})
			continue
		}
		if !told {
			told = true
			s.unreadable()
		}
		if err = s.QuarantineNotification(ctx, row.Seq, reasonUnopened); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// subscriptionRecords is the subscriptions' table as package teams wants it.
type subscriptionRecords struct{ *database.Subscriptions }

// LoadSubscriptions implements teams.SubscriptionRecords.
func (s subscriptionRecords) LoadSubscriptions(ctx context.Context) ([]teams.SubscriptionRecord, error) {
	rows, err := s.All(ctx)
	out := make([]teams.SubscriptionRecord, len(rows))
	for i, row := range rows {
		out[i] = teams.SubscriptionRecord{ID: row.ID, Resource: row.Resource, Expires: row.Expires, CertificateID: row.CertificateID,
			ClientState: row.ClientState, CreatedAt: row.CreatedAt, RenewedAt: row.ReauthorizedAt}
	}
	return out, err
}

// SaveSubscription implements teams.SubscriptionRecords.
func (s subscriptionRecords) SaveSubscription(ctx context.Context, r teams.SubscriptionRecord) error {
	return s.Upsert(ctx, database.Subscription{ID: r.ID, Resource: r.Resource, Expires: r.Expires, CertificateID: r.CertificateID,
		ClientState: r.ClientState, CreatedAt: r.CreatedAt, ReauthorizedAt: r.RenewedAt})
}

// ForgetSubscription implements teams.SubscriptionRecords.
func (s subscriptionRecords) ForgetSubscription(ctx context.Context, id string) error {
	return s.Delete(ctx, id)
}

var (
	_ teams.CursorStore         = cursorStore{}
	_ teams.NotificationLog     = notificationLog{}
	_ teams.SubscriptionRecords = subscriptionRecords{}
	_ teams.ChangeSink          = (*mirror)(nil)
)

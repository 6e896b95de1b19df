package bridge

import (
	"context"
	"encoding/json"
	"errors"

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
	// unreadable is told, before they are put aside, of bodies that can't be read:
	// why, and how many. What they announced, nobody knows where, has to be read.
	unreadable func(reason string, bodies int)
}

// Why a body is put aside that can't be read.
const (
	reasonUnknownKey = "unknown_key"
	reasonDamaged    = "damaged"
)

// PendingNotifications implements teams.NotificationLog. It returns nothing only
// where nothing is left: those that can't be read are put aside, and hold up none
// behind them, however many they are.
func (s notificationLog) PendingNotifications(ctx context.Context, limit int) ([]teams.RawNotification, error) {
	for {
		rows, err := s.Notifications.PendingNotifications(ctx, limit)
		if err != nil {
			return nil, err
		}
		readable := make([]teams.RawNotification, 0, len(rows))
		aside := map[string][]int64{}
		for _, row := range rows {
			if reason := whyUnreadable(row); reason != "" {
				aside[reason] = append(aside[reason], row.Seq)
				continue
			}
			readable = append(readable, teams.RawNotification{Seq: row.Seq, Body: row.Body, ReceivedAt: row.ReceivedAt})
		}
		if err = s.putAside(ctx, aside); err != nil {
			return nil, err
		}
		if len(readable) > 0 || len(rows) == 0 {
			return readable, nil
		}
	}
}

// whyUnreadable returns why a body can't be read, nothing where it can. What is
// stored was written by the bridge, so what is no JSON is damaged.
func whyUnreadable(row database.RawNotification) string {
	switch {
	case errors.Is(row.Unreadable, database.ErrUnsealable):
		return reasonDamaged
	case row.Unreadable != nil:
		return reasonUnknownKey
	case !json.Valid(row.Body):
		return reasonDamaged
	}
	return ""
}

func (s notificationLog) putAside(ctx context.Context, aside map[string][]int64) error {
	for reason, rows := range aside {
		s.unreadable(reason, len(rows))
		for _, seq := range rows {
			if err := s.QuarantineNotification(ctx, seq, reason); err != nil {
				return err
			}
		}
	}
	return nil
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

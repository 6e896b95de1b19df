package database

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mau.fi/util/dbutil"
)

// Subscription is a change notification subscription that we made. ClientState
// is the shared secret that notifications carry; it is sealed at rest, and
// empty where the encryption key does not open it any more.
type Subscription struct {
	ID, Resource, ClientState, CertificateID string
	Expires, CreatedAt, ReauthorizedAt       time.Time
}

// Subscriptions keeps what was subscribed; what Graph lists is the truth.
type Subscriptions struct{ base }

// Upsert stores a subscription.
func (s *Subscriptions) Upsert(ctx context.Context, sub Subscription) error {
	sealed, err := s.sealSecret(subscriptionState, []byte(sub.ClientState), sub.ID)
	if err != nil {
		return fmt.Errorf("store subscription: %w", err)
	}
	_, err = s.exec(ctx, "store subscription", `
		INSERT INTO teams_subscription (id, resource, client_state, certificate_id, expires_at, created_at, reauthorized_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (id) DO UPDATE SET resource = excluded.resource, client_state = excluded.client_state,
			certificate_id = excluded.certificate_id, expires_at = excluded.expires_at, reauthorized_at = excluded.reauthorized_at`,
		sub.ID, sub.Resource, sealed, sub.CertificateID, ms(sub.Expires), ms(s.orNow(sub.CreatedAt)), ms(sub.ReauthorizedAt))
	return err
}

// All returns every subscription.
func (s *Subscriptions) All(ctx context.Context) ([]Subscription, error) {
	return list(ctx, s.base, "list subscriptions", s.scan, `SELECT id, resource, client_state, certificate_id, expires_at, created_at, reauthorized_at
		FROM teams_subscription ORDER BY resource, id`)
}

// Delete forgets a subscription.
func (s *Subscriptions) Delete(ctx context.Context, id string) error {
	_, err := s.exec(ctx, "delete subscription", `DELETE FROM teams_subscription WHERE id = $1`, id)
	return err
}

func (s *Subscriptions) scan(row dbutil.Scannable) (sub Subscription, err error) {
	var sealed []byte
	var expires, created, reauthorized int64
	if err = row.Scan(&sub.ID, &sub.Resource, &sealed, &sub.CertificateID, &expires, &created, &reauthorized); err != nil {
		return sub, err
	}
	sub.Expires, sub.CreatedAt, sub.ReauthorizedAt = fromMS(expires), fromMS(created), fromMS(reauthorized)
	state, err := s.openSecret(subscriptionState, sealed, sub.ID)
	if errors.Is(err, ErrUnknownKey) || errors.Is(err, ErrUnsealable) {
		// The subscription is known to be ours, and fits no client state.
		return sub, nil
	} else if err != nil {
		return sub, fmt.Errorf("client state of %s: %w", sub.ID, err)
	}
	sub.ClientState = string(state)
	return sub, nil
}

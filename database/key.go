package database

import (
	"context"
	"fmt"

	"go.mau.fi/util/dbutil"
)

// Keys keeps named secrets of our own making (the notification certificate,
// the client state), sealed at rest.
type Keys struct{ base }

// Get returns a secret, nil where there is none.
func (s *Keys) Get(ctx context.Context, name string) ([]byte, error) {
	sealed, err := one(ctx, s.base, "load key", dbutil.ScanSingleColumn[[]byte], `SELECT value FROM teams_key WHERE name = $1`, name)
	if err != nil || sealed == nil {
		return nil, err
	}
	plain, err := s.openSecret(keyValue, *sealed, name)
	if err != nil {
		return nil, fmt.Errorf("load key %s: %w", name, err)
	}
	return blob(plain), nil
}

// Set stores a secret.
func (s *Keys) Set(ctx context.Context, name string, value []byte) error {
	sealed, err := s.sealSecret(keyValue, value, name)
	if err != nil {
		return fmt.Errorf("store key %s: %w", name, err)
	}
	_, err = s.exec(ctx, "store key", `INSERT INTO teams_key (name, value, updated_at) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at`, name, sealed, ms(s.now()))
	return err
}

// SetOnce stores a secret unless there is one, and returns the one that counts.
func (s *Keys) SetOnce(ctx context.Context, name string, value []byte) ([]byte, error) {
	sealed, err := s.sealSecret(keyValue, value, name)
	if err != nil {
		return nil, fmt.Errorf("store key %s: %w", name, err)
	}
	_, err = s.exec(ctx, "store key once", `INSERT INTO teams_key (name, value, updated_at) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO NOTHING`, name, sealed, ms(s.now()))
	if err != nil {
		return nil, err
	}
	return s.Get(ctx, name)
}

// Delete forgets a secret.
func (s *Keys) Delete(ctx context.Context, name string) error {
	_, err := s.exec(ctx, "delete key", `DELETE FROM teams_key WHERE name = $1`, name)
	return err
}

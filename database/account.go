package database

import (
	"context"
	"fmt"
	"time"

	"go.mau.fi/util/dbutil"
)

// Kinds and states of accounts.
const (
	AccountUser  = "user"  // somebody's own sign-in
	AccountRelay = "relay" // an account of the relay pool

	AccountOK      = "ok"
	AccountExpired = "expired" // has to sign in again
)

// Account is a delegated sign-in. The refresh token is not part of it: it goes
// through LoadToken, SaveToken and RotateToken and is sealed at rest.
type Account struct {
	Key, Kind, UserID, UPN, DisplayName, MXID, State, Reason string
	UpdatedAt                                                time.Time
}

// Accounts keeps delegated sign-ins.
type Accounts struct{ base }

const accountColumns = `key, kind, user_id, upn, display_name, mxid, state, reason, updated_at`

// Upsert stores an account; its token stays as it is.
func (s *Accounts) Upsert(ctx context.Context, a Account) error {
	if a.State == "" {
		a.State = AccountOK
	}
	_, err := s.exec(ctx, "store account", `
		INSERT INTO teams_account (key, kind, user_id, upn, display_name, mxid, refresh_token, state, reason, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (key) DO UPDATE SET kind = excluded.kind, user_id = excluded.user_id, upn = excluded.upn,
			display_name = excluded.display_name, mxid = excluded.mxid, state = excluded.state, reason = excluded.reason,
			updated_at = excluded.updated_at`,
		a.Key, a.Kind, a.UserID, a.UPN, a.DisplayName, a.MXID, []byte{}, a.State, a.Reason, ms(s.now()))
	return err
}

// SetState says whether an account can be used, and why not.
func (s *Accounts) SetState(ctx context.Context, key, state, reason string) error {
	_, err := s.exec(ctx, "set account state", `UPDATE teams_account SET state = $2, reason = $3, updated_at = $4 WHERE key = $1`,
		key, state, reason, ms(s.now()))
	return err
}

// Get returns an account, nil where there is none.
func (s *Accounts) Get(ctx context.Context, key string) (*Account, error) {
	return one(ctx, s.base, "account", scanAccount, `SELECT `+accountColumns+` FROM teams_account WHERE key = $1`, key)
}

// All returns the accounts of a kind, or of every kind with "".
func (s *Accounts) All(ctx context.Context, kind string) ([]Account, error) {
	return list(ctx, s.base, "list accounts", scanAccount,
		`SELECT `+accountColumns+` FROM teams_account WHERE $1 = '' OR kind = $1 ORDER BY key`, kind)
}

// Delete forgets an account and its token.
func (s *Accounts) Delete(ctx context.Context, key string) error {
	_, err := s.exec(ctx, "delete account", `DELETE FROM teams_account WHERE key = $1`, key)
	return err
}

// LoadToken returns the account's refresh token, "" where there is none.
func (s *Accounts) LoadToken(ctx context.Context, key string) (string, error) {
	_, token, err := s.token(ctx, key)
	return token, err
}

// token returns a refresh token as it is stored and in the clear.
func (s *Accounts) token(ctx context.Context, key string) (sealed []byte, plain string, err error) {
	stored, err := one(ctx, s.base, "load token", dbutil.ScanSingleColumn[[]byte], `SELECT refresh_token FROM teams_account WHERE key = $1`, key)
	if err != nil || stored == nil || len(*stored) == 0 {
		return nil, "", err
	}
	opened, err := s.openSecret(accountToken, *stored, key)
	if err != nil {
		return nil, "", fmt.Errorf("load token: %w", err)
	}
	return *stored, string(opened), nil
}

// SaveToken stores the refresh token of a fresh sign-in; nil means that it is
// durable. An account that is not known yet gets a row that Upsert completes.
func (s *Accounts) SaveToken(ctx context.Context, key, refreshToken string) error {
	sealed, err := s.sealSecret(accountToken, []byte(refreshToken), key)
	if err != nil {
		return fmt.Errorf("save token: %w", err)
	}
	_, err = s.exec(ctx, "save token", `
		INSERT INTO teams_account (key, kind, user_id, upn, display_name, mxid, refresh_token, state, reason, updated_at)
		VALUES ($1, '', '', '', '', '', $2, 'ok', '', $3)
		ON CONFLICT (key) DO UPDATE SET refresh_token = excluded.refresh_token, updated_at = excluded.updated_at`,
		key, sealed, ms(s.now()))
	return err
}

// RotateToken stores the refresh token that came in exchange for an older one.
// ok is false where the older one is not the account's any more, because
// somebody signed out or anew meanwhile: nothing is changed then.
func (s *Accounts) RotateToken(ctx context.Context, key, older, refreshToken string) (ok bool, err error) {
	// The older one may be sealed anew between the look and the update.
	for !ok && err == nil {
		stored, plain, lookErr := s.token(ctx, key)
		if lookErr != nil || stored == nil || plain != older {
			return false, lookErr
		}
		ok, err = s.replaceToken(ctx, key, stored, refreshToken)
	}
	return ok, err
}

func (s *Accounts) replaceToken(ctx context.Context, key string, stored []byte, refreshToken string) (ok bool, err error) {
	sealed, err := s.sealSecret(accountToken, []byte(refreshToken), key)
	if err != nil {
		return false, fmt.Errorf("rotate token: %w", err)
	}
	// No two seals are alike, so that this names the token that was read.
	n, err := s.exec(ctx, "rotate token", `UPDATE teams_account SET refresh_token = $3, updated_at = $4 WHERE key = $1 AND refresh_token = $2`,
		key, stored, sealed, ms(s.now()))
	return n > 0, err
}

func scanAccount(row dbutil.Scannable) (a Account, err error) {
	var at int64
	err = row.Scan(&a.Key, &a.Kind, &a.UserID, &a.UPN, &a.DisplayName, &a.MXID, &a.State, &a.Reason, &at)
	a.UpdatedAt = fromMS(at)
	return a, err
}

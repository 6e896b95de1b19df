package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"teamsbridge/bridge/audit"
	"teamsbridge/database"
	"teamsbridge/portal"
	"teamsbridge/teams"
	"teamsbridge/texts"
)

// accountKey is the key of an account. A person who lends their account to the
// relay pool and signs in for themselves has two, with a token each.
func accountKey(kind, userID string) string { return kind + ":" + userID }

// writers chooses the account that writes. It implements portal.Writers.
type writers struct {
	db *database.Database
	// open makes the writer of an account.
	open func(database.Account) (teams.Writer, error)
	// expired is told once that an account has to sign in again.
	expired func(ctx context.Context, account database.Account, reason string)
	// lost is told, before it is stored, that the encryption key does not open
	// an account's token.
	lost func(ctx context.Context) error
	// audit is told what became of an account.
	audit func(act audit.Act, account database.Account, reason string)
	pool  *pool

	mu       sync.RWMutex
	accounts map[string]database.Account
	opened   map[string]teams.Writer
}

var _ portal.Writers = (*writers)(nil)

func newWriters(db *database.Database, open func(database.Account) (teams.Writer, error)) *writers {
	return &writers{db: db, open: open, pool: newPool(), accounts: map[string]database.Account{}, opened: map[string]teams.Writer{},
		expired: func(context.Context, database.Account, string) {}, lost: func(context.Context) error { return nil },
		audit: func(audit.Act, database.Account, string) {}}
}

// load reads the accounts.
func (w *writers) load(ctx context.Context) error {
	all, err := w.db.Accounts.All(ctx, "")
	if err != nil {
		return fmt.Errorf("loading accounts: %w", err)
	}
	loaded := make(map[string]database.Account, len(all))
	for _, a := range all {
		if a.Kind == "" {
			continue
		}
		if err := w.tryToken(ctx, &a); err != nil {
			return err
		}
		loaded[a.Key] = a
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.accounts = loaded
	return nil
}

// reasonSealed is why an account has to sign in again after the encryption key
// was changed or lost.
var reasonSealed = inEnglish(texts.AccountSealed)

// tryToken marks an account whose token the encryption key does not open. The
// token stays: with the key that sealed it the account is good again.
func (w *writers) tryToken(ctx context.Context, a *database.Account) error {
	_, err := w.db.Accounts.LoadToken(ctx, a.Key)
	switch {
	case unsealable(err) && a.State == database.AccountOK:
		zerolog.Ctx(ctx).Error().Err(err).Str("account", a.Key).
			Msg("The encryption key does not open the sign-in of an account, which has to sign in again: was network.encryption_key changed?")
		if err := w.lost(ctx); err != nil {
			return fmt.Errorf("loading accounts: %w", err)
		}
		a.State, a.Reason = database.AccountExpired, reasonSealed
	case err == nil && a.State == database.AccountExpired && a.Reason == reasonSealed:
		zerolog.Ctx(ctx).Info().Str("account", a.Key).Msg("The encryption key opens the sign-in of an account again")
		a.State, a.Reason = database.AccountOK, ""
	case err != nil && !unsealable(err):
		return fmt.Errorf("loading accounts: %w", err)
	default:
		return nil
	}
	if err := w.db.Accounts.SetState(ctx, a.Key, a.State, a.Reason); err != nil {
		return fmt.Errorf("loading accounts: %w", err)
	}
	return nil
}

// sealed returns the accounts whose tokens the encryption key does not open.
func (w *writers) sealed() []database.Account {
	all := append(w.list(database.AccountRelay), w.list(database.AccountUser)...)
	return slices.DeleteFunc(all, func(a database.Account) bool {
		return a.State != database.AccountExpired || a.Reason != reasonSealed
	})
}

// signedIn stores a fresh sign-in: the token first, then who it belongs to.
func (w *writers) signedIn(ctx context.Context, kind string, account teams.Account, mxid, refreshToken string) error {
	a := database.Account{Key: accountKey(kind, account.UserID), Kind: kind, UserID: account.UserID, UPN: account.UPN,
		DisplayName: account.DisplayName, MXID: mxid, State: database.AccountOK}
	err := w.db.DoTxn(ctx, nil, func(ctx context.Context) error {
		return errors.Join(w.db.Accounts.SaveToken(ctx, a.Key, refreshToken), w.db.Accounts.Upsert(ctx, a))
	})
	if err != nil {
		return fmt.Errorf("storing the sign-in: %w", err)
	}
	w.audit(audit.SignIn, a, "")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.accounts[a.Key] = a
	delete(w.opened, a.Key)
	return nil
}

// signedOut forgets an account and its token.
func (w *writers) signedOut(ctx context.Context, key string) error {
	if err := w.db.Accounts.Delete(ctx, key); err != nil {
		return fmt.Errorf("forgetting the sign-in: %w", err)
	}
	w.mu.Lock()
	a, known := w.accounts[key]
	delete(w.accounts, key)
	delete(w.opened, key)
	w.mu.Unlock()
	if known {
		w.audit(audit.SignOut, a, "")
	}
	return nil
}

// list returns the accounts of a kind, by name.
func (w *writers) list(kind string) []database.Account {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var out []database.Account
	for _, a := range w.accounts {
		if a.Kind == kind {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b database.Account) int {
		return compareStrings(a.UPN, b.UPN, a.Key, b.Key)
	})
	return out
}

func (w *writers) account(key string) (database.Account, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	a, ok := w.accounts[key]
	return a, ok
}

// personOf returns whom in Teams a Matrix user has signed in as.
func (w *writers) personOf(mxid string) (database.Account, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, a := range w.accounts {
		if a.Kind == database.AccountUser && a.MXID == mxid {
			return a, true
		}
	}
	return database.Account{}, false
}

// IsRelay reports whether a person is an account of the relay pool.
func (w *writers) IsRelay(userID string) bool {
	_, ok := w.account(accountKey(database.AccountRelay, userID))
	return ok
}

// For implements portal.Writers.
func (w *writers) For(ctx context.Context, row *database.OutboxRow, preferred string) (teams.Writer, bool, error) {
	own := accountKey(database.AccountUser, row.SenderUserID)
	if preferred != "" {
		for _, kind := range []string{database.AccountUser, database.AccountRelay} {
			if a, ok := w.account(accountKey(kind, preferred)); ok && a.State == database.AccountOK && (kind == database.AccountRelay || a.Key == own) {
				writer, err := w.writer(a)
				return writer, kind == database.AccountRelay, err
			}
		}
	}
	if a, ok := w.account(own); ok && row.SenderUserID != "" && a.State == database.AccountOK {
		writer, err := w.writer(a)
		return writer, false, err
	}
	writer, err := w.Relay(ctx, row, "")
	return writer, true, err
}

// Relay implements portal.Writers. A message goes through the account that can
// post it first; which one that was is written down before it is posted. A
// reaction leaves no trace before it is made, so when it is made again after a
// crash it must be by the same account: that depends on the conversation only.
func (w *writers) Relay(_ context.Context, row *database.OutboxRow, preferred string) (teams.Writer, error) {
	var pool []database.Account
	for _, a := range w.list(database.AccountRelay) {
		if a.State != database.AccountOK {
			continue
		}
		if a.UserID == preferred {
			return w.writer(a)
		}
		pool = append(pool, a)
	}
	if len(pool) == 0 {
		return nil, portal.ErrNoAccount
	}
	if row.Kind == database.KindReaction {
		return w.writer(pickFor(row.Portal, pool))
	}
	return w.writer(w.pool.choose(row.Portal, pool))
}

// Exactly implements portal.Writers.
func (w *writers) Exactly(_ context.Context, row *database.OutboxRow, accountID string) (teams.Writer, error) {
	kinds := []string{database.AccountRelay, database.AccountUser}
	if row.SenderUserID == accountID {
		slices.Reverse(kinds)
	}
	for _, kind := range kinds {
		if a, ok := w.account(accountKey(kind, accountID)); ok && a.State == database.AccountOK {
			return w.writer(a)
		}
	}
	return nil, portal.ErrOwnAccount
}

// Failed implements portal.Writers.
func (w *writers) Failed(ctx context.Context, accountID string, cause error) {
	if teams.KindOf(cause) != teams.KindSignInExpired {
		return
	}
	reason := cause.Error()
	for _, kind := range []string{database.AccountUser, database.AccountRelay} {
		w.expire(ctx, accountKey(kind, accountID), cause, reason)
	}
}

// expire marks an account whose token is not accepted any more. Where a person
// has two, each is judged by its own token, so a refusal without one counts for
// both and the next use of the good one shows that it works.
func (w *writers) expire(ctx context.Context, key string, cause error, reason string) {
	w.mu.Lock()
	a, ok := w.accounts[key]
	if !ok || a.State != database.AccountOK {
		w.mu.Unlock()
		return
	}
	a.State, a.Reason = database.AccountExpired, reason
	w.accounts[key] = a
	delete(w.opened, key)
	w.mu.Unlock()
	zerolog.Ctx(ctx).Warn().Err(cause).Str("account", key).Msg("An account has to sign in again")
	if err := w.db.Accounts.SetState(ctx, key, a.State, a.Reason); err != nil {
		zerolog.Ctx(ctx).Err(err).Str("account", key).Msg("Could not store that an account has to sign in again")
	}
	w.audit(audit.Expired, a, reason)
	w.expired(ctx, a, reason)
}

func (w *writers) writer(a database.Account) (teams.Writer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if writer, ok := w.opened[a.Key]; ok {
		return writer, nil
	}
	writer, err := w.open(a)
	if err != nil {
		return nil, fmt.Errorf("opening account: %w", err)
	}
	pooled := &pooledWriter{Writer: writer, pool: w.pool, key: a.Key}
	w.opened[a.Key] = pooled
	return pooled, nil
}

// compareStrings compares pairs until one differs.
func compareStrings(pairs ...string) int {
	for i := 0; i+1 < len(pairs); i += 2 {
		if c := strings.Compare(pairs[i], pairs[i+1]); c != 0 {
			return c
		}
	}
	return 0
}

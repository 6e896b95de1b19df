package bridge

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"go.mau.fi/util/random"

	"teamsbridge/database"
	"teamsbridge/teams"
)

// The names of our own secrets.
const (
	keyClientState         = "notification client state"
	keyCertificate         = "notification certificate"
	keyPreviousCertificate = "previous notification certificate"
	// keyLoss is there from the start that finds secrets which the encryption
	// key does not open until the administrators have been told.
	keyLoss = "secrets lost"
)

// unsealable reports whether the encryption key does not open a stored value:
// it was changed, or lost and made anew.
func unsealable(err error) bool {
	return errors.Is(err, database.ErrUnknownKey) || errors.Is(err, database.ErrUnsealable)
}

// keyring holds the secrets that the bridge makes for itself. They are stored,
// sealed, before they are used.
type keyring struct {
	store *database.Keys
	now   func() time.Time

	clientState string
	set         atomic.Pointer[teams.CertSet]
}

// load reads the secrets and makes those that are missing, or that can't be
// opened: nothing depends on them for longer than it takes to subscribe again.
func (k *keyring) load(ctx context.Context) error {
	state, err := k.open(ctx, keyClientState)
	if err != nil {
		return err
	}
	if state == nil {
		state = []byte(random.String(64))
		if err := k.store.Set(ctx, keyClientState, state); err != nil {
			return err
		}
	}
	k.clientState = string(state)
	var set teams.CertSet
	if set.Current, err = k.certificate(ctx, keyCertificate); err != nil {
		return err
	}
	if set.Previous, err = k.certificate(ctx, keyPreviousCertificate); err != nil {
		return err
	}
	k.set.Store(&set)
	return k.rotate(ctx)
}

func (k *keyring) certificate(ctx context.Context, name string) (*teams.NotificationCertificate, error) {
	data, err := k.open(ctx, name)
	if err != nil || data == nil {
		return nil, err
	}
	return teams.ParseCertificatePEM(data)
}

// open reads a secret. One that the encryption key does not open is forgotten.
func (k *keyring) open(ctx context.Context, name string) ([]byte, error) {
	value, err := k.store.Get(ctx, name)
	if !unsealable(err) {
		return value, err
	}
	zerolog.Ctx(ctx).Error().Err(err).Str("secret", name).
		Msg("The encryption key does not open a stored secret, which is made anew: was network.encryption_key changed?")
	if err := k.noteLoss(ctx); err != nil {
		return nil, err
	}
	return nil, k.store.Delete(ctx, name)
}

// noteLoss remembers that the administrators have to be told of lost secrets.
func (k *keyring) noteLoss(ctx context.Context) error {
	return k.store.Set(ctx, keyLoss, []byte(k.now().UTC().Format(time.RFC3339)))
}

// lost reports whether the administrators have to be told of lost secrets.
func (k *keyring) lost(ctx context.Context) (bool, error) {
	note, err := k.store.Get(ctx, keyLoss)
	if unsealable(err) {
		return true, nil
	}
	return note != nil, err
}

func (k *keyring) forgetLoss(ctx context.Context) error { return k.store.Delete(ctx, keyLoss) }

// rotate replaces the notification certificate before it expires.
func (k *keyring) rotate(ctx context.Context) error {
	set, changed, err := k.set.Load().Rotate(k.now())
	if err != nil || !changed {
		return err
	}
	for name, cert := range map[string]*teams.NotificationCertificate{keyPreviousCertificate: set.Previous, keyCertificate: set.Current} {
		if cert == nil {
			continue
		}
		data, err := cert.MarshalPEM()
		if err != nil {
			return err
		}
		if err := k.store.Set(ctx, name, data); err != nil {
			return err
		}
	}
	k.set.Store(&set)
	return nil
}

// certificates returns the keys of now.
func (k *keyring) certificates() teams.CertSet { return *k.set.Load() }

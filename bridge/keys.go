package bridge

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.mau.fi/util/random"

	"teamsbridge/database"
	"teamsbridge/teams"
)

// The names of our own secrets.
const (
	keyClientState         = "notification client state"
	keyCertificate         = "notification certificate"
	keyPreviousCertificate = "previous notification certificate"
)

// keyring holds the secrets that the bridge makes for itself. They are stored,
// sealed, before they are used.
type keyring struct {
	store *database.Keys
	now   func() time.Time

	clientState string
	set         atomic.Pointer[teams.CertSet]
}

// load reads the secrets and makes those that are missing.
func (k *keyring) load(ctx context.Context) error {
	state, err := k.store.Get(ctx, keyClientState)
	if err != nil {
		return fmt.Errorf("%w (was network.encryption_key changed?)", err)
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
	data, err := k.store.Get(ctx, name)
	if err != nil || data == nil {
		return nil, err
	}
	return teams.ParseCertificatePEM(data)
}

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

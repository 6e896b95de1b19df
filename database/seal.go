package database

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// Sealer encrypts what must not be readable in a copy of the database. The
// context (which row it is) is authenticated: a sealed value moved to another
// row does not open.
type Sealer interface {
	Seal(plain []byte, context string) ([]byte, error)
	Open(sealed []byte, context string) ([]byte, error)
	// Prefix is what values begin with that are sealed with the key in use, and no
	// others do; it is no secret.
	Prefix() []byte
	// Has reports whether it opens what was sealed with the key of an id.
	Has(keyID []byte) bool
}

// Errors of sealing.
var (
	// ErrNoSealer says that a secret was to be stored without an encryption key.
	ErrNoSealer = errors.New("no encryption key is configured")
	// ErrUnknownKey says that a value was sealed with a key that is not configured.
	ErrUnknownKey = errors.New("sealed with an encryption key that is not configured")
	// ErrUnsealable says that a sealed value was changed, or moved to another row.
	ErrUnsealable = errors.New("sealed value is damaged or was moved")
	// ErrWeakKey says that an encryption key is too short.
	ErrWeakKey = errors.New("encryption key is shorter than 16 bytes")
)

const (
	sealVersion  = 1
	keyIDSize    = 4
	minSecret    = 16
	sealedPrefix = 1 + keyIDSize
)

type sealKey struct {
	id   [keyIDSize]byte
	aead cipher.AEAD
}

type gcmSealer struct {
	keys []sealKey // the first one seals, all of them open
}

// NewSealer makes an AES-256-GCM sealer from the operator's secret. Values that
// were sealed with one of the previous secrets still open, so a secret can be
// replaced without signing everybody in again.
func NewSealer(secret string, previous ...string) (Sealer, error) {
	s := &gcmSealer{}
	for _, text := range append([]string{secret}, previous...) {
		key, err := deriveSealKey(text)
		if err != nil {
			return nil, err
		}
		s.keys = append(s.keys, key)
	}
	return s, nil
}

func deriveSealKey(secret string) (key sealKey, err error) {
	if len(secret) < minSecret {
		return key, ErrWeakKey
	}
	raw, err := hkdf.Key(sha256.New, []byte(secret), nil, "teamsbridge database seal v1", 32+keyIDSize)
	if err != nil {
		return key, fmt.Errorf("derive encryption key: %w", err)
	}
	block, err := aes.NewCipher(raw[:32])
	if err != nil {
		return key, fmt.Errorf("make cipher: %w", err)
	}
	copy(key.id[:], raw[32:])
	if key.aead, err = cipher.NewGCM(block); err != nil {
		return key, fmt.Errorf("make cipher: %w", err)
	}
	return key, nil
}

// Seal returns version, key id, nonce and ciphertext.
func (s *gcmSealer) Seal(plain []byte, context string) ([]byte, error) {
	key := s.keys[0]
	out := make([]byte, 0, sealedPrefix+key.aead.NonceSize()+len(plain)+key.aead.Overhead())
	out = append(out, sealVersion)
	out = append(out, key.id[:]...)
	nonce := make([]byte, key.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	out = append(out, nonce...)
	return key.aead.Seal(out, nonce, plain, []byte(context)), nil
}

func (s *gcmSealer) Open(sealed []byte, context string) ([]byte, error) {
	if len(sealed) < sealedPrefix || sealed[0] != sealVersion {
		return nil, ErrUnsealable
	}
	for _, key := range s.keys {
		if string(key.id[:]) != string(sealed[1:sealedPrefix]) {
			continue
		}
		rest := sealed[sealedPrefix:]
		if len(rest) < key.aead.NonceSize() {
			return nil, ErrUnsealable
		}
		plain, err := key.aead.Open(nil, rest[:key.aead.NonceSize()], rest[key.aead.NonceSize():], []byte(context))
		if err != nil {
			return nil, ErrUnsealable
		}
		return plain, nil
	}
	return nil, ErrUnknownKey
}

func (s *gcmSealer) Prefix() []byte { return append([]byte{sealVersion}, s.keys[0].id[:]...) }

func (s *gcmSealer) Has(keyID []byte) bool {
	return slices.ContainsFunc(s.keys, func(key sealKey) bool { return string(key.id[:]) == string(keyID) })
}

// noSealer refuses, so that a secret is never stored in the clear by mistake.
type noSealer struct{}

func (noSealer) Seal([]byte, string) ([]byte, error) { return nil, ErrNoSealer }
func (noSealer) Open([]byte, string) ([]byte, error) { return nil, ErrNoSealer }
func (noSealer) Prefix() []byte                      { return nil }
func (noSealer) Has([]byte) bool                     { return false }

package teams

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var testCerts = sync.OnceValue(func() CertSet {
	var set CertSet
	for _, c := range []**NotificationCertificate{&set.Current, &set.Previous} {
		cert, err := GenerateCertificate(time.Now())
		if err != nil {
			panic(err)
		}
		*c = cert
	}
	return set
})

// seal encrypts as Graph does.
func seal(t testing.TB, cert *NotificationCertificate, plain string) *encryptedContent {
	t.Helper()
	key := make([]byte, dataKeySize)
	_, err := rand.Read(key)
	require.NoError(t, err)
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	data := append([]byte(plain), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, key[:aes.BlockSize]).CryptBlocks(data, data)
	mac := hmac.New(sha256.New, key)
	mac.Write(data)
	wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, &cert.key.PublicKey, key, nil)
	require.NoError(t, err)
	b64 := base64.StdEncoding.EncodeToString
	return &encryptedContent{Data: b64(data), DataKey: b64(wrapped), DataSignature: b64(mac.Sum(nil)), CertificateID: cert.ID}
}

func TestResourceData(t *testing.T) {
	t.Parallel()
	certs := testCerts()
	for _, plain := range []string{"", "x", "exactly 16 bytes", `{"id":"1"}`} {
		for _, cert := range []*NotificationCertificate{certs.Current, certs.Previous} {
			got, err := seal(t, cert, plain).open(certs)
			require.NoError(t, err)
			require.Equal(t, plain, string(got))
		}
	}
	flip := func(s string) string {
		raw, err := base64.StdEncoding.DecodeString(s)
		require.NoError(t, err)
		raw[len(raw)/2] ^= 1
		return base64.StdEncoding.EncodeToString(raw)
	}
	for name, tc := range map[string]struct {
		spoil func(*encryptedContent)
		want  error
	}{
		"other certificate": {func(e *encryptedContent) { e.CertificateID = "nobody's" }, errUnknownCertificate},
		"certificate mixed": {func(e *encryptedContent) { e.CertificateID = certs.Previous.ID }, errDataKey},
		"key":               {func(e *encryptedContent) { e.DataKey = flip(e.DataKey) }, errDataKey},
		"key not base64":    {func(e *encryptedContent) { e.DataKey = "%" }, errDataKey},
		"data":              {func(e *encryptedContent) { e.Data = flip(e.Data) }, errDataSignature},
		"data cut":          {func(e *encryptedContent) { e.Data = e.Data[:8] }, errDataSignature},
		"data not base64":   {func(e *encryptedContent) { e.Data = "%" }, errData},
		"signature":         {func(e *encryptedContent) { e.DataSignature = flip(e.DataSignature) }, errDataSignature},
		"no signature":      {func(e *encryptedContent) { e.DataSignature = "" }, errDataSignature},
	} {
		e := seal(t, certs.Current, `{"id":"1"}`)
		tc.spoil(e)
		_, err := e.open(certs)
		require.ErrorIs(t, err, tc.want, name)
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	certs := testCerts()
	raw, err := certs.Current.MarshalPEM()
	require.NoError(t, err)
	back, err := ParseCertificatePEM(raw)
	require.NoError(t, err)
	require.Equal(t, certs.Current.ID, back.ID)
	require.LessOrEqual(t, len(back.ID), 128)
	require.Equal(t, certs.Current.Base64(), back.Base64())
	_, err = seal(t, back, "x").open(certs)
	require.NoError(t, err)

	_, err = ParseCertificatePEM(raw[:200])
	require.Error(t, err)
	other, err := certs.Previous.MarshalPEM()
	require.NoError(t, err)
	_, err = ParseCertificatePEM(append(raw[:bytes.Index(raw, []byte("-----BEGIN PRIVATE"))], other[bytes.Index(other, []byte("-----BEGIN PRIVATE")):]...))
	require.ErrorContains(t, err, "does not belong")

	now := certs.Current.NotAfter.Add(-certificateLife) // whichever clock the first test to ask for them had
	same, changed, err := certs.Rotate(now)
	require.NoError(t, err)
	require.False(t, changed)
	require.Equal(t, certs, same)
	fresh, changed, err := certs.Rotate(now.Add(certificateLife - certificateRotate + time.Hour))
	require.NoError(t, err)
	require.True(t, changed)
	require.Equal(t, certs.Current, fresh.Previous)
	first, changed, err := CertSet{}.Rotate(now)
	require.NoError(t, err)
	require.True(t, changed)
	require.NotNil(t, first.Current)
	require.Nil(t, first.Previous)
}

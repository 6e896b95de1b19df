package teamstest_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// received is one item of a notification body.
type received struct {
	SubscriptionID string `json:"subscriptionId"`
	Expires        string `json:"subscriptionExpirationDateTime"`
	ChangeType     string `json:"changeType"`
	Lifecycle      string `json:"lifecycleEvent"`
	Resource       string `json:"resource"`
	ClientState    string `json:"clientState"`
	TenantID       string `json:"tenantId"`
	ResourceData   struct {
		ID        string `json:"id"`
		ODataType string `json:"@odata.type"`
		ODataID   string `json:"@odata.id"`
	} `json:"resourceData"`
	Encrypted *struct {
		Data          string `json:"data"`
		DataKey       string `json:"dataKey"`
		DataSignature string `json:"dataSignature"`
		CertificateID string `json:"encryptionCertificateId"`
		Thumbprint    string `json:"encryptionCertificateThumbprint"`
	} `json:"encryptedContent"`
}

// notificationBody is one request to a receiver.
type notificationBody struct {
	Value            []received `json:"value"`
	ValidationTokens []string   `json:"validationTokens"`
}

// receiver is a notification endpoint.
type receiver struct {
	*httptest.Server

	mu         sync.Mutex
	bodies     []notificationBody
	handshakes []string
	queries    []string
	// answer, when set, deals with a notification request after it was read.
	answer func(w http.ResponseWriter, body notificationBody)
	// greet, when set, deals with a handshake.
	greet func(w http.ResponseWriter, token string)
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	if token := req.URL.Query().Get("validationToken"); token != "" {
		r.mu.Lock()
		r.handshakes = append(r.handshakes, req.URL.Path+" "+token)
		r.queries = append(r.queries, req.URL.RawQuery)
		greet := r.greet
		r.mu.Unlock()
		if greet != nil {
			greet(w, token)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, token)
		return
	}
	var body notificationBody
	if json.NewDecoder(req.Body).Decode(&body) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	r.bodies = append(r.bodies, body)
	answer := r.answer
	r.mu.Unlock()
	if answer != nil {
		answer(w, body)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func (r *receiver) answers(f func(w http.ResponseWriter, body notificationBody)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

// items lists everything received, in order of arrival.
func (r *receiver) items() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []received
	for _, body := range r.bodies {
		list = append(list, body.Value...)
	}
	return list
}

// requests lists the bodies received.
func (r *receiver) requests() []notificationBody {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.bodies)
}

// keyPair is a notification key of the client.
type keyPair struct {
	id   string
	key  *rsa.PrivateKey
	cert []byte
}

func newKeyPair(t *testing.T, id string) keyPair {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: id},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return keyPair{id, key, der}
}

func (k keyPair) base64() string { return base64.StdEncoding.EncodeToString(k.cert) }

// open decrypts a rich item by the book: signature first, then the data.
func (k keyPair) open(t *testing.T, it received) map[string]any {
	t.Helper()
	require.NotNil(t, it.Encrypted)
	require.Equal(t, k.id, it.Encrypted.CertificateID)
	decode := func(s string) []byte {
		b, err := base64.StdEncoding.DecodeString(s)
		require.NoError(t, err)
		return b
	}
	secret, err := rsa.DecryptOAEP(sha1.New(), nil, k.key, decode(it.Encrypted.DataKey), nil)
	require.NoError(t, err)
	require.Len(t, secret, 32)
	data := decode(it.Encrypted.Data)
	mac := hmac.New(sha256.New, secret)
	mac.Write(data)
	require.Equal(t, mac.Sum(nil), decode(it.Encrypted.DataSignature))
	block, err := aes.NewCipher(secret)
	require.NoError(t, err)
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, secret[:16]).CryptBlocks(plain, data)
	pad := int(plain[len(plain)-1])
	require.True(t, pad >= 1 && pad <= 16)
	for _, c := range plain[len(plain)-pad:] {
		require.EqualValues(t, pad, c)
	}
	var object map[string]any
	require.NoError(t, json.Unmarshal(plain[:len(plain)-pad], &object))
	return object
}

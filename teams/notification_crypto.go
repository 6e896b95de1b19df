package teams

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
)

// The ways in which resource data can't be read; they are also the reasons
// under which a notification is quarantined.
var (
	errUnknownCertificate = errors.New("unknown_certificate")
	errDataKey            = errors.New("bad_data_key")
	errDataSignature      = errors.New("bad_data_signature")
	errData               = errors.New("undecryptable")
)

const dataKeySize = 32

// open returns the resource data. The signature is checked before anything is
// decrypted, so that the padding of forged data can't be used as an oracle.
// RSA-OAEP with SHA-1 and AES-256-CBC are what Graph prescribes.
func (e *encryptedContent) open(certs CertSet) ([]byte, error) {
	cert := certs.Find(e.CertificateID)
	if cert == nil {
		return nil, errUnknownCertificate
	}
	wrapped, err := base64.StdEncoding.DecodeString(e.DataKey)
	if err != nil {
		return nil, errDataKey
	}
	key, err := rsa.DecryptOAEP(sha1.New(), nil, cert.key, wrapped, nil)
	if err != nil || len(key) != dataKeySize {
		return nil, errDataKey
	}
	data, err := base64.StdEncoding.DecodeString(e.Data)
	if err != nil {
		return nil, errData
	}
	signature, err := base64.StdEncoding.DecodeString(e.DataSignature)
	if err != nil {
		return nil, errDataSignature
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(data)
	if !hmac.Equal(signature, mac.Sum(nil)) {
		return nil, errDataSignature
	}
	return decryptCBC(key, data)
}

func decryptCBC(key, data []byte) ([]byte, error) {
	if len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, errData
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errData
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, key[:aes.BlockSize]).CryptBlocks(plain, data)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > aes.BlockSize {
		return nil, errData
	}
	for _, b := range plain[len(plain)-pad:] {
		if int(b) != pad {
			return nil, errData
		}
	}
	return plain[:len(plain)-pad], nil
}

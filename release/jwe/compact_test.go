package jwe

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"pgregory.net/rapid"

	"github.com/assay-tee/assay/internal/fault"
)

// TestCompactIsOpenedByOthers: another library opens the form, and finds a padded secret.
func TestCompactIsOpenedByOthers(t *testing.T) {
	for _, kind := range []string{"P-256", "P-384", "P-521", "RSA"} {
		priv, err := Generate(kind)
		if err != nil {
			t.Fatal(err)
		}
		pub, err := priv.Public()
		if err != nil {
			t.Fatal(err)
		}
		out, err := Encrypt(pub, Compact, []byte("the secret"))
		if err != nil {
			t.Fatal(err)
		}
		j, err := jose.ParseEncryptedCompact(string(out), []jose.KeyAlgorithm{jose.ECDH_ES_A256KW, jose.RSA_OAEP_256}, []jose.ContentEncryption{jose.A256GCM})
		if err != nil {
			t.Fatal(kind, err)
		}
		var key any = priv.RSA
		if priv.EC != nil {
			der, err := x509.MarshalPKCS8PrivateKey(priv.EC)
			if err != nil {
				t.Fatal(err)
			}
			if key, err = x509.ParsePKCS8PrivateKey(der); err != nil {
				t.Fatal(err)
			}
		}
		plain, err := j.Decrypt(key)
		if err != nil || len(plain) != 256 || binary.BigEndian.Uint32(plain) != 10 || string(plain[4:14]) != "the secret" {
			t.Errorf("%s: %q %v", kind, plain, err)
		}
		if got, err := DecryptCompact(priv, out); err != nil || string(got) != "the secret" {
			t.Errorf("%s: %q %v", kind, got, err)
		}
	}
}

func TestPadding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOfN(rapid.Byte(), 0, 1200).Draw(t, "secret")
		p := pad(in)
		got, err := unpad(p)
		if err != nil || !bytes.Equal(got, in) || len(p)%256 != 0 || len(p) >= len(in)+4+256 {
			t.Fatalf("%d bytes for %d: %v", len(p), len(in), err)
		}
	})
	for name, b := range map[string][]byte{"empty": {}, "short": make([]byte, 255), "length that lies": {0: 1, 255: 0}, "dirty": {255: 1}} {
		if _, err := unpad(b); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := DecryptCompact(PrivateKey{}, []byte(strings.Repeat(".", 5))); !fault.Is(err, fault.Malformed) {
		t.Error(err)
	}
}

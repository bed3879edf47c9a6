package claim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
)

// A11: one signer is known under every form that can be derived of his key and certificate.
func TestAuthorityForms(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rk, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	edPub, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]struct {
		pub  crypto.PublicKey
		priv crypto.Signer
		cose string // beginning of the COSE_Key
	}{
		"EC": {&ec.PublicKey, ec, "\xa4\x01\x02\x20\x02\x21\x58\x30"}, "RSA": {&rk.PublicKey, rk, "\xa3\x01\x03\x20\x59\x01\x00"}, "Ed25519": {edPub, edKey, "\xa3\x01\x01\x20\x06\x21\x58\x20"},
	} {
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(1)}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.pub, k.priv)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		a, err := CertAuthority(c)
		if err != nil {
			t.Fatal(err)
		}
		tags := map[uint64]int{}
		for _, id := range a {
			tags[id.Tag]++
		}
		for tag, want := range map[uint64]int{TagPKIXBase64Key: 1, TagPKIXBase64Cert: 1, TagKeyThumbprint: 3, TagCertThumbprint: 3, TagCOSEKey: 1, TagPKIXASN1DERCert: 1} {
			if tags[tag] != want {
				t.Errorf("%s: %d forms of tag %d, want %d", name, tags[tag], tag, want)
			}
		}
		spki, err := x509.MarshalPKIXPublicKey(k.pub)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(spki)
		if !a.Satisfies(Authority{DigestID(TagKeyThumbprint, Digest{Alg: SHA256, Value: sum[:]})}) {
			t.Errorf("%s: the thumbprint of the key does not name it", name)
		}
		text := CanonicalKey(Text(TagPKIXBase64Key, strings.ReplaceAll(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})), "\n", "\r\n")))
		if !a.Satisfies(Authority{text}) {
			t.Errorf("%s: PEM with other line ends does not name it", name)
		}
		for _, id := range a {
			if id.Tag == TagCOSEKey && !strings.HasPrefix(string(id.Content()), k.cose) {
				t.Errorf("%s: COSE_Key %x", name, id.Content())
			}
		}
		if a.Satisfies(Authority{a[0], Bytes(TagBytes, []byte("x"))}) {
			t.Errorf("%s: a condition of two is met by one", name)
		}
	}
	if _, err := KeyAuthority("no key"); err == nil {
		t.Error("authority of what is no key")
	}
}

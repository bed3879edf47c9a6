package snp

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// AMD signs with 48 bytes of salt, and with nothing else.
func TestSaltLength(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum384([]byte("tbs"))
	for _, salt := range []int{0, 20, 32, 47, 48, 49, 64} {
		sig, err := rsa.SignPSS(rand.Reader, key, crypto.SHA384, sum[:], &rsa.PSSOptions{SaltLength: salt, Hash: crypto.SHA384})
		if salt == 0 {
			sig, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA384, sum[:])
		}
		if err != nil {
			t.Fatal(err)
		}
		err = verifyPSSBytes(&key.PublicKey, []byte("tbs"), sig)
		if salt == 48 && err != nil || salt != 48 && !fault.Is(err, fault.Signature) {
			t.Errorf("salt of %d bytes (0 is PKCS#1 v1.5): %v", salt, err)
		}
	}
}

// issue makes a CA certificate of that name under another.
func issue(t *testing.T, cn string, usage x509.KeyUsage, key *rsa.PrivateKey, issuer *x509.Certificate, issuerKey *rsa.PrivateKey) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{Subject: pkix.Name{CommonName: cn}, SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(4e9, 0),
		KeyUsage: usage, IsCA: true, BasicConstraintsValid: true, SignatureAlgorithm: x509.SHA384WithRSAPSS}
	if issuer == nil {
		issuer = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, &key.PublicKey, issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConfiguredCertificates(t *testing.T) {
	var keys [3]*rsa.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			t.Fatal(err)
		}
	}
	const sign = x509.KeyUsageCertSign
	ark := issue(t, "ARK-Milan", sign, keys[0], nil, keys[0])
	impostor := issue(t, "ARK-Milan", sign, keys[1], nil, keys[1])
	for _, tc := range []struct {
		name          string
		roots         []*x509.Certificate
		bad           bool
		arks, issuers int
	}{
		{"ARK alone", []*x509.Certificate{ark}, false, 1, 0},
		{"ARK and ASK", []*x509.Certificate{ark, issue(t, "SEV-Milan", sign, keys[2], ark, keys[0])}, false, 1, 1},
		{"ASK first, twice", []*x509.Certificate{issue(t, "SEV-Milan", sign, keys[2], ark, keys[0]), ark, ark}, false, 1, 1},
		{"roots of others", []*x509.Certificate{ark, issue(t, "Some Other Root CA", sign, keys[1], nil, keys[1]), issue(t, "ARK-Pluto", sign, keys[1], nil, keys[1])}, false, 1, 0},
		{"ARK that another signed", []*x509.Certificate{issue(t, "ARK-Milan", sign, keys[1], ark, keys[0])}, true, 0, 0},
		{"ASK without its ARK", []*x509.Certificate{issue(t, "SEV-Milan", sign, keys[2], ark, keys[0])}, true, 0, 0},
		{"ASK of another ARK of the same name", []*x509.Certificate{impostor, issue(t, "SEV-Milan", sign, keys[2], ark, keys[0])}, true, 0, 0},
		{"ASK of another line", []*x509.Certificate{ark, issue(t, "SEV-Genoa", sign, keys[2], ark, keys[0])}, true, 0, 0},
		{"ASK that may not sign certificates", []*x509.Certificate{ark, issue(t, "SEV-Milan", x509.KeyUsageDigitalSignature, keys[2], ark, keys[0])}, true, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, err := evidence.NewAnchors(evidence.AnchorsConfig{Roots: tc.roots, OnlyThese: true})
			if err != nil {
				t.Fatal(err)
			}
			tr, err := newDriver(t).trust(a)
			if tc.bad {
				if !fault.Is(err, fault.Signature) {
					t.Errorf("%v, want class signature", err)
				}
				return
			}
			if err != nil || len(tr.roots) != tc.arks || len(tr.intermediates) != tc.issuers {
				t.Errorf("%+v, %v", tr, err)
			}
		})
	}
}

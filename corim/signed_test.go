package corim_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/corim/profiles/amdsnp"
	"github.com/assay-tee/assay/internal/cosex"
	"github.com/assay-tee/assay/internal/fault"
)

// example is a small manifest under the AMD profile.
func example(t testing.TB) []byte {
	t.Helper()
	m := &corim.Manifest{
		ID:       claim.Text(claim.TagNone, "example.com/fw"),
		Profile:  amdsnp.ID,
		Validity: &corim.Validity{NotAfter: time.Unix(1900000000, 0)},
		Entities: []corim.Entity{{Name: "Example Firmware", RegID: "https://example.com", Roles: []int64{1, 2}}},
		CoMIDs: []corim.CoMID{{
			TagIdentity: corim.TagIdentity{TagID: claim.Text(claim.TagNone, "example.com/fw/1"), TagVersion: 3},
			Triples: corim.Triples{Reference: []corim.ValueTriple{{
				Environment: amdsnp.Class(false),
				Elements: []claim.Element{
					{Key: claim.Uint(amdsnp.KeyMeasurement), Values: claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: make([]byte, 48)}}}},
					{Key: claim.Uint(amdsnp.KeyReportedTCB), Values: claim.Values{SVN: &claim.SVN{Value: 7, Min: true}}},
				},
			}}},
		}},
	}
	b, err := corim.Encode(m, corim.Options{Profiles: profiles.All()})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ecKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSignAndVerifyUnderEveryAlgorithm(t *testing.T) {
	manifest := example(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, p384, p521 := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384()), ecKey(t, elliptic.P521())
	for _, tc := range []struct {
		alg int64
		key crypto.Signer
	}{
		{cosex.ES256, p256}, {cosex.ES384, p384}, {cosex.ES512, p521}, {cosex.ESP256, p256}, {cosex.ESP384, p384},
		{cosex.ESP512, p521}, {cosex.PS256, rsaKey}, {cosex.PS384, rsaKey}, {cosex.PS512, rsaKey}, {cosex.EdDSA, edKey},
		{cosex.Ed25519, edKey}, {0, p256}, {0, p384}, {0, p521}, {0, rsaKey}, {0, edKey},
	} {
		t.Run(cosex.AlgName(tc.alg), func(t *testing.T) {
			b, err := corim.Sign(manifest, tc.key, corim.SignOptions{SignerName: "Example", Alg: tc.alg, CWTClaims: true, Subject: "example.com/fw"})
			if err != nil {
				t.Fatal(err)
			}
			s, err := corim.ParseSigned(b, corim.Options{Profiles: profiles.All()})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Manifest(); !fault.Is(err, fault.Signature) {
				t.Errorf("the manifest was read before the signature was verified: %v", err)
			}
			if err := s.Verify(p256.Public()); tc.key != crypto.Signer(p256) && !fault.Is(err, fault.Signature) {
				t.Errorf("another key: %v", err)
			}
			if err := s.Verify(tc.key.Public()); err != nil {
				t.Fatal(err)
			}
			m, err := s.Manifest()
			if err != nil {
				t.Fatal(err)
			}
			if m.CoMIDs[0].TagVersion != 3 || s.SignerName() != "Example" {
				t.Errorf("read %+v", m)
			}
			if tc.alg != cosex.ES256 && tc.alg != cosex.EdDSA { // the others share all but the primitive
				return
			}
			for i := range b {
				c := append([]byte(nil), b...)
				c[i] ^= 0x10
				s, err := corim.ParseSigned(c, corim.Options{Profiles: profiles.All()})
				if err == nil {
					err = s.Verify(tc.key.Public())
				}
				if !fault.Is(err, fault.Signature) && !fault.Is(err, fault.Malformed) && !fault.Is(err, fault.Unsupported) {
					t.Fatalf("byte %d changed: %v", i, err)
				}
			}
		})
	}
}

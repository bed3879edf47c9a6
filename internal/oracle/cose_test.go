package oracle

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"github.com/veraison/go-cose"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
)

// Signed CoRIMs verify under go-cose, and what go-cose signs verifies here, under every algorithm that both know.
func TestSignedCoRIMAgreesWithGoCOSE(t *testing.T) {
	yes := true
	m := &corim.Manifest{ID: claim.Text(0, "example"), CoMIDs: []corim.CoMID{{TagIdentity: corim.TagIdentity{TagID: claim.Text(0, "tag")},
		Triples: corim.Triples{Endorsed: []corim.ValueTriple{{Environment: claim.Environment{Class: claim.Class{Vendor: claim.Some("A")}},
			Elements: []claim.Element{{Values: claim.Values{Bool: &yes}}}}}}}}}
	payload, err := corim.Encode(m, corim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	keys := map[cose.Algorithm]crypto.Signer{}
	for alg, c := range map[cose.Algorithm]elliptic.Curve{cose.AlgorithmES256: elliptic.P256(), cose.AlgorithmES384: elliptic.P384(), cose.AlgorithmES512: elliptic.P521()} {
		if keys[alg], err = ecdsa.GenerateKey(c, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []cose.Algorithm{cose.AlgorithmPS256, cose.AlgorithmPS384, cose.AlgorithmPS512} {
		keys[alg] = r
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys[cose.AlgorithmEdDSA] = ed
	for alg, key := range keys {
		ours, err := corim.Sign(payload, key, corim.SignOptions{SignerName: "A", Alg: int64(alg)})
		if err != nil {
			t.Fatal(err)
		}
		var msg cose.Sign1Message
		if err := msg.UnmarshalCBOR(ours); err != nil {
			t.Fatalf("%v: go-cose cannot read ours: %v", alg, err)
		}
		verifier, err := cose.NewVerifier(alg, key.Public())
		if err != nil {
			t.Fatal(err)
		}
		if err := msg.Verify(nil, verifier); err != nil {
			t.Errorf("%v: go-cose refuses ours: %v", alg, err)
		}
		// The headers as read by go-cose, signed by go-cose.
		signer, err := cose.NewSigner(alg, key)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := cose.Sign1(rand.Reader, signer, msg.Headers, payload, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := corim.ParseSigned(theirs, corim.Options{})
		if err != nil {
			t.Fatalf("%v: go-cose's is not read: %v", alg, err)
		}
		if err := s.Verify(key.Public()); err != nil {
			t.Errorf("%v: go-cose's does not verify: %v", alg, err)
		}
		if _, err := s.Manifest(); err != nil {
			t.Error(err)
		}
	}
}

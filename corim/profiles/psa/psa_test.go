package psa_test

import (
	"bytes"
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles/psa"
)

// implementation is the environment of a PSA implementation.
func implementation(n int) claim.Environment {
	return claim.Environment{Class: claim.Class{ID: claim.Bytes(claim.TagBytes, make([]byte, n))}}
}

func component(digest, signer int) claim.Element {
	return claim.Element{Key: claim.Text(claim.TagNone, psa.MKeyComponent), Values: claim.Values{
		Digests: []claim.Digest{{Alg: claim.SHA256, Value: make([]byte, digest)}}, CryptoKeys: []claim.ID{claim.Bytes(claim.TagBytes, make([]byte, signer))}}}
}

func TestCheckFindsWhatTheProfileForbids(t *testing.T) {
	ref := func(env claim.Environment, es ...claim.Element) corim.Triples {
		return corim.Triples{Reference: []corim.ValueTriple{{Environment: env, Elements: es}}}
	}
	with := func(change func(e *claim.Element)) corim.Triples {
		e := component(32, 32)
		change(&e)
		return ref(implementation(32), e)
	}
	instance := func(id claim.ID) claim.Environment { e := implementation(32); e.Instance = id; return e }
	key := claim.Text(claim.TagPKIXBase64Key, "-----BEGIN PUBLIC KEY-----")
	attest := func(keys ...claim.ID) corim.Triples {
		return corim.Triples{AttestKey: []corim.KeyTriple{{Environment: instance(claim.Bytes(claim.TagUEID, append([]byte{1}, make([]byte, 32)...))), Keys: keys}}}
	}
	for name, tc := range map[string]struct {
		t    corim.Triples
		errs int
	}{
		"a component":                         {ref(implementation(32), component(32, 32)), 0},
		"SHA-384 and SHA-512":                 {ref(implementation(32), component(48, 64)), 0},
		"class-id of 31 bytes":                {ref(implementation(31), component(32, 32)), 1},
		"class-id of another tag":             {ref(claim.Environment{Class: claim.Class{ID: claim.Bytes(claim.TagUUID, make([]byte, 16))}}, component(32, 32)), 1},
		"instance":                            {ref(instance(claim.Bytes(claim.TagUEID, append([]byte{1}, make([]byte, 32)...))), component(32, 32)), 0},
		"instance of another UEID type":       {ref(instance(claim.Bytes(claim.TagUEID, append([]byte{2}, make([]byte, 32)...))), component(32, 32)), 1},
		"instance of 32 bytes":                {ref(instance(claim.Bytes(claim.TagUEID, append([]byte{1}, make([]byte, 31)...))), component(32, 32)), 1},
		"instance that is no UEID":            {ref(instance(claim.Bytes(claim.TagBytes, append([]byte{1}, make([]byte, 32)...))), component(32, 32)), 1},
		"another element":                     {ref(implementation(32), claim.Element{Key: claim.Text(claim.TagNone, "psa.other")}), 1},
		"digest of 20 bytes":                  {ref(implementation(32), component(20, 32)), 1},
		"signer-id of 20 bytes":               {ref(implementation(32), component(32, 20)), 1},
		"no digests":                          {with(func(e *claim.Element) { e.Values.Digests = nil }), 1},
		"no signer-id":                        {with(func(e *claim.Element) { e.Values.CryptoKeys = nil }), 1},
		"two signer-ids":                      {with(func(e *claim.Element) { e.Values.CryptoKeys = append(e.Values.CryptoKeys, e.Values.CryptoKeys...) }), 1},
		"signer-id that is a PEM key":         {with(func(e *claim.Element) { e.Values.CryptoKeys = []claim.ID{key} }), 1},
		"a component with authorized-by":      {with(func(e *claim.Element) { e.AuthorizedBy = claim.Authority{key} }), 1},
		"an attestation key":                  {attest(key), 0},
		"two attestation keys":                {attest(key, key), 1},
		"an attestation key as a certificate": {attest(claim.Text(claim.TagPKIXBase64Cert, "x")), 1},
		"a certification under another class": {corim.Triples{Conditional: []corim.ConditionalTriple{{Conditions: []corim.ValueTriple{{Environment: implementation(16)}}}}}, 1},
	} {
		n := 0
		for _, f := range psa.Profile().Check(&corim.Manifest{CoMIDs: []corim.CoMID{{Triples: tc.t}}}) {
			if f.Err != nil {
				n++
			}
		}
		if n != tc.errs {
			t.Errorf("%s: %d errors, want %d", name, n, tc.errs)
		}
	}
}

func TestCertificationNumber(t *testing.T) {
	cp := psa.Profile().CodePoints[psa.CertificationNum]
	text := func(s string) []byte { return append([]byte{0x78, byte(len(s))}, s...) }
	for name, tc := range map[string]struct {
		in []byte
		ok bool
	}{
		"as it should be":         {text("1234567890123 - 12345"), true},
		"one digit less":          {text("123456789012 - 12345"), false},
		"something after it":      {text("1234567890123 - 12345 "), false},
		"a number":                {[]byte{0x01}, false},
		"something after the end": {append(text("1234567890123 - 12345"), 0), false},
	} {
		if err := cp.Check(tc.in); (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	same := psa.Profile().Compare(claim.ID{}, psa.CertificationNum)
	v := func(s string) claim.Values {
		return claim.Values{Ext: []claim.Extension{{Key: psa.CertificationNum, CBOR: text(s)}}}
	}
	if !same(v("1234567890123 - 12345"), v("1234567890123 - 12345")) || same(v("1234567890123 - 12345"), v("1234567890123 - 12346")) || same(claim.Values{}, claim.Values{}) {
		t.Error("certification numbers are compared wrongly")
	}
	if bytes.Equal(text("a"), text("b")) || psa.Profile().Compare(claim.ID{}, 1) != nil {
		t.Error("the profile compares what belongs to the base")
	}
}

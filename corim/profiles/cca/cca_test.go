package cca_test

import (
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles/cca"
)

func environment(n int) claim.Environment {
	return claim.Environment{Class: claim.Class{ID: claim.Bytes(claim.TagBytes, make([]byte, n))}}
}

func element(key string, v claim.Values) claim.Element {
	return claim.Element{Key: claim.Text(claim.TagNone, key), Values: v}
}

func digests(n int) claim.Values {
	return claim.Values{Digests: []claim.Digest{{Alg: claim.SHA256, Value: make([]byte, n)}}}
}

func raw(n int, mask []byte) claim.Values {
	return claim.Values{Raw: &claim.Raw{Value: make([]byte, n), Mask: mask}}
}

type row struct {
	t    corim.Triples
	errs int
}

func ref(env claim.Environment, es ...claim.Element) corim.Triples {
	return corim.Triples{Reference: []corim.ValueTriple{{Environment: env, Elements: es}}}
}

func checkAll(t *testing.T, p *corim.Profile, rows map[string]row) {
	t.Helper()
	if !p.ExactCover {
		t.Errorf("%s: the whole state has to be described", p.Name)
	}
	for name, tc := range rows {
		n := 0
		for _, f := range p.Check(&corim.Manifest{CoMIDs: []corim.CoMID{{Triples: tc.t}}}) {
			if f.Err != nil {
				n++
			}
		}
		if n != tc.errs {
			t.Errorf("%s: %d errors, want %d", name, n, tc.errs)
		}
	}
}

func TestPlatformCheck(t *testing.T) {
	v := digests(32)
	v.CryptoKeys = []claim.ID{claim.Bytes(claim.TagBytes, make([]byte, 32))}
	component := element(cca.MKeyComponent, v)
	config := element(cca.MKeyConfig, raw(4, []byte{255, 255, 0, 0}))
	checkAll(t, cca.Platform(), map[string]row{
		"components and configuration": {ref(environment(32), component, component, config), 0},
		"class-id of 16 bytes":         {ref(environment(16), component), 1},
		"configuration without a mask": {ref(environment(32), component, element(cca.MKeyConfig, raw(4, nil))), 1},
		"configuration as digests":     {ref(environment(32), component, element(cca.MKeyConfig, digests(32))), 1},
		"two configurations":           {ref(environment(32), config, config), 1},
		"component without signer":     {ref(environment(32), element(cca.MKeyComponent, digests(32))), 1},
		"an element of the realm":      {ref(environment(32), element(cca.MKeyRIM, digests(32))), 1},
		"an attestation key":           {corim.Triples{AttestKey: []corim.KeyTriple{{Environment: environment(32), Keys: []claim.ID{claim.Text(claim.TagPKIXBase64Key, "x")}}}}, 0},
		"an attestation key, opaque":   {corim.Triples{AttestKey: []corim.KeyTriple{{Environment: environment(32), Keys: []claim.ID{claim.Bytes(claim.TagBytes, []byte("x"))}}}}, 1},
	})
}

func TestRealmCheck(t *testing.T) {
	rim := element(cca.MKeyRIM, digests(32))
	checkAll(t, cca.Realm(), map[string]row{
		"initial measurement":                    {ref(environment(32), rim), 0},
		"with extensible measurements and value": {ref(environment(32), rim, element("cca.rem0", digests(32)), element("cca.rem3", digests(32)), element(cca.MKeyRPV, raw(64, nil))), 0},
		"no initial measurement":                 {ref(environment(32), element("cca.rem0", digests(32))), 1},
		"initial measurement without digests":    {ref(environment(32), element(cca.MKeyRIM, raw(32, nil))), 1},
		"a fifth register":                       {ref(environment(32), rim, element("cca.rem4", digests(32))), 1},
		"personalization value of 32 bytes":      {ref(environment(32), rim, element(cca.MKeyRPV, raw(32, nil))), 1},
		"personalization value as digests":       {ref(environment(32), rim, element(cca.MKeyRPV, digests(32))), 1},
		"class-id of another tag":                {ref(claim.Environment{Class: claim.Class{ID: claim.Bytes(claim.TagUUID, make([]byte, 16))}}, rim), 1},
	})
	if got := cca.Realm().ElementName(environment(32), claim.Text(claim.TagNone, "cca.rem0")); got != "rem0" {
		t.Errorf("name %q", got)
	}
}

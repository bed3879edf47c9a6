package rego_test

import (
	"bytes"
	"crypto/sha512"
	"testing"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence/evidencetest"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/policy/rego"
)

// A claim that is absent never turns into a yes: of the claims that the built-in policy reads, none can be taken away
// from an affirmed machine without the verdict going down.
func TestAbsentClaimsAreNotAffirmed(t *testing.T) {
	image := sha512.Sum384([]byte("image"))
	m := func(name string, n claim.Node) claim.Member { return claim.Member{Name: name, Value: n} }
	all := claim.Object{
		m("policy", claim.O(m("debug", claim.B(false)), m("migrate_ma", claim.B(false)))), m("vmpl", claim.U(0)),
		m("report_id_ma", claim.H(bytes.Repeat([]byte{0xff}, 32))), m("current_version", claim.S("1.55.29")), m("committed_version", claim.S("1.55.29")),
	}
	verdict := func(claims claim.Object) policy.Content {
		c := evidencetest.Content{TEE: "snp", Product: "Milan", Time: now, Claims: func() claim.Object { return claims },
			ECTs: []claim.ECT{{
				Environment: claim.Environment{Class: claim.Class{ID: claim.Bytes(claim.TagOID, []byte{0x2b, 6, 1, 4, 1, 0x9c, 0x78, 3, 1})}},
				Authority:   claim.Authority{claim.Bytes(claim.TagBytes, []byte("VEK"))}, CMType: claim.CMEvidence,
				Elements: []claim.Element{{Key: claim.Uint(641), Name: "measurement", Values: claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: image[:]}}}}},
			}}}
		c.Binding.Bound = true
		b, err := endorse.NewBuilder(endorse.Config{Time: now})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Local("local operator", "", []endorse.Expectation{{Name: "measurement", Values: [][]byte{image[:]}}}); err != nil {
			t.Fatal(err)
		}
		a, err := appraise.Appraise([]appraise.Input{{Verified: evidencetest.New(t, c)}}, b.Set())
		if err != nil {
			t.Fatal(err)
		}
		return decide(t, rego.Params{}, a, policy.Acceptable())
	}
	if c := verdict(all); c.Tier != claim.TierAffirming {
		t.Fatalf("with all claims: %v %v", c.Tier, c.Reasons)
	}
	for i := range all {
		less := append(append(claim.Object{}, all[:i]...), all[i+1:]...)
		if c := verdict(less); c.Tier == claim.TierAffirming || len(c.Reasons) == 0 {
			t.Errorf("without %s: %v", all[i].Name, c.Tier)
		}
	}
	for _, inner := range [][]claim.Member{{m("debug", claim.B(false))}, {m("migrate_ma", claim.B(false))}, {m("debug", claim.Null()), m("migrate_ma", claim.B(false))}, {m("debug", claim.S("false")), m("migrate_ma", claim.B(false))}} {
		broken := append(claim.Object{}, all...)
		broken[0] = m("policy", claim.O(inner...))
		if c := verdict(broken); c.Tier == claim.TierAffirming {
			t.Errorf("policy %v: %v", claim.O(inner...), c.Tier)
		}
	}
}

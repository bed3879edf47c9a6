package rego_test

import (
	"testing"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/evidencetest"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/policy/rego"
)

// A key that the guest itself put into the CPU's report may be one in software: it is as good as a TPM's only where the
// CPU's build is endorsed as binding-safe.
func TestKeyNamedByTheGuestIsNoTPM(t *testing.T) {
	m := func(name string, n claim.Node) claim.Member { return claim.Member{Name: name, Value: n} }
	pcr4 := make([]byte, 32)
	pcr4[0] = 4
	zero := make([]byte, 32)
	cpuEnv := claim.Environment{Class: claim.Class{ID: claim.Bytes(claim.TagUUID, []byte("0123456789abcdef"))}}
	ones := make([]byte, 32)
	for i := range ones {
		ones[i] = 0xff
	}
	digest := func(v []byte) claim.Values {
		return claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: v}}}
	}
	verdict := func(t *testing.T, trust string, endorsed bool, p rego.Params) policy.Content {
		t.Helper()
		cpu := evidencetest.Content{TEE: "snp", Product: "Milan", Time: now,
			Claims: func() claim.Object {
				return claim.Object{m("policy", claim.O(m("debug", claim.B(false)), m("migrate_ma", claim.B(false)))), m("vmpl", claim.U(0)),
					m("report_id_ma", claim.H(ones)), m("current_version", claim.S("1.55.29")), m("committed_version", claim.S("1.55.29"))}
			},
			ECTs: []claim.ECT{{Environment: cpuEnv, Authority: claim.Authority{claim.Bytes(claim.TagBytes, []byte("VEK"))}, CMType: claim.CMEvidence,
				Elements: []claim.Element{{Key: claim.Uint(641), Name: "measurement", Values: digest(image[:])}}}}}
		cpu.Binding.Bound = true
		tpm := evidencetest.Content{TEE: "tpm", Time: now, Parts: []evidence.Part{{Label: "snp", Verified: evidencetest.New(t, cpu)}},
			Claims: func() claim.Object {
				o := claim.Object{m("ak_trust", claim.S(trust)), m("ak_rooted", claim.B(true)), m("pcr04", claim.H(pcr4))}
				for _, n := range []string{"pcr08", "pcr09", "pcr11", "pcr12"} {
					o = append(o, m(n, claim.H(zero)))
				}
				return o
			},
			ECTs: []claim.ECT{{Environment: claim.Environment{Class: claim.Class{ID: claim.Bytes(claim.TagUUID, []byte("fedcba9876543210"))}},
				Authority: claim.Authority{claim.Bytes(claim.TagBytes, []byte("AK"))}, CMType: claim.CMEvidence,
				Elements: []claim.Element{{Key: claim.Uint(4), Name: "pcr04", Values: claim.Values{Digests: []claim.Digest{{Alg: claim.SHA256, Value: pcr4}}}}}}}}
		tpm.Binding.Bound = true
		b, err := endorse.NewBuilder(endorse.Config{Time: now})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Local("local operator", "", []endorse.Expectation{{Name: "measurement", Values: [][]byte{image[:]}}, {Name: "pcr04", Values: [][]byte{pcr4}}}); err != nil {
			t.Fatal(err)
		}
		if endorsed {
			yes := true
			err := b.Assert(&endorse.Source{Kind: "corim", ID: "build", Signer: "builder", Authority: claim.Authority{claim.Bytes(claim.TagBytes, []byte("builder"))}},
				endorse.Relations{Endorsements: []*endorse.Endorsement{{
					Conditions: []claim.ECT{{Environment: cpuEnv, Elements: []claim.Element{{Key: claim.Uint(641), Values: digest(image[:])}}}},
					Additions: []claim.ECT{{Environment: cpuEnv, CMType: claim.CMEndorsements,
						Elements: []claim.Element{{Key: claim.Text(claim.TagNone, "binding-safe"), Values: claim.Values{Bool: &yes}}}}},
				}}})
			if err != nil {
				t.Fatal(err)
			}
		}
		a, err := appraise.Appraise([]appraise.Input{{Verified: evidencetest.New(t, tpm)}}, b.Set())
		if err != nil {
			t.Fatal(err)
		}
		return decide(t, p, a, policy.Acceptable())
	}
	for _, tc := range []struct {
		name     string
		trust    string
		endorsed bool
		bare     bool
		want     claim.Tier
	}{
		{"named by the guest", "cpu", false, false, claim.TierWarning},
		{"named by an endorsed build", "cpu", true, false, claim.TierAffirming},
		{"a certificate is a matter of the operator's", "certificate", true, false, claim.TierWarning},
		{"the operator wants a TPM only", "certificate", false, true, claim.TierAffirming},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if c := verdict(t, tc.trust, tc.endorsed, rego.Params{TPM: rego.TPM{AllowBare: tc.bare}}); c.Tier != tc.want {
				t.Errorf("%v, want %v: %+v", c.Tier, tc.want, c.Reasons)
			}
		})
	}
}

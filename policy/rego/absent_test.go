package rego_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/evidencetest"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/policy/builtin"
	"github.com/assay-tee/assay/policy/rego"
)

func member(name string, n claim.Node) claim.Member { return claim.Member{Name: name, Value: n} }

// soundSNP is a CPU that the rules of SNP have nothing against, once its measurement, image, is expected.
func soundSNP(t *testing.T) *evidence.Verified {
	c := evidencetest.Content{TEE: "snp", Product: "Milan", Time: now,
		Claims: func() claim.Object {
			return claim.Object{member("policy", claim.O(member("debug", claim.B(false)), member("migrate_ma", claim.B(false)))), member("vmpl", claim.U(0)),
				member("report_id_ma", claim.H(bytes.Repeat([]byte{0xff}, 32))), member("current_version", claim.S("1.55.29")), member("committed_version", claim.S("1.55.29"))}
		},
		ECTs: []claim.ECT{{Environment: claim.Environment{Class: claim.Class{ID: claim.Bytes(claim.TagUUID, []byte("0123456789abcdef"))}},
			Authority: claim.Authority{claim.Bytes(claim.TagBytes, []byte("VEK"))}, CMType: claim.CMEvidence,
			Elements: []claim.Element{{Key: claim.Uint(641), Name: "measurement", Values: claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: image[:]}}}}}}}}
	c.Binding.Bound = true
	return evidencetest.New(t, c)
}

// layered is an Attester above that CPU with measurements by name, each of which is its own name in 32 bytes.
func layered(t *testing.T, tee string, names []string, claims claim.Object) *evidence.Verified {
	ect := claim.ECT{Environment: claim.Environment{Class: claim.Class{Vendor: claim.Some("layers")}}, Authority: claim.Authority{claim.Bytes(claim.TagBytes, []byte("key"))}, CMType: claim.CMEvidence}
	for _, n := range names {
		claims = append(claims, member(n, claim.H(valueOf(n))))
		ect.Elements = append(ect.Elements, claim.Element{Key: claim.Text(claim.TagNone, n), Name: n, Values: claim.Values{Digests: []claim.Digest{{Alg: claim.SHA256, Value: valueOf(n)}}}})
	}
	c := evidencetest.Content{TEE: tee, Time: now, Claims: func() claim.Object { return claims }, ECTs: []claim.ECT{ect}, Parts: []evidence.Part{{Label: "root", Verified: soundSNP(t)}}}
	c.Binding.Bound = true
	return evidencetest.New(t, c)
}

func valueOf(name string) []byte { return append([]byte(name), make([]byte, 32-len(name))...) }

func expecting(t *testing.T, p rego.Params, names []string, in ...*evidence.Verified) policy.Content {
	t.Helper()
	b, err := endorse.NewBuilder(endorse.Config{Time: now})
	if err != nil {
		t.Fatal(err)
	}
	list := []endorse.Expectation{{Name: "measurement", Values: [][]byte{image[:]}}}
	for _, n := range names {
		list = append(list, endorse.Expectation{Name: n, Values: [][]byte{valueOf(n)}})
	}
	if err := b.Local("local operator", "", list); err != nil {
		t.Fatal(err)
	}
	var inputs []appraise.Input
	for i, v := range in {
		inputs = append(inputs, appraise.Input{Label: fmt.Sprintf("a%d", i), Verified: v})
	}
	a, err := appraise.Appraise(inputs, b.Set())
	if err != nil {
		t.Fatal(err)
	}
	return decide(t, p, a, policy.Acceptable())
}

// Every event of a CB machine that can hold code must be vouched for, whatever it calls itself.
func TestOakLayers(t *testing.T) {
	for _, tc := range []struct {
		name     string
		types    []string
		measured []string
		expect   []string
		want     claim.Tier
	}{
		{"all events", []string{"oak.attestation.v1.Stage0Measurements", "tep.Layer1"}, []string{"kernel", "event_0", "event_1"}, []string{"kernel", "event_1"}, claim.TierAffirming},
		{"an opaque event", []string{"oak.attestation.v1.Stage0Measurements", "tep.Layer1"}, []string{"kernel", "event_0", "event_1"}, []string{"kernel"}, claim.TierWarning},
		{"an event with a name like Oak's", []string{"oak.attestation.v1.Stage0Measurements", "oak.attestation.v1.Anything"}, []string{"kernel", "event_0", "event_1"}, []string{"kernel"}, claim.TierWarning},
		{"a runtime agent", []string{"oak.attestation.v1.Stage0Measurements", "oak.attestation.v1.CbLayer1TransparentEvent"}, []string{"kernel", "event_0", "event_1", "userspace"}, []string{"kernel"}, claim.TierWarning},
		{"a runtime agent, expected", []string{"oak.attestation.v1.Stage0Measurements", "oak.attestation.v1.CbLayer1TransparentEvent"}, []string{"kernel", "event_0", "event_1", "userspace"}, []string{"kernel", "userspace"}, claim.TierAffirming},
		{"a runtime agent by its event", []string{"oak.attestation.v1.Stage0Measurements", "oak.attestation.v1.CbLayer1TransparentEvent"}, []string{"kernel", "event_0", "event_1", "userspace"}, []string{"kernel", "event_1"}, claim.TierAffirming},
		{"keys of this start", []string{"oak.attestation.v1.Stage0Measurements", "oak.attestation.v1.ApplicationKeysData"}, []string{"kernel", "event_0", "event_1"}, []string{"kernel"}, claim.TierAffirming},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var events []claim.Node
			for _, e := range tc.types {
				events = append(events, claim.O(member("type", claim.S(e))))
			}
			v := layered(t, "oak", tc.measured, claim.Object{member("platform", claim.S("AMD_SEV_SNP")), member("shape", claim.S("cb")), member("events", claim.L(events...))})
			if c := expecting(t, rego.Params{}, tc.expect, v); c.Tier != tc.want {
				t.Errorf("%v, want %v: %+v", c.Tier, tc.want, c.Reasons)
			}
		})
	}
}

// Evidence that lacks the very claim that says what was launched is not affirmed for want of something to object to.
func TestLaunchClaimThatIsNotThere(t *testing.T) {
	p := rego.Params{TPM: rego.TPM{AllowBare: true, LaunchPCRs: []uint32{9}}}
	rooted := claim.Object{member("ak_trust", claim.S("certificate")), member("ak_rooted", claim.B(true))}
	if c := expecting(t, p, []string{"pcr04", "pcr09"}, layered(t, "tpm", []string{"pcr04", "pcr09"}, rooted)); c.Tier != claim.TierAffirming {
		t.Errorf("with PCR 4: %v %+v", c.Tier, c.Reasons)
	}
	if c := expecting(t, p, []string{"pcr09"}, layered(t, "tpm", []string{"pcr09"}, rooted)); c.Tier == claim.TierAffirming {
		t.Error("a quote without PCR 4 was affirmed")
	}
	oak := func(names ...string) *evidence.Verified {
		return layered(t, "oak", names, claim.Object{member("platform", claim.S("AMD_SEV_SNP")), member("shape", claim.S("cb")), member("events", claim.L())})
	}
	if c := expecting(t, p, []string{"kernel"}, oak("kernel"), oak("event_0")); c.Tier == claim.TierAffirming {
		t.Error("an attester was affirmed on the strength of another's kernel")
	}
}

// What an operator demands of a claim is not met by evidence that lacks it.
func TestDemandsOnClaimsThatAreNotThere(t *testing.T) {
	pcf := claim.Object{member("pcf", claim.O(member("dump_allowed", claim.B(false))))}
	attributes := claim.Object{member("tcb_status", claim.S("UpToDate")), member("advisory_ids", claim.L()),
		member("attributes", claim.O(member("debug", claim.B(false)), member("init", claim.B(true)), member("provision_key", claim.B(false)), member("einittoken_key", claim.B(false))))}
	td := claim.Object{member("tcb_status", claim.S("UpToDate")), member("advisory_ids", claim.L()),
		member("td_attributes", claim.O(member("debug", claim.B(false)), member("under_debug", claim.B(false)), member("septve_disable", claim.B(true)),
			member("migratable", claim.B(false)), member("perfmon", claim.B(false)), member("unknown_bits", claim.U(0))))}
	for _, tc := range []struct {
		name, tee, launch string
		claims            claim.Object
		demand            func(*rego.Params)
	}{
		{"a policy bit that does not exist", "snp", "", nil, func(p *rego.Params) { p.SNP.PolicySet = []string{"debgu"} }},
		{"a policy bit that does not exist and must be clear", "snp", "", nil, func(p *rego.Params) { p.SNP.PolicyClear = []string{"smtt"} }},
		{"a platform bit that does not exist", "snp", "", nil, func(p *rego.Params) { p.SNP.PlatformSet = []string{"ecc"} }},
		{"chip_id", "snp", "", nil, func(p *rego.Params) { p.SNP.ChipAllow = []string{"01"} }},
		{"host_data", "snp", "", nil, func(p *rego.Params) { p.SNP.HostData = []string{"01"} }},
		{"crl", "snp", "", nil, func(p *rego.Params) { p.SNP.RequireCRL = true }},
		{"signing_key", "snp", "", nil, func(p *rego.Params) { p.SNP.DenyVLEK = true }},
		{"version", "snp", "", nil, func(p *rego.Params) { p.SNP.MinReportVersion = 2 }},
		{"guest_svn", "snp", "", nil, func(p *rego.Params) { p.SNP.MinGuestSVN = 1 }},
		{"launch_mit_vector", "snp", "", nil, func(p *rego.Params) { p.SNP.LaunchMitigations = 1 }},
		{"cuid", "se", "image_hdr_tags", pcf, func(p *rego.Params) { p.SE.CUIDs = []string{"01"} }},
		{"isv_svn", "sgx", "mr_enclave", attributes, func(p *rego.Params) { p.SGX.MinISVSVN = 1 }},
		{"isv_prod_id", "sgx", "mr_enclave", attributes, func(p *rego.Params) { p.SGX.ISVProdIDs = []uint16{1} }},
		{"mr_signer", "sgx", "mr_enclave", attributes, func(p *rego.Params) { p.SGX.MRSigner = []string{"01"} }},

		{"fmspc", "tdx", "mr_td", td, func(p *rego.Params) { p.TDX.FMSPCAllow = []string{"01"} }},
		{"platform", "tdx", "mr_td", td, func(p *rego.Params) { p.TDX.PlatformAllow = []string{"01"} }},
		{"tcb_eval_num", "tdx", "mr_td", td, func(p *rego.Params) { p.TDX.MinEvaluationNum = 1 }},
		{"mr_seam", "tdx", "mr_td", td, func(p *rego.Params) { p.TDX.MRSEAM = []string{"01"} }},
		{"tee_tcb_svn", "tdx", "mr_td", td, func(p *rego.Params) { p.TDX.MinTEETCBSVN = "01000000000000000000000000000000" }},
		{"rtmr_1", "tdx", "mr_td", td, func(p *rego.Params) { p.TDX.LaunchRTMRs = []uint32{1} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var p rego.Params
			v, names := soundSNP(t), []string(nil)
			if tc.tee != "snp" {
				names = []string{tc.launch}
				v = layered(t, tc.tee, names, tc.claims)
			}
			if c := expecting(t, p, names, v); c.Tier != claim.TierAffirming {
				t.Fatalf("without the demand: %v %+v", c.Tier, c.Reasons)
			}
			tc.demand(&p)
			if c := expecting(t, p, names, v); c.Tier == claim.TierAffirming {
				t.Error("affirmed")
			}
		})
	}
}

// A claim that is an argument under "not" is looked up before: where it is absent, the rule would silently not hold.
func TestNoClaimIsAnArgumentUnderNot(t *testing.T) {
	bad := regexp.MustCompile(`not (a\.claims\S* (in|>=|<=|>|<) |\w[\w.]*\([^)]*a\.claims)`)
	for _, f := range builtin.Files() {
		for _, line := range strings.Split(f.Text, "\n") {
			if m := bad.FindString(line); m != "" && !strings.Contains(line, "not snp_complete(a.claims)") && !strings.Contains(line, `not a.claims.tcb_status in {"UpToDate", "Revoked"}`) {
				t.Errorf("%s: %s: look it up with claimed", f.Name, strings.TrimSpace(line))
			}
		}
	}
}

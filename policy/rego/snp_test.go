package rego_test

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/snp"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/policy/rego"
	"github.com/assay-tee/assay/simulator"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

var world = sync.OnceValues(func() (*simulator.AMD, error) {
	return simulator.NewAMD(simulator.AMDConfig{Clock: func() time.Time { return now }, Products: simulator.Products(), VLEK: true, KeyBits: 2048})
})

var image = sha512.Sum384([]byte("image"))

// machine is a simulated SNP guest and what the operator knows of it.
type machine struct {
	product simulator.Product
	edit    func(*simulator.Report)
	unbound bool
	expect  []endorse.Expectation // nil: measurement = image
	nothing bool                  // expect nothing at all
	crl     bool
	more    func(*endorse.Builder) error // further statements
}

// appraise runs stages 1 to 3 on a report of m.
func (m machine) appraise(t testing.TB) *appraise.Appraisal {
	t.Helper()
	amd, err := world()
	if err != nil {
		t.Fatal(err)
	}
	if m.product == "" {
		m.product = simulator.Milan
	}
	chip, err := amd.ChipWithID(m.product, [64]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	r := chip.NewReport()
	r.Measurement, r.ReportData = image, sha512.Sum512([]byte("nonce"))
	if m.edit != nil {
		m.edit(&r)
	}
	report, err := chip.Report(r)
	if err != nil {
		t.Fatal(err)
	}
	vek, err := chip.VCEK(r.ReportedTCB)
	if r.SigningKey == simulator.SignedByVLEK {
		vek, err = amd.VLEK(m.product, r.CSP, r.ReportedTCB)
	}
	if err != nil {
		t.Fatal(err)
	}
	anchors, err := evidence.NewAnchors(amd.Anchors())
	if err != nil {
		t.Fatal(err)
	}
	bind := evidence.UnboundUnsafe()
	if !m.unbound {
		if bind, err = evidence.ExpectExact(r.ReportData[:]); err != nil {
			t.Fatal(err)
		}
	}
	driver, err := snp.New(snp.Config{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := driver.Authenticate(context.Background(), evidence.Evidence{Data: report, Endorsements: [][]byte{vek.Raw}},
		evidence.Env{Time: now, Binding: bind, Anchors: anchors})
	if err != nil {
		t.Fatal(err)
	}
	b, err := endorse.NewBuilder(endorse.Config{Time: now})
	if err != nil {
		t.Fatal(err)
	}
	if m.expect == nil {
		m.expect = []endorse.Expectation{{Name: "measurement", Values: [][]byte{image[:]}}}
	}
	if !m.nothing {
		if err := b.Local("local operator", "", m.expect); err != nil {
			t.Fatal(err)
		}
	}
	if m.more != nil {
		if err := m.more(b); err != nil {
			t.Fatal(err)
		}
	}
	a, err := appraise.Appraise([]appraise.Input{{Verified: v}}, b.Set())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// insecure are the parameters of every test: the machines are simulated.
func insecure(change func(*rego.SNP)) rego.Params {
	p := rego.Params{AllowSimulatorUnsafe: true}
	if change != nil {
		change(&p.SNP)
	}
	return p
}

func decide(t testing.TB, p rego.Params, a *appraise.Appraisal, q policy.Question) policy.Content {
	t.Helper()
	pol, err := rego.Builtin(p)
	if err != nil {
		t.Fatal(err)
	}
	d, err := pol.Decide(context.Background(), a, q)
	if err != nil {
		t.Fatal(err)
	}
	return d.Content()
}

// decideWhole asks all rules of the built-in policy: beside rules of the operator none are left out.
func decideWhole(t testing.TB, p rego.Params, a *appraise.Appraisal) policy.Content {
	t.Helper()
	return ask2(t, load(t, p, "package assay.extra\ndeny contains \"no\" if false"), a)
}

func codes(c policy.Content) string {
	var out []string
	for _, r := range c.Reasons {
		out = append(out, r.Code)
	}
	return strings.Join(out, " ")
}

const chip123 = "010203"

func chipID() string { return chip123 + strings.Repeat("00", 61) }

// Each rule of the built-in policy refuses what it guards against, with its code and value, and leaves the machine
// affirmed once the operator allows it or the machine is as wanted.
func TestBuiltinRules(t *testing.T) {
	debug := func(r *simulator.Report) { r.Policy |= 1 << 19 }
	migrate := func(r *simulator.Report) { r.Policy |= 1 << 18 }
	agent := func(r *simulator.Report) { r.ReportIDMA = [32]byte{9} }
	provisional := func(r *simulator.Report) { r.Committed.Build = r.Current.Build - 1 }
	vlek := func(r *simulator.Report) {
		r.SigningKey, r.CSP, r.ChipID = simulator.SignedByVLEK, "CN=cc-us-east-2.amazonaws.com", [64]byte{}
	}
	masked := func(r *simulator.Report) { r.ChipID = [64]byte{} }
	floor := func(least uint8) func(*rego.SNP) {
		return func(p *rego.SNP) {
			p.TCBFloor = map[string]map[string]map[string]uint8{"Milan": {"reported": {"snp": least}}}
		}
	}
	imageHex := func(b []byte) string { return hex.EncodeToString(b) }
	const aff, warn, contra, none = claim.TierAffirming, claim.TierWarning, claim.TierContraindicated, claim.TierNone
	const conf, exec, hw, id, opaque = claim.Configuration, claim.Executables, claim.Hardware, claim.InstanceIdentity, claim.RuntimeOpaque
	for _, tc := range []struct {
		name   string
		m      machine
		params func(*rego.SNP)
		tier   claim.Tier
		code   string // of the one reason beside simulator-root; "" when there is none
		member claim.VectorMember
		value  claim.TrustClaim
	}{
		{"as wanted", machine{}, nil, aff, "", exec, 3},
		{"as wanted, configuration", machine{}, nil, aff, "", conf, 2},
		{"as wanted, hardware", machine{}, nil, aff, "", hw, 2},
		{"as wanted, opaque", machine{}, nil, aff, "", opaque, 2},
		{"Genoa", machine{product: simulator.Genoa}, nil, aff, "", exec, 3},
		{"Turin", machine{product: simulator.Turin}, nil, aff, "", exec, 3},
		{"VLEK", machine{edit: vlek}, nil, aff, "", exec, 3},

		{"debug guest", machine{edit: debug}, nil, contra, "debug debug", conf, 96},
		{"debug guest, opaque", machine{edit: debug}, nil, contra, "debug debug", opaque, 96},
		{"VMPL 2", machine{edit: func(r *simulator.Report) { r.VMPL = 2 }}, nil, contra, "vmpl", conf, 96},
		{"VMPL 2 wanted", machine{edit: func(r *simulator.Report) { r.VMPL = 2 }}, func(p *rego.SNP) { p.VMPL = []uint32{2} }, aff, "", conf, 2},
		{"VMPL 0 where 2 is wanted", machine{}, func(p *rego.SNP) { p.VMPL = []uint32{2} }, contra, "vmpl", conf, 96},
		{"asked for by the host", machine{edit: func(r *simulator.Report) { r.VMPL = snp.HostVMPL }}, nil, contra, "vmpl", conf, 96},
		{"migration allowed", machine{edit: migrate}, nil, contra, "migration-agent", conf, 96},
		{"migration allowed, trusted", machine{edit: migrate}, func(p *rego.SNP) { p.AllowMigrationAgent = true }, aff, "", conf, 2},
		{"migration agent", machine{edit: agent}, nil, contra, "migration-agent", conf, 96},
		{"migration agent, trusted", machine{edit: agent}, func(p *rego.SNP) { p.AllowMigrationAgent = true }, aff, "", conf, 2},

		{"guest policy bit missing", machine{}, func(p *rego.SNP) { p.PolicySet = []string{"single_socket"} }, contra, "guest-policy", conf, 96},
		{"guest policy bit set", machine{}, func(p *rego.SNP) { p.PolicySet = []string{"smt"} }, aff, "", conf, 2},
		{"guest policy bit unwanted", machine{}, func(p *rego.SNP) { p.PolicyClear = []string{"smt"} }, contra, "guest-policy", conf, 96},
		{"guest policy bit misspelt", machine{}, func(p *rego.SNP) { p.PolicyClear = []string{"smmt"} }, contra, "guest-policy", conf, 96},
		{"platform bit missing", machine{}, func(p *rego.SNP) { p.PlatformSet = []string{"tio_en"} }, warn, "platform-info", conf, 32},
		{"platform bit unwanted", machine{edit: func(r *simulator.Report) { r.PlatformInfo |= 1 }}, func(p *rego.SNP) { p.PlatformClear = []string{"smt_en"} }, warn, "platform-info", conf, 32},
		{"platform bit set", machine{edit: func(r *simulator.Report) { r.PlatformInfo |= 1 }}, func(p *rego.SNP) { p.PlatformSet = []string{"smt_en"} }, aff, "", conf, 2},
		{"report too old", machine{}, func(p *rego.SNP) { p.MinReportVersion = 6 }, warn, "report-version", conf, 36},

		{"provisional firmware", machine{edit: provisional}, nil, warn, "provisional-firmware", hw, 32},
		{"provisional firmware allowed", machine{edit: provisional}, func(p *rego.SNP) { p.AllowProvisionalFirmware = true }, aff, "", hw, 2},
		{"TCB below the floor", machine{}, floor(255), warn, "tcb-floor", hw, 32},
		{"TCB at the floor", machine{}, floor(1), aff, "", hw, 2},
		{"floor on a component that the product lacks", machine{}, func(p *rego.SNP) {
			p.TCBFloor = map[string]map[string]map[string]uint8{"Milan": {"committed": {"fmc": 0}}}
		}, warn, "tcb-floor", hw, 32},
		{"floor with a misspelt TCB", machine{}, func(p *rego.SNP) {
			p.TCBFloor = map[string]map[string]map[string]uint8{"Milan": {"comitted": {"snp": 1}}}
		}, warn, "tcb-floor", hw, 32},
		{"floor for other products only", machine{product: simulator.Genoa}, floor(1), contra, "no-floor", hw, 97},
		{"firmware below the floor", machine{}, func(p *rego.SNP) { p.FirmwareFloor = map[string]rego.Firmware{"Milan": {Major: 1, Minor: 99}} }, warn, "firmware-floor", hw, 32},
		{"firmware above the floor, compared as numbers", machine{edit: func(r *simulator.Report) {
			r.Current, r.Committed = simulator.Version{Major: 1, Minor: 55, Build: 100}, simulator.Version{Major: 1, Minor: 55, Build: 100}
		}}, func(p *rego.SNP) {
			p.FirmwareFloor = map[string]rego.Firmware{"Milan": {Major: 1, Minor: 55, Build: 29}}
		}, aff, "", hw, 2},
		{"mitigation missing", machine{product: simulator.Turin, edit: func(r *simulator.Report) { r.LaunchMitVector, r.CurrentMitVector = 0x0b, 0x0f }},
			func(p *rego.SNP) { p.LaunchMitigations, p.CurrentMitigations = 0x0f, 0x0f }, warn, "mitigations", hw, 32},
		{"mitigations there", machine{product: simulator.Turin, edit: func(r *simulator.Report) { r.LaunchMitVector, r.CurrentMitVector = 0x3f, 1<<63 }},
			func(p *rego.SNP) { p.LaunchMitigations, p.CurrentMitigations = 0x0f, 1<<63 }, aff, "", hw, 2},
		{"mitigations asked of an old report", machine{edit: func(r *simulator.Report) { r.Version = 3 }}, func(p *rego.SNP) { p.CurrentMitigations = 1 }, warn, "mitigations", hw, 32},
		{"no revocation list", machine{}, func(p *rego.SNP) { p.RequireCRL = true }, none, "crl", hw, 1},

		{"masked chip id", machine{edit: masked}, nil, warn, "chip-id-masked", conf, 36},
		{"masked chip id allowed", machine{edit: masked}, func(p *rego.SNP) { p.AllowMaskedChipID = true }, aff, "", conf, 2},
		{"VLEK denied", machine{edit: vlek}, func(p *rego.SNP) { p.DenyVLEK = true }, contra, "vlek", id, 97},
		{"VCEK where VLEK is denied", machine{}, func(p *rego.SNP) { p.DenyVLEK = true }, aff, "", hw, 2},
		{"other provider", machine{edit: vlek}, func(p *rego.SNP) { p.CSPs = []string{"CN=somebody"} }, contra, "csp", id, 97},
		{"listed provider", machine{edit: vlek}, func(p *rego.SNP) { p.CSPs = []string{"CN=cc-us-east-2.amazonaws.com"} }, aff, "", hw, 2},
		{"chip not in the register", machine{}, func(p *rego.SNP) { p.ChipAllow = []string{"ff"} }, contra, "chip-unknown", id, 97},
		{"chip in the register", machine{}, func(p *rego.SNP) { p.ChipAllow = []string{chipID()} }, aff, "", id, 2},
		{"chip withdrawn", machine{}, func(p *rego.SNP) { p.ChipAllow, p.ChipDeny = []string{chipID()}, []string{chipID()} }, contra, "chip-denied", id, 96},
		{"chip withdrawn, in capitals", machine{}, func(p *rego.SNP) { p.ChipAllow, p.ChipDeny = []string{chipID()}, []string{strings.ToUpper(chipID())} }, contra, "chip-denied", id, 96},

		{"id key", machine{}, func(p *rego.SNP) { p.IDKeyDigests = []string{"ab"} }, contra, "id-key", conf, 96},
		{"id key listed", machine{}, func(p *rego.SNP) { p.IDKeyDigests = []string{imageHex(make([]byte, 48))} }, aff, "", conf, 2},
		{"author key", machine{}, func(p *rego.SNP) { p.AuthorKeyDigests = []string{"ab"} }, contra, "author-key", conf, 96},
		{"host data", machine{}, func(p *rego.SNP) { p.HostData = []string{"ab"} }, contra, "host-data", conf, 96},
		{"host data listed", machine{}, func(p *rego.SNP) { p.HostData = []string{imageHex(make([]byte, 32))} }, aff, "", conf, 2},
		{"guest too old", machine{}, func(p *rego.SNP) { p.MinGuestSVN = 2 }, warn, "guest-svn", exec, 32},
		{"guest new enough", machine{edit: func(r *simulator.Report) { r.GuestSVN = 10 }}, func(p *rego.SNP) { p.MinGuestSVN = 2 }, aff, "", exec, 3},

		{"nobody vouches", machine{nothing: true}, nil, warn, "not-vouched", exec, 33},
		{"another measurement expected", machine{expect: []endorse.Expectation{{Name: "measurement", Values: [][]byte{make([]byte, 48)}}}}, nil, warn, "not-as-expected", exec, 33},
		{"other host data expected", machine{expect: []endorse.Expectation{{Name: "measurement", Values: [][]byte{image[:]}}, {Name: "host_data", Values: [][]byte{image[:32]}}}}, nil, warn, "not-as-expected not-vouched", exec, 33},
		{"only host data expected", machine{expect: []endorse.Expectation{{Name: "host_data", Values: [][]byte{make([]byte, 32)}}}}, nil, warn, "not-vouched", exec, 33},
		{"unbound", machine{unbound: true}, nil, none, "unbound", exec, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := tc.m.appraise(t)
			c := decide(t, insecure(tc.params), a, policy.Acceptable())
			if diff := cmp.Diff(c, decideWhole(t, insecure(tc.params), a), cmpopts.IgnoreFields(policy.Content{}, "PolicyIDs")); diff != "" {
				t.Errorf("without the rules of other TEEs the answer differs: %s", diff)
			}
			if c.Tier != tc.tier {
				t.Errorf("tier %v, want %v", c.Tier, tc.tier)
			}
			if got := strings.TrimSpace(strings.ReplaceAll(codes(c), "simulator-root", "")); got != tc.code {
				t.Errorf("reasons %q, want %q: %+v", got, tc.code, c.Reasons)
			}
			if got := c.Attesters[0].Vector[tc.member]; !got.Set || got.V != tc.value {
				t.Errorf("%v is %+v, want %d", tc.member, got, tc.value)
			}
			if rel := decide(t, insecure(tc.params), tc.m.appraise(t), policy.MayHave("a/b/c")); rel.Allow != (tc.tier == aff) {
				t.Errorf("release allowed: %v", rel.Allow)
			}
		})
	}
}

// Without the insecure mode nothing simulated is affirmed, whatever else is right.
func TestSimulatorRootIsContraindicated(t *testing.T) {
	c := decide(t, rego.Params{}, machine{}.appraise(t), policy.Acceptable())
	if c.Tier != claim.TierContraindicated || codes(c) != "simulator-root" || c.Attesters[0].Vector[claim.Configuration].V != 96 {
		t.Errorf("%v %v", c.Tier, c.Reasons)
	}
	c = decide(t, insecure(nil), machine{}.appraise(t), policy.Acceptable())
	if codes(c) != "simulator-root" {
		t.Errorf("an insecure verdict does not say so: %v", c.Reasons)
	}
}

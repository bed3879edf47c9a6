package rego_test

import (
	"context"
	"encoding/hex"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/sgx"
	"github.com/assay-tee/assay/evidence/tdx"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/policy/rego"
	"github.com/assay-tee/assay/simulator/intel"
)

var intelWorld = sync.OnceValues(func() (*intel.World, error) {
	return intel.New(intel.Config{Clock: func() time.Time { return now }})
})

// td is a simulated TD, or an enclave, and what its collateral says.
type td struct {
	sgx     bool
	td      func(*intel.TD)
	enclave func(*intel.Enclave)
	machine intel.MachineConfig
	body    intel.BodyType
	info    func(*intel.TCBInfo)
	nothing bool                  // expect nothing
	expect  []endorse.Expectation // apart from MRTD
}

func (m td) appraise(t testing.TB) (*appraise.Appraisal, *intel.Machine) {
	t.Helper()
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w, err := intelWorld()
	fatal(err)
	machine, err := w.NewMachine(m.machine)
	fatal(err)
	col, err := machine.Collateral(!m.sgx, intel.CollateralOptions{TCBInfo: m.info})
	fatal(err)
	anchors, err := evidence.NewAnchors(w.Anchors())
	fatal(err)
	field := [64]byte{1, 2, 3}
	bind, err := evidence.ExpectExact(field[:])
	fatal(err)
	env := evidence.Env{Time: now, Binding: bind, Anchors: anchors, Collateral: col}
	var v *evidence.Verified
	expect := endorse.Expectation{Name: "mr_td", Values: [][]byte{image[:]}}
	if m.sgx {
		e := intel.Enclave{MREnclave: [32]byte(image[:32]), ReportData: field, Flags: intel.EnclaveInit | intel.EnclaveMode64, ISVSVN: 3, ISVProdID: 7}
		if m.enclave != nil {
			m.enclave(&e)
		}
		expect = endorse.Expectation{Name: "mr_enclave", Values: [][]byte{image[:32]}}
		q, err := machine.EnclaveQuote(e, intel.QuoteOptions{})
		fatal(err)
		d, err := sgx.New(sgx.Config{})
		fatal(err)
		v, err = d.Authenticate(context.Background(), evidence.Evidence{Data: q}, env)
		fatal(err)
	} else {
		r := intel.TD{MRTD: image, ReportData: field, Attributes: intel.TDSeptVEDisable}
		if m.td != nil {
			m.td(&r)
		}
		if m.body == 0 {
			m.body = intel.BodyTD10
		}
		q, err := machine.TDQuote(r, m.body, intel.QuoteOptions{})
		fatal(err)
		d, err := tdx.New(tdx.Config{})
		fatal(err)
		v, err = d.Authenticate(context.Background(), evidence.Evidence{Data: q}, env)
		fatal(err)
	}
	b, err := endorse.NewBuilder(endorse.Config{Time: now})
	fatal(err)
	if !m.nothing {
		fatal(b.Local("local operator", "", []endorse.Expectation{expect}))
	}
	if m.expect != nil {
		fatal(b.Local("local operator", "", m.expect))
	}
	a, err := appraise.Appraise([]appraise.Input{{Verified: v}}, b.Set())
	fatal(err)
	return a, machine
}

// Each rule for Intel's TEEs refuses what it guards against, with its code and value, and leaves the machine affirmed once
// the operator allows it or the machine is as wanted.
func TestIntelRules(t *testing.T) {
	attr := func(bits uint64) func(*intel.TD) { return func(r *intel.TD) { r.Attributes |= bits } }
	status := func(s string, advisories ...string) func(*intel.TCBInfo) {
		return func(i *intel.TCBInfo) { i.Levels[0].Status, i.Levels[0].Advisories = s, advisories }
	}
	accept := func(s string, advisories ...string) func(*rego.Params) {
		return func(p *rego.Params) { p.TDX.AcceptedTCBStatus, p.TDX.AllowedAdvisories = []string{s}, advisories }
	}
	tdxParams := func(f func(*rego.TDX)) func(*rego.Params) { return func(p *rego.Params) { f(&p.TDX) } }
	sgxParams := func(f func(*rego.SGX)) func(*rego.Params) { return func(p *rego.Params) { f(&p.SGX) } }
	const aff, warn, contra = claim.TierAffirming, claim.TierWarning, claim.TierContraindicated
	const conf, exec, hw, id, opaque = claim.Configuration, claim.Executables, claim.Hardware, claim.InstanceIdentity, claim.RuntimeOpaque
	zeros := strings.Repeat("00", 48)
	rtmr2 := func(r *intel.TD) { r.RTMR[2] = image }
	rtmrExpected := func(v []byte) []endorse.Expectation {
		return []endorse.Expectation{{Name: "rtmr_2", Values: [][]byte{v}}}
	}
	for _, tc := range []struct {
		name   string
		m      td
		params func(*rego.Params)
		tier   claim.Tier
		code   string
		member claim.VectorMember
		value  claim.TrustClaim
	}{
		{"TD as wanted", td{}, nil, aff, "", exec, 3},
		{"TD as wanted, hardware", td{}, nil, aff, "", hw, 2},
		{"TD as wanted, opaque", td{}, nil, aff, "", opaque, 2},
		{"TD of TDX 1.5", td{body: intel.BodyTD15}, nil, aff, "", conf, 2},
		{"enclave as wanted", td{sgx: true}, nil, aff, "", exec, 3},
		{"enclave as wanted, configuration", td{sgx: true}, nil, aff, "", conf, 2},

		{"debug TD", td{td: attr(intel.TDDebug)}, nil, contra, "debug debug", conf, 96},
		{"debug TD, opaque", td{td: attr(intel.TDDebug)}, nil, contra, "debug debug", opaque, 96},
		{"another bit of the debug group", td{td: attr(1 << 4)}, nil, contra, "debug debug", opaque, 96},
		{"debug enclave", td{sgx: true, enclave: func(e *intel.Enclave) { e.Flags |= intel.EnclaveDebug }}, nil, contra, "debug debug", opaque, 96},
		{"#VE may be injected", td{td: func(r *intel.TD) { r.Attributes, r.NoAttributes = 0, true }}, nil, contra, "sept-ve", conf, 96},
		{"#VE may be injected, allowed", td{td: func(r *intel.TD) { r.Attributes, r.NoAttributes = 0, true }}, tdxParams(func(p *rego.TDX) { p.AllowSEPTVE = true }), aff, "", conf, 2},
		{"migratable", td{td: attr(intel.TDMigratable)}, nil, contra, "migratable", conf, 96},
		{"migratable, allowed", td{td: attr(intel.TDMigratable)}, tdxParams(func(p *rego.TDX) { p.AllowMigratable = true }), aff, "", conf, 2},
		{"performance counters", td{td: attr(intel.TDPerfmon)}, nil, contra, "perfmon", conf, 96},
		{"performance counters, allowed", td{td: attr(intel.TDPerfmon)}, tdxParams(func(p *rego.TDX) { p.AllowPerfmon = true }), aff, "", conf, 2},
		{"an unknown attribute", td{td: attr(1 << 20)}, nil, contra, "attributes-unknown", conf, 96},
		{"an unknown attribute, allowed", td{td: attr(1 << 20)}, tdxParams(func(p *rego.TDX) { p.AllowUnknownAttributes = true }), aff, "", conf, 2},
		{"service TD", td{body: intel.BodyTD15, td: func(r *intel.TD) { r.MRServiceTD[0] = 1 }}, nil, contra, "service-td", conf, 96},
		{"service TD, trusted", td{body: intel.BodyTD15, td: func(r *intel.TD) { r.MRServiceTD[0] = 1 }}, tdxParams(func(p *rego.TDX) { p.ServiceTDs = []string{"01" + zeros[2:]} }), aff, "", conf, 2},
		{"privileged enclave", td{sgx: true, enclave: func(e *intel.Enclave) { e.Flags |= 0x10 }}, nil, contra, "privileged-enclave", conf, 96},

		{"hardening needed", td{info: status("SWHardeningNeeded", "INTEL-SA-1")}, nil, warn, "tcb-status", hw, 32},
		{"hardening needed, accepted with its advisory", td{info: status("SWHardeningNeeded", "INTEL-SA-1")}, accept("SWHardeningNeeded", "INTEL-SA-1"), aff, "", hw, 2},
		{"hardening needed, accepted without its advisory", td{info: status("SWHardeningNeeded", "INTEL-SA-1")}, accept("SWHardeningNeeded"), warn, "tcb-status", hw, 32},
		{"configuration needed", td{info: status("ConfigurationNeeded")}, nil, warn, "tcb-status", hw, 32},
		{"out of date", td{info: status("OutOfDate")}, nil, warn, "tcb-status", hw, 32},
		{"out of date, another status accepted", td{info: status("OutOfDate")}, accept("ConfigurationNeeded"), warn, "tcb-status", hw, 32},
		{"relaunch advised", td{body: intel.BodyTD15, td: func(r *intel.TD) { r.TEETCBSVN, r.TEETCBSVN2 = [16]byte{3, 1, 2}, &[16]byte{5, 1, 2} }}, nil, warn, "tcb-status", hw, 32},
		{"rejected advisory of an up-to-date TCB", td{info: status("UpToDate", "INTEL-SA-1")}, tdxParams(func(p *rego.TDX) { p.RejectedAdvisories = []string{"INTEL-SA-1"} }), warn, "advisory", hw, 32},
		{"rejected advisory in small letters", td{info: status("UpToDate", "INTEL-SA-1")}, tdxParams(func(p *rego.TDX) { p.RejectedAdvisories = []string{"intel-sa-1"} }), warn, "advisory", hw, 32},
		{"evaluation number too low", td{}, tdxParams(func(p *rego.TDX) { p.MinEvaluationNum = 19 }), warn, "evaluation-number", hw, 32},
		{"evaluation number reached", td{}, tdxParams(func(p *rego.TDX) { p.MinEvaluationNum = 18 }), aff, "", hw, 2},
		{"level too old", td{}, tdxParams(func(p *rego.TDX) { p.MinTCBDate = "2025-01-01T00:00:00Z" }), warn, "tcb-date", hw, 32},
		{"level new enough", td{}, tdxParams(func(p *rego.TDX) { p.MinTCBDate = "2024-01-01T00:00:00Z" }), aff, "", hw, 2},
		{"module SVN below the floor", td{}, tdxParams(func(p *rego.TDX) { p.MinTEETCBSVN = "06" + zeros[:30] }), warn, "tee-tcb-svn", hw, 32},
		{"module SVN at the floor", td{}, tdxParams(func(p *rego.TDX) { p.MinTEETCBSVN = "050102" + zeros[:26] }), aff, "", hw, 2},

		{"SMT denied", td{machine: intel.MachineConfig{SMTEnable: true}}, tdxParams(func(p *rego.TDX) { p.DenySMT = true }), warn, "platform-configuration", conf, 32},
		{"no SMT", td{}, tdxParams(func(p *rego.TDX) { p.DenySMT = true }), aff, "", conf, 2},
		{"SMT unknown (Processor CA)", td{machine: intel.MachineConfig{ProcessorCA: true}}, tdxParams(func(p *rego.TDX) { p.DenySMT = true }), warn, "platform-configuration", conf, 32},
		{"another FMSPC", td{}, tdxParams(func(p *rego.TDX) { p.FMSPCAllow = []string{"90c06f000000"} }), contra, "fmspc", hw, 97},
		{"FMSPC listed", td{}, tdxParams(func(p *rego.TDX) { p.FMSPCAllow = []string{"00806f050000"} }), aff, "", hw, 2},
		{"platform not in the register", td{}, tdxParams(func(p *rego.TDX) { p.PlatformAllow = []string{"00"} }), contra, "platform-unknown", id, 97},
		{"MRSEAM not listed", td{}, tdxParams(func(p *rego.TDX) { p.MRSEAM = []string{"ab"} }), contra, "not-listed", conf, 96},
		{"MRSEAM listed", td{}, tdxParams(func(p *rego.TDX) { p.MRSEAM = []string{zeros} }), aff, "", conf, 2},
		{"MRCONFIGID not listed", td{}, tdxParams(func(p *rego.TDX) { p.MRConfigID = []string{"ab"} }), contra, "not-listed", conf, 96},
		{"MROWNER not listed", td{}, tdxParams(func(p *rego.TDX) { p.MROwner = []string{"ab"} }), contra, "not-listed", conf, 96},
		{"MRSIGNER not listed", td{sgx: true}, sgxParams(func(p *rego.SGX) { p.MRSigner = []string{"ab"} }), contra, "not-listed", conf, 96},
		{"ISVSVN too low", td{sgx: true}, sgxParams(func(p *rego.SGX) { p.MinISVSVN = 4 }), warn, "isv-svn", exec, 33},
		{"ISVPRODID not listed", td{sgx: true}, sgxParams(func(p *rego.SGX) { p.ISVProdIDs = []uint16{1} }), contra, "isv-prod-id", exec, 96},
		{"ISVPRODID listed", td{sgx: true}, sgxParams(func(p *rego.SGX) { p.ISVProdIDs, p.MinISVSVN = []uint16{7}, 3 }), aff, "", exec, 3},
		{"settings of the other TEE do not count", td{sgx: true}, tdxParams(func(p *rego.TDX) { p.MinEvaluationNum = 99 }), aff, "", hw, 2},

		{"RTMR2 not vouched for", td{td: rtmr2}, tdxParams(func(p *rego.TDX) { p.LaunchRTMRs = []uint32{1, 2} }), warn, "not-vouched", exec, 33},
		{"RTMR2 expected", td{td: rtmr2, expect: rtmrExpected(image[:])}, tdxParams(func(p *rego.TDX) { p.LaunchRTMRs = []uint32{1, 2} }), aff, "", exec, 3},
		{"another RTMR2 expected", td{td: rtmr2, expect: rtmrExpected(make([]byte, 48))}, tdxParams(func(p *rego.TDX) { p.LaunchRTMRs = []uint32{2} }), warn, "not-vouched not-as-expected", exec, 33},
		{"RTMR4 does not exist", td{}, tdxParams(func(p *rego.TDX) { p.LaunchRTMRs = []uint32{4} }), warn, "not-vouched", exec, 33},
		{"nobody vouches for the TD", td{nothing: true}, nil, warn, "not-vouched", exec, 33},
		{"nobody vouches for the enclave", td{sgx: true, nothing: true}, nil, warn, "not-vouched", exec, 33},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := rego.Params{AllowSimulatorUnsafe: true}
			if tc.params != nil {
				tc.params(&p)
			}
			a, _ := tc.m.appraise(t)
			c := decide(t, p, a, policy.Acceptable())
			if c.Tier != tc.tier {
				t.Errorf("tier %v, want %v", c.Tier, tc.tier)
			}
			if got := strings.TrimSpace(strings.ReplaceAll(codes(c), "simulator-root", "")); got != tc.code {
				t.Errorf("reasons %q, want %q: %+v", got, tc.code, c.Reasons)
			}
			if got := c.Attesters[0].Vector[tc.member]; !got.Set || got.V != tc.value {
				t.Errorf("%v is %+v, want %d", tc.member, got, tc.value)
			}
			if rel := decide(t, p, a, policy.MayHave("a/b/c")); rel.Allow != (tc.tier == aff) {
				t.Errorf("release allowed: %v", rel.Allow)
			}
		})
	}
}

// A register of platforms makes machines recognisable, by instance id and by PPID, and a withdrawn one is refused.
func TestIntelPlatformRegister(t *testing.T) {
	for _, processor := range []bool{false, true} {
		a, m := td{machine: intel.MachineConfig{ProcessorCA: processor}}.appraise(t)
		name := hex.EncodeToString(m.PIID[:])
		if processor {
			name = hex.EncodeToString(m.PPID[:])
		}
		p := rego.Params{AllowSimulatorUnsafe: true}
		p.TDX.PlatformAllow = []string{name}
		if c := decide(t, p, a, policy.Acceptable()); c.Tier != claim.TierAffirming || c.Attesters[0].Vector[claim.InstanceIdentity].V != 2 {
			t.Errorf("listed: %v %+v", c.Tier, c.Reasons)
		}
		p.TDX.PlatformDeny = []string{strings.ToUpper(hex.EncodeToString(m.PPID[:]))}
		if c := decide(t, p, a, policy.Acceptable()); c.Tier != claim.TierContraindicated {
			t.Errorf("withdrawn: %v %+v", c.Tier, c.Reasons)
		}
	}
}

// Settings that could not be compared with anything are refused when the policy is made.
func TestIntelSettingsAreChecked(t *testing.T) {
	for name, p := range map[string]rego.Params{
		"date":            {TDX: rego.TDX{Intel: rego.Intel{MinTCBDate: "soon"}}},
		"date of SGX":     {SGX: rego.SGX{Intel: rego.Intel{MinTCBDate: "2024-13-13"}}},
		"SVN of one byte": {TDX: rego.TDX{MinTEETCBSVN: "05"}},
		"revoked":         {SGX: rego.SGX{Intel: rego.Intel{AcceptedTCBStatus: []string{"Revoked"}}}},
	} {
		if _, err := rego.Builtin(p); !fault.Is(err, fault.Policy) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

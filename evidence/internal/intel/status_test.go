package intel_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	sim "github.com/assay-tee/assay/simulator/intel"
)

func claimAt(tb testing.TB, v *evidence.Verified, path ...string) claim.Node {
	tb.Helper()
	n := claim.O(v.Claims()...)
	for _, p := range path {
		var ok bool
		if n, ok = n.Object().Get(p); !ok {
			tb.Fatalf("no claim %v", path)
		}
	}
	return n
}

// Step 11: every status of the platform, of the module and of the QE, and how they are merged.
func TestStatuses(t *testing.T) {
	platform := func(status string) sim.CollateralOptions {
		return tcb(func(i *sim.TCBInfo) { i.Levels[0].Status = status })
	}
	module := func(status, plat string) sim.CollateralOptions {
		return tcb(func(i *sim.TCBInfo) { i.Levels[0].Status, i.Modules[0].Levels[0].Status = plat, status })
	}
	qe := func(status, plat string) sim.CollateralOptions {
		return sim.CollateralOptions{TCBInfo: func(i *sim.TCBInfo) { i.Levels[0].Status = plat },
			Identity: func(d *sim.Identity) { d.Levels = []sim.SVNLevel{{ISVSVN: sim.QESVN, Status: status}} }}
	}
	const all = "ConfigurationAndSWHardeningNeeded"
	svn := func(b ...byte) (s [16]byte) { copy(s[:], b); return s }
	for _, tc := range []struct {
		name string
		s    setup
		want string
	}{
		{"SWHardeningNeeded", setup{collateral: platform("SWHardeningNeeded")}, "SWHardeningNeeded"},
		{"ConfigurationNeeded", setup{tdx: true, collateral: platform("ConfigurationNeeded")}, "ConfigurationNeeded"},
		{all, setup{collateral: platform(all)}, all},
		{"OutOfDate", setup{tdx: true, collateral: platform("OutOfDate")}, "OutOfDate"},
		{"OutOfDateConfigurationNeeded", setup{collateral: platform("OutOfDateConfigurationNeeded")}, "OutOfDateConfigurationNeeded"},
		{"platform revoked", setup{tdx: true, collateral: platform("Revoked")}, "class revoked"},
		{"module revoked", setup{tdx: true, collateral: module("Revoked", "UpToDate")}, "class revoked"},
		{"QE revoked", setup{collateral: qe("Revoked", "UpToDate")}, "class revoked"},
		{"module out of date", setup{tdx: true, collateral: module("OutOfDate", "UpToDate")}, "OutOfDate"},
		{"module out of date, platform needs configuration", setup{tdx: true, collateral: module("OutOfDate", "ConfigurationNeeded")}, "OutOfDateConfigurationNeeded"},
		{"QE out of date", setup{collateral: qe("OutOfDate", "UpToDate")}, "OutOfDate"},
		{"QE out of date, platform needs hardening", setup{collateral: qe("OutOfDate", "SWHardeningNeeded")}, "OutOfDate"},
		{"QE out of date, platform needs both", setup{collateral: qe("OutOfDate", all)}, "OutOfDateConfigurationNeeded"},
		{"an old revoked level has no influence", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Levels[1].Status = "Revoked" })}, "UpToDate"},

		{"below every level: PCESVN", setup{collateral: tcb(func(i *sim.TCBInfo) { i.Levels = i.Levels[:1]; i.Levels[0].PCESVN = 12 })}, "class unsupported"},
		{"below every level: one component", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Levels = i.Levels[:1]; i.Levels[0].SGX[15] = 4 })}, "class unsupported"},
		{"below every level: module", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Modules[0].Levels = []sim.SVNLevel{{ISVSVN: 6}} })}, "class unsupported"},
		{"below every level: QE", setup{collateral: identity(func(d *sim.Identity) { d.Levels = []sim.SVNLevel{{ISVSVN: sim.QESVN + 1}} })}, "class unsupported"},
		{"one component below the top level", setup{collateral: tcb(func(i *sim.TCBInfo) { i.Levels[0].SGX[7] = 4 })}, "OutOfDate"},
		{"unsorted levels", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { slices.Reverse(i.Levels); slices.Reverse(i.Modules[0].Levels) })}, "UpToDate"},

		// The first two TDX components belong to the module once it has an identity of its own, and only then.
		{"module version 1: components 0 and 1 do not count", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Levels[0].TDX = svn(9, 9, 2) })}, "UpToDate"},
		{"module version 1: component 2 counts", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Levels[0].TDX = svn(5, 0, 3) })}, "OutOfDate"},
		{"module version 0: component 0 counts", setup{tdx: true, td: sim.TD{TEETCBSVN: svn(5, 0, 2)}, collateral: tcb(func(i *sim.TCBInfo) { i.Levels[0].TDX = svn(6, 0, 2) })}, "OutOfDate"},
		{"module version 0: no module level", setup{tdx: true, td: sim.TD{TEETCBSVN: svn(5, 0, 2)}, collateral: module("Revoked", "UpToDate")}, "UpToDate"},
		{"module SVN selects the level, version the identity", setup{tdx: true, td: sim.TD{TEETCBSVN: svn(3, 1, 2)}}, "OutOfDate"},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.s.check(t, tc.want) })
	}
}

// Section 17: what a TD of TDX 1.5 was launched under, and what runs now.
func TestRelaunch(t *testing.T) {
	svn := func(b ...byte) *[16]byte { var s [16]byte; copy(s[:], b); return &s }
	const conf = "ConfigurationNeeded"
	for _, tc := range []struct {
		name            string
		launch, current *[16]byte
		platform        string // of the top level
		old             string // of module levels below 4
		want            string
	}{
		{"both current", svn(5, 1, 2), svn(5, 1, 2), "", "OutOfDate", "UpToDate"},
		{"module updated under the TD", svn(3, 1, 2), svn(5, 1, 2), "", "OutOfDate", "TDRelaunchAdvised"},
		{"module updated, hardening needed", svn(3, 1, 2), svn(5, 1, 2), "SWHardeningNeeded", "OutOfDate", "TDRelaunchAdvised"},
		{"module updated, configuration needed", svn(3, 1, 2), svn(5, 1, 2), conf, "OutOfDate", "TDRelaunchAdvisedConfigurationNeeded"},
		{"updated to what is out of date too", svn(2, 1, 2), svn(3, 1, 2), "", "OutOfDate", "OutOfDate"},
		{"another major version now", svn(3, 1, 2), svn(1, 3, 2), "", "OutOfDate", "TDRelaunchAdvised"},
		{"current module revoked", svn(5, 1, 2), svn(3, 1, 2), "", "Revoked", "class revoked"},
		{"launched under a revoked module", svn(3, 1, 2), svn(5, 1, 2), "", "Revoked", "class revoked"},
		{"current module unknown", svn(5, 1, 2), svn(1, 9, 2), "", "OutOfDate", "class unsupported"},
		{"current module below all levels", svn(5, 1, 2), svn(1, 1, 2), "", "OutOfDate", "class unsupported"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, body := range []sim.BodyType{sim.BodyTD15, sim.BodyTD15X} {
				s := setup{tdx: true, body: body, td: sim.TD{TEETCBSVN: *tc.launch, TEETCBSVN2: tc.current},
					collateral: tcb(func(i *sim.TCBInfo) {
						i.Levels[0].Status = tc.platform
						i.Modules[0].Levels[1].Status = tc.old
					})}
				v := s.check(t, tc.want)
				if v != nil && claimAt(t, v, "tcb", "current", "status").Text() == "" {
					t.Error("no current status")
				}
			}
		})
	}
}

// Of several documents the valid one with the highest evaluation number counts, whatever their order; a lower number
// replayed beside it changes nothing.
func TestHighestEvaluationNumberCounts(t *testing.T) {
	for name, lower := range map[string]func(*sim.TCBInfo){
		"older document calls it up to date": func(i *sim.TCBInfo) { i.Evaluation = 17 },
		"newer one is expired": func(i *sim.TCBInfo) {
			i.Evaluation, i.Issue, i.Next = 20, now.AddDate(0, -2, 0), now.AddDate(0, -1, 0)
		},
		"newer one is not yet valid": func(i *sim.TCBInfo) { i.Evaluation, i.Issue = 20, now.Add(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, first := range []bool{true, false} {
				s := setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Levels[0].Status = "OutOfDate" })}
				ev, env := s.build(t)
				c := env.Collateral.(*sim.Collateral)
				other := sim.TCBInfo{}
				m := must[*sim.Machine](t)(world(t).NewMachine(s.machine))
				other = m.CurrentTCBInfo(true)
				lower(&other)
				doc := must[[]byte](t)(world(t).TCBInfo(other))
				g := given(append(slices.Clone(c.Given()), doc))
				if first {
					g = append(given{doc}, c.Given()...)
				}
				env.Collateral = g
				v, err := s.driver(t).Authenticate(context.Background(), ev, env)
				if got := outcome(v, err); got != "OutOfDate" {
					t.Errorf("%s (%v)", got, err)
				}
			}
		})
	}
}

// One driver asked about several instants answers as a fresh one does: what is kept is tested against each clock.
func TestClocksDoNotMix(t *testing.T) {
	s := setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Next = now.Add(time.Hour) })}
	ev, env := s.build(t)
	d := s.driver(t)
	for _, at := range []time.Duration{0, time.Hour, time.Hour + time.Second, -2 * time.Hour, 0, 31 * 24 * time.Hour, 0} {
		env.Time = now.Add(at)
		warm, warmErr := d.Authenticate(context.Background(), ev, env)
		cold, coldErr := s.driver(t).Authenticate(context.Background(), ev, env)
		if outcome(warm, warmErr) != outcome(cold, coldErr) {
			t.Errorf("at %v: warm %v, cold %v", at, outcome(warm, warmErr), outcome(cold, coldErr))
		}
	}
}

// What a reader needs to know stands in the claims: partial statuses, dates, advisories, the distance to the top level.
func TestTCBClaims(t *testing.T) {
	date := time.Date(2020, 1, 2, 0, 0, 0, 0, time.UTC)
	v := setup{tdx: true, machine: sim.MachineConfig{SMTEnable: true, SGXType: 1}, collateral: sim.CollateralOptions{
		TCBInfo: func(i *sim.TCBInfo) {
			i.Levels[0].SGX[2] = 9
			i.Modules[0].Levels[0].Advisories = []string{"INTEL-SA-00002", "INTEL-SA-00615"}
		},
		Identity: func(d *sim.Identity) {
			d.Levels, d.Evaluation = []sim.SVNLevel{{ISVSVN: 3, Date: date, Advisories: []string{"INTEL-SA-00001"}}}, 17
		}}}.check(t, "OutOfDate")
	for path, want := range map[[4]string]string{
		{"tcb", "status"}:                       "OutOfDate",
		{"tcb", "date"}:                         "2020-01-02T00:00:00Z",
		{"tcb", "evaluation_number"}:            "17",
		{"tcb", "launch", "platform", "status"}: "OutOfDate",
		{"tcb", "launch", "platform", "level"}:  "1",
		{"tcb", "launch", "module", "id"}:       "TDX_01",
		{"tcb", "launch", "qe", "status"}:       "UpToDate",
		{"tcb", "below_highest_level"}:          "SGX component 3 is 3, 9 is wanted",
		{"tcb_status"}:                          "OutOfDate",
		{"pck", "fmspc"}:                        "00806f050000",
		{"pck", "smt_enabled"}:                  "true",
		{"pck", "sgx_type"}:                     "scalable",
		{"collateral_expiration_status"}:        "0",
	} {
		var p []string
		for _, s := range path {
			if s != "" {
				p = append(p, s)
			}
		}
		if got := claimAt(t, v, p...).String(); got != want {
			t.Errorf("%v is %s, want %s", p, got, want)
		}
	}
	var ids []string
	for _, n := range claimAt(t, v, "advisory_ids").List() {
		ids = append(ids, n.Text())
	}
	if want := []string{"INTEL-SA-00001", "INTEL-SA-00002", "INTEL-SA-00586", "INTEL-SA-00615"}; !slices.Equal(ids, want) {
		t.Errorf("advisories %v, want %v", ids, want)
	}
}

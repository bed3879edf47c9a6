package amdsnp_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles/amdsnp"
	"github.com/assay-tee/assay/internal/fault"
	"pgregory.net/rapid"
)

func svn(v uint64, floor bool) claim.Values {
	return claim.Values{SVN: &claim.SVN{Value: v, Min: floor}}
}

// The table of specs corim-profiles.md section 3: as integers the second line would pass.
func TestTCBIsComparedComponentByComponent(t *testing.T) {
	for _, key := range []uint64{amdsnp.KeyCurrentTCB, amdsnp.KeyReportedTCB, amdsnp.KeyCommittedTCB, amdsnp.KeyLaunchTCB} {
		cmp := amdsnp.Profile().Comparator(claim.Uint(key), 1)
		if cmp == nil {
			t.Fatalf("mkey %d has no comparator", key)
		}
		floor := svn(0x1b00000000000a04, true)
		for tcb, want := range map[uint64]bool{0x1b00000000000a04: true, 0x1c00000000000a03: false, 0x1b00000000000b04: true, 0x1a00000000000aff: false} {
			if got := cmp(floor, svn(tcb, false)); got != want {
				t.Errorf("mkey %d, %#x: %t", key, tcb, got)
			}
		}
		for name, tc := range map[string]struct {
			c, a claim.Values
			want bool
		}{
			"exact":                         {svn(7, false), svn(7, false), true},
			"exact, higher":                 {svn(7, false), svn(8, false), false},
			"endorsed floor, plain":         {svn(7, false), svn(7, true), false},
			"endorsed floor, same floor":    {svn(7, true), svn(7, true), true},
			"endorsed floor, lower floor":   {svn(6, true), svn(7, true), false},
			"no svn in the evidence":        {svn(0, true), claim.Values{}, false},
			"no svn in the condition":       {claim.Values{}, svn(1, false), false},
			"microcode buys no SNP levels":  {svn(0x0100050000000000, true), svn(0x0200040000000000, false), false},
			"a zero floor is always met":    {svn(0, true), svn(0, false), true},
			"Turin's SNP byte is looked at": {svn(0x05000000, true), svn(0xff00000004ffffff, false), false},
		} {
			if got := cmp(tc.c, tc.a); got != tc.want {
				t.Errorf("%s: %t", name, got)
			}
		}
	}
	if amdsnp.Profile().Comparator(claim.Uint(amdsnp.KeyGuestSVN), 1) != nil {
		t.Error("GUEST_SVN is one number and follows the base rule")
	}
}

func TestTCBOrderIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := rapid.Uint64().Draw(t, "a"), rapid.Uint64().Draw(t, "b"), rapid.Uint64().Draw(t, "c")
		if !amdsnp.TCBAtLeast(a, a) {
			t.Fatal("not reflexive")
		}
		if amdsnp.TCBAtLeast(a, b) && amdsnp.TCBAtLeast(b, c) && !amdsnp.TCBAtLeast(a, c) {
			t.Fatal("not transitive")
		}
		if amdsnp.TCBAtLeast(a, b) && a < b {
			t.Fatal("passes where even the integer rule refuses")
		}
	})
}

func TestHostDataInTheDraftsForm(t *testing.T) {
	cmp := amdsnp.Profile().Comparator(claim.Uint(amdsnp.KeyHostData), 2)
	host := bytes.Repeat([]byte{7}, 32)
	cond := claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: host}}}
	if !cmp(cond, claim.Values{Raw: &claim.Raw{Value: host}}) {
		t.Error("equal bytes do not match")
	}
	other := bytes.Clone(host)
	other[31]++
	if cmp(cond, claim.Values{Raw: &claim.Raw{Value: other}}) || cmp(cond, claim.Values{}) || cmp(claim.Values{}, claim.Values{Raw: &claim.Raw{Value: host}}) {
		t.Error("something else matches")
	}
	// The odd digest reads for this mkey under this profile only.
	for key, want := range map[uint64]bool{amdsnp.KeyHostData: true, amdsnp.KeyMeasurement: false} {
		c := &corim.CoMID{TagIdentity: corim.TagIdentity{TagID: claim.Text(0, "t")}, Triples: corim.Triples{Reference: []corim.ValueTriple{{
			Environment: amdsnp.Class(false), Elements: []claim.Element{{Key: claim.Uint(key), Values: cond}}}}}}
		_, err := corim.EncodeCoMID(c, corim.Options{Profile: amdsnp.Profile()})
		if (err == nil) != want {
			t.Errorf("mkey %d: %v", key, err)
		}
		if _, err := corim.EncodeCoMID(c, corim.Options{}); !fault.Is(err, fault.Malformed) {
			t.Errorf("mkey %d without the profile: %v", key, err)
		}
	}
}

func TestCheckFindsWhatTheProfileForbids(t *testing.T) {
	digest := claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: make([]byte, 48)}}}
	ref := func(env claim.Environment, es ...claim.Element) *corim.Manifest {
		return &corim.Manifest{CoMIDs: []corim.CoMID{{Triples: corim.Triples{Reference: []corim.ValueTriple{{Environment: env, Elements: es}}}}}}
	}
	vendor := amdsnp.Class(false)
	vendor.Class.Vendor = claim.Some("AMD")
	el := func(key uint64, v claim.Values) claim.Element { return claim.Element{Key: claim.Uint(key), Values: v} }
	product := "Milan"
	for name, tc := range map[string]struct {
		m           *corim.Manifest
		errs, warns int
	}{
		"good":                     {ref(amdsnp.Class(false), el(amdsnp.KeyMeasurement, digest)), 0, 0},
		"VLEK":                     {ref(amdsnp.Class(true), el(amdsnp.KeyMeasurement, digest)), 0, 0},
		"another class":            {ref(claim.Environment{Class: claim.Class{ID: claim.Bytes(claim.TagBytes, []byte("x"))}}, el(amdsnp.KeyMeasurement, digest)), 1, 0},
		"a vendor":                 {ref(vendor, el(amdsnp.KeyMeasurement, digest)), 1, 0},
		"REPORT_DATA":              {ref(amdsnp.Class(false), el(amdsnp.KeyReportData, claim.Values{Raw: &claim.Raw{Value: make([]byte, 64)}})), 1, 0},
		"unknown mkey":             {ref(amdsnp.Class(false), el(9999, digest)), 1, 0},
		"measurement as raw value": {ref(amdsnp.Class(false), el(amdsnp.KeyMeasurement, claim.Values{Raw: &claim.Raw{Value: make([]byte, 48)}})), 1, 0},
		"policy of 4 bytes":        {ref(amdsnp.Class(false), el(amdsnp.KeyPolicy, claim.Values{Raw: &claim.Raw{Value: make([]byte, 4)}})), 1, 0},
		"TCB floor alone":          {ref(amdsnp.Class(false), el(amdsnp.KeyReportedTCB, svn(7, true))), 0, 1},
		"TCB floor with product": {ref(amdsnp.Class(false), el(amdsnp.KeyReportedTCB, svn(7, true)),
			claim.Element{Key: claim.Text(0, amdsnp.KeyProduct), Values: claim.Values{Name: &product}}), 0, 0},
	} {
		errs, warns := 0, 0
		for _, f := range amdsnp.Profile().Check(tc.m) {
			if f.Err != nil {
				errs++
			} else {
				warns++
			}
		}
		if errs != tc.errs || warns != tc.warns {
			t.Errorf("%s: %d errors and %d warnings, want %d and %d", name, errs, warns, tc.errs, tc.warns)
		}
	}
}

func TestOurVectorHasOnlyItsWarning(t *testing.T) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set")
	}
	b, err := os.ReadFile(filepath.Join(dir, "corim", "ours", "snp-ex.cbor"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := corim.Decode(b, corim.Options{Profiles: corim.NewRegistry(amdsnp.Profile())})
	if err != nil {
		t.Fatal(err)
	}
	fs := amdsnp.Profile().Check(m)
	if len(fs) != 1 || fs[0].Err != nil || fs[0].Warning == "" {
		t.Errorf("%+v", fs)
	}
}

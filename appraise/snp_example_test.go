package appraise

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/corim/profiles/amdsnp"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence/evidencetest"
)

const exampleMeasurement = "20ec0dbd1c0a26d184a6f11ec5a796d68ec03c9d101bdd84c03f3d9cbbc4a292a9fad098edacfa04da0da58f20be885e"

// snpExample is a statement about a firmware: its measurement, debug and migration forbidden, VMPL 0 or 1, and a series
// on the TCB.
func snpExample(t testing.TB) *corim.Manifest {
	tcb := func(floor uint64) []claim.Element {
		return []claim.Element{{Key: claim.Uint(amdsnp.KeyReportedTCB), Values: claim.Values{SVN: &claim.SVN{Value: floor, Min: true}}}}
	}
	status := func(s string) []claim.Element {
		return []claim.Element{{Key: claim.Text(claim.TagNone, "tcb-status"), Values: claim.Values{Name: &s}}}
	}
	lo, hi := claim.IntOf(0), claim.IntOf(1)
	return &corim.Manifest{ID: claim.Text(claim.TagNone, "example.com/ovmf/snp"), Profile: amdsnp.ID, CoMIDs: []corim.CoMID{{
		TagIdentity: corim.TagIdentity{TagID: claim.Text(claim.TagNone, "example.com/ovmf/snp/4vcpu")},
		Triples: corim.Triples{
			Reference: []corim.ValueTriple{{Environment: amdsnp.Class(false), Elements: []claim.Element{
				{Key: claim.Uint(641), Values: claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: unhex(t, exampleMeasurement)}}}},
				{Key: claim.Uint(2), Values: claim.Values{Raw: &claim.Raw{Value: unhex(t, "0000020000000000"), Mask: unhex(t, "00000e0000000000")}}},
				{Key: claim.Uint(5), Values: claim.Values{IntRange: &claim.IntRange{Range: &claim.Range[claim.Int]{Min: &lo, Max: &hi}}}}}}},
			Series: []corim.SeriesTriple{{Environment: amdsnp.Class(false), Items: []corim.SeriesItem{
				{Condition: tcb(0x1b00000000000a04), Addition: status("UpToDate")}, {Condition: tcb(0), Addition: status("OutOfDate")}}}},
		}}}}
}

func exampleGuest(t testing.TB, tcb uint64, policy string, vmpl int64) claim.ECT {
	e := amdsnp.Class(false)
	e.Instance = claim.Bytes(claim.TagBytes, []byte("chip"))
	v := claim.IntOf(vmpl)
	return claim.ECT{Environment: e, CMType: claim.CMEvidence, Authority: ekAuth, Profile: amdsnp.ID, Elements: []claim.Element{
		{Key: claim.Uint(641), Name: "measurement", Values: claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: unhex(t, exampleMeasurement)}}}},
		{Key: claim.Uint(2), Name: "policy", Values: claim.Values{Raw: &claim.Raw{Value: unhex(t, policy)}}},
		{Key: claim.Uint(5), Name: "vmpl", Values: claim.Values{IntRange: &claim.IntRange{Value: &v}}},
		{Key: claim.Uint(amdsnp.KeyReportedTCB), Name: "reported_tcb", Values: claim.Values{SVN: &claim.SVN{Value: tcb}}}}}
}

// The worked example of specs corim-profiles.md section 3: the TCB is compared component by component.
func TestSNPExample(t *testing.T) {
	raw, err := corim.Encode(snpExample(t), corim.Options{Profiles: profiles.All()})
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string][]byte{"made here": raw}
	if dir := os.Getenv("ASSAY_VECTORS"); dir != "" {
		if docs["vector"], err = os.ReadFile(filepath.Join(dir, "corim", "ours", "snp-ex.cbor")); err != nil {
			t.Fatal(err)
		}
	}
	for name, doc := range docs {
		b, err := endorse.NewBuilder(endorse.Config{Time: now, Profiles: profiles.All()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.AdmitUnsigned(doc, "admin"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		set := b.Set()
		look := func(tcb uint64, policy string, vmpl int64) *Attester {
			return appraise1(t, evidencetest.New(t, evidencetest.Content{TEE: "snp", Time: now, ECTs: []claim.ECT{exampleGuest(t, tcb, policy, vmpl)}}), set)
		}
		for tcb, want := range map[uint64]string{0x1b00000000000a04: "UpToDate", 0x1c00000000000a03: "OutOfDate", 0x1b00000000000b04: "UpToDate", 0x1a00000000000aff: "OutOfDate"} {
			a := look(tcb, "0000020000000000", 0)
			if got := endorsedNames(a); got != "tcb-status="+want {
				t.Errorf("%s: TCB %#x: %s, want %s", name, tcb, got, want)
			}
			if !a.line(t, "measurement").Accepted {
				t.Errorf("%s: TCB %#x: the measurement is not accepted: %+v", name, tcb, a.line(t, "measurement").Nearest)
			}
		}
		for _, tc := range []struct {
			what, policy string
			vmpl         int64
			why          string
		}{{"debug", "00000a0000000000", 0, "bit 19"}, {"migration", "0000060000000000", 1, "bit 18"}, {"VMPL 2", "0000020000000000", 2, "vmpl"}} {
			l := look(0x1b00000000000a04, tc.policy, tc.vmpl).line(t, "measurement")
			if l.Accepted || l.Nearest == nil || !strings.Contains(l.Nearest.Why, tc.why) {
				t.Errorf("%s: %s: %+v %+v", name, tc.what, l.Accepted, l.Nearest)
			}
		}
	}
}

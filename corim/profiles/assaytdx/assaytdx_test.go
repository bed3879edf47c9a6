package assaytdx_test

import (
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles/assaytdx"
	"github.com/assay-tee/assay/corim/profiles/intel"
)

func TestReportDataIsNoReferenceValue(t *testing.T) {
	for key, errs := range map[string]int{assaytdx.MKeyReportData: 1, assaytdx.MKeyMRTD: 0, assaytdx.MKeyRTMR: 0, assaytdx.MKeyMRConfigID: 0} {
		m := &corim.Manifest{CoMIDs: []corim.CoMID{{Triples: corim.Triples{Reference: []corim.ValueTriple{{Environment: assaytdx.TD(),
			Elements: []claim.Element{{Key: claim.Text(claim.TagNone, key), Values: claim.Values{Raw: &claim.Raw{Value: make([]byte, 64)}}}}}}}}}}
		n := 0
		for _, f := range assaytdx.Profile().Check(m) {
			if f.Err != nil {
				n++
			}
		}
		if n != errs {
			t.Errorf("%s: %d errors, want %d", key, n, errs)
		}
	}
}

// A16: the rules of Intel's profile for masks of another length hold under that profile only; here masks have the
// length of the value.
func TestMasksKeepTheBaseRule(t *testing.T) {
	key := claim.Text(claim.TagNone, assaytdx.MKeyAttributes)
	const rawValue = 4
	if assaytdx.Profile().Comparator(key, rawValue) != nil {
		t.Error("raw values are compared by a rule of the profile")
	}
	if intel.Profile().Comparator(key, rawValue) == nil {
		t.Error("Intel's profile has no rule of its own for raw values")
	}
}

func TestEnvironmentsDiffer(t *testing.T) {
	all := []claim.Environment{assaytdx.TD(), assaytdx.SEAM(), assaytdx.QE(), assaytdx.Platform()}
	for i, a := range all {
		if a.IsZero() {
			t.Errorf("environment %d names nothing", i)
		}
		for j, b := range all {
			if i != j && a.Contains(b) {
				t.Errorf("environment %d contains %d", i, j)
			}
		}
	}
	if got := assaytdx.Profile().ElementName(assaytdx.TD(), claim.Text(claim.TagNone, assaytdx.MKeyMRTD)); got != "mrtd" {
		t.Errorf("name %q", got)
	}
}

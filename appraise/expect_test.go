package appraise

import (
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/evidencetest"
)

// What the operator expects together may be about a vTPM and the CPU below it: each is held against its own claims, and a
// claim that neither has is missed by both.
func TestExpectationOfSeveralAttesters(t *testing.T) {
	image := digest384("image")[0].Value
	cpu := verified(t, snpGuest("chip", "image"))
	pcr := claim.ECT{Environment: claim.Environment{Class: claim.Class{ID: claim.Bytes(claim.TagBytes, []byte("tpm"))}}, Authority: claim.Authority{claim.Bytes(claim.TagBytes, []byte("ak"))},
		CMType: claim.CMEvidence, Elements: []claim.Element{{Key: claim.Uint(4), Name: "pcr04", Field: "PCR 4", Values: claim.Values{Raw: &claim.Raw{Value: []byte{4}}}}}}
	lead := evidencetest.New(t, evidencetest.Content{TEE: "az", Time: now, ECTs: []claim.ECT{pcr}, Root: evidence.Root{Name: "ARK-Milan"},
		Parts: []evidence.Part{{Label: "snp", Verified: cpu}}})
	for _, tc := range []struct {
		name               string
		measurement, pcr04 []byte
		more               string
		leadOK, cpuOK      bool
		leadUnmet          int
		cpuUnmet           int
	}{
		{"both as expected", image, []byte{4}, "", true, true, 0, 0},
		{"another PCR", image, []byte{5}, "", false, true, 1, 0},
		{"another measurement", []byte{1}, []byte{4}, "", true, false, 0, 1},
		{"a claim that nobody has", image, []byte{4}, "pcr99", false, false, 2, 1},
	} {
		b := builder(t)
		expect := []endorse.Expectation{{Name: "measurement", Values: [][]byte{tc.measurement}}, {Name: "pcr04", Values: [][]byte{tc.pcr04}}}
		if tc.more != "" {
			expect = append(expect, endorse.Expectation{Name: tc.more, Values: [][]byte{{1}}})
		}
		if err := b.Local("--expect", "", expect); err != nil {
			t.Fatal(err)
		}
		a, err := Appraise([]Input{{Verified: lead}}, b.Set())
		if err != nil {
			t.Fatal(err)
		}
		l, c := a.Attesters()[0], a.Attesters()[1]
		if l.line(t, "pcr04").Accepted != tc.leadOK || c.line(t, "measurement").Accepted != tc.cpuOK || len(l.Unmet) != tc.leadUnmet || len(c.Unmet) != tc.cpuUnmet {
			t.Errorf("%s: lead %+v %+v, cpu %+v %+v", tc.name, l.line(t, "pcr04"), l.Unmet, c.line(t, "measurement"), c.Unmet)
		}
	}
}

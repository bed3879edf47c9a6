package intel_test

import (
	"testing"
	"time"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/endorse"
	sim "github.com/assay-tee/assay/simulator/intel"
)

// What Intel signed stands in the trail like any statement: who signed it, until when, and what it says here.
func TestVendorStatementsInTheTrail(t *testing.T) {
	v := setup{tdx: true, collateral: sim.CollateralOptions{
		TCBInfo: func(i *sim.TCBInfo) {
			i.Levels[0].Status, i.Levels[0].Advisories, i.Evaluation, i.Next = "SWHardeningNeeded", []string{"INTEL-SA-00001"}, 19, now.Add(48*time.Hour)
		},
		Identity: func(d *sim.Identity) { d.Levels = []sim.SVNLevel{{ISVSVN: 3}} }}}.check(t, "SWHardeningNeeded")
	b := must[*endorse.Builder](t)(endorse.NewBuilder(endorse.Config{Time: now}))
	a := must[*appraise.Appraisal](t)(appraise.Appraise([]appraise.Input{{Verified: v}}, b.Set()))
	got := map[string]appraise.Entry{}
	for _, e := range a.Attesters()[0].Endorsed {
		got[e.Claim] = e
	}
	for name, id := range map[string]string{
		"tcb_status": "Intel TCBInfo TDX 00806f050000, evaluation 19", "platform_tcb_status": "Intel TCBInfo TDX 00806f050000, evaluation 19",
		"module_tcb_status": "Intel TCBInfo TDX 00806f050000, evaluation 19", "qe_tcb_status": "Intel enclave identity TD_QE, evaluation 18",
	} {
		e, ok := got[name]
		if !ok || len(e.Vouchers) != 1 {
			t.Errorf("%s: %+v", name, e)
			continue
		}
		if s := e.Vouchers[0].Source; s.Kind != "vendor" || s.ID != id || s.Signer != "Intel SGX TCB Signing" || s.Anchor != "Intel SGX Root CA" || len(s.SHA256) != 64 || len(s.SignerKey) != 64 {
			t.Errorf("%s: source %+v", name, s)
		}
	}
	if until := got["tcb_status"].Vouchers[0].NotAfter; !until.Equal(now.Add(48 * time.Hour)) {
		t.Errorf("valid until %v", until)
	}
}

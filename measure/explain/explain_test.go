package explain_test

import (
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure/explain"
	"github.com/assay-tee/assay/measure/measuretest"
	"github.com/assay-tee/assay/measure/ovmf"
	"github.com/assay-tee/assay/measure/snp"
)

func image(t testing.TB) *ovmf.Image {
	t.Helper()
	img, err := ovmf.Parse(measuretest.SNPFirmware(64 << 10))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// Every launcher's prediction is found again, with its vCPU count.
func TestFindsWhatWasPredicted(t *testing.T) {
	img := image(t)
	for name, cfg := range map[string]snp.Config{
		"QEMU":     {Plan: snp.PlanFor(snp.QEMU), Signature: 0xb00f00, Features: 0x201, VCPUs: []int{3}},
		"old host": {Plan: snp.PlanFor(snp.QEMU, snp.QuirkFPUZero), Signature: 0x830f10, Features: 1, VCPUs: []int{512}},
		"EC2":      {Plan: snp.PlanFor(snp.EC2), Features: 0x21, VCPUs: []int{2}},
		"GCE":      {Plan: snp.PlanFor(snp.GCE), Features: 1, VCPUs: []int{1}},
		"KRUN":     {Plan: snp.PlanFor(snp.KRUN), Features: 1, VCPUs: []int{7}},
	} {
		cfg.Firmware = img
		res, err := snp.Predict(cfg)
		if err != nil {
			t.Fatal(err)
		}
		rep, err := explain.Run(explain.Input{Target: res.Values[0].Digest[:], Firmware: img, Limit: 1 << 30})
		if err != nil || len(rep.Hits) == 0 || rep.Hits[0].VCPUs != cfg.VCPUs[0] || rep.Hits[0].Verb != "snp" {
			t.Errorf("%s: %+v, %v", name, rep, err)
		}
	}
}

func TestTheLimitBoundsTheSearch(t *testing.T) {
	last := 0
	rep, err := explain.Run(explain.Input{Target: make([]byte, 48), Firmware: image(t), Limit: 2000, Progress: func(n int) { last = n }})
	if err != nil || rep.Complete || rep.Tried < 2000 || rep.Tried > 2000+explain.MaxVCPUs+1 || last != rep.Tried || len(rep.Space) == 0 {
		t.Errorf("%+v, %v", rep, err)
	}
	for name, in := range map[string]explain.Input{"no limit": {Target: make([]byte, 48)}, "no target": {Limit: 1}, "nothing to search with": {Target: make([]byte, 48), Limit: 1}} {
		if _, err := explain.Run(in); !fault.Is(err, fault.Usage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

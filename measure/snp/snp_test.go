package snp_test

import (
	"crypto/sha512"
	"fmt"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/measuretest"
	"github.com/assay-tee/assay/measure/ovmf"
	"github.com/assay-tee/assay/measure/snp"
)

func parse(t testing.TB, b []byte) *ovmf.Image {
	t.Helper()
	img, err := ovmf.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func base(t testing.TB) snp.Config {
	return snp.Config{Firmware: parse(t, measuretest.SNPFirmware(64<<10)), Plan: snp.PlanFor(snp.QEMU), VCPUs: []int{1}, Signature: 0x800f12, Features: 1}
}

func digest(t testing.TB, cfg snp.Config) measure.SHA384 {
	t.Helper()
	res, err := snp.Predict(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return res.Values[len(res.Values)-1].Digest
}

func TestRangeGivesWhatSingleCountsGive(t *testing.T) {
	cfg := base(t)
	cfg.VCPUs = nil
	for n := range 512 {
		cfg.VCPUs = append(cfg.VCPUs, 512-n)
	}
	res, err := snp.Predict(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Values) != 512 {
		t.Fatalf("%d values", len(res.Values))
	}
	for _, n := range []int{1, 2, 3, 64, 511, 512} {
		cfg.VCPUs = []int{n}
		if got := res.Values[n-1]; got.VCPUs != n || got.Digest != digest(t, cfg) {
			t.Errorf("%d vCPUs: the range differs from the single count", n)
		}
	}
}

func TestEveryInputCounts(t *testing.T) {
	kernel := &snp.KernelHashes{}
	other := &snp.KernelHashes{Initrd: [32]byte{1}}
	seen := map[measure.SHA384]string{}
	for name, edit := range map[string]func(*snp.Config){
		"base":             func(*snp.Config) {},
		"two vCPUs":        func(c *snp.Config) { c.VCPUs = []int{2} },
		"signature":        func(c *snp.Config) { c.Signature++ },
		"features":         func(c *snp.Config) { c.Features = 0x21 },
		"kernel":           func(c *snp.Config) { c.Kernel = kernel },
		"other initrd":     func(c *snp.Config) { c.Kernel = other },
		"EC2":              func(c *snp.Config) { c.Plan = snp.PlanFor(snp.EC2) },
		"EC2, rdx 0":       func(c *snp.Config) { c.Plan = snp.PlanFor(snp.EC2, snp.QuirkEC2RDXZero) },
		"GCE":              func(c *snp.Config) { c.Plan = snp.PlanFor(snp.GCE) },
		"stage0":           func(c *snp.Config) { c.Plan = snp.PlanFor(snp.Stage0) },
		"KRUN":             func(c *snp.Config) { c.Plan = snp.PlanFor(snp.KRUN) },
		"old host":         func(c *snp.Config) { c.Plan = snp.PlanFor(snp.QEMU, snp.QuirkFPUZero) },
		"52 address bits":  func(c *snp.Config) { c.Plan.VMSAGPA = snp.VMSAGPAByWidth(52) },
		"digest given":     func(c *snp.Config) { c.FirmwareLD = &measure.SHA384{1} },
		"another firmware": func(c *snp.Config) { c.Firmware = parse(t, measuretest.SNPFirmware(68<<10)) },
	} {
		cfg := base(t)
		edit(&cfg)
		d := digest(t, cfg)
		if was, twice := seen[d]; twice {
			t.Errorf("%s and %s give the same digest", name, was)
		}
		seen[d] = name
	}
}

func TestGivenFirmwareDigestIsTheSameAsMeasuring(t *testing.T) {
	cfg := base(t)
	want := digest(t, cfg)
	ld, err := snp.FirmwareDigest(cfg.Firmware)
	if err != nil {
		t.Fatal(err)
	}
	cfg.FirmwareLD = &ld
	if got := digest(t, cfg); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestTraceEndsInTheResult(t *testing.T) {
	cfg := base(t)
	cfg.Trace, cfg.VCPUs = true, []int{3}
	res, err := snp.Predict(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Steps) != 1+len(measuretest.Sections())+3 {
		t.Errorf("%d steps", len(res.Steps))
	}
	if last := res.Steps[len(res.Steps)-1]; last.After != res.Values[0].Digest.String() || last.Kind != "VMSA" {
		t.Errorf("last step %+v", last)
	}
}

func TestRefusals(t *testing.T) {
	kernel := &snp.KernelHashes{}
	sections := measuretest.Sections()
	noHashes := append(append([][3]uint32{}, sections[:5]...), sections[6])
	for _, tc := range []struct {
		name  string
		edit  func(*snp.Config)
		class fault.Class
	}{
		{"no count", func(c *snp.Config) { c.VCPUs = nil }, fault.Usage},
		{"count 0", func(c *snp.Config) { c.VCPUs = []int{0} }, fault.Usage},
		{"negative count", func(c *snp.Config) { c.VCPUs = []int{4, -1} }, fault.Usage},
		{"count above the limit", func(c *snp.Config) { c.VCPUs = []int{snp.MaxVCPUs + 1} }, fault.Usage},
		{"no firmware", func(c *snp.Config) { c.Firmware = parse(t, make([]byte, 8192)) }, fault.Malformed},
		{"no whole pages", func(c *snp.Config) { c.Firmware = parse(t, measuretest.SNPFirmware(8192+512)) }, fault.Malformed},
		{"no SEV metadata", func(c *snp.Config) { c.Firmware = parse(t, measuretest.Firmware(8192)) }, fault.Unsupported},
		{"kernel without section", func(c *snp.Config) {
			c.Firmware, c.Kernel = parse(t, measuretest.SNPFirmware(8192, noHashes...)), kernel
		}, fault.Unsupported},
		{"kernel with stage0's launcher", func(c *snp.Config) { c.Plan, c.Kernel = snp.PlanFor(snp.Stage0), kernel }, fault.Unsupported},
		{"hashes section of two pages", func(c *snp.Config) {
			c.Firmware, c.Kernel = parse(t, measuretest.SNPFirmware(8192, [3]uint32{0x810000, 0x2000, 0x10})), kernel
		}, fault.Malformed},
		{"hashes table outside its section", func(c *snp.Config) {
			c.Firmware, c.Kernel = parse(t, measuretest.SNPFirmware(8192, [3]uint32{0x820000, 0x1000, 0x10})), kernel
		}, fault.Malformed},
		{"two CPUID pages", func(c *snp.Config) {
			c.Firmware = parse(t, measuretest.SNPFirmware(8192, [3]uint32{0x810000, 0x2000, 3}))
		}, fault.Unsupported},
		{"legacy boot of a small ROM", func(c *snp.Config) { c.LowCopy = true }, fault.Malformed},
	} {
		cfg := base(t)
		tc.edit(&cfg)
		if _, err := snp.Predict(cfg); !fault.Is(err, tc.class) {
			t.Errorf("%s: %v, want class %v", tc.name, err, tc.class)
		}
	}
}

func TestHashesTableOutsideOrCrossing(t *testing.T) {
	build := func(base uint32) *ovmf.Image {
		img := measuretest.Firmware(8192, measuretest.Entry{GUID: measuretest.GUIDSEVMetadata, Data: measuretest.U32(2048)},
			measuretest.Entry{GUID: measuretest.GUIDHashesTable, Data: measuretest.U32(base, 0x400)})
		copy(img[8192-2048:], measuretest.SEVMetadata(measuretest.Sections()...))
		return parse(t, img)
	}
	for base_, class := range map[uint32]fault.Class{0: fault.Unsupported, 0x810f51: fault.Malformed} {
		cfg := base(t)
		cfg.Firmware, cfg.Kernel = build(base_), &snp.KernelHashes{}
		if _, err := snp.Predict(cfg); !fault.Is(err, class) {
			t.Errorf("table at 0x%x: %v, want class %v", base_, err, class)
		}
	}
	cfg := base(t)
	cfg.Firmware, cfg.VCPUs = build(0x810c00), []int{2}
	if _, err := snp.Predict(cfg); !fault.Is(err, fault.Malformed) {
		t.Errorf("two vCPUs without reset block: %v", err)
	}
}

func TestSignaturesAndFeatures(t *testing.T) {
	for _, tc := range []struct{ family, model, stepping, want uint32 }{
		{23, 1, 2, 0x800f12}, {23, 49, 0, 0x830f10}, {25, 1, 1, 0xa00f11}, {25, 17, 0, 0xa10f10}, {26, 0, 0, 0xb00f00}, {6, 0, 0, 0x600},
	} {
		if got, err := snp.Signature(tc.family, tc.model, tc.stepping); got != tc.want || err != nil {
			t.Errorf("%d/%d/%d: 0x%x, %v; want 0x%x", tc.family, tc.model, tc.stepping, got, err, tc.want)
		}
	}
	if _, err := snp.Signature(23, 256, 0); !fault.Is(err, fault.Usage) {
		t.Errorf("model 256: %v", err)
	}
	if s, err := snp.SignatureByName("epyc-milan-V2"); s != 0xa00f11 || err != nil {
		t.Errorf("name in another case: 0x%x, %v", s, err)
	}
	if _, err := snp.SignatureByName("host"); !fault.Is(err, fault.Usage) {
		t.Errorf("host: %v", err)
	}
	for in, want := range map[string]uint64{"0x21": 0x21, "33": 33, "snp+debugswap": 0x21, "SNPActive + SecureTSC": 0x201} {
		if got, err := snp.ParseFeatures(in); got != want || err != nil {
			t.Errorf("features %q: 0x%x, %v; want 0x%x", in, got, err, want)
		}
	}
	if _, err := snp.ParseFeatures("snp+magic"); !fault.Is(err, fault.Usage) {
		t.Errorf("unknown feature: %v", err)
	}
}

func TestDerive(t *testing.T) {
	cfg := base(t)
	cfg.VCPUs = []int{2, 7}
	res, err := snp.Predict(cfg)
	if err != nil {
		t.Fatal(err)
	}
	got, err := snp.Derive(res.Values[0].Digest, 2, cfg.Plan.VMSAGPA, res.APVMSA, []int{7})
	if err != nil || len(got) != 1 || got[0] != res.Values[1] {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := snp.Derive(res.Values[1].Digest, 7, cfg.Plan.VMSAGPA, res.APVMSA, []int{2}); !fault.Is(err, fault.Usage) {
		t.Errorf("backwards: %v", err)
	}
}

// BenchmarkPredict measures one prediction with 4 MiB of firmware against the SHA-384 operations that it needs when no page
// is repeated.
func BenchmarkPredict(b *testing.B) {
	const size = 4 << 20
	img := measuretest.SNPFirmware(size)
	for i := range img[:size-4096] {
		img[i] = byte(i*7 + i>>12*13)
	}
	counts := make([]int, 512)
	for i := range counts {
		counts[i] = i + 1
	}
	for _, bc := range []struct {
		name  string
		vcpus []int
	}{{"1", []int{1}}, {"1-512", counts}} {
		b.Run(fmt.Sprintf("vcpus=%s", bc.name), func(b *testing.B) {
			fw := parse(b, img)
			cfg := snp.Config{Firmware: fw, Plan: snp.PlanFor(snp.QEMU), VCPUs: bc.vcpus, Signature: 0x800f12, Features: 1}
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				if _, err := snp.Predict(cfg); err != nil {
					b.Fatal(err)
				}
			}
			took := b.Elapsed().Seconds() / float64(b.N)
			b.StopTimer()
			b.ReportMetric(took/floorSeconds(img), "x-floor")
		})
	}
}

// floorSeconds is the time of the bare hashes of one prediction: every page and one PAGE_INFO per page.
func floorSeconds(img []byte) float64 {
	const rounds = 10
	var info [112]byte
	start := time.Now()
	for range rounds {
		for off := 0; off < len(img); off += 4096 {
			sum := sha512.Sum384(img[off : off+4096])
			copy(info[48:], sum[:])
			sum = sha512.Sum384(info[:])
			copy(info[:], sum[:])
		}
	}
	return time.Since(start).Seconds() / rounds
}

package stage0_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure/acpi"
	"github.com/assay-tee/assay/measure/measuretest"
	"github.com/assay-tee/assay/measure/ovmf"
	"github.com/assay-tee/assay/measure/snp"
	"github.com/assay-tee/assay/measure/stage0"
)

func rom(t testing.TB) *ovmf.Image {
	t.Helper()
	img, err := ovmf.Parse(measuretest.SNPFirmware(512<<10, [3]uint32{0x8000, 0x1000, 1}, [3]uint32{0x9000, 0x2000, 2}, [3]uint32{0xb000, 0x2000, 3}, [3]uint32{0x10000, 0x1000, 0x10}))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// The pages in the order of Oak's snp_measurement, spelled out.
func TestPredictFollowsOak(t *testing.T) {
	img := rom(t)
	res, err := stage0.Predict(stage0.Config{ROM: img, VCPUs: []int{1, 2}, LegacyBoot: true})
	if err != nil {
		t.Fatal(err)
	}
	var l snp.Launch
	l.Content(snp.PageNormal, 1<<32-512<<10, img.Data, "")
	l.Content(snp.PageNormal, 1<<20-128<<10, img.Data[384<<10:], "")
	l.Bare(snp.PageUnmeasured, 0x8000, 0x1000, "")
	l.Bare(snp.PageSecrets, 0x9000, 0x2000, "")
	l.Bare(snp.PageCPUID, 0xb000, 0x2000, "")
	regs := snp.PlanFor(snp.GCE).Regs
	l.Content(snp.PageVMSA, 0xfffffffff000, regs.VMSA(0xfffffff0, true, 0x600, 1), "")
	one := l.LD
	l.Content(snp.PageVMSA, 0xfffffffff000, regs.VMSA(0x80b004, false, 0x600, 1), "")
	if res.Values[0].Digest != one || res.Values[1].Digest != l.LD {
		t.Errorf("%v, want %v and %v", res.Values, one, l.LD)
	}
}

func TestQEMUMeasuresTheHashesPage(t *testing.T) {
	seen := map[string]bool{}
	for _, cfg := range []stage0.Config{{}, {QEMU: true}, {QEMU: true, Kernel: &snp.KernelHashes{}}, {Family: 25, Model: 1, Stepping: 1}} {
		cfg.ROM, cfg.VCPUs = rom(t), []int{1}
		if cfg.Kernel != nil { // the table of the sample firmware lies elsewhere
			if _, err := stage0.Predict(cfg); !fault.Is(err, fault.Malformed) {
				t.Errorf("table outside its section: %v", err)
			}
			continue
		}
		res, err := stage0.Predict(cfg)
		if err != nil {
			t.Fatal(err)
		}
		seen[res.Values[0].Digest.String()] = true
	}
	if len(seen) != 3 {
		t.Errorf("%d different digests of 3 launches", len(seen))
	}
	if _, err := stage0.Predict(stage0.Config{ROM: rom(t), VCPUs: []int{1}, Kernel: &snp.KernelHashes{}}); !fault.Is(err, fault.Unsupported) {
		t.Errorf("kernel hashes with Google's launcher: %v", err)
	}
}

func TestEvents(t *testing.T) {
	var e stage0.Events
	kernel := measuretest.Kernel(8192, 0x20f)
	if err := e.AddKernel(kernel); err != nil {
		t.Fatal(err)
	}
	if e.Kernel != sha256.Sum256(kernel[2048:]) {
		t.Error("the kernel is what follows the setup sectors")
	}
	if e.SetupData == e.SetupPlain {
		t.Error("both forms of the setup data are the same")
	}
	if err := e.AddInitrd(bytes.NewReader([]byte("initrd"))); err != nil || e.Initrd != sha256.Sum256([]byte("initrd")) {
		t.Errorf("initrd %x, %v", e.Initrd, err)
	}
	e.AddCommandLine(" console=ttyS0")
	if e.CommandLine != sha256.Sum256([]byte(" console=ttyS0")) {
		t.Error("the command line is hashed as given, without a zero")
	}
	if err := e.AddKernel([]byte("no kernel")); !fault.Is(err, fault.Malformed) {
		t.Errorf("no kernel: %v", err)
	}
}

func TestMemoryMapIsSorted(t *testing.T) {
	pack := func(v ...uint64) (b []byte) {
		for i := 0; i < len(v); i += 3 {
			b = binary.LittleEndian.AppendUint64(b, v[i])
			b = binary.LittleEndian.AppendUint64(b, v[i+1])
			b = binary.LittleEndian.AppendUint32(b, uint32(v[i+2]))
		}
		return b
	}
	entries, err := stage0.ParseE820(pack(0x100000, 0x1000, 1, 0, 0x80000, 1))
	if err != nil {
		t.Fatal(err)
	}
	var e stage0.Events
	e.AddMemoryMap(entries)
	if e.MemoryMap != sha256.Sum256(pack(0, 0x80000, 1, 0x100000, 0x1000, 1)) {
		t.Error("entries are not sorted by address")
	}
	for name, b := range map[string][]byte{"empty": nil, "21 bytes": make([]byte, 21), "beyond the address space": pack(^uint64(0), 2, 1)} {
		if _, err := stage0.ParseE820(b); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACPIDigest(t *testing.T) {
	name := func(kind byte, file string) []byte {
		b := make([]byte, 128)
		b[0] = kind
		copy(b[4:], file)
		return b
	}
	loader := append(name(byte(acpi.Allocate), "b"), name(byte(acpi.Allocate), "a")...)
	files := map[string][]byte{"a": []byte("A"), "b": []byte("B")}
	var e stage0.Events
	if err := e.AddACPI(loader, files, nil); err != nil || e.ACPI != sha256.Sum256(append(bytes.Clone(loader), "BA"...)) {
		t.Errorf("files follow in the order of allocation: %v", err)
	}
	win := &stage0.PCIWindows{IOStart: 1, IOEnd: 2, MemStart: 3, MemEnd: 4, HighStart: 5, HighEnd: 6}
	with := e
	if err := with.AddACPI(loader, files, win); err != nil || with.ACPI == e.ACPI {
		t.Errorf("PCI windows count: %v", err)
	}
	if err := e.AddACPI(loader, nil, nil); !fault.Is(err, fault.Usage) {
		t.Errorf("file that is not given: %v", err)
	}
}

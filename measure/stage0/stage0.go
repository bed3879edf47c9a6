// Package stage0 predicts what Oak's stage0 firmware leads to: the SNP launch digest of its ROM by vCPU count, and the digests
// of the first event, which Oak's DICE layers carry (project-oak/oak snp_measurement and stage0; specs measure.md section
// 12, oak.md sections 8 and 9).
package stage0

import (
	"crypto/sha256"
	"encoding/binary"
	"io"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/acpi"
	"github.com/assay-tee/assay/measure/linux"
	"github.com/assay-tee/assay/measure/ovmf"
	"github.com/assay-tee/assay/measure/snp"
)

// APReset is where further vCPUs start in stage0's published builds. It is used when a digest is continued without its ROM.
const APReset = 0x3009

// Config is the launch of a stage0 ROM.
type Config struct {
	ROM        *ovmf.Image
	LegacyBoot bool // the last 128 KiB are also placed below 1 MiB
	// QEMU launches as QEMU does, in place of Google's launcher; then kernel hashes are possible.
	QEMU                    bool
	Kernel                  *snp.KernelHashes
	VCPUs                   []int
	Family, Model, Stepping uint32 // 0, 0, 0 means Oak's default 6, 0, 0
	Features                uint64 // sev_features; 0 means 1, SNPActive
	Quirks                  []snp.Quirk
	Trace                   bool
}

// Predict computes the launch digest for every vCPU count.
func Predict(cfg Config) (*snp.Result, error) {
	if cfg.Family == 0 && cfg.Model == 0 && cfg.Stepping == 0 {
		cfg.Family = 6
	}
	sig, err := snp.Signature(cfg.Family, cfg.Model, cfg.Stepping)
	if err != nil {
		return nil, err
	}
	if cfg.Features == 0 {
		cfg.Features = 1
	}
	plan := snp.PlanFor(snp.Stage0, cfg.Quirks...)
	if cfg.QEMU {
		plan = snp.PlanFor(snp.QEMU, cfg.Quirks...)
		plan.AllPages = true
	} else if cfg.Kernel != nil {
		return nil, fault.New(fault.Unsupported, "Google's launcher measures no kernel hashes: kernel, initrd and command line appear in stage0's event log, not in the launch digest; --qemu has them")
	}
	plan.NeedsSig = true
	return snp.Predict(snp.Config{Firmware: cfg.ROM, Plan: plan, VCPUs: cfg.VCPUs, Signature: sig, Features: cfg.Features,
		Kernel: cfg.Kernel, LowCopy: cfg.LegacyBoot, Trace: cfg.Trace})
}

// Derive continues a digest that is known for one vCPU count to larger counts, as Google's launcher makes them.
func Derive(known measure.SHA384, from int, vcpus []int) ([]snp.Value, error) {
	plan := snp.PlanFor(snp.Stage0)
	ap := plan.Regs.VMSA(APReset, false, snp.GenericSignature, 1)
	return snp.Derive(known, from, plan.VMSAGPA, ap, vcpus)
}

// Digest is a SHA-256 value of the first event.
type Digest [sha256.Size]byte

// Events are the digests of stage0's event 0. What was not given is zero, which is also what stage0 writes for an item that is
// absent.
type Events struct {
	Kernel      Digest // the image behind the setup sectors
	SetupData   Digest // as a launcher like QEMU leaves it
	SetupPlain  Digest // as it is in the file
	Initrd      Digest
	CommandLine Digest // SHA-256 of the line without NUL (Stage0TransparentMeasurements)
	ACPI        Digest
	MemoryMap   Digest
}

// Kernel fills in what the kernel file decides.
func (e *Events) AddKernel(file []byte) error {
	k, err := linux.ParseBzImage(file)
	if err != nil {
		return err
	}
	e.Kernel = sha256.Sum256(k.Image)
	e.SetupData = sha256.Sum256(k.SetupAsMeasured(true))
	e.SetupPlain = sha256.Sum256(k.SetupAsMeasured(false))
	return nil
}

// AddInitrd reads the initrd to its end.
func (e *Events) AddInitrd(r io.Reader) error {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return err
	}
	h.Sum(e.Initrd[:0])
	return nil
}

// AddCommandLine takes the line as given to the launcher; a space at its start counts.
func (e *Events) AddCommandLine(line string) { e.CommandLine = sha256.Sum256([]byte(line)) }

// PCIWindows are the address ranges that stage0 measures with the ACPI tables when it uses them.
type PCIWindows struct {
	IOStart, IOEnd   uint16
	MemStart, MemEnd uint32
	HighStart        uint64
	HighEnd          uint64
}

// AddACPI takes the fw_cfg file etc/table-loader, and by name the files that its Allocate commands name.
func (e *Events) AddACPI(loader []byte, files map[string][]byte, win *PCIWindows) error {
	cmds, err := acpi.ParseLoader(loader)
	if err != nil {
		return err
	}
	h := sha256.New()
	h.Write(loader)
	if win != nil {
		var b []byte
		le := binary.LittleEndian
		b = le.AppendUint16(le.AppendUint16(b, win.IOStart), win.IOEnd)
		b = le.AppendUint32(le.AppendUint32(b, win.MemStart), win.MemEnd)
		b = le.AppendUint64(le.AppendUint64(b, win.HighStart), win.HighEnd)
		h.Write(b)
	}
	for _, c := range cmds {
		if c.Kind != acpi.Allocate {
			continue
		}
		data, ok := files[c.File]
		if !ok {
			return fault.New(fault.Usage, "the table loader allocates %q, and that file is not given", c.File)
		}
		h.Write(data)
	}
	h.Sum(e.ACPI[:0])
	return nil
}

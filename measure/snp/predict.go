package snp

import (
	"fmt"
	"slices"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/ovmf"
)

// MaxVCPUs is the largest vCPU count that is predicted.
const MaxVCPUs = 65536

// Config is the launch of an SNP guest from a firmware image.
type Config struct {
	Firmware *ovmf.Image
	// FirmwareLD, when set, replaces the measurement of the firmware's pages (--snp-ovmf-hash); the tables of Firmware are
	// still used.
	FirmwareLD *measure.SHA384
	Plan       Plan
	// VCPUs are the counts to predict for, each 1 to MaxVCPUs, in any order; duplicates count once.
	VCPUs     []int
	Signature uint32 // vCPU signature; used when the plan needs one
	Features  uint64 // sev_features
	Kernel    *KernelHashes
	// LowCopy also measures the last 128 KiB of the firmware below 1 MiB (stage0's legacy boot).
	LowCopy bool
	Trace   bool
}

// Value is the launch digest for one vCPU count.
type Value struct {
	VCPUs  int            `json:"vcpus"`
	Digest measure.SHA384 `json:"digest"`
}

// Result is what [Predict] gives.
type Result struct {
	AfterFirmware measure.SHA384 // "ovmf-hash"
	BeforeVMSAs   measure.SHA384 // snapshot of the state that all vCPU counts share
	Values        []Value        // by rising count
	BootVMSA      []byte
	APVMSA        []byte // nil when only one vCPU was asked for
	Steps         []measure.Step
}

// FirmwareDigest is the launch digest after the firmware's pages only.
func FirmwareDigest(img *ovmf.Image) (measure.SHA384, error) {
	var l Launch
	if err := img.WholePages(); err != nil {
		return l.LD, err
	}
	l.Content(PageNormal, img.Base(), img.Data, "firmware")
	return l.LD, nil
}

// Counts sorts vCPU counts, drops duplicates and refuses what is out of range.
func Counts(vcpus []int) ([]int, error) {
	if len(vcpus) == 0 {
		return nil, fault.New(fault.Usage, "no vCPU count is given")
	}
	c := slices.Clone(vcpus)
	slices.Sort(c)
	c = slices.Compact(c)
	if c[0] < 1 || c[len(c)-1] > MaxVCPUs {
		return nil, fault.New(fault.Usage, "vCPU counts go from 1 to %d, not from %d to %d", MaxVCPUs, c[0], c[len(c)-1])
	}
	return c, nil
}

// Predict computes the launch digest for every vCPU count in one pass: pages, then metadata sections, then one VMSA per
// vCPU, of which all but the first are equal.
func Predict(cfg Config) (*Result, error) {
	counts, err := Counts(cfg.VCPUs)
	if err != nil {
		return nil, err
	}
	img := cfg.Firmware
	if err := requireTables(img); err != nil {
		return nil, err
	}
	sections, ok, err := img.SEVMetadata()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fault.New(fault.Unsupported, "the firmware has no SEV metadata: it was built without SNP support, and no SNP guest starts from it")
	}
	res := &Result{}
	l := &Launch{}
	if cfg.Trace {
		l.Trace = &res.Steps
	}
	if err := cfg.firmware(l); err != nil {
		return nil, err
	}
	res.AfterFirmware = l.LD
	if err := cfg.sections(l, img, sections); err != nil {
		return nil, err
	}
	res.BeforeVMSAs = l.LD
	return res, cfg.vmsas(l, res, counts)
}

func requireTables(img *ovmf.Image) error {
	if err := img.WholePages(); err != nil {
		return err
	}
	if !img.HasFooter {
		return fault.New(fault.Malformed, "the file has no footer table: it is not UEFI firmware for confidential guests (plain firmware can only be launched as SEV)")
	}
	return nil
}

func (cfg *Config) firmware(l *Launch) error {
	img := cfg.Firmware
	if cfg.FirmwareLD != nil {
		l.LD = *cfg.FirmwareLD
		if l.Trace != nil {
			*l.Trace = append(*l.Trace, measure.Step{What: "firmware", Kind: "given digest", After: l.LD.String(),
				Note: "the firmware's pages were not measured; the tables are those of the given file"})
		}
	} else {
		l.Content(PageNormal, img.Base(), img.Data, "firmware")
	}
	if cfg.LowCopy {
		const low, oneMiB = 128 << 10, 1 << 20
		if len(img.Data) < low {
			return fault.New(fault.Malformed, "legacy boot needs a ROM of at least %d bytes, this has %d", low, len(img.Data))
		}
		l.Content(PageNormal, oneMiB-low, img.Data[len(img.Data)-low:], "firmware below 1 MiB")
	}
	return nil
}

func (cfg *Config) sections(l *Launch, img *ovmf.Image, sections []ovmf.Section) error {
	measured := false
	for _, s := range sections {
		if err := cfg.section(l, img, s, &measured); err != nil {
			return err
		}
	}
	if cfg.Plan.CPUIDLast {
		for _, s := range sections {
			if s.Type == ovmf.SNPCPUID {
				l.Bare(PageCPUID, s.GPA, s.Size, s.Type.String())
			}
		}
	}
	if cfg.Kernel != nil && !measured {
		return fault.New(fault.Unsupported, "a kernel is given, but the SEV metadata of the firmware has no SNP_KERNEL_HASHES section. %s", insteadOfHashes)
	}
	return nil
}

func (cfg *Config) section(l *Launch, img *ovmf.Image, s ovmf.Section, kernelMeasured *bool) error {
	if (s.Type == ovmf.SNPSecrets || s.Type == ovmf.SNPCPUID) && s.Size != PageSize && !cfg.Plan.AllPages {
		return fault.New(fault.Unsupported, "the %v section has 0x%x bytes; tools differ on sections of more than one page", s.Type, s.Size)
	}
	switch s.Type {
	case ovmf.SNPSecMem:
		l.Bare(cfg.Plan.SecMem, s.GPA, s.Size, s.Type.String())
	case ovmf.SVSMCAA:
		l.Bare(PageZero, s.GPA, s.Size, s.Type.String())
	case ovmf.SNPSecrets:
		l.Bare(PageSecrets, s.GPA, s.Size, s.Type.String())
	case ovmf.SNPCPUID:
		if !cfg.Plan.CPUIDLast {
			l.Bare(PageCPUID, s.GPA, s.Size, s.Type.String())
		}
	case ovmf.SNPKernelHashes:
		return cfg.kernelSection(l, img, s, kernelMeasured)
	}
	return nil
}

func (cfg *Config) kernelSection(l *Launch, img *ovmf.Image, s ovmf.Section, measured *bool) error {
	if cfg.Plan.HashesAbsent {
		return nil
	}
	if cfg.Kernel == nil {
		l.Bare(PageZero, s.GPA, s.Size, s.Type.String())
		return nil
	}
	base, _, ok, err := img.HashesTable()
	switch {
	case err != nil:
		return err
	case !ok:
		return fault.New(fault.Unsupported, "a kernel is given, but the firmware names no kernel hashes table. %s", insteadOfHashes)
	case s.Size != PageSize:
		return fault.New(fault.Malformed, "the SNP_KERNEL_HASHES section has 0x%x bytes, one page is wanted", s.Size)
	case uint64(base)&^(PageSize-1) != s.GPA:
		return fault.New(fault.Malformed, "the kernel hashes table at 0x%x lies outside the SNP_KERNEL_HASHES section at 0x%x", base, s.GPA)
	}
	page, err := cfg.Kernel.page(base)
	if err != nil {
		return err
	}
	l.Content(PageNormal, s.GPA, page, s.Type.String())
	*measured = true
	return nil
}

// vmsas appends one VMSA after the other and takes the value at each count that was asked for.
func (cfg *Config) vmsas(l *Launch, res *Result, counts []int) error {
	rdx := cfg.Plan.Regs.RDX
	if cfg.Plan.NeedsSig {
		rdx = uint64(cfg.Signature)
	}
	res.BootVMSA = cfg.Plan.Regs.VMSA(bootEIP, true, rdx, cfg.Features)
	if counts[len(counts)-1] > 1 {
		eip, ok, err := cfg.Firmware.ResetEIP()
		if err != nil {
			return err
		}
		if !ok {
			return fault.New(fault.Malformed, "the firmware has no SEV-ES reset block, which says where further vCPUs start; only one vCPU can be predicted")
		}
		res.APVMSA = cfg.Plan.Regs.VMSA(eip, false, rdx, cfg.Features)
	}
	res.Values = appendVMSAs(l, cfg.Plan.VMSAGPA, res.BootVMSA, res.APVMSA, counts)
	return nil
}

// appendVMSAs folds in boot and then equal ap pages until the largest of counts, which is sorted.
func appendVMSAs(l *Launch, gpa uint64, boot, ap []byte, counts []int) []Value {
	values := make([]Value, 0, len(counts))
	page := boot
	for n := 1; len(values) < len(counts); n++ {
		what := ""
		if l.Trace != nil {
			what = fmt.Sprintf("VMSA %d", n-1)
		}
		l.Content(PageVMSA, gpa, page, what)
		if n == counts[len(values)] {
			values = append(values, Value{VCPUs: n, Digest: l.LD})
		}
		page = ap
	}
	return values
}

// Derive continues the digest known for from vCPUs to the given larger counts: all further VMSA pages are equal, so nothing
// else is needed (specs measure.md section 12).
func Derive(known measure.SHA384, from int, gpa uint64, ap []byte, vcpus []int) ([]Value, error) {
	counts, err := Counts(append(slices.Clone(vcpus), from))
	if err != nil {
		return nil, err
	}
	if counts[0] < from {
		return nil, fault.New(fault.Usage, "a digest for %d vCPUs cannot be taken back to %d: measurements only grow", from, counts[0])
	}
	l := &Launch{LD: known}
	var values []Value
	for n := from; ; n++ {
		if slices.Contains(vcpus, n) {
			values = append(values, Value{VCPUs: n, Digest: l.LD})
		}
		if n == counts[len(counts)-1] {
			return values, nil
		}
		l.Content(PageVMSA, gpa, ap, "")
	}
}

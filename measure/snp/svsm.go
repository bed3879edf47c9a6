package snp

import (
	"slices"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure/ovmf"
)

// SVSMConfig is the launch of an SNP guest under a COCONUT-SVSM image by QEMU before IGVM: mode snp:svsm of
// sev-snp-measure (specs measure.md section 11).
type SVSMConfig struct {
	Firmware *ovmf.Image
	SVSM     *ovmf.Image
	VarsSize uint64 // bytes of the variable store between the two
	VCPUs    []int
	// Signature of the vCPUs. Features have no effect in this mode, and kernel hashes are not possible.
	Signature uint32
	Quirks    []Quirk
	Trace     bool
}

// PredictSVSM computes the launch digest for every vCPU count in one pass. All VMSAs are equal.
func PredictSVSM(cfg SVSMConfig) (*Result, error) {
	counts, err := Counts(cfg.VCPUs)
	if err != nil {
		return nil, err
	}
	if err := cfg.Firmware.WholePages(); err != nil {
		return nil, err
	}
	if err := requireTables(cfg.SVSM); err != nil {
		return nil, fault.Wrap(err, "SVSM image")
	}
	offset, ok, err := cfg.SVSM.SVSMInfo()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fault.New(fault.Malformed, "the SVSM image has no SVSM info entry in its footer table: its entry point is not known")
	}
	if uint64(offset) >= uint64(len(cfg.SVSM.Data)) {
		return nil, fault.New(fault.Malformed, "the SVSM image has its entry point at byte %d of %d", offset, len(cfg.SVSM.Data))
	}
	end := cfg.Firmware.Base()
	if cfg.VarsSize > end || end-cfg.VarsSize < uint64(len(cfg.SVSM.Data)) {
		return nil, fault.New(fault.Malformed, "an SVSM image of %d bytes and a variable store of %d do not fit below the firmware at 0x%x", len(cfg.SVSM.Data), cfg.VarsSize, end)
	}
	base := end - cfg.VarsSize - uint64(len(cfg.SVSM.Data))
	if base%PageSize != 0 {
		return nil, fault.New(fault.Usage, "a variable store of %d bytes puts the SVSM image at 0x%x, which is no page address", cfg.VarsSize, base)
	}
	sections, ok, err := cfg.SVSM.SEVMetadata()
	if err != nil {
		return nil, fault.Wrap(err, "SVSM image")
	}
	if !ok {
		return nil, fault.New(fault.Malformed, "the SVSM image has no SEV metadata")
	}
	res := &Result{}
	l := &Launch{}
	if cfg.Trace {
		l.Trace = &res.Steps
	}
	// The firmware comes first, although the SVSM image lies lower.
	l.Content(PageNormal, cfg.Firmware.Base(), cfg.Firmware.Data, "firmware")
	res.AfterFirmware = l.LD
	l.Content(PageNormal, base, cfg.SVSM.Data, "SVSM")
	meta := Config{Plan: PlanFor(QEMU)}
	if err := meta.sections(l, cfg.SVSM, sections); err != nil {
		return nil, err
	}
	res.BeforeVMSAs = l.LD
	res.BootVMSA = svsmVMSA(uint32(base)+offset, cfg.Signature, 0x1f80, svsmFCW(cfg.Quirks))
	if slices.Contains(cfg.Quirks, QuirkFPUZero) {
		res.BootVMSA = svsmVMSA(uint32(base)+offset, cfg.Signature, 0, 0)
	}
	res.APVMSA = res.BootVMSA
	res.Values = appendVMSAs(l, vmsaGPA, res.BootVMSA, res.APVMSA, counts)
	return res, nil
}

// svsmFCW is 0 because sev-snp-measure sets a misnamed field, and the digests that its users hold depend on it.
func svsmFCW(q []Quirk) uint16 {
	if slices.Contains(q, QuirkSVSMFCW) {
		return 0x37f
	}
	return 0
}

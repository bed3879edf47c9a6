package snp

import (
	"crypto/sha256"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure/ovmf"
)

// SEVConfig is the launch of a SEV or SEV-ES guest. Both launch digests are SHA-256 over plain bytes (specs measure.md
// section 10).
type SEVConfig struct {
	Firmware *ovmf.Image
	Kernel   *KernelHashes
	// ES adds the save areas. Then VCPUs and Regs matter; SEV-ES save areas have no features.
	ES        bool
	VCPUs     []int
	Plan      Plan
	Signature uint32
}

// SEVValue is the launch digest for one vCPU count (0: any, for SEV).
type SEVValue struct {
	VCPUs  int
	Digest [sha256.Size]byte
}

// SEVResult is what [PredictSEV] gives.
type SEVResult struct {
	Values   []SEVValue
	BootVMSA []byte // SEV-ES only
	APVMSA   []byte
}

// PredictSEV computes the launch digest of a SEV or SEV-ES guest. Firmware need not be whole pages.
func PredictSEV(cfg SEVConfig) (*SEVResult, error) {
	h := sha256.New()
	h.Write(cfg.Firmware.Data)
	if cfg.Kernel != nil {
		_, _, ok, err := cfg.Firmware.HashesTable()
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fault.New(fault.Unsupported, "a kernel is given, but the firmware has no kernel hashes table. %s", insteadOfHashes)
		}
		h.Write(cfg.Kernel.Table())
	}
	if !cfg.ES {
		return &SEVResult{Values: []SEVValue{{Digest: [sha256.Size]byte(h.Sum(nil))}}}, nil
	}
	counts, err := Counts(cfg.VCPUs)
	if err != nil {
		return nil, err
	}
	rdx := cfg.Plan.Regs.RDX
	if cfg.Plan.NeedsSig {
		rdx = uint64(cfg.Signature)
	}
	res := &SEVResult{BootVMSA: cfg.Plan.Regs.VMSA(bootEIP, true, rdx, 0)}
	if counts[len(counts)-1] > 1 {
		eip, ok, err := cfg.Firmware.ResetEIP()
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fault.New(fault.Malformed, "the firmware has no SEV-ES reset block, which says where further vCPUs start; only one vCPU can be predicted")
		}
		res.APVMSA = cfg.Plan.Regs.VMSA(eip, false, rdx, 0)
	}
	page := res.BootVMSA
	for n := 1; len(res.Values) < len(counts); n++ {
		h.Write(page)
		if n == counts[len(res.Values)] {
			res.Values = append(res.Values, SEVValue{VCPUs: n, Digest: [sha256.Size]byte(h.Sum(nil))})
		}
		page = res.APVMSA
	}
	return res, nil
}

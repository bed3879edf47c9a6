package main

import (
	"fmt"
	"strconv"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure/ovmf"
	"github.com/assay-tee/assay/measure/snp"
	"github.com/assay-tee/assay/measure/statement"
)

func (a *app) predictSVSM(p *statement.Prediction, f *launchFlags, img *ovmf.Image) error {
	vmm, _, err := f.plan()
	if err != nil {
		return err
	}
	if vmm != snp.QEMU {
		return fault.New(fault.Unsupported, "mode snp:svsm is known for QEMU only, not for %s", vmm)
	}
	cfg := snp.SVSMConfig{Firmware: img, VarsSize: uint64(f.varsSize), Trace: f.trace}
	if cfg.Quirks, err = snp.ParseQuirks(f.quirks); err != nil {
		return err
	}
	if cfg.VCPUs, err = parseCounts(f.vcpus, snp.MaxVCPUs); err != nil {
		return err
	}
	if cfg.Signature, err = f.signature(true); err != nil {
		return err
	}
	if f.varsFile != "" {
		vars, size, err := a.openArtefact(f.varsFile, maxFirmware)
		if err != nil {
			return err
		}
		vars.Close()
		cfg.VarsSize = uint64(size)
	}
	if cfg.SVSM, err = a.firmware(f.svsm); err != nil {
		return err
	}
	if f.wantsInputs() {
		if err := a.addInput(p, "svsm", f.svsm); err != nil {
			return err
		}
	}
	p.Param("vmm_type", string(vmm))
	p.Param("vcpu_sig", fmt.Sprintf("0x%x", cfg.Signature))
	p.Param("guest_features", "0x1")
	p.Param("vars_size", strconv.FormatUint(cfg.VarsSize, 10))
	for _, q := range f.quirks {
		p.Param("quirk", q)
	}
	res, err := snp.PredictSVSM(cfg)
	if err != nil {
		return err
	}
	return a.takeResult(p, f, res)
}

func (a *app) predictSEV(p *statement.Prediction, f *launchFlags, img *ovmf.Image) error {
	cfg := snp.SEVConfig{Firmware: img, ES: f.mode == "seves"}
	p.Technology = statement.SEV
	var err error
	if cfg.Kernel, err = a.kernelHashes(p, f); err != nil {
		return err
	}
	if cfg.ES {
		p.Technology = statement.SEVES
		var vmm snp.VMM
		if vmm, cfg.Plan, err = f.plan(); err != nil {
			return err
		}
		if cfg.VCPUs, err = parseCounts(f.vcpus, snp.MaxVCPUs); err != nil {
			return err
		}
		if cfg.Signature, err = f.signature(cfg.Plan.NeedsSig); err != nil {
			return err
		}
		p.Param("vmm_type", string(vmm))
		p.Param("vcpu_sig", fmt.Sprintf("0x%x", cfg.Signature))
	}
	res, err := snp.PredictSEV(cfg)
	if err != nil {
		return err
	}
	for _, v := range res.Values {
		p.Values = append(p.Values, statement.Value{Name: "launch-digest", VCPUs: v.VCPUs, Alg: "sha256", Digest: v.Digest[:]})
	}
	if f.dumpVMSA {
		return dumpVMSAs(res.BootVMSA, res.APVMSA, res.Values[len(res.Values)-1].VCPUs)
	}
	return nil
}

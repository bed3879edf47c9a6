package explain

import (
	"bytes"
	"fmt"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure/snp"
)

func (s *search) svsm() error {
	if s.in.SVSM == nil {
		return nil
	}
	s.rep.Space = append(s.rep.Space, "SVSM: 1 to 512 vCPUs, all vCPU types, x87 state 0/0, 0x1f80/0 and 0x1f80/0x37f")
	for _, q := range [][]snp.Quirk{nil, {snp.QuirkSVSMFCW}, {snp.QuirkFPUZero}} {
		for _, m := range signatures() {
			res, err := snp.PredictSVSM(snp.SVSMConfig{Firmware: s.in.Firmware, SVSM: s.in.SVSM, VarsSize: s.in.VarsSize, VCPUs: counts(), Signature: m.Signature, Quirks: q})
			if err != nil {
				return err
			}
			for _, v := range res.Values {
				if !bytes.Equal(v.Digest[:], s.in.Target) {
					continue
				}
				args := []string{"--svsm", "SVSM", "--vars-size", fmt.Sprint(s.in.VarsSize), "--vcpu-type", m.Name, "--vcpus", fmt.Sprint(v.VCPUs)}
				for _, x := range q {
					args = append(args, "--quirk", string(x))
				}
				if err := s.hit(Hit{Verb: "snp", Args: args, VCPUs: v.VCPUs, What: "QEMU with COCONUT-SVSM"}); err != nil {
					return err
				}
			}
			if err := s.tried(len(res.Values)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *search) sev() error {
	if s.in.Firmware == nil {
		return fault.New(fault.Usage, "a digest of 32 bytes is one of SEV or SEV-ES, and needs --firmware")
	}
	s.rep.Space = append(s.rep.Space, "SEV and SEV-ES: 1 to 512 vCPUs, all launchers, quirks and vCPU types; kernel hashes on and off, forms of the command line")
	ks, err := s.kernels()
	if err != nil {
		return err
	}
	for _, k := range ks {
		res, err := snp.PredictSEV(snp.SEVConfig{Firmware: s.in.Firmware, Kernel: k.hashes})
		if err != nil {
			continue // no table of hashes: this case does not exist
		}
		if bytes.Equal(res.Values[0].Digest[:], s.in.Target) {
			if err := s.hit(Hit{Verb: "sev", Args: k.args, What: "SEV, " + k.what}); err != nil {
				return err
			}
		}
		if err := s.tried(1); err != nil {
			return err
		}
		if err := s.seves(k); err != nil {
			return err
		}
	}
	return nil
}

func (s *search) seves(k kernelCase) error {
	n := counts()
	if _, ok, err := s.in.Firmware.ResetEIP(); err != nil || !ok {
		n = n[:1]
	}
	for _, p := range plans() {
		models := []snp.CPUModel{{}}
		if p.plan.NeedsSig {
			models = signatures()
		}
		for _, m := range models {
			res, err := snp.PredictSEV(snp.SEVConfig{Firmware: s.in.Firmware, Kernel: k.hashes, ES: true, VCPUs: n, Plan: p.plan, Signature: m.Signature})
			if err != nil {
				return err
			}
			for _, v := range res.Values {
				if !bytes.Equal(v.Digest[:], s.in.Target) {
					continue
				}
				args := append([]string{}, p.args...)
				if m.Name != "" {
					args = append(args, "--vcpu-type", m.Name)
				}
				args = append(append(args, k.args...), "--vcpus", fmt.Sprint(v.VCPUs))
				if err := s.hit(Hit{Verb: "sev-es", Args: args, VCPUs: v.VCPUs, What: "SEV-ES, " + p.what + ", " + k.what}); err != nil {
					return err
				}
			}
			if err := s.tried(len(res.Values)); err != nil {
				return err
			}
		}
	}
	return nil
}

package main

import (
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure/igvm"
	"github.com/assay-tee/assay/measure/statement"
)

// measureIGVM predicts from an IGVM file: the launcher does what the file says, so no other option counts.
func (a *app) measureIGVM(f *launchFlags) error {
	for _, name := range []string{"ovmf", "firmware", "kernel", "svsm", "vcpus", "vcpu-type", "vcpu-sig", "guest-features", "snp-ovmf-hash"} {
		if f.given(name) {
			return fault.New(fault.Usage, "--%s has no meaning with --igvm: the file alone decides the digest", name)
		}
	}
	if f.igvmCompat != "microsoft" && f.igvmCompat != "coconut" {
		return fault.New(fault.Usage, "--igvm-compat %q: microsoft or coconut", f.igvmCompat)
	}
	r, size, err := a.openArtefact(f.igvm, maxStreamed)
	if err != nil {
		return err
	}
	defer r.Close()
	file, err := igvm.Parse(r, size)
	if err != nil {
		return fault.Wrap(err, "%s", f.igvm)
	}
	platform, tech := igvm.SNP, statement.SNP
	switch f.mode {
	case "sev":
		platform, tech = igvm.SEV, statement.SEV
	case "seves":
		platform, tech = igvm.SEVES, statement.SEVES
	}
	res, err := file.Measure(platform, igvm.Compat{Coconut: f.igvmCompat == "coconut", NativeZero: f.nativeZero, CheckKVM: f.checkKVM, Trace: f.trace})
	if err != nil {
		return fault.Wrap(err, "%s", f.igvm)
	}
	p := &statement.Prediction{Technology: tech, Steps: res.Steps}
	p.Param("igvm_compat", f.igvmCompat)
	if f.wantsInputs() {
		if err := a.addInput(p, "igvm", f.igvm); err != nil {
			return err
		}
	}
	v := statement.Value{Name: "measurement", Alg: "sha384", Digest: res.SNP[:]}
	if platform != igvm.SNP {
		v = statement.Value{Name: "launch-digest", Alg: "sha256", Digest: res.SEV[:]}
	}
	p.Values = []statement.Value{v}
	return a.writePrediction(&f.measureOut, p)
}

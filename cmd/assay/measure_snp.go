package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/ovmf"
	"github.com/assay-tee/assay/measure/snp"
	"github.com/assay-tee/assay/measure/statement"
)

// launchFlags are the options of sev-snp-measure 0.0.13, and ours.
type launchFlags struct {
	measureOut
	mode       string
	vcpus      string
	vcpuType   string
	vcpuSig    string
	family     int
	model      int
	stepping   int
	vmm        string
	ovmf       string
	kernel     string
	initrd     string
	append     string
	features   string
	ovmfHash   string
	dumpVMSA   bool
	svsm       string
	varsSize   int64
	varsFile   string
	verbose    bool
	quirks     []string
	product    string
	beforeVMSA bool
	igvm       string
	igvmCompat string
	nativeZero bool
	checkKVM   bool

	given func(name string) bool // whether a flag was set
}

func (f *launchFlags) flags(fl *pflag.FlagSet) {
	fl.StringVar(&f.mode, "mode", "", "sev, seves, snp, snp:ovmf-hash or snp:svsm (sev-snp-measure's spelling; the verb gives the default)")
	fl.StringVar(&f.vcpus, "vcpus", "", "number of guest vCPUs `N`: one, a range (1-512) or a list (1,2,4)")
	fl.StringVar(&f.vcpuType, "vcpu-type", "", "vCPU `TYPE` as named on the launcher's command line (EPYC-v4, EPYC-Milan, …), not the host's processor")
	fl.StringVar(&f.vcpuSig, "vcpu-sig", "", "vCPU signature `VALUE`: CPUID leaf 1 EAX")
	fl.IntVar(&f.family, "vcpu-family", 0, "vCPU `FAMILY`, with --vcpu-model and --vcpu-stepping")
	fl.IntVar(&f.model, "vcpu-model", 0, "vCPU `MODEL`")
	fl.IntVar(&f.stepping, "vcpu-stepping", 0, "vCPU `STEPPING`")
	fl.StringVar(&f.vmm, "vmm-type", string(snp.QEMU), "launcher `VMM`: QEMU, ec2, gce, KRUN (unconfirmed) or cloud-hypervisor")
	fl.StringVar(&f.ovmf, "ovmf", "", "firmware `FILE`")
	fl.StringVar(&f.ovmf, "firmware", "", "the same as --ovmf")
	fl.StringVar(&f.kernel, "kernel", "", "kernel `FILE` (kernel-hashes=on)")
	fl.StringVar(&f.initrd, "initrd", "", "initrd `FILE`, with --kernel")
	fl.StringVar(&f.append, "append", "", "kernel command `LINE`, with --kernel; a final newline counts")
	fl.StringVar(&f.features, "guest-features", "0x1", "sev_features of the VMSA: a `VALUE` in any base, or names (snp+debugswap)")
	fl.StringVar(&f.ovmfHash, "snp-ovmf-hash", "", "launch digest after the firmware's pages in `HEX`, in place of measuring them")
	fl.BoolVar(&f.dumpVMSA, "dump-vmsa", false, "write the measured VMSAs to vmsa0.bin … in the current directory")
	fl.StringVar(&f.svsm, "svsm", "", "SVSM image `FILE` (mode snp:svsm)")
	fl.Int64Var(&f.varsSize, "vars-size", 0, "`SIZE` of the variable store in bytes, for snp:svsm")
	fl.StringVar(&f.varsFile, "vars-file", "", "variable store `FILE`, of which only the size counts, for snp:svsm")
	fl.StringArrayVar(&f.quirks, "quirk", nil, fmt.Sprintf("a `NAME`d deviation that older digests depend on: %v (repeatable)", snp.Quirks()))
	fl.StringVar(&f.product, "product", "", "on gce, the VMSA address of Google's own tool for Milan (48 bits) or Genoa (52 bits)")
	fl.BoolVar(&f.beforeVMSA, "before-vmsa", false, "print the snapshot before the first VMSA, from which every vCPU count continues")
	fl.StringVar(&f.igvm, "igvm", "", "IGVM `FILE`, which alone decides the digest (COCONUT, OpenVMM, Hyper-V)")
	fl.StringVar(&f.igvmCompat, "igvm-compat", "microsoft", "how to read what the tools read differently: microsoft or coconut")
	fl.BoolVar(&f.nativeZero, "native-zero", false, "IGVM pages without data are measured as ZERO")
	fl.BoolVar(&f.checkKVM, "check-kvm", false, "refuse an IGVM file that QEMU and KVM would not launch as it says")
	f.measureOut.flags(fl)
	_ = fl.MarkHidden("output-format")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "say what the digest is, as sev-snp-measure does")
}

func newMeasureSNPCmd(a *app) *cobra.Command {
	var f launchFlags
	c := &cobra.Command{
		Use:   "snp",
		Short: "Predict the MEASUREMENT of an SEV-SNP report",
		Long: `Predicts the launch digest of an SEV-SNP guest from its firmware (OVMF, EC2's and Google's builds, COCONUT-SVSM).

The digest depends on the firmware, the launcher, the number and type of vCPUs and the guest features; on kernel, initrd
and command line only if the firmware has a section for their hashes. Policy, host data, ID block and the host's
processor are not in it.`,
		Example: `  assay measure snp --ovmf OVMF.fd --vcpus 4 --vcpu-type EPYC-Milan
  assay measure snp --ovmf OVMF.fd --vcpus 1-64 --vmm-type ec2 --format json --trace
  assay measure snp --ovmf OVMF.fd --svsm svsm.bin --vars-file OVMF_VARS.fd --vcpus 2 --vcpu-type EPYC-v4`,
		Args: cobra.NoArgs,
		RunE: runE(func(cmd *cobra.Command, _ []string) error {
			f.given = cmd.Flags().Changed
			if f.mode == "" {
				f.mode = "snp"
				if f.svsm != "" {
					f.mode = "snp:svsm"
				}
			}
			return a.measureLaunch(&f)
		}),
	}
	f.flags(c.Flags())
	return c
}

func newMeasureSEVCmd(a *app, es bool) *cobra.Command {
	var f launchFlags
	c := &cobra.Command{Use: "sev", Short: "Predict the launch digest of a SEV guest", Args: cobra.NoArgs,
		Long: `Predicts the launch digest (LD) of a SEV guest: SHA-256 over the firmware and, with a kernel, the table of hashes. The guest
owner sees it inside an HMAC of the platform.`}
	mode := "sev"
	if es {
		mode = "seves"
		c.Use, c.Aliases, c.Short = "sev-es", []string{"seves"}, "Predict the launch digest of a SEV-ES guest"
		c.Long = `Predicts the launch digest (LD) of a SEV-ES guest: SHA-256 over the firmware, with a kernel the table of hashes, and the save
area of every vCPU. Guest features have no effect.`
	}
	c.RunE = runE(func(cmd *cobra.Command, _ []string) error {
		f.given = cmd.Flags().Changed
		if f.mode == "" {
			f.mode = mode
		}
		return a.measureLaunch(&f)
	})
	f.flags(c.Flags())
	return c
}

// measureLaunch predicts in any of sev-snp-measure's modes.
func (a *app) measureLaunch(f *launchFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	if f.igvm != "" {
		return a.measureIGVM(f)
	}
	if f.ovmf == "" {
		return fault.New(fault.Usage, "say which firmware is launched: --ovmf FILE")
	}
	if f.mode != "snp:ovmf-hash" {
		if err := f.sane(); err != nil {
			return err
		}
	}
	img, err := a.firmware(f.ovmf)
	if err != nil {
		return err
	}
	p := &statement.Prediction{Technology: statement.SNP}
	if f.wantsInputs() {
		if err := a.addInput(p, "firmware", f.ovmf); err != nil {
			return err
		}
	}
	switch f.mode {
	case "snp:ovmf-hash":
		f.verbose = false
		if f.format == "base64" {
			f.format = "hex" // sev-snp-measure prints this one in hex always
		}
		err = ovmfHash(p, img)
	case "sev", "seves":
		err = a.predictSEV(p, f, img)
	case "snp":
		err = a.predictSNP(p, f, img)
	case "snp:svsm":
		err = a.predictSVSM(p, f, img)
	default:
		err = fault.New(fault.Usage, "--mode %q: sev, seves, snp, snp:ovmf-hash or snp:svsm", f.mode)
	}
	if err != nil {
		return err
	}
	if f.verbose && len(p.Values) == 1 && f.format == "hex" {
		mode := map[string]string{"sev": "SEV", "seves": "SEV_ES", "snp": "SEV_SNP", "snp:svsm": "SEV_SNP_SVSM"}[f.mode]
		_, err := fmt.Fprintf(a.stdout, "Calculated %s guest measurement: %x\n", mode, p.Values[0].Digest)
		return err
	}
	return a.writePrediction(&f.measureOut, p)
}

// sane refuses combinations of options that have no meaning.
func (f *launchFlags) sane() error {
	if f.beforeVMSA && f.vcpus == "" {
		f.vcpus = "1" // the snapshot is the same for every count
	}
	switch {
	case f.initrd != "" && f.kernel == "":
		return fault.New(fault.Usage, "--kernel required when using --initrd")
	case f.append != "" && f.kernel == "":
		return fault.New(fault.Usage, "--kernel required when using --append")
	case f.mode != "sev" && f.vcpus == "":
		return fault.New(fault.Usage, "missing --vcpus N in guest mode %q", f.mode)
	case f.ovmfHash != "" && f.mode != "snp":
		return fault.New(fault.Usage, "--snp-ovmf-hash has a meaning in mode snp only")
	case f.mode == "snp:svsm" && f.svsm == "":
		return fault.New(fault.Usage, "snp:svsm mode requires --svsm FILE")
	case f.mode == "snp:svsm" && (f.given("vars-size") == (f.varsFile != "")):
		return fault.New(fault.Usage, "snp:svsm mode requires --vars-size or --vars-file, and not both")
	case f.varsSize < 0:
		return fault.New(fault.Usage, "--vars-size %d is negative", f.varsSize)
	case f.mode == "snp:svsm" && f.kernel != "":
		return fault.New(fault.Unsupported, "kernel hashes are not possible in mode snp:svsm: the SVSM's own sections are measured, and it has none for them")
	case f.dumpVMSA && f.mode == "sev":
		return fault.New(fault.Usage, "--dump-vmsa: SEV guests have no VMSA that is measured")
	}
	return nil
}

func ovmfHash(p *statement.Prediction, img *ovmf.Image) error {
	d, err := snp.FirmwareDigest(img)
	if err != nil {
		return err
	}
	p.Values = []statement.Value{{Name: "ovmf-hash", Alg: "sha384", Digest: d[:]}}
	return nil
}

// signature settles the vCPU signature: family, then signature, then type, as sev-snp-measure does.
func (f *launchFlags) signature(needed bool) (uint32, error) {
	switch {
	case f.given("vcpu-family"):
		if !f.given("vcpu-model") || !f.given("vcpu-stepping") || f.family < 0 || f.model < 0 || f.stepping < 0 {
			return 0, fault.New(fault.Usage, "--vcpu-family needs --vcpu-model and --vcpu-stepping")
		}
		return snp.Signature(uint32(f.family), uint32(f.model), uint32(f.stepping))
	case f.vcpuSig != "":
		v, err := strconv.ParseUint(f.vcpuSig, 0, 32)
		if err != nil {
			return 0, fault.New(fault.Usage, "--vcpu-sig %q is not a 32-bit number", f.vcpuSig)
		}
		return uint32(v), nil
	case f.vcpuType != "":
		return snp.SignatureByName(f.vcpuType)
	case needed:
		return 0, fault.New(fault.Usage, "missing --vcpu-type or --vcpu-sig or --vcpu-family in guest mode %q", f.mode)
	}
	return 0, nil
}

// plan settles the launcher.
func (f *launchFlags) plan() (snp.VMM, snp.Plan, error) {
	vmm, err := snp.ParseVMM(f.vmm)
	if err != nil {
		return "", snp.Plan{}, err
	}
	quirks, err := snp.ParseQuirks(f.quirks)
	if err != nil {
		return "", snp.Plan{}, err
	}
	plan := snp.PlanFor(vmm, quirks...)
	if f.product != "" {
		width := map[string]int{"milan": 48, "genoa": 52}[strings.ToLower(f.product)]
		if vmm != snp.GCE || width == 0 {
			return "", plan, fault.New(fault.Unsupported, "--product %q on %s: the VMSA address is known for Milan and Genoa on gce", f.product, vmm)
		}
		plan.VMSAGPA = snp.VMSAGPAByWidth(width)
	}
	return vmm, plan, nil
}

// kernelHashes hashes kernel and initrd, or gives nil when no kernel was named.
func (a *app) kernelHashes(p *statement.Prediction, f *launchFlags) (*snp.KernelHashes, error) {
	if f.kernel == "" {
		return nil, nil
	}
	k, _, err := a.openArtefact(f.kernel, maxStreamed)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	var initrd io.Reader
	if f.initrd != "" {
		i, _, err := a.openArtefact(f.initrd, maxStreamed)
		if err != nil {
			return nil, err
		}
		defer i.Close()
		initrd = i
	}
	h, err := snp.HashKernel(k, initrd, f.append)
	if err != nil {
		return nil, fault.New(fault.Internal, "reading kernel and initrd: %w", err)
	}
	if f.wantsInputs() {
		if err := a.addInput(p, "kernel", f.kernel); err != nil {
			return nil, err
		}
		if err := a.addInput(p, "initrd", f.initrd); err != nil {
			return nil, err
		}
	}
	p.Param("append", f.append)
	return h, nil
}

func (a *app) predictSNP(p *statement.Prediction, f *launchFlags, img *ovmf.Image) error {
	vmm, plan, err := f.plan()
	if err != nil {
		return err
	}
	cfg := snp.Config{Firmware: img, Plan: plan, Trace: f.trace}
	if cfg.VCPUs, err = parseCounts(f.vcpus, snp.MaxVCPUs); err != nil {
		return err
	}
	if cfg.Signature, err = f.signature(plan.NeedsSig); err != nil {
		return err
	}
	if cfg.Features, err = snp.ParseFeatures(f.features); err != nil {
		return err
	}
	if f.ovmfHash != "" {
		d, err := measure.ParseSHA384(f.ovmfHash)
		if err != nil {
			return err
		}
		cfg.FirmwareLD = &d
		p.Param("snp_ovmf_hash", d.String())
	}
	if cfg.Kernel, err = a.kernelHashes(p, f); err != nil {
		return err
	}
	p.Param("vmm_type", string(vmm))
	if plan.NeedsSig {
		p.Param("vcpu_sig", fmt.Sprintf("0x%x", cfg.Signature))
	} else {
		p.Param("vcpu_sig", fmt.Sprintf("0x%x", plan.Regs.RDX))
		if f.vcpuType != "" || f.vcpuSig != "" || f.given("vcpu-family") {
			p.Notes = append(p.Notes, fmt.Sprintf("%s does not show the vCPU type to the guest's measurement; the type given has no effect", vmm))
		}
	}
	if vmm == snp.KRUN {
		p.Notes = append(p.Notes, "no value measured on hardware has been published for KRUN; the registers are those of virtee/sev")
	}
	p.Param("guest_features", fmt.Sprintf("0x%x", cfg.Features))
	p.Param("vmsa_gpa", fmt.Sprintf("0x%x", plan.VMSAGPA))
	for _, q := range f.quirks {
		p.Param("quirk", q)
	}
	res, err := snp.Predict(cfg)
	if err != nil {
		return err
	}
	return a.takeResult(p, f, res)
}

// takeResult turns a result of SNP into values, and dumps the VMSAs when asked.
func (a *app) takeResult(p *statement.Prediction, f *launchFlags, res *snp.Result) error {
	p.Steps = res.Steps
	if f.beforeVMSA {
		p.Values = []statement.Value{{Name: "before-vmsa", Alg: "sha384", Digest: res.BeforeVMSAs[:]}}
		return nil
	}
	for _, v := range res.Values {
		p.Values = append(p.Values, statement.Value{Name: "measurement", VCPUs: v.VCPUs, Alg: "sha384", Digest: v.Digest[:]})
	}
	if f.dumpVMSA {
		return dumpVMSAs(res.BootVMSA, res.APVMSA, res.Values[len(res.Values)-1].VCPUs)
	}
	return nil
}

func dumpVMSAs(boot, ap []byte, n int) error {
	page := boot
	for i := range n {
		if err := os.WriteFile(fmt.Sprintf("vmsa%d.bin", i), page, 0o644); err != nil {
			return fault.New(fault.Usage, "%w", err)
		}
		page = ap
	}
	return nil
}

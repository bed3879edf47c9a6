package snp

import (
	"slices"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
)

// VMM is the program that launches the guest. It decides the order of pages and the registers at start.
type VMM string

// The launchers that are known. KRUN is virtee/sev's reading of libkrun; no value measured on hardware has been published
// for it. Stage0 is the virtual machine monitor that runs Oak's stage0 at Google.
const (
	QEMU            VMM = "QEMU"
	EC2             VMM = "ec2"
	GCE             VMM = "gce"
	KRUN            VMM = "KRUN"
	CloudHypervisor VMM = "cloud-hypervisor"
	Stage0          VMM = "stage0"
)

// VMMs lists the launchers that a user can name.
func VMMs() []VMM { return []VMM{QEMU, EC2, GCE, KRUN, CloudHypervisor} }

// ParseVMM finds a launcher by name, in any case.
func ParseVMM(name string) (VMM, error) {
	var known []string
	for _, v := range VMMs() {
		if strings.EqualFold(string(v), name) {
			return v, nil
		}
		known = append(known, string(v))
	}
	return "", fault.New(fault.Usage, "unknown VMM type %q; known are %s. Guests of Hyper-V and OpenVMM are launched from an IGVM file: see --igvm", name, strings.Join(known, ", "))
}

// Quirk is a named deviation that older tools or hosts have, and that published digests depend on.
type Quirk string

// The quirks.
const (
	// QuirkEC2RDXZero: rdx is 0 on EC2, as sev-snp-measure up to 0.0.12 and virtee/sev have it.
	QuirkEC2RDXZero Quirk = "ec2-rdx-zero"
	// QuirkFPUZero: mxcsr and the x87 control word are 0, as on host kernels before 6.10 and in sev-snp-measure up to 0.0.9.
	QuirkFPUZero Quirk = "fpu-zero"
	// QuirkSVSMFCW: the x87 control word is 0x37F in the SVSM mode, as hardware would have it; sev-snp-measure says 0.
	QuirkSVSMFCW Quirk = "svsm-fcw"
)

// Quirks lists all quirks.
func Quirks() []Quirk { return []Quirk{QuirkEC2RDXZero, QuirkFPUZero, QuirkSVSMFCW} }

// ParseQuirks reads names of quirks.
func ParseQuirks(names []string) ([]Quirk, error) {
	var out []Quirk
	for _, n := range names {
		if !slices.Contains(Quirks(), Quirk(n)) {
			return nil, fault.New(fault.Usage, "quirk %q is not known; known are %v", n, Quirks())
		}
		out = append(out, Quirk(n))
	}
	return out, nil
}

// Plan is what a launcher does beyond the firmware's own tables: page order, page kinds and registers. It is data, so that
// a search can vary one point at a time (specs measure.md sections 4 and 6).
type Plan struct {
	SecMem       PageType // kind of SNP_SEC_MEM pages
	CPUIDLast    bool     // the CPUID page follows all other sections
	HashesAbsent bool     // the SNP_KERNEL_HASHES section is not measured at all
	AllPages     bool     // SECRETS and CPUID sections of several pages are measured whole; else they are refused
	VMSAGPA      uint64   // the address of every VMSA
	Regs         Registers
	NeedsSig     bool // rdx is the vCPU signature, which the caller must give
}

// Registers are the fields of the VMSA in which launchers differ.
type Registers struct {
	CSBoot, CSAP, SS, TR uint16 // segment attributes in the 12-bit VMCB form
	GPAT                 uint64
	RDX                  uint64 // overridden by the vCPU signature when the plan needs one
	MXCSR                uint32
	FCW                  uint16
}

// vmsaGPA is what KVM writes for every VMSA: GPA −1 cut to 48 physical address bits, page-aligned.
const vmsaGPA = 0xfffffffff000

const (
	patKVM    = 0x7040600070406 // the reset value of the page attribute table
	patGoogle = 0x70106
)

// PlanFor gives the plan of a launcher, with quirks applied.
func PlanFor(v VMM, quirks ...Quirk) Plan {
	p := Plan{SecMem: PageZero, VMSAGPA: vmsaGPA, NeedsSig: true,
		Regs: Registers{CSBoot: 0x9b, CSAP: 0x9b, SS: 0x93, TR: 0x8b, GPAT: patKVM, MXCSR: 0x1f80, FCW: 0x37f}}
	switch v {
	case EC2:
		p.CPUIDLast, p.NeedsSig = true, false
		p.Regs = Registers{CSBoot: 0x9a, CSAP: 0x9b, SS: 0x92, TR: 0x83, GPAT: patKVM, RDX: GenericSignature}
		if slices.Contains(quirks, QuirkEC2RDXZero) {
			p.Regs.RDX = 0
		}
	case GCE, Stage0:
		p.SecMem, p.NeedsSig = PageUnmeasured, false
		p.Regs = Registers{CSBoot: 0x9b, CSAP: 0x9b, SS: 0x93, TR: 0x8b, GPAT: patGoogle, RDX: GenericSignature}
		p.HashesAbsent, p.AllPages = v == Stage0, v == Stage0
	case KRUN:
		p.NeedsSig = false
		p.Regs = Registers{CSBoot: 0x9a, CSAP: 0x9a, SS: 0x92, TR: 0x83, GPAT: patKVM}
	}
	if slices.Contains(quirks, QuirkFPUZero) {
		p.Regs.MXCSR, p.Regs.FCW = 0, 0
	}
	return p
}

// VMSAGPAByWidth is the VMSA address of a launcher that cuts GPA −1 to a physical address width of bits; Google's own tool
// uses 48 on Milan and 52 on Genoa.
func VMSAGPAByWidth(bits int) uint64 { return (1<<bits - 1) &^ uint64(PageSize-1) }

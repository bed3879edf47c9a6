// Package explain searches the inputs that lead to a given measurement: what a user does by hand when a prediction and the
// hardware differ (specs measure.md section 22).
package explain

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/ovmf"
	"github.com/assay-tee/assay/measure/snp"
)

// MaxVCPUs is the largest vCPU count that is tried.
const MaxVCPUs = 512

// Kernel is the kernel that may have been given to the launcher. Initrd may be nil.
type Kernel struct {
	Kernel, Initrd []byte
	CommandLine    string
}

// Input is what the search starts from.
type Input struct {
	Target   []byte // 48 bytes, or 32 for SEV and SEV-ES
	Firmware *ovmf.Image
	SVSM     *ovmf.Image // optional
	VarsSize uint64
	Kernel   *Kernel // optional
	Features *uint64 // optional: also tried
	// Limit bounds the digests that are compared; the search stops there and says so.
	Limit int
	// All goes on after the first hit.
	All bool
	// Progress, when set, is called with the number of digests compared so far.
	Progress func(tried int)
}

// Hit is a combination that gives the target, as options of "assay measure".
type Hit struct {
	Verb  string   `json:"verb"` // "snp", "sev", "sev-es", "tdx"
	Args  []string `json:"args"`
	VCPUs int      `json:"vcpus,omitempty"`
	What  string   `json:"what"`
}

// Report says what was found, and what was tried.
type Report struct {
	Hits     []Hit    `json:"hits"`
	Tried    int      `json:"tried"` // digests compared
	Complete bool     `json:"complete"`
	Space    []string `json:"space"` // what was varied, in words
}

type search struct {
	in  Input
	rep *Report
}

// errStop ends a search that has found what it looks for, or has reached its limit.
var errStop = fmt.Errorf("stop")

// tried counts n compared digests.
func (s *search) tried(n int) error {
	s.rep.Tried += n
	if s.in.Progress != nil {
		s.in.Progress(s.rep.Tried)
	}
	if s.rep.Tried >= s.in.Limit {
		s.rep.Complete = false
		return errStop
	}
	return nil
}

func (s *search) hit(h Hit) error {
	s.rep.Hits = append(s.rep.Hits, h)
	if s.in.All {
		return nil
	}
	return errStop
}

// Run searches. That nothing was found is no error.
func Run(in Input) (*Report, error) {
	if len(in.Target) != 48 && len(in.Target) != 32 {
		return nil, fault.New(fault.Usage, "a measurement of %d bytes; launch digests have 48, those of SEV and SEV-ES 32", len(in.Target))
	}
	if in.Limit <= 0 {
		return nil, fault.New(fault.Usage, "a limit of %d lets nothing be tried", in.Limit)
	}
	s := &search{in: in, rep: &Report{Complete: true, Hits: []Hit{}}}
	var err error
	if len(in.Target) == 32 {
		err = s.sev()
	} else {
		err = s.wide()
	}
	if err != nil && err != errStop {
		return nil, err
	}
	return s.rep, nil
}

// wide tries everything that has 48 bytes.
func (s *search) wide() error {
	if s.in.Firmware == nil {
		return s.rtmr2()
	}
	if err := s.tdx(); err != nil {
		return err
	}
	if err := s.snp(); err != nil {
		return err
	}
	if err := s.svsm(); err != nil {
		return err
	}
	return s.rtmr2()
}

func counts() []int {
	out := make([]int, MaxVCPUs)
	for i := range out {
		out[i] = i + 1
	}
	return out
}

func (s *search) features() []uint64 {
	out := []uint64{1, 0x21, 0x201, 0x221}
	if f := s.in.Features; f != nil {
		out = append([]uint64{*f}, out...)
	}
	return unique(out)
}

func unique[T comparable](in []T) []T {
	var out []T
	seen := map[T]bool{}
	for _, v := range in {
		if !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	return out
}

func signatures() []snp.CPUModel {
	var out []snp.CPUModel
	seen := map[uint32]bool{}
	for _, m := range snp.CPUModels() {
		if !seen[m.Signature] {
			seen[m.Signature] = true
			out = append(out, m)
		}
	}
	return out
}

// kernelCase is one way in which the kernel may have been measured.
type kernelCase struct {
	hashes *snp.KernelHashes
	args   []string
	what   string
}

func (s *search) kernels() ([]kernelCase, error) {
	off := kernelCase{what: "no kernel hashes"}
	k := s.in.Kernel
	if k == nil {
		return []kernelCase{off}, nil
	}
	var out []kernelCase
	for _, initrd := range []bool{true, false} {
		if initrd && k.Initrd == nil {
			continue
		}
		for _, line := range lines(k.CommandLine) {
			c := kernelCase{args: []string{"--kernel", "KERNEL"}, what: fmt.Sprintf("kernel hashes with command line %q", line)}
			ird := bytes.NewReader(nil)
			if initrd {
				ird = bytes.NewReader(k.Initrd)
				c.args = append(c.args, "--initrd", "INITRD")
			} else if k.Initrd != nil {
				c.what += ", without initrd"
			}
			if line != "" {
				c.args = append(c.args, "--append", line)
			}
			var err error
			if c.hashes, err = snp.HashKernel(bytes.NewReader(k.Kernel), ird, line); err != nil {
				return nil, err
			}
			out = append(out, c)
		}
	}
	return append(out, off), nil
}

// lines are the forms in which a command line reaches a launcher by mistake.
func lines(l string) []string {
	trimmed := strings.TrimRight(l, "\n ")
	return unique([]string{l, trimmed, trimmed + "\n", trimmed + " ", strings.TrimLeft(trimmed, " "), ""})
}

// planCase is one launcher, with a deviation from it or none.
type planCase struct {
	plan snp.Plan
	args []string
	what string
}

func plans() []planCase {
	var out []planCase
	add := func(v snp.VMM, what string, quirks ...snp.Quirk) {
		c := planCase{plan: snp.PlanFor(v, quirks...), args: []string{"--vmm-type", string(v)}, what: what}
		for _, q := range quirks {
			c.args = append(c.args, "--quirk", string(q))
		}
		out = append(out, c)
	}
	add(snp.QEMU, "QEMU")
	add(snp.EC2, "EC2")
	add(snp.GCE, "GCE")
	add(snp.QEMU, "QEMU on a host kernel before 6.10", snp.QuirkFPUZero)
	add(snp.EC2, "EC2, rdx 0", snp.QuirkEC2RDXZero)
	genoa := planCase{plan: snp.PlanFor(snp.GCE), args: []string{"--vmm-type", "gce", "--product", "Genoa"}, what: "GCE, VMSA address of 52 bits"}
	genoa.plan.VMSAGPA = snp.VMSAGPAByWidth(52)
	out = append(out, genoa)
	add(snp.KRUN, "KRUN")
	out = append(out, planCase{plan: snp.PlanFor(snp.Stage0), what: "stage0's launcher (assay measure stage0)"})
	return out
}

// deviations are plans with one or more points changed that no launcher known here has together; a hit among them tells where to
// look, and has no command line.
func deviations() []planCase {
	var out []planCase
	for _, base := range plans() {
		for _, last := range []bool{false, true} {
			for _, mem := range []snp.PageType{snp.PageZero, snp.PageUnmeasured} {
				for _, width := range []int{48, 52} {
					p := base.plan
					p.CPUIDLast, p.SecMem, p.VMSAGPA = last, mem, snp.VMSAGPAByWidth(width)
					if p == base.plan {
						continue
					}
					what := fmt.Sprintf("%s, but CPUID last: %v, SEC_MEM as %v, VMSA address of %d bits", base.what, last, mem, width)
					out = append(out, planCase{plan: p, args: base.args, what: what})
				}
			}
		}
	}
	return out
}

func (s *search) snp() error {
	img := s.in.Firmware
	if _, ok, err := img.SEVMetadata(); err != nil || !ok {
		return err
	}
	if err := img.WholePages(); err != nil {
		return err
	}
	s.rep.Space = append(s.rep.Space, "SEV-SNP: 1 to 512 vCPUs; guest features 0x1, 0x21, 0x201, 0x221 and the given; all launchers and quirks; all vCPU types (QEMU)",
		"SEV-SNP: kernel hashes on and off, command line with and without final newline or space, with and without initrd",
		"SEV-SNP: CPUID page in place and last, SEC_MEM as ZERO and UNMEASURED, VMSA address of 48 and 52 bits")
	ld, err := snp.FirmwareDigest(img)
	if err != nil {
		return err
	}
	if bytes.Equal(ld[:], s.in.Target) {
		if err := s.hit(Hit{Verb: "snp", Args: []string{"--mode", "snp:ovmf-hash"}, What: "the launch digest after the firmware's pages only"}); err != nil {
			return err
		}
	}
	ks, err := s.kernels()
	if err != nil {
		return err
	}
	for _, p := range append(plans(), deviations()...) {
		for _, k := range ks {
			if err := s.snpCase(ld, p, k); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *search) snpCase(ld measure.SHA384, p planCase, k kernelCase) error {
	models := []snp.CPUModel{{}}
	if p.plan.NeedsSig {
		models = signatures()
	}
	for _, m := range models {
		for _, f := range s.features() {
			cfg := snp.Config{Firmware: s.in.Firmware, FirmwareLD: &ld, Plan: p.plan, VCPUs: counts(), Signature: m.Signature, Features: f, Kernel: k.hashes}
			res, err := snp.Predict(cfg)
			if err != nil {
				if fault.Is(err, fault.Unsupported) || fault.Is(err, fault.Malformed) {
					cfg.VCPUs = []int{1} // no reset block: one vCPU is all there is
					if res, err = snp.Predict(cfg); err != nil {
						return nil // no section for kernel hashes: this case does not exist
					}
				} else {
					return err
				}
			}
			args := append([]string{}, p.args...)
			if m.Name != "" {
				args = append(args, "--vcpu-type", m.Name)
			}
			args = append(append(args, "--guest-features", fmt.Sprintf("0x%x", f)), k.args...)
			what := fmt.Sprintf("%s, %s", p.what, k.what)
			if bytes.Equal(res.BeforeVMSAs[:], s.in.Target) {
				return s.hit(Hit{Verb: "snp", Args: append(args, "--before-vmsa"), What: what + ": the state before the first VMSA"})
			}
			for _, v := range res.Values {
				if bytes.Equal(v.Digest[:], s.in.Target) {
					if err := s.hit(Hit{Verb: "snp", Args: append(args, "--vcpus", fmt.Sprint(v.VCPUs)), VCPUs: v.VCPUs, What: what}); err != nil {
						return err
					}
				}
			}
			if err := s.tried(len(res.Values) + 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// Target reads a measurement in hex.
func Target(s string) ([]byte, error) {
	b, err := hex.DecodeString(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "0x"))
	if err != nil || len(b) != 48 && len(b) != 32 {
		return nil, fault.New(fault.Usage, "%q is not a measurement: 96 hex digits are wanted, or 64 for SEV and SEV-ES", s)
	}
	return b, nil
}

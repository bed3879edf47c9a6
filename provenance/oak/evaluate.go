package oak

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/protox"
)

// maxCmdline is below which a command line must stay, as upstream has it (oak.md section 18).
const maxCmdline = 256

// Attested are the claims of authentic evidence: those of the attester "oak", and those of its part "root", nil when
// no hardware stands behind it.
type Attested struct {
	Claims      claim.Object
	Root        claim.Object
	RootTEE     string // "snp" or "tdx"
	RootProduct string // "Milan", …
}

// Outcome says what the reference values were met by.
type Outcome struct {
	Checks []Check
	// Window is the intersection of the validity of all endorsements that were used; zero when none was.
	Window Window
}

// Check is one reference value that was met, or skipped: what a skip leaves open is the reader's risk.
type Check struct {
	Name   string
	How    How
	Detail string
	Used   *Verified // the endorsement, if one was used
}

// Skipped returns the names of what nobody compared.
func (o *Outcome) Skipped() (out []string) {
	for _, c := range o.Checks {
		if c.How == Skip {
			out = append(out, c.Name)
		}
	}
	return out
}

// evaluation is one run.
type evaluation struct {
	r   *ReferenceValues
	a   Attested
	e   *Endorsements
	now time.Time
	out Outcome
}

// Evaluate compares what is attested with what is asked for. A value that differs, is missing, or says nothing is class
// policy; the classes of endorsements are those of [Endorsement.Verify]. Evidence without hardware is class policy unless
// the reference values say insecure, and a software root is unsupported.
func (r *ReferenceValues) Evaluate(a Attested, e *Endorsements, now time.Time) (*Outcome, error) {
	if e == nil {
		e = &Endorsements{}
	}
	v := &evaluation{r: r, a: a, e: e, now: now}
	if err := v.root(); err != nil {
		return nil, fault.Wrap(err, "root layer")
	}
	if shape := v.text("shape"); shape != r.Shape {
		return nil, fault.New(fault.Policy, "the evidence is of the shape %s, the reference values are for %s", shape, r.Shape)
	}
	if err := v.layers(); err != nil {
		return nil, err
	}
	return &v.out, nil
}

func get(o claim.Object, name string) (claim.Node, bool) {
	for _, m := range o {
		if m.Name == name {
			return m.Value, true
		}
	}
	return claim.Node{}, false
}

func (v *evaluation) text(name string) string {
	n, _ := get(v.a.Claims, name)
	if n.Kind != claim.NodeText {
		return ""
	}
	return n.String()
}

func (v *evaluation) passed(c Check) {
	if c.Used != nil {
		v.out.Window.intersect(c.Used.Window)
	}
	v.out.Checks = append(v.out.Checks, c)
}

func (v *evaluation) root() error {
	platform := v.text("platform")
	switch {
	case platform == "AMD_SEV_SNP" && v.a.RootTEE == "snp" && v.a.Root != nil:
		if v.r.SNP == nil {
			return fault.New(fault.Policy, "no reference value for SEV-SNP")
		}
		return v.snp(v.r.SNP)
	case platform == "INTEL_TDX" && v.a.RootTEE == "tdx" && v.a.Root != nil:
		if v.r.TDX == nil {
			return fault.New(fault.Policy, "no reference value for TDX")
		}
		return v.tdx(v.r.TDX)
	case platform == "NONE":
		if !v.r.Insecure {
			return fault.New(fault.Policy, "no hardware stands behind the evidence, and the reference values do not say insecure")
		}
		v.passed(Check{Name: "root", How: Skip, Detail: "insecure: no hardware stands behind the evidence"})
		return nil
	}
	return fault.New(fault.Unsupported, "evidence with a root of platform %s: reference values speak of hardware, or of none by the name insecure", platform)
}

func (v *evaluation) snp(r *SNP) error {
	number := func(path ...string) (uint64, bool) {
		o := v.a.Root
		for i, p := range path {
			n, ok := get(o, p)
			if !ok {
				return 0, false
			}
			if i == len(path)-1 {
				return n.Uint(), n.Kind == claim.NodeUint
			}
			o = n.Object()
		}
		return 0, false
	}
	flag := func(object, name string) bool {
		n, _ := get(v.a.Root, object)
		b, ok := get(n.Object(), name)
		return ok && b.Bool()
	}
	if vmpl, ok := number("vmpl"); !ok || vmpl != 0 {
		return fault.New(fault.Policy, "the report is of VMPL %d, not 0", vmpl)
	}
	if flag("policy", "debug") && !r.AllowDebug {
		return fault.New(fault.Policy, "the guest can be debugged")
	}
	if r.RequireAliasCheck && !flag("platform_info", "alias_check_complete") {
		return fault.New(fault.Policy, "the firmware has not completed the check for aliases of memory")
	}
	for name, want := range map[string]uint64{"launch_mit_vector": r.LaunchMit, "current_mit_vector": r.CurrentMit} {
		if have, _ := number(name); have&want != want {
			return fault.New(fault.Policy, "%s is %#x, the bits %#x are asked for", name, have, want)
		}
	}
	tcb := r.MinTCB
	if tcb == nil {
		tcb = r.Products[v.a.RootProduct]
	}
	if err := tcb.check(func(c string) (uint64, bool) {
		if c == "boot_loader" {
			c = "bootloader" // its claim
		}
		return number("reported_tcb", c)
	}); err != nil {
		return fault.Wrap(err, "TCB of %s", v.a.RootProduct)
	}
	v.tcbPassed(tcb)
	m, _ := get(v.a.Root, "measurement")
	return v.stage0(r.Stage0, m.Bytes())
}

func (v *evaluation) tdx(r *TDX) error {
	a, _ := get(v.a.Root, "td_attributes")
	if d, ok := get(a.Object(), "under_debug"); (!ok || d.Bool()) && !r.AllowDebug {
		return fault.New(fault.Policy, "the TD can be debugged")
	}
	svn, _ := get(v.a.Root, "tee_tcb_svn")
	b := svn.Bytes()
	err := r.TCB.check(func(c string) (uint64, bool) {
		i, err := strconv.Atoi(c)
		if err != nil || i >= len(b) {
			return 0, false
		}
		return uint64(b[i]), true
	})
	if err != nil {
		return fault.Wrap(err, "TEE_TCB_SVN")
	}
	v.tcbPassed(r.TCB)
	m, _ := get(v.a.Root, "mr_td")
	return v.stage0(r.Stage0, m.Bytes())
}

func (v *evaluation) tcbPassed(t *TCB) {
	c := Check{Name: "tcb", How: ByLiteral, Detail: "every component is at least the minimum"}
	if t.Skip {
		c = Check{Name: "tcb", How: Skip}
	}
	v.passed(c)
}

// check compares component by component. A component that the evidence has not counts as 0: FMC before Turin.
func (t *TCB) check(have func(string) (uint64, bool)) error {
	switch {
	case t == nil:
		return fault.New(fault.Policy, "no reference value for it")
	case t.Skip:
		return nil
	case t.Minimum == nil:
		return fault.New(fault.Policy, "the reference value says neither skip nor a minimum")
	}
	for _, c := range slices.Sorted(mapKeys(t.Minimum)) {
		if is, _ := have(c); is < t.Minimum[c] {
			return fault.New(fault.Policy, "%s is %d, at least %d is asked for", c, is, t.Minimum[c])
		}
	}
	return nil
}

func mapKeys(m map[string]uint64) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// stage0 compares the launch measurement. Any configuration of an attachment will do; which one it was is told, since the
// number of processors is else unseen.
func (v *evaluation) stage0(r *Value, measurement []byte) error {
	have := Digests{{"sha2_384", measurement}}
	if r == nil || r.How != ByEndorsement {
		return v.binary(Stage0, r, have)
	}
	used, err := v.e.By[Stage0].Verify(r.Endorsement, v.now)
	if err != nil {
		return fault.Wrap(err, "endorsement of %s", Stage0)
	}
	if !used.has(ClaimFirmware) || used.Subject == nil {
		return fault.New(fault.Policy, "the endorsement of %s has no firmware attachment: the digest of a file says nothing about a launch", Stage0)
	}
	m := protox.Parse("FirmwareAttachment", used.Subject)
	for _, c := range m.Subs(1, "configs") {
		vcpus, d := c.Int(1), hexDigest(c.Sub(2, "digest"))
		if m.Err() == nil && compare(have, d) == nil {
			v.passed(Check{Stage0, ByEndorsement, fmt.Sprintf("the configuration for %d vCPUs", vcpus), used})
			return nil
		}
	}
	if d := hexDigest(m.Sub(3, "tdx_measurement")); v.a.RootTEE == "tdx" && m.Err() == nil && compare(have, d) == nil {
		v.passed(Check{Stage0, ByEndorsement, "the measurement for TDX", used})
		return nil
	}
	if err := m.Err(); err != nil {
		return err
	}
	return fault.New(fault.Policy, "the launch measurement %x is none of the endorsed ones", measurement)
}

func (v *evaluation) layers() error {
	if v.r.Shape == "cb" {
		return v.events()
	}
	if err := v.kernel(v.r.Values[Kernel]); err != nil {
		return err
	}
	if err := v.cmdline(v.r.Values[KernelCmdline]); err != nil {
		return err
	}
	names := []string{Initrd, MemoryMap, ACPI, SystemImage, Container, ContainerConfig}
	if v.r.Shape == "oak_restricted_kernel" {
		names = []string{Initrd, MemoryMap, ACPI, Application, ApplicationConfig}
	}
	for _, n := range names {
		if err := v.binary(n, v.r.Values[n], v.attested(n)); err != nil {
			return err
		}
	}
	return nil
}

func (v *evaluation) events() error {
	list, _ := get(v.a.Claims, "events")
	if n := len(list.List()); n != len(v.r.Events) {
		return fault.New(fault.Policy, "%d events, and reference values for %d", n, len(v.r.Events))
	}
	for i, r := range v.r.Events {
		name := fmt.Sprintf("event_%d", i)
		n, _ := get(v.a.Claims, name)
		if err := v.binary(name, r, Digests{{"sha2_256", n.Bytes()}}); err != nil {
			return err
		}
	}
	return nil
}

// attested are the digests of one thing.
func (v *evaluation) attested(name string) (out Digests) {
	all, _ := get(v.a.Claims, "digests")
	d, _ := get(all.Object(), name)
	for _, m := range d.Object() {
		out = append(out, NamedDigest{m.Name, m.Value.Bytes()})
	}
	return out
}

func (v *evaluation) binary(name string, r *Value, have Digests) error {
	how := Empty
	if r != nil {
		how = r.How
	}
	switch how {
	case Skip:
		v.passed(Check{Name: name, How: Skip})
		return nil
	case ByDigest:
		if err := anyOf(name, have, r.Digests); err != nil {
			return err
		}
		v.passed(Check{Name: name, How: ByDigest})
		return nil
	case ByEndorsement:
		used, err := v.e.By[name].Verify(r.Endorsement, v.now)
		if err != nil {
			return fault.Wrap(err, "endorsement of %s", name)
		}
		if err := anyOf(name, have, []Digests{{{"sha2_256", used.Digest[:]}}}); err != nil {
			return err
		}
		v.passed(Check{name, ByEndorsement, "", used})
		return nil
	}
	return fault.New(fault.Policy, "no reference value for %s; say skip if none is meant", name)
}

// kernel compares image and setup data, both.
func (v *evaluation) kernel(r *Value) error {
	how := Empty
	if r != nil {
		how = r.How
	}
	both := func(image, setup []Digests) error {
		if err := anyOf(Kernel, v.attested(Kernel), image); err != nil {
			return err
		}
		return anyOf(KernelSetupData, v.attested(KernelSetupData), setup)
	}
	switch how {
	case Skip:
		v.passed(Check{Name: Kernel, How: Skip})
		return nil
	case ByDigest:
		if err := both(r.Digests, r.SetupData); err != nil {
			return err
		}
		v.passed(Check{Name: Kernel, How: ByDigest})
		return nil
	case ByEndorsement:
		used, err := v.e.By[Kernel].Verify(r.Endorsement, v.now)
		if err != nil {
			return fault.Wrap(err, "endorsement of %s", Kernel)
		}
		if !used.has(ClaimKernel) || used.Subject == nil {
			return fault.New(fault.Policy, "the endorsement of %s has no kernel attachment", Kernel)
		}
		m := protox.Parse("KernelAttachment", used.Subject)
		image, setup := hexDigest(m.Sub(1, "image")), hexDigest(m.Sub(2, "setup_data"))
		if err := m.Err(); err != nil {
			return err
		}
		if err := both([]Digests{image}, []Digests{setup}); err != nil {
			return err
		}
		v.passed(Check{Kernel, ByEndorsement, "", used})
		return nil
	}
	return fault.New(fault.Policy, "no reference value for %s; say skip if none is meant", Kernel)
}

func (v *evaluation) cmdline(r *Value) error {
	how := Empty
	if r != nil {
		how = r.How
	}
	if how == Skip {
		v.passed(Check{Name: KernelCmdline, How: Skip})
		return nil
	}
	n, ok := get(v.a.Claims, KernelCmdline)
	if how != Empty && (!ok || n.Kind != claim.NodeText) {
		return fault.New(fault.Policy, "the evidence has no command line in clear; its reference value can only be skip")
	}
	line := n.String()
	if how != Empty && len(line) >= maxCmdline {
		return fault.New(fault.Policy, "a command line of %d bytes; shorter than %d can be compared", len(line), maxCmdline)
	}
	c := Check{Name: KernelCmdline, How: how}
	switch how {
	case ByLiteral:
		if !slices.Contains(r.Literals, line) {
			return fault.New(fault.Policy, "the command line %q is none of those asked for", line)
		}
	case ByRegex:
		if err := match(r.Regex, line); err != nil {
			return err
		}
	case ByEndorsement:
		used, err := v.e.By[KernelCmdline].Verify(r.Endorsement, v.now)
		if err != nil {
			return fault.Wrap(err, "endorsement of %s", KernelCmdline)
		}
		if used.Subject == nil {
			return fault.New(fault.Policy, "the endorsement of %s came without the text that it is about", KernelCmdline)
		}
		if err := match(string(used.Subject), line); err != nil {
			return err
		}
		c.Used = used
	default:
		return fault.New(fault.Policy, "no reference value for %s; say skip if none is meant", KernelCmdline)
	}
	v.passed(c)
	return nil
}

// match is over the whole line. Upstream's is over any part of it, where what stands beside the match goes unseen.
func match(expr, line string) error {
	if len(expr) > 16<<10 {
		return fault.New(fault.Malformed, "a regular expression of %d bytes", len(expr))
	}
	// Alone first: what only compiles inside the anchors could close them.
	_, err := regexp.Compile(expr)
	if err != nil {
		return fault.New(fault.Policy, "regular expression: %w", err)
	}
	re, err := regexp.Compile(`\A(?:` + expr + `)\z`)
	if err != nil {
		return fault.New(fault.Policy, "regular expression: %w", err)
	}
	if !re.MatchString(line) {
		return fault.New(fault.Policy, "the command line %q is not what %q asks for", line, expr)
	}
	return nil
}

// anyOf wants one of the reference digests to be the same.
func anyOf(name string, have Digests, want []Digests) error {
	err := fault.New(fault.Policy, "no digest is named")
	for _, w := range want {
		if err = compare(have, w); err == nil {
			return nil
		}
	}
	return fault.Wrap(err, "%s", name)
}

// compare is over all algorithms that both sides have: all equal is the same; none in common decides nothing; and where
// some are equal and some not, somebody contradicts himself (oak.md section 18).
func compare(have, want Digests) error {
	same, other := 0, 0
	var first string
	for _, w := range want {
		for _, h := range have {
			if h.Alg != w.Alg || len(h.Value) == 0 {
				continue
			}
			if bytes.Equal(h.Value, w.Value) {
				same++
			} else {
				other++
				first = fmt.Sprintf("%s is %s, asked for is %s", h.Alg, hex.EncodeToString(h.Value), hex.EncodeToString(w.Value))
			}
		}
	}
	switch {
	case same > 0 && other == 0:
		return nil
	case same > 0:
		return fault.New(fault.Policy, "digests contradict each other: %s", first)
	case other > 0:
		return fault.New(fault.Policy, "%s", first)
	}
	return fault.New(fault.Policy, "no digest under an algorithm that both sides have")
}

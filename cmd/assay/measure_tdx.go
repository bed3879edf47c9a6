package main

import (
	"crypto/sha512"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/linux"
	"github.com/assay-tee/assay/measure/ovmf"
	"github.com/assay-tee/assay/measure/statement"
	"github.com/assay-tee/assay/measure/tdx"
	"github.com/assay-tee/assay/measure/uefi"
)

type tdxFlags struct {
	measureOut
	firmware, mrtd, order, qemu, machine string
	earlyAccept                          bool
	memory                               string
	variant                              string
	acpiTables, acpiLoader, acpiRSDP     string
	smbios, cfv                          string
	vars, boot                           []string
	bootOrder                            string
	kernel, initrd, cmdline              string
	patched                              string
	uki, gpt                             string
	images                               []string
	mok                                  []string
	oldStub                              bool
	sbat, sepRTMR0                       bool
	refLog                               string
	rtmr3                                []string
	dstack                               string
	given                                func(string) bool
}

func newMeasureTDXCmd(a *app) *cobra.Command {
	var f tdxFlags
	c := &cobra.Command{
		Use:   "tdx",
		Short: "Predict MRTD and RTMR0 to RTMR3 of an Intel TDX guest",
		Long: `MRTD follows from the firmware image alone; it is told for both page orders unless one is chosen. The run-time registers
follow from what the firmware and the boot loaders measure: give the parts, or a reference log of a machine that booted
once (--from-ccel), in which what is given here replaces what was logged. --trace shows what is computed and what is taken.

Where a part is wanted, "sha384:HEX" gives its event digest in place of a file.`,
		Example: `  assay measure tdx --firmware OVMF.fd
  assay measure tdx --firmware OVMF.fd --qemu-version 9.1.0 --memory 2G --acpi-tables tables.bin --kernel bzImage --initrd initrd --cmdline "console=hvc0"
  assay measure tdx --firmware OVMF.fd --from-ccel ccel.bin --kernel new-bzImage --format corim --key publisher.key -o td.corim
  assay measure tdx --dstack-image dstack-0.5.4/ --memory 2G --acpi-tables tables.bin`,
		Args: cobra.NoArgs,
		RunE: runE(func(cmd *cobra.Command, _ []string) error {
			f.given = cmd.Flags().Changed
			return a.measureTDX(&f)
		}),
	}
	fl := c.Flags()
	fl.StringVar(&f.firmware, "firmware", "", "TDVF image `FILE`")
	fl.StringVar(&f.firmware, "ovmf", "", "the same as --firmware")
	fl.StringVar(&f.mrtd, "mrtd", "", "MRTD in `HEX`, when the firmware is not at hand")
	fl.StringVar(&f.order, "page-order", "", "single-pass or two-pass (default: both)")
	fl.StringVar(&f.qemu, "qemu-version", "", "`VERSION` of QEMU: decides page order and whether the kernel is patched")
	fl.StringVar(&f.machine, "machine", "", "also the MRTD of Google's early hypervisor for a machine `TYPE` (c3-standard-4 …)")
	fl.BoolVar(&f.earlyAccept, "early-accept", false, "with --machine: memory was accepted early")
	fl.StringVar(&f.memory, "memory", "", "guest memory `SIZE` in bytes, or with M or G")
	fl.StringVar(&f.variant, "ovmf-variant", string(tdx.Pre202505), "pre202505 or 202505: what OVMF measures besides")
	fl.StringVar(&f.acpiTables, "acpi-tables", "", "fw_cfg `FILE` etc/acpi/tables; loader and root pointer follow from it")
	fl.StringVar(&f.acpiLoader, "acpi-loader", "", "fw_cfg `FILE` etc/table-loader")
	fl.StringVar(&f.acpiRSDP, "acpi-rsdp", "", "fw_cfg `FILE` etc/acpi/rsdp")
	fl.StringVar(&f.smbios, "smbios", "", "SMBIOS table `FILE` as measured (OVMF from 2025.05)")
	fl.StringVar(&f.cfv, "cfv", "", "variable store `FILE` as measured (default: the firmware's CFV section)")
	fl.StringArrayVar(&f.vars, "var", nil, "Secure Boot variable as `NAME=FILE` (SecureBoot, PK, KEK, db, dbx; repeatable)")
	fl.StringVar(&f.bootOrder, "boot-order", "", "BootOrder as numbers in hex: `0000,0001`")
	fl.StringArrayVar(&f.boot, "boot-option", nil, "data of a boot option in BootOrder's order, from `FILE` (repeatable)")
	fl.StringVar(&f.kernel, "kernel", "", "kernel `FILE` of a direct boot")
	fl.StringVar(&f.initrd, "initrd", "", "initrd `FILE`")
	fl.StringVar(&f.cmdline, "cmdline", "", "kernel command `LINE`")
	fl.StringVar(&f.cmdline, "append", "", "the same as --cmdline")
	fl.StringVar(&f.patched, "kernel-patched", "", "yes or no: whether the launcher writes into the kernel's header (default: yes for QEMU before 10.1)")
	fl.StringVar(&f.uki, "uki", "", "unified kernel image `FILE`: alone a direct boot, with --gpt the last image from disk")
	fl.BoolVar(&f.oldStub, "stub-before-257", false, "the unified kernel image has a systemd-stub older than 257")
	fl.StringVar(&f.gpt, "gpt", "", "disk image `FILE`: a boot from disk, whose partition table is measured")
	fl.StringArrayVar(&f.images, "image", nil, "PE image `FILE` that is started from disk (shim, GRUB, systemd-boot), in order (repeatable)")
	fl.StringArrayVar(&f.mok, "mok", nil, "`FILE` with MOK state as shim measures it: MokList, MokListX, MokListTrusted, in order (repeatable)")
	fl.BoolVar(&f.sbat, "sbat-level", false, "shim measures its SbatLevel variable")
	fl.BoolVar(&f.sepRTMR0, "separator-rtmr0", false, "the firmware extends the second separator into RTMR0")
	fl.StringVar(&f.refLog, "from-ccel", "", "reference log `FILE`: CCEL content, or dstack's JSON events")
	fl.StringArrayVar(&f.rtmr3, "rtmr3-event", nil, "run-time event of dstack as `NAME=HEX` (repeatable, in order)")
	fl.StringVar(&f.dstack, "dstack-image", "", "`DIRECTORY` of a dstack image: firmware, kernel, initrd and command line from its metadata.json")
	f.measureOut.flags(fl)
	_ = fl.MarkHidden("output-format")
	return c
}

func (a *app) measureTDX(f *tdxFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	if f.dstack != "" {
		if err := a.dstackImage(f); err != nil {
			return err
		}
	}
	p := &statement.Prediction{Technology: statement.TDX}
	t := &tdxRun{a: a, f: f, p: p}
	if err := t.mrtd(); err != nil {
		return err
	}
	if err := t.registers(); err != nil {
		return err
	}
	if len(p.Values) == 0 {
		return fault.New(fault.Usage, "say what is launched: --firmware FILE, or a reference log: --from-ccel FILE")
	}
	return a.writePrediction(&f.measureOut, p)
}

// tdxRun is one prediction on its way.
type tdxRun struct {
	a        *app
	f        *tdxFlags
	p        *statement.Prediction
	sections []ovmf.TDXSection
}

func (t *tdxRun) mrtd() error {
	f, p := t.f, t.p
	if f.mrtd != "" {
		d, err := measure.ParseSHA384(f.mrtd)
		if err != nil {
			return err
		}
		p.Values = append(p.Values, statement.Value{Name: "mrtd", Variant: "given", Alg: "sha384", Digest: d[:]})
		return nil
	}
	if f.firmware == "" {
		return nil
	}
	img, err := t.a.firmware(f.firmware)
	if err != nil {
		return err
	}
	if t.sections, err = tdx.Sections(img); err != nil {
		return err
	}
	if f.wantsInputs() {
		if err := t.a.addInput(p, "firmware", f.firmware); err != nil {
			return err
		}
	}
	orders := tdx.Orders()
	if o, err := f.pageOrder(); err != nil {
		return err
	} else if o != "" {
		orders = []tdx.Order{o}
	}
	for _, o := range orders {
		d, steps := tdx.MRTD(t.sections, o)
		p.Values = append(p.Values, statement.Value{Name: "mrtd", Variant: string(o), Alg: "sha384", Digest: d[:]})
		for _, s := range steps {
			s.Note = string(o)
			p.Steps = append(p.Steps, s)
		}
	}
	return t.googleMRTD()
}

func (t *tdxRun) googleMRTD() error {
	if t.f.machine == "" {
		return nil
	}
	var names []string
	for _, s := range tdx.GoogleShapes() {
		names = append(names, s.Name)
		if s.Name != t.f.machine {
			continue
		}
		d, steps, err := tdx.GoogleHOBBug(t.sections, s, t.f.earlyAccept)
		if err != nil {
			return err
		}
		t.p.Steps = append(t.p.Steps, steps...)
		t.p.Param("machine", s.Name)
		t.p.Values = append(t.p.Values, statement.Value{Name: "mrtd", Variant: "early-hypervisor", Alg: "sha384", Digest: d[:]})
		return nil
	}
	return fault.New(fault.Usage, "--machine %q: known are %s", t.f.machine, strings.Join(names, ", "))
}

// qemuVersion reads major and minor; 0, 0 when not given.
func (f *tdxFlags) qemuVersion() (major, minor int, err error) {
	if f.qemu == "" {
		return 0, 0, nil
	}
	parts := strings.SplitN(f.qemu, ".", 3)
	major, err = strconv.Atoi(parts[0])
	if err == nil && len(parts) > 1 {
		minor, err = strconv.Atoi(parts[1])
	}
	if err != nil || major < 8 {
		return 0, 0, fault.New(fault.Unsupported, "--qemu-version %q: TDX guests are known from version 8.0 on", f.qemu)
	}
	return major, minor, nil
}

func (f *tdxFlags) pageOrder() (tdx.Order, error) {
	major, _, err := f.qemuVersion()
	switch {
	case err != nil:
		return "", err
	case f.order == string(tdx.SinglePass), f.order == string(tdx.TwoPass):
		return tdx.Order(f.order), nil
	case f.order != "" && f.order != "both":
		return "", fault.New(fault.Usage, "--page-order %q: single-pass, two-pass or both", f.order)
	case f.order == "" && major == 8:
		return tdx.TwoPass, nil
	case f.order == "" && major > 8:
		return tdx.SinglePass, nil
	}
	return "", nil
}

// digestOr gives the digest of a file through of, or the one that "sha384:HEX" names.
func (t *tdxRun) digestOr(role, name string, of func([]byte) (measure.SHA384, error)) (measure.SHA384, error) {
	if h, ok := strings.CutPrefix(name, "sha384:"); ok {
		return measure.ParseSHA384(h)
	}
	b, err := t.a.readArtefact(name, maxStreamed)
	if err != nil {
		return measure.SHA384{}, err
	}
	if t.f.wantsInputs() {
		if err := t.a.addInput(t.p, role, name); err != nil {
			return measure.SHA384{}, err
		}
	}
	d, err := of(b)
	return d, fault.Wrap(err, "%s", name)
}

func plainDigest(b []byte) (measure.SHA384, error) { return sha512.Sum384(b), nil }

func authenticode(b []byte) (measure.SHA384, error) {
	pe, err := linux.ParsePE(b)
	if err != nil {
		return measure.SHA384{}, err
	}
	return measure.SHA384(pe.Authenticode(sha512.New384())), nil
}

func (f *tdxFlags) wantsRegisters() bool {
	return f.refLog != "" || f.kernel != "" || f.uki != "" || f.gpt != "" || f.acpiTables != "" || len(f.rtmr3) > 0
}

func (t *tdxRun) registers() error {
	if !t.f.wantsRegisters() {
		return nil
	}
	memory, err := parseSize(t.f.memory)
	if err != nil {
		return err
	}
	var events []tdx.Event
	switch {
	case t.f.refLog != "":
		events, err = t.fromLog(memory)
	case t.f.kernel != "" || t.f.uki != "" || t.f.gpt != "":
		events, err = t.fromParts(memory)
	}
	if err != nil {
		return err
	}
	extra, err := t.dstackEvents()
	if err != nil {
		return err
	}
	if len(extra) > 0 {
		events = append(without(events, 3), extra...)
	}
	rtmr, steps, err := tdx.Replay(events)
	if err != nil {
		return err
	}
	t.p.Steps = append(t.p.Steps, steps...)
	t.p.Notes = append(t.p.Notes, tdx.Summary(events))
	used := map[int]bool{}
	for _, e := range events {
		used[e.RTMR] = true
	}
	for i := range rtmr {
		// RTMR3 belongs to the operating system: without events for it nothing is predicted.
		if i < 3 && len(events) > len(extra) || used[i] {
			t.p.Values = append(t.p.Values, statement.Value{Name: "rtmr" + strconv.Itoa(i), Alg: "sha384", Digest: rtmr[i][:]})
		}
	}
	return nil
}

func without(events []tdx.Event, rtmr int) []tdx.Event {
	var out []tdx.Event
	for _, e := range events {
		if e.RTMR != rtmr {
			out = append(out, e)
		}
	}
	return out
}

func (t *tdxRun) dstackEvents() ([]tdx.Event, error) {
	var out []tdx.Event
	for _, s := range t.f.rtmr3 {
		name, payload, ok := strings.Cut(s, "=")
		b, err := hex.DecodeString(payload)
		if !ok || err != nil {
			return nil, fault.New(fault.Usage, "--rtmr3-event %q: NAME=HEX is wanted", s)
		}
		out = append(out, tdx.Event{RTMR: 3, Type: uefi.EvDstack, Digest: tdx.DstackDigest(name, b), What: name, Source: tdx.Computed})
	}
	return out, nil
}

func (t *tdxRun) fromParts(memory uint64) ([]tdx.Event, error) {
	fw, _, err := t.firmwareParts(memory)
	if err != nil {
		return nil, err
	}
	var zero measure.SHA384
	switch {
	case fw.HOB == zero:
		return nil, fault.New(fault.Usage, "RTMR0 needs the TD HOB: give --firmware and --memory, or a reference log (--from-ccel)")
	case fw.CFV == zero:
		return nil, fault.New(fault.Usage, "RTMR0 needs the variable store: the firmware has no CFV section, give --cfv")
	case fw.ACPITables == zero:
		return nil, fault.New(fault.Unavailable, "RTMR0 needs the ACPI tables, which depend on QEMU's version, vCPUs, memory and every device: give --acpi-tables from a reference guest (/sys/firmware/qemu_fw_cfg/by_name/etc/acpi/tables/raw), or a reference log (--from-ccel)")
	}
	images, inner, osEvents, err := t.osParts(memory)
	if err != nil {
		return nil, err
	}
	b := &tdx.Boot{Disk: t.f.gpt != "", Images: images, Inner: inner, OS: osEvents}
	if b.Disk {
		d, err := t.gptDigest()
		if err != nil {
			return nil, err
		}
		b.GPT = &d
	}
	t.p.Param("memory", strconv.FormatUint(memory, 10))
	t.p.Param("ovmf_variant", t.f.variant)
	return tdx.Events(fw, b)
}

func (t *tdxRun) gptDigest() (measure.SHA384, error) {
	if h, ok := strings.CutPrefix(t.f.gpt, "sha384:"); ok {
		return measure.ParseSHA384(h)
	}
	b, err := diskStart(t.f.gpt)
	if err != nil {
		return measure.SHA384{}, err
	}
	e, err := uefi.GPTEvent(b)
	if err != nil {
		return measure.SHA384{}, fault.Wrap(err, "%s", t.f.gpt)
	}
	return sha512.Sum384(e), nil
}

func (t *tdxRun) fromLog(memory uint64) ([]tdx.Event, error) {
	b, err := t.a.readArtefact(t.f.refLog, uefi.MaxLog)
	if err != nil {
		return nil, err
	}
	log, err := tdx.ParseReferenceLog(b)
	if err != nil {
		return nil, fault.Wrap(err, "%s", t.f.refLog)
	}
	_, over, err := t.firmwareParts(memory)
	if err != nil {
		return nil, err
	}
	images, _, osEvents, err := t.osParts(memory)
	if err != nil {
		return nil, err
	}
	if t.f.gpt != "" {
		d, err := t.gptDigest()
		if err != nil {
			return nil, err
		}
		over = append(over, tdx.Event{RTMR: 1, Type: uefi.EvGPT, Digest: d, What: "GPT", Source: tdx.Computed})
	}
	for _, i := range images {
		over = append(over, tdx.Event{RTMR: 1, Type: uefi.EvBootApplication, Digest: i.Digest, What: i.What, Source: i.Source})
	}
	return tdx.Overlay(log, append(over, osEvents...))
}

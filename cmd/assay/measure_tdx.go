package main

import (
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/acpi"
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

// firmwareParts fills in what is given of the firmware's events. The second result lists the same as overrides of a log.
func (t *tdxRun) firmwareParts(memory uint64) (*tdx.Firmware, []tdx.Event, error) {
	f := t.f
	fw := &tdx.Firmware{Variant: tdx.Variant(f.variant), SbatLevel: f.sbat, SeparatorOfBootIntoRTMR0: f.sepRTMR0}
	if fw.Variant != tdx.Pre202505 && fw.Variant != tdx.Post202505 {
		return nil, nil, fault.New(fault.Usage, "--ovmf-variant %q: %s or %s", f.variant, tdx.Pre202505, tdx.Post202505)
	}
	var over []tdx.Event
	put := func(typ uefi.EventType, d measure.SHA384, what string) {
		over = append(over, tdx.Event{RTMR: 0, Type: typ, Digest: d, What: what, Source: tdx.Computed})
	}
	if memory > 0 && t.sections != nil {
		hob, err := tdx.HOBFromSections(t.sections, memory)
		if err != nil {
			return nil, nil, err
		}
		fw.HOB = sha512.Sum384(hob)
		put(uefi.EvHandoffTables2, fw.HOB, "TD HOB")
	}
	if err := t.cfvPart(fw, put); err != nil {
		return nil, nil, err
	}
	data := map[string][]byte{}
	for _, s := range f.vars {
		name, file, ok := strings.Cut(s, "=")
		if !ok {
			return nil, nil, fault.New(fault.Usage, "--var %q: NAME=FILE is wanted", s)
		}
		b, err := t.a.readArtefact(file, maxFirmware)
		if err != nil {
			return nil, nil, err
		}
		data[name] = b
	}
	fw.Variables = uefi.SecureBootVariables(data)
	for _, v := range fw.Variables {
		if _, ok := data[v.Name]; !ok {
			continue
		}
		m, err := v.Measured()
		if err != nil {
			return nil, nil, err
		}
		put(uefi.EvVariableDriver, sha512.Sum384(m), v.Name)
	}
	if err := t.acpiParts(fw, put); err != nil {
		return nil, nil, err
	}
	if f.smbios != "" {
		d, err := t.digestOr("smbios", f.smbios, plainDigest)
		if err != nil {
			return nil, nil, err
		}
		fw.SMBIOS = &d
		put(uefi.EvHandoffTables, d, "SMBIOS")
	}
	return fw, over, t.bootParts(fw)
}

func (t *tdxRun) cfvPart(fw *tdx.Firmware, put func(uefi.EventType, measure.SHA384, string)) error {
	if t.f.cfv != "" {
		d, err := t.digestOr("cfv", t.f.cfv, plainDigest)
		if err != nil {
			return err
		}
		fw.CFV = d
		put(uefi.EvFirmwareBlob2, d, "CFV")
		return nil
	}
	for _, s := range t.sections {
		if s.Type == ovmf.TDXCFV {
			fw.CFV = sha512.Sum384(s.Data)
			put(uefi.EvFirmwareBlob2, fw.CFV, "CFV")
		}
	}
	return nil
}

func (t *tdxRun) acpiParts(fw *tdx.Firmware, put func(uefi.EventType, measure.SHA384, string)) error {
	f := t.f
	if f.acpiTables == "" {
		return nil
	}
	var files *acpi.Files
	var err error
	fw.ACPITables, err = t.digestOr("acpi-tables", f.acpiTables, func(b []byte) (measure.SHA384, error) {
		if f.acpiLoader == "" || f.acpiRSDP == "" {
			var err error
			if files, err = acpi.FromTables(b); err != nil {
				return measure.SHA384{}, err
			}
		}
		return sha512.Sum384(b), nil
	})
	if err != nil {
		return err
	}
	for _, x := range []struct {
		name, role string
		to         *measure.SHA384
		made       func() []byte
	}{{f.acpiLoader, "acpi-loader", &fw.Loader, func() []byte { return files.Loader }}, {f.acpiRSDP, "acpi-rsdp", &fw.RSDP, func() []byte { return files.RSDP }}} {
		switch {
		case x.name != "":
			if *x.to, err = t.digestOr(x.role, x.name, plainDigest); err != nil {
				return err
			}
		case files == nil:
			return fault.New(fault.Usage, "give --acpi-loader and --acpi-rsdp too: they cannot be made from a digest of the tables")
		default:
			*x.to = sha512.Sum384(x.made())
		}
	}
	put(uefi.EvPlatformConfig, fw.Loader, "etc/table-loader")
	put(uefi.EvPlatformConfig, fw.RSDP, "etc/acpi/rsdp")
	put(uefi.EvPlatformConfig, fw.ACPITables, "etc/acpi/tables")
	return nil
}

func (t *tdxRun) bootParts(fw *tdx.Firmware) error {
	if t.f.bootOrder == "" {
		return nil
	}
	for part := range strings.SplitSeq(t.f.bootOrder, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(part), 16, 16)
		if err != nil {
			return fault.New(fault.Usage, "--boot-order %q: numbers of four hex digits are wanted", t.f.bootOrder)
		}
		fw.BootOrder = append(fw.BootOrder, byte(n), byte(n>>8))
	}
	for _, name := range t.f.boot {
		b, err := t.a.readArtefact(name, 1<<20)
		if err != nil {
			return err
		}
		fw.BootOptions = append(fw.BootOptions, b)
	}
	return nil
}

// osParts gives the images and the events of the operating system, as far as they are given.
func (t *tdxRun) osParts(memory uint64) (images []tdx.Image, inner *measure.SHA384, events []tdx.Event, err error) {
	f := t.f
	for _, name := range f.mok {
		d, err := t.digestOr("mok", name, plainDigest)
		if err != nil {
			return nil, nil, nil, err
		}
		events = append(events, tdx.Event{RTMR: 2, Type: uefi.EvIPL, Digest: d, What: "shim's MOK state", Source: tdx.Computed})
	}
	for _, name := range f.images {
		d, err := t.digestOr("image", name, authenticode)
		if err != nil {
			return nil, nil, nil, err
		}
		images = append(images, tdx.Image{What: filepath.Base(name), Digest: d, Source: tdx.Computed})
	}
	if f.kernel != "" {
		d, err := t.kernelDigest(memory)
		if err != nil {
			return nil, nil, nil, err
		}
		images = append(images, tdx.Image{What: "kernel", Digest: d, Source: tdx.Computed})
	}
	line, hasInitrd := f.cmdline, f.initrd != ""
	var stubInitrd []tdx.Event // of the initrd that systemd-stub assembles
	if f.uki != "" {
		d, err := t.digestOr("uki", f.uki, func(b []byte) (measure.SHA384, error) {
			pe, err := linux.ParsePE(b)
			if err != nil {
				return measure.SHA384{}, err
			}
			sections, ok := pe.UKI()
			if !ok {
				return measure.SHA384{}, fault.New(fault.Malformed, "no unified kernel image: it has no .linux section")
			}
			events = append(events, tdx.StubEvents(sections)...)
			for _, s := range sections {
				switch s.Name {
				case ".linux":
					if d, err := authenticode(s.Data); err == nil {
						inner = &d
					}
				}
			}
			if !f.given("cmdline") && !f.given("append") {
				line, _ = pe.StubCommandLine()
			}
			if d, ok := pe.StubInitrd(f.oldStub); ok && !hasInitrd {
				stubInitrd = append(stubInitrd, tdx.Initrd(sha512.Sum384(d)))
			}
			return measure.SHA384(pe.Authenticode(sha512.New384())), nil
		})
		if err != nil {
			return nil, nil, nil, err
		}
		images = append(images, tdx.Image{What: "unified kernel image", Digest: d, Source: tdx.Computed})
	}
	if f.kernel != "" || f.uki != "" || f.given("cmdline") || f.given("append") {
		events = append(events, t.loadOptions(line, hasInitrd && f.kernel != ""))
	}
	events = append(events, stubInitrd...)
	if hasInitrd {
		d, err := t.digestOr("initrd", f.initrd, plainDigest)
		if err != nil {
			return nil, nil, nil, err
		}
		events = append(events, tdx.Initrd(d))
	}
	return images, inner, events, nil
}

func (t *tdxRun) loadOptions(line string, initrd bool) tdx.Event {
	if h, ok := strings.CutPrefix(line, "sha384:"); ok {
		if d, err := measure.ParseSHA384(h); err == nil {
			return tdx.Event{RTMR: 2, Type: uefi.EvEventTag, Digest: d, What: "LOADED_IMAGE::LoadOptions", Source: tdx.Given}
		}
	}
	t.p.Param("append", line)
	// dstack's command line ends in "initrd=initrd" already.
	return tdx.LoadOptions(line, initrd && !strings.HasSuffix(line, " initrd=initrd"), t.f.gpt == "" || t.f.uki != "")
}

// kernelDigest is the Authenticode digest of the kernel as the launcher leaves it in memory.
func (t *tdxRun) kernelDigest(memory uint64) (measure.SHA384, error) {
	f := t.f
	return t.digestOr("kernel", f.kernel, func(b []byte) (measure.SHA384, error) {
		patched := f.patched == "yes"
		if f.patched == "" && f.gpt == "" {
			major, minor, err := f.qemuVersion()
			if err != nil {
				return measure.SHA384{}, err
			}
			patched = major < 10 || major == 10 && minor < 1
		}
		if !patched {
			return authenticode(b)
		}
		p := linux.Patch{MemorySize: memory}
		if f.initrd != "" {
			if memory == 0 {
				return measure.SHA384{}, fault.New(fault.Usage, "the launcher writes the initrd's address into the kernel, and it depends on the memory size: give --memory, or --kernel-patched=no")
			}
			_, size, err := t.a.initrdSize(f.initrd)
			if err != nil {
				return measure.SHA384{}, err
			}
			p.InitrdSize = uint64(size)
		}
		k, err := linux.PatchQEMU(b, p)
		if err != nil {
			return measure.SHA384{}, err
		}
		return authenticode(k)
	})
}

func (a *app) initrdSize(name string) (*os.File, int64, error) {
	if strings.HasPrefix(name, "sha384:") {
		return nil, 0, fault.New(fault.Usage, "the launcher writes the initrd's size into the kernel: a digest is not enough, give the file")
	}
	f, size, err := a.openArtefact(name, maxStreamed)
	if err != nil {
		return nil, 0, err
	}
	return nil, size, f.Close()
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

// dstackImage takes the parts of a dstack image from its metadata.json, unless they are given.
func (a *app) dstackImage(f *tdxFlags) error {
	b, err := a.readArtefact(filepath.Join(f.dstack, "metadata.json"), 1<<20)
	if err != nil {
		return err
	}
	if err := jsonx.Check(b); err != nil {
		return fault.Wrap(err, "metadata.json")
	}
	var m struct{ Bios, Kernel, Initrd, Cmdline string }
	if err := json.Unmarshal(b, &m); err != nil {
		return fault.New(fault.Malformed, "metadata.json: %w", err)
	}
	for _, x := range []struct {
		to   *string
		name string
	}{{&f.firmware, m.Bios}, {&f.kernel, m.Kernel}, {&f.initrd, m.Initrd}} {
		if *x.to != "" || x.name == "" {
			continue
		}
		if !filepath.IsLocal(x.name) {
			return fault.New(fault.Malformed, "metadata.json names %q, which lies outside the image", x.name)
		}
		*x.to = filepath.Join(f.dstack, x.name)
	}
	if f.cmdline == "" {
		f.cmdline = m.Cmdline
	}
	return nil
}

// parseSize reads a number of bytes with an optional K, M, G or T (powers of 1024); "" is 0.
func parseSize(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	num, shift := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(s), "B"), "I"), 0
	if num != "" {
		if i := strings.IndexByte("KMGT", num[len(num)-1]); i >= 0 {
			shift, num = 10*(i+1), num[:len(num)-1]
		}
	}
	v, err := strconv.ParseUint(num, 0, 64)
	if err != nil || v > 1<<52>>shift {
		return 0, fault.New(fault.Usage, "--memory %q is not a size in bytes, or with K, M, G, T", s)
	}
	return v << shift, nil
}

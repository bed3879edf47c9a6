package main

import (
	"crypto/sha512"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/acpi"
	"github.com/assay-tee/assay/measure/linux"
	"github.com/assay-tee/assay/measure/ovmf"
	"github.com/assay-tee/assay/measure/tdx"
	"github.com/assay-tee/assay/measure/uefi"
)

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
			size, err := t.a.initrdSize(f.initrd)
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

func (a *app) initrdSize(name string) (int64, error) {
	if strings.HasPrefix(name, "sha384:") {
		return 0, fault.New(fault.Usage, "the launcher writes the initrd's size into the kernel: a digest is not enough, give the file")
	}
	f, size, err := a.openArtefact(name, maxStreamed)
	if err != nil {
		return 0, err
	}
	return size, f.Close()
}

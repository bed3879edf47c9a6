package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure/linux"
	"github.com/assay-tee/assay/measure/pcr"
	"github.com/assay-tee/assay/measure/statement"
	"github.com/assay-tee/assay/measure/uefi"
)

type pcrFlags struct {
	measureOut
	bank, log                                          string
	pcrs                                               []int
	crtm                                               string
	gceTech                                            uint32
	blobs, config, options, images, grubFiles, mok     []string
	vars, authorities, grubCmds, phases, creds, sysext []string
	secureBoot, bootOrder, gpt, uki, stubLine          string
	cmdline, initrd                                    string
	exitRetry, oldStub                                 bool
	given                                              func(string) bool
}

func newMeasurePCRCmd(a *app) *cobra.Command {
	var f pcrFlags
	c := &cobra.Command{
		Use:   "pcr",
		Short: "Predict PCR 0 to 15 of a UEFI boot, on a TPM or a paravisor's vTPM",
		Long: `Predicts the PCRs that are filled by what is given; others are not printed, because they would be wrong. With a reference
log of a machine that booted once (--from-log: the firmware event log of a TPM, or of Azure's vTPM), all PCRs are told,
and those that are given here replace the logged ones.`,
		Example: `  assay measure pcr --uki linux.efi --gpt disk.raw --phase enter-initrd
  assay measure pcr --from-log binary_bios_measurements --image shimx64.efi --image grubx64.efi --bank sha256`,
		Args: cobra.NoArgs,
		RunE: runE(func(cmd *cobra.Command, _ []string) error {
			f.given = cmd.Flags().Changed
			return a.measurePCR(&f)
		}),
	}
	fl := c.Flags()
	fl.StringVar(&f.bank, "bank", "sha256", "`BANK`: sha256, sha384, sha512 or sha1")
	fl.StringVar(&f.log, "from-log", "", "reference log `FILE`")
	fl.IntSliceVar(&f.pcrs, "pcr", nil, "print these PCRs only")
	fl.StringVar(&f.crtm, "crtm-version", "", "firmware version `TEXT` (PCR 0)")
	fl.Uint32Var(&f.gceTech, "gce-technology", 0, "confidential technology of GCE's firmware: 0 none, 1 SEV, 2 SEV-ES, 4 SEV-SNP (PCR 0)")
	fl.StringArrayVar(&f.blobs, "firmware-volume", nil, "firmware volume `FILE` (PCR 0; repeatable)")
	fl.StringArrayVar(&f.config, "config", nil, "configuration `FILE`, e.g. an ACPI file of fw_cfg (PCR 1; repeatable)")
	fl.StringVar(&f.bootOrder, "boot-order", "", "BootOrder as numbers in hex: `0000,0001` (PCR 1)")
	fl.StringArrayVar(&f.options, "boot-option", nil, "data of a boot option in BootOrder's order, from `FILE` (PCR 1; repeatable)")
	fl.StringArrayVar(&f.images, "image", nil, "PE image `FILE` that is started (PCR 4; repeatable, in order)")
	fl.StringVar(&f.uki, "uki", "", "unified kernel image `FILE` (PCR 4 and 11)")
	fl.BoolVar(&f.oldStub, "stub-before-257", false, "the unified kernel image has a systemd-stub older than 257")
	fl.StringVar(&f.gpt, "gpt", "", "disk image `FILE`, whose partition table is measured (PCR 5)")
	fl.BoolVar(&f.exitRetry, "exit-retry", false, "the first attempt to leave boot services failed (PCR 5)")
	fl.StringVar(&f.secureBoot, "secure-boot", "", "on or off: data of the SecureBoot variable (PCR 7)")
	fl.StringArrayVar(&f.vars, "var", nil, "Secure Boot variable as `NAME=FILE` (PK, KEK, db, dbx, SecureBoot; PCR 7; repeatable)")
	fl.StringArrayVar(&f.authorities, "authority", nil, "what verified an image, as `NAME=FILE`: db (EFI_SIGNATURE_DATA), or Shim, MokList, SbatLevel (PCR 7; repeatable)")
	fl.StringArrayVar(&f.grubCmds, "grub-cmd", nil, "GRUB `COMMAND` or kernel command line as measured (PCR 8; repeatable)")
	fl.StringArrayVar(&f.grubFiles, "grub-file", nil, "`FILE` that GRUB reads (PCR 9; repeatable)")
	fl.StringVar(&f.cmdline, "cmdline", "", "command `LINE` as the Linux EFI stub measures it (PCR 9)")
	fl.StringVar(&f.initrd, "initrd", "", "initrd `FILE` as the Linux EFI stub measures it (PCR 9)")
	fl.StringArrayVar(&f.phases, "phase", nil, "boot phase of systemd: enter-initrd, leave-initrd, sysinit, ready (PCR 11; repeatable)")
	fl.StringVar(&f.stubLine, "stub-cmdline", "", "command `LINE` that overrides the unified kernel image's (PCR 12)")
	fl.StringArrayVar(&f.creds, "credentials", nil, "cpio `FILE` of credentials (PCR 12; repeatable)")
	fl.StringArrayVar(&f.sysext, "sysext", nil, "cpio `FILE` of system extensions (PCR 13; repeatable)")
	fl.StringArrayVar(&f.mok, "mok", nil, "`FILE` with MOK state as shim measures it (PCR 14; repeatable)")
	f.measureOut.flags(fl)
	_ = fl.MarkHidden("output-format")
	return c
}

func (a *app) measurePCR(f *pcrFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	bank, err := pcr.ParseBank(f.bank)
	if err != nil {
		return err
	}
	for _, n := range f.pcrs {
		if n < 0 || n >= pcr.Registers {
			return fault.New(fault.Usage, "--pcr %d: 0 to %d are predicted", n, pcr.Registers-1)
		}
	}
	p := &statement.Prediction{Technology: statement.VTPM}
	boot, err := a.pcrBoot(p, f, bank)
	if err != nil {
		return err
	}
	events, whole, err := boot.Events()
	if err != nil {
		return err
	}
	var locality byte
	if f.log != "" {
		raw, err := a.readArtefact(f.log, uefi.MaxLog)
		if err != nil {
			return err
		}
		log, err := uefi.ParseLog(raw)
		if err != nil {
			return fault.Wrap(err, "%s", f.log)
		}
		var logged []pcr.Event
		if logged, locality, err = pcr.FromLog(bank, log); err != nil {
			return err
		}
		replaced := f.replaced(whole)
		events = pcr.Overlay(logged, events, replaced)
		p.Notes = append(p.Notes, fmt.Sprintf("PCRs computed: %v; all others are taken from the reference log", replaced))
		whole = nil
		for i := range pcr.Registers {
			whole = append(whole, i)
		}
	}
	regs, steps, err := pcr.Replay(bank, locality, events)
	if err != nil {
		return err
	}
	p.Steps = steps
	p.Param("bank", bank.Name)
	for _, i := range whole {
		if len(f.pcrs) == 0 || slices.Contains(f.pcrs, i) {
			p.Values = append(p.Values, statement.Value{Name: "pcr" + strconv.Itoa(i), Alg: bank.Name, Digest: regs[i]})
		}
	}
	return a.writePrediction(&f.measureOut, p)
}

// replaced drops the PCRs that every boot fills from those that replace a log's: nothing was said about them.
func (f *pcrFlags) replaced(whole []int) []int {
	return slices.DeleteFunc(slices.Clone(whole), func(i int) bool { return i == 2 || i == 3 || i == 6 })
}

func (a *app) pcrBoot(p *statement.Prediction, f *pcrFlags, bank pcr.Bank) (*pcr.Boot, error) {
	b := &pcr.Boot{Bank: bank, CRTMVersion: f.crtm, GRUBCommands: f.grubCmds, Phases: f.phases, ExitFailedOnce: f.exitRetry}
	if f.given("gce-technology") {
		b.GCETechnology = &f.gceTech
	}
	for _, x := range []struct {
		role  string
		names []string
		to    *[][]byte
	}{{"firmware-volume", f.blobs, &b.Blobs}, {"config", f.config, &b.Config}, {"boot-option", f.options, &b.BootOptions}, {"image", f.images, &b.Images},
		{"grub-file", f.grubFiles, &b.GRUBFiles}, {"mok", f.mok, &b.MOK}, {"credentials", f.creds, &b.Credentials}, {"sysext", f.sysext, &b.Extensions}} {
		for _, name := range x.names {
			data, err := a.pcrFile(p, f, x.role, name)
			if err != nil {
				return nil, err
			}
			*x.to = append(*x.to, data)
		}
	}
	if err := a.pcrVariables(b, f); err != nil {
		return nil, err
	}
	if f.uki != "" {
		data, err := a.pcrFile(p, f, "uki", f.uki)
		if err != nil {
			return nil, err
		}
		if b.UKI, err = linux.ParsePE(data); err != nil {
			return nil, fault.Wrap(err, "%s", f.uki)
		}
		if _, ok := b.UKI.UKI(); !ok {
			return nil, fault.New(fault.Malformed, "%s: no unified kernel image: it has no .linux section", f.uki)
		}
		if line, ok := b.UKI.StubCommandLine(); ok {
			b.LoadOptions = &line
		}
		b.Initrd, b.HasInitrd = b.UKI.StubInitrd(f.oldStub)
	}
	if f.given("stub-cmdline") {
		b.StubCommandLine = &f.stubLine
	}
	if f.given("cmdline") {
		b.LoadOptions = &f.cmdline
	}
	if f.initrd != "" {
		data, err := a.pcrFile(p, f, "initrd", f.initrd)
		if err != nil {
			return nil, err
		}
		b.Initrd, b.HasInitrd = data, true
	}
	return b, a.pcrGPT(b, f)
}

func (a *app) pcrFile(p *statement.Prediction, f *pcrFlags, role, name string) ([]byte, error) {
	if f.wantsInputs() {
		if err := a.addInput(p, role, name); err != nil {
			return nil, err
		}
	}
	return a.readArtefact(name, maxStreamed)
}

func (a *app) pcrGPT(b *pcr.Boot, f *pcrFlags) error {
	if f.gpt == "" {
		return nil
	}
	head, err := diskStart(f.gpt)
	if err != nil {
		return err
	}
	b.GPT, err = uefi.GPTEvent(head)
	return fault.Wrap(err, "%s", f.gpt)
}

// pcrVariables fills in boot and Secure Boot variables.
func (a *app) pcrVariables(b *pcr.Boot, f *pcrFlags) error {
	for part := range strings.SplitSeq(f.bootOrder, ",") {
		if f.bootOrder == "" {
			break
		}
		n, err := strconv.ParseUint(strings.TrimSpace(part), 16, 16)
		if err != nil {
			return fault.New(fault.Usage, "--boot-order %q: numbers of four hex digits are wanted", f.bootOrder)
		}
		b.BootOrder = append(b.BootOrder, byte(n), byte(n>>8))
	}
	data := map[string][]byte{}
	for _, s := range f.vars {
		name, file, ok := strings.Cut(s, "=")
		if !ok || !slices.Contains([]string{"SecureBoot", "PK", "KEK", "db", "dbx"}, name) {
			return fault.New(fault.Usage, "--var %q: NAME=FILE with SecureBoot, PK, KEK, db or dbx is wanted", s)
		}
		v, err := a.readArtefact(file, maxFirmware)
		if err != nil {
			return err
		}
		data[name] = v
	}
	switch f.secureBoot {
	case "":
	case "on":
		data["SecureBoot"] = []byte{1}
	case "off":
		data["SecureBoot"] = []byte{0}
	default:
		return fault.New(fault.Usage, "--secure-boot %q: on or off", f.secureBoot)
	}
	if len(data) > 0 {
		b.Variables = uefi.SecureBootVariables(data)
	}
	for _, s := range f.authorities {
		name, file, ok := strings.Cut(s, "=")
		guid := map[string]string{"db": uefi.GUIDImageSecurity, "Shim": uefi.GUIDShim, "MokList": uefi.GUIDShim, "SbatLevel": uefi.GUIDShim}[name]
		if !ok || guid == "" {
			return fault.New(fault.Usage, "--authority %q: NAME=FILE with db, Shim, MokList or SbatLevel is wanted", s)
		}
		v, err := a.readArtefact(file, maxFirmware)
		if err != nil {
			return err
		}
		b.Authorities = append(b.Authorities, uefi.Variable{GUID: guid, Name: name, Data: v})
	}
	return nil
}

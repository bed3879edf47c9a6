package main

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/linux"
	"github.com/assay-tee/assay/measure/snp"
	"github.com/assay-tee/assay/measure/stage0"
	"github.com/assay-tee/assay/measure/statement"
)

type stage0Flags struct {
	measureOut
	rom                     string
	from                    string
	legacy, qemu            bool
	kernelHashes            bool
	counts                  string
	family, model, stepping uint32
	dir                     string
	kernel, initrd, append  string
	loader                  string
	acpiFiles               []string
	e820                    string
	given                   func(string) bool
}

func newMeasureStage0Cmd(a *app) *cobra.Command {
	var f stage0Flags
	c := &cobra.Command{
		Use:   "stage0",
		Short: "Predict the SNP measurement of Oak's stage0 by vCPU count, and its event digests",
		Long: `The launch digest of a stage0 ROM covers the ROM only (unless --qemu with --kernel-hashes); kernel, initrd, command line, memory
map and ACPI tables appear in stage0's first event, whose SHA-256 digests Oak's DICE layers carry. Both groups are
predicted from what is given.

All further vCPUs have equal save areas, so a digest known for one count gives every larger one: --from 1=HEX. Such
values are marked as derived.`,
		Example: `  assay measure stage0 --stage0-rom stage0_bin --vcpu-count 1,4,16,64
  assay measure stage0 --from 1=195b01… --vcpu-count 1,4,16,64
  assay measure stage0 --stage0-rom stage0_bin --vcpu-count 1 --kernel bzImage --initrd initrd.cpio --append "console=ttyS0" --format json`,
		Args: cobra.NoArgs,
		RunE: runE(func(cmd *cobra.Command, _ []string) error {
			f.given = cmd.Flags().Changed
			return a.measureStage0(&f)
		}),
	}
	fl := c.Flags()
	fl.StringVar(&f.rom, "stage0-rom", "", "stage0 ROM `FILE`")
	fl.StringVar(&f.rom, "firmware", "", "the same as --stage0-rom")
	fl.StringVar(&f.from, "from", "", "continue a known digest, as `N=HEX`, in place of a ROM")
	fl.BoolVar(&f.legacy, "legacy-boot", false, "the last 128 KiB are also placed below 1 MiB")
	fl.BoolVar(&f.qemu, "qemu", false, "launched by QEMU in place of Google's launcher")
	fl.BoolVar(&f.kernelHashes, "kernel-hashes", false, "with --qemu and --kernel: kernel-hashes=on")
	fl.StringVar(&f.counts, "vcpu-count", "1", "vCPU counts: one, a range or a list")
	fl.StringVar(&f.counts, "vcpus", "1", "the same as --vcpu-count")
	fl.Uint32Var(&f.family, "cpu-family", 6, "vCPU `FAMILY`")
	fl.Uint32Var(&f.model, "cpu-model", 0, "vCPU `MODEL`")
	fl.Uint32Var(&f.stepping, "cpu-stepping", 0, "vCPU `STEPPING`")
	fl.StringVar(&f.dir, "attestation-measurements-output-dir", "", "also write each digest, 48 bytes, to a file in `DIRECTORY`")
	fl.StringVar(&f.kernel, "kernel", "", "bzImage `FILE`")
	fl.StringVar(&f.initrd, "initrd", "", "initrd `FILE`")
	fl.StringVar(&f.append, "append", "", "kernel command `LINE`; a space at its start counts")
	fl.StringVar(&f.loader, "acpi-loader", "", "fw_cfg `FILE` etc/table-loader")
	fl.StringArrayVar(&f.acpiFiles, "acpi-file", nil, "a file that the loader allocates, as `NAME=FILE` (repeatable)")
	fl.StringVar(&f.e820, "memory-map", "", "`FILE` with the memory map as stage0 measures it: entries of 20 bytes")
	f.measureOut.flags(fl)
	_ = fl.MarkHidden("output-format")
	return c
}

func (a *app) measureStage0(f *stage0Flags) error {
	if err := f.check(); err != nil {
		return err
	}
	p := &statement.Prediction{Technology: statement.SNP}
	counts, err := parseCounts(f.counts, snp.MaxVCPUs)
	if err != nil {
		return err
	}
	switch {
	case f.rom != "" && f.from != "":
		return fault.New(fault.Usage, "--stage0-rom and --from exclude each other")
	case f.rom != "":
		err = a.stage0ROM(p, f, counts)
	case f.from != "":
		err = stage0Derived(p, f, counts)
	case f.kernel == "" && f.initrd == "" && !f.given("append") && f.loader == "" && f.e820 == "":
		err = fault.New(fault.Usage, "say what is launched: --stage0-rom FILE, or a known digest: --from 1=HEX")
	}
	if err != nil {
		return err
	}
	launch := len(p.Values)
	if f.format != "corim" { // event digests are evidence of Oak's layers, not of the SNP report
		if err := a.stage0Events(p, f); err != nil {
			return err
		}
	}
	if f.dir != "" {
		for _, v := range p.Values[:launch] {
			name := fmt.Sprintf("sha2_384_measurement_of_initial_memory_with_stage0_and_%02d_vcpu", v.VCPUs)
			if err := os.WriteFile(filepath.Join(f.dir, name), v.Digest, 0o644); err != nil {
				return fault.New(fault.Usage, "%w", err)
			}
		}
	}
	return a.writePrediction(&f.measureOut, p)
}

func (a *app) stage0ROM(p *statement.Prediction, f *stage0Flags, counts []int) error {
	img, err := a.firmware(f.rom)
	if err != nil {
		return err
	}
	if f.wantsInputs() {
		if err := a.addInput(p, "firmware", f.rom); err != nil {
			return err
		}
	}
	cfg := stage0.Config{ROM: img, LegacyBoot: f.legacy, QEMU: f.qemu, VCPUs: counts, Family: f.family, Model: f.model, Stepping: f.stepping, Trace: f.trace}
	if f.kernelHashes {
		lf := &launchFlags{kernel: f.kernel, initrd: f.initrd, append: f.append, measureOut: measureOut{format: "hex"}}
		if f.kernel == "" {
			return fault.New(fault.Usage, "--kernel-hashes needs --kernel")
		}
		if cfg.Kernel, err = a.kernelHashes(p, lf); err != nil {
			return err
		}
	}
	res, err := stage0.Predict(cfg)
	if err != nil {
		return err
	}
	p.Steps = res.Steps
	vmm := "stage0"
	if f.qemu {
		vmm = string(snp.QEMU)
	}
	p.Param("vmm_type", vmm)
	for _, v := range res.Values {
		p.Values = append(p.Values, statement.Value{Name: "measurement", VCPUs: v.VCPUs, Alg: "sha384", Digest: v.Digest[:]})
	}
	return nil
}

func stage0Derived(p *statement.Prediction, f *stage0Flags, counts []int) error {
	n, h, ok := strings.Cut(f.from, "=")
	from, err := strconv.Atoi(n)
	if !ok || err != nil {
		return fault.New(fault.Usage, "--from %q: N=HEX is wanted", f.from)
	}
	known, err := measure.ParseSHA384(h)
	if err != nil {
		return err
	}
	values, err := stage0.Derive(known, from, counts)
	if err != nil {
		return err
	}
	p.Param("vmm_type", "stage0")
	p.Param("derived_from", f.from)
	p.Notes = append(p.Notes, fmt.Sprintf("derived from the digest for %d vCPUs with the save area of stage0's published builds", from))
	for _, v := range values {
		p.Values = append(p.Values, statement.Value{Name: "measurement", VCPUs: v.VCPUs, Alg: "sha384", Digest: v.Digest[:], Derived: v.VCPUs != from})
	}
	return nil
}

func (a *app) stage0Events(p *statement.Prediction, f *stage0Flags) error {
	var e stage0.Events
	add := func(name string, d stage0.Digest) {
		p.Values = append(p.Values, statement.Value{Name: name, Alg: "sha256", Digest: d[:]})
	}
	if f.kernel != "" {
		b, err := a.readArtefact(f.kernel, maxStreamed)
		if err != nil {
			return err
		}
		if err := e.AddKernel(b); err != nil {
			return fault.Wrap(err, "%s", f.kernel)
		}
		add("kernel", e.Kernel)
		add("setup-data", e.SetupData)
		add("setup-data-unpatched", e.SetupPlain)
	}
	if f.initrd != "" {
		r, _, err := a.openArtefact(f.initrd, maxStreamed)
		if err != nil {
			return err
		}
		defer r.Close()
		if err := e.AddInitrd(r); err != nil {
			return fault.New(fault.Internal, "reading %s: %w", f.initrd, err)
		}
		add("initrd", e.Initrd)
	}
	if f.given("append") {
		e.AddCommandLine(f.append)
		add("cmdline", e.CommandLine)
		p.Param("append", f.append)
	}
	if f.loader != "" {
		if err := a.stage0ACPI(&e, f); err != nil {
			return err
		}
		add("acpi", e.ACPI)
	}
	if f.e820 != "" {
		b, err := a.readArtefact(f.e820, 1<<20)
		if err != nil {
			return err
		}
		entries, err := stage0.ParseE820(b)
		if err != nil {
			return err
		}
		e.AddMemoryMap(entries)
		add("memory-map", e.MemoryMap)
	}
	if f.wantsInputs() {
		if err := a.addInput(p, "kernel", f.kernel); err != nil {
			return err
		}
		return a.addInput(p, "initrd", f.initrd)
	}
	return nil
}

func (a *app) stage0ACPI(e *stage0.Events, f *stage0Flags) error {
	loader, err := a.readArtefact(f.loader, 64<<10)
	if err != nil {
		return err
	}
	files := map[string][]byte{}
	for _, s := range f.acpiFiles {
		name, file, ok := strings.Cut(s, "=")
		if !ok {
			return fault.New(fault.Usage, "--acpi-file %q: NAME=FILE is wanted", s)
		}
		if files[name], err = a.readArtefact(file, maxFirmware); err != nil {
			return err
		}
	}
	return e.AddACPI(loader, files, nil)
}

func newMeasureKernelCmd(a *app) *cobra.Command {
	var format, out string
	var unpatched bool
	c := &cobra.Command{
		Use:   "kernel FILE",
		Short: "Digests of a bzImage: image and setup data as stage0 measures them, and Authenticode",
		Long: `Splits a bzImage the way that a loader does, and hashes its image and its setup data (initrd fields blanked; fields that a
launcher like QEMU writes as it writes them, unless --unpatched). For a kernel with an EFI stub also the Authenticode
digest, as a UEFI boot measures it.`,
		Args: cobra.ExactArgs(1),
		RunE: runE(func(_ *cobra.Command, args []string) error {
			b, err := a.readArtefact(args[0], maxStreamed)
			if err != nil {
				return err
			}
			k, err := linux.ParseBzImage(b)
			if err != nil {
				return fault.Wrap(err, "%s", args[0])
			}
			values := kernelDigests(b, k, !unpatched)
			return a.output(out, 0o644, func(w io.Writer) error {
				if format == "json" {
					m := map[string]string{}
					for _, v := range values {
						m[v.name] = v.hex
					}
					return writeJSON(w, m)
				}
				for _, v := range values {
					if _, err := fmt.Fprintf(w, "%-26s %s\n", v.name, v.hex); err != nil {
						return err
					}
				}
				return nil
			})
		}),
	}
	c.Flags().BoolVar(&unpatched, "unpatched", false, "setup data as in the file")
	c.Flags().StringVar(&format, "format", "text", "text or json")
	c.Flags().StringVarP(&out, "output", "o", "", "write to `FILE`")
	return c
}

type namedHex struct{ name, hex string }

func kernelDigests(file []byte, k *linux.BzImage, patched bool) []namedHex {
	var out []namedHex
	add := func(name string, h hash.Hash, b []byte) {
		h.Write(b)
		out = append(out, namedHex{name, hex.EncodeToString(h.Sum(nil))})
	}
	setup := k.SetupAsMeasured(patched)
	add("image-sha256", sha256.New(), k.Image)
	add("setup-data-sha256", sha256.New(), setup)
	add("image-sha384", sha512.New384(), k.Image)
	add("setup-data-sha384", sha512.New384(), setup)
	add("file-sha256", sha256.New(), file)
	if pe, err := linux.ParsePE(file); err == nil {
		out = append(out, namedHex{"authenticode-sha256", hex.EncodeToString(pe.Authenticode(sha256.New()))},
			namedHex{"authenticode-sha384", hex.EncodeToString(pe.Authenticode(sha512.New384()))})
	}
	return out
}

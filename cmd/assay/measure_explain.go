package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/tty"
	"github.com/assay-tee/assay/measure/explain"
	"github.com/assay-tee/assay/measure/snp"
)

type explainFlags struct {
	firmware, kernel, initrd, append string
	svsm                             string
	varsSize                         uint64
	features                         string
	limit                            int
	all                              bool
	format                           string
	given                            func(string) bool
}

func newMeasureExplainCmd(a *app) *cobra.Command {
	var f explainFlags
	c := &cobra.Command{
		Use:   "explain MEASUREMENT",
		Short: "Find the inputs that lead to a measurement that does not match",
		Long: `Given a measurement (from a report, a quote or a tool) and the artefacts that were launched, searches vCPU counts and types,
guest features, launchers and their quirks, kernel hashes on and off, forms of the command line, page orders and so on,
and says which combination gives it. Exit code 6 when none does; the text then says what was tried.`,
		Example: `  assay measure explain 915c74… --firmware OVMF.fd --kernel vmlinuz --initrd initrd.img --append "console=ttyS0"`,
		Args:    cobra.ExactArgs(1),
		RunE: runE(func(cmd *cobra.Command, args []string) error {
			f.given = cmd.Flags().Changed
			return a.explain(&f, args[0])
		}),
	}
	fl := c.Flags()
	fl.StringVar(&f.firmware, "firmware", "", "firmware `FILE`")
	fl.StringVar(&f.firmware, "ovmf", "", "the same as --firmware")
	fl.StringVar(&f.kernel, "kernel", "", "kernel `FILE`")
	fl.StringVar(&f.initrd, "initrd", "", "initrd `FILE`")
	fl.StringVar(&f.append, "append", "", "kernel command `LINE`")
	fl.StringVar(&f.append, "cmdline", "", "the same as --append")
	fl.StringVar(&f.svsm, "svsm", "", "SVSM image `FILE`")
	fl.Uint64Var(&f.varsSize, "vars-size", 0, "`SIZE` of the variable store in bytes, with --svsm")
	fl.StringVar(&f.features, "guest-features", "", "also try these guest features")
	fl.IntVar(&f.limit, "limit", 10_000_000, "compare at most `N` digests")
	fl.BoolVar(&f.all, "all", false, "go on after the first combination")
	fl.StringVar(&f.format, "format", "text", "text or json")
	return c
}

func (a *app) explain(f *explainFlags, target string) error {
	in := explain.Input{Limit: f.limit, All: f.all, VarsSize: f.varsSize}
	var err error
	if in.Target, err = explain.Target(target); err != nil {
		return err
	}
	if f.firmware != "" {
		if in.Firmware, err = a.firmware(f.firmware); err != nil {
			return err
		}
	}
	if f.svsm != "" {
		if in.SVSM, err = a.firmware(f.svsm); err != nil {
			return err
		}
	}
	if f.kernel != "" {
		in.Kernel = &explain.Kernel{CommandLine: f.append}
		if in.Kernel.Kernel, err = a.readArtefact(f.kernel, maxStreamed); err != nil {
			return err
		}
		if f.initrd != "" {
			if in.Kernel.Initrd, err = a.readArtefact(f.initrd, maxStreamed); err != nil {
				return err
			}
		}
	} else if f.initrd != "" || f.append != "" {
		return fault.New(fault.Usage, "--kernel required when using --initrd or --append")
	}
	if f.features != "" {
		v, err := snp.ParseFeatures(f.features)
		if err != nil {
			return err
		}
		in.Features = &v
	}
	done := a.progress(&in)
	rep, err := explain.Run(in)
	done()
	if err != nil {
		return err
	}
	if f.format == "json" {
		if err := writeJSON(a.stdout, rep); err != nil {
			return err
		}
	} else {
		a.explainText(f, rep)
	}
	if len(rep.Hits) == 0 {
		return verdictError{exitNotAffirming}
	}
	return nil
}

// progress shows on a terminal how far the search is.
func (a *app) progress(in *explain.Input) (done func()) {
	if !tty.IsTerminal(a.stderr) {
		return func() {}
	}
	var last time.Time
	in.Progress = func(n int) {
		if now := a.now(); now.Sub(last) > 200*time.Millisecond {
			last = now
			fmt.Fprintf(a.stderr, "\r%d digests compared", n)
		}
	}
	return func() { fmt.Fprint(a.stderr, "\r\x1b[K") }
}

func (a *app) explainText(f *explainFlags, rep *explain.Report) {
	files := strings.NewReplacer("KERNEL", shellQuote(f.kernel), "INITRD", shellQuote(f.initrd), "SVSM", shellQuote(f.svsm))
	for _, h := range rep.Hits {
		fmt.Fprintf(a.stdout, "FOUND  %s", h.What)
		if h.VCPUs > 0 {
			fmt.Fprintf(a.stdout, ", %d vCPUs", h.VCPUs)
		}
		fmt.Fprintln(a.stdout)
		line := []string{"assay", "measure", h.Verb}
		if f.firmware != "" {
			line = append(line, "--firmware", shellQuote(f.firmware))
		}
		for _, x := range h.Args {
			if x == "KERNEL" || x == "INITRD" || x == "SVSM" {
				line = append(line, files.Replace(x))
				continue
			}
			line = append(line, shellQuote(x))
		}
		fmt.Fprintf(a.stdout, "  %s\n", strings.Join(line, " "))
	}
	if len(rep.Hits) == 0 {
		fmt.Fprintln(a.stdout, "NOT FOUND  no combination of these artefacts gives this measurement")
	}
	fmt.Fprintf(a.stdout, "  %d digests compared", rep.Tried)
	if !rep.Complete {
		fmt.Fprintf(a.stdout, "; stopped by --limit %d, the search is not complete", f.limit)
	}
	fmt.Fprintln(a.stdout)
	for _, s := range rep.Space {
		fmt.Fprintf(a.stdout, "  tried  %s\n", s)
	}
}

// shellQuote makes s one word for a shell.
func shellQuote(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./=:,+@%", r))
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

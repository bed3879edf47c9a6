package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/statement"
)

func newMeasureCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "measure",
		Short: "Predict what a machine will measure, from the artefacts it is launched from",
		Long: `Computes launch measurements from files alone: no hypervisor, no processor, no network. The result is bare hex, JSON with
every input's digest and every step, reference values (CoRIM) that "assay verify" takes, or an in-toto statement that
binds the build provenance of the artefacts to the measurement.

"measure snp", "measure sev" and "measure sev-es" take the options of sev-snp-measure; a link to assay with that name is
a drop-in for it.`,
		Example: `  assay measure snp --ovmf OVMF.fd --vcpus 4 --vcpu-type EPYC-Milan --kernel vmlinuz --initrd initrd.img --append "console=ttyS0"
  assay measure snp --ovmf OVMF.fd --vcpus 1-512 --vcpu-type EPYC-Milan --format corim --key publisher.key -o guest.corim
  assay measure explain 915c74… --firmware OVMF.fd --kernel vmlinuz`,
	}
	c.AddCommand(newMeasureSNPCmd(a), newMeasureSEVCmd(a, false), newMeasureSEVCmd(a, true), newMeasureTDXCmd(a), newMeasureStage0Cmd(a), newMeasureKernelCmd(a), newMeasurePCRCmd(a), newMeasureExplainCmd(a), newMeasureIDBlockCmd(a), newSEVSNPMeasureCmd(a), newMeasureSeCmd(a))
	return c
}

// measureOut are the flags that say what becomes of a prediction.
type measureOut struct {
	format   string
	old      string // --output-format of sev-snp-measure
	out      string
	trace    bool
	key      string
	name     string
	id       string
	tagID    string
	version  uint64
	validFor time.Duration
}

func (o *measureOut) flags(fl *pflag.FlagSet) {
	fl.StringVar(&o.format, "format", "", "hex (default), base64, json, corim or in-toto")
	fl.StringVar(&o.old, "output-format", "", "the same as --format")
	fl.StringVarP(&o.out, "output", "o", "", "write to `FILE`")
	fl.BoolVar(&o.trace, "trace", false, "show every step: in JSON, or as text on stderr")
	fl.StringVar(&o.key, "key", "", "sign the CoRIM with the private key in `FILE` (implies --format corim)")
	fl.StringVar(&o.name, "name", "assay measure", "`NAME` of who makes and signs the CoRIM")
	fl.StringVar(&o.id, "id", "", "corim `ID` (default: a random UUID)")
	fl.StringVar(&o.tagID, "tag-id", "", "`ID` of the CoMID, by which newer versions supersede it (default: the corim id)")
	fl.Uint64Var(&o.version, "tag-version", 0, "`VERSION` of the CoMID")
	fl.DurationVar(&o.validFor, "valid-for", 365*24*time.Hour, "`DURATION` of the CoRIM's validity from now; 0 for no end")
}

// check settles the format.
func (o *measureOut) check() error {
	if o.format == "" {
		o.format = o.old
	}
	if o.format == "" && o.key != "" {
		o.format = "corim"
	}
	switch strings.ToLower(o.format) {
	case "", "hex":
		o.format = "hex"
	case "base64", "json", "corim":
		o.format = strings.ToLower(o.format)
	case "in-toto", "intoto":
		o.format = "in-toto"
	default:
		return fault.New(fault.Usage, "--format %q: hex, base64, json, corim or in-toto", o.format)
	}
	if o.key != "" && o.format != "corim" {
		return fault.New(fault.Usage, "--key signs a CoRIM; it has no meaning with --format %s", o.format)
	}
	return nil
}

// wantsInputs says whether the digests of the artefacts appear in the output; hashing them costs more than the prediction.
func (o *measureOut) wantsInputs() bool { return o.format != "hex" && o.format != "base64" }

// write writes p in the form that was asked for.
func (a *app) writePrediction(o *measureOut, p *statement.Prediction) error {
	if !o.trace {
		p.Steps = nil
	}
	if o.format != "json" {
		if err := a.traceText(p.Steps); err != nil {
			return err
		}
		for _, n := range p.Notes {
			fmt.Fprintf(a.stderr, "assay: note: %s\n", n)
		}
	}
	return a.output(o.out, 0o644, func(w io.Writer) error {
		switch o.format {
		case "json":
			return p.WriteJSON(w)
		case "in-toto":
			return p.WriteInToto(w)
		case "corim":
			return a.writeCoRIM(w, o, p)
		}
		return writeBare(w, p.Values, o.format == "base64")
	})
}

// writeBare writes one digest per line. A single one stands alone, as sev-snp-measure prints it; of several, each is
// preceded by what it is.
func writeBare(w io.Writer, values []statement.Value, b64 bool) error {
	for _, v := range values {
		text := hex.EncodeToString(v.Digest)
		if b64 {
			text = base64.StdEncoding.EncodeToString(v.Digest)
		}
		label := ""
		if len(values) > 1 {
			label = v.Name
			if v.VCPUs > 0 {
				label = strconv.Itoa(v.VCPUs)
			}
			if v.Variant != "" {
				label += " " + v.Variant
			}
			label += " "
		}
		if _, err := fmt.Fprintln(w, label+text); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) writeCoRIM(w io.Writer, o *measureOut, p *statement.Prediction) error {
	opts := statement.Options{ID: o.id, TagID: o.tagID, TagVersion: o.version, Entity: o.name}
	if o.validFor > 0 {
		now := a.now().UTC().Truncate(time.Second)
		opts.Validity = &corim.Validity{NotBefore: &now, NotAfter: now.Add(o.validFor)}
	}
	b, err := p.CoRIM(opts)
	if err != nil {
		return err
	}
	return o.writeSigned(w, b)
}

// writeSigned writes a manifest, signed when there is a key.
func (o *measureOut) writeSigned(w io.Writer, b []byte) error {
	if o.key != "" {
		key, err := keys.Load(o.key)
		if err != nil {
			return err
		}
		if b, err = corim.Sign(b, key.Signer, corim.SignOptions{SignerName: o.name}); err != nil {
			return err
		}
	}
	_, err := w.Write(b)
	return err
}

func (a *app) traceText(steps []measure.Step) error {
	for i, s := range steps {
		fmt.Fprintf(a.stderr, "%4d  %-22s %-11s %-16s %10d  %s\n", i, s.What, s.Kind, s.GPA, s.Bytes, s.After)
		if s.Note != "" {
			fmt.Fprintf(a.stderr, "      %s\n", s.Note)
		}
	}
	return nil
}

// parseCounts reads vCPU counts: "4", "1-512", "1,2,4", and mixtures.
func parseCounts(s string, limit int) ([]int, error) {
	var out []int
	for part := range strings.SplitSeq(s, ",") {
		lo, hi, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			hi = lo
		}
		from, err1 := strconv.Atoi(strings.TrimSpace(lo))
		to, err2 := strconv.Atoi(strings.TrimSpace(hi))
		if err1 != nil || err2 != nil || from < 1 || to < from || to > limit {
			return nil, fault.New(fault.Usage, "--vcpus %q: a number, a range (1-512) or a list (1,2,4) of counts from 1 to %d is wanted", s, limit)
		}
		for n := from; n <= to; n++ {
			out = append(out, n)
		}
		if len(out) > limit {
			return nil, fault.New(fault.Usage, "--vcpus %q names more than %d counts", s, limit)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

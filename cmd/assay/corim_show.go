package main

import (
	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/corimjson"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/internal/fault"
)

func newCorimShowCmd(a *app) *cobra.Command {
	var format string
	var full bool
	c := &cobra.Command{
		Use:   "show FILE",
		Short: "Show what a CoRIM says, without checking who says it",
		Long: `Prints a signed or unsigned CoRIM for people, or as the JSON template that gives the same document. Nothing is checked but
the form: whether anybody may be believed is what "assay corim verify" says.`,
		Args: cobra.ExactArgs(1),
		RunE: runE(func(_ *cobra.Command, args []string) error {
			b, err := a.read(args[0])
			if err != nil {
				return err
			}
			return a.corimShow(b, format, full)
		}),
	}
	c.Flags().StringVar(&format, "format", "text", "`text` or json")
	c.Flags().BoolVar(&full, "full", false, "write long byte strings whole")
	return c
}

func (a *app) corimShow(b []byte, format string, full bool) error {
	opts := corim.Options{Profiles: profiles.All(), ForDisplay: true, Relax: corim.Relaxations()}
	switch format {
	case "text":
		return corim.Diagnose(a.stdout, b, corim.DiagnoseOptions{Options: opts, Full: full})
	case "json":
		return a.corimJSON(b, opts)
	}
	return fault.New(fault.Usage, "--format %q: text or json", format)
}

// corimJSON writes the template that gives the same document.
func (a *app) corimJSON(b []byte, opts corim.Options) error {
	var m *corim.Manifest
	var err error
	if corim.Sniff(b) == corim.KindSigned {
		var signed *corim.Signed
		if signed, err = corim.ParseSigned(b, opts); err == nil {
			m, err = signed.UnverifiedManifest()
		}
	} else {
		m, err = corim.Decode(b, opts)
	}
	if err != nil {
		return err
	}
	out, err := corimjson.FromManifest(m)
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(out)
	return err
}

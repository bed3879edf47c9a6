package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence/builtin"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/tty"
)

func newInspectCmd(a *app) *cobra.Command {
	var as, format string
	c := &cobra.Command{
		Use:   "inspect [FILE...]",
		Short: "Decode evidence and show what it says, without checking whether it is true",
		Long: `Decodes evidence and prints every field. Nothing is authenticated: what you see is what somebody wrote. To know whether
it is true, use "assay verify".`,
		RunE: runE(func(_ *cobra.Command, args []string) error { return a.inspect(as, format, args) }),
	}
	c.Flags().StringVar(&as, "as", "", "force the `FORMAT` instead of detecting it")
	c.Flags().StringVar(&format, "format", "text", "`text` or json")
	return c
}

// inspection is `assay inspect --format json`, one per input.
type inspection struct {
	Schema        string       `json:"schema"`
	TEE           string       `json:"tee"`
	Format        string       `json:"format"`
	Authenticated bool         `json:"authenticated"` // always false
	Claims        claim.Object `json:"claims"`
}

func (a *app) inspect(as, format string, args []string) error {
	if format != "text" && format != "json" {
		return fault.New(fault.Usage, "--format %q: text or json", format)
	}
	table, err := builtin.New()
	if err != nil {
		return err
	}
	evs, err := a.readEvidence(args, as)
	if err != nil {
		return err
	}
	style := tty.For(a.stdout, a.getenv)
	for i, ev := range evs {
		row, err := table.For(ev)
		if err != nil {
			return err
		}
		if row.Inspector == nil {
			return fault.New(fault.Unsupported, "evidence of %s cannot be shown without authenticating it; use assay verify", row.Name)
		}
		in, err := row.Inspector.Inspect(ev)
		if err != nil {
			return err
		}
		if format == "json" {
			if err := writeJSON(a.stdout, inspection{Schema: "assay.inspect/v1", TEE: in.TEE, Format: in.Format, Claims: in.Claims}); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(a.stdout)
		}
		fmt.Fprintf(a.stdout, "%s  %s  %s\n", style.Bold(in.TEE), in.Format, style.Yellow("not authenticated: assay verify says whether this is true"))
		printClaims(a.stdout, style, in.Claims, 1)
	}
	return nil
}

// printClaims prints claims as an indented list; nested objects one level deeper.
func printClaims(w io.Writer, s tty.Style, o claim.Object, depth int) {
	pad, width := strings.Repeat("  ", depth), 26-2*depth
	for _, m := range o {
		if m.Value.Kind != claim.NodeObject {
			width = max(width, len(m.Name))
		}
	}
	for _, m := range o {
		if m.Value.Kind == claim.NodeObject {
			fmt.Fprintf(w, "%s%s\n", pad, m.Name)
			printClaims(w, s, m.Value.Object(), depth+1)
			continue
		}
		fmt.Fprintf(w, "%s%-*s %s\n", pad, width, m.Name, m.Value)
	}
}

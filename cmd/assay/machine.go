package main

import (
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/registry"
)

func newMachineCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "machine",
		Short: "See which machines were appraised, and which of them may have a copy",
		Long: `The server remembers each machine that its evidence names (machine_identity in its configuration), its boots and chips. A
machine that runs twice, shares another's endorsement key, or whose TPM counters go back is under a clone alarm: tickets
release nothing to it until you clear the alarm, unless they were issued with --allow-clone.`,
	}
	var f adminFlags
	list, show, clearCmd := newMachineListCmd(a, &f), newMachineShowCmd(a, &f), newMachineClearCmd(a, &f)
	f.add(a, list, show, clearCmd)
	c.AddCommand(list, show, clearCmd)
	return c
}

func newMachineListCmd(a *app, f *adminFlags) *cobra.Command {
	var suspect bool
	var after string
	c := &cobra.Command{
		Use: "list", Short: "List machines", Args: cobra.NoArgs,
		RunE: runE(func(cmd *cobra.Command, _ []string) error {
			cl, err := f.client()
			if err != nil {
				return err
			}
			q := url.Values{"limit": {"200"}, "after": {after}}
			if suspect {
				q.Set("suspect", "true")
			}
			var page struct{ Machines []registry.Machine }
			if err := cl.do(cmd.Context(), "GET", "/v1/machines?"+q.Encode(), nil, &page); err != nil {
				return err
			}
			if f.format == "json" {
				return writeJSON(a.stdout, page.Machines)
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			for _, m := range page.Machines {
				state := "ok"
				if m.Suspect() {
					state = string(m.Alarms[0].Signal)
				}
				fmt.Fprintf(w, "%s\t%s\t%d boot(s)\tlast %s\t%s\n", m.ID, state, len(m.Boots), stamp(m.Last), plainText(m.Identity))
			}
			return w.Flush()
		}),
	}
	c.Flags().BoolVar(&suspect, "suspect", false, "only those under a clone alarm")
	c.Flags().StringVar(&after, "after", "", "continue after this `ID`; a page has up to 200 machines")
	return c
}

func newMachineShowCmd(a *app, f *adminFlags) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show what is known about a machine", Args: cobra.ExactArgs(1),
		RunE: runE(func(cmd *cobra.Command, args []string) error {
			cl, err := f.client()
			if err != nil {
				return err
			}
			var m registry.Machine
			if err := cl.do(cmd.Context(), "GET", "/v1/machines/"+url.PathEscape(args[0]), nil, &m); err != nil {
				return err
			}
			if f.format == "json" {
				return writeJSON(a.stdout, m)
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintf(w, "machine\t%s\nidentity\t%s\nfirst\t%s\nlast\t%s\n", m.ID, plainText(m.Identity), stamp(m.First), stamp(m.Last))
			if m.EK != "" {
				fmt.Fprintf(w, "ek\t%s\n", plainText(m.EK))
			}
			if !m.Cleared.IsZero() {
				fmt.Fprintf(w, "cleared\t%s\n", stamp(m.Cleared))
			}
			for _, b := range m.Boots {
				fmt.Fprintf(w, "boot\t%s to %s  chip %s  report id %s%s  %s\n", stamp(b.First), stamp(b.Last), short(b.Chip), short(b.ReportID), counted(b.Counters), plainText(b.Tier))
			}
			for _, x := range m.Alarms {
				fmt.Fprintf(w, "alarm\t%s: %s (%d times, last %s)\n", x.Signal, plainText(x.Detail), x.Count, stamp(x.Last))
			}
			return w.Flush()
		}),
	}
}

func newMachineClearCmd(_ *app, f *adminFlags) *cobra.Command {
	return &cobra.Command{
		Use: "clear ID", Short: "Say that a machine is no copy: take its clone alarms back", Args: cobra.ExactArgs(1),
		Long: `Takes all clone alarms of a machine back. What was seen of it until now raises none again, and the next endorsement key that
its evidence shows is believed. A copy that still runs raises the alarm again.`,
		RunE: runE(func(cmd *cobra.Command, args []string) error {
			cl, err := f.client()
			if err != nil {
				return err
			}
			return cl.do(cmd.Context(), "POST", "/v1/machines/"+url.PathEscape(args[0])+"/clear", nil, nil)
		}),
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func short(s string) string {
	switch {
	case s == "":
		return "-"
	case len(s) > 16:
		s = s[:16] + "…"
	}
	return plainText(s)
}

func counted(c *registry.Counters) string {
	if c == nil {
		return ""
	}
	return fmt.Sprintf("  resets %d.%d", c.Reset, c.Restart)
}

// plainText keeps what evidence says from writing to the terminal.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

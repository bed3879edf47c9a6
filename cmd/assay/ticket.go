package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/release"
)

func newTicketCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "ticket",
		Short: "Authorise releases: a one-shot secret goes out once per ticket",
		Long: `A ticket authorises a number of releases (one, unless you say otherwise) of one secret, to a machine that meets its
conditions. A secret stored with --one-shot is released against a ticket only.`,
	}
	var f adminFlags
	issue, list, revoke := newTicketIssueCmd(a, &f), newTicketListCmd(a, &f), newTicketRevokeCmd(a, &f)
	f.add(a, issue, list, revoke)
	c.AddCommand(issue, list, revoke)
	return c
}

func newTicketIssueCmd(a *app, f *adminFlags) *cobra.Command {
	var resource, secret, subject string
	var where []string
	var uses int
	var allowClone bool
	var life time.Duration
	c := &cobra.Command{
		Use:     "issue REPOSITORY/TYPE/TAG",
		Short:   "Authorise releases of a secret",
		Example: "  assay ticket issue default/key/disk --where host_data=00aa… --life 1h",
		Args:    cobra.ExactArgs(1),
		RunE: runE(func(cmd *cobra.Command, args []string) error {
			cl, err := f.client()
			if err != nil {
				return err
			}
			if resource = args[0]; secret == "" {
				secret = resource
			}
			conds := []release.Condition{}
			for _, w := range where {
				name, val, ok := strings.Cut(w, "=")
				if !ok || name == "" || val == "" {
					return fault.New(fault.Usage, "--where %q is not CLAIM=VALUE", w)
				}
				conds = append(conds, release.Condition{Claim: name, Equals: val})
			}
			body, err := json.Marshal(map[string]jsonValue{"resource": resource, "secret": secret, "subject": subject, "where": conds, "uses": uses, "life": life.String(), "allow_clone": allowClone})
			if err != nil {
				return fault.New(fault.Internal, "%w", err)
			}
			var t release.Ticket
			if err := cl.do(cmd.Context(), "POST", "/v1/tickets", body, &t); err != nil {
				return err
			}
			if f.format == "json" {
				return writeJSON(a.stdout, t)
			}
			fmt.Fprintf(a.stderr, "%d release(s) of %s, until %s\n", t.Uses, t.Resource, t.NotAfter.UTC().Format(time.RFC3339))
			_, err = fmt.Fprintln(a.stdout, t.ID)
			return err
		}),
	}
	fl := c.Flags()
	fl.StringVar(&secret, "secret", "", "`PATH` of the secret that is given, when another than the one asked for")
	fl.StringVar(&subject, "subject", "", "`NAME` or UUID of the machine, for the log")
	fl.StringArrayVar(&where, "where", nil, "a `CLAIM=VALUE` that the evidence must state, such as host_data=… or chip_id=… (repeatable)")
	fl.IntVar(&uses, "uses", 1, "`NUMBER` of releases")
	fl.BoolVar(&allowClone, "allow-clone", false, "release to a machine that may have a copy, too (assay machine list)")
	fl.DurationVar(&life, "life", 24*time.Hour, "`DURATION` that the ticket holds")
	return c
}

func newTicketListCmd(a *app, f *adminFlags) *cobra.Command {
	var resource string
	c := &cobra.Command{
		Use: "list", Short: "List tickets and what became of them", Args: cobra.NoArgs,
		RunE: runE(func(cmd *cobra.Command, _ []string) error {
			cl, err := f.client()
			if err != nil {
				return err
			}
			var page struct{ Tickets []release.Ticket }
			if err := cl.do(cmd.Context(), "GET", "/v1/tickets?limit=1000&resource="+url.QueryEscape(resource), nil, &page); err != nil {
				return err
			}
			if f.format == "json" {
				return writeJSON(a.stdout, page.Tickets)
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			for _, t := range page.Tickets {
				states := map[string]int{}
				for _, s := range t.Slots {
					states[string(s.State)]++
				}
				var text []string
				for _, k := range sortedKeys(states) {
					text = append(text, fmt.Sprintf("%d %s", states[k], k))
				}
				fmt.Fprintf(w, "%s\t%s\t%s\tuntil %s\n", t.ID, t.Resource, strings.Join(text, ", "), t.NotAfter.UTC().Format(time.RFC3339))
			}
			return w.Flush()
		}),
	}
	c.Flags().StringVar(&resource, "resource", "", "only those for this `PATH`")
	return c
}

func newTicketRevokeCmd(_ *app, f *adminFlags) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Take back what a ticket has not released yet", Args: cobra.ExactArgs(1),
		RunE: runE(func(cmd *cobra.Command, args []string) error {
			cl, err := f.client()
			if err != nil {
				return err
			}
			return cl.do(cmd.Context(), "POST", "/v1/tickets/"+url.PathEscape(args[0])+"/revoke", nil, nil)
		}),
	}
}

package main

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/store"
)

func newPolicyCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "policy",
		Short: "Administer the policies of a server",
		Long: `A policy NAME is Rego: package assay.extra adds to the built-in policy, package assay replaces it (docs/policy.md). The name
"resource-policy" is Trustee's resource policy (package policy), which decides about single requests. A policy is compiled
before it is stored, and is in force within a second on every server over the same store.`,
	}
	documentCommands(a, c, documentKind{what: "policy", route: "/v1/policies/", put: "put", take: "rm", prefix: func(name string) string {
		if name == server.ResourcePolicyID || strings.HasPrefix(name, server.PolicyPrefix) || strings.HasPrefix(name, server.AttestationPrefix) {
			return name
		}
		return server.PolicyPrefix + name
	}})
	c.AddCommand(newPolicyTestCmd(a))
	return c
}

func newStatementCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "statement",
		Short: "Administer the signed statements that a server appraises with",
		Long: `A statement is admitted only under an anchor of the server's configuration, when it is submitted and again at each start. One
that has run out stays stored and vouches for nothing.`,
	}
	documentCommands(a, c, documentKind{what: "statement", route: "/v1/statements/", put: "submit", take: "revoke", prefix: func(name string) string {
		if strings.HasPrefix(name, server.StatementPrefix) || strings.HasPrefix(name, server.ReferenceValuePrefix) {
			return name
		}
		return server.StatementPrefix + name
	}})
	c.AddCommand(newStatementStatusCmd(a))
	return c
}

// documentKind is what differs between policies and statements.
type documentKind struct {
	what, route, put, take string
	prefix                 func(string) string
}

func documentCommands(a *app, parent *cobra.Command, k documentKind) *cobra.Command {
	var f adminFlags
	var dryRun bool
	put := &cobra.Command{
		Use: k.put + " NAME FILE", Short: "Store a " + k.what + " from FILE (- is standard input)", Args: cobra.ExactArgs(2),
		RunE: runE(func(cmd *cobra.Command, args []string) error {
			cl, err := f.client()
			if err != nil {
				return err
			}
			b, err := a.read(args[1])
			if err != nil {
				return err
			}
			path := k.path(args[0])
			if dryRun {
				path += "?dry-run"
			}
			var d store.Document
			if err := cl.do(cmd.Context(), "PUT", path, b, &d); err != nil {
				return err
			}
			if f.format == "json" {
				return writeJSON(a.stdout, d)
			}
			if dryRun {
				_, err = fmt.Fprintf(a.stdout, "%s would be taken; nothing was stored\n", d.ID)
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%s version %d\n", d.ID, d.Version)
			return err
		}),
	}
	put.Flags().BoolVar(&dryRun, "dry-run", false, "let the server try it with everything else that is in force, and store nothing (assay policy test shows the effect on evidence)")
	var history string
	list := &cobra.Command{
		Use: "list", Short: "List names and versions", Args: cobra.NoArgs,
		RunE: runE(func(cmd *cobra.Command, _ []string) error {
			cl, err := f.client()
			if err != nil {
				return err
			}
			path := strings.TrimSuffix(k.route, "/")
			if history != "" {
				path = k.path(history) + "?history"
			}
			var page struct{ Documents []store.Document }
			if err := cl.do(cmd.Context(), "GET", path, nil, &page); err != nil {
				return err
			}
			if f.format == "json" {
				return writeJSON(a.stdout, page.Documents)
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			for _, d := range page.Documents {
				state := ""
				if d.Deleted {
					state = "deleted"
				}
				fmt.Fprintf(w, "%s\tversion %d\t%s\t%s\t%s\n", d.ID, d.Version, d.Created.UTC().Format(time.RFC3339), d.By, state)
			}
			return w.Flush()
		}),
	}
	var out string
	show := &cobra.Command{
		Use: "show NAME", Short: "Print what is stored", Args: cobra.ExactArgs(1),
		RunE: runE(func(cmd *cobra.Command, args []string) error {
			cl, err := f.client()
			if err != nil {
				return err
			}
			b, err := cl.fetch(cmd.Context(), k.path(args[0]))
			if err != nil {
				return err
			}
			if k.what == "statement" && out == "" && corim.Sniff(b) != corim.KindUnknown {
				return a.corimShow(b, f.format, false)
			}
			return a.output(out, 0o644, func(w io.Writer) error {
				_, err := w.Write(b)
				return err
			})
		}),
	}
	show.Flags().StringVarP(&out, "output", "o", "", "write the bytes as they are stored to `FILE` (- is standard output)")
	rm := &cobra.Command{
		Use: k.take + " NAME", Short: "Take it out of force; the history stays", Args: cobra.ExactArgs(1),
		RunE: runE(func(cmd *cobra.Command, args []string) error {
			cl, err := f.client()
			if err != nil {
				return err
			}
			return cl.do(cmd.Context(), "DELETE", k.path(args[0]), nil, nil)
		}),
	}
	if k.take != "rm" {
		rm.Aliases = []string{"rm"}
	}
	f.add(a, put, list, show, rm)
	if k.what == "policy" {
		list.Flags().StringVar(&history, "history", "", "list the versions of `NAME`, who stored them and when")
	}
	parent.AddCommand(put, list, show, rm)
	return parent
}

func (k documentKind) path(name string) string {
	parts := strings.Split(k.prefix(name), "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return k.route + strings.Join(parts, "/")
}

package main

import (
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/release"
)

func newSecretCmd(a *app) *cobra.Command {
	c := &cobra.Command{Use: "secret", Short: "Store the secrets that attested machines may have"}
	var f adminFlags
	put, list, rm := newSecretPutCmd(a, &f), newSecretListCmd(a, &f), newSecretRmCmd(a, &f)
	f.add(a, put, list, rm)
	c.AddCommand(put, list, rm)
	return c
}

// secretPath writes repository/type/tag for a URL.
func secretPath(p string) (string, error) {
	parts := strings.Split(p, "/")
	if len(parts) != 3 {
		return "", fault.New(fault.Usage, "%q is not repository/type/tag", p)
	}
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return "/v1/secrets/" + strings.Join(parts, "/"), nil
}

func newSecretPutCmd(a *app, f *adminFlags) *cobra.Command {
	var from string
	var oneShot bool
	c := &cobra.Command{
		Use:     "put REPOSITORY/TYPE/TAG",
		Short:   "Store a secret, or a new version of it",
		Example: "  assay secret put default/key/disk --from disk.key --one-shot",
		Args:    cobra.ExactArgs(1),
		RunE: runE(func(cmd *cobra.Command, args []string) error {
			cl, err := f.client()
			if err != nil {
				return err
			}
			b, err := a.read(from)
			if err != nil {
				return err
			}
			path, err := secretPath(args[0])
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("one-shot") {
				path += fmt.Sprintf("?one_shot=%t", oneShot)
			}
			var info release.SecretInfo
			if err := cl.do(cmd.Context(), "PUT", path, b, &info); err != nil {
				return err
			}
			if f.format == "json" {
				return writeJSON(a.stdout, info)
			}
			_, err = fmt.Fprintf(a.stdout, "%s version %d, %d bytes%s\n", info.Path, info.Version, info.Size, oneShotMark(info.OneShot))
			return err
		}),
	}
	c.Flags().StringVar(&from, "from", stdinArg, "read the secret from `FILE`; - is standard input")
	c.Flags().BoolVar(&oneShot, "one-shot", false, "release it only against a ticket (assay ticket issue)")
	return c
}

func oneShotMark(b bool) string {
	if b {
		return ", one-shot: only against a ticket"
	}
	return ""
}

func newSecretListCmd(a *app, f *adminFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List names and versions of secrets; values are never shown", Args: cobra.NoArgs,
		RunE: runE(func(cmd *cobra.Command, _ []string) error {
			cl, err := f.client()
			if err != nil {
				return err
			}
			var all []release.SecretInfo
			for after := ""; ; {
				var page struct{ Secrets []release.SecretInfo }
				if err := cl.do(cmd.Context(), "GET", "/v1/secrets?limit=1000&after="+url.QueryEscape(after), nil, &page); err != nil {
					return err
				}
				all = append(all, page.Secrets...)
				if len(page.Secrets) < 1000 {
					break
				}
				after = page.Secrets[len(page.Secrets)-1].Path
			}
			if f.format == "json" {
				return writeJSON(a.stdout, all)
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			for _, s := range all {
				fmt.Fprintf(w, "%s\tversion %d\t%d bytes\t%s%s\n", s.Path, s.Version, s.Size, s.Created.UTC().Format(time.RFC3339), oneShotMark(s.OneShot))
			}
			return w.Flush()
		}),
	}
}

func newSecretRmCmd(a *app, f *adminFlags) *cobra.Command {
	return &cobra.Command{
		Use: "rm REPOSITORY/TYPE/TAG", Short: "Delete all versions of a secret", Args: cobra.ExactArgs(1),
		RunE: runE(func(cmd *cobra.Command, args []string) error {
			cl, err := f.client()
			if err != nil {
				return err
			}
			path, err := secretPath(args[0])
			if err != nil {
				return err
			}
			return cl.do(cmd.Context(), "DELETE", path, nil, nil)
		}),
	}
}

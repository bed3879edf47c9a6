package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/internal/tty"
	"github.com/assay-tee/assay/result"
)

func newTokenInspectCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect [FILE]",
		Short: "Show what a token says, without checking who says it",
		Long: `Decodes an Attestation Result (JWT or CWT) as JSON. Nothing in it is authenticated: the signature is not looked at.
What would keep every relying party from accepting the claims is listed under "defects".`,
		Example: "  assay token inspect result.jwt",
		Args:    cobra.MaximumNArgs(1),
		RunE: runE(func(_ *cobra.Command, args []string) error {
			token, err := a.readToken(args)
			if err != nil {
				return err
			}
			in, err := result.Inspect(token)
			if err != nil {
				return err
			}
			fmt.Fprintln(a.stderr, tty.For(a.stderr, a.getenv).Yellow("not verified: anybody may have written this"))
			return writeJSON(a.stdout, in)
		}),
	}
}

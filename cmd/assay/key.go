package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
)

func newKeyCmd(a *app) *cobra.Command {
	c := &cobra.Command{Use: "key", Short: "Make signing keys"}
	c.AddCommand(newKeyGenerateCmd(a))
	return c
}

func newKeyGenerateCmd(a *app) *cobra.Command {
	var alg, out string
	c := &cobra.Command{
		Use:   "generate",
		Short: "Make a signing key: the private key into FILE (0600), the public key beside it as FILE.pub",
		Long: `Makes a key for signing Attestation Results or statements. The private key goes into FILE, readable by its owner only
and never overwritten; the public key into FILE.pub, for --anchor, --key and relying parties. Use one key per purpose: a
key that signs results should sign nothing else. Prints the key's id (RFC 7638), by which tokens and the trail name it.`,
		Example: "  assay key generate -o ear.key\n  assay key generate --alg ES384 -o publisher.key",
		Args:    cobra.NoArgs,
		RunE: runE(func(*cobra.Command, []string) error {
			if out == "" || out == stdinArg {
				return fault.New(fault.Usage, "say where to put the key: -o FILE (a private key is not printed)")
			}
			k, err := keys.Generate(keys.Alg(strings.TrimSpace(alg)))
			if err != nil {
				return err
			}
			if err := k.Write(out); err != nil {
				return err
			}
			err = a.output(out+".pub", 0o644, func(w io.Writer) error { _, err := w.Write(k.Public.PEM()); return err })
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stderr, "%s key in %s, public key in %s.pub\n", k.Alg, out, out)
			_, err = fmt.Fprintln(a.stdout, k.Public.KID)
			return err
		}),
	}
	c.Flags().StringVar(&alg, "alg", string(keys.ES256), "`ALGORITHM`: ES256, ES384, ES512 or EdDSA")
	c.Flags().StringVarP(&out, "output", "o", "", "`FILE` for the private key")
	return c
}

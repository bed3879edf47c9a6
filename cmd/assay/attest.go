package main

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/attester"
	"github.com/assay-tee/assay/attester/tpm"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/protocol/rcar"
)

func newAttestCmd(a *app) *cobra.Command {
	var nonce, format, root, out string
	var level int
	var useTPM bool
	var handle uint32
	c := &cobra.Command{
		Use:   "attest",
		Short: "In a confidential guest: collect evidence bound to a nonce",
		Long: `Asks the kernel (configfs-tsm) for evidence that carries the nonce as report data. The output is what "assay verify"
reads: json is the form that Trustee's guests send, raw the hardware's own bytes (without certificates).`,
		Example: "  assay attest --nonce 4f3c… -o evidence.json",
		Args:    cobra.NoArgs,
		RunE: runE(func(cmd *cobra.Command, _ []string) error {
			if nonce == "" {
				return fault.New(fault.Usage, "evidence without a nonce proves nothing about now: --nonce HEX, from who will verify it")
			}
			b, err := unhex("--nonce", nonce)
			if err != nil {
				return err
			}
			if len(b) < 16 || len(b) > 64 {
				return fault.New(fault.Usage, "--nonce has %d bytes; 16 to 64 are needed", len(b))
			}
			if useTPM {
				return a.attestTPM(cmd.Context(), handle, b, out)
			}
			at, err := attester.NewConfigFS(configFS(root, level))
			if err != nil {
				return err
			}
			ev, err := at.Evidence(cmd.Context(), b)
			if err != nil {
				return err
			}
			data := ev.Data
			switch format {
			case "raw":
			case "json":
				if data, err = attester.KBSEvidence(ev); err != nil {
					return err
				}
			default:
				return fault.New(fault.Usage, "--format %q: json or raw", format)
			}
			return a.output(out, 0o644, func(w io.Writer) error { _, err := w.Write(data); return err })
		}),
	}
	fl := c.Flags()
	fl.StringVar(&nonce, "nonce", "", "`HEX` nonce of who will verify the evidence, 16 to 64 bytes")
	fl.StringVar(&format, "format", "json", "`json` or raw")
	fl.IntVar(&level, "privlevel", -1, "privilege `LEVEL` (SNP VMPL) to ask for; default: the kernel's own")
	fl.StringVar(&root, "tsm", attester.DefaultRoot, "`DIR` of configfs-tsm reports")
	fl.BoolVar(&useTPM, "tpm", false, "quote the TPM instead of asking the CPU")
	fl.Uint32Var(&handle, "ak-handle", 0, "persistent `HANDLE` of the TPM's attestation key; default: a primary key of the endorsement hierarchy")
	fl.StringVarP(&out, "output", "o", "", "write to `FILE`")
	return c
}

// attestTPM writes a quote in the form of Trustee's guests.
func (a *app) attestTPM(ctx context.Context, handle uint32, nonce []byte, out string) error {
	at, err := tpm.New(tpm.Config{Handle: handle})
	if err != nil {
		return err
	}
	defer at.Close()
	ev, err := at.Evidence(ctx, nonce)
	if err != nil {
		return err
	}
	return a.output(out, 0o644, func(w io.Writer) error { _, err := w.Write(ev.Data); return err })
}

func configFS(root string, level int) attester.ConfigFSConfig {
	cfg := attester.ConfigFSConfig{Root: root}
	if level >= 0 {
		l := uint8(level)
		cfg.PrivLevel = &l
	}
	return cfg
}

func newGetCmd(a *app) *cobra.Command {
	var serverURL, root, out string
	var level int
	c := &cobra.Command{
		Use:   "get REPOSITORY/TYPE/TAG",
		Short: "In a confidential guest: attest to a broker and fetch a secret",
		Long: `Does the whole handshake of the KBS protocol: asks for a challenge, attests with a fresh key bound into the evidence,
and opens the secret that the broker wraps to that key. The secret goes to standard output, or into a file that only its
owner can read.`,
		Example: "  assay get default/key/disk --server https://broker.example -o /run/disk.key",
		Args:    cobra.ExactArgs(1),
		RunE: runE(func(cmd *cobra.Command, args []string) error {
			at, err := attester.NewConfigFS(configFS(root, level))
			if err != nil {
				return err
			}
			secret, err := fetchSecret(cmd.Context(), serverURL, at, args[0])
			if err != nil {
				return err
			}
			return a.output(out, 0o600, func(w io.Writer) error { _, err := w.Write(secret); return err })
		}),
	}
	fl := c.Flags()
	fl.StringVar(&serverURL, "server", "http://127.0.0.1:8080", "`URL` of the broker")
	fl.IntVar(&level, "privlevel", -1, "privilege `LEVEL` (SNP VMPL) to attest from")
	fl.StringVar(&root, "tsm", attester.DefaultRoot, "`DIR` of configfs-tsm reports")
	fl.StringVarP(&out, "output", "o", "", "write to `FILE` (0600)")
	return c
}

// fetchSecret attests to a broker and fetches one secret.
func fetchSecret(ctx context.Context, url string, at attester.Attester, path string) ([]byte, error) {
	cl, err := rcar.NewClient(rcar.ClientConfig{URL: url, Source: kbsSource{at}, HTTP: &http.Client{Timeout: time.Minute}})
	if err != nil {
		return nil, err
	}
	if _, err := cl.Attest(ctx); err != nil {
		return nil, err
	}
	return cl.Get(ctx, path, "")
}

// kbsSource gives an attester's evidence in the form of the KBS protocol.
type kbsSource struct{ at attester.Attester }

func (s kbsSource) TEE() string { return s.at.TEE() }

func (s kbsSource) Primary(ctx context.Context, digest []byte) ([]byte, error) {
	ev, err := s.at.Evidence(ctx, digest)
	if err != nil {
		return nil, err
	}
	return attester.KBSEvidence(ev)
}

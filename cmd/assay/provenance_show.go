package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/provenance/dsse"
	"github.com/assay-tee/assay/provenance/intoto"
)

func newProvenanceShowCmd(a *app) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "show FILE",
		Short: "Show what an attestation says, without believing it",
		Long: `Decodes the statement in a Sigstore bundle or DSSE envelope. Nothing is verified: what is shown may have been written
by anybody.`,
		Example: "  assay provenance show firmware.intoto.jsonl",
		Args:    cobra.ExactArgs(1),
		RunE: runE(func(_ *cobra.Command, args []string) error {
			b, err := a.read(args[0])
			if err != nil {
				return err
			}
			payload, err := payloadOf(b)
			if err != nil {
				return err
			}
			s, err := intoto.Parse(payload)
			if err != nil {
				return err
			}
			if format == "json" {
				return writeJSON(a.stdout, json.RawMessage(payload))
			}
			fmt.Fprintln(a.stdout, "NOT VERIFIED")
			for _, x := range s.Subjects {
				fmt.Fprintf(a.stdout, "  %-10s %s\n", "artefact", strings.TrimSpace(x.Name+" "+x.Digest.String()))
			}
			var predicate bytes.Buffer
			if err := json.Indent(&predicate, s.Predicate, "", "  "); err != nil {
				return fault.New(fault.Malformed, "predicate: %w", err)
			}
			_, err = fmt.Fprintf(a.stdout, "  %-10s %s\n%s\n", "predicate", s.PredicateType, predicate.Bytes())
			return err
		}),
	}
	c.Flags().StringVar(&format, "format", "text", "`text` or json (the statement as carried)")
	return c
}

// payloadOf finds the statement in an envelope or bundle.
func payloadOf(b []byte) ([]byte, error) {
	line := b
	if !json.Valid(b) {
		line, _, _ = cutLine(b)
	}
	var head struct {
		Bundle json.RawMessage `json:"dsseEnvelope"`
	}
	if err := jsonx.Unmarshal(line, &head, false); err != nil {
		return nil, err
	}
	if len(head.Bundle) > 0 {
		line = head.Bundle
	}
	e, err := dsse.Parse(line)
	if err != nil {
		return nil, err
	}
	return e.Payload, nil
}

func cutLine(b []byte) (line, rest []byte, found bool) {
	for i, c := range b {
		if c == '\n' {
			return b[:i], b[i+1:], true
		}
	}
	return b, nil, false
}

func newProvenanceAttachCmd(a *app) *cobra.Command {
	var files []string
	var href, out string
	c := &cobra.Command{
		Use:   "attach CORIM",
		Short: "Name attestations in a CoRIM as what it rests on, by digest",
		Long: `Adds a dependent RIM with the SHA-256 of each attestation to an unsigned CoRIM. A verifier to which both are given
shows builder, source and commit for each claim that the CoRIM vouches for. Sign the result.`,
		Example: "  assay provenance attach firmware.cbor --provenance firmware.intoto.jsonl -o firmware-with-build.cbor",
		Args:    cobra.ExactArgs(1),
		RunE: runE(func(_ *cobra.Command, args []string) error {
			b, err := a.read(args[0])
			if err != nil {
				return err
			}
			if len(files) == 0 {
				return fault.New(fault.Usage, "name what to attach: --provenance FILE")
			}
			if endorse.IsSigned(b) {
				return fault.New(fault.Usage, "%s is signed; attach first, then sign", args[0])
			}
			m, err := corim.Decode(b, corim.Options{Profiles: profiles.All()})
			if err != nil {
				return err
			}
			if err := a.dependOn(m, files, href); err != nil {
				return err
			}
			enc, err := corim.Encode(m, corim.Options{Profiles: profiles.All()})
			if err != nil {
				return err
			}
			return a.output(out, 0o644, func(w io.Writer) error { _, err := w.Write(enc); return err })
		}),
	}
	c.Flags().StringArrayVar(&files, "provenance", nil, "an attestation from `FILE` (repeatable)")
	c.Flags().StringVar(&href, "href", "", "`URL` below which the attestations can be found (default: the names of the files)")
	c.Flags().StringVarP(&out, "output", "o", "", "write to `FILE`")
	return c
}

// dependOn adds one dependent RIM for each attestation file.
func (a *app) dependOn(m *corim.Manifest, files []string, href string) error {
	for _, name := range files {
		b, err := a.read(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		at := filepath.Base(name)
		if href != "" {
			at = strings.TrimSuffix(href, "/") + "/" + at
		}
		m.DependentRIMs = append(m.DependentRIMs, corim.Locator{HRefs: []string{at}, Thumbprints: []claim.Digest{{Alg: claim.SHA256, Value: sum[:]}}})
	}
	m.Raw = nil
	return nil
}

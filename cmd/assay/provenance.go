package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/provenance"
	"github.com/assay-tee/assay/provenance/check"
	"github.com/assay-tee/assay/provenance/intoto"
	"github.com/assay-tee/assay/provenance/sigstore"
	"github.com/assay-tee/assay/provenance/vsa"
)

func newProvenanceCmd(a *app) *cobra.Command {
	c := &cobra.Command{Use: "provenance", Short: "Check who built an artefact and from what, offline"}
	c.AddCommand(newProvenanceVerifyCmd(a), newProvenanceShowCmd(a), newProvenanceAttachCmd(a))
	return c
}

func newProvenanceVerifyCmd(a *app) *cobra.Command {
	var f expectFlags
	var sc scittFlags
	var artefact, vsaOut, vsaKey, vsaVerifier, vsaResource, format string
	var digests []string
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify an attestation and hold it against what is expected",
		Long: `Reads one attestation of any form: a Sigstore bundle (0.1 to 0.3, one or one per line), a DSSE envelope, the npm
registry's attestations, Google Cloud Build's provenance, a SCITT statement with its receipts. Checks signature, identity, time, log, statement and artefact, in
that order, against material that you name. No connection is opened.`,
		Example: `  assay provenance verify firmware.intoto.jsonl --artifact OVMF.fd --trusted-root trusted_root.json \
      --source-uri github.com/example/firmware --source-tag v1.4 \
      --builder-id https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_generic_slsa3.yml
  assay provenance verify vsa.json --key verifier.pem --verifier-id https://example.com/v --resource-uri pkg:x --subject-digest sha256:…`,
		Args: cobra.ExactArgs(1),
		RunE: runE(func(_ *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return fault.New(fault.Usage, "--format %q: text or json", format)
			}
			cfg, err := a.expectations(f)
			if err != nil {
				return err
			}
			file, err := a.read(args[0])
			if err != nil {
				return err
			}
			if isCOSE(file) {
				return a.scittVerify(file, sc, f, artefact, format)
			}
			switch {
			case artefact != "" && len(digests) > 0:
				return fault.New(fault.Usage, "--artifact and --digest: one of them is enough")
			case artefact != "":
				b, err := a.read(artefact)
				if err != nil {
					return err
				}
				cfg.Artefact = &sigstore.Artefact{Bytes: b}
			case len(digests) > 0:
				if cfg.Artefact, err = digestArtefact(digests); err != nil {
					return err
				}
			case cfg.Summary == nil:
				return fault.New(fault.Usage, "name the artefact: --artifact FILE or --digest sha256:HEX; a good statement about something else is no answer")
			}
			v, err := check.File(file, cfg)
			if err != nil {
				return err
			}
			if vsaOut != "" {
				if err := a.summarise(v, f, vsaOut, vsaKey, vsaVerifier, vsaResource); err != nil {
					return err
				}
			}
			if format == "json" {
				return writeJSON(a.stdout, v)
			}
			return verdictText(a.stdout, v)
		}),
	}
	fl := c.Flags()
	f.add(fl)
	sc.add(fl)
	fl.StringVar(&artefact, "artifact", "", "the artefact, from `FILE`")
	fl.StringArrayVar(&digests, "digest", nil, "the artefact's `ALG:HEX` instead of itself (repeatable)")
	fl.StringVar(&vsaOut, "vsa", "", "write a verification summary, signed by you, to `FILE`")
	fl.StringVar(&vsaKey, "vsa-key", "", "private key in `FILE` that signs the summary")
	fl.StringVar(&vsaVerifier, "vsa-verifier", "", "`URI` of yours in the summary")
	fl.StringVar(&vsaResource, "vsa-resource", "", "`URI` of the artefact in the summary (default: its digest)")
	fl.StringVar(&format, "format", "text", "`text` or json")
	return c
}

// digestArtefact is an artefact that is known by digests alone.
func digestArtefact(list []string) (*sigstore.Artefact, error) {
	d := intoto.Digests{}
	for _, s := range list {
		one, err := intoto.ParseDigest(s)
		if err != nil {
			return nil, err
		}
		for k, v := range one {
			d[k] = v
		}
	}
	return &sigstore.Artefact{Digests: d}, nil
}

// summarise writes what was found out as a verification summary.
func (a *app) summarise(v *provenance.Verdict, f expectFlags, out, keyFile, verifier, resource string) error {
	if keyFile == "" || verifier == "" {
		return fault.New(fault.Usage, "a summary is signed by somebody: --vsa-key FILE --vsa-verifier URI")
	}
	key, err := keys.Load(keyFile)
	if err != nil {
		return err
	}
	policy, err := json.Marshal(f)
	if err != nil {
		return fault.New(fault.Internal, "%w", err)
	}
	sum := sha256.Sum256(policy)
	s := &vsa.Summary{TimeVerified: a.now().UTC().Truncate(time.Second), ResourceURI: resource, Result: "PASSED", SLSAVersion: "1.0",
		Policy:            vsa.Reference{Digest: intoto.Digests{"sha256": hex.EncodeToString(sum[:])}},
		InputAttestations: []vsa.Reference{{Digest: intoto.Digests{"sha256": v.SHA256}}},
		Levels:            []string{fmt.Sprintf("SLSA_BUILD_LEVEL_%d", v.Level)}}
	s.Verifier.ID = verifier
	var subjects []intoto.Resource
	for _, x := range v.Subjects {
		subjects = append(subjects, intoto.Resource{Name: x.Name, Digest: x.Digest})
	}
	if resource == "" && len(subjects) > 0 {
		s.ResourceURI = subjects[0].Digest.String()
	}
	b, err := vsa.Sign(s, subjects, key.Public.KID, key.Signer)
	if err != nil {
		return err
	}
	return a.output(out, 0o644, func(w io.Writer) error { _, err := w.Write(append(b, '\n')); return err })
}

func verdictText(w io.Writer, v *provenance.Verdict) error {
	fmt.Fprintf(w, "VERIFIED  %s (%s)\n", v.Kind, v.Form)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-10s %s\n", name, value)
		}
	}
	for _, s := range v.Subjects {
		line("artefact", strings.TrimSpace(s.Name+" "+s.Digest.String()))
	}
	line("predicate", v.PredicateType)
	if v.Builder != "" {
		line("builder", fmt.Sprintf("%s (SLSA build level %d)", v.Builder, v.Level))
	}
	line("source", v.Source)
	line("ref", v.Ref)
	line("commit", v.Commit)
	line("workflow", v.Workflow)
	line("run", v.Run)
	line("runner", v.Runner)
	line("signer", v.Signer.Identity)
	line("issuer", v.Signer.Issuer)
	line("key", strings.TrimSpace(v.Signer.Name+" "+v.Signer.KeySHA256))
	for _, l := range v.Log {
		line("log", l.Log+" at "+l.Index)
	}
	for _, t := range v.Times {
		line("seen", strings.TrimSpace(t.At.Format(time.RFC3339)+" by "+t.Origin+" "+t.Name))
	}
	_, err := fmt.Fprintf(w, "  %-10s %s\n", "sha256", v.SHA256)
	return err
}

// provenance verifies the attestations that a run shall know of. One that does not hold ends the run: the operator
// counts on it.
func (a *app) provenance(files []string, expectations string, at time.Time) ([]*provenance.Verdict, error) {
	if len(files) == 0 {
		return nil, nil
	}
	if expectations == "" {
		return nil, fault.New(fault.Usage, "say whom to believe about builds, and what to expect: --provenance-expect FILE")
	}
	cfg, err := a.expectations(expectFlags{File: expectations, At: at.Format(time.RFC3339)})
	if err != nil {
		return nil, err
	}
	var out []*provenance.Verdict
	for _, name := range files {
		b, err := a.read(name)
		if err != nil {
			return nil, err
		}
		v, err := check.File(b, cfg)
		if err != nil {
			return nil, fault.Wrap(err, "provenance %s", name)
		}
		out = append(out, v)
	}
	return out, nil
}

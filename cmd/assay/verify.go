package main

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/oak"
	"github.com/assay-tee/assay/evidence/vtpm"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/tty"
	"github.com/assay-tee/assay/result/report"
)

// verifyFlags are the flags of `assay verify`, in the order of its help.
type verifyFlags struct {
	as         string
	certs      []string
	eventLog   string
	collateral []string
	offline    bool
	at         string
	nonce      string
	reportData string
	expect     []string
	statements []string
	unsigned   []string
	provenance []string
	builds     string
	anchors    []string
	aks        []string
	policies   []string
	params     string
	earKey     string
	earOut     string
	ear        string
	format     string
	out        string
	explain    bool
	insecure   bool
}

func newVerifyCmd(a *app) *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use:   "verify [FILE...]",
		Short: "Authenticate evidence, appraise it against reference values, decide, and say why",
		Long: `Reads evidence (files, a configfs-tsm report directory, or standard input), authenticates it back to its hardware
root, appraises it against what you expect or what anchored signers state, and decides under a policy.

Without --nonce or --report-data nothing shows that the evidence is fresh, and without --expect or --statement nothing
vouches for what it measures: authentic evidence is then "authentic, not affirming" (exit 6), and the text says what is
missing.`,
		Example: `  assay verify report.bin --cert vcek.der --nonce 4f3c… --expect measurement=7f51…
  assay verify evidence.json --statement firmware.corim --anchor publisher.pem --report-data 00aa…
  assay verify outblob --collateral bundle/ --offline --at 2026-07-15T00:00:00Z --format json
  assay verify guest/ --cert vcek.der --nonce 4f3c… --ear-key verifier.key --ear-output result.jwt`,
		RunE: runE(func(cmd *cobra.Command, args []string) error { return a.verify(cmd, f, args) }),
	}
	fl := c.Flags()
	fl.StringVar(&f.as, "as", "", "force the `FORMAT` of the evidence: a TEE (snp, tdx, …), instead of detecting it")
	fl.StringArrayVar(&f.certs, "cert", nil, "certificates of the attesting key: `FILE` in DER or PEM, or a GHCB certificate table (repeatable)")
	fl.StringVar(&f.eventLog, "event-log", "", "boot log from `FILE` (CCEL of a TD) that explains the evidence's registers; without it nothing is claimed about the boot")
	fl.StringArrayVar(&f.collateral, "collateral", nil, "vendor data from a `PATH`: file, directory or exported bundle (repeatable)")
	fl.BoolVar(&f.offline, "offline", false, "never open a connection; what is missing makes the verdict unavailable")
	fl.StringVar(&f.at, "at", "", "appraise as of this `TIME` (RFC 3339) instead of now")
	fl.StringVar(&f.nonce, "nonce", "", "the `HEX` nonce that the evidence must be bound to; padded with zeros to the field")
	fl.StringVar(&f.reportData, "report-data", "", "the `HEX` bytes that the evidence must carry as report data")
	fl.StringArrayVar(&f.expect, "expect", nil, "a reference value of your own, as `NAME=HEX` (measurement, host_data, …; repeatable; a name may repeat)")
	fl.StringArrayVar(&f.statements, "statement", nil, "a signed statement from `FILE`: a CoRIM, or a launch endorsement of Google Compute Engine (repeatable)")
	fl.StringArrayVar(&f.unsigned, "unsigned-statement", nil, "a CoRIM, or Oak's ReferenceValues, from `FILE` that nobody signed, on your own word (repeatable)")
	fl.StringArrayVar(&f.provenance, "provenance", nil, "an attestation of how something was built, or of what it measures, from `FILE`; with --provenance-expect (repeatable)")
	fl.StringVar(&f.builds, "provenance-expect", "", "whom to believe about builds, and what to expect, from a JSON `FILE` (docs/provenance.md)")
	fl.StringArrayVar(&f.anchors, "anchor", nil, "whom to believe: `FILE` with a signer's key, certificate or anchor file; a vendor's root certificate replaces the built-in roots (repeatable)")
	fl.StringArrayVar(&f.aks, "ak", nil, "a TPM's attestation key that you enrolled: `FILE` with a public key (repeatable)")
	fl.StringArrayVar(&f.policies, "policy", nil, "Rego from `FILE` (docs/policy.md): package assay.extra adds to the built-in policy, package assay replaces it (repeatable)")
	fl.StringVar(&f.params, "params", "", "settings of the built-in policy from a JSON `FILE` (docs/policy.md)")
	fl.StringVar(&f.earKey, "ear-key", "", "sign the Attestation Result (EAR) with the private key in `FILE`")
	fl.StringVar(&f.earOut, "ear-output", "", "write the signed Attestation Result alone to `FILE`; without it, it is the member \"ear\" of --format json, and the end of the text")
	fl.StringVar(&f.ear, "ear", "03", "`DIALECT` of the Attestation Result: 03, veraison or trustee")
	fl.BoolVar(&f.insecure, "insecure-simulator", false, "accept roots of the simulator; results are marked")
	fl.BoolVar(&f.explain, "explain", false, "show every claim and what vouches for it")
	fl.StringVar(&f.format, "format", "text", "`text` or json")
	fl.StringVarP(&f.out, "output", "o", "", "write to `FILE` instead of standard output")
	return c
}

func (a *app) verify(cmd *cobra.Command, f verifyFlags, args []string) error {
	if f.format != "text" && f.format != "json" {
		return fault.New(fault.Usage, "--format %q: text or json", f.format)
	}
	if f.earOut != "" && f.earKey == "" {
		return fault.New(fault.Usage, "--ear-output needs a key that signs: --ear-key FILE (assay key generate)")
	}
	at, err := a.clock(f.at)
	if err != nil {
		return err
	}
	rep, err := a.appraiseFiles(cmd, f, args, at)
	if err != nil && fault.Is(err, fault.Usage) {
		return err
	}
	if err == nil && f.earOut != "" {
		if err := a.output(f.earOut, 0o644, func(w io.Writer) error { _, err := fmt.Fprintln(w, rep.EAR); return err }); err != nil {
			return err
		}
	}
	if err != nil && rep == nil {
		rep = report.FromError(at, "", err)
	}
	if werr := a.writeReport(rep, f); werr != nil {
		return werr
	}
	switch {
	case err != nil:
		return shownError{err}
	case rep.Verdict != "affirming":
		return verdictError{exitNotAffirming}
	}
	return nil
}

// appraiseFiles runs the whole flow on the files that were named.
func (a *app) appraiseFiles(cmd *cobra.Command, f verifyFlags, args []string, at time.Time) (*report.Report, error) {
	ctx := cmd.Context()
	binding, expect, err := bindingAndExpectations(f)
	if err != nil {
		return nil, err
	}
	trust, err := a.loadAnchors(f.anchors, f.insecure, f.aks...)
	if err != nil {
		return nil, err
	}
	coll, err := a.collateral(f.collateral, f.offline)
	if err != nil {
		return nil, err
	}
	certs, err := a.certificates(f.certs)
	if err != nil {
		return nil, err
	}
	pol, err := a.loadPolicy(f.policies, f.params, f.insecure)
	if err != nil {
		return nil, err
	}
	v, err := assay.New(assay.Config{Anchors: trust.hardware, Collateral: coll, Policy: pol})
	if err != nil {
		return nil, err
	}
	evs, err := a.readEvidence(args, f.as)
	if err != nil {
		return nil, err
	}
	tee, err := teeOf(evs)
	if err != nil {
		return nil, err
	}
	builds, err := a.provenance(f.provenance, f.builds, at)
	if err != nil {
		return nil, err
	}
	var log []byte
	if f.eventLog != "" {
		if log, err = a.read(f.eventLog); err != nil {
			return nil, err
		}
	}
	subs := make([]assay.Submission, len(evs))
	for i, ev := range evs {
		ev.Endorsements = append(ev.Endorsements, certs...)
		if log != nil && i == 0 {
			ev.EventLog = log
		}
		subs[i] = assay.Submission{Evidence: ev, Binding: binding}
	}
	words, unsigned := ofAttesters(tee, inNamesOf(tee, expect)), f.unsigned
	if tee == oak.Name {
		given := append(coll.Given(), certs...)
		rest, said, err := a.oakReferences(ctx, v, at, unsigned, given, subs[0])
		if err != nil {
			return report.FromError(at, strings.Join(args, " "), err), err
		}
		words, unsigned = append(words, said...), rest
	}
	set, err := a.admit(at, trust.signers, f.statements, unsigned, builds, words...)
	if err != nil {
		return nil, err
	}
	o, err := v.Verify(ctx, at, set, subs...)
	if err != nil {
		return report.FromError(at, strings.Join(args, " "), err), err
	}
	rep := o.Report()
	if f.earKey != "" {
		if rep.EAR, err = a.issueEAR(o, f.earKey, f.nonce, f.ear); err != nil {
			return nil, err
		}
	}
	return rep, nil
}

func (a *app) writeReport(rep *report.Report, f verifyFlags) error {
	return a.output(f.out, 0o644, func(w io.Writer) error {
		if f.format == "json" {
			return writeJSON(w, rep)
		}
		if err := rep.Text(w, report.TextOptions{Style: tty.For(w, a.getenv), Explain: f.explain}); err != nil || rep.EAR == "" || f.earOut != "" {
			return err
		}
		_, err := fmt.Fprintf(w, "\nAttestation Result (EAR); --ear-output FILE writes it alone\n%s\n", rep.EAR)
		return err
	})
}

// clock is --at, or now.
func (a *app) clock(at string) (time.Time, error) {
	if at == "" {
		return a.now().UTC().Truncate(time.Second), nil
	}
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return time.Time{}, fault.New(fault.Usage, "--at %q is not an RFC 3339 time such as 2026-07-15T00:00:00Z", at)
	}
	return t.UTC(), nil
}

// reportDataNames are the names under which people speak of the field that carries the binding.
var reportDataNames = map[string]bool{"report_data": true, "report-data": true, "reportdata": true}

// bindingAndExpectations reads --nonce, --report-data and --expect. An expectation of the report data is a binding: it
// says what the evidence must be tied to, and is never a reference value.
func bindingAndExpectations(f verifyFlags) (evidence.Binding, []endorse.Expectation, error) {
	var expect []endorse.Expectation
	reportData := f.reportData
	for _, e := range f.expect {
		name, val, ok := strings.Cut(e, "=")
		if !ok || name == "" {
			return evidence.Binding{}, nil, fault.New(fault.Usage, "--expect %q is not NAME=HEX", e)
		}
		if reportDataNames[strings.ToLower(name)] {
			if reportData != "" && !strings.EqualFold(reportData, val) {
				return evidence.Binding{}, nil, fault.New(fault.Usage, "two different values of the report data are expected")
			}
			reportData = val
			continue
		}
		b, err := unhex("--expect "+name, val)
		if err != nil {
			return evidence.Binding{}, nil, err
		}
		expect = addExpectation(expect, strings.ReplaceAll(name, "-", "_"), b)
	}
	switch {
	case f.nonce != "" && reportData != "":
		return evidence.Binding{}, nil, fault.New(fault.Usage, "--nonce and --report-data both say what the report data must be; give one")
	case f.nonce != "":
		b, err := unhex("--nonce", f.nonce)
		if err != nil {
			return evidence.Binding{}, nil, err
		}
		bind, err := evidence.ExpectFit(b)
		return bind, expect, err
	case reportData != "":
		b, err := unhex("--report-data", reportData)
		if err != nil {
			return evidence.Binding{}, nil, err
		}
		bind, err := evidence.ExpectFit(b)
		return bind, expect, err
	}
	return evidence.UnboundUnsafe(), expect, nil
}

func addExpectation(list []endorse.Expectation, name string, v []byte) []endorse.Expectation {
	for i := range list {
		if list[i].Name == name {
			list[i].Values = append(list[i].Values, v)
			return list
		}
	}
	return append(list, endorse.Expectation{Name: name, Values: [][]byte{v}})
}

func unhex(what, s string) ([]byte, error) {
	s = strings.TrimPrefix(strings.TrimSpace(s), "0x")
	b, err := hex.DecodeString(s)
	if err != nil || len(b) == 0 {
		return nil, fault.New(fault.Usage, "%s: %q is not hex", what, s)
	}
	return b, nil
}

// trust is what --anchor said: hardware roots and signers of statements.
type trust struct {
	hardware *evidence.Anchors
	signers  []*endorse.Anchor
}

// loadAnchors sorts the anchors: a self-signed CA certificate of a TEE vendor is a hardware root, and naming any means
// "these and no others"; everything else speaks for statements.
//
// A TPM's attestation keys are anchors for TPM quotes only: they are the keys of single machines.
func (a *app) loadAnchors(files []string, insecure bool, aks ...string) (trust, error) {
	cfg := evidence.AnchorsConfig{AllowSimulatorUnsafe: insecure}
	var t trust
	for _, name := range aks {
		k, err := a.attestationKey(name)
		if err != nil {
			return t, err
		}
		cfg.Keys = append(cfg.Keys, k)
	}
	for _, name := range files {
		b, err := a.read(name)
		if err != nil {
			return t, err
		}
		if certs := hardwareRoots(b); certs != nil {
			cfg.Roots, cfg.OnlyThese = append(cfg.Roots, certs...), true
			continue
		}
		as, err := endorse.ParseAnchors(strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)), b)
		if err != nil {
			return t, fault.Wrap(err, "anchor %s", name)
		}
		t.signers = append(t.signers, as...)
	}
	var err error
	t.hardware, err = evidence.NewAnchors(cfg)
	return t, err
}

// attestationKey reads an enrolled key of a TPM: PEM, DER, or the TPM's own public area, which also says what the key may do.
func (a *app) attestationKey(name string) (evidence.AnchorKey, error) {
	b, err := a.read(name)
	if err != nil {
		return evidence.AnchorKey{}, err
	}
	k := evidence.AnchorKey{TEE: vtpm.Name, Name: filepath.Base(name)}
	if p, err := vtpm.ParsePublic(b); err == nil {
		k.Key, k.ID = p.Key, p.Name()
		return k, fault.Wrap(p.CheckAK(), "--ak %s", name)
	}
	if blk, _ := pem.Decode(b); blk != nil {
		b = blk.Bytes
	}
	if k.Key, err = x509.ParsePKIXPublicKey(b); err != nil {
		return k, fault.New(fault.Malformed, "--ak %s is neither a public key nor a TPM's public area: %w", name, err)
	}
	return k, nil
}

// hardwareRoots returns the certificates in b if one of them is a self-issued root of a TEE vendor: AMD's ARKs, Intel's
// SGX root. The others in the file are its intermediates.
func hardwareRoots(b []byte) []*x509.Certificate {
	var out []*x509.Certificate
	found := false
	add := func(der []byte) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		out = append(out, c)
		cn := c.Subject.CommonName
		self := string(c.RawIssuer) == string(c.RawSubject)
		found = found || self && (strings.HasPrefix(cn, "ARK-") || cn == "Intel SGX Root CA" || cn == "EK/AK CA Root" || strings.HasPrefix(cn, "tpm_ek_v1_cloud_host_root") || evidence.IsSimulated(c))
	}
	if blk, rest := pem.Decode(b); blk != nil {
		for ; blk != nil; blk, rest = pem.Decode(rest) {
			add(blk.Bytes)
		}
	} else {
		add(b)
	}
	if !found {
		return nil
	}
	return out
}

// readEvidence reads every FILE; a directory is a configfs-tsm report; a file whose name ends in auxblob belongs to the
// evidence before it.
func (a *app) readEvidence(args []string, as string) ([]evidence.Evidence, error) {
	if len(args) == 0 {
		args = []string{stdinArg}
	}
	tee, format, _ := strings.Cut(as, ":")
	var out []evidence.Evidence
	for _, name := range args {
		if st, err := os.Stat(name); name != stdinArg && err == nil && st.IsDir() {
			ev, err := a.readReportDir(name)
			if err != nil {
				return nil, err
			}
			ev.TEE, ev.Format = tee, format
			out = append(out, ev)
			continue
		}
		b, err := a.read(name)
		if err != nil {
			return nil, err
		}
		if name == stdinArg && len(b) == 0 {
			return nil, fault.New(fault.Malformed, "standard input is empty; name a file or report directory, or pipe evidence in")
		}
		if strings.HasSuffix(name, "auxblob") && len(out) > 0 && out[len(out)-1].Aux == nil {
			out[len(out)-1].Aux = b
			continue
		}
		out = append(out, evidence.Evidence{TEE: tee, Format: format, Data: b})
	}
	return out, nil
}

// readReportDir reads a configfs-tsm report entry: outblob and, where there is one, auxblob.
func (a *app) readReportDir(dir string) (evidence.Evidence, error) {
	b, err := a.read(filepath.Join(dir, "outblob"))
	if err != nil {
		return evidence.Evidence{}, fault.New(fault.Usage, "%s is a directory without a readable outblob, so it is no configfs-tsm report: %w", dir, err)
	}
	ev := evidence.Evidence{Data: b}
	aux := filepath.Join(dir, "auxblob")
	if _, err := os.Stat(aux); err == nil {
		if ev.Aux, err = a.read(aux); err != nil {
			return evidence.Evidence{}, err
		}
	}
	return ev, nil
}

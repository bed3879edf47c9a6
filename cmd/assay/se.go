package main

import (
	"context"
	"crypto/ecdh"
	"crypto/x509"
	"encoding/pem"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/secex"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/result/report"
)

func newSeCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "se",
		Short: "IBM Secure Execution: make requests, verify answers, wrap secrets for a guest",
		Long: `Works with the files of pvattest and pvsecret: requests and answers are exchange files, add-secret requests are what
"pvsecret add" takes. Host key documents are always verified, with their chain and revocation lists; there is no option
that leaves this out. Lists that are not given are fetched from the places that the certificates name, if these are hosts
of IBM or DigiCert; ASSAY_CRL_MIRROR names a mirror of your own, asked for MIRROR/SCHEME/HOST/PATH.`,
	}
	c.AddCommand(newSeCreateCmd(a), newSeVerifyCmd(a), newSeAddSecretCmd(a), newSeUserDataCmd(a))
	return c
}

// seTrust are the flags that say which machines count.
type seTrust struct {
	hkds, certs, crls, roots []string
	at                       string
	insecure, offline        bool
}

func (f *seTrust) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringArrayVarP(&f.hkds, "host-key-document", "k", nil, "host key document from `FILE` (repeatable)")
	fl.StringArrayVarP(&f.certs, "cert", "C", nil, "IBM Z signing certificate or intermediate from `FILE` (repeatable)")
	fl.StringArrayVar(&f.crls, "crl", nil, "revocation list from `FILE` (repeatable)")
	fl.BoolVar(&f.offline, "offline", false, "open no connection; otherwise lists that were not given are fetched from where the certificates say")
	fl.StringArrayVar(&f.roots, "root-ca", nil, "root certificate of the signing key's chain from `FILE` (repeatable)")
	fl.StringVar(&f.at, "at", "", "verify as of this `TIME` (RFC 3339) instead of now")
	fl.BoolVar(&f.insecure, "insecure-simulator", false, "accept roots of the simulator; results are marked")
}

// seFiles are the files that were named, which the driver sorts by itself, before the distribution points of lists.
type seFiles struct {
	evidence.Collateral
	given [][]byte
}

// Given implements evidence.Collateral.
func (f seFiles) Given() [][]byte { return f.given }

func (f *seTrust) load(a *app) (seFiles, *evidence.Anchors, error) {
	var out seFiles
	for _, list := range [][]string{f.hkds, f.certs, f.crls} {
		for _, name := range list {
			b, err := a.read(name)
			if err != nil {
				return out, nil, err
			}
			out.given = append(out.given, b)
		}
	}
	var err error
	if out.Collateral, err = a.origin(f.offline); err != nil {
		return out, nil, err
	}
	cfg := evidence.AnchorsConfig{AllowSimulatorUnsafe: f.insecure}
	for _, name := range f.roots {
		b, err := a.read(name)
		if err != nil {
			return out, nil, err
		}
		certs, err := parseCerts(b)
		if err != nil {
			return out, nil, fault.Wrap(err, "--root-ca %s", name)
		}
		cfg.Roots = append(cfg.Roots, certs...)
	}
	anchors, err := evidence.NewAnchors(cfg)
	return out, anchors, err
}

func parseCerts(b []byte) ([]*x509.Certificate, error) {
	var ders [][]byte
	for blk, rest := pem.Decode(b); blk != nil; blk, rest = pem.Decode(rest) {
		ders = append(ders, blk.Bytes)
	}
	if ders == nil {
		ders = [][]byte{b}
	}
	var out []*x509.Certificate
	for _, d := range ders {
		c, err := x509.ParseCertificate(d)
		if err != nil {
			return nil, fault.New(fault.Malformed, "not a certificate: %w", err)
		}
		out = append(out, c)
	}
	return out, nil
}

// hosts verifies the host key documents.
func (f *seTrust) hosts(ctx context.Context, a *app) ([]*ecdh.PublicKey, error) {
	at, err := a.clock(f.at)
	if err != nil {
		return nil, err
	}
	given, anchors, err := f.load(a)
	if err != nil {
		return nil, err
	}
	keys, err := secex.HostKeys(ctx, given, anchors, at)
	if err != nil {
		return nil, err
	}
	var out []*ecdh.PublicKey
	for _, k := range keys {
		out = append(out, k.Key)
	}
	return out, nil
}

var seAddData = map[string]secex.Flags{
	"phkh-img": secex.FlagImagePHKH, "phkh-att": secex.FlagAttestationPHKH,
	"secret-store-hash": secex.FlagSecretStoreHash, "firmware-state": secex.FlagFirmwareState,
}

func newSeCreateCmd(a *app) *cobra.Command {
	var trust seTrust
	var out, arpk string
	var add []string
	c := &cobra.Command{
		Use:   "create",
		Short: "Make an attestation request for the machines whose host key documents are given",
		Long: `Writes an exchange file that "pvattest perform" answers on the machine, and the request protection key (ARPK) that is
needed to verify the answer. Whoever has the ARPK can forge an answer: keep it, and delete it afterwards.`,
		Example: "  assay se create -k hkd.crt --cert ibm.crt --cert inter.crt --crl ibm.crl --crl inter.crl --crl root.crl --root-ca root.crt -o req.bin --arpk arpk.bin",
		Args:    cobra.NoArgs,
		RunE: runE(func(cmd *cobra.Command, _ []string) error {
			if out == "" || arpk == "" {
				return fault.New(fault.Usage, "say where request and protection key go: -o FILE --arpk FILE")
			}
			flags := secex.FlagImagePHKH | secex.FlagAttestationPHKH
			for _, n := range add {
				f, ok := seAddData[n]
				if !ok {
					return fault.New(fault.Usage, "--add-data %q: phkh-img, phkh-att, secret-store-hash or firmware-state", n)
				}
				flags |= f
			}
			hosts, err := trust.hosts(cmd.Context(), a)
			if err != nil {
				return err
			}
			req, err := secex.NewRequest(secex.RequestConfig{HostKeys: hosts, Flags: flags, KeepARPK: true})
			if err != nil {
				return err
			}
			ex := secex.Exchange{Request: req.Bytes, ExpectedMeasurement: 64, ExpectedAdditional: uint32(req.Flags.AdditionalSize())}
			b, err := ex.Marshal()
			if err != nil {
				return err
			}
			if err := a.output(arpk, 0o600, func(w io.Writer) error { _, err := w.Write(req.ARPK); return err }); err != nil {
				return err
			}
			return a.output(out, 0o644, func(w io.Writer) error { _, err := w.Write(b); return err })
		}),
	}
	trust.add(c)
	c.Flags().StringVarP(&out, "output", "o", "", "`FILE` for the request")
	c.Flags().StringVar(&arpk, "arpk", "", "`FILE` for the request protection key (0600)")
	c.Flags().StringSliceVar(&add, "add-data", nil, "further data to ask for: secret-store-hash, firmware-state (the host key hashes are always asked for)")
	return c
}

func newSeVerifyCmd(a *app) *cobra.Command {
	var trust seTrust
	var input, hdr, arpk, userData, format, out string
	var explain bool
	c := &cobra.Command{
		Use:   "verify",
		Short: "Verify the answer to a request",
		Long: `Recomputes the measurement over the header of the image that you name, with the key in the request, and checks both host
keys against the documents. The image is your reference value: an answer of another image is refused.`,
		Example: "  assay se verify --input resp.bin --hdr image --arpk arpk.bin --user-data nonce -k hkd.crt --cert ibm.crt … --root-ca root.crt",
		Args:    cobra.NoArgs,
		RunE: runE(func(cmd *cobra.Command, _ []string) error {
			if input == "" || hdr == "" || arpk == "" {
				return fault.New(fault.Usage, "name answer, image and protection key: --input FILE --hdr FILE --arpk FILE")
			}
			at, err := a.clock(trust.at)
			if err != nil {
				return err
			}
			rep, err := a.seVerify(cmd.Context(), trust, input, hdr, arpk, userData, at)
			if err != nil && fault.Is(err, fault.Usage) {
				return err
			}
			if err != nil {
				rep = report.FromError(at, input, err)
			}
			if werr := a.writeReport(rep, verifyFlags{format: format, out: out, explain: explain}); werr != nil {
				return werr
			}
			switch {
			case err != nil:
				return shownError{err}
			case rep.Verdict != "affirming":
				return verdictError{exitNotAffirming}
			}
			return nil
		}),
	}
	trust.add(c)
	fl := c.Flags()
	fl.StringVar(&input, "input", "", "the answer, an exchange `FILE`")
	fl.StringVar(&hdr, "hdr", "", "`FILE` with the SE image, or the header cut out of it")
	fl.StringVar(&arpk, "arpk", "", "`FILE` with the request protection key")
	fl.StringVar(&userData, "user-data", "", "`FILE` with the user data that the answer must carry; without it the answer is not bound to anything")
	fl.BoolVar(&explain, "explain", false, "show every claim and what vouches for it")
	fl.StringVar(&format, "format", "text", "`text` or json")
	fl.StringVarP(&out, "output", "o", "", "write to `FILE`")
	return c
}

func (a *app) seVerify(ctx context.Context, trust seTrust, input, hdr, arpkFile, userData string, at time.Time) (*report.Report, error) {
	given, anchors, err := trust.load(a)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, n := range []string{input, hdr, arpkFile} {
		if files[n], err = a.read(n); err != nil {
			return nil, err
		}
	}
	h, _, err := secex.FindHeader(files[hdr])
	if err != nil {
		return nil, err
	}
	given.given = append(given.given, h.Raw)
	ex, err := secex.ParseExchange(files[input])
	if err != nil {
		return nil, err
	}
	state, err := secex.StateFromARPK(ex.Request, files[arpkFile], &h.Tags, at.Add(time.Minute))
	if err != nil {
		return nil, err
	}
	bind := evidence.UnboundUnsafe()
	if userData != "" {
		b, err := a.read(userData)
		if err != nil {
			return nil, err
		}
		if bind, err = evidence.ExpectExact(b); err != nil {
			return nil, err
		}
	}
	pol, err := a.loadPolicy(nil, "", trust.insecure)
	if err != nil {
		return nil, err
	}
	v, err := assay.New(assay.Config{Anchors: anchors, Policy: pol, Collateral: given})
	if err != nil {
		return nil, err
	}
	set, err := a.admit(at, nil, nil, nil, nil, spoken{localOperator, []endorse.Expectation{{Name: "image_hdr_tags", Values: [][]byte{h.Tags[:]}}}})
	if err != nil {
		return nil, err
	}
	o, err := v.Verify(ctx, at, set, assay.Submission{Evidence: evidence.Evidence{TEE: secex.Name, Data: files[input]}, Binding: bind, ChallengeState: state})
	if err != nil {
		return nil, err
	}
	return o.Report(), nil
}

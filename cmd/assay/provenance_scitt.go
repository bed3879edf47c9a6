package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/snp"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/provenance/scitt"
)

// scittFlags are whom to believe about SCITT statements.
type scittFlags struct {
	issuers       []string
	services      []string
	receipts      []string
	subject       string
	minReceipts   int
	minSVN        uint64
	statementTime bool
	attested      bool
}

func (f *scittFlags) add(fl *pflag.FlagSet) {
	fl.StringArrayVar(&f.issuers, "issuer", nil, "SCITT: a did:x509 `ISSUER` that is believed, or ISSUER=FILE with its public key (repeatable)")
	fl.StringArrayVar(&f.services, "service", nil, "SCITT: a transparency service as `ISSUER=FILE` with its keys; ISSUER may be empty (repeatable)")
	fl.StringArrayVar(&f.receipts, "receipt", nil, "SCITT: a receipt from `FILE` that is not inside the statement (repeatable)")
	fl.IntVar(&f.minReceipts, "min-receipts", -1, "SCITT: `NUMBER` of services whose receipts are demanded (default: all that are named)")
	fl.StringVar(&f.subject, "subject", "", "SCITT: `SUBJECT` (feed) that the statement must have")
	fl.Uint64Var(&f.minSVN, "min-svn", 0, "SCITT: least `SVN` of the statement")
	fl.BoolVar(&f.statementTime, "statement-time", false, "SCITT: judge the chain at the time that the statement itself states")
	fl.BoolVar(&f.attested, "attested", false, "SCITT: accept a key that an SNP report vouches for, of a utility VM that an --issuer endorses")
}

// isCOSE reports whether b begins like a tagged COSE_Sign1.
func isCOSE(b []byte) bool { return len(b) > 1 && b[0] == 0xd2 && b[1] == 0x84 }

// scittReport is the JSON form of the answer.
type scittReport struct {
	Kind        string         `json:"kind"`
	Issuer      string         `json:"issuer"`
	Subject     string         `json:"subject,omitempty"`
	SVN         string         `json:"svn,omitempty"`
	ContentType string         `json:"content_type,omitempty"`
	HashAlg     int64          `json:"payload_hash_alg,omitempty"`
	Payload     string         `json:"payload"` // hex
	Time        time.Time      `json:"time,omitzero"`
	Receipts    []scittReceipt `json:"receipts"`
	Measurement string         `json:"attested_measurement,omitempty"`
	HostData    string         `json:"attested_host_data,omitempty"`
}

type scittReceipt struct {
	Issuer   string    `json:"issuer,omitempty"`
	VDS      int64     `json:"vds"`
	TxID     string    `json:"txid,omitempty"`
	Index    uint64    `json:"index,omitempty"`
	Root     string    `json:"root"`
	IssuedAt time.Time `json:"issued_at,omitzero"`
}

func (a *app) scittVerify(file []byte, f scittFlags, e expectFlags, artefact, format string) error {
	cfg, err := a.scittConfig(f, e)
	if err != nil {
		return err
	}
	if artefact != "" {
		if cfg.Preimage, err = a.read(artefact); err != nil {
			return err
		}
		if cfg.Preimage == nil {
			cfg.Preimage = []byte{}
		}
	}
	var beside [][]byte
	for _, name := range f.receipts {
		b, err := a.read(name)
		if err != nil {
			return err
		}
		beside = append(beside, b)
	}
	res, err := scitt.Verify(file, beside, cfg)
	if err != nil {
		return err
	}
	s := res.Statement
	r := scittReport{Kind: "statement", Issuer: s.Issuer, Subject: s.Subject, SVN: s.SVN, ContentType: s.ContentType, HashAlg: s.HashAlg,
		Payload: hex.EncodeToString(s.Payload), Time: res.Time, Receipts: []scittReceipt{}}
	for _, x := range res.Receipts {
		r.Receipts = append(r.Receipts, scittReceipt{x.Issuer, x.VDS, x.TxID, x.Index, hex.EncodeToString(x.Root[:]), x.IssuedAt})
	}
	if c := res.Attested; c != nil {
		r.Measurement, r.HostData = hex.EncodeToString(c.Measurement), hex.EncodeToString(c.HostData)
	}
	if format == "json" {
		return writeJSON(a.stdout, r)
	}
	return a.scittText(r)
}

func (a *app) scittText(r scittReport) error {
	fmt.Fprintln(a.stdout, "VERIFIED  statement (scitt)")
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(a.stdout, "  %-10s %s\n", name, value)
		}
	}
	line("issuer", r.Issuer)
	line("subject", r.Subject)
	line("svn", r.SVN)
	line("content", r.ContentType)
	if r.HashAlg != 0 {
		line("hash", r.Payload)
	}
	if !r.Time.IsZero() {
		line("at", r.Time.Format(time.RFC3339))
	}
	for _, x := range r.Receipts {
		line("receipt", strings.TrimSpace(fmt.Sprintf("%s %s root %s", x.Issuer, x.TxID, x.Root)))
	}
	if r.Measurement != "" {
		line("attested", "measurement "+r.Measurement)
		line("", "host data "+r.HostData)
	}
	return nil
}

func (a *app) scittConfig(f scittFlags, e expectFlags) (c scitt.Config, err error) {
	if len(f.issuers) == 0 {
		return c, fault.New(fault.Usage, "say whom to believe: --issuer DID or --issuer ISSUER=KEY")
	}
	if e.At != "" {
		if c.At, err = a.clock(e.At); err != nil {
			return c, err
		}
	}
	for _, s := range f.issuers {
		name, file, keyed := strings.Cut(s, "=")
		if !keyed {
			c.DIDs = append(c.DIDs, s)
			continue
		}
		ks, err := a.serviceKeys(file)
		if err != nil {
			return c, err
		}
		if len(ks) != 1 {
			return c, fault.New(fault.Usage, "%s holds %d keys; an issuer has one", file, len(ks))
		}
		c.Keys = append(c.Keys, scitt.Key{Issuer: name, Public: ks[0]})
	}
	for _, s := range f.services {
		name, file, ok := strings.Cut(s, "=")
		if !ok {
			return c, fault.New(fault.Usage, "--service %q is not ISSUER=FILE", s)
		}
		ks, err := a.serviceKeys(file)
		if err != nil {
			return c, err
		}
		c.Services = append(c.Services, scitt.Service{Issuer: name, Keys: ks, TrustTime: true})
	}
	c.Subject, c.MinSVN, c.AllowStatementTime, c.MinReceipts = f.subject, f.minSVN, f.statementTime, f.minReceipts
	if f.minReceipts < 0 {
		c.MinReceipts = len(c.Services)
	}
	if f.attested {
		at, err := a.clock(e.At)
		if err != nil {
			return c, err
		}
		c.Attested = &scitt.AttestedConfig{Report: snpReport(a.ctx, at), UVM: scitt.Config{DIDs: c.DIDs, AllowStatementTime: true}}
	}
	return c, nil
}

// serviceKeys reads PEM keys and certificates, or a CCF ledger's list of service certificates.
func (a *app) serviceKeys(name string) (out []crypto.PublicKey, err error) {
	b, err := a.read(name)
	if err != nil {
		return nil, err
	}
	add := func(der []byte, certificate bool) error {
		if !certificate {
			k, err := x509.ParsePKIXPublicKey(der)
			out = append(out, k)
			return err
		}
		c, err := x509.ParseCertificate(der)
		if err == nil {
			out = append(out, c.PublicKey)
		}
		return err
	}
	var list struct {
		Parameters []struct {
			Certificate []byte `json:"serviceCertificate"`
		} `json:"parameters"`
	}
	if json.Unmarshal(b, &list) == nil {
		for _, p := range list.Parameters {
			if err := add(p.Certificate, true); err != nil {
				return nil, fault.New(fault.Malformed, "%s: %w", name, err)
			}
		}
	}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "PUBLIC KEY" && block.Type != "CERTIFICATE" {
			return nil, fault.New(fault.Malformed, "%s: PEM block %q; public keys and certificates are read", name, block.Type)
		}
		if err := add(block.Bytes, block.Type == "CERTIFICATE"); err != nil {
			return nil, fault.New(fault.Malformed, "%s: %w", name, err)
		}
	}
	if len(out) == 0 {
		return nil, fault.New(fault.Malformed, "%s: no key in it", name)
	}
	return out, nil
}

// snpReport verifies reports with the SNP driver. The report's own data stands for the binding, because what it has to be
// is compared by the caller, with the key of the statement.
func snpReport(ctx context.Context, at time.Time) func(report, certs []byte) (*scitt.ReportClaims, error) {
	return func(report, certs []byte) (*scitt.ReportClaims, error) {
		parsed, err := snp.Parse(report)
		if err != nil {
			return nil, err
		}
		d, err := snp.New(snp.Config{})
		if err != nil {
			return nil, err
		}
		bind, err := evidence.ExpectExact(parsed.ReportData[:])
		if err != nil {
			return nil, err
		}
		v, err := d.Authenticate(ctx, evidence.Evidence{TEE: "snp", Data: report, Endorsements: [][]byte{certs}},
			evidence.Env{Time: at, Binding: bind, Anchors: evidence.BuiltinAnchors()})
		if err != nil {
			return nil, err
		}
		return &scitt.ReportClaims{Measurement: parsed.Measurement[:], ReportData: parsed.ReportData[:], HostData: parsed.HostData[:],
			VMPL: parsed.VMPL, Debug: parsed.Policy.Has(snp.PolicyDebug), Product: v.Product()}, nil
	}
}

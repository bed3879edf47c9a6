package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/tty"
	"github.com/assay-tee/assay/result/foreign"
)

// foreignVerify is `assay token verify --kind`. Exit 0 says that the token is genuine: what it says is its service's word.
func (a *app) foreignVerify(f tokenFlags, at time.Time, args []string) error {
	cfg := foreign.Config{Kind: foreign.Kind(f.kind), Time: at, Issuer: f.issuer, Audience: f.audience, Nonce: f.nonce}
	for _, name := range f.keys {
		b, err := a.read(name)
		if err != nil {
			return err
		}
		ks, err := foreign.ParseKeys(b)
		if err != nil {
			return fault.Wrap(err, "--key %s", name)
		}
		cfg.Keys = append(cfg.Keys, ks...)
	}
	for _, name := range f.roots {
		b, err := a.read(name)
		if err != nil {
			return err
		}
		if p, _ := pem.Decode(b); p != nil {
			b = p.Bytes
		}
		c, err := x509.ParseCertificate(b)
		if err != nil {
			return fault.New(fault.Malformed, "--root %s: %w", name, err)
		}
		cfg.Roots = append(cfg.Roots, c)
	}
	token, err := a.readToken(args)
	if err != nil {
		return err
	}
	t, err := foreign.Verify(token, cfg)
	if err != nil {
		return err
	}
	v := foreignView{Schema: "assay.foreign-token/v1", Kind: f.kind, Issuer: t.Issuer, Issued: t.IssuedAt.UTC(), Expires: t.Expires.UTC(), Key: t.KeyID, Bound: t.Bound,
		TEE: t.TEE, Measurement: t.Measurement, Debug: t.Debug, SecureBoot: t.SecureBoot, Compliant: t.Compliant, Claims: t.Claims}
	switch f.format {
	case "json":
		return writeJSON(a.stdout, v)
	case "text":
		return v.text(a.stdout, tty.For(a.stdout, a.getenv))
	}
	return fault.New(fault.Usage, "--format %q: text or json", f.format)
}

// foreignView is `assay token verify --kind … --format json`.
type foreignView struct {
	Schema      string       `json:"schema"`
	Kind        string       `json:"kind"`
	Issuer      string       `json:"issuer"`
	Issued      time.Time    `json:"issued_at,omitzero"`
	Expires     time.Time    `json:"expires_at"`
	Key         string       `json:"key"`
	Bound       bool         `json:"bound"`
	TEE         string       `json:"tee"`
	Measurement string       `json:"measurement,omitempty"`
	Debug       *bool        `json:"debug"`
	SecureBoot  *bool        `json:"secure_boot"`
	Compliant   *bool        `json:"compliant"`
	Claims      claim.Object `json:"claims"`
}

func (v foreignView) text(w io.Writer, s tty.Style) error {
	fmt.Fprintf(w, "%s  a token of %s, signed by key %s\n", s.Bold("GENUINE"), v.Kind, v.Key)
	fmt.Fprintf(w, "  issuer       %s\n  holds until  %s\n  tee          %s\n", v.Issuer, v.Expires.Format(time.RFC3339), v.TEE)
	if v.Measurement != "" {
		fmt.Fprintf(w, "  measurement  %s\n", v.Measurement)
	}
	for _, x := range []struct {
		name string
		v    *bool
	}{{"debug", v.Debug}, {"secure boot", v.SecureBoot}, {"compliant", v.Compliant}} {
		word := "not said"
		if x.v != nil {
			word = fmt.Sprint(*x.v)
		}
		fmt.Fprintf(w, "  %-12s %s\n", x.name, word)
	}
	if !v.Bound {
		fmt.Fprintln(w, s.Yellow("! no nonce was asked for: the token may be old or another's"))
	}
	_, err := fmt.Fprintln(w, s.Dim("  This is the service's word about evidence that you have not seen."))
	return err
}

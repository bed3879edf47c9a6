package dcap

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"time"

	"github.com/assay-tee/assay/internal/fault"
)

// Common names that give certificates their roles (section 8).
const (
	NamePCK         = "Intel SGX PCK Certificate"
	NamePlatformCA  = "Intel SGX PCK Platform CA"
	NameProcessorCA = "Intel SGX PCK Processor CA"
	NameRoot        = "Intel SGX Root CA"
	NameTCBSigning  = "Intel SGX TCB Signing"
)

// CA is the issuer of a PCK certificate.
type CA uint8

// The issuers.
const (
	PlatformCA CA = iota
	ProcessorCA
)

// String returns the name that PCS knows the CA by.
func (c CA) String() string {
	if c == ProcessorCA {
		return "processor"
	}
	return "platform"
}

// Window is a closed interval of time.
type Window struct{ From, Until time.Time }

// Contains reports whether t lies in w, both ends included.
func (w Window) Contains(t time.Time) bool { return !t.Before(w.From) && !t.After(w.Until) }

// Intersect returns the part that w and v share.
func (w Window) Intersect(v Window) Window {
	if v.From.After(w.From) {
		w.From = v.From
	}
	if v.Until.Before(w.Until) {
		w.Until = v.Until
	}
	return w
}

// Check is class stale when t lies outside w.
func (w Window) Check(what string, t time.Time) error {
	switch {
	case t.Before(w.From):
		return fault.New(fault.Stale, "%s is valid from %s on; the appraisal is for %s", what, stamp(w.From), stamp(t))
	case t.After(w.Until):
		return fault.New(fault.Stale, "%s was valid until %s; the appraisal is for %s", what, stamp(w.Until), stamp(t))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// PCKChain is a PCK certificate with its issuers up to an anchor. Signatures and roles are verified, times are not:
// call [PCKChain.CheckTime] for each use.
type PCKChain struct {
	Leaf, Issuer, Root *x509.Certificate
	CA                 CA
	PCK                PCK
	Key                *ecdsa.PublicKey
	Window             Window
}

// CheckTime is class stale when one of the three certificates is not valid at t.
func (c *PCKChain) CheckTime(t time.Time) error {
	if c.Window.Contains(t) {
		return nil
	}
	for _, cert := range []*x509.Certificate{c.Leaf, c.Issuer, c.Root} {
		if err := windowOf(cert).Check("certificate "+cert.Subject.CommonName, t); err != nil {
			return err
		}
	}
	return nil
}

func windowOf(c *x509.Certificate) Window { return Window{c.NotBefore, c.NotAfter} }

// BuildPCKChain puts the certificates of a quote, in any order, into their roles and verifies them up to one of roots.
// A root among certs must be one of roots, byte for byte. Its errors are of class malformed or signature.
func BuildPCKChain(certs, roots []*x509.Certificate) (*PCKChain, error) {
	var c PCKChain
	for _, cert := range certs {
		var slot **x509.Certificate
		switch cert.Subject.CommonName {
		case NamePCK:
			slot = &c.Leaf
		case NamePlatformCA:
			slot, c.CA = &c.Issuer, PlatformCA
		case NameProcessorCA:
			slot, c.CA = &c.Issuer, ProcessorCA
		case NameRoot:
			slot = &c.Root
		default:
			return nil, fault.New(fault.Signature, "PCK chain: %q has no role in it", cert.Subject.CommonName)
		}
		if *slot != nil {
			return nil, fault.New(fault.Signature, "PCK chain: two certificates in the role of %q", cert.Subject.CommonName)
		}
		*slot = cert
	}
	switch {
	case c.Leaf == nil:
		return nil, fault.New(fault.Signature, "PCK chain: no certificate is named %q", NamePCK)
	case c.Issuer == nil:
		return nil, fault.New(fault.Signature, "PCK chain: no certificate of a PCK CA")
	}
	var err error
	if c.Root, err = anchor(c.Root, c.Issuer, roots); err != nil {
		return nil, fault.Wrap(err, "PCK chain")
	}
	if err := issued(c.Root, c.Issuer, true); err != nil {
		return nil, err
	}
	if err := issued(c.Issuer, c.Leaf, false); err != nil {
		return nil, err
	}
	if err := requirePCKExtensions(c.Leaf); err != nil {
		return nil, err
	}
	if c.PCK, err = ParsePCK(c.Leaf); err != nil {
		return nil, err
	}
	c.Key = c.Leaf.PublicKey.(*ecdsa.PublicKey) // issued has seen to it
	c.Window = windowOf(c.Leaf).Intersect(windowOf(c.Issuer)).Intersect(windowOf(c.Root))
	return &c, nil
}

// anchor returns the trusted root that presented is, or, when none was presented, the one that issued child. Several
// anchors may share a name (pinned and configured), so the name alone does not choose.
func anchor(presented, child *x509.Certificate, roots []*x509.Certificate) (*x509.Certificate, error) {
	if presented != nil {
		for _, r := range roots {
			if bytes.Equal(presented.Raw, r.Raw) {
				return r, nil
			}
		}
		return nil, fault.New(fault.Signature, "the root %q that came with it is none of the trusted roots", presented.Subject)
	}
	var named *x509.Certificate
	for _, r := range roots {
		if bytes.Equal(child.RawIssuer, r.RawSubject) {
			if named = r; child.CheckSignatureFrom(r) == nil {
				return r, nil
			}
		}
	}
	if named == nil {
		return nil, fault.New(fault.Signature, "%q, the issuer of %q, is none of the trusted roots", child.Issuer, child.Subject)
	}
	return named, nil
}

// issued checks that parent issued child with ECDSA P-256, and that child is a CA certificate exactly when it should be.
func issued(parent, child *x509.Certificate, childIsCA bool) error {
	name := child.Subject.CommonName
	if child.SignatureAlgorithm != x509.ECDSAWithSHA256 || !isP256(parent) || !isP256(child) {
		return fault.New(fault.Signature, "certificate %q: keys must be P-256, the signature ECDSA with SHA-256", name)
	}
	if child.BasicConstraintsValid && child.IsCA != childIsCA || !child.BasicConstraintsValid && childIsCA {
		return fault.New(fault.Signature, "certificate %q: CA is %t, its role wants %t", name, child.IsCA, childIsCA)
	}
	if !bytes.Equal(child.RawIssuer, parent.RawSubject) {
		return fault.New(fault.Signature, "certificate %q was issued by %q, not by %q", name, child.Issuer, parent.Subject)
	}
	if err := child.CheckSignatureFrom(parent); err != nil {
		return fault.New(fault.Signature, "certificate %q is not signed by %q: %w", name, parent.Subject.CommonName, err)
	}
	return nil
}

func isP256(c *x509.Certificate) bool {
	k, ok := c.PublicKey.(*ecdsa.PublicKey)
	return ok && k.Curve == elliptic.P256()
}

// requirePCKExtensions checks that the extensions which Intel's profile demands are there.
func requirePCKExtensions(c *x509.Certificate) error {
	for _, want := range []struct {
		id   asn1.ObjectIdentifier
		name string
	}{
		{asn1.ObjectIdentifier{2, 5, 29, 35}, "authority key identifier"},
		{asn1.ObjectIdentifier{2, 5, 29, 14}, "subject key identifier"},
		{asn1.ObjectIdentifier{2, 5, 29, 31}, "CRL distribution points"},
		{asn1.ObjectIdentifier{2, 5, 29, 15}, "key usage"},
		{asn1.ObjectIdentifier{2, 5, 29, 19}, "basic constraints"},
	} {
		found := false
		for _, e := range c.Extensions {
			found = found || e.Id.Equal(want.id)
		}
		if !found {
			return badPCK("the extension %s is missing", want.name)
		}
	}
	return nil
}

// Signer is a TCB signing certificate, verified up to an anchor; times are not checked.
type Signer struct {
	Cert, Root *x509.Certificate
	Key        *ecdsa.PublicKey
	Window     Window
}

// BuildSigner verifies a TCB signing certificate against roots (section 8). Its errors are of class signature.
func BuildSigner(cert *x509.Certificate, roots []*x509.Certificate) (*Signer, error) {
	if cert.Subject.CommonName != NameTCBSigning {
		return nil, fault.New(fault.Signature, "%q may not sign TCB information; only %q may", cert.Subject.CommonName, NameTCBSigning)
	}
	root, err := anchor(nil, cert, roots)
	if err != nil {
		return nil, fault.Wrap(err, "TCB signing chain")
	}
	if err := issued(root, cert, false); err != nil {
		return nil, err
	}
	return &Signer{Cert: cert, Root: root, Key: cert.PublicKey.(*ecdsa.PublicKey), Window: windowOf(cert).Intersect(windowOf(root))}, nil
}

// VerifyCA checks that ca is a PCK CA that one of roots issued; times are not checked. Its errors are of class signature.
func VerifyCA(ca *x509.Certificate, roots []*x509.Certificate) error {
	if cn := ca.Subject.CommonName; cn != NamePlatformCA && cn != NameProcessorCA {
		return fault.New(fault.Signature, "%q is no PCK CA", cn)
	}
	root, err := anchor(nil, ca, roots)
	if err != nil {
		return err
	}
	return issued(root, ca, true)
}

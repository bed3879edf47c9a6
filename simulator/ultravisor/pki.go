// Package ultravisor simulates the firmware side of IBM Secure Execution: a machine with a host key, an IBM-like
// authority that signs host key documents, images with SE headers, and the Ultravisor that answers attestation and
// add-secret requests. It is written from the format's description and shares no code with evidence/secex, so that each
// checks the other. Everything it makes is random per run and marked as not being hardware.
package ultravisor

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"

	"github.com/assay-tee/assay/evidence"
)

// PKI is a root, an intermediate and an IBM Z signing key look-alike. The root carries the simulator's mark.
type PKI struct {
	Root, Intermediate, Signing *x509.Certificate
	rootKey, interKey, signKey  crypto.Signer
	now                         time.Time
	serial                      int64
}

// Points are the distribution points that the certificates name, in the order of [PKI.Lists].
var Points = [3]string{"http://crl3.digicert.com/simulated-root.crl", "http://crl3.digicert.com/simulated-intermediate.crl", "https://www.ibm.com/simulated-signing-key.crl"}

// NewPKI makes a PKI that is valid for ten years around now.
func NewPKI(now time.Time) (*PKI, error) {
	p := &PKI{now: now, serial: 100}
	var err error
	for _, k := range []*crypto.Signer{&p.rootKey, &p.interKey, &p.signKey} {
		if *k, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return nil, err
		}
	}
	ca := func(cn string) *x509.Certificate {
		return &x509.Certificate{
			Subject: pkix.Name{CommonName: cn, Organization: []string{evidence.SimulatorOrganization}}, IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
	}
	if p.Root, err = p.issue(ca("Simulated root"), nil, p.rootKey.Public(), p.rootKey); err != nil {
		return nil, err
	}
	if p.Intermediate, err = p.issue(ca("Simulated intermediate"), p.Root, p.interKey.Public(), p.rootKey); err != nil {
		return nil, err
	}
	p.Signing, err = p.issue(&x509.Certificate{Subject: ibmName("Simulated Key Signing Service"), KeyUsage: x509.KeyUsageDigitalSignature, SubjectKeyId: []byte("simulated signing key")}, p.Intermediate, p.signKey.Public(), p.interKey)
	return p, err
}

const ibmText = "International Business Machines Corporation"

// ibmName is the subject of an IBM Z signing key: six entries, in this order.
func ibmName(ou string) pkix.Name {
	oid := func(n int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 4, n} }
	return pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
		{Type: oid(6), Value: "US"}, {Type: oid(8), Value: "New York"}, {Type: oid(7), Value: "Poughkeepsie"},
		{Type: oid(10), Value: ibmText}, {Type: oid(11), Value: ou}, {Type: oid(3), Value: ibmText},
	}}
}

func (p *PKI) issue(tmpl, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	p.serial++
	tmpl.SerialNumber = big.NewInt(p.serial)
	if tmpl.NotBefore.IsZero() {
		tmpl.NotBefore, tmpl.NotAfter = p.now.AddDate(-1, 0, 0), p.now.AddDate(9, 0, 0)
	}
	tmpl.SignatureAlgorithm = x509.SHA512WithRSA
	switch {
	case parent == nil:
		parent = tmpl
	case parent == p.Root:
		tmpl.CRLDistributionPoints = Points[:1]
	case parent == p.Intermediate:
		tmpl.CRLDistributionPoints = Points[1:2]
	case parent == p.Signing && tmpl.CRLDistributionPoints == nil:
		tmpl.CRLDistributionPoints = Points[2:]
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// Document makes a host key document. A zero validity means the PKI's own, no points those of [Points].
func (p *PKI) Document(host *ecdh.PublicKey, notBefore, notAfter time.Time, points ...string) (*x509.Certificate, error) {
	raw := host.Bytes()
	pub := &ecdsa.PublicKey{Curve: elliptic.P521(), X: new(big.Int).SetBytes(raw[1:67]), Y: new(big.Int).SetBytes(raw[67:])}
	return p.issue(&x509.Certificate{Subject: ibmName("IBM Z Host Key"), NotBefore: notBefore, NotAfter: notAfter, CRLDistributionPoints: points}, p.Signing, pub, p.signKey)
}

// Lists makes the three revocation lists (root, intermediate, signing key), each naming the given certificates that
// its issuer has issued.
func (p *PKI) Lists(revoked ...*x509.Certificate) ([]*x509.RevocationList, error) {
	var out []*x509.RevocationList
	for _, i := range []struct {
		cert *x509.Certificate
		key  crypto.Signer
	}{{p.Root, p.rootKey}, {p.Intermediate, p.interKey}, {p.Signing, p.signKey}} {
		tmpl := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: p.now.Add(-time.Hour), NextUpdate: p.now.AddDate(0, 1, 0), SignatureAlgorithm: x509.SHA512WithRSA}
		for _, c := range revoked {
			tmpl.RevokedCertificateEntries = append(tmpl.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: p.now.Add(-2 * time.Hour)})
		}
		// Go's CreateRevocationList wants a CA that may sign lists; the IBM Z signing key is neither.
		issuer := *i.cert
		issuer.KeyUsage |= x509.KeyUsageCRLSign
		der, err := x509.CreateRevocationList(rand.Reader, tmpl, &issuer, i.key)
		if err != nil {
			return nil, err
		}
		l, err := x509.ParseRevocationList(der)
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

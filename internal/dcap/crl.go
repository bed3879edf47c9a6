package dcap

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"math/big"

	"github.com/assay-tee/assay/internal/fault"
)

// MaxCRLSize bounds a certificate revocation list in bytes; Intel's have less than 4 KB.
const MaxCRLSize = 4 << 20

// CRL is a certificate revocation list (section 9). Until [CRL.VerifiedBy] has said so it is not authentic.
type CRL struct {
	Raw    []byte // DER
	Number *big.Int
	Window Window // thisUpdate to nextUpdate

	list    *x509.RevocationList
	revoked map[string]struct{} // serial numbers, big-endian
}

// ParseCRL reads a list in DER, PEM, or as hex text, which is how PCCS sends it (section 23). Its errors are of class
// malformed.
func ParseCRL(b []byte) (*CRL, error) {
	der, err := crlDER(b)
	if err != nil {
		return nil, err
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fault.New(fault.Malformed, "CRL: %w", err)
	}
	switch {
	case list.NextUpdate.IsZero():
		return nil, fault.New(fault.Malformed, "CRL of %q has no nextUpdate", list.Issuer)
	case list.Number == nil:
		return nil, fault.New(fault.Malformed, "CRL of %q has no CRL number", list.Issuer)
	case len(list.AuthorityKeyId) == 0:
		return nil, fault.New(fault.Malformed, "CRL of %q has no authority key identifier", list.Issuer)
	}
	c := &CRL{Raw: der, Number: list.Number, Window: Window{list.ThisUpdate, list.NextUpdate}, list: list,
		revoked: make(map[string]struct{}, len(list.RevokedCertificateEntries))}
	for _, e := range list.RevokedCertificateEntries {
		c.revoked[string(e.SerialNumber.Bytes())] = struct{}{}
	}
	return c, nil
}

func crlDER(b []byte) ([]byte, error) {
	if len(b) > MaxCRLSize {
		return nil, fault.New(fault.Malformed, "CRL of %d bytes; at most %d are taken", len(b), MaxCRLSize)
	}
	t := bytes.TrimRight(bytes.TrimSpace(b), "\x00")
	switch {
	case bytes.HasPrefix(t, []byte("-----BEGIN")):
		ders, err := pemBlocks(t, LabelCRL, 1)
		if err != nil {
			return nil, err
		}
		return ders[0], nil
	case len(t) > 2 && t[0] == '3' && t[1] == '0':
		der := make([]byte, hex.DecodedLen(len(t)))
		if _, err := hex.Decode(der, t); err != nil {
			return nil, fault.New(fault.Malformed, "CRL as hex text: %w", err)
		}
		return der, nil
	}
	return b, nil
}

// IssuedBy reports whether c names ca as its issuer.
func (c *CRL) IssuedBy(ca *x509.Certificate) bool {
	return bytes.Equal(c.list.RawIssuer, ca.RawSubject)
}

// Issuer returns the issuer's distinguished name, DER.
func (c *CRL) Issuer() []byte { return c.list.RawIssuer }

// IssuerName returns the issuer's common name.
func (c *CRL) IssuerName() string { return c.list.Issuer.CommonName }

// VerifiedBy checks that ca issued and signed c. Its errors are of class signature.
func (c *CRL) VerifiedBy(ca *x509.Certificate) error {
	if !c.IssuedBy(ca) {
		return fault.New(fault.Signature, "CRL of %q says nothing about certificates of %q", c.list.Issuer, ca.Subject)
	}
	if len(ca.SubjectKeyId) > 0 && !bytes.Equal(c.list.AuthorityKeyId, ca.SubjectKeyId) {
		return fault.New(fault.Signature, "CRL of %q is of another key of that name", c.list.Issuer)
	}
	if err := c.list.CheckSignatureFrom(ca); err != nil {
		return fault.New(fault.Signature, "CRL of %q is not signed by it: %w", c.list.Issuer, err)
	}
	return nil
}

// Lists reports whether cert's serial number is on the list. The caller has checked that both have one issuer.
func (c *CRL) Lists(cert *x509.Certificate) bool {
	_, found := c.revoked[string(cert.SerialNumber.Bytes())]
	return found
}

// Len returns the number of entries.
func (c *CRL) Len() int { return len(c.revoked) }

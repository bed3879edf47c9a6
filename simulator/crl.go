package simulator

import (
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"time"

	"github.com/assay-tee/assay/internal/fault"
)

// CRLOptions change the revocation list of a product line. The zero value gives the list that AMD would publish now.
type CRLOptions struct {
	Serials                []int64   // revoked beside those of [AMD.Revoke]
	Number                 int64     // zero: 1 and one more for each certificate that was revoked
	ThisUpdate, NextUpdate time.Time // zero: the clock; 180 days later
	Algorithm              x509.SignatureAlgorithm
	IssuedBy               *Issuer // another key than the ARK's: a forgery
}

// Revoke withdraws an ASK or ASVK: lists made from now on name its serial.
func (a *AMD) Revoke(p Product, c *x509.Certificate) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revoked[p] = append(a.revoked[p], c.SerialNumber.Int64())
}

// CRL signs the revocation list of p with the ARK (evidence-snp.md section 13). It returns DER.
func (a *AMD) CRL(p Product, o CRLOptions) ([]byte, error) {
	by := a.line(p).ark
	if by == nil {
		return nil, fault.New(fault.Usage, "the simulator was not asked for %s", p)
	}
	a.mu.Lock()
	serials := append(append([]int64(nil), a.revoked[p]...), o.Serials...)
	number := int64(1 + len(a.revoked[p]))
	a.mu.Unlock()
	t := &x509.RevocationList{SignatureAlgorithm: o.Algorithm, ThisUpdate: o.ThisUpdate, NextUpdate: o.NextUpdate, Number: big.NewInt(number)}
	if o.Number != 0 {
		t.Number = big.NewInt(o.Number)
	}
	if t.SignatureAlgorithm == 0 {
		t.SignatureAlgorithm = x509.SHA384WithRSAPSS
	}
	if t.ThisUpdate.IsZero() {
		t.ThisUpdate = a.clock().UTC().Truncate(time.Second)
	}
	if t.NextUpdate.IsZero() {
		t.NextUpdate = t.ThisUpdate.AddDate(0, 0, 180)
	}
	for _, s := range serials {
		t.RevokedCertificateEntries = append(t.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: t.ThisUpdate})
	}
	issuer := *by.cert
	if o.IssuedBy != nil {
		by = o.IssuedBy.ca
		if issuer = *by.cert; o.IssuedBy.Name != nil {
			issuer.RawSubject = o.IssuedBy.Name.RawSubject
		}
		issuer.PublicKey, issuer.KeyUsage = by.cert.PublicKey, x509.KeyUsageCRLSign
	}
	der, err := x509.CreateRevocationList(rand.Reader, t, &issuer, by.key)
	if err != nil {
		return nil, fault.New(fault.Internal, "the simulator cannot issue a revocation list: %w", err)
	}
	return der, nil
}

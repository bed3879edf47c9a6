package snp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"math/big"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// States of a revocation check.
const (
	crlGood       = "good"
	crlNotChecked = "not checked"
)

// crl is a list whose signature by a root has been verified.
type crl struct {
	list *x509.RevocationList
}

// crlStatus is what was found out about the revocation of a chain's intermediate. No list at hand is not an error:
// policy reads the claim and may demand one.
type crlStatus struct {
	status                 string
	number                 *big.Int
	thisUpdate, nextUpdate time.Time
}

// maxCRLBytes bounds a list; AMD's have two possible entries.
const maxCRLBytes = 64 << 10

// revocation checks the ASK or ASVK (and the ARK) against every list at hand (evidence-snp.md section 13). VEKs all
// have serial 0, so that no list can name one; they are withdrawn through policy.
func (s *session) revocation(ctx context.Context, c *chain) (*crlStatus, error) {
	var at []*crl
	for _, der := range s.suppliedLists() {
		l, err := s.d.crl(der, c.inter.root)
		if err != nil {
			return nil, err
		}
		if l != nil {
			at = append(at, l)
		}
	}
	best, err := s.judge(at, c)
	if err != nil || best.status == crlGood || s.bindErr != nil {
		return best, err
	}
	if len(at) > 0 {
		l := at[0].list
		return nil, fault.New(fault.Stale, "the CRL of %q is valid from %s to %s, the clock is %s", l.Issuer.CommonName, rfc3339(l.ThisUpdate), rfc3339(l.NextUpdate), rfc3339(s.env.Time))
	}
	return s.fetchedRevocation(ctx, c)
}

// fetchedRevocation asks the KDS. A list newer than the clock says nothing about a moment before it, but whom it
// names is refused all the same; an expired one is refused.
func (s *session) fetchedRevocation(ctx context.Context, c *chain) (*crlStatus, error) {
	none := &crlStatus{status: crlNotChecked}
	if s.env.Collateral == nil {
		return none, nil
	}
	resp, err := s.env.Collateral.Get(ctx, evidence.Request{Service: kdsService, Path: "/" + c.vek.kind.String() + "/v1/" + c.vek.line.Name + "/crl"})
	if err != nil {
		return none, nil
	}
	ders, err := decodePEM(resp.Body)
	if err != nil {
		return none, nil
	}
	l, err := s.d.crl(ders[0].der, c.inter.root)
	if err != nil || l == nil {
		return none, err
	}
	best, err := s.judge([]*crl{l}, c)
	if err != nil || best.status == crlGood {
		return best, err
	}
	if s.env.Time.After(l.list.NextUpdate) {
		return nil, fault.New(fault.Stale, "the CRL of %q expired on %s, the clock is %s", l.list.Issuer.CommonName, rfc3339(l.list.NextUpdate), rfc3339(s.env.Time))
	}
	return none, nil
}

// judge refuses what any list names, and otherwise returns the newest list that covers the clock.
func (s *session) judge(lists []*crl, c *chain) (*crlStatus, error) {
	best := &crlStatus{status: crlNotChecked}
	for _, l := range lists {
		for _, cert := range []*x509.Certificate{c.inter.cert, c.inter.root.cert} {
			for _, e := range l.list.RevokedCertificateEntries {
				if e.SerialNumber.Cmp(cert.SerialNumber) == 0 {
					return nil, fault.New(fault.Revoked, "AMD has revoked %q (serial %#x) on %s", cert.Subject.CommonName, e.SerialNumber, rfc3339(e.RevocationTime))
				}
			}
		}
		covers := !s.env.Time.Before(l.list.ThisUpdate) && !s.env.Time.After(l.list.NextUpdate)
		if covers && (best.status != crlGood || best.number.Cmp(l.number()) < 0) {
			best = &crlStatus{status: crlGood, number: l.number(), thisUpdate: l.list.ThisUpdate, nextUpdate: l.list.NextUpdate}
		}
	}
	return best, nil
}

func (l *crl) number() *big.Int {
	if l.list.Number == nil {
		return new(big.Int)
	}
	return l.list.Number
}

// suppliedLists are the CRLs that came with the evidence or from the operator. A list is signed, so it does not matter
// who hands it over: it can only refuse.
func (s *session) suppliedLists() [][]byte {
	var out [][]byte
	for _, sup := range s.container.supplied {
		if sup.role == roleCRL {
			out = append(out, sup.der)
		} else if sup.role == roleUnknown && len(sup.der) <= maxCRLBytes {
			if _, ok := s.d.chains.Get(cacheKey{sha256.Sum256(sup.der), s.trust.id}); ok || s.trust.isIssuer(sup.der) {
				continue
			}
			if _, err := x509.ParseRevocationList(sup.der); err == nil {
				out = append(out, sup.der)
			}
		}
	}
	for _, lib := range s.given() {
		out = append(out, lib.lists...)
	}
	return out
}

// crl verifies a list by the key of r. It returns nil for the list of another issuer.
func (d *Driver) crl(der []byte, r *root) (*crl, error) {
	key := cacheKey{sha256.Sum256(der), r.sha}
	if l, ok := d.crls.Get(key); ok {
		return l, nil
	}
	if len(der) > maxCRLBytes {
		return nil, fault.New(fault.Malformed, "a CRL of %d bytes; at most %d are read", len(der), maxCRLBytes)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fault.New(fault.Malformed, "CRL: %w", err)
	}
	if !bytes.Equal(list.RawIssuer, r.cert.RawSubject) {
		return nil, nil
	}
	if list.SignatureAlgorithm != x509.SHA384WithRSAPSS || verifyPSSBytes(r.key, list.RawTBSRevocationList, list.Signature) != nil {
		return nil, fault.New(fault.Signature, "the CRL in the name of %q is not signed by it", list.Issuer.CommonName)
	}
	l := &crl{list: list}
	d.crls.Put(key, l, int64(8*len(der)+1<<10))
	return l, nil
}

package snp

import (
	"context"
	"crypto/sha256"
	"crypto/x509"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// kdsService is the name of AMD's key distribution service in collateral requests.
const kdsService = "amd-kds"

// maxLoose bounds how many VEKs that do not fit by content are tried to be able to say what is wrong with them.
const maxLoose = 4

// library is what a blob of the operator holds.
type library struct {
	veks    []*vek
	issuers []*x509.Certificate
	lists   [][]byte // DER CRLs
}

// authenticate finds the VEK and verifies the report with it. VEKs are chosen by content: those for this chip and
// these levels first, then what the operator gave, then the KDS; others serve to say what is wrong. Nothing about the
// order can make a report pass, since each VEK is judged by all checks.
func (s *session) authenticate(ctx context.Context) (*chain, *crlStatus, error) {
	exact, loose, firstErr := s.suppliedVEKs()
	for _, v := range exact {
		c, list, err := s.verify(ctx, v)
		if !s.anotherMayDo(err) {
			return c, list, err
		}
		firstErr = err
	}
	for _, v := range s.givenVEKs() {
		c, list, err := s.verify(ctx, v)
		if !s.anotherMayDo(err) {
			return c, list, err
		}
		if firstErr == nil && fault.Is(err, fault.Stale) { // of other machines' certificates nothing needs to be said
			firstErr = err
		}
	}
	if len(exact) == 0 {
		for _, v := range loose[:min(len(loose), maxLoose)] {
			_, _, err := s.verify(ctx, v)
			if err == nil {
				err = fault.New(fault.Internal, "a VEK passed that does not fit")
			}
			if !fault.Is(err, fault.Signature) {
				return nil, nil, err
			}
			if firstErr == nil || !fault.Is(firstErr, fault.Signature) {
				firstErr = err
			}
		}
	}
	// What follows may cost a request to the vendor, so it is done only for a report that is what was asked for.
	if s.bindErr != nil {
		if firstErr != nil {
			return nil, nil, firstErr
		}
		return nil, nil, s.bindErr
	}
	c, list, err := s.fetch(ctx)
	if firstErr != nil && fault.Is(err, fault.Unavailable) {
		return nil, nil, firstErr
	}
	return c, list, err
}

// anotherMayDo reports whether, after err, another VEK that fits by content may still be the right one: the same key may
// be had with a newer certificate, and where the report names no chip, certificates of several keys fit.
func (s *session) anotherMayDo(err error) bool {
	anyKey := s.report.chipIDMasked() || s.report.KeyInfo.SigningKey() == SignedByVLEK
	return fault.Is(err, fault.Stale) || anyKey && fault.Is(err, fault.Signature)
}

// suppliedVEKs decodes the VEKs that came with the evidence: those that fit the report, and the others. err is why
// something that should have been a certificate is none.
func (s *session) suppliedVEKs() (exact, loose []*vek, err error) {
	for _, sup := range s.container.supplied {
		if sup.role == roleCRL || sup.role == roleIssuer {
			continue
		}
		v, e := s.d.vek(s.trust, sup.der)
		switch {
		case e != nil && sup.role == roleUnknown && fault.Is(e, fault.Unsupported):
			// another kind of certificate, which checkIssuers judges, or a CRL
		case e != nil:
			if fault.Is(e, fault.Unsupported) {
				e = fault.New(fault.Signature, "what is given as VCEK or VLEK is none: %w", e)
			}
			if err == nil {
				err = e
			}
		case v.fits(&s.report, s.candidates) && v.bad == nil && v.matches(&s.report) == nil:
			exact = append(exact, v)
		default:
			loose = append(loose, v)
		}
	}
	return exact, loose, err
}

// vek decodes a certificate, or finds it decoded in the cache of verified ones.
func (d *Driver) vek(t *trust, der []byte) (*vek, error) {
	if c, ok := d.chains.Get(cacheKey{sha256.Sum256(der), t.id}); ok {
		return c.vek, nil
	}
	if len(der) > maxCertBytes {
		return nil, fault.New(fault.Malformed, "a certificate of %d bytes; at most %d are read", len(der), maxCertBytes)
	}
	if t.isIssuer(der) {
		return nil, fault.New(fault.Unsupported, "an ASK, ASVK or ARK")
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		if _, crlErr := x509.ParseRevocationList(der); crlErr == nil {
			return nil, fault.New(fault.Unsupported, "a CRL")
		}
		return nil, fault.New(fault.Malformed, "a certificate that came with the evidence: %w", err)
	}
	return newVEK(c)
}

// isIssuer reports whether der is a known root or intermediate, so that it need not be parsed.
func (t *trust) isIssuer(der []byte) bool {
	for i := range lines {
		if t.pinned(&lines[i], der) {
			return true
		}
	}
	return false
}

// givenVEKs picks those of the operator's certificates that fit the report. The others may belong to other machines.
func (s *session) givenVEKs() []*vek {
	var out []*vek
	for _, lib := range s.given() {
		for _, v := range lib.veks {
			if v.fits(&s.report, s.candidates) && v.bad == nil && v.matches(&s.report) == nil && len(out) < maxSupplied {
				out = append(out, v)
			}
		}
	}
	return out
}

// given decodes the operator's blobs. What is in another vendor's form is passed over.
func (s *session) given() []*library {
	if s.env.Collateral == nil {
		return nil
	}
	var out []*library
	for _, blob := range s.env.Collateral.Given() {
		key := cacheKey{content: sha256.Sum256(blob)}
		lib, ok := s.d.given.Get(key)
		if !ok {
			lib = readLibrary(blob)
			s.d.given.Put(key, lib, int64(2*len(blob)+4<<10))
		}
		out = append(out, lib)
	}
	return out
}

func readLibrary(blob []byte) *library {
	lib := &library{}
	c := &container{}
	if err := c.addBlob(blob); err != nil {
		return lib
	}
	for _, sup := range c.supplied {
		if cert, err := x509.ParseCertificate(sup.der); err == nil {
			if namesIssuer(cert) {
				lib.issuers = append(lib.issuers, cert)
			} else if v, err := newVEK(cert); err == nil {
				lib.veks = append(lib.veks, v)
			}
		} else if _, err := x509.ParseRevocationList(sup.der); err == nil {
			lib.lists = append(lib.lists, sup.der)
		}
	}
	return lib
}

// suppliedIssuers are intermediates for a root that was configured without any. Each counts only because that root's
// signature over it is verified here.
func (s *session) suppliedIssuers(ctx context.Context, l *Line) []*intermediate {
	var certs []*x509.Certificate
	for _, sup := range s.container.supplied {
		if sup.role != roleCRL && sup.role != roleVEK {
			if c, err := x509.ParseCertificate(sup.der); err == nil {
				certs = append(certs, c)
			}
		}
	}
	for _, lib := range s.given() {
		certs = append(certs, lib.issuers...)
	}
	find := func(certs []*x509.Certificate) (out []*intermediate) {
		for _, c := range certs {
			if kind, line, ok := intermediateName(c); ok && line == l && kind == s.report.KeyInfo.SigningKey() && len(out) < maxLoose {
				if i, err := s.trust.verifyIntermediate(c); err == nil {
					out = append(out, i)
				}
			}
		}
		return out
	}
	if out := find(certs); len(out) > 0 || s.env.Collateral == nil || s.bindErr != nil {
		return out
	}
	resp, err := s.env.Collateral.Get(ctx, evidence.Request{Service: kdsService, Path: "/" + s.report.KeyInfo.SigningKey().String() + "/v1/" + l.Name + "/cert_chain"})
	if err != nil {
		return nil
	}
	return find(readLibrary(resp.Body).issuers)
}

// fetch asks the KDS for the VCEK of the report's chip and levels.
func (s *session) fetch(ctx context.Context) (*chain, *crlStatus, error) {
	r := &s.report
	const how = "; supply it with --cert or --collateral"
	switch {
	case r.KeyInfo.SigningKey() == SignedByVLEK:
		return nil, nil, fault.New(fault.Unavailable, "the VLEK certificate is missing; the provider hands it to the host, which gives it to the guest in the certificate table (auxblob)"+how)
	case r.chipIDMasked():
		return nil, nil, fault.New(fault.Unavailable, "the VCEK certificate is missing, and CHIP_ID is masked, so that it cannot be looked up"+how)
	case s.env.Collateral == nil:
		return nil, nil, fault.New(fault.Unavailable, "the VCEK certificate of chip %x is missing%s, or allow the KDS to be asked", r.ChipID[:s.candidates[0].hwidSize], how)
	}
	var last error
	for _, l := range s.candidates {
		if !s.trust.hasLine(l) {
			continue
		}
		resp, err := s.env.Collateral.Get(ctx, evidence.Request{Service: kdsService, Path: l.kdsPath(r)})
		if err != nil {
			last = err
			continue
		}
		ders, err := decodePEM(resp.Body)
		if err != nil {
			return nil, nil, fault.New(fault.Unavailable, "the answer for %s is not a certificate: %w", l.kdsPath(r), err)
		}
		v, err := s.d.vek(s.trust, ders[0].der)
		if err != nil {
			return nil, nil, fault.New(fault.Unavailable, "the answer for %s is not a VCEK: %w", l.kdsPath(r), err)
		}
		return s.verify(ctx, v)
	}
	return nil, nil, fault.New(fault.Unavailable, "the VCEK certificate of chip %x is missing%s, or allow the KDS to be asked: %w", r.ChipID[:s.candidates[0].hwidSize], how, last)
}

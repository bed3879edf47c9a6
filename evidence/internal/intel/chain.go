package intel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"strings"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/dcap"
	"github.com/assay-tee/assay/internal/fault"
)

// Chain is a verified PCK chain with everything that follows from it alone. It is immutable and shared between
// authentications; times and revocation are checked for each of them.
type Chain struct {
	*dcap.PCKChain
	Links     []evidence.Link
	Authority claim.Authority // forms of PCK, its CA and the root

	id        [32]byte // of the certificates' bytes and the anchors they were verified under
	leafSHA   [32]byte
	issuerSHA [32]byte
	root      root
	platform  claim.ECT

	module, tdPlatform, qe memo
}

// chainOf returns the verified chain of the certification data of q. Chains are kept by the bytes that they came in.
func (v *Verifier) chainOf(ctx context.Context, s *session) (*Chain, error) {
	if s.Quote.CertType != dcap.CertPCKChain {
		return v.lookedUp(ctx, s)
	}
	id := digest(s.trust.id[:], s.Quote.CertData)
	if c, ok := v.chains.Get(id); ok {
		return c, nil
	}
	certs, err := dcap.ParseCerts(s.Quote.CertData)
	if err != nil {
		return nil, fault.Wrap(err, "certification data of the quote")
	}
	c, err := newChain(id, certs, s.trust)
	if err != nil {
		return nil, err
	}
	v.chains.Put(id, c, int64(5*len(s.Quote.CertData)+16<<10))
	return c, nil
}

func digest(parts ...[]byte) (d [32]byte) {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(d[:0])
	return d
}

func newChain(id [32]byte, certs []*x509.Certificate, t *trust) (*Chain, error) {
	pck, err := dcap.BuildPCKChain(certs, t.roots)
	if err != nil {
		return nil, err
	}
	c := &Chain{PCKChain: pck, id: id, leafSHA: sha256.Sum256(pck.Leaf.Raw), issuerSHA: sha256.Sum256(pck.Issuer.Raw), root: t.facts[pck.Root]}
	for _, l := range []struct {
		role string
		cert *x509.Certificate
		sha  [32]byte
	}{{"PCK", pck.Leaf, c.leafSHA}, {"PCK CA", pck.Issuer, c.issuerSHA}, {"Root CA", pck.Root, c.root.sha}} {
		c.Links = append(c.Links, evidence.Link{Role: l.role, Subject: l.cert.Subject.String(), SHA256: l.sha, NotBefore: l.cert.NotBefore, NotAfter: l.cert.NotAfter})
		a, err := claim.CertAuthority(l.cert)
		if err != nil {
			return nil, fault.New(fault.Internal, "%s: %w", l.role, err)
		}
		c.Authority = append(c.Authority, a...)
	}
	c.platform = platformECT(c)
	return c, nil
}

// lookedUp finds the PCK certificate of a quote that names it instead of carrying it (section 6): among the
// certificates that came with the evidence, those of the operator, and, where the identifiers allow, at PCS.
func (v *Verifier) lookedUp(ctx context.Context, s *session) (*Chain, error) {
	pool := v.library(append(s.given(), s.hints...)).certs
	var ids dcap.PlatformIDs
	if s.Quote.CertType == dcap.CertPCKLeaf {
		leaf := v.library([][]byte{s.Quote.CertData}).certs
		if len(leaf) != 1 {
			return nil, fault.New(fault.Malformed, "certification data of type 4 do not hold one certificate")
		}
		return v.complete(ctx, s, leaf[0], pool)
	}
	ids, err := s.Quote.PlatformIDs()
	if err != nil {
		return nil, err
	}
	for _, c := range pool {
		if fits(c, ids) {
			return v.complete(ctx, s, c, pool)
		}
	}
	if r, err := v.fetchPCK(ctx, s, ids); err == nil {
		for _, c := range v.library([][]byte{r.Body, r.IssuerChain}).certs {
			if fits(c, ids) {
				return v.complete(ctx, s, c, append(pool, v.library([][]byte{r.IssuerChain}).certs...))
			}
		}
	}
	return nil, fault.New(fault.Unavailable, "the quote names its PCK certificate (CPUSVN %x, PCESVN %d) without carrying it; give the certificate and that of its CA with --cert",
		ids.CPUSVN, ids.PCESVN)
}

// fits reports whether c is a PCK certificate for the identifiers of a quote: CPUSVN and PCESVN must be equal, PCE-ID
// and the PPID where they can be compared.
func fits(c *x509.Certificate, ids dcap.PlatformIDs) bool {
	if c.Subject.CommonName != dcap.NamePCK {
		return false
	}
	p, err := dcap.ParsePCK(c)
	return err == nil && bytes.Equal(p.CPUSVN[:], ids.CPUSVN) && p.PCESVN == ids.PCESVN &&
		(ids.PCEID == nil || bytes.Equal(p.PCEID[:], ids.PCEID)) && (!ids.InClear || bytes.Equal(p.PPID[:], ids.PPID))
}

// fetchPCK asks PCS for the certificate; it can be asked by an encrypted PPID only (section 22).
func (v *Verifier) fetchPCK(ctx context.Context, s *session, ids dcap.PlatformIDs) (evidence.Response, error) {
	if s.env.Collateral == nil || ids.InClear || ids.PCEID == nil {
		return evidence.Response{}, fault.New(fault.Unavailable, "no PCK certificate service")
	}
	path := "/sgx/certification/v4/pckcert?encrypted_ppid=" + hex.EncodeToString(ids.PPID) + "&cpusvn=" + hex.EncodeToString(ids.CPUSVN) +
		"&pcesvn=" + hex.EncodeToString([]byte{byte(ids.PCESVN), byte(ids.PCESVN >> 8)}) + "&pceid=" + hex.EncodeToString(ids.PCEID)
	return s.env.Collateral.Get(ctx, evidence.Request{Service: Service, Path: path})
}

// complete builds the chain of a leaf whose CA has to be found too.
func (v *Verifier) complete(ctx context.Context, s *session, leaf *x509.Certificate, pool []*x509.Certificate) (*Chain, error) {
	if ca := issuerIn(leaf, pool); ca != nil {
		return v.keepChain(s, leaf, ca)
	}
	kind := dcap.PlatformCA
	if strings.EqualFold(leaf.Issuer.CommonName, dcap.NameProcessorCA) {
		kind = dcap.ProcessorCA
	}
	if s.env.Collateral != nil {
		// PCS sends the CA with the list that the CA signs.
		if r, err := s.env.Collateral.Get(ctx, requestPCKCRL(kind)); err == nil {
			if ca := issuerIn(leaf, v.library([][]byte{r.IssuerChain}).certs); ca != nil {
				return v.keepChain(s, leaf, ca)
			}
		}
	}
	return nil, fault.New(fault.Unavailable, "the certificate of %q is needed to verify the PCK certificate; give it with --cert", leaf.Issuer.CommonName)
}

func issuerIn(leaf *x509.Certificate, pool []*x509.Certificate) *x509.Certificate {
	for _, c := range pool {
		if c.IsCA && bytes.Equal(c.RawSubject, leaf.RawIssuer) && leaf.CheckSignatureFrom(c) == nil {
			return c
		}
	}
	return nil
}

func (v *Verifier) keepChain(s *session, leaf, ca *x509.Certificate) (*Chain, error) {
	id := digest(s.trust.id[:], leaf.Raw, ca.Raw)
	if c, ok := v.chains.Get(id); ok {
		return c, nil
	}
	c, err := newChain(id, []*x509.Certificate{leaf, ca}, s.trust)
	if err == nil {
		v.chains.Put(id, c, int64(8*len(leaf.Raw)+16<<10))
	}
	return c, err
}

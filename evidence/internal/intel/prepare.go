package intel

import (
	"context"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/dcap"
	"github.com/assay-tee/assay/internal/fault"
)

// issuerCert is the certificate of a CA whose list is wanted.
type issuerCert struct{ cert *x509.Certificate }

// prepKey is everything that the choice and verification of collateral depends on, but the clock.
type prepKey struct {
	lib    *library
	trust  [32]byte
	issuer [32]byte
	root   [32]byte
	fmspc  [6]byte
	pceid  [2]byte
	tee    dcap.TEE
}

// prepare returns verified collateral for s: what the operator handed over where that suffices, else completed by
// requests. Nothing is fetched when what is at hand is valid.
func (v *Verifier) prepare(ctx context.Context, s *session) (*prepared, error) {
	blobs := s.given()
	lib := v.library(blobs)
	p, faults := v.preparedFrom(lib, s)
	if faults == nil {
		return p, nil
	}
	if s.env.Collateral == nil || !faults.fetchable() {
		return nil, faults.err()
	}
	got := false
	blobs = slices.Clone(blobs)
	for _, req := range faults.requests(s) {
		r, err := s.env.Collateral.Get(ctx, req)
		if err != nil {
			faults.fetch = append(faults.fetch, err)
			continue
		}
		got = true
		blobs = append(blobs, r.Body, r.IssuerChain)
	}
	if !got {
		return nil, faults.err()
	}
	p, again := v.preparedFrom(v.library(blobs), s)
	if again == nil {
		return p, nil
	}
	again.fetch = faults.fetch
	return nil, again.err()
}

// faults are what keeps collateral from being usable, by document.
type faults struct {
	tcb, id, pckCRL, rootCRL, signer error
	fatal                            error // cannot be mended by fetching
	fetch                            []error
}

func (f *faults) all() []error { return []error{f.fatal, f.tcb, f.id, f.rootCRL, f.pckCRL, f.signer} }

func (f *faults) none() bool {
	return !slices.ContainsFunc(f.all(), func(e error) bool { return e != nil })
}

// fetchable reports whether other documents could help: those at hand are missing, stale, or of another platform.
func (f *faults) fetchable() bool {
	return !slices.ContainsFunc(f.all(), func(e error) bool {
		return e != nil && !fault.Is(e, fault.Unavailable) && !fault.Is(e, fault.Stale) && !fault.Is(e, fault.Binding)
	})
}

func (f *faults) requests(s *session) []evidence.Request {
	var out []evidence.Request
	if f.tcb != nil || f.signer != nil {
		out = append(out, requestTCB(s.Quote.TEE, s.Chain.PCK.FMSPC))
	}
	if f.id != nil {
		out = append(out, requestIdentity(s.Quote.TEE))
	}
	if f.pckCRL != nil {
		out = append(out, requestPCKCRL(s.Chain.CA))
	}
	if f.rootCRL != nil {
		out = append(out, requestRootCRL())
	}
	return out
}

// err is the one error that says it best: what is wrong with a document that is there, else everything that is missing.
func (f *faults) err() error {
	var lacking []string
	for _, e := range f.all() {
		switch {
		case e == nil:
		case !fault.Is(e, fault.Unavailable):
			return e
		default:
			lacking = append(lacking, e.Error())
		}
	}
	text := "collateral is missing: " + strings.Join(lacking, "; ") + "; give it with --collateral, or let it be fetched from PCS or a PCCS"
	for _, e := range f.fetch {
		return fault.New(fault.Unavailable, "%s (%w)", text, e)
	}
	return fault.New(fault.Unavailable, "%s", text)
}

func (v *Verifier) preparedFrom(lib *library, s *session) (*prepared, *faults) {
	key := prepKey{lib: lib, trust: s.trust.id, issuer: s.Chain.issuerSHA, root: s.Chain.root.sha, fmspc: s.Chain.PCK.FMSPC, pceid: s.Chain.PCK.PCEID, tee: s.Quote.TEE}
	if p, ok := v.prepared.Get(key); ok && p.choice.Contains(s.env.Time) {
		return p, nil
	}
	p, f := lib.prepare(s.trust, s.Chain, s.Quote.TEE, s.env.Time)
	if f != nil {
		return nil, f
	}
	v.prepared.Put(key, p, int64(lib.size()+16<<10))
	return p, nil
}

// prepare chooses and verifies collateral at time t (steps 5 and 7 of the checklist). Only success is kept by callers.
func (l *library) prepare(t *trust, c *Chain, tee dcap.TEE, at time.Time) (*prepared, *faults) {
	h := newHorizon(at)
	p := &prepared{}
	var f faults
	p.tcb, f.tcb = l.chooseTCB(tee, &c.PCK, h)
	p.id, f.id = l.chooseIdentity(tee, h)
	p.rootCRL, f.rootCRL = l.chooseCRL(issuerCert{c.Root}, h)
	p.pckCRL, f.pckCRL = l.chooseCRL(issuerCert{c.Issuer}, h)
	if f.rootCRL != nil && fault.Is(f.rootCRL, fault.Unavailable) && l.crlErr != nil {
		f.rootCRL = l.crlErr
	}
	// A certificate that a valid list names is revoked, whatever else is missing.
	if f.rootCRL == nil && p.rootCRL.Lists(c.Issuer) {
		f.fatal = revoked(c.Issuer, "the root CRL")
	}
	if f.pckCRL == nil && p.pckCRL.Lists(c.Leaf) {
		f.fatal = revoked(c.Leaf, "the CRL of "+c.Issuer.Subject.CommonName)
	}
	if f.tcb == nil {
		p.tcbSign, f.signer = l.chooseSigner(&p.tcb.Signed, t, h)
	}
	if f.id == nil && f.signer == nil {
		p.idSign, f.signer = l.chooseSigner(&p.id.Signed, t, h)
	}
	if f.none() {
		for _, s := range []*dcap.Signer{p.tcbSign, p.idSign} {
			switch {
			case !s.Root.Equal(c.Root):
				f.fatal = fault.New(fault.Signature, "TCB information and PCK certificate end at different roots")
			case p.rootCRL.Lists(s.Cert):
				f.fatal = revoked(s.Cert, "the root CRL")
			}
		}
	}
	if !f.none() {
		return nil, &f
	}
	p.window = p.tcb.Window
	for _, w := range []dcap.Window{p.id.Window, p.tcbSign.Window, p.idSign.Window, p.pckCRL.Window, p.rootCRL.Window} {
		p.window = p.window.Intersect(w)
	}
	p.choice = h.w
	p.evaluationNumber = min(p.tcb.EvaluationNumber, p.id.EvaluationNumber)
	p.dates(c)
	var err error
	if p.tcbAuth, err = claim.CertAuthority(p.tcbSign.Cert); err == nil {
		p.idAuth, err = claim.CertAuthority(p.idSign.Cert)
	}
	if err != nil {
		return nil, &faults{fatal: fault.New(fault.Internal, "TCB signing certificate: %w", err)}
	}
	return p, nil
}

func revoked(c *x509.Certificate, by string) error {
	return fault.New(fault.Revoked, "certificate %q with serial number %x is withdrawn by %s", c.Subject.CommonName, c.SerialNumber, by)
}

// dates are the earliest and latest issue date and the earliest expiry over all collateral (section 20).
func (p *prepared) dates(c *Chain) {
	windows := []dcap.Window{p.tcb.Window, p.id.Window, p.tcbSign.Window, p.idSign.Window, p.pckCRL.Window, p.rootCRL.Window, c.Window,
		{From: c.Issuer.NotBefore, Until: c.Issuer.NotAfter}, {From: c.Root.NotBefore, Until: c.Root.NotAfter}}
	p.issued = [2]time.Time{windows[0].From, windows[0].From}
	p.earliestExpiry = windows[0].Until
	for _, w := range windows[1:] {
		if w.From.Before(p.issued[0]) {
			p.issued[0] = w.From
		}
		if w.From.After(p.issued[1]) {
			p.issued[1] = w.From
		}
		if w.Until.Before(p.earliestExpiry) {
			p.earliestExpiry = w.Until
		}
	}
}

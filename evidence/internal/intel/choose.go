package intel

import (
	"cmp"
	"encoding/hex"
	"strings"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/dcap"
	"github.com/assay-tee/assay/internal/fault"
)

// Service is the name of Intel's PCS, or of a PCCS in its place, in evidence.Request.
const Service = "intel-pcs"

// Requests by the paths of PCS v4 (section 22). PCS itself does not serve the root CRL, PCCS does under this path; a
// client of PCS takes it from the distribution point of the root.
func requestTCB(tee dcap.TEE, fmspc [6]byte) evidence.Request {
	return evidence.Request{Service: Service, Path: "/" + strings.ToLower(tee.String()) + "/certification/v4/tcb?fmspc=" + hex.EncodeToString(fmspc[:])}
}

func requestIdentity(tee dcap.TEE) evidence.Request {
	return evidence.Request{Service: Service, Path: "/" + strings.ToLower(tee.String()) + "/certification/v4/qe/identity"}
}

func requestPCKCRL(ca dcap.CA) evidence.Request {
	return evidence.Request{Service: Service, Path: "/sgx/certification/v4/pckcrl?ca=" + ca.String() + "&encoding=der"}
}

func requestRootCRL() evidence.Request {
	return evidence.Request{Service: Service, Path: "/sgx/certification/v4/rootcacrl"}
}

// prepared is the collateral for one FMSPC, TEE and issuing CA: chosen, verified, and immutable.
type prepared struct {
	tcb              *dcap.TCBInfo
	id               *dcap.Identity
	tcbSign, idSign  *dcap.Signer
	pckCRL, rootCRL  *dcap.CRL
	window           dcap.Window // all of it is valid
	choice           dcap.Window // clocks for which the same choice would be made
	issued           [2]time.Time
	earliestExpiry   time.Time
	evaluationNumber uint64
	tcbAuth, idAuth  claim.Authority // of the two signers
}

// horizon is the interval of clocks around t in which no candidate begins or ceases to be valid, so that choosing
// again would choose the same.
type horizon struct {
	t time.Time
	w dcap.Window
}

func newHorizon(t time.Time) *horizon {
	return &horizon{t, dcap.Window{From: time.Time{}, Until: time.Unix(1<<40, 0)}}
}

func (h *horizon) see(w dcap.Window) bool {
	switch {
	case h.t.Before(w.From):
		h.w = h.w.Intersect(dcap.Window{From: h.w.From, Until: w.From.Add(-1)})
	case h.t.After(w.Until):
		h.w = h.w.Intersect(dcap.Window{From: w.Until.Add(1), Until: h.w.Until})
	default:
		h.w = h.w.Intersect(w)
		return true
	}
	return false
}

// choice is a search among candidates of one kind.
type choice[T any] struct {
	h      *horizon
	best   T
	found  bool // a candidate that is valid now
	stale  error
	latest time.Time
}

// offer considers a candidate; better reports whether it beats the best one so far.
func (c *choice[T]) offer(v T, w dcap.Window, what string, better func(best T) bool) {
	if !c.h.see(w) {
		if c.stale == nil || w.Until.After(c.latest) {
			c.stale, c.latest = w.Check(what, c.h.t), w.Until
		}
		return
	}
	if !c.found || better(c.best) {
		c.best, c.found = v, true
	}
}

// missing is an error for what is not there at all.
func missing(what string) error { return fault.New(fault.Unavailable, "%s", what) }

// chooseTCB takes the TCBInfo with the highest evaluation number among those valid now, the youngest among equals.
func (l *library) chooseTCB(tee dcap.TEE, pck *dcap.PCK, h *horizon) (*dcap.TCBInfo, error) {
	c := choice[*dcap.TCBInfo]{h: h}
	var other *dcap.TCBInfo
	for _, d := range l.tcb {
		if d.TEE != tee || d.FMSPC != pck.FMSPC || d.PCEID != pck.PCEID {
			other = d
			continue
		}
		c.offer(d, d.Window, "TCBInfo of FMSPC "+hex.EncodeToString(d.FMSPC[:]), func(b *dcap.TCBInfo) bool {
			return cmp.Or(cmp.Compare(d.EvaluationNumber, b.EvaluationNumber), d.Window.From.Compare(b.Window.From)) > 0
		})
	}
	switch {
	case c.found:
		return c.best, nil
	case c.stale != nil:
		return nil, c.stale
	case l.tcbErr != nil:
		return nil, l.tcbErr
	case other != nil:
		return nil, fault.New(fault.Binding, "%w: it speaks of %s and FMSPC %x, PCE-ID %x, the platform is %s, %x, %x", dcap.ErrTCBInfoMismatch,
			other.TEE, other.FMSPC, other.PCEID, tee, pck.FMSPC, pck.PCEID)
	}
	return nil, missing("TCBInfo of FMSPC " + hex.EncodeToString(pck.FMSPC[:]) + " for " + tee.String())
}

func (l *library) chooseIdentity(tee dcap.TEE, h *horizon) (*dcap.Identity, error) {
	c := choice[*dcap.Identity]{h: h}
	want := dcap.IdentityID(tee)
	var other *dcap.Identity
	for _, d := range l.ids {
		if d.ID != want {
			other = d
			continue
		}
		c.offer(d, d.Window, "enclave identity "+d.ID, func(b *dcap.Identity) bool {
			return cmp.Or(cmp.Compare(d.EvaluationNumber, b.EvaluationNumber), d.Window.From.Compare(b.Window.From)) > 0
		})
	}
	switch {
	case c.found:
		return c.best, nil
	case c.stale != nil:
		return nil, c.stale
	case l.idErr != nil:
		return nil, l.idErr
	case other != nil:
		return nil, fault.New(fault.Binding, "%w: a %s quote needs the identity %s, this one is %s", dcap.ErrIdentityMismatch, tee, want, other.ID)
	}
	return nil, missing("enclave identity " + want)
}

// chooseCRL takes the list of ca with the highest number among those valid now, the youngest among equals. A list of
// another CA says nothing (section 9).
func (l *library) chooseCRL(issuer issuerCert, h *horizon) (*dcap.CRL, error) {
	c := choice[*dcap.CRL]{h: h}
	for _, d := range l.crls {
		if !d.IssuedBy(issuer.cert) {
			continue
		}
		c.offer(d, d.Window, "CRL of "+issuer.cert.Subject.CommonName, func(b *dcap.CRL) bool {
			return cmp.Or(d.Number.Cmp(b.Number), d.Window.From.Compare(b.Window.From)) > 0
		})
	}
	switch {
	case c.found:
		return c.best, c.best.VerifiedBy(issuer.cert)
	case c.stale != nil:
		return nil, c.stale
	}
	return nil, missing("CRL of " + issuer.cert.Subject.CommonName)
}

// chooseSigner finds the certificate that signed doc. Intel has issued two for one key (section 8): what counts is
// whether one that is presented is valid now.
func (l *library) chooseSigner(doc *dcap.Signed, t *trust, h *horizon) (*dcap.Signer, error) {
	c := choice[*dcap.Signer]{h: h}
	var bad error
	for _, cert := range l.certs {
		if cert.Subject.CommonName != dcap.NameTCBSigning {
			continue
		}
		s, err := dcap.BuildSigner(cert, t.roots)
		if err == nil {
			err = doc.VerifiedBy(s)
		}
		if err != nil {
			bad = err
			continue
		}
		c.offer(s, s.Window, "certificate "+dcap.NameTCBSigning, func(b *dcap.Signer) bool { return s.Window.From.After(b.Window.From) })
	}
	switch {
	case c.found:
		return c.best, nil
	case c.stale != nil:
		return nil, c.stale
	case bad != nil:
		return nil, bad
	}
	return nil, missing("certificate " + dcap.NameTCBSigning + ", the issuer chain of " + doc.Name)
}

package bundle

import (
	"crypto/x509"
	"time"

	"github.com/assay-tee/assay/collateral"
	"github.com/assay-tee/assay/collateral/kds"
	"github.com/assay-tee/assay/collateral/pcs"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/dcap"
	"github.com/assay-tee/assay/internal/fault"
)

// Result says what became of one document.
type Result struct {
	Request evidence.Request
	// Verified says that the vendor's signature was checked; where that needs evidence (a VCEK, whose chain the driver
	// knows) only the form was.
	Verified bool
	Until    time.Time // end of its validity, zero when it names none
	Expired  bool      // at the time of the import; imported all the same, for appraisals of the past
}

// Import checks every document of b and puts it into dir. Nothing is written when one of them does not hold, or would
// take the place of a newer one: that would be the way to bring a revoked key or an old TCB back. Its errors are of class
// malformed, signature, or stale for a step back.
func (b *Bundle) Import(dir *collateral.Dir, anchors *evidence.Anchors, at time.Time) ([]Result, error) {
	roots := intelRoots(anchors)
	results := make([]Result, 0, len(b.Entries))
	for _, e := range b.Entries {
		verified, err := check(e, roots)
		if err != nil {
			return nil, fault.Wrap(err, "%s %s", e.Request.Service, e.Request.Path)
		}
		if err := notOlder(e, dir); err != nil {
			return nil, err
		}
		until := collateral.ValidUntil(e.Response)
		results = append(results, Result{e.Request, verified, until, !until.IsZero() && at.After(until)})
	}
	for _, e := range b.Entries {
		if err := dir.Put(e.Request, e.Response, e.Had); err != nil {
			return nil, err
		}
	}
	return results, nil
}

func intelRoots(a *evidence.Anchors) []*x509.Certificate {
	var out []*x509.Certificate
	if a.UseBuiltin() {
		out = append(out, dcap.IntelRoot())
	}
	for _, c := range a.Roots() {
		if c.Subject.CommonName == dcap.NameRoot {
			out = append(out, c)
		}
	}
	return out
}

// check refuses what is not the document that its request names, or not by its vendor.
func check(e Entry, roots []*x509.Certificate) (verified bool, err error) {
	switch e.Request.Service {
	case kds.Service:
		d, err := kds.ParsePath(e.Request.Path)
		if err != nil {
			return false, err
		}
		return false, kds.CheckAnswer(d, e.Response.Body)
	case pcs.Service:
		d, err := pcs.ParsePath(e.Request.Path)
		if err != nil {
			return false, err
		}
		if err := d.Check(e.Response); err != nil {
			return false, err
		}
		return checkIntel(d, e.Response, roots)
	}
	return false, fault.New(fault.Malformed, "a document of the service %q, which is not known here", e.Request.Service)
}

func checkIntel(d pcs.Document, r evidence.Response, roots []*x509.Certificate) (bool, error) {
	switch d.Kind {
	case pcs.TCBInfo, pcs.Identity:
		s, err := dcap.SplitSigned(r.Body)
		if err != nil {
			return false, err
		}
		certs, err := dcap.ParseCerts(r.IssuerChain)
		if err != nil {
			return false, fault.Wrap(err, "issuer chain")
		}
		for _, c := range certs {
			if c.Subject.CommonName != dcap.NameTCBSigning {
				continue
			}
			signer, err := dcap.BuildSigner(c, roots)
			if err != nil {
				return false, err
			}
			return true, s.VerifiedBy(signer)
		}
		return false, fault.New(fault.Signature, "no certificate %q in its issuer chain", dcap.NameTCBSigning)
	case pcs.RootCRL:
		c, err := dcap.ParseCRL(r.Body)
		if err != nil {
			return false, err
		}
		for _, root := range roots {
			if err = c.VerifiedBy(root); err == nil {
				return true, nil
			}
		}
		return false, err
	case pcs.PCKCRL:
		return checkPCKCRL(r, roots)
	}
	return false, nil
}

func checkPCKCRL(r evidence.Response, roots []*x509.Certificate) (bool, error) {
	c, err := dcap.ParseCRL(r.Body)
	if err != nil {
		return false, err
	}
	certs, err := dcap.ParseCerts(r.IssuerChain)
	if err != nil {
		return false, fault.Wrap(err, "issuer chain")
	}
	for _, ca := range certs {
		if !c.IssuedBy(ca) {
			continue
		}
		if err := dcap.VerifyCA(ca, roots); err != nil {
			return false, err
		}
		return true, c.VerifiedBy(ca)
	}
	return false, fault.New(fault.Signature, "the issuer of the list is not in its issuer chain")
}

// notOlder refuses a document that is older than the one in its place.
func notOlder(e Entry, dir *collateral.Dir) error {
	old, _, err := dir.Get(e.Request)
	if err != nil || e.Request.Service != pcs.Service {
		return nil // nothing there, or nothing that could be compared
	}
	d, err := pcs.ParsePath(e.Request.Path)
	if err != nil {
		return err
	}
	if pcs.Older(d, e.Response, old) {
		return fault.New(fault.Stale, "%s %s in the bundle is older than what is in its place; nothing was imported", e.Request.Service, e.Request.Path)
	}
	return nil
}

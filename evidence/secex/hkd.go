package secex

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"slices"
	"strings"
	"time"

	"github.com/assay-tee/assay/internal/fault"
)

// HostKey is a host key document (HKD) that was verified: a machine that may answer requests.
type HostKey struct {
	Key      *ecdh.PublicKey
	Hash     PHKH
	Document *x509.Certificate
	Signer   *x509.Certificate // IBM Z signing certificate
	Root     *x509.Certificate
	// NotBefore and NotAfter bound what the document rests on: its own validity, that of its chain and that of the lists.
	NotBefore, NotAfter time.Time
}

// HostKeyConfig holds everything that host key documents are verified with. Nothing in it is optional: there is no
// switch that skips the chain or the lists.
type HostKeyConfig struct {
	Documents []*x509.Certificate    // host key documents
	Chain     []*x509.Certificate    // signing certificate and intermediates
	Lists     []*x509.RevocationList // of the signing key, of the intermediates and of the root
	Roots     []*x509.Certificate    // trust anchors
	Time      time.Time
}

const (
	maxDocuments     = 1024
	maxChainCerts    = 256
	maxLists         = 256
	maxIntermediates = 3
)

// VerifyHostKeys verifies every document, by rules at least as strict as those of s390-tools' rust/pv/src/verify.rs:
// exactly one IBM Z signing certificate; a chain with at least one intermediate to a root; a valid revocation list for
// every certificate, the documents included; validity of all at the given time; EC P-521.
func VerifyHostKeys(cfg HostKeyConfig) ([]HostKey, error) {
	switch {
	case cfg.Time.IsZero():
		return nil, fault.New(fault.Internal, "host key documents without a clock")
	case len(cfg.Documents) == 0:
		return nil, fault.New(fault.Unavailable, "no host key document: get one for each machine from IBM Resource Link and hand it over")
	case len(cfg.Roots) == 0:
		return nil, fault.New(fault.Unavailable, "no root certificate for host key documents: hand over the root of the IBM Z signing key's chain")
	case len(cfg.Documents) > maxDocuments || len(cfg.Chain) > maxChainCerts || len(cfg.Lists) > maxLists:
		return nil, fault.New(fault.Malformed, "more than %d host key documents, %d chain certificates or %d lists", maxDocuments, maxChainCerts, maxLists)
	}
	signer, err := signingCertificate(cfg.Chain)
	if err != nil {
		return nil, err
	}
	path, err := chainToRoot(signer, cfg)
	if err != nil {
		return nil, err
	}
	from, until, err := checkWindows(path, cfg.Time)
	if err != nil {
		return nil, err
	}
	for i := 1; i < len(path); i++ { // path[i] issued path[i-1]; the root stands last and is an anchor
		list, err := validList(path[i], cfg.Lists, cfg.Time)
		if err != nil {
			return nil, err
		}
		if revokedBy(list, path[i-1]) {
			return nil, fault.New(fault.Revoked, "certificate %q is revoked by the list of %q", path[i-1].Subject.CommonName, path[i].Subject.CommonName)
		}
		from, until = later(from, list.ThisUpdate), earlier(until, list.NextUpdate)
	}
	list, err := validList(signer, cfg.Lists, cfg.Time)
	if err != nil {
		return nil, err
	}
	from, until = later(from, list.ThisUpdate), earlier(until, list.NextUpdate)
	// A list that is not valid now may say something else once it is.
	for _, l := range cfg.Lists {
		if l.ThisUpdate.After(cfg.Time) {
			until = earlier(until, l.ThisUpdate.Add(-time.Second))
		} else if l.NextUpdate.Before(cfg.Time) {
			from = later(from, l.NextUpdate.Add(time.Second))
		}
	}
	out := make([]HostKey, 0, len(cfg.Documents))
	for _, d := range cfg.Documents {
		k, err := verifyDocument(d, signer, cfg)
		if err != nil {
			return nil, fault.Wrap(err, "host key document %x", d.SerialNumber)
		}
		k.Root, k.NotBefore, k.NotAfter = path[len(path)-1], later(from, d.NotBefore), earlier(until, d.NotAfter)
		out = append(out, k)
	}
	return out, nil
}

func verifyDocument(d, signer *x509.Certificate, cfg HostKeyConfig) (HostKey, error) {
	pub, ok := d.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return HostKey{}, fault.New(fault.Unsupported, "its key is not an EC key; host keys are EC P-521")
	}
	key, err := pub.ECDH()
	if err != nil || key.Curve() != ecdh.P521() {
		return HostKey{}, fault.New(fault.Unsupported, "its key is not on P-521")
	}
	if len(d.AuthorityKeyId) > 0 && len(signer.SubjectKeyId) > 0 && !bytes.Equal(d.AuthorityKeyId, signer.SubjectKeyId) {
		return HostKey{}, fault.New(fault.Signature, "it names another signing key (authority key id %x, signing certificate has %x)", d.AuthorityKeyId, signer.SubjectKeyId)
	}
	if !sameName(d.Issuer, signer.Subject) {
		return HostKey{}, fault.New(fault.Signature, "its issuer %q is not the signing certificate's subject %q", d.Issuer, signer.Subject)
	}
	// The signing certificate is no CA, so CheckSignatureFrom would refuse it: check the signed bytes.
	if err := signer.CheckSignature(d.SignatureAlgorithm, d.RawTBSCertificate, d.Signature); err != nil {
		return HostKey{}, fault.New(fault.Signature, "it is not signed by the IBM Z signing key: %w", err)
	}
	if cfg.Time.Before(d.NotBefore) || cfg.Time.After(d.NotAfter) {
		return HostKey{}, fault.New(fault.Stale, "it is valid from %s to %s, not at %s", day(d.NotBefore), day(d.NotAfter), day(cfg.Time))
	}
	// "Serial listed in any valid CRL: revoked" (specs ibm-se.md section 10, rule 4).
	for _, l := range cfg.Lists {
		if listProblem(signer, l, cfg.Time) == nil && revokedBy(l, d) {
			return HostKey{}, fault.New(fault.Revoked, "it is revoked by the list of the IBM Z signing key")
		}
	}
	hash, err := HostKeyHash(key)
	if err != nil {
		return HostKey{}, err
	}
	return HostKey{Key: key, Hash: hash, Document: d, Signer: signer}, nil
}

// signingCertificate finds the one certificate whose subject is that of an IBM Z signing key.
func signingCertificate(chain []*x509.Certificate) (*x509.Certificate, error) {
	var found *x509.Certificate
	for _, c := range chain {
		if !isSigningSubject(c.Subject) || (found != nil && bytes.Equal(found.Raw, c.Raw)) {
			continue
		}
		if found != nil {
			return nil, fault.New(fault.Signature, "more than one IBM Z signing certificate was given; hand over the one that signed the host key documents")
		}
		found = c
	}
	if found == nil {
		return nil, fault.New(fault.Signature, "no certificate with the subject of an IBM Z signing key was given")
	}
	return found, nil
}

const ibm = "International Business Machines Corporation"

func isSigningSubject(n pkix.Name) bool {
	one := func(v []string, ok func(string) bool) bool { return len(v) == 1 && ok(v[0]) }
	is := func(want ...string) func(string) bool { return func(s string) bool { return slices.Contains(want, s) } }
	return len(n.Names) == 6 && one(n.Country, is("US")) && one(n.Province, is("New York")) && one(n.Locality, is("Poughkeepsie", "Armonk")) &&
		one(n.Organization, is(ibm)) && n.CommonName == ibm &&
		one(n.OrganizationalUnit, func(s string) bool { return strings.HasSuffix(s, "Key Signing Service") })
}

// sameName compares names as sets of (type, value): real host key documents and lists order their parts differently,
// and name Poughkeepsie where the signing certificate says Armonk.
func sameName(a, b pkix.Name) bool {
	x, y := nameSet(a), nameSet(b)
	return slices.Equal(x, y)
}

func nameSet(n pkix.Name) []string {
	out := make([]string, 0, len(n.Names))
	for _, at := range n.Names {
		v, _ := at.Value.(string)
		if at.Type.String() == "2.5.4.7" && v == "Armonk" {
			v = "Poughkeepsie"
		}
		out = append(out, at.Type.String()+"="+v)
	}
	slices.Sort(out)
	return out
}

// chainToRoot returns signer, its intermediates and a root, each issued by the next. At least one intermediate is
// demanded, so that a signing certificate directly under a root does not pass.
func chainToRoot(signer *x509.Certificate, cfg HostKeyConfig) ([]*x509.Certificate, error) {
	path := []*x509.Certificate{signer}
	for len(path) <= maxIntermediates+1 {
		last := path[len(path)-1]
		if len(path) > 1 {
			for _, r := range cfg.Roots {
				if issued(r, last) {
					return append(path, r), nil
				}
			}
		}
		next := slices.IndexFunc(cfg.Chain, func(c *x509.Certificate) bool {
			return !slices.Contains(path, c) && issued(c, last)
		})
		if next < 0 {
			break
		}
		path = append(path, cfg.Chain[next])
	}
	return nil, fault.New(fault.Signature, "the IBM Z signing certificate does not chain through an intermediate to a trusted root")
}

func issued(ca, c *x509.Certificate) bool {
	if !ca.IsCA || !ca.BasicConstraintsValid || (ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCertSign == 0) || !bytes.Equal(ca.RawSubject, c.RawIssuer) {
		return false
	}
	if k, ok := ca.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < 2048 { // 112 security bits
		return false
	}
	return ca.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

func checkWindows(path []*x509.Certificate, at time.Time) (from, until time.Time, err error) {
	from, until = path[0].NotBefore, path[0].NotAfter
	for _, c := range path {
		if at.Before(c.NotBefore) || at.After(c.NotAfter) {
			return from, until, fault.New(fault.Stale, "certificate %q is valid from %s to %s, not at %s", c.Subject.CommonName, day(c.NotBefore), day(c.NotAfter), day(at))
		}
		from, until = later(from, c.NotBefore), earlier(until, c.NotAfter)
	}
	return from, until, nil
}

// validList returns a list of the issuer that is valid at the given time. A list that cannot be used never revokes
// anything, and its absence is never taken for "not revoked".
func validList(issuer *x509.Certificate, lists []*x509.RevocationList, at time.Time) (*x509.RevocationList, error) {
	var why error
	for _, l := range lists {
		err := listProblem(issuer, l, at)
		if err == nil {
			return l, nil
		}
		if sameName(l.Issuer, issuer.Subject) {
			why = err
		}
	}
	if why != nil {
		return nil, fault.New(fault.Unavailable, "no valid revocation list of %q: %w", issuer.Subject.CommonName, why)
	}
	return nil, fault.New(fault.Unavailable, "no revocation list of %q was given", issuer.Subject.CommonName)
}

func listProblem(issuer *x509.Certificate, l *x509.RevocationList, at time.Time) error {
	switch {
	case !sameName(l.Issuer, issuer.Subject):
		return fault.New(fault.Signature, "it is the list of %q", l.Issuer)
	case len(l.AuthorityKeyId) > 0 && len(issuer.SubjectKeyId) > 0 && !bytes.Equal(l.AuthorityKeyId, issuer.SubjectKeyId):
		return fault.New(fault.Signature, "it names another key")
	case l.NextUpdate.IsZero():
		return fault.New(fault.Malformed, "it does not say until when it is valid")
	case at.Before(l.ThisUpdate) || at.After(l.NextUpdate):
		return fault.New(fault.Stale, "it is valid from %s to %s, not at %s", day(l.ThisUpdate), day(l.NextUpdate), day(at))
	}
	if err := issuer.CheckSignature(l.SignatureAlgorithm, l.RawTBSRevocationList, l.Signature); err != nil {
		return fault.New(fault.Signature, "its signature does not hold: %w", err)
	}
	return nil
}

func revokedBy(l *x509.RevocationList, c *x509.Certificate) bool {
	return slices.ContainsFunc(l.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool {
		return e.SerialNumber.Cmp(c.SerialNumber) == 0
	})
}

func day(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

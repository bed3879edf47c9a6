package snp

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"strings"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// root is an ARK that counts as an anchor.
type root struct {
	cert      *x509.Certificate
	sha       [32]byte
	key       *rsa.PublicKey
	line      *Line
	builtin   bool
	simulated bool
	authority claim.Authority // the forms under which statements may name it
}

// intermediate is an ASK or ASVK whose signature by a root has been verified.
type intermediate struct {
	authority claim.Authority // its own forms, then those of the root
	cert      *x509.Certificate
	sha       [32]byte
	key       *rsa.PublicKey
	kind      SigningKey // of the keys that it certifies
	root      *root
}

// trust is what one set of anchors means for SNP. It is immutable.
type trust struct {
	id            [32]byte // of the evidence.Anchors
	roots         []*root
	intermediates []*intermediate
}

// newTrust sorts the built-in and configured certificates into roots and intermediates. Roots are taken from anchors
// alone; an intermediate counts only after a root's signature over it has been verified.
func newTrust(anchors *evidence.Anchors, builtin []*x509.Certificate) (*trust, error) {
	t := &trust{id: anchors.ID()}
	if anchors.UseBuiltin() {
		for _, c := range builtin {
			if err := t.addRoot(c, true); err != nil {
				return nil, err
			}
		}
	}
	for _, c := range anchors.Roots() {
		if err := t.addRoot(c, false); err != nil {
			return nil, err
		}
	}
	for _, c := range anchors.Roots() {
		if _, _, ok := intermediateName(c); ok {
			if _, err := t.addIntermediate(c); err != nil {
				return nil, fault.Wrap(err, "configured certificate %q", c.Subject.CommonName)
			}
		}
	}
	for _, c := range builtin {
		// With configured roots only, AMD's intermediates help those who configured AMD's own ARK.
		if _, _, ok := intermediateName(c); ok {
			if _, err := t.addIntermediate(c); err != nil && anchors.UseBuiltin() {
				return nil, fault.New(fault.Internal, "built-in certificate %q: %w", c.Subject.CommonName, err)
			}
		}
	}
	return t, nil
}

// addRoot adds c if it is an ARK. Other certificates among the anchors belong to other drivers or are intermediates.
func (t *trust) addRoot(c *x509.Certificate, builtin bool) error {
	name, isARK := strings.CutPrefix(c.Subject.CommonName, prefixARK)
	key, isRSA := c.PublicKey.(*rsa.PublicKey)
	line := lineByName(name)
	if !isARK || !isRSA || line == nil {
		return nil
	}
	r := &root{cert: c, sha: sha256.Sum256(c.Raw), key: key, line: line, builtin: builtin, simulated: evidence.IsSimulated(c)}
	for _, have := range t.roots {
		if have.sha == r.sha {
			return nil
		}
	}
	if err := verifyPSS(key, c); err != nil || !bytes.Equal(c.RawIssuer, c.RawSubject) {
		return fault.New(fault.Signature, "root %q is not signed by itself", c.Subject.CommonName)
	}
	var err error
	if r.authority, err = claim.CertAuthority(c); err != nil {
		return fault.New(fault.Unsupported, "root %q: %w", c.Subject.CommonName, err)
	}
	t.roots = append(t.roots, r)
	return nil
}

// addIntermediate verifies c under the roots and adds it.
func (t *trust) addIntermediate(c *x509.Certificate) (*intermediate, error) {
	i, err := t.verifyIntermediate(c)
	if err != nil {
		return nil, err
	}
	for _, have := range t.intermediates {
		if have.sha == i.sha {
			return have, nil
		}
	}
	t.intermediates = append(t.intermediates, i)
	return i, nil
}

// verifyIntermediate checks names and signature of an ASK or ASVK.
func (t *trust) verifyIntermediate(c *x509.Certificate) (*intermediate, error) {
	kind, line, ok := intermediateName(c)
	key, isRSA := c.PublicKey.(*rsa.PublicKey)
	if !ok || !isRSA {
		return nil, fault.New(fault.Signature, "%q is neither an ASK nor an ASVK of a known product line", c.Subject.CommonName)
	}
	if c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0 || len(c.UnhandledCriticalExtensions) > 0 {
		return nil, fault.New(fault.Signature, "%q is not allowed to sign certificates", c.Subject.CommonName)
	}
	for _, r := range t.roots {
		if r.line == line && bytes.Equal(c.RawIssuer, r.cert.RawSubject) && verifyPSS(r.key, c) == nil {
			a, err := claim.CertAuthority(c)
			if err != nil {
				return nil, fault.New(fault.Unsupported, "%q: %w", c.Subject.CommonName, err)
			}
			return &intermediate{cert: c, sha: sha256.Sum256(c.Raw), key: key, kind: kind, root: r, authority: append(a, r.authority...)}, nil
		}
	}
	return nil, fault.New(fault.Signature, "%q is not signed by an ARK that is trusted here", c.Subject.CommonName)
}

// intermediateName reads the name of an ASK or ASVK.
func intermediateName(c *x509.Certificate) (SigningKey, *Line, bool) {
	cn := c.Subject.CommonName
	if name, ok := strings.CutPrefix(cn, prefixASVK); ok {
		l := lineByName(name)
		return SignedByVLEK, l, l != nil
	}
	name, ok := strings.CutPrefix(cn, prefixASK)
	l := lineByName(name)
	return SignedByVCEK, l, ok && l != nil
}

// verifyPSS checks the one kind of signature that AMD makes: RSASSA-PSS with SHA-384, MGF1 SHA-384, 48 bytes of salt.
// x509.Verify is not used: VEKs have serial 0 and neither key usages nor constraints (evidence-snp.md section 9).
func verifyPSS(key *rsa.PublicKey, c *x509.Certificate) error {
	if c.SignatureAlgorithm != x509.SHA384WithRSAPSS {
		return fault.New(fault.Signature, "certificate %q is signed with %v, AMD signs with RSASSA-PSS and SHA-384", c.Subject.CommonName, c.SignatureAlgorithm)
	}
	return verifyPSSBytes(key, c.RawTBSCertificate, c.Signature)
}

func verifyPSSBytes(key *rsa.PublicKey, signed, sig []byte) error {
	sum := sha512.Sum384(signed)
	if err := rsa.VerifyPSS(key, crypto.SHA384, sum[:], sig, &rsa.PSSOptions{SaltLength: 48, Hash: crypto.SHA384}); err != nil {
		return fault.New(fault.Signature, "RSA signature: %w", err)
	}
	return nil
}

// chain is a VEK with a verified path to a root. It is immutable and may be cached: everything in it follows from the
// bytes of its certificates and the set of anchors.
type chain struct {
	vek       *vek
	inter     *intermediate
	window    evidence.Window
	links     []evidence.Link
	authority claim.Authority
}

// hasLine reports whether some root of line l is trusted.
func (t *trust) hasLine(l *Line) bool {
	for _, r := range t.roots {
		if r.line == l {
			return true
		}
	}
	return false
}

// pinned reports whether der is one of the certificates of line l that are built in or configured.
func (t *trust) pinned(l *Line, der []byte) bool {
	for _, r := range t.roots {
		if r.line == l && bytes.Equal(r.cert.Raw, der) {
			return true
		}
	}
	for _, i := range t.intermediates {
		if i.root.line == l && bytes.Equal(i.cert.Raw, der) {
			return true
		}
	}
	return false
}

// issuers are the intermediates that may certify keys of kind on line l.
func (t *trust) issuers(l *Line, kind SigningKey) []*intermediate {
	var out []*intermediate
	for _, i := range t.intermediates {
		if i.root.line == l && i.kind == kind {
			out = append(out, i)
		}
	}
	return out
}

// verifyChain finds the issuer of v among the candidates and checks names and signature.
func verifyChain(v *vek, candidates []*intermediate) (*chain, error) {
	wantCN := cnVCEK
	if v.kind == SignedByVLEK {
		wantCN = cnVLEK
	}
	if v.cert.Subject.CommonName != wantCN {
		return nil, fault.New(fault.Signature, "the certificate's subject is %q, %s expected from issuer %q", v.cert.Subject.CommonName, wantCN, v.cert.Issuer.CommonName)
	}
	for _, i := range candidates {
		if i.kind == v.kind && i.root.line == v.line && bytes.Equal(v.cert.RawIssuer, i.cert.RawSubject) && verifyPSS(i.key, v.cert) == nil {
			return newChain(v, i)
		}
	}
	return nil, fault.New(fault.Signature, "certificate %s (issuer %q) is not signed by an intermediate that is trusted here", wantCN, v.cert.Issuer.CommonName)
}

func newChain(v *vek, i *intermediate) (*chain, error) {
	c := &chain{vek: v, inter: i}
	roles := [3]string{"VCEK", "ASK", "ARK"}
	if v.kind == SignedByVLEK {
		roles = [3]string{"VLEK", "ASVK", "ARK"}
	}
	digests := [3][32]byte{v.sha, i.sha, i.root.sha}
	for n, cert := range []*x509.Certificate{v.cert, i.cert, i.root.cert} {
		c.links = append(c.links, evidence.Link{Role: roles[n], Subject: cert.Subject.CommonName, SHA256: digests[n],
			NotBefore: cert.NotBefore, NotAfter: cert.NotAfter})
		if n == 0 || cert.NotBefore.After(c.window.NotBefore) {
			c.window.NotBefore = cert.NotBefore
		}
		if n == 0 || cert.NotAfter.Before(c.window.NotAfter) {
			c.window.NotAfter = cert.NotAfter
		}
	}
	a, err := claim.CertAuthority(v.cert)
	if err != nil {
		return nil, fault.New(fault.Unsupported, "%q: %w", v.cert.Subject.CommonName, err)
	}
	c.authority = append(a, i.authority...)
	return c, nil
}

// checkWindow refuses a clock outside the validity of any certificate of the chain; both ends are inside.
func (c *chain) checkWindow(now time.Time) error {
	for _, l := range c.links {
		switch {
		case now.Before(l.NotBefore):
			return fault.New(fault.Stale, "%s certificate %q is not valid before %s, the clock is %s", l.Role, l.Subject, rfc3339(l.NotBefore), rfc3339(now))
		case now.After(l.NotAfter):
			return fault.New(fault.Stale, "%s certificate %q expired on %s, the clock is %s; a VCEK with the same key can be fetched again", l.Role, l.Subject, rfc3339(l.NotAfter), rfc3339(now))
		}
	}
	return nil
}

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }

package endorse

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
)

// signer is a key that an anchor stands behind.
type signer struct {
	anchor    *Anchor
	name      string // for people
	key       crypto.PublicKey
	keyID     string // SHA-256 of the SubjectPublicKeyInfo, hex
	authority claim.Authority
	scope     string // of the anchor, as text
	window    window // of the certificates and the anchor
}

// window is a closed interval whose zero ends are open, with what set each end.
type window struct {
	notBefore, notAfter time.Time
	from, to            string
}

// narrow intersects w with another interval.
func (w window) narrow(notBefore, notAfter time.Time, by string) window {
	if !notBefore.IsZero() && (w.notBefore.IsZero() || notBefore.After(w.notBefore)) {
		w.notBefore, w.from = notBefore, by
	}
	if !notAfter.IsZero() && (w.notAfter.IsZero() || notAfter.Before(w.notAfter)) {
		w.notAfter, w.to = notAfter, by
	}
	return w
}

// check says at time t which of the intervals is over or has not begun.
func (w window) check(t time.Time) error {
	const layout = time.RFC3339
	if !w.notBefore.IsZero() && t.Before(w.notBefore) {
		return fault.New(fault.Expired, "%s begins only on %s; it is %s", w.from, w.notBefore.UTC().Format(layout), t.UTC().Format(layout))
	}
	if !w.notAfter.IsZero() && t.After(w.notAfter) {
		return fault.New(fault.Expired, "%s ended on %s; it is %s", w.to, w.notAfter.UTC().Format(layout), t.UTC().Format(layout))
	}
	return nil
}

// signers knows the anchored keys, and remembers chains that were validated.
type signers struct {
	direct  []*signer
	anchors []*Anchor

	mu     sync.Mutex
	chains map[[32]byte][]*signer
}

// maxChains bounds the memory of validated chains.
const maxChains = 4096

func newSigners(anchors []*Anchor) (*signers, error) {
	s := &signers{anchors: anchors, chains: map[[32]byte][]*signer{}}
	for _, a := range anchors {
		w := window{}.narrow(a.NotBefore, a.NotAfter, "the trust anchor "+a.Name)
		for _, k := range a.Keys {
			auth, err := claim.KeyAuthority(k)
			if err != nil {
				return nil, fault.New(fault.Unsupported, "trust anchor %q: %w", a.Name, err)
			}
			s.direct = append(s.direct, &signer{a, a.Name, k, keyID(k), auth, a.Scope.String(), w})
		}
		for _, c := range a.Certificates {
			if a.admitsLeaf(c) != "" {
				continue // a root that may not sign by itself
			}
			auth, err := claim.CertAuthority(c)
			if err != nil {
				return nil, fault.New(fault.Unsupported, "trust anchor %q: %w", a.Name, err)
			}
			s.direct = append(s.direct, &signer{a, a.Name, c.PublicKey, keyID(c.PublicKey), auth, a.Scope.String(),
				w.narrow(c.NotBefore, c.NotAfter, "the certificate of "+a.Name)})
		}
	}
	return s, nil
}

func keyID(k crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// find returns every anchor's signer whose key verifies the signature by verify. Nothing of the statement but its
// signature decides; names, key ids and chains in it only narrow the search.
func (s *signers) find(c *corim.Signed, at time.Time, verify func(crypto.PublicKey) error) ([]*signer, error) {
	if len(c.Chain) > 0 {
		return s.byChain(c, at, verify)
	}
	var found []*signer
	var tried []crypto.PublicKey
	order := s.direct
	if len(order) > 1 {
		order = slices.Clone(order)
		slices.SortStableFunc(order, func(a, b *signer) int { return rankHint(a, c) - rankHint(b, c) })
	}
	for _, d := range order {
		switch {
		case len(found) > 0:
			if sameKey(found[0].key, d.key) {
				found = append(found, d)
			}
			continue
		case slices.ContainsFunc(tried, func(k crypto.PublicKey) bool { return sameKey(k, d.key) }):
			continue
		}
		tried = append(tried, d.key)
		if verify(d.key) == nil {
			found = append(found, d)
		}
	}
	if len(found) == 0 {
		return nil, fault.New(fault.Signature, "no anchored key verifies this statement of somebody who calls himself %q (%d keys tried); give the signer's key as a trust anchor if you trust it",
			c.SignerName(), len(tried))
	}
	return found, nil
}

// rankHint puts keys that the statement hints at first.
func rankHint(d *signer, c *corim.Signed) int {
	if hex.EncodeToString(c.KeyID) == d.keyID || d.name == c.SignerName() {
		return 0
	}
	return 1
}

func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// byChain validates the path of x5chain to every anchor that has certificates, after the signature of the leaf.
func (s *signers) byChain(c *corim.Signed, at time.Time, verify func(crypto.PublicKey) error) ([]*signer, error) {
	h := sha256.New()
	for _, der := range c.Chain {
		sum := sha256.Sum256(der)
		h.Write(sum[:])
	}
	id := [32]byte(h.Sum(nil))
	s.mu.Lock()
	known := s.chains[id]
	s.mu.Unlock()
	if known != nil && !slices.ContainsFunc(known, func(k *signer) bool { return k.window.check(at) != nil }) {
		return known, verify(known[0].key)
	}
	certs, err := c.Certificates()
	if err != nil {
		return nil, err
	}
	leaf := certs[0]
	if err := verify(leaf.PublicKey); err != nil {
		return nil, err
	}
	var found []*signer
	var firstErr error
	for _, d := range s.direct {
		if sameKey(d.key, leaf.PublicKey) {
			found = append(found, d)
		}
	}
	for _, a := range s.anchors {
		if len(a.Certificates) == 0 || slices.ContainsFunc(found, func(f *signer) bool { return f.anchor == a }) {
			continue
		}
		sg, err := a.path(certs, at)
		if err == nil {
			found = append(found, sg)
		} else if firstErr == nil || fault.Is(firstErr, fault.Signature) {
			firstErr = err
		}
	}
	if len(found) == 0 {
		if firstErr == nil {
			firstErr = fault.New(fault.Signature, "the certificate of %q leads to no trust anchor; give the issuer's root as one if you trust it", leaf.Subject)
		}
		return nil, firstErr
	}
	// Lists go out of date; a chain that they were consulted for is looked at anew each time.
	if !slices.ContainsFunc(found, func(f *signer) bool { return len(f.anchor.CRLs) > 0 || f.anchor.RequireCRL }) {
		s.mu.Lock()
		if len(s.chains) >= maxChains {
			clear(s.chains)
		}
		s.chains[id] = found
		s.mu.Unlock()
	}
	return found, nil
}

// path validates certs, leaf first, up to a certificate of a at time at.
func (a *Anchor) path(certs []*x509.Certificate, at time.Time) (*signer, error) {
	roots, inter := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range a.Certificates {
		roots.AddCert(c)
	}
	for _, c := range certs[1:] {
		inter.AddCert(c)
	}
	leaf := certs[0]
	chains, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: inter, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		var invalid x509.CertificateInvalidError
		if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
			return nil, fault.New(fault.Expired, "certificate path of %q to the trust anchor %q: %w", leaf.Subject, a.Name, err)
		}
		return nil, fault.New(fault.Signature, "the certificate of %q does not lead to the trust anchor %q: %w", leaf.Subject, a.Name, err)
	}
	if why := a.admitsLeaf(leaf); why != "" {
		return nil, fault.New(fault.Scope, "the trust anchor %q does not let %q sign: %s", a.Name, leaf.Subject, why)
	}
	var first error
	for _, chain := range chains {
		if err := a.revoked(chain, at); err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		auth, err := claim.CertAuthority(leaf)
		if err != nil {
			return nil, fault.New(fault.Unsupported, "certificate of %q: %w", leaf.Subject, err)
		}
		w := window{}.narrow(a.NotBefore, a.NotAfter, "the trust anchor "+a.Name)
		for _, c := range chain {
			w = w.narrow(c.NotBefore, c.NotAfter, "the certificate of "+c.Subject.String())
		}
		return &signer{a, leafName(leaf, a), leaf.PublicKey, keyID(leaf.PublicKey), auth, a.Scope.String(), w}, nil
	}
	return nil, first
}

func leafName(leaf *x509.Certificate, a *Anchor) string {
	if leaf.Subject.CommonName != "" {
		return leaf.Subject.CommonName
	}
	return a.Name
}

// admitsLeaf says why the constraints of a do not let c sign, or "".
func (a *Anchor) admitsLeaf(c *x509.Certificate) string {
	if len(a.LeafNames) > 0 {
		names := append([]string{c.Subject.CommonName}, c.DNSNames...)
		names = append(names, c.EmailAddresses...)
		for _, u := range c.URIs {
			names = append(names, u.String())
		}
		if !slices.ContainsFunc(names, func(n string) bool { return n != "" && slices.Contains(a.LeafNames, n) }) {
			return "it has none of the names that the anchor allows"
		}
	}
	if len(a.EKU) > 0 {
		ok := false
		for _, want := range a.EKU {
			for _, u := range c.UnknownExtKeyUsage {
				ok = ok || u.Equal(want)
			}
			for _, u := range c.ExtKeyUsage {
				ok = ok || u.OID().EqualASN1OID(want)
			}
		}
		if !ok {
			return "it is for none of the purposes that the anchor allows"
		}
	}
	return ""
}

// revoked looks every certificate below the root up in its issuer's list.
func (a *Anchor) revoked(chain []*x509.Certificate, at time.Time) error {
	if len(a.CRLs) == 0 && !a.RequireCRL {
		return nil
	}
	for i, c := range chain[:len(chain)-1] {
		current := false
		for _, der := range a.CRLs {
			l, err := x509.ParseRevocationList(der)
			if err != nil || l.CheckSignatureFrom(chain[i+1]) != nil {
				continue
			}
			for _, r := range l.RevokedCertificateEntries {
				// A withdrawal counts however old the list is.
				if r.SerialNumber.Cmp(c.SerialNumber) == 0 {
					return fault.New(fault.Revoked, "the certificate of %q was revoked by its issuer on %s", c.Subject, r.RevocationTime.UTC().Format(time.RFC3339))
				}
			}
			current = current || !at.Before(l.ThisUpdate) && (l.NextUpdate.IsZero() || !at.After(l.NextUpdate))
		}
		if !current && a.RequireCRL {
			return fault.New(fault.Unavailable, "no current revocation list of %q is at hand, which the trust anchor %q demands", c.Issuer, a.Name)
		}
	}
	return nil
}

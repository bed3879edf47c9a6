package snp

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha512"
	"crypto/x509"
	"math/big"
	"slices"
	"sync"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/internal/sealed"
	"github.com/assay-tee/assay/internal/fault"
)

// Name is the driver's name.
const Name = "snp"

// DefaultCacheBytes is the size of the certificate cache when the configuration names none.
const DefaultCacheBytes = 64 << 20

// maxTrusts bounds the sets of anchors that are kept prepared; a server has one or two.
const maxTrusts = 16

// Config configures a [Driver].
type Config struct {
	// CacheBytes bounds the memory for verified VEK certificates; about 16 KiB each. Zero means DefaultCacheBytes, a
	// negative value switches the cache off.
	CacheBytes int
}

// Driver authenticates SEV-SNP evidence. It implements evidence.Driver and evidence.Inspector.
type Driver struct {
	builtin []*x509.Certificate
	chains  *cache[*chain]   // verified VEKs, by certificate and set of anchors
	crls    *cache[*crl]     // verified CRLs, by list and root
	given   *cache[*library] // decoded blobs of the operator, by content

	mu     sync.Mutex
	trusts map[[32]byte]*trust // by id of the anchors
}

// New makes a driver. It verifies AMD's built-in certificates once.
func New(cfg Config) (*Driver, error) {
	builtin, err := builtinCerts()
	if err != nil {
		return nil, err
	}
	size := cfg.CacheBytes
	switch {
	case size == 0:
		size = DefaultCacheBytes
	case size < 0:
		size = 0
	}
	d := &Driver{builtin: builtin, trusts: map[[32]byte]*trust{},
		chains: newCache[*chain](size), crls: newCache[*crl](size / 16), given: newCache[*library](size / 4)}
	_, err = d.trust(evidence.BuiltinAnchors())
	return d, err
}

// trust returns the prepared form of a set of anchors.
func (d *Driver) trust(a *evidence.Anchors) (*trust, error) {
	d.mu.Lock()
	t, ok := d.trusts[a.ID()]
	d.mu.Unlock()
	if ok {
		return t, nil
	}
	t, err := newTrust(a, d.builtin)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.trusts) >= maxTrusts {
		clear(d.trusts)
	}
	d.trusts[t.id] = t
	return t, nil
}

// session is one authentication: what was sent, and what it is judged by.
type session struct {
	d          *Driver
	env        evidence.Env
	container  *container
	report     Report
	candidates []*Line
	trust      *trust
	bound      evidence.Bound
	bindErr    error // reported only when everything else holds: it says "authentic, but"
}

// Authenticate implements evidence.Driver by the checklist of evidence-snp.md section 15.
func (d *Driver) Authenticate(ctx context.Context, ev evidence.Evidence, env evidence.Env) (*evidence.Verified, error) {
	if err := env.Check(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fault.New(fault.Unavailable, "not begun: %w", err)
	}
	s, err := d.open(ev, env)
	if err != nil {
		return nil, err
	}
	c, list, err := s.authenticate(ctx)
	if err != nil {
		return nil, err
	}
	if s.bindErr != nil {
		return nil, s.bindErr
	}
	return sealed.New(s.content(c, list)), nil
}

// open does the cheap checks: structure, key selection, product, binding.
func (d *Driver) open(ev evidence.Evidence, env evidence.Env) (*session, error) {
	c, err := unwrap(ev)
	if err != nil {
		return nil, err
	}
	s := &session{d: d, env: env, container: c}
	if err := s.report.parse(c.report); err != nil {
		return nil, err
	}
	if err := s.report.checkSigningKey(); err != nil {
		return nil, err
	}
	if s.candidates, err = s.report.candidateLines(); err != nil {
		return nil, err
	}
	if len(s.candidates) == 1 {
		if err := s.candidates[0].checkLayout(&s.report); err != nil {
			return nil, err
		}
	}
	if s.trust, err = d.trust(env.Anchors); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(s.candidates, s.trust.hasLine) {
		return nil, fault.New(fault.Signature, "no hardware root of product line %s is trusted here", s.candidates[0].Name)
	}
	s.bound, s.bindErr = env.Binding.Check("REPORT_DATA", s.report.ReportData[:])
	if s.bindErr != nil && !fault.Is(s.bindErr, fault.Binding) {
		return nil, s.bindErr
	}
	return s, nil
}

// checkSigningKey refuses reports that no key of the chip or provider signed (evidence-snp.md section 5).
func (r *Report) checkSigningKey() error {
	switch k := r.KeyInfo.SigningKey(); {
	case k == SignedByNone:
		return fault.New(fault.Signature, "the report is not signed (SIGNING_KEY is 7)")
	case k != SignedByVCEK && k != SignedByVLEK:
		return fault.New(fault.Unsupported, "SIGNING_KEY %d is reserved", uint8(k))
	case k == SignedByVCEK && r.KeyInfo.MaskChipKey():
		return fault.New(fault.Signature, "the report is not signed: MASK_CHIP_KEY is set, and SIGNING_KEY names the VCEK")
	}
	return nil
}

// verify judges the report by one VEK certificate: everything that does not depend on where the certificate came from.
func (s *session) verify(ctx context.Context, v *vek) (*chain, *crlStatus, error) {
	r := &s.report
	if v.kind != r.KeyInfo.SigningKey() {
		return nil, nil, fault.New(fault.Signature, "the report says that a %s signed it; the certificate supplied has issuer %q", r.KeyInfo.SigningKey(), v.cert.Issuer.CommonName)
	}
	if !v.fits(r, s.candidates) {
		return nil, nil, fault.New(fault.Signature, "the certificate supplied (issuer %q) is not for product line %s", v.cert.Issuer.CommonName, s.candidates[0].Name)
	}
	if err := s.checkIssuers(v); err != nil {
		return nil, nil, err
	}
	c, err := s.chain(ctx, v)
	if err != nil {
		return nil, nil, err
	}
	if err := c.checkWindow(s.env.Time); err != nil {
		return nil, nil, err
	}
	if v.bad != nil {
		return nil, nil, v.bad
	}
	if err := v.line.checkLayout(r); err != nil {
		return nil, nil, err
	}
	if err := verifyReport(c.vek.key, s.container.report, r); err != nil {
		return nil, nil, err
	}
	list, err := s.revocation(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	if err := v.matches(r); err != nil {
		return nil, nil, err
	}
	return c, list, r.checkTCBOrder()
}

// verifyReport checks the signature over the bytes received; nothing is encoded again.
func verifyReport(key *ecdsa.PublicKey, raw []byte, r *Report) error {
	sum := sha512.Sum384(raw[:signedSize])
	if !ecdsa.Verify(key, sum[:], bigEndian(r.R), bigEndian(r.S)) {
		return fault.New(fault.Signature, "the report is not signed by the key of the %s certificate: it was changed, or comes from another chip or TCB", r.KeyInfo.SigningKey())
	}
	return nil
}

func bigEndian(le [48]byte) *big.Int {
	slices.Reverse(le[:])
	return new(big.Int).SetBytes(le[:])
}

// checkTCBOrder refuses reports whose levels contradict each other (evidence-snp.md section 6).
func (r *Report) checkTCBOrder() error {
	for _, t := range r.namedTCBs() {
		if !t.tcb.le(r.CurrentTCB) {
			return fault.New(fault.Malformed, "%s %x is above CURRENT_TCB %x: the firmware contradicts itself", t.field, t.tcb, r.CurrentTCB)
		}
	}
	return nil
}

// checkIssuers compares the intermediates and roots that came with the evidence with those built in or configured.
// None of them is needed; one that differs means that somebody swapped a certificate (docs/design, contracts).
func (s *session) checkIssuers(v *vek) error {
	l := v.line
	for _, sup := range s.container.supplied {
		if sup.role == roleCRL || sup.role == roleVEK || bytes.Equal(sup.der, v.cert.Raw) || s.trust.pinned(l, sup.der) {
			continue
		}
		c, err := x509.ParseCertificate(sup.der)
		if err != nil {
			if sup.role == roleIssuer {
				return fault.New(fault.Malformed, "an ASK or ARK that came with the evidence: %w", err)
			}
			continue // a CRL, or what candidates reports
		}
		if sup.role != roleIssuer && !namesIssuer(c) {
			continue
		}
		if s.missingIssuer(l) {
			if i, err := s.trust.verifyIntermediate(c); err == nil && i.root.line == l {
				continue
			}
		}
		return fault.New(fault.Signature, "certificate %q came with the evidence, but is not the one of %s that is trusted here", c.Subject.CommonName, l.Name)
	}
	return nil
}

// missingIssuer reports whether a root was configured without intermediates, so that they have to be supplied.
func (s *session) missingIssuer(l *Line) bool {
	return len(s.trust.issuers(l, s.report.KeyInfo.SigningKey())) == 0
}

// namesIssuer reports whether c calls itself an ARK, ASK or ASVK.
func namesIssuer(c *x509.Certificate) bool {
	if c.PublicKeyAlgorithm != x509.RSA {
		return false
	}
	for _, name := range []string{c.Subject.CommonName, c.Issuer.CommonName} {
		for _, prefix := range []string{prefixARK, prefixASK} {
			if len(name) > len(prefix) && name[:len(prefix)] == prefix {
				return true
			}
		}
	}
	return false
}

// chain returns the verified chain of v, from the cache when the very bytes were verified under the very anchors.
func (s *session) chain(ctx context.Context, v *vek) (*chain, error) {
	key := cacheKey{v.sha, s.trust.id}
	if c, ok := s.d.chains.Get(key); ok {
		return c, nil
	}
	issuers := s.trust.issuers(v.line, v.kind)
	if len(issuers) > 0 {
		c, err := verifyChain(v, issuers)
		if err == nil {
			s.d.chains.Put(key, c, int64(c.size()))
		}
		return c, err
	}
	// The chain then also depends on a certificate that is not in the key, so it is not kept.
	return verifyChain(v, s.suppliedIssuers(ctx, v.line))
}

// size estimates the memory of c in bytes.
func (c *chain) size() int { return 8*len(c.vek.cert.Raw) + 4<<10 }

func (s *session) content(c *chain, list *crlStatus) sealed.Content {
	root := c.inter.root
	out := sealed.Content{
		TEE: Name, Product: c.vek.line.Name, Time: s.env.Time, Chain: c.links, Window: c.window, Binding: s.bound,
		Root: sealed.Root{Name: root.cert.Subject.CommonName, SHA256: root.sha, BuiltIn: root.builtin, Simulated: root.simulated},
	}
	if root.simulated {
		out.Unsafe = append(out.Unsafe, "simulator-root")
	}
	if !s.bound.Bound {
		out.Unsafe = append(out.Unsafe, "unbound")
	}
	if c.vek.kind == SignedByVCEK && s.report.chipIDMasked() {
		out.Notes = append(out.Notes, "chip_id_masked")
	}
	list.narrow(&out.Window)
	f := &facts{report: s.report, chain: c, crl: *list}
	out.ECTs = f.ects()
	out.Claims = f.claims
	return out
}

// narrow intersects w with the validity of a CRL that was relied upon.
func (l *crlStatus) narrow(w *evidence.Window) {
	if l.status != crlGood {
		return
	}
	if l.thisUpdate.After(w.NotBefore) {
		w.NotBefore = l.thisUpdate
	}
	if l.nextUpdate.Before(w.NotAfter) {
		w.NotAfter = l.nextUpdate
	}
}

// Inspect implements evidence.Inspector.
func (d *Driver) Inspect(ev evidence.Evidence) (*evidence.Inspection, error) {
	c, err := unwrap(ev)
	if err != nil {
		return nil, err
	}
	var f facts
	if err := f.report.parse(c.report); err != nil {
		return nil, err
	}
	return &evidence.Inspection{TEE: Name, Format: c.format, Claims: f.claims()}, nil
}

var _ interface {
	evidence.Driver
	evidence.Inspector
} = (*Driver)(nil)

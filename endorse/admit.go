package endorse

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
)

// Receipt says what was admitted.
type Receipt struct {
	SHA256       string       `json:"sha256"` // of the statement as carried, hex
	ID           string       `json:"id"`     // corim id
	Profile      string       `json:"profile,omitempty"`
	Signer       string       `json:"signer"`
	SignerKey    string       `json:"signer_key,omitempty"`
	Anchor       string       `json:"anchor,omitempty"`
	Scope        string       `json:"scope,omitempty"`
	NotBefore    time.Time    `json:"not_before,omitzero"`
	NotAfter     time.Time    `json:"not_after,omitzero"`
	Tags         []string     `json:"tags"`      // "id version n"
	Relations    int          `json:"relations"` // that it contributes
	Superseded   []string     `json:"superseded,omitempty"`
	Waiting      []string     `json:"waiting,omitempty"` // tags that no tag list has activated
	Relaxations  []string     `json:"relaxations,omitempty"`
	Warnings     []string     `json:"warnings,omitempty"`
	Dependencies []Dependency `json:"dependencies,omitempty"`
	// Provenance are the builds that were found to belong to what the statement speaks of.
	Provenance []ProvenanceLink `json:"provenance,omitempty"`
	// Already says that these very bytes had been admitted before; nothing changed.
	Already bool `json:"already,omitempty"`
}

// Dependency is a dependent RIM that a statement names. It is advisory; nothing is fetched.
type Dependency struct {
	HRefs       []string `json:"hrefs"`
	Thumbprints []string `json:"thumbprints,omitempty"`
	Admitted    bool     `json:"admitted"` // a statement with that thumbprint has been admitted
}

// Admit takes a signed CoRIM (COSE_Sign1) in, or refuses it whole with a class and a reason: malformed, unsupported
// (profile, algorithm), signature (no anchored key or path), revoked, unavailable (a revocation list that is demanded),
// expired, scope, stale (an older version).
func (b *Builder) Admit(data []byte) (*Receipt, error) { return b.admitSigned(data, nil) }

// AdmitDetached takes a signed CoRIM in whose manifest travels beside it: its payload is detached, or a hash of content.
func (b *Builder) AdmitDetached(data, content []byte) (*Receipt, error) {
	if len(content) == 0 {
		return nil, fault.New(fault.Usage, "the manifest that belongs to a detached signature is missing")
	}
	return b.admitSigned(data, content)
}

func (b *Builder) admitSigned(data, content []byte) (*Receipt, error) {
	sum := sha256.Sum256(data)
	sha := hex.EncodeToString(sum[:])
	known, at := b.known(sha)
	if known != nil {
		return known, nil
	}
	if f := formOf(b.cfg.Forms, data); f != nil {
		if content != nil {
			return nil, fault.New(fault.Usage, "a %s has no detached content", f.Name)
		}
		return b.admitForm(f, data, sha, at)
	}
	s, err := corim.ParseSigned(data, corim.Options{Profiles: b.cfg.Profiles, Relax: b.relax})
	if err != nil {
		return nil, err
	}
	verify := s.Verify
	if content != nil {
		verify = func(k crypto.PublicKey) error { return s.VerifyContent(k, content) }
	}
	found, err := b.signers.find(s, at, verify)
	if err != nil {
		return nil, err
	}
	var first error
	for _, sg := range found {
		r, err := b.admitAs(s, sg, sha, data, content, at)
		if err == nil {
			return r, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// known returns the receipt of a statement that is in force already, and the clock.
func (b *Builder) known(sha string) (*Receipt, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	st := b.ledger.statements[sha]
	if st == nil || !st.inForce(&b.ledger) {
		return nil, b.cfg.Time
	}
	r := *st.receipt
	r.Already = true
	return &r, b.cfg.Time
}

// admitAs goes on once the signature is known to hold, in the order of specs corim.md section 4.
func (b *Builder) admitAs(s *corim.Signed, sg *signer, sha string, data, content []byte, at time.Time) (*Receipt, error) {
	a := sg.anchor
	if a.Revoked {
		return nil, fault.New(fault.Revoked, "the trust anchor %q is marked as revoked", a.Name)
	}
	w := sg.window
	if v := s.Validity(); v != nil {
		w = w.narrow(begin(v), v.NotAfter, "the signature's validity")
	}
	if err := w.check(at); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(b.relax, func(r corim.Relaxation) bool { return !slices.Contains(a.Relax, r) }) {
		// Read again with what this signer may leave out, not with what any anchor may.
		var err error
		if s, err = corim.ParseSigned(data, corim.Options{Profiles: b.cfg.Profiles, Relax: a.Relax}); err != nil {
			return nil, err
		}
		if content == nil {
			err = s.Verify(sg.key)
		} else {
			err = s.VerifyContent(sg.key, content)
		}
		if err != nil {
			return nil, err
		}
	}
	m, err := s.Manifest()
	if err != nil {
		return nil, err
	}
	src := Source{Kind: "corim", Signer: sg.name, SignerKey: sg.keyID, Authority: sg.authority, Anchor: a.Name, Scope: sg.scope,
		Relaxations: union(s.Relaxations, m.Relaxations), SHA256: sha}
	return b.admitManifest(m, src, sg, a, w, at, data)
}

// AdmitUnsigned takes an unsigned CoRIM in on the word of an authenticated principal who may administer this verifier;
// the caller must have authenticated him. Never call it for something that a stranger sent or a URL gave. The trail
// says that nothing was signed.
func (b *Builder) AdmitUnsigned(data []byte, principal string) (*Receipt, error) {
	if principal == "" {
		return nil, fault.New(fault.Usage, "an unsigned statement needs the principal who answers for it")
	}
	sum := sha256.Sum256(data)
	sha := hex.EncodeToString(sum[:])
	known, at := b.known(sha)
	if known != nil {
		return known, nil
	}
	m, err := corim.Decode(data, corim.Options{Profiles: b.cfg.Profiles})
	if err != nil {
		return nil, err
	}
	src := *localSource(principal)
	src.Kind, src.Scope = "corim", "unsigned, on the word of "+principal
	src.Relaxations = []string{"unsigned"}
	src.SHA256 = sha
	sg := &signer{anchor: &Anchor{Name: "unsigned, on the word of " + principal, Scope: Anything()}, name: principal, authority: src.Authority, scope: src.Scope}
	return b.admitManifest(m, src, sg, sg.anchor, window{}, at, data)
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func begin(v *corim.Validity) time.Time {
	if v.NotBefore == nil {
		return time.Time{}
	}
	return *v.NotBefore
}

// admitManifest is the part that signed and unsigned statements share.
func (b *Builder) admitManifest(m *corim.Manifest, src Source, sg *signer, a *Anchor, w window, at time.Time, data []byte) (*Receipt, error) {
	p, err := b.prepare(m, src, sg, a, w, at)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.linkBuilds(m, p)
	return p.receipt, b.enter(m, p.parts, p.srcs, p.receipt, a, data)
}

// prepared is a manifest that may be entered into the books as far as it is concerned by itself.
type prepared struct {
	receipt *Receipt
	parts   [][]statementPart // of each CoMID
	srcs    []*Source         // of each CoMID
}

// prepare checks validity, content and scope.
func (b *Builder) prepare(m *corim.Manifest, src Source, sg *signer, a *Anchor, w window, at time.Time) (*prepared, error) {
	if m.Validity != nil {
		w = w.narrow(begin(m.Validity), m.Validity.NotAfter, "the rim-validity")
	}
	if err := w.check(at); err != nil {
		return nil, err
	}
	for i := range m.CoTLs {
		v := &m.CoTLs[i].Validity
		lw := window{}.narrow(begin(v), v.NotAfter, "the tag list "+tagText(m.CoTLs[i].TagIdentity))
		if err := lw.check(at); err != nil {
			return nil, err
		}
	}
	p := b.cfg.Profiles[m.Profile]
	if err := narrowNVIDIA(m); err != nil {
		return nil, err
	}
	warnings, err := checkContent(m, p, sg, a.TruncatedDigests)
	if err != nil {
		return nil, err
	}
	src.ID, src.NotBefore, src.NotAfter = idText(m.ID), w.notBefore, w.notAfter
	cmp := b.comparators[m.Profile]
	parts, srcs := make([][]statementPart, len(m.CoMIDs)), make([]*Source, len(m.CoMIDs))
	n := 0
	for i := range m.CoMIDs {
		c := &m.CoMIDs[i]
		s := src
		s.TagID, s.TagVersion = idText(c.TagID), c.TagVersion
		srcs[i] = &s
		parts[i] = transform(m, p, cmp, &c.Triples, &s)
		for j := range parts[i] {
			x := &parts[i][j]
			if !a.Scope.allows(x.kind, &x.env, x.about) {
				return nil, fault.New(fault.Scope, "%q may not state %s about %s: its scope is %s", a.Name, x.kind, about(x), a.Scope)
			}
			if x.rel != nil {
				n++
			}
		}
	}
	if b.cfg.RequireActivation && len(m.CoTLs) > 0 && !a.Scope.allowsKind(KindTagList) {
		return nil, fault.New(fault.Scope, "%q may not activate tags: its scope is %s", a.Name, a.Scope)
	}
	r := &Receipt{SHA256: src.SHA256, ID: src.ID, Profile: m.Profile, Signer: src.Signer, SignerKey: src.SignerKey, Anchor: src.Anchor, Scope: src.Scope,
		NotBefore: w.notBefore, NotAfter: w.notAfter, Relations: n, Relaxations: src.Relaxations, Warnings: append(slices.Clone(m.Warnings), warnings...)}
	for i := range m.CoMIDs {
		r.Tags = append(r.Tags, tagText(m.CoMIDs[i].TagIdentity))
	}
	return &prepared{r, parts, srcs}, nil
}

// linkBuilds names the builds of what m speaks of. It is called with b.mu held.
func (b *Builder) linkBuilds(m *corim.Manifest, p *prepared) {
	for i, src := range p.srcs {
		var warning string
		if src.Provenance, warning = b.builds.links(m, &m.CoMIDs[i], src.SHA256); warning != "" {
			p.receipt.Warnings = append(p.receipt.Warnings, warning)
		}
		p.receipt.Provenance = append(p.receipt.Provenance, src.Provenance...)
	}
}

func about(x *statementPart) string {
	if len(x.about) == 0 {
		return x.env.String()
	}
	key := x.about[0].Key.String()
	if x.about[0].Key.IsZero() {
		key = "anonymous"
	}
	if len(x.about) > 1 {
		key = fmt.Sprintf("%s and %d more", key, len(x.about)-1)
	}
	return fmt.Sprintf("%s (element %s)", x.env, key)
}

// enter takes a checked manifest into the books. It is called with b.mu held.
func (b *Builder) enter(m *corim.Manifest, parts [][]statementPart, srcs []*Source, r *Receipt, a *Anchor, data []byte) error {
	l := &b.ledger
	if st := l.statements[r.SHA256]; st != nil && st.inForce(l) {
		r.Already = true
		return nil
	}
	p, err := l.plan(m, parts, srcs, r.SHA256, a.Name, a.MayReplace)
	if err != nil {
		return err
	}
	lists, err := b.planLists(m, p, a.Name)
	if err != nil {
		return err
	}
	for _, t := range p.drop {
		if t.active {
			r.Superseded = append(r.Superseded, fmt.Sprintf("%s version %d", idText(t.key.id), t.version))
		}
	}
	if err := b.commit(p, &statement{receipt: r, issuer: a.Name}); err != nil {
		return err
	}
	if err := b.activate(lists); err != nil {
		return err
	}
	for _, t := range p.add {
		if b.cfg.RequireActivation && !t.active {
			r.Waiting = append(r.Waiting, fmt.Sprintf("%s version %d", idText(t.key.id), t.version))
		}
	}
	r.Warnings = append(r.Warnings, p.warnings...)
	for _, d := range m.DependentRIMs {
		dep := Dependency{HRefs: d.HRefs}
		for _, t := range d.Thumbprints {
			dep.Thumbprints = append(dep.Thumbprints, t.String())
			dep.Admitted = dep.Admitted || l.named(t)
		}
		r.Dependencies = append(r.Dependencies, dep)
	}
	l.unhashed = append(l.unhashed, bytes.Clone(data))
	return nil
}

// IsSigned reports whether data looks like a signed CoRIM, rather than an unsigned one, by its first bytes. It decides
// nothing but which call to make.
func IsSigned(data []byte) bool {
	return bytes.HasPrefix(data, []byte{0xd2}) || bytes.HasPrefix(data, []byte{0xd9, 0x01, 0xf4, 0xd9, 0x01, 0xf6}) || bytes.HasPrefix(data, []byte{0xd9, 0x01, 0xf4, 0xd2})
}

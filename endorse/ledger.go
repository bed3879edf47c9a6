package endorse

import (
	"cmp"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
)

// ledger remembers what was admitted, so that replays are recognised and older versions refused.
type ledger struct {
	statements map[string]*statement // by SHA-256 of the bytes as carried, hex
	tags       map[tagKey]*tag       // the version in force, per issuer
	byID       map[claim.ID][]*tag   // the same for all issuers
	coswids    map[tagKey][32]byte   // SHA-256 of the tag
	linkable   map[claim.ID]int      // CoSWID tags that links resolve to
	digests    map[string]bool       // "alg:hex" of statements, for dependent RIMs
	unhashed   [][]byte              // statements that are not in digests yet
	replaced   map[claim.ID][]replacement
}

func newLedger() ledger {
	return ledger{statements: map[string]*statement{}, tags: map[tagKey]*tag{}, byID: map[claim.ID][]*tag{}, coswids: map[tagKey][32]byte{},
		linkable: map[claim.ID]int{}, digests: map[string]bool{}, replaced: map[claim.ID][]replacement{}}
}

// statement is one admitted document.
type statement struct {
	receipt *Receipt
	issuer  string
	tags    []*tag
}

// inForce reports whether all that st brought still counts. A replay of what has been superseded is not "already
// admitted"; it has to be refused as old.
func (st *statement) inForce(l *ledger) bool {
	return !slices.ContainsFunc(st.tags, func(t *tag) bool { return l.tags[t.key] != t })
}

// tagKey names a tag: ids are unique within what one issuer publishes, and an issuer cannot touch another's.
type tagKey struct {
	issuer string
	id     claim.ID
}

// tag is one CoMID in force.
type tag struct {
	key     tagKey
	version uint64
	sum     [32]byte // of the CoMID as carried
	src     *Source
	rels    []relation
	live    []relation // what of it is in the set: rels, or copies of them that a tag list narrows
	active  bool       // in the set: not replaced, and activated where that is required
	// inForce is the source that the relations in the set have; it differs from src when a tag list narrows it.
	inForce *Source
}

// replacement is a "replaces" link whose target may still come.
type replacement struct {
	issuer     string
	mayReplace bool
	by         string
	statement  string // SHA-256 of the statement that says so
}

func (r replacement) reaches(t tagKey) bool { return r.mayReplace || r.issuer == t.issuer }

// plan is what admitting one manifest would change. It is made without changing anything.
type plan struct {
	add      []*tag
	drop     []*tag // superseded or replaced
	reissued []*tag // the same content, vouched for anew
	replaces map[claim.ID]replacement
	swids    map[tagKey][32]byte
	swidIDs  []claim.ID
	warnings []string
	already  int // tags that are in force with these very bytes
}

func (p *plan) dropOnce(t *tag) {
	if !slices.Contains(p.drop, t) {
		p.drop = append(p.drop, t)
	}
}

// plan compares the tags of m with what is in force (specs corim.md A19, A20, A37).
func (l *ledger) plan(m *corim.Manifest, parts [][]statementPart, srcs []*Source, sha, issuer string, mayReplace bool) (*plan, error) {
	p := &plan{}
	var seen map[claim.ID]bool
	if len(m.CoMIDs) > 1 {
		seen = map[claim.ID]bool{}
	}
	for i := range m.CoMIDs {
		c := &m.CoMIDs[i]
		if seen[c.TagID] {
			return nil, fault.New(fault.Malformed, "it holds the tag %s twice", idText(c.TagID))
		}
		if seen != nil {
			seen[c.TagID] = true
		}
		t := &tag{key: tagKey{issuer, c.TagID}, version: c.TagVersion, sum: sha256.Sum256(c.Raw), src: srcs[i], inForce: srcs[i], active: true}
		for _, x := range parts[i] {
			if x.rel != nil {
				t.rels = append(t.rels, x.rel)
			}
		}
		if err := l.planTag(p, t); err != nil {
			return nil, err
		}
		for _, k := range c.Linked {
			if k.Rel != corim.RelReplaces {
				if len(l.byID[k.TagID]) == 0 {
					p.warnings = append(p.warnings, "the supplemented tag "+idText(k.TagID)+" has not been admitted")
				}
				continue
			}
			r := replacement{issuer, mayReplace, tagText(c.TagIdentity), sha}
			for _, target := range l.byID[k.TagID] {
				if !r.reaches(target.key) {
					return nil, fault.New(fault.Scope, "%s replaces the tag %s, which %q published; only that signer, or a trust anchor that may replace, can do so",
						tagText(c.TagIdentity), idText(k.TagID), target.key.issuer)
				}
				p.dropOnce(target)
			}
			if p.replaces == nil {
				p.replaces = map[claim.ID]replacement{}
			}
			p.replaces[k.TagID] = r
		}
	}
	return p, l.planCoSWIDs(p, m, issuer)
}

func (l *ledger) planTag(p *plan, t *tag) error {
	old := l.tags[t.key]
	switch {
	case old == nil:
	case t.version < old.version:
		return fault.New(fault.Stale, "tag %s version %d is older than version %d, which is in force; an operator has to remove that first",
			idText(t.key.id), t.version, old.version)
	case t.version == old.version && t.sum != old.sum:
		return fault.New(fault.Malformed, "tag %s version %d was admitted before with other content; a revised tag must carry a greater version",
			idText(t.key.id), t.version)
	case t.version == old.version:
		p.already++
		// The same content signed anew counts if it holds longer; a replay of what holds less long changes nothing.
		if old.src.NotAfter.IsZero() || !t.src.NotAfter.IsZero() && !t.src.NotAfter.After(old.src.NotAfter) {
			return nil
		}
		t.active = old.active
		p.reissued = append(p.reissued, t)
		p.dropOnce(old)
		return nil
	default:
		p.dropOnce(old)
	}
	for _, r := range l.replaced[t.key.id] {
		if r.reaches(t.key) {
			t.active = false
			p.warnings = append(p.warnings, "the tag "+idText(t.key.id)+" was replaced by "+r.by+" before it came; it counts for nothing")
		}
	}
	p.add = append(p.add, t)
	return nil
}

// planCoSWIDs checks that every link resolves (specs corim.md section 14.1).
func (l *ledger) planCoSWIDs(p *plan, m *corim.Manifest, issuer string) error {
	here := map[claim.ID]bool{}
	if len(m.CoSWIDs) > 0 {
		p.swids = map[tagKey][32]byte{}
	}
	for i := range m.CoSWIDs {
		c := &m.CoSWIDs[i]
		k, sum := tagKey{issuer, c.TagID}, sha256.Sum256(c.Raw)
		old, known := l.coswids[k]
		if known && old != sum {
			return fault.New(fault.Malformed, "CoSWID tag %s was admitted before with other content", idText(c.TagID))
		}
		if !known {
			p.swids[k] = sum
			p.swidIDs = append(p.swidIDs, c.TagID)
		}
		here[c.TagID] = true
	}
	for i := range m.CoMIDs {
		for _, link := range m.CoMIDs[i].Triples.CoSWID {
			for _, id := range link.TagIDs {
				if !here[id] && l.linkable[id] == 0 {
					return fault.New(fault.Malformed, "it links %s to the CoSWID tag %s, which is neither in it nor admitted before", link.Environment, idText(id))
				}
			}
		}
	}
	return nil
}

// commit makes the plan so. Errors leave everything as it was.
func (b *Builder) commit(p *plan, st *statement) error {
	var gone []relation
	for _, t := range p.drop {
		if t.active {
			gone = append(gone, t.live...)
			b.strata.drop(t.inForce)
		}
	}
	fresh := p.add
	if len(p.reissued) > 0 {
		fresh = slices.Concat(p.add, p.reissued)
	}
	var rels []relation
	for _, t := range fresh {
		if b.cfg.RequireActivation && !slices.ContainsFunc(p.reissued, func(r *tag) bool { return r == t }) {
			t.active = false
		}
		if t.active {
			t.live = t.rels
			rels = append(rels, t.rels...)
		}
	}
	if err := b.addRelations(rels); err != nil {
		if b.strata.add(gone) != nil {
			return fault.New(fault.Internal, "what was admitted before cannot be restored after: %w", err)
		}
		return err
	}
	l := &b.ledger
	for _, t := range p.drop {
		b.dropTag(t)
	}
	for _, t := range fresh {
		l.tags[t.key] = t
		l.byID[t.key.id] = append(l.byID[t.key.id], t)
		b.account(t.src)
	}
	for id, r := range p.replaces {
		l.replaced[id] = append(l.replaced[id], r)
	}
	for k, sum := range p.swids {
		l.coswids[k] = sum
	}
	for _, id := range p.swidIDs {
		l.linkable[id]++
	}
	st.tags = fresh
	l.statements[st.receipt.SHA256] = st
	return nil
}

// Remove takes a statement out of force, named by the SHA-256 of its bytes. It is an act of the operator: afterwards an
// older version may be admitted again. What the statement had superseded or replaced does not come back by itself.
func (b *Builder) Remove(sha256Hex string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	st := b.ledger.statements[sha256Hex]
	if st == nil {
		return fault.New(fault.Usage, "no statement with SHA-256 %s has been admitted", sha256Hex)
	}
	for _, t := range st.tags {
		if b.ledger.tags[t.key] == t {
			b.dropTag(t)
		}
	}
	for id, l := range b.ledger.replaced {
		b.ledger.replaced[id] = slices.DeleteFunc(l, func(r replacement) bool { return r.statement == sha256Hex })
	}
	delete(b.ledger.statements, sha256Hex)
	b.snapshot = nil
	return nil
}

// Statements lists what has been admitted and is still in force, by corim id.
func (b *Builder) Statements() []Receipt {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []Receipt
	for _, st := range b.ledger.statements {
		if st.inForce(&b.ledger) {
			out = append(out, *st.receipt)
		}
	}
	slices.SortFunc(out, func(x, y Receipt) int {
		return cmp.Or(strings.Compare(x.ID, y.ID), strings.Compare(x.SHA256, y.SHA256))
	})
	return out
}

// dropTag takes t out of force.
func (b *Builder) dropTag(t *tag) {
	l := &b.ledger
	if t.active {
		b.drop(t.inForce)
		t.active = false
	}
	if l.tags[t.key] == t {
		delete(l.tags, t.key)
		b.discount(t.src)
	}
	l.byID[t.key.id] = slices.DeleteFunc(l.byID[t.key.id], func(o *tag) bool { return o == t })
}

// account and discount keep the digest over what is in force: the sum of the digests of all sources, which does not
// depend on their order.
func (b *Builder) account(s *Source) {
	sum, carry := s.digest(), uint16(0)
	for i := len(sum) - 1; i >= 0; i-- {
		v := uint16(b.basis[i]) + uint16(sum[i]) + carry
		b.basis[i], carry = byte(v), v>>8
	}
	b.snapshot = nil
}

func (b *Builder) discount(s *Source) {
	sum, borrow := s.digest(), int16(0)
	for i := len(sum) - 1; i >= 0; i-- {
		v := int16(b.basis[i]) - int16(sum[i]) - borrow
		b.basis[i], borrow = byte(v), 0
		if v < 0 {
			borrow = 1
		}
	}
	b.snapshot = nil
}

func (s *Source) digest() [32]byte {
	return sha256.Sum256([]byte(s.Kind + "\x00" + s.ID + "\x00" + s.TagID + "\x00" + s.SHA256 + "\x00" + s.Signer + "\x00" + s.Anchor))
}

// named reports whether a statement with that thumbprint has been admitted. Statements by other digests than SHA-256 are
// rarely asked for, so these are made only then.
func (l *ledger) named(d claim.Digest) bool {
	if d.Alg == claim.SHA256 && d.AlgName == "" {
		return l.statements[hex.EncodeToString(d.Value)] != nil
	}
	for _, b := range l.unhashed {
		s384, s512 := sha512.Sum384(b), sha512.Sum512(b)
		l.digests[thumbprint(claim.Digest{Alg: claim.SHA384, Value: s384[:]})] = true
		l.digests[thumbprint(claim.Digest{Alg: claim.SHA512, Value: s512[:]})] = true
	}
	l.unhashed = nil
	return l.digests[thumbprint(d)]
}

func thumbprint(d claim.Digest) string { return d.AlgString() + ":" + hex.EncodeToString(d.Value) }

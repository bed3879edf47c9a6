// Package endorse is stage 2: signed statements go in, and what an authorised signer may say about an environment
// comes out as relations that stage 3 can match. A statement is admitted whole or refused with a reason.
package endorse

import (
	"cmp"
	"hash/maphash"
	"math"
	"slices"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/claim/compare"
)

// Source says where a relation came from, for the trail. One Source is shared by all relations of a statement.
type Source struct {
	Kind        string           `json:"kind"` // "corim", "local" (spoken by the operator), "vendor" (TCB info and its like)
	ID          string           `json:"id"`   // corim id, or a name
	TagID       string           `json:"tag_id,omitempty"`
	TagVersion  uint64           `json:"tag_version,omitempty"`
	SHA256      string           `json:"sha256,omitempty"`     // of the statement as carried, hex
	Signer      string           `json:"signer"`               // name that the anchor has for the key
	SignerKey   string           `json:"signer_key,omitempty"` // SHA-256 of the SubjectPublicKeyInfo, hex
	Authority   claim.Authority  `json:"-"`                    // all forms of the signing key
	Anchor      string           `json:"anchor,omitempty"`     // trust anchor that admitted it
	Scope       string           `json:"scope,omitempty"`      // that anchor's scope, as text
	NotBefore   time.Time        `json:"not_before,omitzero"`
	NotAfter    time.Time        `json:"not_after,omitzero"`
	Relaxations []string         `json:"relaxations,omitempty"`
	Provenance  []ProvenanceLink `json:"provenance,omitempty"`
}

// ProvenanceLink ties a statement to the build of the artefact that it speaks of.
type ProvenanceLink struct {
	// Artefact says what of the machine was built: "firmware", "kernel", "initrd" (an input of the measurement),
	// "reference" (the very thing that a reference value is the digest of), or "statement" (what its signer says the
	// statement rests on).
	Artefact string    `json:"artefact"`
	Builder  string    `json:"builder"`
	Level    int       `json:"level"` // SLSA build level granted to the builder by configuration
	Source   string    `json:"source"`
	Ref      string    `json:"ref,omitempty"`
	Commit   string    `json:"commit"`
	Workflow string    `json:"workflow,omitempty"`
	Run      string    `json:"run,omitempty"`
	Signer   string    `json:"signer,omitempty"` // identity in the certificate, or the configured key
	Log      string    `json:"log,omitempty"`    // of the entry that was verified
	LogIndex string    `json:"log_index,omitempty"`
	Time     time.Time `json:"time,omitzero"` // at which somebody else saw the signature
	SHA256   string    `json:"sha256"`        // of the attestation as carried
}

// Comparator and Comparators are a profile's own algorithms (package compare); nil means the base rules.
type (
	Comparator  = compare.Func
	Comparators = compare.Lookup
)

// Reference is the relation rv of a reference-value triple: Elements are matched against Evidence.
type Reference struct {
	Environment claim.Environment
	Elements    []claim.Element
	Profile     string
	Compare     Comparators // nil: base rules
	// ExactCover demands that the elements of the Evidence and those of the statement are matched one to one, so that
	// nothing is left over on either side (specs corim.md A24).
	ExactCover bool
	// ByName marks an expectation that the operator spoke: it has no environment, and each element is matched by its
	// Name against an element of the Evidence of that name, its value given as bytes (code point 19).
	ByName bool
	// TEE limits an expectation by name to evidence of one driver; "" means any.
	TEE    string
	Source *Source
}

// Endorsement is the relation ev of an endorsed-value or conditional-endorsement triple.
type Endorsement struct {
	Conditions  []claim.ECT
	Additions   []claim.ECT
	Conditional bool // conditional-endorsement triple; otherwise endorsed-value
	Profile     string
	Compare     Comparators
	Source      *Source
}

// Series is the relation evs of a conditional-endorsement series: Common must be met, then the first item whose
// condition is met counts. All conditions are about Environment and are met by one ECT.
type Series struct {
	Environment  claim.Environment
	Common       []claim.Element
	AuthorizedBy claim.Authority
	Items        []SeriesItem
	Profile      string
	Compare      Comparators
	Source       *Source
}

// SeriesItem is one condition, beside the common one, and its addition.
type SeriesItem struct {
	Condition []claim.Element
	Addition  claim.ECT
}

// Keys is the relation of an identity or attest-key triple.
type Keys struct {
	Environment  claim.Environment
	Keys         []claim.ID
	MKey         claim.ID
	AuthorizedBy claim.Authority
	Identity     bool // identity triple; otherwise attest-key
	Profile      string
	Source       *Source
}

// Domain is the relation of a membership (dm) or dependency (td) triple.
type Domain struct {
	Domain     claim.Environment
	Members    []claim.Environment // or trustees
	Dependency bool                // td; otherwise dm
	Profile    string
	Source     *Source
}

// ValidAt reports whether what s vouches for counts at time t; an end that is zero is open.
func (s *Source) ValidAt(t time.Time) bool {
	return (s.NotBefore.IsZero() || !t.Before(s.NotBefore)) && (s.NotAfter.IsZero() || !t.After(s.NotAfter))
}

// relation is one of *Reference, *Endorsement, *Series, *Keys, *Domain.
type relation interface{ source() *Source }

func (r *Reference) source() *Source   { return r.Source }
func (r *Endorsement) source() *Source { return r.Source }
func (r *Series) source() *Source      { return r.Source }
func (r *Keys) source() *Source        { return r.Source }
func (r *Domain) source() *Source      { return r.Source }

// Set is an immutable snapshot of everything admitted. It is made by [Builder.Set] and safe for concurrent use; the
// zero value is not valid.
type Set struct {
	seed     maphash.Seed
	segments []*segment
	masks    []envMask        // environment shapes in use
	points   map[point]uint64 // elements that some statement is found by
	dropped  map[*Source]bool // superseded since their segment was built
	local    []*Reference     // expectations by name
	ranks    map[*Series]int  // stratification; see [Set.Rank]
	evRanks  map[*Endorsement]int
	count    int
	basis    [32]byte
	ok       bool
}

// Valid reports whether s was made by a [Builder].
func (s *Set) Valid() bool { return s != nil && s.ok }

// Len returns the number of relations in s.
func (s *Set) Len() int { return s.count }

// Digest identifies what is in force, whatever the order in which it was admitted.
func (s *Set) Digest() [32]byte { return s.basis }

// Local returns the expectations by name, in the order in which they were spoken.
func (s *Set) Local() []*Reference { return s.local }

// Selection is what of a set could speak about one ECT. It may be reused.
type Selection struct {
	References   []*Reference
	Endorsements []*Endorsement
	Series       []*Series
	Keys         []*Keys
	Domains      []*Domain

	keys []uint64
}

func (s *Selection) reset() {
	*s = Selection{s.References[:0], s.Endorsements[:0], s.Series[:0], s.Keys[:0], s.Domains[:0], s.keys[:0]}
}

func (s *Selection) add(r relation) {
	switch r := r.(type) {
	case *Reference:
		s.References = appendNew(s.References, r)
	case *Endorsement:
		s.Endorsements = appendNew(s.Endorsements, r)
	case *Series:
		s.Series = appendNew(s.Series, r)
	case *Keys:
		s.Keys = appendNew(s.Keys, r)
	case *Domain:
		s.Domains = appendNew(s.Domains, r)
	}
}

// appendNew drops an immediate repetition; a relation that is found twice by different keys is met twice by the engine,
// where the second time adds nothing.
func appendNew[T comparable](l []T, v T) []T {
	if n := len(l); n > 0 && l[n-1] == v {
		return l
	}
	return append(l, v)
}

// Select fills into with every relation whose (first) condition an ECT of this environment and these elements could
// meet; what it selects still has to be compared. The cost does not depend on the size of the set: relations are
// found by environment and by one value that they pin.
func (s *Set) Select(env *claim.Environment, elements []*claim.Element, into *Selection) {
	into.reset()
	into.keys = s.probe(into.keys, env, elements)
	for _, seg := range s.segments {
		for _, k := range into.keys {
			c, found := seg.heads[k]
			if !found {
				continue
			}
			for i := c.first; i >= 0; i = seg.entries[i].next {
				r := seg.entries[i].rel
				if len(s.dropped) == 0 || !s.dropped[r.source()] {
					into.add(r)
				}
			}
		}
	}
}

// Mentions reports whether any reference value speaks about elements of that key.
func (s *Set) Mentions(key claim.ID) bool {
	for _, g := range s.segments {
		if g.keys[key] {
			return true
		}
	}
	return false
}

// Nearby returns up to max reference values about environments that contain env, for the trail: candidates for "the
// nearest statement". The choice does not depend on the order of admission.
func (s *Set) Nearby(env *claim.Environment, max int) []*Reference {
	var out []nearRef
	for _, m := range s.masks {
		h, fits := s.hashEnv(env, m)
		if !fits {
			continue
		}
		for _, seg := range s.segments {
			for _, n := range seg.near[h] {
				if len(s.dropped) == 0 || !s.dropped[n.ref.Source] {
					out = append(out, n)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b nearRef) int { return cmp.Compare(a.ord, b.ord) })
	refs := make([]*Reference, 0, min(len(out), max))
	for _, n := range out[:min(len(out), max)] {
		refs = append(refs, n.ref)
	}
	return refs
}

// SeriesRank and EndorsementRank are the stratum in which a relation is looked at: everything that could add to what a
// series matches against has a lower rank. An endorsement that feeds no series has the highest rank.
func (s *Set) SeriesRank(r *Series) int { return s.ranks[r] }

// EndorsementRank is the stratum of r.
func (s *Set) EndorsementRank(r *Endorsement) int {
	if n, ok := s.evRanks[r]; ok {
		return n
	}
	return math.MaxInt
}

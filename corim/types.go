// Package corim reads and writes Concise Reference Integrity Manifests (draft-ietf-rats-corim-11): the manifest, its
// CoMID, CoSWID, CoTS and CoTL tags, and the COSE_Sign1 envelope around it. It says what a document contains and
// whether a given key signed it; who may sign what is decided by package endorse.
//
// Reading is strict unless a call names relaxations ([Options.Relax]). Writing is core deterministic, and a document
// that was deterministic reads and writes to the same bytes. Signed bytes are never re-encoded: Raw fields hold them as
// carried.
package corim

import (
	"time"

	"github.com/assay-tee/assay/claim"
)

// CBOR tags of the envelope and of the tags in a manifest (draft-ietf-rats-corim section 4, "CBOR Tags").
const (
	TagCOSESign1   uint64 = 18
	TagLegacyCoRIM uint64 = 500
	TagCoRIM       uint64 = 501
	TagLegacyCOSE  uint64 = 502
	TagCoSWID      uint64 = 505
	TagCoMID       uint64 = 506
	TagCoTS        uint64 = 507
	TagCoTL        uint64 = 508
)

// Media types of the two envelopes.
const (
	MediaTypeUnsigned = "application/rim+cbor"
	MediaTypeSigned   = "application/rim+cose"
)

// Manifest is corim-map (section 4.1), decoded.
type Manifest struct {
	ID            claim.ID // text, or 16 untagged bytes (UUID)
	Profile       string   // URI, or OID in dotted decimal; "" when none
	Validity      *Validity
	Entities      []Entity
	DependentRIMs []Locator
	CoMIDs        []CoMID
	CoSWIDs       []CoSWID
	CoTLs         []CoTL
	CoTSs         []CoTS
	TagOrder      []uint64          // tag numbers in the order carried; used for writing while it agrees with the lists
	Ext           []claim.Extension // positive keys not known here: kept and reported
	Raw           []byte            // tag 501 and its map as carried; nil when made here
	Relaxations   []string          // compat rules that were needed to decode this, by name
	Warnings      []string          // valid, but worth saying: deprecated forms, unknown keys
}

// Validity is rim-validity or signature-validity; a nil NotBefore is open.
type Validity struct {
	NotBefore *time.Time
	NotAfter  time.Time
}

// Entity is an entity-map with the roles as the numbers of its table: in a manifest 1 manifest-creator and 2
// manifest-signer, in a CoMID 0 tag-creator, 1 creator and 2 maintainer.
type Entity struct {
	Name  string
	RegID string // URI; "" when none
	Roles []int64
	Ext   []claim.Extension
}

// Locator is corim-locator-map: where a dependent document may be found, and what it must hash to.
type Locator struct {
	HRefs       []string
	Thumbprints []claim.Digest
	// HRefList and ThumbprintList say that a single entry was carried as a list of one.
	HRefList, ThumbprintList bool
}

// TagIdentity is tag-identity-map.
type TagIdentity struct {
	TagID      claim.ID // text, or 16 untagged bytes (UUID)
	TagVersion uint64
	// ExplicitZero says that version 0, the default, was carried.
	ExplicitZero bool
}

// CoMID is concise-mid-tag (section 5).
type CoMID struct {
	Language string
	TagIdentity
	Entities []Entity
	Linked   []LinkedTag
	Triples  Triples
	Ext      []claim.Extension
	Raw      []byte // the map as carried
}

// LinkedTag says how a CoMID relates to another; Rel 0 supplements, 1 replaces.
type LinkedTag struct {
	TagID claim.ID
	Rel   int64
}

// Relations of a [LinkedTag].
const (
	RelSupplements int64 = 0
	RelReplaces    int64 = 1
)

// Triples is triples-map (section 5.1); the number beside each field is its code point.
type Triples struct {
	Reference   []ValueTriple       // 0
	Endorsed    []ValueTriple       // 1
	Identity    []KeyTriple         // 2
	AttestKey   []KeyTriple         // 3
	Dependency  []DomainTriple      // 4: domain, trustees
	Membership  []DomainTriple      // 5: domain, members
	CoSWID      []CoSWIDTriple      // 6
	Series      []SeriesTriple      // 8
	Conditional []ConditionalTriple // 10
	Unknown     []UnknownTriple     // kept and reported; they contribute nothing
}

// ValueTriple is [environment, [+ measurement]]: reference values, endorsed values, and the parts of conditions.
type ValueTriple struct {
	Environment claim.Environment
	Elements    []claim.Element
}

// KeyTriple is an identity or attest-key triple.
type KeyTriple struct {
	Environment  claim.Environment
	Keys         []claim.ID
	MKey         claim.ID
	AuthorizedBy claim.Authority
}

// DomainTriple is a dependency or membership triple.
type DomainTriple struct {
	Domain  claim.Environment
	Members []claim.Environment
}

// CoSWIDTriple links an environment to CoSWID tags.
type CoSWIDTriple struct {
	Environment claim.Environment
	TagIDs      []claim.ID
}

// ConditionalTriple is a conditional endorsement: all Conditions met, all Endorsements added.
type ConditionalTriple struct {
	Conditions   []ValueTriple
	Endorsements []ValueTriple
}

// SeriesTriple is a conditional endorsement series: the first item that matches counts.
type SeriesTriple struct {
	Environment  claim.Environment
	Common       []claim.Element
	AuthorizedBy claim.Authority
	Items        []SeriesItem
}

// SeriesItem is one [condition, addition] of a series.
type SeriesItem struct {
	Condition []claim.Element
	Addition  []claim.Element
}

// UnknownTriple is a triple category that the base does not define. Name is set when the profile defines it; Raw is the
// list, core deterministic.
type UnknownTriple struct {
	Key  int64
	Name string
	Raw  []byte
}

// CoTL is a concise tag list (section 6): the tags it activates.
type CoTL struct {
	TagIdentity
	Tags     []TagIdentity
	Validity Validity
	Raw      []byte // the map as carried
}

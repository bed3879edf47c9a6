// Package corim reads and writes Concise Reference Integrity Manifests (draft-ietf-rats-corim-11): the manifest, its
// CoMID, CoSWID and CoTL tags, and the COSE_Sign1 envelope around it. It says what a document contains and whether a
// given key signed it; who may sign what is decided by package endorse.
package corim

import (
	"time"

	"github.com/assay-tee/assay/claim"
)

// Manifest is corim-map (section 4.1), decoded. The carried bytes stay in Raw; nothing is ever re-encoded to be hashed.
type Manifest struct {
	ID            claim.ID // text, or 16 untagged bytes (UUID)
	Profile       string   // URI, or OID in dotted decimal; "" when none
	Validity      *Validity
	Entities      []Entity
	DependentRIMs []Locator
	CoMIDs        []CoMID
	CoSWIDs       []CoSWID
	CoTLs         []CoTL
	Raw           []byte
	Relaxations   []string // compat rules that were needed to decode this, by name
}

// Validity is rim-validity or signature-validity; a nil NotBefore is open.
type Validity struct {
	NotBefore *time.Time
	NotAfter  time.Time
}

// Entity is an entity-map with the roles as the numbers of its table.
type Entity struct {
	Name  string
	RegID string
	Roles []int64
}

// Locator is corim-locator-map: where a dependent document may be found, and what it must hash to.
type Locator struct {
	HRefs       []string
	Thumbprints []claim.Digest
}

// CoMID is concise-mid-tag (section 5).
type CoMID struct {
	Language   string
	TagID      claim.ID
	TagVersion uint64
	Entities   []Entity
	Linked     []LinkedTag
	Triples    Triples
}

// LinkedTag says how a CoMID relates to another; Rel 0 supplements, 1 replaces.
type LinkedTag struct {
	TagID claim.ID
	Rel   int64
}

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

// UnknownTriple is a triple category that neither the base nor the profile defines.
type UnknownTriple struct {
	Key int64
	Raw []byte
}

// CoTL is a concise tag list (section 6): the tags it activates.
type CoTL struct {
	TagID      claim.ID
	TagVersion uint64
	Tags       []TagRef
	Validity   Validity
}

// TagRef names one tag in one version.
type TagRef struct {
	TagID   claim.ID
	Version uint64
}

// CoSWID is a concise SWID tag (RFC 9393), as far as CoRIM needs it.
type CoSWID struct {
	TagID           claim.ID
	TagVersion      int64
	SoftwareName    string
	SoftwareVersion string
	Files           []CoSWIDFile
	Raw             []byte
}

// CoSWIDFile is a file of a payload or evidence with its digest.
type CoSWIDFile struct {
	Path   string
	Size   uint64
	Digest claim.Digest
}

// Package endorse is stage 2: signed statements go in, and what an authorised signer may say about an environment
// comes out as relations that stage 3 can match. A statement is admitted whole or refused with a reason.
package endorse

import (
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
	Builder  string    `json:"builder"`
	Source   string    `json:"source"`
	Commit   string    `json:"commit"`
	LogIndex string    `json:"log_index,omitempty"`
	Time     time.Time `json:"time,omitzero"`
}

// Comparator and Comparators are a profile's own algorithms (package compare); nil means the base rules.
type (
	Comparator  = compare.Func
	Comparators = compare.Lookup
)

// Reference is the relation rv of a reference-value triple: Condition is matched against Evidence.
type Reference struct {
	Environment claim.Environment
	Elements    []claim.Element
	Profile     string
	Compare     Comparators // nil: base rules
	Source      *Source
}

// Endorsement is the relation ev of an endorsed-value or conditional-endorsement triple.
type Endorsement struct {
	Conditions []claim.ECT
	Additions  []claim.ECT
	Profile    string
	Compare    Comparators
	Source     *Source
}

// Series is the relation evs of a conditional-endorsement series: the first item whose condition is met counts.
type Series struct {
	Items   []SeriesItem
	Profile string
	Compare Comparators
	Source  *Source
}

// SeriesItem is one condition and its addition.
type SeriesItem struct{ Condition, Addition claim.ECT }

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
	Domain  claim.Environment
	Members []claim.Environment // or trustees
	Profile string
	Source  *Source
}

// Package appraise is stage 3: authenticated evidence and admitted statements go in, accepted claims come out, each
// with the trail of what vouches for it. It is a pure function of its inputs: no clock, no store, no network.
package appraise

import (
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
)

// Appraisal is the outcome of stage 3. The zero value is not valid and is refused by stage 4.
type Appraisal struct {
	time      time.Time
	attesters []*Attester
	ok        bool
}

// Valid reports whether a was made by [Appraise].
func (a *Appraisal) Valid() bool { return a != nil && a.ok }

// Time returns the clock of the appraisal.
func (a *Appraisal) Time() time.Time { return a.time }

// Attesters returns one entry per separately appraised Attester, in the order given; the first is the lead.
func (a *Appraisal) Attesters() []*Attester { return a.attesters }

// Attester is what was found about one Attester. There is one accepted claims set per Attester (specs corim.md A23).
type Attester struct {
	Label    string
	Evidence *evidence.Verified
	Accepted []AcceptedECT // the accepted claims set (ACS), in a deterministic order
	Trail    []Entry
}

// AcceptedECT is an ECT of the accepted claims set with the statement that put it there; a nil Source is Evidence.
type AcceptedECT struct {
	claim.ECT
	Source *endorse.Source
}

// Entry is one line of the trail: one claim of the evidence, and what it rests on.
type Entry struct {
	Attester string    `json:"attester"`
	Claim    string    `json:"claim"`           // the name people know it by: "measurement"
	Field    string    `json:"field,omitempty"` // evidence field it was read from
	Value    string    `json:"value"`
	Accepted bool      `json:"accepted"`           // an admitted statement vouches for this value
	Root     string    `json:"root"`               // hardware root the evidence was authenticated under
	Vouchers []Voucher `json:"vouchers,omitempty"` // every statement that vouches for it
	Nearest  *Nearest  `json:"nearest,omitempty"`  // when nothing vouches: the statement that came nearest
}

// Voucher is one statement that vouches for a claim.
type Voucher struct {
	*endorse.Source
	Relation string `json:"relation"` // "reference-value", "endorsed-value", "conditional-endorsement", …
}

// Nearest is the statement that came nearest to a match, and the first difference.
type Nearest struct {
	*endorse.Source
	What      string `json:"what"`      // element that differs
	Evidence  string `json:"evidence"`  // value in the evidence, "absent" when there is none
	Statement string `json:"statement"` // value the statement asks for
	Why       string `json:"why"`       // one sentence
}

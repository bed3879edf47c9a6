// Package sealed holds the only constructor of a decision, so that nothing outside the policy packages can make one.
package sealed

import "github.com/assay-tee/assay/claim"

// Decision is the answer of stage 4 to one question. The zero value is not valid, and is refused by stages 5 and 6.
type Decision struct {
	c  Content
	ok bool
}

// Content is what a policy decided.
type Content struct {
	Question  Question
	Tier      claim.Tier // of the whole: the worst of the attesters
	Attesters []AttesterDecision
	PolicyIDs []string // urn:assay:policy:<name>:<sha-256>, in the order of application
	Reasons   []Reason // why the tier is not affirming, or the release not allowed; also warnings
	Allow     bool     // only for a release question
}

// Question is what was asked.
type Question struct {
	Release  bool   // "may it have this secret?"; otherwise "is this machine acceptable?"
	Resource string // of a release: repository/type/tag
}

// AttesterDecision is the part of one Attester.
type AttesterDecision struct {
	Label  string
	Tier   claim.Tier
	Vector claim.TrustVector
}

// Reason is one finding that kept the verdict down, said so that the reader knows what to do next.
type Reason struct {
	Attester string `json:"attester,omitempty"`
	Code     string `json:"code"` // stable: "debug", "not-vouched", "unbound", "tcb-floor", …
	What     string `json:"what"`
	Why      string `json:"why"`
	Next     string `json:"next,omitempty"` // what the reader can do
	Claim    string `json:"claim,omitempty"`
}

// New seals c.
func New(c Content) *Decision { return &Decision{c: c, ok: true} }

// Valid reports whether d was made by a policy.
func (d *Decision) Valid() bool { return d != nil && d.ok }

// Content returns what was decided. Callers must not change it.
func (d *Decision) Content() Content { return d.c }

// Tier returns the verdict.
func (d *Decision) Tier() claim.Tier { return d.c.Tier }

// AllowsRelease reports whether d answers a release question for this resource with yes.
func (d *Decision) AllowsRelease(resource string) bool {
	return d.Valid() && d.c.Question.Release && d.c.Allow && resource != "" && d.c.Question.Resource == resource
}

// Package report is what a person or a script gets to read of a verdict: one value, as JSON (schema "assay.verify/v1",
// docs/verify-json.md) and as text.
package report

import (
	"time"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/policy"
)

// Schema names the shape of [Report]. It changes when a member changes its meaning or goes away; members may be added.
const Schema = "assay.verify/v1"

// Report is the whole of a verdict, or of a refusal.
type Report struct {
	Schema   string           `json:"schema"`
	Verdict  string           `json:"verdict"` // affirming, warning, contraindicated, none
	Time     time.Time        `json:"time"`    // the clock everything was tested against
	Evidence []Evidence       `json:"evidence"`
	Trail    []appraise.Entry `json:"trail"`
	Reasons  []policy.Reason  `json:"reasons"`  // what kept the verdict from affirming
	Failures []Failure        `json:"failures"` // what stopped the appraisal; empty when there is a verdict
	Policies []string         `json:"policies,omitempty"`
	Unsafe   []string         `json:"unsafe,omitempty"`
	EAR      string           `json:"ear,omitempty"`
}

// Evidence is one authenticated piece of evidence.
type Evidence struct {
	Label     string         `json:"label"`
	TEE       string         `json:"tee"`
	Product   string         `json:"product,omitempty"`
	Status    string         `json:"status,omitempty"` // tier of this Attester
	Vector    map[string]int `json:"trust_vector,omitempty"`
	Root      Root           `json:"root"`
	Chain     []Link         `json:"chain,omitempty"`
	NotBefore time.Time      `json:"not_before,omitzero"`
	NotAfter  time.Time      `json:"not_after,omitzero"`
	Binding   Binding        `json:"binding"`
	Notes     []string       `json:"notes,omitempty"`
	Claims    claim.Object   `json:"claims"`
}

// Root is the hardware root that the evidence chains to.
type Root struct {
	Name      string     `json:"name"`
	SHA256    claim.Node `json:"sha256"`
	Source    string     `json:"source"` // "built-in" or "configured"
	Simulated bool       `json:"simulated,omitempty"`
}

// Link is one certificate of the chain.
type Link struct {
	Role      string     `json:"role"`
	Subject   string     `json:"subject"`
	SHA256    claim.Node `json:"sha256"`
	NotBefore time.Time  `json:"not_before,omitzero"`
	NotAfter  time.Time  `json:"not_after,omitzero"`
}

// Binding says what the evidence was bound to.
type Binding struct {
	Bound bool       `json:"bound"`
	Field string     `json:"field"`
	Value claim.Node `json:"value"`
}

// Failure is one error with its class. Why is the sentence of the class, What the error itself.
type Failure struct {
	Class string `json:"class"`
	What  string `json:"what"`
	Why   string `json:"why"`
	Input string `json:"input,omitempty"` // file or label it is about
}

// New renders an appraisal and the decision on it. It panics on nothing: zero values give an empty report.
func New(a *appraise.Appraisal, d *policy.Decision) *Report {
	r := empty(time.Time{})
	if !a.Valid() || !d.Valid() {
		return r
	}
	c := d.Content()
	r.Time, r.Verdict, r.Policies = a.Time(), c.Tier.String(), c.PolicyIDs
	r.Reasons = append(r.Reasons, c.Reasons...)
	for _, at := range a.Attesters() {
		e := FromVerified(at.Label, at.Evidence)
		for _, ad := range c.Attesters {
			if ad.Label == at.Label {
				e.Status, e.Vector = ad.Tier.String(), vector(ad.Vector)
			}
		}
		r.Evidence = append(r.Evidence, e)
		r.Trail = append(r.Trail, at.Trail...)
		r.Trail = append(r.Trail, at.Endorsed...) // what endorsers added: a vendor's word about its TCB
		for _, u := range at.Evidence.Unsafe() {
			r.addUnsafe(u)
		}
	}
	return r
}

// FromError renders a refusal at time at. Inputs that were authenticated before the refusal are kept.
func FromError(at time.Time, input string, err error, done ...Evidence) *Report {
	r := empty(at)
	r.Evidence = append(r.Evidence, done...)
	r.AddFailure(input, err)
	return r
}

// AddFailure appends err.
func (r *Report) AddFailure(input string, err error) {
	row := fault.ClassOf(err).Row()
	r.Failures = append(r.Failures, Failure{Class: row.Name, What: err.Error(), Why: row.Meaning, Input: input})
}

func empty(at time.Time) *Report {
	return &Report{Schema: Schema, Verdict: claim.TierNone.String(), Time: at, Evidence: []Evidence{},
		Trail: []appraise.Entry{}, Reasons: []policy.Reason{}, Failures: []Failure{}}
}

func (r *Report) addUnsafe(u string) {
	for _, have := range r.Unsafe {
		if have == u {
			return
		}
	}
	r.Unsafe = append(r.Unsafe, u)
}

// FromVerified renders authenticated evidence.
func FromVerified(label string, v *evidence.Verified) Evidence {
	root, bound, win := v.Root(), v.Binding(), v.Window()
	e := Evidence{
		Label: label, TEE: v.TEE(), Product: v.Product(), Claims: v.Claims(), Notes: v.Notes(),
		NotBefore: win.NotBefore, NotAfter: win.NotAfter,
		Root:    Root{Name: root.Name, SHA256: claim.H(root.SHA256[:]), Source: "configured", Simulated: root.Simulated},
		Binding: Binding{Bound: bound.Bound, Field: bound.Field, Value: claim.H(bound.Value)},
	}
	if root.BuiltIn {
		e.Root.Source = "built-in"
	}
	for _, l := range v.Chain() {
		e.Chain = append(e.Chain, Link{Role: l.Role, Subject: l.Subject, SHA256: claim.H(l.SHA256[:]), NotBefore: l.NotBefore, NotAfter: l.NotAfter})
	}
	return e
}

func vector(v claim.TrustVector) map[string]int {
	out := map[string]int{}
	for i, m := range v {
		if m.Set {
			out[claim.VectorMember(i).String()] = int(m.V)
		}
	}
	return out
}

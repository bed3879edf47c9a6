package result

import (
	"slices"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/keys"
)

// Accepted is a result that [Verify] has accepted. It cannot be made otherwise; the zero value is not valid.
type Accepted struct {
	d   *document
	key keys.Public
}

func newAccepted(d *document, key keys.Public) *Accepted { return &Accepted{d: d, key: key} }

// Valid reports whether a was made by [Verify].
func (a *Accepted) Valid() bool { return a != nil && a.d != nil }

// Key returns the configured key that signed the result.
func (a *Accepted) Key() keys.Public { return a.key }

// Profile returns the dialect.
func (a *Accepted) Profile() Profile { return a.d.profile }

// Issuer returns iss, "" when absent.
func (a *Accepted) Issuer() string { return a.d.issuer }

// Verifier returns the name and version that the verifier gives itself; they authenticate nothing.
func (a *Accepted) Verifier() (developer, build string) { return a.d.developer, a.d.build }

// IssuedAt returns iat.
func (a *Accepted) IssuedAt() time.Time { return time.Unix(a.d.issuedAt, 0).UTC() }

// Expires returns exp, or the zero time.
func (a *Accepted) Expires() time.Time {
	if !a.d.expires.Set {
		return time.Time{}
	}
	return time.Unix(a.d.expires.V, 0).UTC()
}

// Nonce returns the nonce of the party that asked.
func (a *Accepted) Nonce() []byte { return slices.Clone(a.d.nonce) }

// Status returns the status of the whole: the worst of the submodules, or the token's own where that is worse.
func (a *Accepted) Status() claim.Tier {
	worst := claim.TierAffirming
	for _, s := range a.d.submods {
		worst = worst.Worse(s.status)
	}
	if a.d.status.Set {
		worst = worst.Worse(a.d.status.V)
	}
	return worst
}

// Insecure lists the relaxations that the issuer marked (ear_assay_mode).
func (a *Accepted) Insecure() []string {
	n, _ := a.d.mode.Get("insecure")
	var out []string
	for _, e := range n.List() {
		out = append(out, e.Text())
	}
	return out
}

// Basis returns ear_assay_basis.
func (a *Accepted) Basis() claim.Object { return a.d.basis }

// Submods returns the appraisals, in the token's order.
func (a *Accepted) Submods() []AcceptedSubmod {
	out := make([]AcceptedSubmod, len(a.d.submods))
	for i := range a.d.submods {
		out[i] = AcceptedSubmod{&a.d.submods[i]}
	}
	return out
}

// Submod returns the appraisal of that label.
func (a *Accepted) Submod(label string) (AcceptedSubmod, bool) {
	s := a.d.submod(label)
	return AcceptedSubmod{s}, s != nil
}

// AcceptedSubmod is the appraisal of one Attester.
type AcceptedSubmod struct{ s *submod }

// Label returns the submodule's name.
func (s AcceptedSubmod) Label() string { return s.s.label }

// Status returns its status.
func (s AcceptedSubmod) Status() claim.Tier { return s.s.status }

// Vector returns its trust vector; no member is set when the token has none.
func (s AcceptedSubmod) Vector() claim.TrustVector { return s.s.vector }

// PolicyIDs returns the policies in the order of application.
func (s AcceptedSubmod) PolicyIDs() []string { return slices.Clone(s.s.policyIDs) }

// Nonce returns the nonce that was found in the evidence.
func (s AcceptedSubmod) Nonce() []byte { return slices.Clone(s.s.nonce) }

// Key returns the DER SubjectPublicKeyInfo of the key that the evidence was bound to, nil when none.
func (s AcceptedSubmod) Key() []byte { return slices.Clone(s.s.akpub) }

// Trail returns ear_assay_trail.
func (s AcceptedSubmod) Trail() claim.Object { return s.s.trail }

// Fault returns ear_assay_fault.
func (s AcceptedSubmod) Fault() claim.Object { return s.s.fault }

// Annotated returns the claims that older dialects carry.
func (s AcceptedSubmod) Annotated() claim.Object { return s.s.annotated }

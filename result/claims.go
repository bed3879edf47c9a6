// Package result is stage 5: an appraisal and the decision on it become a signed Attestation Result (EAR,
// draft-ietf-rats-ear-03), and on the other side a stranger's EAR becomes an [Accepted] one, or is refused.
//
// docs/ear.md describes what is emitted, extensions included.
package result

import (
	"slices"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/fault"
)

// Profile names the form of an EAR by its eat_profile claim.
type Profile string

// The profiles that are written and read.
const (
	ProfileEAR      Profile = "tag:ietf.org,2026:rats/ear#03"
	ProfileVeraison Profile = "tag:github.com,2023:veraison/ear"
	ProfileTrustee  Profile = "tag:github.com,2024:confidential-containers/Trustee"
)

// Limits of a token (specs ear.md section 10).
const (
	maxToken     = 1 << 20 // bytes
	maxDepth     = 16      // of arrays and objects
	maxSubmods   = 256
	maxPolicies  = 64
	maxAudiences = 16
	minNonce     = 8 // bytes, RFC 9711 section 4.1
	maxNonce     = 64
)

// document is the claims set of an EAR, independent of its encoding and dialect.
type document struct {
	profile          Profile
	issuer           string
	audience         []string
	issuedAt         int64 // seconds
	expires          claim.Opt[int64]
	notBefore        claim.Opt[int64]
	developer, build string
	nonce            []byte
	status           claim.Opt[claim.Tier]
	confirmation     claim.Object // "cnf" in JSON
	confirmKey       []byte       // COSE_Key of "cnf" in CBOR
	basis            claim.Object // ear_assay_basis
	mode             claim.Object // ear_assay_mode
	submods          []submod
}

// submod is the appraisal of one Attester.
type submod struct {
	label        string
	status       claim.Tier
	vector       claim.TrustVector
	policyIDs    []string
	nonce        []byte
	akpub        []byte // DER SubjectPublicKeyInfo
	trail        claim.Object
	fault        claim.Object
	annotated    claim.Object
	policyClaims claim.Object
}

// checkStatus applies the rules of specs ear.md section 5: no status is better than what it summarises. A token that
// breaks them is refused and not repaired, for its issuer cannot be understood.
func (d *document) checkStatus() error {
	worst := claim.TierAffirming
	for _, s := range d.submods {
		// A submodule without a vector (the requester may drop it) has nothing that could contradict its status.
		if s.hasVector() && s.status.Better(s.vector.Tier()) {
			return fault.New(fault.Malformed, "submodule %q says %s, its vector allows only %s", s.label, s.status, s.vector.Tier())
		}
		worst = worst.Worse(s.status)
	}
	if d.status.Set && d.status.V.Better(worst) {
		return fault.New(fault.Malformed, "the token says %s, its worst submodule %s", d.status.V, worst)
	}
	return nil
}

func (s *submod) hasVector() bool {
	return slices.ContainsFunc(s.vector[:], func(m claim.Opt[claim.TrustClaim]) bool { return m.Set })
}

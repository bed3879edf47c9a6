// Package vsa reads and writes SLSA verification summaries (slsa.dev/verification_summary/v1): the word of a verifier
// that he has looked at an artefact's provenance.
package vsa

import (
	"crypto"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/provenance/dsse"
	"github.com/assay-tee/assay/provenance/internal/seal"
	"github.com/assay-tee/assay/provenance/intoto"
)

// PredicateType is the one that is read; older ones are unsupported.
const PredicateType = "https://slsa.dev/verification_summary/v1"

// Summary is the predicate.
type Summary struct {
	Verifier struct {
		ID      string            `json:"id"`
		Version map[string]string `json:"version,omitempty"`
	} `json:"verifier"`
	TimeVerified      time.Time         `json:"timeVerified"`
	ResourceURI       string            `json:"resourceUri"`
	Policy            Reference         `json:"policy"`
	InputAttestations []Reference       `json:"inputAttestations,omitempty"`
	Result            string            `json:"verificationResult"` // "PASSED" or "FAILED"
	Levels            []string          `json:"verifiedLevels"`
	DependencyLevels  map[string]uint64 `json:"dependencyLevels,omitempty"`
	SLSAVersion       string            `json:"slsaVersion,omitempty"`
}

// Reference names a document by digest.
type Reference struct {
	URI    string         `json:"uri,omitempty"`
	Digest intoto.Digests `json:"digest,omitempty"`
}

// Expectation is what a summary must say.
type Expectation struct {
	Verifier string
	Resource string
	Subjects []intoto.Digests // each must be a subject; the algorithm's name is free, for example gce_image_id
	Levels   []string
	NotOlder time.Duration // at most this old at Now; 0: any age
	Now      time.Time
}

// Parse reads the summary of a statement.
func Parse(s *intoto.Statement) (*Summary, error) {
	if s.PredicateType != PredicateType {
		return nil, fault.New(fault.Unsupported, "predicate type %q is no verification summary that is read here", s.PredicateType)
	}
	v := &Summary{}
	if err := jsonx.Unmarshal(s.Predicate, v, false); err != nil {
		return nil, fault.Wrap(err, "verification summary")
	}
	if v.Verifier.ID == "" || v.ResourceURI == "" || v.Result == "" {
		return nil, fault.New(fault.Malformed, "verification summary without verifier, resource or result")
	}
	return v, nil
}

// Check compares an authenticated summary with e. Classes: binding (about another artefact), stale (too old), policy.
func Check(a *seal.Attestation, e Expectation) (*Summary, error) {
	s, err := intoto.Parse(a.Payload())
	if err != nil {
		return nil, err
	}
	v, err := Parse(s)
	if err != nil {
		return nil, err
	}
	if e.Verifier == "" || e.Resource == "" || len(e.Subjects) == 0 {
		return nil, fault.New(fault.Usage, "a summary is held against a verifier, a resource and at least one digest: --verifier-id, --resource-uri, --subject-digest")
	}
	for _, want := range e.Subjects {
		if !slices.ContainsFunc(s.Subjects, func(r intoto.Resource) bool { return sameDigest(r.Digest, want) }) {
			return nil, fault.New(fault.Binding, "the summary is about other artefacts than %s", want)
		}
	}
	switch {
	case v.Verifier.ID != e.Verifier:
		return nil, fault.New(fault.Policy, "verified by %q, expected is %q", v.Verifier.ID, e.Verifier)
	case v.ResourceURI != e.Resource:
		return nil, fault.New(fault.Policy, "the summary is about %q, expected is %q", v.ResourceURI, e.Resource)
	case v.Result != "PASSED":
		return nil, fault.New(fault.Policy, "the verifier's result is %q", v.Result)
	}
	for _, l := range e.Levels {
		if err := v.has(l); err != nil {
			return nil, err
		}
	}
	if e.NotOlder > 0 && (v.TimeVerified.IsZero() || v.TimeVerified.Before(e.Now.Add(-e.NotOlder)) || v.TimeVerified.After(e.Now)) {
		return nil, fault.New(fault.Stale, "verified at %s, which is not within the last %s", v.TimeVerified.UTC().Format(time.RFC3339), e.NotOlder)
	}
	return v, nil
}

// sameDigest compares every algorithm that want names.
func sameDigest(have, want intoto.Digests) bool {
	for alg, v := range want {
		if have[alg] != v {
			return false
		}
	}
	return len(want) > 0
}

var levelForm = regexp.MustCompile(`^SLSA_([A-Z]+)_LEVEL_(0|[1-9][0-9]?)$`)

// has reports whether the summary reaches level l: the same track with at least that number, or that very name.
func (v *Summary) has(l string) error {
	w := levelForm.FindStringSubmatch(l)
	for _, h := range v.Levels {
		if h == l {
			return nil
		}
		if m := levelForm.FindStringSubmatch(h); w != nil && m != nil && m[1] == w[1] {
			a, _ := strconv.Atoi(m[2])
			b, _ := strconv.Atoi(w[2])
			if a >= b {
				return nil
			}
		}
	}
	return fault.New(fault.Policy, "the summary gives the levels %q, expected is %s", v.Levels, l)
}

// Sign writes a summary about subjects as a DSSE envelope.
func Sign(v *Summary, subjects []intoto.Resource, keyID string, signer crypto.Signer) ([]byte, error) {
	type subject struct {
		Name   string         `json:"name,omitempty"`
		URI    string         `json:"uri,omitempty"`
		Digest intoto.Digests `json:"digest"`
	}
	if len(subjects) == 0 {
		return nil, fault.New(fault.Usage, "a summary needs the artefact that it is about")
	}
	out := make([]subject, len(subjects))
	for i, s := range subjects {
		out[i] = subject{s.Name, s.URI, s.Digest}
	}
	payload, err := json.Marshal(struct {
		Type          string    `json:"_type"`
		Subject       []subject `json:"subject"`
		PredicateType string    `json:"predicateType"`
		Predicate     *Summary  `json:"predicate"`
	}{intoto.TypeV1, out, PredicateType, v})
	if err != nil {
		return nil, fault.New(fault.Internal, "%w", err)
	}
	return dsse.Sign(dsse.PayloadInToto, payload, keyID, signer)
}

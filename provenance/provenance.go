// Package provenance says who built an artefact, from which source, and in which public log that is recorded. Its
// subpackages verify the forms in which builders say so; what they agree on is a [Verdict], and only a statement whose
// signature has been checked can become one.
//
// Package check puts the forms together; it links sigstore-go. This package and those that use it do not.
package provenance

import (
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/provenance/internal/seal"
	"github.com/assay-tee/assay/provenance/intoto"
	"github.com/assay-tee/assay/provenance/slsa"
)

// Attestation is a signed statement whose signature holds. Only the verifiers below this package make one.
type Attestation = seal.Attestation

// MeasurementPredicate is the predicate type of "assay measure --format in-toto": artefacts as subjects, launch
// measurements as values.
const MeasurementPredicate = "https://assay-tee.github.io/launch-measurement/v1"

// Kinds of verdicts.
const (
	KindBuild       = "build"       // who built the subjects from what
	KindMeasurement = "measurement" // what a machine measures that is started from the subjects
	KindSummary     = "summary"     // another verifier's word
	KindOther       = "other"       // kept and shown, not interpreted
)

// Verdict is what an accepted attestation says. Zero fields were not stated.
type Verdict struct {
	Kind          string           `json:"kind"`
	Form          string           `json:"form"`
	SHA256        string           `json:"sha256"` // of the file as carried
	PredicateType string           `json:"predicate_type,omitempty"`
	Signer        Signer           `json:"signer"`
	Builder       string           `json:"builder,omitempty"`
	Level         int              `json:"level"` // SLSA build level that the configuration grants the builder
	Source        string           `json:"source,omitempty"`
	Ref           string           `json:"ref,omitempty"`
	Commit        string           `json:"commit,omitempty"`
	Workflow      string           `json:"workflow,omitempty"`
	Run           string           `json:"run,omitempty"`
	Runner        string           `json:"runner,omitempty"`
	Finished      time.Time        `json:"finished,omitzero"` // as stated; not proved
	Log           []seal.LogEntry  `json:"log,omitempty"`
	Times         []seal.Time      `json:"times,omitempty"`
	Subjects      []Subject        `json:"subjects"`
	Measurements  []intoto.Digests `json:"measurements,omitempty"`

	sealed bool
}

// Signer is who signed, for the trail.
type Signer struct {
	Name      string `json:"name,omitempty"`
	KeyID     string `json:"key_id,omitempty"`
	KeySHA256 string `json:"key_sha256,omitempty"`
	Issuer    string `json:"issuer,omitempty"`
	Identity  string `json:"identity,omitempty"`
}

// Subject is an artefact.
type Subject struct {
	Name   string         `json:"name,omitempty"`
	Role   string         `json:"role,omitempty"` // in a launch measurement: "firmware", "kernel", …
	Digest intoto.Digests `json:"digest"`
}

// Valid reports whether v was made from a verified attestation.
func (v *Verdict) Valid() bool { return v != nil && v.sealed }

// At is the earliest moment at which somebody else saw the signature; zero when nobody did.
func (v *Verdict) At() time.Time {
	var t time.Time
	for _, x := range v.Times {
		if t.IsZero() || x.At.Before(t) {
			t = x.At
		}
	}
	return t
}

// newVerdict takes over what every attestation has.
func newVerdict(a *Attestation, s *intoto.Statement) *Verdict {
	g := a.Signer()
	v := &Verdict{Kind: KindOther, Form: a.Form(), SHA256: a.SHA256(), PredicateType: s.PredicateType, Log: a.Log(), Times: a.Times(), sealed: true,
		Signer: Signer{Name: g.Name, KeyID: g.KeyID, KeySHA256: g.KeySHA256}}
	if c := g.Certificate; c != nil {
		v.Signer.Issuer, v.Signer.Identity = c.Issuer, c.SAN
	}
	for _, r := range s.Subjects {
		v.Subjects = append(v.Subjects, Subject{Name: r.Name, Digest: r.Digest})
	}
	return v
}

// Built makes the verdict about a build that a rule of a subpackage has tied to the signer of a.
func Built(a *Attestation, b *slsa.Build, levels Levels) (*Verdict, error) {
	s, err := intoto.Parse(a.Payload())
	if err != nil {
		return nil, err
	}
	v := newVerdict(a, s)
	v.Kind, v.Builder, v.Source, v.Ref, v.Commit = KindBuild, b.Builder, b.Source, b.Ref, b.Commit
	v.Workflow, v.Run, v.Runner, v.Finished = b.Workflow, b.Run, b.Runner, b.Finished
	v.Level = levels.Of(b, a.Signer().Certificate != nil)
	return v, nil
}

// Judge decides about an authenticated in-toto statement: builds by the rules of package slsa against e; a launch
// measurement must be signed by a configured key; everything else is kept and not interpreted. Verification summaries
// have their own rules (package vsa).
func Judge(a *Attestation, e slsa.Expectation, levels Levels) (*Verdict, error) {
	s, err := intoto.Parse(a.Payload())
	if err != nil {
		return nil, err
	}
	if s.PredicateType == MeasurementPredicate {
		if a.Signer().Certificate != nil {
			return nil, fault.New(fault.Scope, "a launch measurement counts when a configured key has signed it")
		}
		v := newVerdict(a, s)
		v.Kind = KindMeasurement
		return v, v.measured(s.Predicate)
	}
	if !slsa.IsPredicate(s.PredicateType) {
		if e.Source != "" || e.Builder != "" {
			return nil, fault.New(fault.Policy, "a statement of type %q says nothing about builder and source", s.PredicateType)
		}
		return newVerdict(a, s), nil
	}
	p, err := slsa.Parse(s)
	if err != nil {
		return nil, err
	}
	b, err := slsa.Check(a, p, e)
	if err != nil {
		return nil, err
	}
	return Built(a, b, levels)
}

// Summarised makes the verdict about a verification summary that package vsa has accepted.
func Summarised(a *Attestation) (*Verdict, error) {
	s, err := intoto.Parse(a.Payload())
	if err != nil {
		return nil, err
	}
	v := newVerdict(a, s)
	v.Kind = KindSummary
	return v, nil
}

const maxMeasurements = 4096

// measured reads the predicate of "assay measure": values, and the role of each subject.
func (v *Verdict) measured(predicate []byte) error {
	var p struct {
		Artefacts []struct {
			Role string `json:"role"`
			Name string `json:"name"`
		} `json:"artefacts"`
		Values []struct {
			Alg    string `json:"alg"`
			Digest string `json:"digest"`
		} `json:"values"`
	}
	if err := jsonx.Unmarshal(predicate, &p, false); err != nil {
		return fault.Wrap(err, "launch measurement")
	}
	if len(p.Values) == 0 || len(p.Values) > maxMeasurements || len(p.Artefacts) > len(v.Subjects) {
		return fault.New(fault.Malformed, "launch measurement with %d values and %d artefacts", len(p.Values), len(p.Artefacts))
	}
	for i, a := range p.Artefacts {
		if v.Subjects[i].Name != a.Name {
			return fault.New(fault.Malformed, "launch measurement: artefact %d is %q, the subject %q", i, a.Name, v.Subjects[i].Name)
		}
		v.Subjects[i].Role = a.Role
	}
	for _, x := range p.Values {
		size := map[string]int{"sha256": 32, "sha384": 48, "sha512": 64}[x.Alg]
		if b, err := hex.DecodeString(x.Digest); err != nil || size == 0 || len(b) != size || strings.ToLower(x.Digest) != x.Digest {
			return fault.New(fault.Malformed, "launch measurement: %q is no %s digest in lower-case hex", x.Digest, x.Alg)
		}
		v.Measurements = append(v.Measurements, intoto.Digests{x.Alg: x.Digest})
	}
	return nil
}

// Levels grants builders a SLSA build level: configuration, never the statement's own word.
type Levels []Level

// Level is one row: builder ids that begin with Prefix, and sources that begin with SourcePrefix, have the level.
type Level struct {
	Prefix       string `json:"builder"`
	SourcePrefix string `json:"source,omitempty"`
	Level        int    `json:"level"`
}

// DefaultLevels is the table that is shipped (specs transparency.md section 20). The last row that fits counts.
func DefaultLevels() Levels {
	return Levels{
		{Prefix: "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/", Level: 3},
		{Prefix: "https://github.com/bazel-contrib/.github/.github/workflows/release_ruleset.yaml@", Level: 3},
		{Prefix: "https://github.com/bazel-contrib/publish-to-bcr/.github/workflows/publish.yaml@", Level: 3},
		{Prefix: "https://github.com/actions/runner", Level: 2},
		{Prefix: "https://cloudbuild.googleapis.com/GoogleHostedWorker", Level: 3},
		{Prefix: "https://cloudbuild.googleapis.com/GoogleHostedWorker@v0.2", Level: 0},
		{Prefix: "https://cloudbuild.googleapis.com/GoogleHostedWorker", SourcePrefix: "gs://", Level: 2},
	}
}

// Of gives the level of a build; 0 when no row fits. The workflow of a repository that builds itself has at most 2.
func (l Levels) Of(b *slsa.Build, certificate bool) int {
	for i := len(l) - 1; i >= 0; i-- {
		if strings.HasPrefix(b.Builder, l[i].Prefix) && strings.HasPrefix(b.Source, l[i].SourcePrefix) {
			return l[i].Level
		}
	}
	if own := strings.TrimPrefix(b.Source, "git+") + "/"; certificate && strings.HasPrefix(b.Builder, own) {
		return 2
	}
	return 0
}

// HasSubject reports whether one of v's subjects has that digest.
func (v *Verdict) HasSubject(d intoto.Digests) bool {
	return slices.ContainsFunc(v.Subjects, func(s Subject) bool { return s.Digest.Matches(d) })
}

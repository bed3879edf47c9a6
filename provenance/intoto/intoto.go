// Package intoto reads in-toto statements (in-toto/attestation spec v0.1 and v1): which artefacts a predicate is about.
// It authenticates nothing.
package intoto

import (
	"encoding/hex"
	"slices"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// Types of statements.
const (
	TypeV01 = "https://in-toto.io/Statement/v0.1"
	TypeV1  = "https://in-toto.io/Statement/v1"
)

// Limits, those of sigstore-go.
const (
	maxSubjects = 1024
	maxDigests  = 32
)

// Statement says something about its subjects.
type Statement struct {
	Type          string
	Subjects      []Resource
	PredicateType string
	Predicate     []byte // JSON object as carried
}

// Resource is a ResourceDescriptor as far as it identifies an artefact.
type Resource struct {
	Name   string
	URI    string
	Digest Digests
}

// Digests maps an algorithm's name to a value, lower-case hex for hashes.
type Digests map[string]string

// Parse reads a statement. Errors are malformed, or unsupported for another type of statement.
func Parse(b []byte) (*Statement, error) {
	members, err := jsonx.Object(b)
	if err != nil {
		return nil, fault.Wrap(err, "in-toto statement")
	}
	s := &Statement{}
	var subjects []byte
	for _, m := range members {
		switch m.Name {
		case "_type":
			s.Type, err = jsonx.String(m.Raw)
		case "predicateType":
			s.PredicateType, err = jsonx.String(m.Raw)
		case "predicate":
			s.Predicate = m.Raw
		case "subject":
			subjects = m.Raw
		}
		if err != nil {
			return nil, fault.Wrap(err, "in-toto statement: %s", m.Name)
		}
	}
	switch {
	case s.Type == "":
		return nil, fault.New(fault.Malformed, "in-toto statement without _type")
	case s.Type != TypeV01 && s.Type != TypeV1:
		return nil, fault.New(fault.Unsupported, "in-toto statement of type %q; %q and %q are read", s.Type, TypeV01, TypeV1)
	case s.PredicateType == "":
		return nil, fault.New(fault.Malformed, "in-toto statement without predicateType")
	case len(s.Predicate) == 0 || s.Predicate[0] != '{':
		return nil, fault.New(fault.Malformed, "in-toto statement whose predicate is no object")
	case len(subjects) == 0:
		return nil, fault.New(fault.Malformed, "in-toto statement without subject")
	}
	list, err := jsonx.Array(subjects)
	if err != nil {
		return nil, fault.Wrap(err, "in-toto subject")
	}
	if len(list) == 0 || len(list) > maxSubjects {
		return nil, fault.New(fault.Malformed, "in-toto statement with %d subjects; 1 to %d are read", len(list), maxSubjects)
	}
	for _, raw := range list {
		r, err := parseResource(raw)
		if err != nil {
			return nil, fault.Wrap(err, "in-toto subject")
		}
		if len(r.Digest) == 0 {
			return nil, fault.New(fault.Malformed, "in-toto subject %q without a digest", r.Name)
		}
		s.Subjects = append(s.Subjects, r)
	}
	return s, nil
}

func parseResource(raw []byte) (r Resource, err error) {
	members, err := jsonx.Object(raw)
	if err != nil {
		return r, err
	}
	for _, m := range members {
		switch m.Name {
		case "name":
			r.Name, err = jsonx.String(m.Raw)
		case "uri":
			r.URI, err = jsonx.String(m.Raw)
		case "digest":
			r.Digest, err = parseDigests(m.Raw)
		}
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

func parseDigests(raw []byte) (Digests, error) {
	members, err := jsonx.Object(raw)
	if err != nil {
		return nil, err
	}
	if len(members) > maxDigests {
		return nil, fault.New(fault.Malformed, "%d digests of one artefact; at most %d are read", len(members), maxDigests)
	}
	d := make(Digests, len(members))
	for _, m := range members {
		v, err := jsonx.String(m.Raw)
		if err != nil {
			return nil, err
		}
		if v == "" {
			return nil, fault.New(fault.Malformed, "an empty %s digest", m.Name)
		}
		if n, known := sizes[m.Name]; known && (len(v) != 2*n || !lowerHex(v)) {
			return nil, fault.New(fault.Malformed, "%s digest %q is not %d lower-case hex digits", m.Name, v, 2*n)
		}
		d[m.Name] = v
	}
	return d, nil
}

// sizes of the hashes that identify an artefact by themselves, in bytes; weak ones only add to what others say.
var sizes = map[string]int{"sha256": 32, "sha384": 48, "sha512": 64, "sha3_256": 32, "sha3_384": 48, "sha3_512": 64,
	"sha512_256": 32, "sha1": 20, "md5": 16, "sha224": 28}

func strong(alg string) bool { return sizes[alg] >= 32 }

func lowerHex(s string) bool {
	return strings.ToLower(s) == s && func() bool { _, err := hex.DecodeString(s); return err == nil }()
}

// Matches reports whether want and d speak of one artefact: all algorithms that both have agree, and at least one of
// them is a hash of 256 bits or more.
func (d Digests) Matches(want Digests) bool {
	found := false
	for alg, v := range want {
		have, both := d[alg]
		if !both {
			continue
		}
		if have != v {
			return false
		}
		found = found || strong(alg)
	}
	return found
}

// Find returns the subject that want identifies. Without one the class is binding: right signature, another artefact.
func (s *Statement) Find(want Digests) (*Resource, error) {
	i := slices.IndexFunc(s.Subjects, func(r Resource) bool { return r.Digest.Matches(want) })
	if i < 0 {
		return nil, fault.New(fault.Binding, "the statement is about other artefacts: none of its %d subjects has the digest %s", len(s.Subjects), want)
	}
	return &s.Subjects[i], nil
}

// String shows d as "alg:value", the strongest known first.
func (d Digests) String() string {
	var l []string
	for a, v := range d {
		l = append(l, a+":"+v)
	}
	slices.SortFunc(l, func(a, b string) int {
		sa, _, _ := strings.Cut(a, ":")
		sb, _, _ := strings.Cut(b, ":")
		if x := sizes[sb] - sizes[sa]; x != 0 {
			return x
		}
		return strings.Compare(a, b)
	})
	return strings.Join(l, ", ")
}

// ParseDigest reads "sha256:HEX" as a person writes it: upper case is accepted here.
func ParseDigest(s string) (Digests, error) {
	alg, v, ok := strings.Cut(s, ":")
	if !ok {
		alg, v = "sha256", s
	}
	v = strings.ToLower(v)
	if n, known := sizes[alg]; known && (len(v) != 2*n || !lowerHex(v)) {
		return nil, fault.New(fault.Usage, "%q is not a %s digest in hex", s, alg)
	}
	if alg == "" || v == "" {
		return nil, fault.New(fault.Usage, "%q is not ALGORITHM:DIGEST", s)
	}
	return Digests{alg: v}, nil
}

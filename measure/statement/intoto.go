package statement

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"path/filepath"

	"github.com/assay-tee/assay/internal/fault"
)

// PredicateType names the predicate of our in-toto statements: a [Prediction] without its artefacts, which are the subjects.
const PredicateType = "https://assay-tee.github.io/launch-measurement/v1"

func hexOf(b []byte) string { return hex.EncodeToString(b) }

type inTotoSubject struct {
	Name   string  `json:"name"`
	Digest Digests `json:"digest"`
}

type inTotoPredicate struct {
	Technology Technology   `json:"technology"`
	Parameters []Parameter  `json:"parameters,omitempty"`
	Roles      []inTotoRole `json:"artefacts"`
	Values     []jsonValue  `json:"values"`
	Notes      []string     `json:"notes,omitempty"`
}

type inTotoRole struct {
	Role string `json:"role"`
	Name string `json:"name"`
}

type inTotoStatement struct {
	Type          string          `json:"_type"`
	Subject       []inTotoSubject `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     inTotoPredicate `json:"predicate"`
}

func (s inTotoStatement) MarshalJSON() ([]byte, error) {
	type plain inTotoStatement
	return json.Marshal(plain(s))
}

// WriteInToto writes an in-toto Statement v1 (in-toto/attestation spec v1.0): the artefacts are the subjects, the measurement
// is the predicate. Build provenance about a subject then speaks about the measurement too. A prediction without artefacts
// has no subject and is refused ([fault.Usage]).
func (p *Prediction) WriteInToto(w io.Writer) error {
	if len(p.Inputs) == 0 {
		return fault.New(fault.Usage, "an in-toto statement needs artefacts as subjects, and no file was measured")
	}
	s := inTotoStatement{Type: "https://in-toto.io/Statement/v1", PredicateType: PredicateType,
		Predicate: inTotoPredicate{Technology: p.Technology, Parameters: p.Parameters, Notes: p.Notes, Values: []jsonValue{}}}
	for _, in := range p.Inputs {
		name := filepath.Base(in.Name)
		s.Subject = append(s.Subject, inTotoSubject{Name: name, Digest: in.Digests})
		s.Predicate.Roles = append(s.Predicate.Roles, inTotoRole{Role: in.Role, Name: name})
	}
	for _, v := range p.Values {
		s.Predicate.Values = append(s.Predicate.Values, jsonValue{Value: v, Hex: hexOf(v.Digest)})
	}
	return writeIndented(w, s)
}

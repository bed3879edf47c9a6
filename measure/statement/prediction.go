// Package statement turns predictions into what others can use: JSON, reference values (CoRIM) and in-toto statements that
// bind the build provenance of the artefacts to the measurement.
package statement

import (
	"encoding/hex"
	"encoding/json"
	"io"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/measure"
)

// Technology is what a prediction is about.
type Technology string

// The technologies.
const (
	SNP   Technology = "sev-snp"
	SEV   Technology = "sev"
	SEVES Technology = "sev-es"
	TDX   Technology = "tdx"
	VTPM  Technology = "vtpm"
	Oak   Technology = "oak-stage0"
)

// Digests of one file, in hex. Empty where not computed.
type Digests struct {
	SHA256 string `json:"sha256,omitempty"`
	SHA384 string `json:"sha384,omitempty"`
}

// Input is one artefact that the prediction rests on.
type Input struct {
	Role    string  `json:"role"` // "firmware", "kernel", "initrd", "svsm", …
	Name    string  `json:"name"` // file name as given
	Bytes   int64   `json:"bytes"`
	Digests Digests `json:"digest"`
}

// Parameter is one setting that the prediction rests on, e.g. {"vmm_type", "QEMU"}.
type Parameter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Value is one predicted value.
type Value struct {
	Name    string `json:"name"` // "measurement", "mrtd", "rtmr0" … "rtmr3", "pcr4"
	VCPUs   int    `json:"vcpus,omitempty"`
	Variant string `json:"variant,omitempty"` // which alternative: "two-pass"
	Alg     string `json:"alg"`               // "sha384", "sha256"
	Digest  []byte `json:"-"`
	Derived bool   `json:"derived,omitempty"` // continued from a known value, not computed from artefacts
}

// Prediction is a whole prediction.
type Prediction struct {
	Technology Technology
	Parameters []Parameter
	Inputs     []Input
	Values     []Value
	Steps      []measure.Step
	Notes      []string // what was assumed
}

// Param appends a parameter.
func (p *Prediction) Param(name, value string) {
	p.Parameters = append(p.Parameters, Parameter{name, value})
}

// Param gives the value of a parameter, or "".
func (p *Prediction) param(name string) string {
	for _, x := range p.Parameters {
		if x.Name == name {
			return x.Value
		}
	}
	return ""
}

// input gives the artefact with a role, or nil.
func (p *Prediction) input(role string) *Input {
	for i := range p.Inputs {
		if p.Inputs[i].Role == role {
			return &p.Inputs[i]
		}
	}
	return nil
}

type jsonValue struct {
	Value
	Hex string `json:"digest"`
}

type jsonPrediction struct {
	Technology Technology     `json:"technology"`
	Parameters []Parameter    `json:"parameters,omitempty"`
	Inputs     []Input        `json:"inputs,omitempty"`
	Values     []jsonValue    `json:"values"`
	Steps      []measure.Step `json:"steps,omitempty"`
	Notes      []string       `json:"notes,omitempty"`
}

// MarshalJSON gives digests in lower-case hex.
func (p *Prediction) MarshalJSON() ([]byte, error) {
	j := jsonPrediction{Technology: p.Technology, Parameters: p.Parameters, Inputs: p.Inputs, Steps: p.Steps, Notes: p.Notes, Values: []jsonValue{}}
	for _, v := range p.Values {
		j.Values = append(j.Values, jsonValue{Value: v, Hex: hexOf(v.Digest)})
	}
	return json.Marshal(j)
}

// maxValues bounds the values of a prediction that is read.
const maxValues = 4096

// Parse reads what [Prediction.WriteJSON] writes. Steps are left out: they explain, and nothing is made from them. Errors
// are malformed.
func Parse(b []byte) (*Prediction, error) {
	var j struct {
		Technology Technology  `json:"technology"`
		Parameters []Parameter `json:"parameters"`
		Inputs     []Input     `json:"inputs"`
		Values     []jsonValue `json:"values"`
		Notes      []string    `json:"notes"`
		Steps      []struct{}  `json:"steps"`
	}
	if err := jsonx.Unmarshal(b, &j, false); err != nil {
		return nil, fault.Wrap(err, "prediction")
	}
	if j.Technology == "" || len(j.Values) == 0 || len(j.Values) > maxValues {
		return nil, fault.New(fault.Malformed, "prediction of technology %q with %d values; is it the output of assay measure --format json?", j.Technology, len(j.Values))
	}
	p := &Prediction{Technology: j.Technology, Parameters: j.Parameters, Inputs: j.Inputs, Notes: j.Notes}
	for _, v := range j.Values {
		size := map[string]int{"sha256": 32, "sha384": 48}[v.Alg]
		d, err := hex.DecodeString(v.Hex)
		if err != nil || size == 0 || len(d) != size {
			return nil, fault.New(fault.Malformed, "prediction: %s is no %s digest", v.Name, v.Alg)
		}
		v.Digest = d
		p.Values = append(p.Values, v.Value)
	}
	return p, nil
}

// WriteJSON writes p indented, with a final newline.
func (p *Prediction) WriteJSON(w io.Writer) error { return writeIndented(w, p) }

func writeIndented(w io.Writer, v json.Marshaler) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

package result

import (
	"bytes"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/cosex"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// Inspection is a token decoded for display. Nothing in it is authenticated, and nothing takes it for a result.
type Inspection struct {
	Form    string       `json:"form"` // "jwt" or "cwt"
	Header  claim.Object `json:"header"`
	Claims  claim.Object `json:"claims"`
	Defects []string     `json:"defects,omitempty"` // why no relying party would accept the claims; not complete
}

// Inspect decodes a token without any check of its signature.
func Inspect(token []byte) (*Inspection, error) {
	if len(token) > maxToken {
		return nil, fault.New(fault.Malformed, "a token of more than %d bytes", maxToken)
	}
	if isCWT(token) {
		return inspectCWT(token)
	}
	_, payload, err := splitJWS(token)
	if err != nil && payload == nil {
		return nil, err
	}
	out := &Inspection{Form: "jwt"}
	out.note(err)
	head, _, _ := bytes.Cut(token, []byte{'.'})
	if raw, err := unbase64(string(head)); err == nil {
		if out.Header, err = strictObject(raw, "header"); err != nil {
			return nil, err
		}
	}
	if out.Claims, err = strictObject(payload, "claims"); err != nil {
		return nil, err
	}
	d, err := decodeJSON(payload, []Profile{ProfileEAR, ProfileVeraison, ProfileTrustee})
	out.judge(d, err)
	return out, nil
}

func strictObject(b []byte, what string) (claim.Object, error) {
	if depth(b) > maxDepth {
		return nil, fault.New(fault.Malformed, "%s nested deeper than %d", what, maxDepth)
	}
	if err := jsonx.Check(b); err != nil {
		return nil, fault.Wrap(err, "%s", what)
	}
	return objectNode(jsonx.Member{Name: what, Raw: b})
}

func inspectCWT(token []byte) (*Inspection, error) {
	if err := cborx.Check(token, cborx.Limits{Size: maxToken, Depth: maxDepth + 2}); err != nil {
		return nil, err
	}
	if r := cborx.Checked(token); r.Kind() == cborx.Tag && r.Tag() == tagCWT {
		token = r.Raw()
	}
	s, err := cosex.Parse(token, cosex.Options{Limits: cborx.Limits{Size: maxToken, Depth: maxDepth}})
	if err != nil {
		return nil, err
	}
	out := &Inspection{Form: "cwt", Header: claim.Object{{Name: "alg", Value: claim.S(cosex.AlgName(s.Alg))}}}
	if t, ok := s.Protected.Text(cosex.LabelTyp); ok {
		out.Header = append(out.Header, claim.Member{Name: "typ", Value: claim.S(t)})
	}
	r := cborx.NewReader(s.Payload, cborx.Limits{Size: maxToken, Depth: maxDepth})
	out.Claims = cborObject(r)
	if err := r.Done(); err != nil {
		return nil, err
	}
	d, err := decodeCBOR(s.Payload, []Profile{ProfileEAR})
	out.judge(d, err)
	return out, nil
}

func (i *Inspection) note(err error) {
	if err != nil {
		i.Defects = append(i.Defects, err.Error())
	}
}

func (i *Inspection) judge(d *document, err error) {
	if i.note(err); err == nil {
		i.note(d.checkStatus())
	}
}

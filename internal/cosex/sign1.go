// Package cosex reads, verifies and writes COSE_Sign1 (RFC 9052 section 4.2) strictly: no label twice across both
// headers, crit only where and as RFC 9052 section 3.1 allows it, the algorithm only in the protected header, and a
// closed list of signature algorithms. Signed bytes are used as carried.
package cosex

import (
	"crypto"
	"slices"

	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
)

// Header labels (IANA COSE Header Parameters).
const (
	LabelAlg                    int64 = 1
	LabelCrit                   int64 = 2
	LabelContentType            int64 = 3
	LabelKeyID                  int64 = 4
	LabelCWTClaims              int64 = 15  // RFC 9597
	LabelTyp                    int64 = 16  // RFC 9596
	LabelX5Bag                  int64 = 32  // RFC 9360
	LabelX5Chain                int64 = 33  // RFC 9360
	LabelX5T                    int64 = 34  // RFC 9360
	LabelX5U                    int64 = 35  // RFC 9360
	LabelPayloadHashAlg         int64 = 258 // RFC 9995
	LabelPayloadPreimageContent int64 = 259 // RFC 9995
	LabelPayloadLocation        int64 = 260 // RFC 9995
)

const tagSign1 = 18

// Param is one header parameter: a label and its value as carried.
type Param struct {
	Label  int64
	Name   string // the label when it is text, else ""
	IsText bool
	Value  []byte
}

func (p Param) same(q Param) bool {
	return p.Label == q.Label && p.Name == q.Name && p.IsText == q.IsText
}

// Headers is one header map.
type Headers []Param

// Get returns the value of an integer label as carried.
func (h Headers) Get(label int64) ([]byte, bool) {
	for _, p := range h {
		if !p.IsText && p.Label == label {
			return p.Value, true
		}
	}
	return nil, false
}

// Text returns the value of a text parameter; ok is false when it is absent or no text.
func (h Headers) Text(label int64) (s string, ok bool) {
	v, found := h.Get(label)
	if !found {
		return "", false
	}
	r := cborx.Checked(v)
	s = r.Text()
	return s, r.OK()
}

// Sign1 is a COSE_Sign1 whose signature has not been checked by reading it.
type Sign1 struct {
	Protected    Headers
	Unprotected  Headers
	RawProtected []byte // content of the protected byte string as carried
	Payload      []byte // nil when detached
	Detached     bool
	Signature    []byte
	Alg          int64
}

// Options are the conditions of reading.
type Options struct {
	Limits cborx.Limits
	// Understood are the labels that may stand in crit, beside 1, 2, 3 and 4.
	Understood []int64
	// UnderstoodNames are the text labels that may stand in crit.
	UnderstoodNames []string
	// Untagged accepts the array without tag 18.
	Untagged bool
}

// Parse reads a COSE_Sign1. The result aliases b. Errors are malformed.
func Parse(b []byte, o Options) (*Sign1, error) {
	r := cborx.NewReader(b, o.Limits)
	if !o.Untagged || r.Kind() == cborx.Tag {
		r.Expect(tagSign1)
	}
	r.Tuple(4, 4)
	s := &Sign1{RawProtected: r.Bytes()}
	s.Unprotected = headers(r)
	if r.Kind() == cborx.Null {
		r.Null()
		s.Detached = true
	} else {
		s.Payload = r.Bytes()
	}
	s.Signature = r.Bytes()
	if err := r.Done(); err != nil {
		return nil, fault.Wrap(err, "COSE_Sign1")
	}
	if len(s.RawProtected) > 0 {
		p := cborx.NewReader(s.RawProtected, o.Limits)
		s.Protected = headers(p)
		if err := p.Done(); err != nil {
			return nil, fault.Wrap(err, "COSE_Sign1 protected header")
		}
	}
	if err := s.check(o); err != nil {
		return nil, fault.Wrap(err, "COSE_Sign1")
	}
	return s, nil
}

func headers(r *cborx.Reader) (h Headers) {
	n := r.Map()
	if n > 256 {
		r.Fail("a header of %d parameters; at most 256 are read", n)
	}
	for ; n > 0 && r.OK(); n-- {
		var p Param
		if r.Kind() == cborx.Text {
			p.Name, p.IsText = r.Text(), true
		} else {
			p.Label = r.Int64()
		}
		p.Value = r.Raw()
		h = append(h, p)
	}
	return h
}

func (s *Sign1) check(o Options) error {
	for _, p := range s.Protected {
		if slices.ContainsFunc(s.Unprotected, p.same) {
			return fault.New(fault.Malformed, "label %d%s is in both headers", p.Label, p.Name)
		}
	}
	if _, ok := s.Unprotected.Get(LabelAlg); ok {
		return fault.New(fault.Malformed, "the algorithm is in the unprotected header, where nothing signs it")
	}
	if _, ok := s.Unprotected.Get(LabelCrit); ok {
		return fault.New(fault.Malformed, "crit is in the unprotected header")
	}
	if err := s.checkCrit(o); err != nil {
		return err
	}
	v, ok := s.Protected.Get(LabelAlg)
	if !ok {
		return fault.New(fault.Malformed, "the protected header names no algorithm")
	}
	r := cborx.Checked(v)
	if s.Alg = r.Int64(); !r.OK() {
		return fault.New(fault.Malformed, "the algorithm is no integer")
	}
	return nil
}

// checkCrit enforces RFC 9052 section 3.1: each label must be present in the protected header and understood.
func (s *Sign1) checkCrit(o Options) error {
	v, ok := s.Protected.Get(LabelCrit)
	if !ok {
		return nil
	}
	r := cborx.Checked(v)
	n := r.Array()
	if !r.OK() || n == 0 {
		return fault.New(fault.Malformed, "crit is no array of labels, or empty")
	}
	for ; n > 0; n-- {
		if r.Kind() == cborx.Text {
			name := r.Text()
			if !slices.Contains(o.UnderstoodNames, name) {
				return fault.New(fault.Malformed, "crit names the label %q, which is not understood here", name)
			}
			if !slices.ContainsFunc(s.Protected, func(p Param) bool { return p.IsText && p.Name == name }) {
				return fault.New(fault.Malformed, "crit names the label %q, which is not in the protected header", name)
			}
			continue
		}
		l := r.Int64()
		if !r.OK() {
			return fault.New(fault.Malformed, "crit holds something that is no label")
		}
		if _, present := s.Protected.Get(l); !present {
			return fault.New(fault.Malformed, "crit names label %d, which is not in the protected header", l)
		}
		if l < 1 || l > 4 && !slices.Contains(o.Understood, l) {
			return fault.New(fault.Malformed, "crit names label %d, which is not understood here", l)
		}
	}
	return nil
}

// toBeSigned is Sig_structure (RFC 9052 section 4.4).
func toBeSigned(protected, external, payload []byte) []byte {
	if len(protected) == 1 && protected[0] == 0xa0 {
		protected = nil
	}
	b := make([]byte, 0, len(protected)+len(external)+len(payload)+40)
	b = cborx.AppendText(cborx.AppendArray(b, 4), "Signature1")
	b = cborx.AppendBytes(b, protected)
	b = cborx.AppendBytes(b, external)
	return cborx.AppendBytes(b, payload)
}

// Verify checks the signature over the carried payload. Errors have class signature, or unsupported for an algorithm
// that is sound but not known here.
func (s *Sign1) Verify(key crypto.PublicKey, external []byte) error {
	if s.Detached {
		return fault.New(fault.Signature, "the payload is detached; it must be supplied for the signature to be checked")
	}
	return verify(s.Alg, key, toBeSigned(s.RawProtected, external, s.Payload), s.Signature)
}

// VerifyDetached checks the signature over a payload that was supplied beside s.
func (s *Sign1) VerifyDetached(key crypto.PublicKey, external, payload []byte) error {
	if !s.Detached {
		return fault.New(fault.Signature, "the payload is not detached; the supplied one cannot count")
	}
	return verify(s.Alg, key, toBeSigned(s.RawProtected, external, payload), s.Signature)
}

// Template is what [Sign] writes. AlgFor gives an algorithm for a key.
type Template struct {
	Alg         int64
	Protected   cborx.MapEncoder // without the algorithm
	Unprotected cborx.MapEncoder
	Payload     []byte
	Detached    bool // leave the payload out
	External    []byte
}

// Sign writes tag 18 and the COSE_Sign1.
func Sign(t Template, signer crypto.Signer) ([]byte, error) {
	t.Protected.Put(LabelAlg, cborx.AppendInt(nil, t.Alg))
	protected := t.Protected.Append(nil)
	sig, err := sign(t.Alg, signer, toBeSigned(protected, t.External, t.Payload))
	if err != nil {
		return nil, err
	}
	b := cborx.AppendArray(cborx.AppendTag(nil, tagSign1), 4)
	b = t.Unprotected.Append(cborx.AppendBytes(b, protected))
	if t.Detached {
		b = cborx.AppendNull(b)
	} else {
		b = cborx.AppendBytes(b, t.Payload)
	}
	return cborx.AppendBytes(b, sig), nil
}

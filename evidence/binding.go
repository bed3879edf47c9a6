package evidence

import (
	"crypto/subtle"

	"github.com/assay-tee/assay/internal/fault"
)

type bindingKind uint8

const (
	bindingNone bindingKind = iota
	bindingExact
	bindingFit
	bindingUnbound
)

// Binding is what evidence must be tied to: the bytes that the Attester was asked to put into the field that it
// controls (REPORT_DATA and its like). The zero Binding is refused everywhere.
type Binding struct {
	kind bindingKind
	data []byte
	key  []byte
}

// ExpectExact demands that the whole field equals data; a field of another length never matches.
func ExpectExact(data []byte) (Binding, error) {
	if len(data) == 0 {
		return Binding{}, fault.New(fault.Usage, "an empty binding would accept any evidence")
	}
	return Binding{kind: bindingExact, data: append([]byte(nil), data...)}, nil
}

// ExpectFit demands that the field equals digest, padded with zeros on the right or cut to the field's length
// (kbs-protocol section 7, "fit"). At least 16 bytes must be compared.
func ExpectFit(digest []byte) (Binding, error) {
	if len(digest) < 16 {
		return Binding{}, fault.New(fault.Usage, "a binding of %d bytes is too short to prove freshness; at least 16 are needed", len(digest))
	}
	return Binding{kind: bindingFit, data: append([]byte(nil), digest...)}, nil
}

// UnboundUnsafe accepts evidence that may be old or belong to somebody else. What it leads to carries the mark
// "unbound", which the built-in policy never affirms.
func UnboundUnsafe() Binding { return Binding{kind: bindingUnbound} }

// WithKey names the public key (SubjectPublicKeyInfo DER or JWK bytes) that the expected data commits to, so that a
// release can be wrapped to it. The caller must have computed the data from this very key.
func (b Binding) WithKey(key []byte) Binding {
	b.key = append([]byte(nil), key...)
	return b
}

// Len is the number of bytes that b expects, before they are fitted to a field. A driver whose field varies in length
// uses it to refuse a field that would cut the expectation.
func (b Binding) Len() int { return len(b.data) }

// Unbound reports whether b demands nothing.
func (b Binding) Unbound() bool { return b.kind == bindingUnbound }

// Check compares the evidence field of that name with the expectation in constant time. Its errors are of class
// binding. A driver calls it for exactly one field and hands the result to sealed.Content.
func (b Binding) Check(field string, value []byte) (Bound, error) {
	out := Bound{Field: field, Value: append([]byte(nil), value...), Key: b.key, Bound: true}
	var want []byte
	switch b.kind {
	case bindingUnbound:
		return Bound{Field: field, Value: out.Value}, nil
	case bindingExact:
		want = b.data
	case bindingFit:
		want = make([]byte, len(value))
		copy(want, b.data)
		if len(value) < 16 {
			return Bound{}, fault.New(fault.Binding, "%s has only %d bytes, too few to carry a binding", field, len(value))
		}
	default:
		return Bound{}, fault.New(fault.Internal, "evidence.Binding is the zero value")
	}
	if subtle.ConstantTimeCompare(want, value) != 1 {
		return Bound{}, fault.New(fault.Binding, "%s is %x, expected %x: the evidence was made for another nonce, key or session", field, value, want)
	}
	return out, nil
}

package dcap

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// MaxDocumentSize bounds a signed document in bytes; Intel's have less than 16 KB.
const MaxDocumentSize = 1 << 20

// Signed is a document as PCS serves it: an object of one member and the signature over that member's text exactly as
// carried (section 12).
type Signed struct {
	Name      string // "tcbInfo" or "enclaveIdentity"
	Body      []byte // the member's value as carried
	Signature []byte // 64, r ‖ s big-endian
}

// SplitSigned takes a document apart. Nothing outside the member is signed, so nothing else may be there. Its errors
// are of class malformed.
func SplitSigned(doc []byte) (Signed, error) {
	if len(doc) > MaxDocumentSize {
		return Signed{}, fault.New(fault.Malformed, "signed document of %d bytes; at most %d are taken", len(doc), MaxDocumentSize)
	}
	members, err := jsonx.Object(doc)
	if err != nil {
		return Signed{}, fault.Wrap(err, "signed document")
	}
	var s Signed
	var sig []byte
	for _, m := range members {
		switch m.Name {
		case "tcbInfo", "enclaveIdentity":
			s.Name, s.Body = m.Name, m.Raw
		case "signature":
			sig = m.Raw
		}
	}
	if len(members) != 2 || s.Body == nil || sig == nil {
		return Signed{}, fault.New(fault.Malformed, "signed document: exactly the members tcbInfo or enclaveIdentity, and signature, are expected")
	}
	text, err := jsonx.String(sig)
	if err != nil {
		return Signed{}, fault.Wrap(err, "signature of %s", s.Name)
	}
	if s.Signature, err = hex.DecodeString(text); err != nil || len(s.Signature) != signatureSize {
		return Signed{}, fault.New(fault.Malformed, "signature of %s is not %d bytes in hex", s.Name, signatureSize)
	}
	return s, nil
}

// VerifiedBy checks the signature with the key of a TCB signing certificate. Its errors are of class signature.
func (s *Signed) VerifiedBy(signer *Signer) error {
	if !VerifyRaw(signer.Key, s.Body, s.Signature) {
		return fault.New(fault.Signature, "%s is not signed by %q", s.Name, signer.Cert.Subject.CommonName)
	}
	return nil
}

// Digest is the SHA-256 of the signed text.
func (s *Signed) Digest() [32]byte { return sha256.Sum256(s.Body) }

// fields reads the members of one JSON object; the first error sticks.
type fields struct {
	what    string
	members []jsonx.Member
	used    int
	err     error
}

func objectFields(what string, raw []byte) fields {
	f := fields{what: what}
	f.members, f.err = jsonx.Object(raw)
	return f
}

func (f *fields) fail(name, why string) {
	if f.err == nil {
		f.err = fault.New(fault.Malformed, "%s: %s %s", f.what, name, why)
	}
}

func (f *fields) optional(name string) []byte {
	if f.err != nil {
		return nil
	}
	for _, m := range f.members {
		if m.Name == name {
			f.used++
			return m.Raw
		}
	}
	return nil
}

func (f *fields) raw(name string) []byte {
	r := f.optional(name)
	if r == nil {
		f.fail(name, "is missing")
	}
	return r
}

func (f *fields) text(name string) string {
	r := f.raw(name)
	if f.err != nil {
		return ""
	}
	s, err := jsonx.String(r)
	if err != nil {
		f.fail(name, "is not a string")
	}
	return s
}

// uint reads an integer of at most max. Larger numbers are malformed, where Intel's library cuts them (section 10).
func (f *fields) uint(name string, max uint64) uint64 {
	r := f.raw(name)
	if f.err != nil {
		return 0
	}
	n, err := strconv.ParseUint(string(r), 10, 64)
	if err != nil || n > max {
		f.fail(name, "is not an integer of at most "+strconv.FormatUint(max, 10))
	}
	return n
}

func (f *fields) time(name string) time.Time {
	s := f.text(name)
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		f.fail(name, "is not a date and time")
	}
	return t
}

// hex reads a byte string of the length of into.
func (f *fields) hex(name string, into []byte) {
	s := f.text(name)
	if f.err != nil {
		return
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(into) {
		f.fail(name, "is not "+strconv.Itoa(len(into))+" bytes in hex")
		return
	}
	copy(into, b)
}

func (f *fields) array(name string) [][]byte {
	r := f.raw(name)
	if f.err != nil {
		return nil
	}
	a, err := jsonx.Array(r)
	if err != nil {
		f.fail(name, "is not an array")
	}
	return a
}

func (f *fields) object(name string) fields {
	r := f.raw(name)
	if f.err != nil {
		return fields{err: f.err}
	}
	return objectFields(f.what+"."+name, r)
}

// advisories reads the optional list of advisory ids.
func (f *fields) advisories() []string {
	if f.optional("advisoryIDs") == nil {
		return nil
	}
	f.used--
	var out []string
	for _, r := range f.array("advisoryIDs") {
		s, err := jsonx.String(r)
		if err != nil {
			f.fail("advisoryIDs", "has an entry that is not a string")
			return nil
		}
		out = append(out, s)
	}
	return out
}

// unknown counts the members that nobody asked for.
func (f *fields) unknown() int { return max(len(f.members)-f.used, 0) }

// join takes over the error of a nested object.
func (f *fields) join(g *fields) {
	if f.err == nil {
		f.err = g.err
	}
}

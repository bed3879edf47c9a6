package native

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/release/jwe"
)

// Sizes in bytes.
const (
	NonceSize   = 32
	SessionSize = 16
	DigestSize  = 64
)

// label begins every pre-image; it keeps B4 apart from the bindings of other wires and from services attestation.
const label = "ASSAY-RELEASE/1\x00"

// Purpose is what a challenge is for. Evidence made for one purpose counts for no other.
type Purpose string

// The purposes.
const (
	Release Purpose = "release" // a secret
	Verify  Purpose = "verify"  // a result; releases nothing
	SPIRE   Purpose = "spire"   // a result for node attestation; releases nothing
)

func (p Purpose) known() bool { return p == Release || p == Verify || p == SPIRE }

// Binding is what B4 evidence commits to.
type Binding struct {
	TEE     string
	Purpose Purpose
	Session [SessionSize]byte
	Key     *jwe.Key
	Nonce   [NonceSize]byte
}

// PreImage is the label and five fields, each a u16 big-endian length and the bytes: tee, purpose, session, DER
// SubjectPublicKeyInfo of the key, nonce. A key without such a form is class unsupported.
func (b Binding) PreImage() ([]byte, error) {
	if b.Key == nil {
		return nil, fault.New(fault.Internal, "native.Binding without a key")
	}
	spki, err := b.Key.SPKI()
	if err != nil {
		return nil, err
	}
	out := []byte(label)
	for _, f := range [][]byte{[]byte(b.TEE), []byte(b.Purpose), b.Session[:], spki, b.Nonce[:]} {
		if len(f) > 0xffff {
			return nil, fault.New(fault.Malformed, "a field of the binding has %d bytes", len(f))
		}
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(f))), f...)
	}
	return out, nil
}

// ReportData is SHA-512 of the pre-image: the whole field that the Attester controls.
func (b Binding) ReportData() ([DigestSize]byte, error) {
	p, err := b.PreImage()
	return sha512.Sum512(p), err
}

// StoreID is under what id a session is kept. It is not the id of a session of any other wire.
func StoreID(session [SessionSize]byte) [32]byte {
	return sha256.Sum256(append([]byte("assay native session\x00"), session[:]...))
}

const versionPrefix = "native/"

// Version names this wire and the purpose in a stored session.
func (p Purpose) Version() string { return versionPrefix + string(p) }

// PurposeOf reads what [Purpose.Version] wrote; false for sessions of other wires.
func PurposeOf(version string) (Purpose, bool) {
	s, ok := strings.CutPrefix(version, versionPrefix)
	p := Purpose(s)
	return p, ok && p.known()
}

var b64 = base64.RawURLEncoding.Strict()

// Encode writes a binary member.
func Encode(b []byte) string { return b64.EncodeToString(b) }

// Decode reads a binary member; what it is called is for the error, which is of class malformed.
func Decode(name, s string) ([]byte, error) {
	// The decoder would pass over line breaks.
	if strings.ContainsAny(s, "\r\n") {
		return nil, fault.New(fault.Malformed, "%s is not base64url without padding", name)
	}
	b, err := b64.DecodeString(s)
	if err != nil {
		return nil, fault.New(fault.Malformed, "%s is not base64url without padding", name)
	}
	return b, nil
}

package vtpm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/binary"
	"math/big"

	"github.com/assay-tee/assay/internal/fault"
)

// Attributes is TPMA_OBJECT.
type Attributes uint32

// The attributes that matter for attestation and endorsement keys.
const (
	FixedTPM            Attributes = 1 << 1
	FixedParent         Attributes = 1 << 4
	SensitiveDataOrigin Attributes = 1 << 5
	Restricted          Attributes = 1 << 16
	Decrypt             Attributes = 1 << 17
	Sign                Attributes = 1 << 18
)

const (
	algRSA  = 0x0001
	algECC  = 0x0023
	algNull = 0x0010

	maxPublic     = 1 << 10    // bytes of a TPMT_PUBLIC
	rhEndorsement = 0x4000000B // TPM_RH_ENDORSEMENT
)

// Public is TPMT_PUBLIC of an RSA or ECC key.
type Public struct {
	Raw        []byte // TPMT_PUBLIC, without the length of TPM2B_PUBLIC
	NameAlg    Hash
	Attributes Attributes
	AuthPolicy []byte
	Symmetric  Symmetric
	Scheme     uint16 // TPM_ALG_NULL when the key is not tied to one
	SchemeHash Hash
	Key        crypto.PublicKey // *rsa.PublicKey or *ecdsa.PublicKey
}

// Symmetric is the symmetric algorithm of a storage key.
type Symmetric struct {
	Alg  uint16 // TPM_ALG_NULL when there is none
	Bits uint16
	Mode uint16
}

// ParsePublic parses a TPMT_PUBLIC, or a TPM2B_PUBLIC, to its last byte.
func ParsePublic(b []byte) (*Public, error) {
	if len(b) > maxPublic {
		return nil, fault.New(fault.Malformed, "TPMT_PUBLIC of %d bytes; at most %d are read", len(b), maxPublic)
	}
	// A TPMT_PUBLIC begins with its type, 1 or 0x23; no key is that short.
	if len(b) > 2 && int(binary.BigEndian.Uint16(b)) == len(b)-2 {
		b = b[2:]
	}
	r := reader{b: b, what: "TPMT_PUBLIC"}
	kind := r.u16()
	p := &Public{Raw: b, NameAlg: Hash(r.u16()), Attributes: Attributes(r.u32()), AuthPolicy: r.sized()}
	if _, ok := p.NameAlg.crypto(); !ok {
		r.fail(fault.Unsupported, "the name is made with %s", p.NameAlg)
	}
	if p.Symmetric.Alg = r.u16(); p.Symmetric.Alg != algNull {
		p.Symmetric.Bits, p.Symmetric.Mode = r.u16(), r.u16()
	}
	p.scheme(&r)
	switch {
	case r.err != nil:
	case kind == algRSA:
		p.rsa(&r)
	case kind == algECC:
		p.ecc(&r)
	default:
		r.fail(fault.Unsupported, "object type %04x; RSA and ECC keys are read", kind)
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return p, nil
}

// scheme reads TPMT_RSA_SCHEME or TPMT_ECC_SCHEME.
func (p *Public) scheme(r *reader) {
	switch p.Scheme = r.u16(); p.Scheme {
	case algNull, 0x0015: // RSAES has no details
	case 0x001A: // ECDAA has a counter
		p.SchemeHash = Hash(r.u16())
		r.u16()
	default:
		p.SchemeHash = Hash(r.u16())
	}
}

func (p *Public) rsa(r *reader) {
	size, exp, n := r.u16(), r.u32(), r.sized()
	if exp == 0 {
		exp = 65537
	}
	if r.err == nil && (len(n)*8 != int(size) || len(n) == 0 || n[0] == 0) {
		r.fail(fault.Malformed, "a modulus of %d bytes in a key of %d bits", len(n), size)
	}
	p.Key = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exp)}
}

func (p *Public) ecc(r *reader) {
	id := r.u16()
	if kdf := r.u16(); kdf != algNull {
		r.u16()
	}
	x, y := r.sized(), r.sized()
	var curve elliptic.Curve
	switch id {
	case 3:
		curve = elliptic.P256()
	case 4:
		curve = elliptic.P384()
	case 5:
		curve = elliptic.P521()
	default:
		r.fail(fault.Unsupported, "curve %04x", id)
	}
	if r.err != nil {
		return
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, uncompressed(curve, x, y))
	if err != nil {
		r.fail(fault.Malformed, "the point is not on the curve")
	}
	p.Key = key
}

// uncompressed is 4 ‖ x ‖ y, nil when a coordinate is too long.
func uncompressed(c elliptic.Curve, x, y []byte) []byte {
	n := (c.Params().BitSize + 7) / 8
	if len(x) > n || len(y) > n {
		return nil
	}
	out := make([]byte, 1+2*n)
	out[0] = 4
	copy(out[1+n-len(x):], x)
	copy(out[1+2*n-len(y):], y)
	return out
}

// Name is nameAlg ‖ H(TPMT_PUBLIC) (Part 1, section 16).
func (p *Public) Name() []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(p.NameAlg)), p.NameAlg.sum(p.Raw)...)
}

// QualifiedName is the name of p in a hierarchy below the object with the qualified name parent: nameAlg ‖ H(parent ‖
// Name). With a nil parent p is the primary key of the endorsement hierarchy.
func (p *Public) QualifiedName(parent []byte) []byte {
	if parent == nil {
		parent = binary.BigEndian.AppendUint32(nil, rhEndorsement)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(p.NameAlg)), p.NameAlg.sum(parent, p.Name())...)
}

// CheckAK refuses a key that could sign what looks like a quote and is none, or that may leave its TPM.
func (p *Public) CheckAK() error {
	for _, a := range []struct {
		bit  Attributes
		name string
	}{{Sign, "sign"}, {Restricted, "restricted"}, {FixedTPM, "fixedTPM"}, {FixedParent, "fixedParent"}, {SensitiveDataOrigin, "sensitiveDataOrigin"}} {
		if p.Attributes&a.bit == 0 {
			return fault.New(fault.Signature, "the key is no attestation key: its attribute %s is clear", a.name)
		}
	}
	if p.Attributes&Decrypt != 0 {
		return fault.New(fault.Signature, "the key is no attestation key: its attribute decrypt is set")
	}
	return CheckKey(p.Key)
}

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

// Scheme is a TPM_ALG_ID of a signature scheme.
type Scheme uint16

// The schemes of attestation keys.
const (
	RSASSA Scheme = 0x0014 // PKCS #1 v1.5
	RSAPSS Scheme = 0x0016
	ECDSA  Scheme = 0x0018
)

func (s Scheme) String() string {
	switch s {
	case RSASSA:
		return "RSASSA"
	case RSAPSS:
		return "RSAPSS"
	case ECDSA:
		return "ECDSA"
	}
	return "unknown scheme"
}

// maxScalar bounds the numbers of a signature, in bytes: RSA-8192.
const maxScalar = 1 << 10

// Signature is TPMT_SIGNATURE.
type Signature struct {
	Scheme Scheme
	Hash   Hash
	RSA    []byte // RSASSA and RSAPSS
	R, S   []byte // ECDSA, big-endian
}

// ParseSignature parses a TPMT_SIGNATURE to its last byte.
func ParseSignature(b []byte) (Signature, error) {
	r := reader{b: b, what: "TPMT_SIGNATURE"}
	s := Signature{Scheme: Scheme(r.u16()), Hash: Hash(r.u16())}
	scalar := func() []byte {
		v := r.sized()
		if len(v) > maxScalar {
			r.fail(fault.Malformed, "a number of %d bytes", len(v))
		}
		return v
	}
	switch {
	case r.err != nil:
	case s.Scheme == RSASSA, s.Scheme == RSAPSS:
		s.RSA = scalar()
	case s.Scheme == ECDSA:
		s.R, s.S = scalar(), scalar()
	default:
		r.fail(fault.Unsupported, "scheme %04x; RSASSA, RSAPSS and ECDSA are known", uint16(s.Scheme))
	}
	if err := r.end(); err != nil {
		return Signature{}, err
	}
	return s, nil
}

// Append appends the encoding of s.
func (s *Signature) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(s.Scheme))
	b = binary.BigEndian.AppendUint16(b, uint16(s.Hash))
	if s.Scheme == ECDSA {
		return appendSized(appendSized(b, s.R), s.S)
	}
	return appendSized(b, s.RSA)
}

// CheckKey refuses keys too weak to attest: RSA below 2048 bits, curves other than P-256 and P-384.
func CheckKey(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < 2048 || n > 8*maxScalar {
			return fault.New(fault.Unsupported, "an attestation key of RSA with %d bits; 2048 to %d are accepted", n, 8*maxScalar)
		}
		if k.E < 65537 || k.E&1 == 0 {
			return fault.New(fault.Unsupported, "an attestation key of RSA with the exponent %d", k.E)
		}
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() {
			return fault.New(fault.Unsupported, "an attestation key on the curve %s; P-256 and P-384 are accepted", k.Curve.Params().Name)
		}
	default:
		return fault.New(fault.Unsupported, "an attestation key of type %T; RSA and ECDSA are accepted", key)
	}
	return nil
}

// Verify checks s over msg as carried. Hashes below SHA-256 and keys that [CheckKey] refuses are of class unsupported,
// everything else is of class signature.
func (s *Signature) Verify(key crypto.PublicKey, msg []byte) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	h, ok := s.Hash.crypto()
	if !ok {
		return fault.New(fault.Unsupported, "the quote is signed with %s; SHA-256, SHA-384 and SHA-512 are accepted", s.Hash)
	}
	sum := s.Hash.sum(msg)
	good := false
	switch k := key.(type) {
	case *rsa.PublicKey:
		switch s.Scheme {
		case RSASSA:
			good = rsa.VerifyPKCS1v15(k, h, sum, s.RSA) == nil
		case RSAPSS:
			// The salt is as long as the digest, or as long as fits (Part 1, B.7); the signature shows which.
			good = rsa.VerifyPSS(k, h, sum, s.RSA, nil) == nil
		}
	case *ecdsa.PublicKey:
		good = s.Scheme == ECDSA && ecdsa.Verify(k, sum, new(big.Int).SetBytes(s.R), new(big.Int).SetBytes(s.S))
	}
	if !good {
		return fault.New(fault.Signature, "the quote is not signed by this attestation key (%s with %s): it was changed, or comes from another TPM", s.Scheme, s.Hash)
	}
	return nil
}

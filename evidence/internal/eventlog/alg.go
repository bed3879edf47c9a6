package eventlog

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"slices"

	"github.com/assay-tee/assay/internal/sm3"
)

// Alg is a TCG algorithm id.
type Alg uint16

// The hash algorithms.
const (
	SHA1   Alg = 0x04
	SHA256 Alg = 0x0b
	SHA384 Alg = 0x0c
	SHA512 Alg = 0x0d
	SM3    Alg = 0x12
)

// Size returns the length of a digest in bytes, 0 for an algorithm that is not known.
func (a Alg) Size() int {
	switch a {
	case SHA1:
		return sha1.Size
	case SHA256, SM3:
		return sha256.Size
	case SHA384:
		return sha512.Size384
	case SHA512:
		return sha512.Size
	}
	return 0
}

func (a Alg) String() string {
	switch a {
	case SHA1:
		return "SHA-1"
	case SHA256:
		return "SHA-256"
	case SHA384:
		return "SHA-384"
	case SHA512:
		return "SHA-512"
	case SM3:
		return "SM3"
	}
	return "unknown"
}

// sum is the digest over the parts, one after the other, of a known algorithm.
func (a Alg) sum(parts ...[]byte) []byte {
	var h hash.Hash
	switch a {
	case SHA1:
		h = sha1.New()
	case SHA256:
		h = sha256.New()
	case SHA384:
		h = sha512.New384()
	case SHA512:
		h = sha512.New()
	default:
		d := sm3.Sum(slices.Concat(parts...))
		return d[:]
	}
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

package vtpm

import (
	"crypto"
	_ "crypto/sha1" // banks of old logs; refused everywhere but in their replay
	_ "crypto/sha256"
	_ "crypto/sha512"
	"strconv"

	"github.com/assay-tee/assay/claim"
)

// Hash is a TPM_ALG_ID of a hash algorithm (TCG Algorithm Registry).
type Hash uint16

// The hash algorithms of PCR banks, names and signatures.
const (
	SHA1   Hash = 0x0004
	SHA256 Hash = 0x000B
	SHA384 Hash = 0x000C
	SHA512 Hash = 0x000D
	SM3    Hash = 0x0012
)

// Size returns the length of a digest in bytes, 0 for an algorithm that is not known here.
func (h Hash) Size() int {
	switch h {
	case SHA1:
		return 20
	case SHA256, SM3:
		return 32
	case SHA384:
		return 48
	case SHA512:
		return 64
	}
	return 0
}

func (h Hash) String() string {
	switch h {
	case SHA1:
		return "sha1"
	case SHA256:
		return "sha256"
	case SHA384:
		return "sha384"
	case SHA512:
		return "sha512"
	case SM3:
		return "sm3_256"
	}
	return "0x" + strconv.FormatUint(uint64(h), 16)
}

// crypto returns the implementation for signatures and names: SHA-256 or better.
func (h Hash) crypto() (crypto.Hash, bool) {
	switch h {
	case SHA256:
		return crypto.SHA256, true
	case SHA384:
		return crypto.SHA384, true
	case SHA512:
		return crypto.SHA512, true
	}
	return 0, false
}

func (h Hash) sum(parts ...[]byte) []byte {
	c, _ := h.crypto()
	d := c.New()
	for _, p := range parts {
		d.Write(p)
	}
	return d.Sum(nil)
}

// digest is v as a digest in CoRIM's terms.
func (h Hash) digest(v []byte) claim.Digest {
	switch h {
	case SHA256:
		return claim.Digest{Alg: claim.SHA256, Value: v}
	case SHA384:
		return claim.Digest{Alg: claim.SHA384, Value: v}
	case SHA512:
		return claim.Digest{Alg: claim.SHA512, Value: v}
	}
	return claim.Digest{AlgName: h.String(), Value: v}
}

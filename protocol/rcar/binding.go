package rcar

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jcs"
	"github.com/assay-tee/assay/internal/sm3"
	"github.com/assay-tee/assay/release/jwe"
)

// Hash is a hash algorithm of the protocol, in lower case.
type Hash string

// The algorithms that clients offer.
const (
	SHA256 Hash = "sha256"
	SHA384 Hash = "sha384"
	SHA512 Hash = "sha512"
	SM3    Hash = "sm3"
)

// ParseHash reads a name in any case.
func ParseHash(s string) (Hash, bool) {
	switch h := Hash(strings.ToLower(s)); h {
	case SHA256, SHA384, SHA512, SM3:
		return h, true
	}
	return "", false
}

// Sum hashes data; "" is SHA-384, what clients use when nothing was selected.
func (h Hash) Sum(data []byte) []byte {
	switch h {
	case SHA256:
		s := sha256.Sum256(data)
		return s[:]
	case SHA512:
		s := sha512.Sum512(data)
		return s[:]
	case SM3:
		s := sm3.Sum(data)
		return s[:]
	}
	s := sha512.Sum384(data)
	return s[:]
}

// PrimaryDigest is what the primary evidence of protocol 0.4.0 commits to (section 7): nonce, key and the transmitted
// string of device evidence. The text is built here from the session's nonce and the parsed key; text that the peer
// supplied is never hashed.
func PrimaryDigest(h Hash, nonce string, key *jwe.Key, additional string) []byte {
	t := jcs.AppendString([]byte(`{"additional-evidence":`), additional)
	return h.Sum(append(append(t, ','), runtimeText(nonce, key)...))
}

// DeviceDigest is what device evidence of 0.4.0, and all evidence of 0.1.0 (v0.9) to 0.2.0, commits to.
func DeviceDigest(h Hash, nonce string, key *jwe.Key) []byte {
	return h.Sum(append([]byte{'{'}, runtimeText(nonce, key)...))
}

func runtimeText(nonce string, key *jwe.Key) []byte {
	t := jcs.AppendString([]byte(`"nonce":`), nonce)
	t = append(append(t, `,"tee-pubkey":`...), key.JSON()...)
	return append(t, '}')
}

// ConcatDigest is the form of v0.8 clients: SHA-384(nonce ‖ n ‖ e), the three texts concatenated.
func ConcatDigest(nonce string, key *jwe.Key) []byte {
	n, e := key.RSATexts()
	return SHA384.Sum([]byte(nonce + n + e))
}

// AproxyDigest is SHA-512(x ‖ y ‖ challenge bytes) of SVSM guests (section 11.3, svsm.md B1). The nonce must be the
// base64 text of exactly 32 bytes, so that the pre-image always has 164 bytes.
func AproxyDigest(nonce string, key *jwe.Key) ([]byte, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(nonce)
	if err != nil || len(raw) != NonceSize {
		return nil, fault.New(fault.Binding, "the challenge of an SVSM guest is %d bytes in standard base64", NonceSize)
	}
	x, y := key.XY()
	if len(x) != 66 || len(y) != 66 {
		return nil, fault.New(fault.Malformed, "an SVSM guest has a P-521 key")
	}
	return SHA512.Sum(append(append(append([]byte(nil), x...), y...), raw...)), nil
}

// Digest is one value that the field of the primary evidence may hold.
type Digest struct {
	Value []byte
	Form  string // "jcs", "concat", "aproxy"
}

// Digests returns what the primary evidence must be bound to in version v: one digest, or two for 0.1.0, whose two
// client generations cannot be told apart. nonce and h are those of the session.
func (a *Attestation) Digests(v Version, h Hash, nonce string) ([]Digest, error) {
	switch {
	case v == V040 && a.IsAproxy():
		d, err := AproxyDigest(nonce, a.Key)
		return []Digest{{d, "aproxy"}}, err
	case v == V040:
		return []Digest{{PrimaryDigest(h, nonce, a.Key, a.Additional), "jcs"}}, nil
	case v == V010:
		if n, _ := a.Key.RSATexts(); n != "" {
			return []Digest{{DeviceDigest(SHA384, nonce, a.Key), "jcs"}, {ConcatDigest(nonce, a.Key), "concat"}}, nil
		}
		return []Digest{{DeviceDigest(SHA384, nonce, a.Key), "jcs"}}, nil
	}
	return []Digest{{DeviceDigest(h, nonce, a.Key), "jcs"}}, nil
}

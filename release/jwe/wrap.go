package jwe

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/subtle"
	"encoding/binary"
	"slices"

	"github.com/assay-tee/assay/internal/fault"
)

// errUnwrap is the only answer to whatever goes wrong while a key or a secret is opened: which step failed is nobody's
// business but the owner's of the key.
var errUnwrap = fault.New(fault.Signature, "the encrypted secret does not open with this key")

// wrapKey is AES key wrap, RFC 3394 section 2.2.1. kek has 24 or 32 bytes, key a multiple of 8.
func wrapKey(kek, key []byte) ([]byte, error) {
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, fault.As(fault.Internal, err)
	}
	n := len(key) / 8
	out := append(slices.Repeat([]byte{0xa6}, 8), key...)
	var buf [16]byte
	for j := range 6 {
		for i := 1; i <= n; i++ {
			copy(buf[:8], out[:8])
			copy(buf[8:], out[8*i:])
			block.Encrypt(buf[:], buf[:])
			binary.BigEndian.PutUint64(out, binary.BigEndian.Uint64(buf[:8])^uint64(n*j+i))
			copy(out[8*i:8*i+8], buf[8:])
		}
	}
	return out, nil
}

// unwrapKey is RFC 3394 section 2.2.2.
func unwrapKey(kek, wrapped []byte) ([]byte, error) {
	if len(wrapped) < 24 || len(wrapped)%8 != 0 || len(wrapped) > 72 {
		return nil, errUnwrap
	}
	block, err := aes.NewCipher(kek)
	if err != nil {
		return nil, fault.As(fault.Internal, err)
	}
	n := len(wrapped)/8 - 1
	out := slices.Clone(wrapped)
	var buf [16]byte
	for j := 5; j >= 0; j-- {
		for i := n; i >= 1; i-- {
			binary.BigEndian.PutUint64(buf[:8], binary.BigEndian.Uint64(out)^uint64(n*j+i))
			copy(buf[8:], out[8*i:8*i+8])
			block.Decrypt(buf[:], buf[:])
			copy(out[:8], buf[:8])
			copy(out[8*i:], buf[8:])
		}
	}
	if subtle.ConstantTimeCompare(out[:8], slices.Repeat([]byte{0xa6}, 8)) != 1 {
		return nil, errUnwrap
	}
	return out[8:], nil
}

// concatKDF is the single round of RFC 7518 section 4.6.2 that a 256-bit key encryption key needs. The AlgorithmID is
// that of key agreement with wrapping, PartyUInfo and PartyVInfo are empty.
func concatKDF(z []byte) []byte {
	h := sha256.New()
	h.Write([]byte{0, 0, 0, 1})
	h.Write(z)
	h.Write(kdfInfo(ECDHES, 256, true))
	return h.Sum(nil)
}

func kdfInfo(alg Alg, bits uint32, parties bool) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(alg)))
	out = append(out, alg...)
	if parties {
		out = append(out, make([]byte, 8)...)
	}
	return binary.BigEndian.AppendUint32(out, bits)
}

// kemKDF is KMAC256(shared, kdfInfo, 192 bits, "") of NIST SP 800-185 section 4.
func kemKDF(shared []byte) []byte {
	const rate = 136
	h := sha3.NewCSHAKE256([]byte("KMAC"), nil)
	pad := append(leftEncode(rate), leftEncode(uint64(len(shared))*8)...)
	pad = append(pad, shared...)
	pad = append(pad, make([]byte, (rate-len(pad)%rate)%rate)...)
	h.Write(pad)
	h.Write(kdfInfo(MLKEM768, 192, false))
	h.Write([]byte{192, 1}) // right_encode(192)
	out := make([]byte, 24)
	h.Read(out)
	return out
}

func leftEncode(v uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, v)
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	return append([]byte{byte(len(b))}, b...)
}

func gcm(cek []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(cek)
	if err != nil {
		return nil, fault.As(fault.Internal, err)
	}
	aead, err := cipher.NewGCM(block)
	return aead, fault.As(fault.Internal, err)
}

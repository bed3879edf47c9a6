package jwe

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
)

const padBlock, padPrefix = 256, 4

func pad(secret []byte) []byte {
	n := padPrefix + len(secret)
	out := make([]byte, (n+padBlock-1)/padBlock*padBlock)
	binary.BigEndian.PutUint32(out, uint32(len(secret)))
	copy(out[padPrefix:], secret)
	return out
}

func unpad(b []byte) ([]byte, error) {
	if len(b) == 0 || len(b)%padBlock != 0 {
		return nil, fault.New(fault.Malformed, "JWE: %d bytes are not a padded secret", len(b))
	}
	n := uint64(binary.BigEndian.Uint32(b))
	if n > uint64(len(b)-padPrefix) || slices.ContainsFunc(b[padPrefix+n:], func(v byte) bool { return v != 0 }) {
		return nil, fault.New(fault.Malformed, "JWE: the padding of the secret is wrong")
	}
	return b[padPrefix : padPrefix+n], nil
}

// DecryptCompact opens a response of the form [Compact]. Its errors are those of [Decrypt].
func DecryptCompact(priv PrivateKey, response []byte) ([]byte, error) {
	parts := strings.Split(string(response), ".")
	if len(parts) != 5 {
		return nil, fault.New(fault.Malformed, "JWE: %d parts where the compact form has 5", len(parts))
	}
	out, err := Decrypt(priv, object("protected", parts[0], "encrypted_key", parts[1], "iv", parts[2], "ciphertext", parts[3], "tag", parts[4]))
	if err != nil {
		return nil, err
	}
	return unpad(out)
}

package dcap

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"

	"github.com/assay-tee/assay/internal/fault"
)

// ParseKey reads a P-256 public key as quotes carry it: x ‖ y, big-endian, 64 bytes. A point that is not on the curve
// is class signature.
func ParseKey(xy []byte) (*ecdsa.PublicKey, error) {
	if len(xy) != keySize {
		return nil, fault.New(fault.Malformed, "a P-256 key has %d bytes, not %d", keySize, len(xy))
	}
	var pt [1 + keySize]byte
	pt[0] = 4
	copy(pt[1:], xy)
	k, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), pt[:])
	if err != nil {
		return nil, fault.New(fault.Signature, "the key is not a point of P-256")
	}
	return k, nil
}

// VerifyRaw reports whether sig, r ‖ s big-endian, is a signature by pub over the SHA-256 of msg.
func VerifyRaw(pub *ecdsa.PublicKey, msg, sig []byte) bool {
	if len(sig) != signatureSize {
		return false
	}
	var der [6 + 2*33]byte
	body := appendDERInteger(der[:2], sig[:32])
	body = appendDERInteger(body, sig[32:])
	der[0], der[1] = 0x30, byte(len(body)-2)
	digest := sha256.Sum256(msg)
	return ecdsa.VerifyASN1(pub, digest[:], body)
}

// appendDERInteger appends the minimal INTEGER of an unsigned big-endian number of at most 32 bytes.
func appendDERInteger(b, n []byte) []byte {
	for len(n) > 1 && n[0] == 0 {
		n = n[1:]
	}
	pad := n[0] >> 7
	b = append(b, 0x02, byte(len(n))+pad)
	if pad == 1 {
		b = append(b, 0)
	}
	return append(b, n...)
}

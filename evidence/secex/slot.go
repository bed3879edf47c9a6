package secex

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/sha256"

	"github.com/assay-tee/assay/internal/fault"
)

const (
	coordSize   = 80 // a P-521 coordinate, left-padded
	pointSize   = 2 * coordSize
	p521Size    = 66
	phkhSize    = 32
	arpkSize    = 32
	gcmTagSize  = 16
	gcmIVSize   = 12
	slotSize    = phkhSize + arpkSize + gcmTagSize
	maxSlots    = 255
	cuidSize    = 16
	measureSize = 64 // HMAC-SHA-512
	nonceSize   = 16
)

// PHKH is the public host key hash: SHA-256 of the 160 bytes X ‖ Y, each left-padded to 80.
type PHKH [phkhSize]byte

// HostKeyHash returns the PHKH of a P-521 key.
func HostKeyHash(pub *ecdh.PublicKey) (PHKH, error) {
	p, err := encodePoint(pub)
	if err != nil {
		return PHKH{}, err
	}
	return sha256.Sum256(p[:]), nil
}

func encodePoint(pub *ecdh.PublicKey) ([pointSize]byte, error) {
	var out [pointSize]byte
	raw := pub.Bytes() // 0x04 ‖ X ‖ Y
	if pub.Curve() != ecdh.P521() || len(raw) != 1+2*p521Size {
		return out, fault.New(fault.Unsupported, "host and customer keys are EC P-521")
	}
	copy(out[coordSize-p521Size:], raw[1:1+p521Size])
	copy(out[pointSize-p521Size:], raw[1+p521Size:])
	return out, nil
}

func decodePoint(b []byte) (*ecdh.PublicKey, error) {
	if len(b) != pointSize {
		return nil, fault.New(fault.Malformed, "a public key has %d bytes, %d are needed", len(b), pointSize)
	}
	for _, off := range []int{0, coordSize} {
		for _, c := range b[off : off+coordSize-p521Size] {
			if c != 0 {
				return nil, fault.New(fault.Malformed, "a P-521 coordinate is longer than %d bytes", p521Size)
			}
		}
	}
	raw := make([]byte, 0, 1+2*p521Size)
	raw = append(raw, 4)
	raw = append(raw, b[coordSize-p521Size:coordSize]...)
	raw = append(raw, b[pointSize-p521Size:]...)
	pub, err := ecdh.P521().NewPublicKey(raw)
	if err != nil {
		return nil, fault.New(fault.Malformed, "a public key is not on P-521: %w", err)
	}
	return pub, nil
}

// slotKey is the key that wraps the request protection key for one host: SHA-256(Z ‖ 00000001), the counter after Z.
func slotKey(priv *ecdh.PrivateKey, pub *ecdh.PublicKey) ([32]byte, error) {
	z, err := priv.ECDH(pub)
	if err != nil {
		return [32]byte{}, fault.New(fault.Unsupported, "key agreement: %w", err)
	}
	return sha256.Sum256(append(z, 0, 0, 0, 1)), nil
}

// makeSlot wraps protected for one host key. The IV is zero, which is safe only because slotKey is new with every
// customer key: a customer key is used for one request.
func makeSlot(customer *ecdh.PrivateKey, host *ecdh.PublicKey, protected []byte) ([]byte, error) {
	phkh, err := HostKeyHash(host)
	if err != nil {
		return nil, err
	}
	key, err := slotKey(customer, host)
	if err != nil {
		return nil, err
	}
	g, err := newGCM(key[:])
	if err != nil {
		return nil, err
	}
	return g.Seal(phkh[:], make([]byte, gcmIVSize), protected, nil), nil
}

// openSlot is what the Ultravisor does with the slot that carries the hash of its own host key.
func openSlot(host *ecdh.PrivateKey, customer *ecdh.PublicKey, slot []byte) ([]byte, error) {
	key, err := slotKey(host, customer)
	if err != nil {
		return nil, err
	}
	g, err := newGCM(key[:])
	if err != nil {
		return nil, err
	}
	out, err := g.Open(nil, make([]byte, gcmIVSize), slot[phkhSize:], nil)
	if err != nil {
		return nil, fault.New(fault.Signature, "the key slot does not open")
	}
	return out, nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, fault.New(fault.Internal, "AES: %w", err)
	}
	g, err := cipher.NewGCM(b)
	if err != nil {
		return nil, fault.New(fault.Internal, "GCM: %w", err)
	}
	return g, nil
}

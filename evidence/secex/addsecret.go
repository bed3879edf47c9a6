package secex

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"io"

	"github.com/assay-tee/assay/internal/fault"
)

// SecretType is the type of a guest secret that the Ultravisor keeps.
type SecretType uint16

// The secret types and, in bytes, the length each must have.
const (
	SecretNull        SecretType = 1 // carries only the extension secret
	SecretAssociation SecretType = 2 // 32
	SecretPlaintext   SecretType = 3 // u16 length ‖ payload ‖ zeros to a multiple of 16
	SecretAES128      SecretType = 4
	SecretAES192      SecretType = 5
	SecretAES256      SecretType = 6
	SecretAESXTS128   SecretType = 7
	SecretAESXTS256   SecretType = 8
	SecretHMACSHA256  SecretType = 9
	SecretHMACSHA512  SecretType = 10
	SecretP256        SecretType = 0x11
	SecretP384        SecretType = 0x12
	SecretP521        SecretType = 0x13 // 80, left-padded
	SecretEd25519     SecretType = 0x14
	SecretEd448       SecretType = 0x15 // 64, left-padded
	SecretUpdateCCK   SecretType = 0x16
)

var secretSizes = map[SecretType]int{
	SecretNull: 0, SecretAssociation: 32, SecretAES128: 16, SecretAES192: 24, SecretAES256: 32, SecretAESXTS128: 32,
	SecretAESXTS256: 64, SecretHMACSHA256: 64, SecretHMACSHA512: 128, SecretP256: 32, SecretP384: 48, SecretP521: 80,
	SecretEd25519: 32, SecretEd448: 64, SecretUpdateCCK: 32,
}

// maxPlaintextSecret is the longest payload of SecretPlaintext in bytes.
const maxPlaintextSecret = 8190

// SecretID is the id of a named secret: SHA-256 of its name.
func SecretID(name string) [32]byte { return sha256.Sum256([]byte(name)) }

// PlaintextSecret encodes a payload for SecretPlaintext.
func PlaintextSecret(payload []byte) ([]byte, error) {
	if len(payload) == 0 || len(payload) > maxPlaintextSecret {
		return nil, fault.New(fault.Usage, "a plaintext secret has 1 to %d bytes, not %d", maxPlaintextSecret, len(payload))
	}
	out := binary.BigEndian.AppendUint16(nil, uint16(len(payload)))
	out = append(out, payload...)
	for len(out)%16 != 0 {
		out = append(out, 0)
	}
	return out, nil
}

// DerivedExtension is the extension secret that the owner of the customer communication key (CCK) of an image can
// derive: HKDF-SHA-512 with the header tag as salt.
func DerivedExtension(cck []byte, tags *HeaderTags) ([32]byte, error) {
	k, err := hkdf.Key(sha512.New, cck, tags.Tag(), "IBM Z Ultravisor Add-Secret", 32)
	if err != nil {
		return [32]byte{}, fault.New(fault.Internal, "HKDF: %w", err)
	}
	return [32]byte(k), nil
}

// AddSecretConfig says which secret to wrap for whom.
type AddSecretConfig struct {
	HostKeys []*ecdh.PublicKey // verified host keys
	Tags     *HeaderTags       // the image that may add the secret
	// CUID ties the request to one running guest, the one whose evidence was just verified. Nil ties it to the image only.
	CUID      []byte
	Type      SecretType
	ID        [32]byte // of the secret; unused for SecretNull and SecretUpdateCCK
	Secret    []byte   // as the Ultravisor keeps it; see PlaintextSecret
	Extension [32]byte // extension secret; zero for none
	NoDump    bool     // flag 0: forbids dumps of the guest from then on
	// UserData is for software in the guest: up to 512 bytes, or, signed by UserDataKey, 256 under EC P-521 or RSA-2048
	// and 128 under RSA-3072.
	UserData    []byte
	UserDataKey crypto.Signer
	Rand        io.Reader

	customer *ecdh.PrivateKey
	key, iv  []byte
}

const (
	addSecretMagic   = "asrcbM"
	offASFlags       = 0x30
	offASTags        = 0x38
	offASCUID        = 0x108
	offASUserData    = 0x218
	offASCustomer    = 0x418
	offASSlots       = offASCustomer + pointSize
	maxAddSecret     = 1 << 20 // uvio: ADD_SECRET
	secretHeaderSize = 0x10
)

// NewAddSecretRequest builds an add-secret request. It is the strongest release that Secure
// Execution has: with a CUID, only that one running guest can add the secret, and its memory never holds the key that
// the request was wrapped to.
func NewAddSecretRequest(cfg AddSecretConfig) ([]byte, error) {
	n := len(cfg.HostKeys)
	size, known := secretSizes[cfg.Type]
	switch {
	case n == 0 || n > maxSlots:
		return nil, fault.New(fault.Usage, "an add-secret request needs 1 to %d host keys, not %d", maxSlots, n)
	case cfg.Tags == nil:
		return nil, fault.New(fault.Usage, "an add-secret request needs the header tags of the image")
	case cfg.CUID != nil && (len(cfg.CUID) != cuidSize || zero(cfg.CUID)):
		return nil, fault.New(fault.Usage, "a configuration UID has %d bytes that are not all zero", cuidSize)
	case known && len(cfg.Secret) != size:
		return nil, fault.New(fault.Usage, "a secret of type %d has %d bytes, not %d", cfg.Type, size, len(cfg.Secret))
	case !known && cfg.Type != SecretPlaintext:
		return nil, fault.New(fault.Unsupported, "secret type %d is not known", cfg.Type)
	case cfg.Type == SecretPlaintext && (len(cfg.Secret) == 0 || len(cfg.Secret)%16 != 0 || len(cfg.Secret) > maxPlaintextSecret+2):
		return nil, fault.New(fault.Usage, "encode the payload with PlaintextSecret first")
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	var err error
	if cfg.customer == nil {
		if cfg.customer, err = ecdh.P521().GenerateKey(cfg.Rand); err != nil {
			return nil, fault.New(fault.Internal, "customer key: %w", err)
		}
	}
	if cfg.key == nil {
		cfg.key, cfg.iv = make([]byte, arpkSize), make([]byte, gcmIVSize)
		for _, b := range [][]byte{cfg.key, cfg.iv} {
			if _, err := io.ReadFull(cfg.Rand, b); err != nil {
				return nil, fault.New(fault.Internal, "randomness: %w", err)
			}
		}
	}
	point, err := encodePoint(cfg.customer.PublicKey())
	if err != nil {
		return nil, err
	}
	head := secretHeader(cfg.Type, cfg.ID, len(cfg.Secret))
	sea := len(cfg.Secret) + len(cfg.Extension)
	total := offASSlots + n*slotSize + len(head) + sea + gcmTagSize
	b := make([]byte, offASSlots, total)
	copy(b, addSecretMagic)
	binary.BigEndian.PutUint32(b[offVersion:], requestVersion)
	binary.BigEndian.PutUint32(b[offLength:], uint32(total))
	copy(b[offIV:], cfg.iv)
	b[offSlots] = byte(n)
	binary.BigEndian.PutUint32(b[offEncryptedSize:], uint32(sea))
	if cfg.NoDump {
		b[offASFlags] = 0x80
	}
	if err := putUserData(b, cfg.UserData, cfg.UserDataKey); err != nil {
		return nil, err
	}
	copy(b[offASTags:], cfg.Tags[:])
	copy(b[offASCUID:], cfg.CUID)
	copy(b[offASCustomer:], point[:])
	for _, h := range cfg.HostKeys {
		slot, err := makeSlot(cfg.customer, h, cfg.key)
		if err != nil {
			return nil, err
		}
		b = append(b, slot...)
	}
	b = append(b, head...)
	defer clear(cfg.key)
	return sealWithUserData(b, append(bytes.Clone(cfg.Secret), cfg.Extension[:]...), &cfg)
}

func secretHeader(t SecretType, id [32]byte, size int) []byte {
	h := make([]byte, secretHeaderSize, secretHeaderSize+40)
	binary.BigEndian.PutUint16(h[2:], uint16(t))
	binary.BigEndian.PutUint32(h[4:], uint32(size))
	switch t {
	case SecretNull:
		return h
	case SecretUpdateCCK:
		return append(h, make([]byte, 32)...)
	}
	return append(h, id[:]...)
}

// RequestTag is the tag of a request, by which the secret store hash remembers it.
func RequestTag(request []byte) ([gcmTagSize]byte, error) {
	if len(request) < gcmTagSize {
		return [gcmTagSize]byte{}, fault.New(fault.Malformed, "a request has at least %d bytes", gcmTagSize)
	}
	return [gcmTagSize]byte(request[len(request)-gcmTagSize:]), nil
}

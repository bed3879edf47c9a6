package secex

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/binary"

	"github.com/assay-tee/assay/internal/fault"
)

const (
	digestSize  = 64 // PLD, ALD, TLD
	tagsSize    = 3*digestSize + gcmTagSize
	maxUserData = 256
	// maxAdditional bounds additional data: the Ultravisor's own limit.
	maxAdditional = 0x8000
)

// HeaderTags are the four values of an SE header that enter the measurement: PLD ‖ ALD ‖ TLD ‖ header tag. They
// identify one built image together, never apart.
type HeaderTags [tagsSize]byte

// PLD is the page list digest.
func (t *HeaderTags) PLD() []byte { return t[:64] }

// ALD is the address list digest.
func (t *HeaderTags) ALD() []byte { return t[64:128] }

// TLD is the tweak list digest.
func (t *HeaderTags) TLD() []byte { return t[128:192] }

// Tag is the tag of the header's own encryption.
func (t *HeaderTags) Tag() []byte { return t[192:] }

// measurementInput is everything that the HMAC covers.
type measurementInput struct {
	tags       *HeaderTags
	cuid       []byte
	userData   []byte
	nonce      []byte // empty when the request had none
	additional []byte
}

// measure computes HMAC-SHA-512 over the parts: the lengths come before the data, and the nonce stands between user
// data and additional data.
func measure(key []byte, in measurementInput) ([]byte, error) {
	switch {
	case len(in.cuid) != cuidSize:
		return nil, fault.New(fault.Malformed, "the configuration UID has %d bytes, %d are needed", len(in.cuid), cuidSize)
	case len(in.userData) > maxUserData:
		return nil, fault.New(fault.Malformed, "%d bytes of user data, at most %d are possible", len(in.userData), maxUserData)
	case len(in.additional) > maxAdditional:
		return nil, fault.New(fault.Malformed, "%d bytes of additional data, at most %d are possible", len(in.additional), maxAdditional)
	}
	m := hmac.New(sha512.New, key)
	m.Write(in.tags[:])
	m.Write(in.cuid)
	var l [8]byte
	binary.BigEndian.PutUint16(l[0:], uint16(len(in.userData)))
	binary.BigEndian.PutUint32(l[4:], uint32(len(in.additional)))
	m.Write(l[:])
	m.Write(in.userData)
	m.Write(in.nonce)
	m.Write(in.additional)
	return m.Sum(nil), nil
}

// Additional is additional data, taken apart by the flags that asked for it.
type Additional struct {
	ImagePHKH       []byte // 32 bytes, nil when not asked for
	AttestationPHKH []byte // 32 bytes
	SecretStoreHash []byte // 64 bytes
	FirmwareState   []byte // 320 bytes
	Unrecognised    []byte // what follows; covered by the measurement
}

// ParseAdditional takes b apart. Fewer bytes than the flags ask for are malformed: the machine did not answer what it
// was asked.
func ParseAdditional(f Flags, b []byte) (Additional, error) {
	if need := f.AdditionalSize(); len(b) < need {
		return Additional{}, fault.New(fault.Malformed, "%d bytes of additional data, the flags of the request ask for %d", len(b), need)
	}
	var a Additional
	for _, p := range additionalParts {
		if f&p.flag == 0 {
			continue
		}
		v := b[:p.size]
		b = b[p.size:]
		switch p.flag {
		case FlagImagePHKH:
			a.ImagePHKH = v
		case FlagAttestationPHKH:
			a.AttestationPHKH = v
		case FlagSecretStoreHash:
			a.SecretStoreHash = v
		case FlagFirmwareState:
			a.FirmwareState = v
		}
	}
	if len(b) > 0 {
		a.Unrecognised = b
	}
	return a, nil
}

// SecretStoreHash is the hash that the Ultravisor keeps over its secret store: the tags of the accepted add-secret
// requests in their order, and whether the store is locked.
func SecretStoreHash(requestTags [][gcmTagSize]byte, locked bool) [secretStoreHashSize]byte {
	h := sha512.New()
	for _, t := range requestTags {
		h.Write(t[:])
	}
	if locked {
		h.Write([]byte{1})
	} else {
		h.Write([]byte{0})
	}
	return [secretStoreHashSize]byte(h.Sum(nil))
}

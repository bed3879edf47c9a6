package secex

import (
	"encoding/binary"

	"github.com/assay-tee/assay/internal/fault"
)

// HeaderSecrets is the part of an SE header that only the machines it was built for, and who holds the header key, can
// read.
type HeaderSecrets struct {
	CCK        [32]byte // customer communication key
	XTSKey     [64]byte // that the components are encrypted with
	PSWMask    uint64
	PSWAddress uint64
	Control    uint64 // scf: secret control flags, bit 0 the most significant
	Components uint32 // noi
}

const scfExtensionEnforced, scfCCKUpdate = 1, 2

// ExtensionSecretEnforced reports secret control flag 1: the Ultravisor derives the extension secret from the CCK and
// takes no other.
func (s *HeaderSecrets) ExtensionSecretEnforced() bool {
	return s.Control>>(63-scfExtensionEnforced)&1 == 1
}

// CCKUpdateAllowed reports secret control flag 2.
func (s *HeaderSecrets) CCKUpdateAllowed() bool { return s.Control>>(63-scfCCKUpdate)&1 == 1 }

// Open decrypts the secret part of h with the header key, which who built the image has kept.
func (h *Header) Open(headerKey []byte) (*HeaderSecrets, error) {
	if len(headerKey) != arpkSize {
		return nil, fault.New(fault.Usage, "a header key has %d bytes, not %d", arpkSize, len(headerKey))
	}
	g, err := newGCM(headerKey)
	if err != nil {
		return nil, err
	}
	aad := h.Raw[:len(h.Raw)-headerSEA-gcmTagSize]
	p, err := g.Open(nil, h.Raw[offHeaderIV:offHeaderIV+gcmIVSize], h.Raw[len(aad):], aad)
	if err != nil {
		return nil, fault.New(fault.Signature, "the SE header does not open with this key: it belongs to another image, or was changed")
	}
	s := &HeaderSecrets{CCK: [32]byte(p), XTSKey: [64]byte(p[32:]), PSWMask: binary.BigEndian.Uint64(p[96:]),
		PSWAddress: binary.BigEndian.Uint64(p[104:]), Control: binary.BigEndian.Uint64(p[112:]), Components: binary.BigEndian.Uint32(p[120:])}
	if !zero(p[124:]) {
		return nil, fault.New(fault.Malformed, "a reserved byte of the SE header's secret part is not zero")
	}
	return s, nil
}

package secex

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/assay-tee/assay/internal/fault"
)

// session is what decides over an answer. It never reaches the guest in the clear: it is kept by the Verifier, or
// travels sealed under a key of the Verifier.
type session struct {
	measurementKey [measurementKeyLen]byte
	nonce          [nonceSize]byte
	flags          Flags
	request        [32]byte   // SHA-256 of the ARCB
	tags           HeaderTags // as issued; the guest echoes them, and nothing is decided by the echo
	expiry         time.Time
	hosts          []PHKH
}

const (
	sessionVersion   = 1
	sessionFixedSize = 1 + measurementKeyLen + nonceSize + 8 + 32 + tagsSize + 8
)

func (s *session) marshal() []byte {
	b := make([]byte, 0, sessionFixedSize+len(s.hosts)*phkhSize)
	b = append(b, sessionVersion)
	b = append(b, s.measurementKey[:]...)
	b = append(b, s.nonce[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.flags))
	b = append(b, s.request[:]...)
	b = append(b, s.tags[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.expiry.Unix()))
	for _, h := range s.hosts {
		b = append(b, h[:]...)
	}
	return b
}

func parseSession(b []byte) (*session, error) {
	if len(b) < sessionFixedSize || (len(b)-sessionFixedSize)%phkhSize != 0 || b[0] != sessionVersion {
		return nil, fault.New(fault.Malformed, "the state of the challenge is not one of this version")
	}
	s := new(session)
	b = b[1:]
	for _, p := range [][]byte{s.measurementKey[:], s.nonce[:]} {
		b = b[copy(p, b):]
	}
	s.flags, b = Flags(binary.BigEndian.Uint64(b)), b[8:]
	for _, p := range [][]byte{s.request[:], s.tags[:]} {
		b = b[copy(p, b):]
	}
	s.expiry, b = time.Unix(int64(binary.BigEndian.Uint64(b)), 0).UTC(), b[8:]
	for ; len(b) > 0; b = b[phkhSize:] {
		s.hosts = append(s.hosts, PHKH(b[:phkhSize]))
	}
	return s, nil
}

// sealer seals sessions with AES-256-GCM. The first key seals; all open, so that keys can be rotated.
type sealer struct{ keys [][]byte }

// sealedAAD ties a sealed session to the session of the protocol and to this use of the key.
func sealedAAD(id []byte) []byte { return append([]byte("assay secex session 1\x00"), id...) }

func (s *sealer) seal(id, plain []byte) ([]byte, error) {
	g, err := newGCM(s.keys[0])
	if err != nil {
		return nil, err
	}
	iv := make([]byte, gcmIVSize)
	if _, err := rand.Read(iv); err != nil {
		return nil, fault.New(fault.Internal, "randomness: %w", err)
	}
	return g.Seal(iv, iv, plain, sealedAAD(id)), nil
}

func (s *sealer) open(id, sealed []byte) ([]byte, error) {
	if len(sealed) < gcmIVSize+gcmTagSize {
		return nil, fault.New(fault.Signature, "encr_measurement_key was not made by this verifier")
	}
	for _, k := range s.keys {
		g, err := newGCM(k)
		if err != nil {
			return nil, err
		}
		if p, err := g.Open(nil, sealed[:gcmIVSize], sealed[gcmIVSize:], sealedAAD(id)); err == nil {
			return p, nil
		}
	}
	return nil, fault.New(fault.Signature, "encr_measurement_key was not made by this verifier for this session")
}

// StateFromARPK recovers the state of a challenge from the request itself and its protection key, as `pvattest` keeps
// it beside a request (--arpk FILE). Whoever holds that key can make a measurement: it is to be deleted after use.
func StateFromARPK(request, arpk []byte, tags *HeaderTags, expiry time.Time) ([]byte, error) {
	if len(arpk) != arpkSize {
		return nil, fault.New(fault.Malformed, "a request protection key has %d bytes, not %d", arpkSize, len(arpk))
	}
	h, err := ParseRequest(request)
	if err != nil {
		return nil, err
	}
	key, nonce, err := h.open(arpk)
	if err != nil {
		return nil, err
	}
	s := session{flags: h.Flags, request: sha256.Sum256(request), expiry: expiry, hosts: h.Hosts, tags: *tags}
	copy(s.measurementKey[:], key)
	copy(s.nonce[:], nonce)
	return s.marshal(), nil
}

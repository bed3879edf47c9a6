package ultravisor

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
)

// ReturnCode is what the Ultravisor answers; 1 is "executed".
type ReturnCode uint16

// Return codes of the attestation and add-secret calls (specs ibm-se.md section 6).
const (
	Executed            ReturnCode = 0x0001
	BadUserData         ReturnCode = 0x0102
	BadVersion          ReturnCode = 0x0106
	BadLength           ReturnCode = 0x0107
	BadSlots            ReturnCode = 0x0108
	BadEncryptedArea    ReturnCode = 0x0109
	BadFlag             ReturnCode = 0x010a
	BadAlgorithm        ReturnCode = 0x010b
	CannotDecrypt       ReturnCode = 0x010c
	SecretStoreLocked   ReturnCode = 0x1102 // 0x0102 of the add-secret call
	SecretCannotDecrypt ReturnCode = 0x1108 // 0x0108 of the add-secret call
	SecretNotAdded      ReturnCode = 0x110c // 0x010c of the add-secret call
)

func (r ReturnCode) Error() string { return fmt.Sprintf("ultravisor return code %#04x", uint16(r)) }

// Machine is one s390x machine: a host key.
type Machine struct{ key *ecdh.PrivateKey }

// NewMachine makes a machine with a fresh host key.
func NewMachine() (*Machine, error) {
	k, err := ecdh.P521().GenerateKey(rand.Reader)
	return &Machine{key: k}, err
}

// HostKey is the machine's public host key.
func (m *Machine) HostKey() *ecdh.PublicKey { return m.key.PublicKey() }

func point(pub *ecdh.PublicKey) []byte {
	out, raw := make([]byte, 160), pub.Bytes()
	copy(out[14:], raw[1:67])
	copy(out[94:], raw[67:])
	return out
}

func (m *Machine) hash() []byte { h := sha256.Sum256(point(m.key.PublicKey())); return h[:] }

// Image is a built SE image: its header, readable only by the machines it was built for.
type Image struct{ Header []byte }

// NewImage builds the header of an image of the given content for one machine. Real digests depend on random keys and
// tweaks; so do these.
func NewImage(m *Machine, content []byte, pcf uint64) (*Image, error) {
	cust, err := ecdh.P521().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	random := make([]byte, 32+12+64)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	key, iv, salt := random[:32], random[32:44], random[44:]
	h := make([]byte, 0x1a0)
	copy(h, "IBMSecEx")
	binary.BigEndian.PutUint32(h[8:], 0x100)
	binary.BigEndian.PutUint32(h[12:], 0x1a0+80+0x80+16)
	copy(h[0x10:], iv)
	binary.BigEndian.PutUint64(h[0x20:], 1)
	binary.BigEndian.PutUint64(h[0x28:], 0x80)
	binary.BigEndian.PutUint64(h[0x30:], uint64(len(content)/4096+1))
	binary.BigEndian.PutUint64(h[0x38:], pcf)
	copy(h[0x40:], point(cust.PublicKey()))
	for i, word := range []string{"pld", "ald", "tld"} {
		d := sha512.Sum512(append([]byte(word), append(bytes.Clone(salt), content...)...))
		copy(h[0xe0+64*i:], d[:])
	}
	h = append(h, m.hash()...)
	if h, err = seal(h, wrapKey(cust, m.key.PublicKey()), make([]byte, 12), key, nil); err != nil {
		return nil, err
	}
	h, err = seal(h, key, iv, make([]byte, 0x80), h)
	return &Image{Header: h}, err
}

func wrapKey(priv *ecdh.PrivateKey, pub *ecdh.PublicKey) []byte {
	z, err := priv.ECDH(pub)
	if err != nil {
		return make([]byte, 32)
	}
	k := sha256.Sum256(append(z, 0, 0, 0, 1))
	return k[:]
}

func seal(dst, key, iv, plain, aad []byte) ([]byte, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	g, err := cipher.NewGCM(b)
	if err != nil {
		return nil, err
	}
	return g.Seal(dst, iv, plain, aad), nil
}

func open(key, iv, sealed, aad []byte) ([]byte, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	g, err := cipher.NewGCM(b)
	if err != nil {
		return nil, err
	}
	return g.Open(nil, iv, sealed, aad)
}

// Guest is a running guest.
type Guest struct {
	machine *Machine
	image   *Image
	CUID    [16]byte
	// Firmware is the 320 bytes of firmware state that the machine reports.
	Firmware [320]byte
	tags     [][]byte // of accepted add-secret requests
	ext      []byte   // extension secret, fixed by the first request
	locked   bool
	Secrets  map[string][]byte // by id, as text of the 32 bytes
}

// Boot starts an image; a machine that it was not built for cannot open its header.
func (m *Machine) Boot(img *Image) (*Guest, error) {
	h := img.Header
	slot := h[0x1a0:0x1f0]
	if !bytes.Equal(slot[:32], m.hash()) {
		return nil, CannotDecrypt
	}
	pub, err := parsePoint(h[0x40:0xe0])
	if err != nil {
		return nil, CannotDecrypt
	}
	key, err := open(wrapKey(m.key, pub), make([]byte, 12), slot[32:], nil)
	if err != nil {
		return nil, CannotDecrypt
	}
	if _, err := open(key, h[0x10:0x1c], h[0x1f0:], h[:0x1f0]); err != nil {
		return nil, CannotDecrypt
	}
	g := &Guest{machine: m, image: img, Secrets: map[string][]byte{}}
	_, err = rand.Read(g.CUID[:])
	return g, err
}

func parsePoint(b []byte) (*ecdh.PublicKey, error) {
	raw := append([]byte{4}, b[14:80]...)
	return ecdh.P521().NewPublicKey(append(raw, b[94:160]...))
}

// headerTags is PLD ‖ ALD ‖ TLD ‖ tag of the booted image.
func (g *Guest) headerTags() []byte {
	h := g.image.Header
	return append(bytes.Clone(h[0xe0:0x1a0]), h[len(h)-16:]...)
}

// Answer is what the Ultravisor gives back for an attestation request.
type Answer struct {
	Measurement, Additional, CUID []byte
}

// Attest answers an attestation request with the user data of the guest. The checks run in the order of the codes.
func (g *Guest) Attest(req, user []byte) (*Answer, error) {
	if len(user) > 256 {
		return nil, BadUserData
	}
	if len(req) < 0xe0 || binary.BigEndian.Uint64(req) != 0 || binary.BigEndian.Uint32(req[8:]) != 0x100 {
		return nil, BadVersion
	}
	if binary.BigEndian.Uint32(req[12:]) != uint32(len(req)) {
		return nil, BadLength
	}
	n, sea, flags := int(req[0x27]), int(binary.BigEndian.Uint32(req[0x2c:])), binary.BigEndian.Uint64(req[0x30:])
	nonceLen := 0
	if flags>>62&1 == 1 {
		nonceLen = 16
	}
	end := 0xe0 + 80*n
	switch {
	case n == 0 || end > len(req):
		return nil, BadSlots
	case sea != 64+nonceLen || end+sea+16 != len(req):
		return nil, BadEncryptedArea
	case flags&0x83ff_ffff_ffff_ffff != 0:
		return nil, BadFlag
	case binary.BigEndian.Uint32(req[0x38:]) != 1:
		return nil, BadAlgorithm
	}
	plain := g.machine.openRequest(req, 0x40, 0xe0, n, end)
	if plain == nil {
		return nil, CannotDecrypt
	}
	a := &Answer{CUID: g.CUID[:]}
	if flags>>61&1 == 1 {
		a.Additional = append(a.Additional, g.image.Header[0x1a0:0x1c0]...)
	}
	if flags>>60&1 == 1 {
		a.Additional = append(a.Additional, g.machine.hash()...)
	}
	if flags>>59&1 == 1 {
		a.Additional = append(a.Additional, g.storeHash()...)
	}
	if flags>>58&1 == 1 {
		a.Additional = append(a.Additional, g.Firmware[:]...)
	}
	m := hmac.New(sha512.New, plain[:64])
	m.Write(g.headerTags())
	m.Write(g.CUID[:])
	binary.Write(m, binary.BigEndian, struct {
		U, Z uint16
		A    uint32
	}{uint16(len(user)), 0, uint32(len(a.Additional))})
	m.Write(user)
	m.Write(plain[64:])
	m.Write(a.Additional)
	a.Measurement = m.Sum(nil)
	return a, nil
}

// openRequest finds the slot of this machine and opens what follows the slots; nil when it cannot. aadEnd is where the
// encrypted area begins.
func (m *Machine) openRequest(req []byte, customer, slots, n, aadEnd int) []byte {
	pub, err := parsePoint(req[customer : customer+160])
	if err != nil {
		return nil
	}
	for i := range n {
		s := req[slots+80*i:][:80]
		if !bytes.Equal(s[:32], m.hash()) {
			continue
		}
		key, err := open(wrapKey(m.key, pub), make([]byte, 12), s[32:], nil)
		if err != nil {
			return nil
		}
		plain, err := open(key, req[0x10:0x1c], req[aadEnd:], req[:aadEnd])
		if err != nil {
			return nil
		}
		return plain
	}
	return nil
}

func (g *Guest) storeHash() []byte {
	h := sha512.New()
	for _, t := range g.tags {
		h.Write(t)
	}
	h.Write([]byte{map[bool]byte{true: 1}[g.locked]})
	return h.Sum(nil)
}

// LockSecrets locks the secret store.
func (g *Guest) LockSecrets() { g.locked = true }

// AddSecret takes an add-secret request. It must be bound to the booted image and, if it names one, to this guest.
func (g *Guest) AddSecret(req []byte) error {
	if g.locked {
		return SecretStoreLocked
	}
	if len(req) < 0x4b8+80+0x10+32+16 || string(req[:6]) != "asrcbM" || binary.BigEndian.Uint32(req[12:]) != uint32(len(req)) {
		return SecretCannotDecrypt
	}
	n, sea := int(req[0x27]), int(binary.BigEndian.Uint32(req[0x2c:]))
	aadEnd := len(req) - sea - 16
	if n == 0 || sea < 32 || aadEnd < 0x4b8+80*n+0x10 {
		return SecretCannotDecrypt
	}
	plain := g.machine.openRequest(req, 0x418, 0x4b8, n, aadEnd)
	if plain == nil {
		return SecretCannotDecrypt
	}
	cuid, ext := req[0x108:0x118], plain[len(plain)-32:]
	switch {
	case !bytes.Equal(req[0x38:0x108], g.headerTags()),
		!bytes.Equal(cuid, make([]byte, 16)) && !bytes.Equal(cuid, g.CUID[:]),
		g.ext != nil && !bytes.Equal(g.ext, ext):
		return SecretNotAdded
	}
	g.ext = bytes.Clone(ext)
	g.tags = append(g.tags, req[len(req)-16:])
	if head := req[0x4b8+80*n : aadEnd]; len(head) == 0x30 {
		g.Secrets[string(head[0x10:])] = plain[:len(plain)-32]
	}
	return nil
}

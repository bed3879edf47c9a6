package secex

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"io"

	"github.com/assay-tee/assay/internal/fault"
)

// Flags are the plaintext attestation flags of a request, bit 0 the most significant.
type Flags uint64

// The flags, and what each adds to the additional data, in this order.
const (
	FlagNonce           Flags = 1 << 62 // nonce in the encrypted area; always set by this package
	FlagImagePHKH       Flags = 1 << 61 // 32 bytes: hash of the host key that opened the boot header
	FlagAttestationPHKH Flags = 1 << 60 // 32 bytes: hash of the host key that opened this request
	FlagSecretStoreHash Flags = 1 << 59 // 64 bytes
	FlagFirmwareState   Flags = 1 << 58 // 320 bytes
	knownFlags                = FlagNonce | FlagImagePHKH | FlagAttestationPHKH | FlagSecretStoreHash | FlagFirmwareState
)

const (
	secretStoreHashSize = 64
	firmwareStateSize   = 320
)

// AdditionalSize is the number of bytes of additional data that the flags ask for.
func (f Flags) AdditionalSize() int {
	n := 0
	for _, p := range additionalParts {
		if f&p.flag != 0 {
			n += p.size
		}
	}
	return n
}

var additionalParts = [...]struct {
	flag Flags
	size int
}{{FlagImagePHKH, phkhSize}, {FlagAttestationPHKH, phkhSize}, {FlagSecretStoreHash, secretStoreHashSize}, {FlagFirmwareState, firmwareStateSize}}

const (
	requestVersion    = 0x100
	offVersion        = 0x08
	offLength         = 0x0c
	offIV             = 0x10
	offReserved1      = 0x1c
	offSlots          = 0x27
	offReserved2      = 0x28
	offEncryptedSize  = 0x2c
	offFlags          = 0x30
	offAlgorithm      = 0x38
	offReserved3      = 0x3c
	offCustomer       = 0x40
	offFirstSlot      = offCustomer + pointSize
	algHMACSHA512     = 1
	measurementKeyLen = 64
	// maxRequest is the longest request of version 1: 255 slots.
	maxRequest = offFirstSlot + maxSlots*slotSize + measurementKeyLen + nonceSize + gcmTagSize
)

// RequestConfig says what to ask for. All fields but Flags and HostKeys are for known-answer tests only and are drawn
// at random when nil.
type RequestConfig struct {
	HostKeys []*ecdh.PublicKey // host keys of the machines that may answer, verified by the caller; 1 to 255
	Flags    Flags             // FlagNonce is added
	Rand     io.Reader         // nil: crypto/rand
	// KeepARPK keeps the request protection key in the result, for operators who verify the answer by hand and delete it
	// then. A server keeps the measurement key instead.
	KeepARPK bool

	customer                        *ecdh.PrivateKey
	arpk, iv, measurementKey, nonce []byte
}

// Request is a request together with the secrets that decide over the answer. Only Bytes may leave the Verifier.
type Request struct {
	Bytes          []byte // the ARCB
	Flags          Flags
	MeasurementKey []byte // 64 bytes; whoever holds it can make a measurement
	Nonce          []byte // 16 bytes
	Hosts          []PHKH // the machines that can open the request
	ARPK           []byte // request protection key; only with RequestConfig.KeepARPK
}

// NewRequest builds an attestation request of version 1. The request protection key and the customer's private key are
// used for this request and then forgotten.
func NewRequest(cfg RequestConfig) (*Request, error) {
	n := len(cfg.HostKeys)
	if n == 0 || n > maxSlots {
		return nil, fault.New(fault.Usage, "a request needs 1 to %d host keys, not %d", maxSlots, n)
	}
	if cfg.Flags&^knownFlags != 0 {
		return nil, fault.New(fault.Unsupported, "attestation flags %#016x are not known", uint64(cfg.Flags&^knownFlags))
	}
	cfg.Flags |= FlagNonce
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.customer == nil {
		k, err := ecdh.P521().GenerateKey(cfg.Rand)
		if err != nil {
			return nil, fault.New(fault.Internal, "customer key: %w", err)
		}
		cfg.customer = k
	}
	for _, p := range []struct {
		b *[]byte
		n int
	}{{&cfg.arpk, arpkSize}, {&cfg.iv, gcmIVSize}, {&cfg.measurementKey, measurementKeyLen}, {&cfg.nonce, nonceSize}} {
		if *p.b != nil {
			continue
		}
		*p.b = make([]byte, p.n)
		if _, err := io.ReadFull(cfg.Rand, *p.b); err != nil {
			return nil, fault.New(fault.Internal, "randomness: %w", err)
		}
	}
	point, err := encodePoint(cfg.customer.PublicKey())
	if err != nil {
		return nil, err
	}
	sea := measurementKeyLen + nonceSize
	total := offFirstSlot + n*slotSize + sea + gcmTagSize
	b := make([]byte, offFirstSlot, total)
	binary.BigEndian.PutUint32(b[offVersion:], requestVersion)
	binary.BigEndian.PutUint32(b[offLength:], uint32(total))
	copy(b[offIV:], cfg.iv)
	b[offSlots] = byte(n)
	binary.BigEndian.PutUint32(b[offEncryptedSize:], uint32(sea))
	binary.BigEndian.PutUint64(b[offFlags:], uint64(cfg.Flags))
	binary.BigEndian.PutUint32(b[offAlgorithm:], algHMACSHA512)
	copy(b[offCustomer:], point[:])
	r := &Request{Flags: cfg.Flags, MeasurementKey: cfg.measurementKey, Nonce: cfg.nonce}
	for _, host := range cfg.HostKeys {
		slot, err := makeSlot(cfg.customer, host, cfg.arpk)
		if err != nil {
			return nil, err
		}
		b = append(b, slot...)
		r.Hosts = append(r.Hosts, PHKH(slot[:phkhSize]))
	}
	g, err := newGCM(cfg.arpk)
	if err != nil {
		return nil, err
	}
	r.Bytes = g.Seal(b, cfg.iv, append(bytes.Clone(cfg.measurementKey), cfg.nonce...), b)
	if cfg.KeepARPK {
		r.ARPK = cfg.arpk
	} else {
		clear(cfg.arpk)
	}
	return r, nil
}

// RequestHeader is the readable part of a request.
type RequestHeader struct {
	Flags     Flags
	Customer  *ecdh.PublicKey
	Hosts     []PHKH
	iv        []byte
	slots     []byte
	aad       []byte
	encrypted []byte // ciphertext ‖ tag
}

// ParseRequest reads a request of version 1. It demands what the Ultravisor demands and also that every reserved byte
// is zero and that the length is exactly the buffer's.
func ParseRequest(b []byte) (*RequestHeader, error) {
	bad := func(format string, args ...any) (*RequestHeader, error) {
		return nil, fault.New(fault.Malformed, "attestation request: "+format, args...)
	}
	switch {
	case len(b) < offFirstSlot+slotSize+measurementKeyLen+gcmTagSize:
		return bad("%d bytes are too few", len(b))
	case len(b) > maxRequest:
		return bad("%d bytes are more than %d slots need", len(b), maxSlots)
	case !zero(b[:offVersion]):
		return bad("this is not an attestation request (magic %x)", b[:offVersion])
	}
	if v := binary.BigEndian.Uint32(b[offVersion:]); v != requestVersion {
		return nil, fault.New(fault.Unsupported, "attestation request version %#x; only %#x is known", v, requestVersion)
	}
	n := int(b[offSlots])
	sea := uint64(binary.BigEndian.Uint32(b[offEncryptedSize:]))
	flags := Flags(binary.BigEndian.Uint64(b[offFlags:]))
	wantSEA := uint64(measurementKeyLen)
	if flags&FlagNonce != 0 {
		wantSEA += nonceSize
	}
	alg := binary.BigEndian.Uint32(b[offAlgorithm:])
	switch {
	case uint64(binary.BigEndian.Uint32(b[offLength:])) != uint64(len(b)):
		return bad("says it has %d bytes, has %d", binary.BigEndian.Uint32(b[offLength:]), len(b))
	case !zero(b[offReserved1:offSlots]) || !zero(b[offReserved2:offEncryptedSize]) || !zero(b[offReserved3:offCustomer]):
		return bad("a reserved byte is not zero")
	case n == 0:
		return bad("no key slot")
	case sea != wantSEA:
		return bad("encrypted area of %d bytes, %d are needed for flags %#016x", sea, wantSEA, uint64(flags))
	case uint64(len(b)) != uint64(offFirstSlot+n*slotSize+gcmTagSize)+sea:
		return bad("%d slots do not fit into %d bytes", n, len(b))
	case flags&^knownFlags != 0:
		return nil, fault.New(fault.Unsupported, "attestation request asks for unknown flags %#016x", uint64(flags&^knownFlags))
	case alg != algHMACSHA512:
		return nil, fault.New(fault.Unsupported, "measurement algorithm %d; only 1 (HMAC-SHA-512) is known", alg)
	}
	pub, err := decodePoint(b[offCustomer:offFirstSlot])
	if err != nil {
		return nil, err
	}
	end := offFirstSlot + n*slotSize
	h := &RequestHeader{Flags: flags, Customer: pub, iv: b[offIV:offReserved1], slots: b[offFirstSlot:end], aad: b[:end], encrypted: b[end:]}
	for i := range n {
		h.Hosts = append(h.Hosts, PHKH(h.slots[i*slotSize:][:phkhSize]))
	}
	return h, nil
}

// openRequest decrypts a request whose protection key is known: what `pvattest verify --arpk` and the Ultravisor do.
func (h *RequestHeader) open(arpk []byte) (measurementKey, nonce []byte, err error) {
	g, err := newGCM(arpk)
	if err != nil {
		return nil, nil, err
	}
	p, err := g.Open(nil, h.iv, h.encrypted, h.aad)
	if err != nil {
		return nil, nil, fault.New(fault.Signature, "the attestation request does not open: it was changed, or belongs to another key")
	}
	return p[:measurementKeyLen], p[measurementKeyLen:], nil
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

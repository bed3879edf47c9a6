package dcap

import (
	"encoding/binary"

	"github.com/assay-tee/assay/internal/fault"
)

// TEE is the kind of environment that a quote or a document speaks of.
type TEE uint8

// The environments.
const (
	SGX TEE = iota
	TDX
)

func (t TEE) String() string {
	if t == TDX {
		return "TDX"
	}
	return "SGX"
}

// BodyType is the type of a quote's body as version 5 numbers it; older versions imply it.
type BodyType uint16

// The types of bodies (section 1).
const (
	BodySGX   BodyType = 1 // enclave report
	BodyTD10  BodyType = 2 // TD report of TDX 1.0
	BodyTD15  BodyType = 3 // TD report of TDX 1.5
	BodyTD15X BodyType = 4 // TD report of TDX 1.5 extended
)

// Sizes in bytes.
const (
	HeaderSize = 48
	// MaxQuoteSize bounds a quote with its padding (specs performance.md section 11).
	MaxQuoteSize = 64 << 10

	descriptorSize = 6 // u16 type, u32 size before the body of version 5
	signatureSize  = 64
	keySize        = 64
	teeTypeTDX     = 0x81
	keyTypeP256    = 2
)

var bodySizes = [...]int{BodySGX: 384, BodyTD10: 584, BodyTD15: 648, BodyTD15X: 885}

// vendorIntel is the QE vendor id of Intel's quoting enclaves.
var vendorIntel = [16]byte{0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07}

// CertType is a certification data type (section 6).
type CertType uint16

// The certification data types.
const (
	CertPPIDClear    CertType = 1
	CertPPIDRSA2048  CertType = 2
	CertPPIDRSA3072  CertType = 3
	CertPCKLeaf      CertType = 4
	CertPCKChain     CertType = 5
	certQEReport     CertType = 6
	certPlatformData CertType = 7
)

// Quote is a view of a quote: every slice points into the bytes given to [ParseQuote]. Nothing in it is authentic.
type Quote struct {
	Version  uint16
	TEE      TEE
	BodyType BodyType

	Header []byte // 48
	Body   []byte // 384, 584, 648 or 885
	Signed []byte // header, descriptor of version 5, body: what Signature covers

	Signature      []byte // 64, r ‖ s big-endian, by AttestationKey over Signed
	AttestationKey []byte // 64, x ‖ y big-endian
	QEReport       []byte // 384
	QESignature    []byte // 64, by the PCK over QEReport
	QEAuthData     []byte
	CertType       CertType // 1 to 5
	CertData       []byte

	Raw      []byte // the quote without what trails it
	Trailing []byte // bytes behind the authentication data: padding of carriers, covered by nothing
}

// UserData returns the 20 bytes of the header that the QE fills in; the first 16 are the platform's QE id.
func (q *Quote) UserData() []byte { return q.Header[28:48] }

// HeaderSVNs returns the QE SVN and PCE SVN of a version 3 header: informative, the QE report does not sign them.
func (q *Quote) HeaderSVNs() (qe, pce uint16) {
	return binary.LittleEndian.Uint16(q.Header[8:]), binary.LittleEndian.Uint16(q.Header[10:])
}

// Enclave returns the enclave report of an SGX quote.
func (q *Quote) Enclave() EnclaveReport { return EnclaveReport(q.Body) }

// TD returns the TD report of a TDX quote.
func (q *Quote) TD() TDReport { return TDReport{q.Body, q.BodyType} }

// QE returns the report of the quoting enclave.
func (q *Quote) QE() EnclaveReport { return EnclaveReport(q.QEReport) }

func malformed(format string, args ...any) error {
	return fault.New(fault.Malformed, "quote: "+format, args...)
}

func unsupported(format string, args ...any) error {
	return fault.New(fault.Unsupported, "quote: "+format, args...)
}

// cursor walks over bytes; after the first failed read every further one fails.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n uint64) []byte {
	if c.bad || n > uint64(len(c.b)) {
		c.bad = true
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) u16() uint16 {
	if b := c.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// ParseQuote splits a quote of version 3, 4 or 5 (sections 1, 2, 5). It allocates nothing. Its errors are of class
// malformed or unsupported.
func ParseQuote(b []byte) (Quote, error) {
	if len(b) > MaxQuoteSize {
		return Quote{}, malformed("%d bytes; at most %d are taken", len(b), MaxQuoteSize)
	}
	q := Quote{}
	c := cursor{b: b}
	if q.Header = c.take(HeaderSize); c.bad {
		return Quote{}, malformed("%d bytes do not hold a header", len(b))
	}
	if err := q.readHeader(); err != nil {
		return Quote{}, err
	}
	if q.Version == 5 {
		if err := q.readDescriptor(&c); err != nil {
			return Quote{}, err
		}
	}
	size := bodySizes[q.BodyType]
	if q.Body = c.take(uint64(size)); c.bad {
		return Quote{}, malformed("ends inside its body of %d bytes", size)
	}
	q.Signed = b[:len(b)-len(c.b)]
	n := c.u32()
	auth := cursor{b: c.take(uint64(n))}
	if c.bad {
		return Quote{}, malformed("authentication data of %d bytes are announced, %d follow", n, len(c.b))
	}
	q.Trailing = c.b
	q.Raw = b[:len(b)-len(c.b)]
	if err := q.readAuthData(&auth); err != nil {
		return Quote{}, err
	}
	return q, nil
}

func (q *Quote) readHeader() error {
	h := q.Header
	q.Version = binary.LittleEndian.Uint16(h)
	if q.Version < 3 || q.Version > 5 {
		return unsupported("version %d; 3, 4 and 5 are known", q.Version)
	}
	if kt := binary.LittleEndian.Uint16(h[2:]); kt != keyTypeP256 {
		return unsupported("attestation key type %d; only 2 (ECDSA P-256) is known", kt)
	}
	switch tt := binary.LittleEndian.Uint32(h[4:]); {
	case q.Version == 3 && tt != 0:
		return malformed("version 3 has reserved bytes %#x where later ones have the TEE type", tt)
	case tt == 0:
		q.TEE, q.BodyType = SGX, BodySGX
	case tt == teeTypeTDX:
		q.TEE, q.BodyType = TDX, BodyTD10
	default:
		return unsupported("TEE type %#x; 0 (SGX) and 0x81 (TDX) are known", tt)
	}
	if [16]byte(h[12:28]) != vendorIntel {
		return unsupported("QE vendor id %x is not Intel's", h[12:28])
	}
	return nil
}

func (q *Quote) readDescriptor(c *cursor) error {
	typ, size := BodyType(c.u16()), c.u32()
	switch {
	case c.bad:
		return malformed("ends inside the descriptor of its body")
	case typ < BodySGX || typ > BodyTD15X:
		return unsupported("body type %d; 1 to 4 are known", typ)
	case (typ == BodySGX) != (q.TEE == SGX):
		return malformed("body type %d does not go with TEE type %s", typ, q.TEE)
	case uint64(size) != uint64(bodySizes[typ]):
		return malformed("a body of type %d has %d bytes, not %d", typ, bodySizes[typ], size)
	}
	q.BodyType = typ
	return nil
}

// readAuthData reads the authentication data. Bytes left over inside any of its parts are refused: Intel's library
// takes them, no known quote has them, and nothing would say what they mean (section 5).
func (q *Quote) readAuthData(c *cursor) error {
	q.Signature, q.AttestationKey = c.take(signatureSize), c.take(keySize)
	if q.Version >= 4 {
		typ, size := CertType(c.u16()), c.u32()
		if c.bad {
			return malformed("authentication data end before the certification data")
		}
		if typ != certQEReport {
			return malformed("outer certification data have type %d, 6 (QE report) is required", typ)
		}
		if uint64(size) != uint64(len(c.b)) {
			return malformed("QE report certification data of %d bytes are announced, %d follow", size, len(c.b))
		}
	}
	q.QEReport, q.QESignature = c.take(EnclaveReportSize), c.take(signatureSize)
	q.QEAuthData = c.take(uint64(c.u16()))
	q.CertType = CertType(c.u16())
	size := c.u32()
	q.CertData = c.take(uint64(size))
	switch {
	case c.bad:
		return malformed("authentication data end inside one of their parts")
	case q.CertType < CertPPIDClear || q.CertType > CertPCKChain:
		return malformed("certification data of type %d; 1 to 5 can certify a QE", q.CertType)
	case len(c.b) != 0:
		return malformed("%d bytes are left over inside the authentication data", len(c.b))
	case len(q.CertData) == 0:
		return malformed("certification data are empty")
	}
	return nil
}

// PlatformIDs are the contents of certification data of types 1 to 3: what identifies a PCK certificate that is not
// in the quote (section 6).
type PlatformIDs struct {
	PPID    []byte // 16 in clear (type 1), otherwise encrypted to Intel: 256 or 384
	CPUSVN  []byte // 16
	PCESVN  uint16
	PCEID   []byte // 2; nil when absent
	InClear bool
}

// PlatformIDs reads certification data of types 1 to 3.
func (q *Quote) PlatformIDs() (PlatformIDs, error) {
	ppid, mustHavePCEID := 0, false
	switch q.CertType {
	case CertPPIDClear:
		ppid = 16
	case CertPPIDRSA2048:
		ppid = 256
	case CertPPIDRSA3072:
		ppid, mustHavePCEID = 384, true
	default:
		return PlatformIDs{}, malformed("certification data of type %d hold no platform identifiers", q.CertType)
	}
	c := cursor{b: q.CertData}
	ids := PlatformIDs{PPID: c.take(uint64(ppid)), CPUSVN: c.take(16), PCESVN: c.u16(), InClear: q.CertType == CertPPIDClear}
	if len(c.b) > 0 || mustHavePCEID {
		ids.PCEID = c.take(2)
	}
	if c.bad || len(c.b) != 0 {
		return PlatformIDs{}, malformed("certification data of type %d have %d bytes", q.CertType, len(q.CertData))
	}
	return ids, nil
}

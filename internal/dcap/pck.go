package dcap

import (
	"crypto/x509"
	"encoding/asn1"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/assay-tee/assay/internal/fault"
)

// SGXType is the kind of memory protection that the platform has.
type SGXType uint8

// The SGX types.
const (
	SGXStandard          SGXType = 0
	SGXScalable          SGXType = 1
	SGXScalableIntegrity SGXType = 2
)

func (t SGXType) String() string {
	return [...]string{"standard", "scalable", "scalable-with-integrity", "unknown"}[min(t, 3)]
}

// PCK is the SGX extension of a PCK certificate (1.2.840.113741.1.13.1, section 7).
type PCK struct {
	PPID       [16]byte
	Components [16]uint8
	PCESVN     uint16
	CPUSVN     [16]byte
	PCEID      [2]byte
	FMSPC      [6]byte
	SGXType    SGXType
	// Platform says that the elements of Platform CA certificates are there.
	Platform           bool
	PlatformInstanceID [16]byte
	DynamicPlatform    bool
	CachedKeys         bool
	SMTEnabled         bool
}

var oidSGX = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}

func oidUnderSGX(suffix ...int) asn1.ObjectIdentifier {
	return append(append(asn1.ObjectIdentifier{}, oidSGX...), suffix...)
}

// ParsePCK reads the SGX extension of c. Elements may come in any order; each must be there exactly once. Its errors
// are of class malformed.
func ParsePCK(c *x509.Certificate) (PCK, error) {
	var ext []byte
	for _, e := range c.Extensions {
		if e.Id.Equal(oidSGX) {
			if ext != nil {
				return PCK{}, badPCK("the SGX extension occurs twice")
			}
			ext = e.Value
		}
	}
	if ext == nil {
		return PCK{}, badPCK("no SGX extension")
	}
	return parseSGXExtension(ext)
}

func badPCK(format string, args ...any) error {
	return fault.New(fault.Malformed, "PCK certificate: "+format, args...)
}

// element is one SEQUENCE { OID, value } of the extension.
type element struct {
	id    int // last arc
	value cryptobyte.String
}

// sequenceOf splits a SEQUENCE of elements whose OIDs are prefix and one arc more, each arc at most once, none above max.
func sequenceOf(s *cryptobyte.String, prefix asn1.ObjectIdentifier, max int) ([]element, bool) {
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) {
		return nil, false
	}
	out := make([]element, 0, max)
	var seen uint32
	for !seq.Empty() {
		var item cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !seq.ReadASN1(&item, cbasn1.SEQUENCE) || !item.ReadASN1ObjectIdentifier(&oid) || len(oid) != len(prefix)+1 || !oid[:len(prefix)].Equal(prefix) {
			return nil, false
		}
		id := oid[len(prefix)]
		if id < 1 || id > max || seen>>id&1 == 1 {
			return nil, false
		}
		seen |= 1 << id
		out = append(out, element{id, item})
	}
	return out, true
}

func parseSGXExtension(der []byte) (PCK, error) {
	var p PCK
	s := cryptobyte.String(der)
	elems, ok := sequenceOf(&s, oidSGX, 7)
	if !ok || !s.Empty() {
		return PCK{}, badPCK("the SGX extension is not a sequence of known, different elements")
	}
	// A Processor CA certificate has the elements 1 to 5, a Platform CA one 1 to 7; Intel's library allows nothing else.
	if len(elems) != 5 && len(elems) != 7 {
		return PCK{}, badPCK("the SGX extension has %d elements, 5 or 7 are known", len(elems))
	}
	var have uint32
	for _, e := range elems {
		have |= 1 << e.id
		var good bool
		switch e.id {
		case 1:
			good = octets(&e.value, p.PPID[:])
		case 2:
			good = p.readTCB(&e.value)
		case 3:
			good = octets(&e.value, p.PCEID[:])
		case 4:
			good = octets(&e.value, p.FMSPC[:])
		case 5:
			var n int
			good = e.value.ReadASN1Enum(&n) && n >= 0 && n <= 2
			p.SGXType = SGXType(n)
		case 6:
			good = octets(&e.value, p.PlatformInstanceID[:])
		case 7:
			good = p.readConfiguration(&e.value)
		}
		if !good || !e.value.Empty() {
			return PCK{}, badPCK("element %d of the SGX extension does not have its form", e.id)
		}
	}
	if have&0b111110 != 0b111110 {
		return PCK{}, badPCK("the SGX extension lacks one of the elements 1 to 5")
	}
	p.Platform = len(elems) == 7
	return p, nil
}

func (p *PCK) readTCB(s *cryptobyte.String) bool {
	elems, ok := sequenceOf(s, oidUnderSGX(2), 18)
	if !ok || len(elems) != 18 {
		return false
	}
	for _, e := range elems {
		switch {
		case e.id <= 16:
			n, ok := smallInt(&e.value, 0xff)
			if !ok {
				return false
			}
			p.Components[e.id-1] = uint8(n)
		case e.id == 17:
			n, ok := smallInt(&e.value, 0xffff)
			if !ok {
				return false
			}
			p.PCESVN = uint16(n)
		default:
			if !octets(&e.value, p.CPUSVN[:]) {
				return false
			}
		}
		if !e.value.Empty() {
			return false
		}
	}
	return true
}

func (p *PCK) readConfiguration(s *cryptobyte.String) bool {
	elems, ok := sequenceOf(s, oidUnderSGX(7), 3)
	if !ok || len(elems) != 3 {
		return false
	}
	for _, e := range elems {
		if !e.value.ReadASN1Boolean([]*bool{&p.DynamicPlatform, &p.CachedKeys, &p.SMTEnabled}[e.id-1]) || !e.value.Empty() {
			return false
		}
	}
	return true
}

func octets(s *cryptobyte.String, into []byte) bool {
	var v cryptobyte.String
	return s.ReadASN1(&v, cbasn1.OCTET_STRING) && len(v) == len(into) && copy(into, v) == len(into)
}

func smallInt(s *cryptobyte.String, max int64) (int64, bool) {
	var n big.Int
	if !s.ReadASN1Integer(&n) || !n.IsInt64() || n.Sign() < 0 || n.Int64() > max {
		return 0, false
	}
	return n.Int64(), true
}

// Package claim is the claim model that all stages share: environments, measured elements, authorities and tuples of
// them, in the terms of draft-ietf-rats-corim (sections 5.1.4 and 8.2), and the trust vector of draft-ietf-rats-ar4si.
//
// The types are the internal representation, not a codec: package corim decodes into them and the evidence drivers
// build them. Values are immutable once handed over. The package imports nothing else of this module.
package claim

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"
)

// CBOR tags of CoRIM's type choices (draft-ietf-rats-corim, section "CBOR Tags").
const (
	TagNone            uint64 = 0 // untagged
	TagURI             uint64 = 32
	TagUUID            uint64 = 37
	TagOID             uint64 = 111
	TagUEID            uint64 = 550
	TagSVN             uint64 = 552
	TagMinSVN          uint64 = 553
	TagPKIXBase64Key   uint64 = 554 // PEM SubjectPublicKeyInfo, text
	TagPKIXBase64Cert  uint64 = 555 // PEM certificate, text
	TagPKIXBase64Path  uint64 = 556 // PEM certificate path, text
	TagKeyThumbprint   uint64 = 557
	TagCOSEKey         uint64 = 558
	TagCertThumbprint  uint64 = 559
	TagBytes           uint64 = 560
	TagPathThumbprint  uint64 = 561
	TagPKIXASN1DERCert uint64 = 562
	TagMaskedRaw       uint64 = 563
	TagIntRange        uint64 = 564
	TagNumberRange     uint64 = 565
	TagSet             uint64 = 566
)

// IDKind says what the content of an [ID] is.
type IDKind uint8

// The kinds of content.
const (
	KindAbsent  IDKind = iota // the zero ID: not there
	KindBytes                 // byte string
	KindText                  // text string
	KindUint                  // unsigned integer
	KindEncoded               // core deterministic encoding (RFC 8949 section 4.2.1) of any other item
)

// ID is a value of one of CoRIM's type choices (class-id, instance, group, mkey, crypto-key): a CBOR tag and its
// content. IDs are comparable: == is the comparison of the draft's section 8.3.4.3, equality of deterministic
// encodings. The zero ID means "absent".
type ID struct {
	Tag     uint64
	Kind    IDKind
	content string
}

// Bytes is the ID tag(b).
func Bytes(tag uint64, b []byte) ID { return ID{Tag: tag, Kind: KindBytes, content: string(b)} }

// Text is the ID tag(s); with TagNone plain text.
func Text(tag uint64, s string) ID { return ID{Tag: tag, Kind: KindText, content: s} }

// Uint is the untagged unsigned integer u, as an mkey.
func Uint(u uint64) ID {
	return ID{Kind: KindUint, content: string(binary.BigEndian.AppendUint64(nil, u))}
}

// Encoded is the ID tag(item), given the core deterministic encoding of item.
func Encoded(tag uint64, enc []byte) ID {
	return ID{Tag: tag, Kind: KindEncoded, content: string(enc)}
}

// DigestID is the ID tag([alg, value]): key, certificate and path thumbprints.
func DigestID(tag uint64, d Digest) ID {
	enc := []byte{0x82}
	if d.AlgName != "" {
		enc = appendHead(enc, 3, uint64(len(d.AlgName)))
		enc = append(enc, d.AlgName...)
	} else if d.Alg >= 0 {
		enc = appendHead(enc, 0, uint64(d.Alg))
	} else {
		enc = appendHead(enc, 1, uint64(-1-d.Alg))
	}
	enc = appendHead(enc, 2, uint64(len(d.Value)))
	enc = append(enc, d.Value...)
	return Encoded(tag, enc)
}

func appendHead(b []byte, major byte, n uint64) []byte {
	m := major << 5
	switch {
	case n < 24:
		return append(b, m|byte(n))
	case n < 1<<8:
		return append(b, m|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, m|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, m|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, m|27), n)
}

// IsZero reports whether id is absent.
func (id ID) IsZero() bool { return id.Kind == KindAbsent }

// Content returns a copy of the content: bytes, UTF-8 text, or the deterministic encoding; of an unsigned integer
// its eight bytes, big-endian.
func (id ID) Content() []byte { return []byte(id.content) }

// TextContent returns the content of a KindText ID.
func (id ID) TextContent() string {
	if id.Kind != KindText {
		return ""
	}
	return id.content
}

// UintContent returns the content of a KindUint ID.
func (id ID) UintContent() (uint64, bool) {
	if id.Kind != KindUint {
		return 0, false
	}
	return binary.BigEndian.Uint64([]byte(id.content)), true
}

// AppendCBOR appends the core deterministic encoding of id.
func (id ID) AppendCBOR(b []byte) []byte {
	if id.Tag != TagNone {
		b = appendHead(b, 6, id.Tag)
	}
	switch id.Kind {
	case KindBytes:
		b = append(appendHead(b, 2, uint64(len(id.content))), id.content...)
	case KindText:
		b = append(appendHead(b, 3, uint64(len(id.content))), id.content...)
	case KindUint:
		u, _ := id.UintContent()
		b = appendHead(b, 0, u)
	case KindEncoded:
		b = append(b, id.content...)
	}
	return b
}

// String renders id for people: OIDs dotted, UUIDs with hyphens, other bytes as hex, each with its tag's name.
func (id ID) String() string {
	switch id.Kind {
	case KindAbsent:
		return "–"
	case KindUint:
		u, _ := id.UintContent()
		return strconv.FormatUint(u, 10)
	case KindText:
		if id.Tag == TagNone {
			return strconv.Quote(id.content)
		}
		return fmt.Sprintf("%d(%q)", id.Tag, id.content)
	}
	switch {
	case id.Tag == TagOID && id.Kind == KindBytes:
		return dottedOID(id.content)
	case id.Tag == TagUUID && len(id.content) == 16:
		h := hex.EncodeToString([]byte(id.content))
		return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
	case id.Tag == TagNone:
		return hex.EncodeToString([]byte(id.content))
	}
	return fmt.Sprintf("%d(%x)", id.Tag, id.content)
}

// dottedOID decodes the content octets of an OBJECT IDENTIFIER (RFC 9090 section 2); what does not decode stays hex.
func dottedOID(c string) string {
	var arcs []string
	var v uint64
	for i := 0; i < len(c); i++ {
		if v > 1<<56 {
			return hex.EncodeToString([]byte(c))
		}
		v = v<<7 | uint64(c[i]&0x7f)
		if c[i]&0x80 != 0 {
			continue
		}
		if arcs == nil {
			first := min(v/40, 2)
			arcs = append(arcs, strconv.FormatUint(first, 10))
			v -= first * 40
		}
		arcs = append(arcs, strconv.FormatUint(v, 10))
		v = 0
	}
	return strings.Join(arcs, ".")
}

// Opt is an optional value that stays comparable.
type Opt[T comparable] struct {
	V   T
	Set bool
}

// Some is the present value v.
func Some[T comparable](v T) Opt[T] { return Opt[T]{V: v, Set: true} }

// HashContent writes the content of id to h, its length first.
func (id ID) HashContent(h *maphash.Hash) {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(id.content)))
	h.Write(n[:])
	h.WriteString(id.content)
}

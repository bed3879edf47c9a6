package secex

import (
	"bytes"
	"encoding/binary"

	"github.com/assay-tee/assay/internal/fault"
)

const (
	headerMagic       = "IBMSecEx"
	imageMagic        = "SeImgLnx"
	pageSize          = 0x1000
	imageMetaOffset   = 0xc000
	imageMetaSize     = 28
	maxHeaderSearch   = 0x15 // pages
	maxHeaderSize     = 2 * pageSize
	maxHeaderSlots    = 95
	headerSEA         = 0x80
	headerVersion     = 0x100
	offHeaderSize     = 0x0c
	offHeaderIV       = 0x10
	offHeaderNKS      = 0x20
	offHeaderSEA      = 0x28
	offHeaderNEP      = 0x30
	offHeaderPCF      = 0x38
	offHeaderCustomer = 0x40
	offHeaderPLD      = 0xe0
	offHeaderSlots    = 0x1a0
)

// Header is the readable part of an SE header: what identifies an image to the Ultravisor.
type Header struct {
	Version        uint32
	EncryptedPages uint64 // nep
	Control        uint64 // pcf: plaintext control flags, bit 0 the most significant
	Hosts          []PHKH // machines that can boot the image
	Tags           HeaderTags
	Raw            []byte // the header, as carried
}

// DumpAllowed reports plaintext control flag 34: the host may dump the guest.
func (h *Header) DumpAllowed() bool { return h.Control>>(63-34)&1 == 1 }

// ParseHeader reads the SE header that b begins with. What lies behind its size is ignored.
func ParseHeader(b []byte) (*Header, error) {
	bad := func(format string, args ...any) (*Header, error) {
		return nil, fault.New(fault.Malformed, "SE header: "+format, args...)
	}
	if len(b) < offHeaderSlots+slotSize+headerSEA+gcmTagSize {
		return bad("%d bytes are too few", len(b))
	}
	if string(b[:8]) != headerMagic {
		return bad("does not begin with %q", headerMagic)
	}
	if v := binary.BigEndian.Uint32(b[8:]); v != headerVersion {
		return nil, fault.New(fault.Unsupported, "SE header version %#x; only %#x is known", v, headerVersion)
	}
	size := uint64(binary.BigEndian.Uint32(b[offHeaderSize:]))
	nks := binary.BigEndian.Uint64(b[offHeaderNKS:])
	switch {
	case nks == 0 || nks > maxHeaderSlots:
		return bad("%d key slots; 1 to %d are possible", nks, maxHeaderSlots)
	case binary.BigEndian.Uint64(b[offHeaderSEA:]) != headerSEA:
		return bad("encrypted part of %d bytes, %d are needed", binary.BigEndian.Uint64(b[offHeaderSEA:]), headerSEA)
	case size != offHeaderSlots+nks*slotSize+headerSEA+gcmTagSize:
		return bad("%d key slots do not fit into a size of %d", nks, size)
	case size > uint64(len(b)) || size > maxHeaderSize:
		return bad("says it has %d bytes, only %d follow", size, len(b))
	case !zero(b[offHeaderIV+gcmIVSize : offHeaderNKS]):
		return bad("a reserved byte is not zero")
	}
	b = b[:size]
	h := &Header{
		Version: headerVersion, EncryptedPages: binary.BigEndian.Uint64(b[offHeaderNEP:]),
		Control: binary.BigEndian.Uint64(b[offHeaderPCF:]), Raw: bytes.Clone(b),
	}
	copy(h.Tags[:], b[offHeaderPLD:offHeaderSlots])
	copy(h.Tags[3*digestSize:], b[size-gcmTagSize:])
	for i := range nks {
		h.Hosts = append(h.Hosts, PHKH(b[offHeaderSlots+i*slotSize:][:phkhSize]))
	}
	return h, nil
}

// FindHeader locates the SE header of a kernel image: where the image metadata at 0xc000 points, else at the first
// page boundary within the first 0x15 pages that carries the magic. The magic at any other place does not count.
func FindHeader(image []byte) (h *Header, offset uint64, err error) {
	if len(image) >= imageMetaOffset+imageMetaSize && string(image[imageMetaOffset:][:8]) == imageMagic {
		m := image[imageMetaOffset:]
		off, v := binary.BigEndian.Uint64(m[8:]), binary.BigEndian.Uint32(m[16:])
		if v != 1 {
			return nil, 0, fault.New(fault.Unsupported, "SE image metadata of version %d; only 1 is known", v)
		}
		if off > uint64(len(image)) {
			return nil, 0, fault.New(fault.Malformed, "SE image metadata point to %#x, behind the end of the image", off)
		}
		h, err := ParseHeader(image[off:])
		return h, off, err
	}
	for page := range maxHeaderSearch {
		off := page * pageSize
		if off+8 > len(image) {
			break
		}
		if string(image[off:off+8]) == headerMagic {
			h, err := ParseHeader(image[off:])
			return h, uint64(off), err
		}
	}
	return nil, 0, fault.New(fault.Malformed, "no SE header in this image: it is not built for Secure Execution (genprotimg, pvimg create)")
}

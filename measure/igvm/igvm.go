// Package igvm reads Independent Guest Virtual Machine files and predicts the SNP, SEV and SEV-ES launch digest of the guest in
// them (microsoft/igvm igvm_defs; specs measure.md section 17). The launcher does what the file says, so the file alone
// decides the digest.
package igvm

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/assay-tee/assay/internal/fault"
)

// Platform is an isolation technology that a file supports.
type Platform uint8

// The platforms.
const (
	Native Platform = 0
	VSM    Platform = 1
	SNP    Platform = 2
	TDX    Platform = 3
	SEV    Platform = 4
	SEVES  Platform = 5
	CCA    Platform = 6
)

func (p Platform) String() string {
	names := [...]string{"native", "VSM isolation", "SEV-SNP", "TDX", "SEV", "SEV-ES", "CCA"}
	if int(p) < len(names) {
		return names[p]
	}
	return fmt.Sprintf("platform %d", uint8(p))
}

// Types of variable headers.
const (
	hdrSupportedPlatform = 0x1
	hdrGuestPolicy       = 0x101
	hdrRelocatable       = 0x102
	hdrPageTableReloc    = 0x103
	hdrCoRIM             = 0x104
	hdrCoRIMSignature    = 0x105
	hdrParameterArea     = 0x301
	hdrPageData          = 0x302
	hdrParameterInsert   = 0x303
	hdrVPContext         = 0x304
	hdrRequiredMemory    = 0x305
	hdrVPCount           = 0x307
	hdrMMIORanges        = 0x30a
	hdrSNPIDBlock        = 0x30b
	hdrEnvironmentInfo   = 0x313
)

const (
	fixedV1, fixedV2 = 24, 32
	maxHeaders       = 64 << 20 // bytes of variable headers
	maxPages         = 1 << 20
	page             = 4096
)

// File is a parsed file. Page contents stay in the reader and are read by range.
type File struct {
	r         io.ReaderAt
	size      int64
	Platforms []SupportedPlatform
	headers   []header
}

// SupportedPlatform says which compatibility mask stands for a platform.
type SupportedPlatform struct {
	Mask     uint32
	VTL      uint8
	Platform Platform
	Version  uint16
}

type header struct {
	kind uint32
	body []byte
}

// minBody is the length that a body must have for what is read from it. Kinds without entry are not known.
var minBody = map[uint32]int{hdrSupportedPlatform: 16, hdrGuestPolicy: 12, hdrRelocatable: 0, hdrPageTableReloc: 0, hdrCoRIM: 0, hdrCoRIMSignature: 0,
	hdrParameterArea: 16, hdrPageData: 24, hdrParameterInsert: 16, hdrVPContext: 18, hdrRequiredMemory: 0, hdrVPCount: 0, 0x308: 0, 0x309: 0,
	hdrMMIORanges: 0, hdrSNPIDBlock: 8 + 48 + 32 + 8, 0x30c: 0, 0x30d: 0, 0x30e: 0, 0x30f: 0, 0x310: 0, 0x311: 0, 0x312: 0, hdrEnvironmentInfo: 0}

// Parse reads the headers of a file of size bytes. CRC, lengths and offsets are checked before anything else is used.
func Parse(r io.ReaderAt, size int64) (*File, error) {
	le := binary.LittleEndian
	fixed := make([]byte, fixedV2)
	n, err := r.ReadAt(fixed, 0)
	if err != nil && err != io.EOF {
		return nil, fault.New(fault.Internal, "reading the IGVM file: %w", err)
	}
	if n < fixedV1 || string(fixed[:4]) != "IGVM" {
		return nil, fault.New(fault.Malformed, "no IGVM file: it does not begin with \"IGVM\"")
	}
	version, off, length := le.Uint32(fixed[4:]), int64(le.Uint32(fixed[8:])), int64(le.Uint32(fixed[12:]))
	switch {
	case version == 1:
		fixed = fixed[:fixedV1]
	case version == 2 && n == fixedV2:
		if p := le.Uint32(fixed[28:]); p != page {
			return nil, fault.New(fault.Unsupported, "an IGVM file with pages of %d bytes; %d are known", p, page)
		}
	default:
		return nil, fault.New(fault.Unsupported, "IGVM file of version %d; 1 and 2 are known", version)
	}
	switch {
	case int64(le.Uint32(fixed[16:])) > size:
		return nil, fault.New(fault.Malformed, "the IGVM file claims %d bytes and has %d", le.Uint32(fixed[16:]), size)
	case off < int64(len(fixed)) || length > maxHeaders || off+length > size:
		return nil, fault.New(fault.Malformed, "the IGVM file has its headers at byte %d with %d bytes, in a file of %d", off, length, size)
	}
	vars := make([]byte, length)
	if _, err := r.ReadAt(vars, off); err != nil && err != io.EOF {
		return nil, fault.New(fault.Internal, "reading the IGVM file: %w", err)
	}
	want := le.Uint32(fixed[20:])
	le.PutUint32(fixed[20:], 0)
	if got := crc32.Update(crc32.ChecksumIEEE(fixed), crc32.IEEETable, vars); got != want {
		return nil, fault.New(fault.Malformed, "the headers of the IGVM file have the CRC 0x%08x, and 0x%08x is stated: it is damaged", got, want)
	}
	f := &File{r: r, size: size}
	return f, f.parseHeaders(vars)
}

func (f *File) parseHeaders(b []byte) error {
	le := binary.LittleEndian
	for len(b) > 0 {
		if len(b) < 8 {
			return fault.New(fault.Malformed, "the variable headers of the IGVM file are cut")
		}
		kind, n := le.Uint32(b), uint64(le.Uint32(b[4:]))
		padded := (n + 7) &^ 7
		if padded > uint64(len(b)-8) {
			return fault.New(fault.Malformed, "variable header 0x%x of the IGVM file claims %d bytes, %d are left", kind, n, len(b)-8)
		}
		need, known := minBody[kind]
		switch {
		case !known && (kind >= 0x101 && kind <= 0x1ff || kind >= 0x301 && kind <= 0x3ff):
			return fault.New(fault.Unsupported, "variable header 0x%x of the IGVM file is not known: its effect on the measurement cannot be told", kind)
		case n < uint64(need):
			return fault.New(fault.Malformed, "variable header 0x%x of the IGVM file has %d bytes, %d are needed", kind, n, need)
		}
		body := b[8 : 8+n]
		if kind == hdrSupportedPlatform {
			f.Platforms = append(f.Platforms, SupportedPlatform{le.Uint32(body), body[4], Platform(body[5]), le.Uint16(body[6:])})
		}
		f.headers = append(f.headers, header{kind, body})
		b = b[8+padded:]
	}
	return nil
}

// mask gives the compatibility mask of a platform.
func (f *File) mask(p Platform) (uint32, error) {
	for _, s := range f.Platforms {
		if s.Platform != p {
			continue
		}
		if s.Mask == 0 {
			return 0, fault.New(fault.Malformed, "the IGVM file supports %v with mask 0", p)
		}
		return s.Mask, nil
	}
	return 0, fault.New(fault.Unsupported, "the IGVM file does not support %v; it supports %v", p, f.platformNames())
}

func (f *File) platformNames() []string {
	var out []string
	for _, s := range f.Platforms {
		out = append(out, s.Platform.String())
	}
	return out
}

// Policy gives the guest policy for a platform; ok is false when the file has none.
func (f *File) Policy(p Platform) (policy uint64, ok bool) {
	m, err := f.mask(p)
	if err != nil {
		return 0, false
	}
	for _, h := range f.headers {
		if h.kind == hdrGuestPolicy && binary.LittleEndian.Uint32(h.body[8:])&m != 0 {
			return binary.LittleEndian.Uint64(h.body), true
		}
	}
	return 0, false
}

// read gives n bytes of file data; offset 0 means a page of zeros.
func (f *File) read(off uint32, buf []byte) error {
	if off == 0 {
		clear(buf)
		return nil
	}
	if int64(off)+int64(len(buf)) > f.size {
		return fault.New(fault.Malformed, "the IGVM file has page data at byte %d, beyond its %d bytes", off, f.size)
	}
	if _, err := f.r.ReadAt(buf, int64(off)); err != nil && err != io.EOF {
		return fault.New(fault.Internal, "reading the IGVM file: %w", err)
	}
	return nil
}

package linux

import (
	"cmp"
	"encoding/binary"
	"hash"
	"slices"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
)

// PE is a PE/COFF image as far as its Authenticode digest and its sections need it (Windows Authenticode Portable
// Executable Signature Format, 2008; UEFI 2.10 section 32.5).
type PE struct {
	file                         []byte
	checksum, certEntry, headers int // offsets of the fields left out; size of the headers
	certAddr, certSize           int
	Sections                     []PESection
}

// PESection is one section. Data is what the file holds of it.
type PESection struct {
	Name        string
	VirtualSize uint32
	offset      int
	Data        []byte
}

const maxPESections = 96 // the loader of Windows takes no more, and no image in use comes near

// ParsePE reads the headers of a PE image. Section data or a certificate table outside the file, overlapping sections and
// headers that are cut are [fault.Malformed].
func ParsePE(file []byte) (*PE, error) {
	bad := func(format string, args ...any) (*PE, error) {
		return nil, fault.New(fault.Malformed, "no PE image: "+format, args...)
	}
	le := binary.LittleEndian
	if len(file) < 64 || string(file[:2]) != "MZ" {
		return bad("there is no \"MZ\" at the start")
	}
	pe := int64(le.Uint32(file[0x3c:]))
	if pe < 4 || pe+24 > int64(len(file)) || string(file[pe:pe+4]) != "PE\x00\x00" {
		return bad("the header at 0x%x is not there", pe)
	}
	coff := file[pe+4:]
	count, optSize := int(le.Uint16(coff[2:])), int(le.Uint16(coff[16:]))
	opt := int(pe) + 24
	table := opt + optSize
	if count > maxPESections {
		return nil, fault.New(fault.Malformed, "a PE image of %d sections; at most %d are read", count, maxPESections)
	}
	if optSize < 96 || table+40*count > len(file) {
		return bad("the headers end beyond the file")
	}
	p := &PE{file: file, checksum: opt + 64, headers: int(le.Uint32(file[opt+60:]))}
	dirs := 0
	switch magic := le.Uint16(file[opt:]); magic {
	case 0x10b:
		dirs = 96
	case 0x20b:
		dirs = 112
	default:
		return nil, fault.New(fault.Unsupported, "PE image with optional header 0x%x; PE32 and PE32+ are known", magic)
	}
	if p.headers < table+40*count || p.headers > len(file) {
		return bad("its headers have %d bytes, the file %d, the section table ends at %d", p.headers, len(file), table+40*count)
	}
	if optSize >= dirs && int64(le.Uint32(file[opt+dirs-4:])) > 4 {
		if optSize < dirs+40 {
			return bad("the data directory is cut")
		}
		p.certEntry = opt + dirs + 4*8
		p.certAddr, p.certSize = int(le.Uint32(file[p.certEntry:])), int(le.Uint32(file[p.certEntry+4:]))
		if p.certSize > 0 && (p.certAddr < p.headers || p.certAddr+p.certSize > len(file)) {
			return bad("the certificate table at 0x%x with %d bytes lies outside the file", p.certAddr, p.certSize)
		}
	}
	for i := range count {
		h := file[table+40*i:]
		size, off := int(le.Uint32(h[16:])), int(le.Uint32(h[20:]))
		s := PESection{Name: strings.TrimRight(string(h[:8]), "\x00"), VirtualSize: le.Uint32(h[8:]), offset: off}
		if size > 0 {
			if off+size > len(file) || off < p.headers {
				return bad("section %q takes bytes 0x%x to 0x%x of a file of 0x%x", s.Name, off, off+size, len(file))
			}
			s.Data = file[off : off+size]
		}
		p.Sections = append(p.Sections, s)
	}
	return p, p.noOverlap()
}

func (p *PE) noOverlap() error {
	sorted := p.byOffset()
	for i := 1; i < len(sorted); i++ {
		if prev := sorted[i-1]; prev.offset+len(prev.Data) > sorted[i].offset {
			return fault.New(fault.Malformed, "no PE image: sections %q and %q overlap in the file", prev.Name, sorted[i].Name)
		}
	}
	return nil
}

func (p *PE) byOffset() []PESection {
	var out []PESection
	for _, s := range p.Sections {
		if len(s.Data) > 0 {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b PESection) int { return cmp.Compare(a.offset, b.offset) })
	return out
}

// Authenticode writes into h what the image's Authenticode digest is over: headers without checksum and certificate entry,
// sections by file offset, trailing data without the certificate table, and zeros to a multiple of 8 bytes.
func (p *PE) Authenticode(h hash.Hash) []byte {
	h.Write(p.file[:p.checksum])
	if p.certEntry > 0 {
		h.Write(p.file[p.checksum+4 : p.certEntry])
		h.Write(p.file[p.certEntry+8 : p.headers])
	} else {
		h.Write(p.file[p.checksum+4 : p.headers])
	}
	sum := p.headers
	for _, s := range p.byOffset() {
		h.Write(s.Data)
		sum += len(s.Data)
	}
	// The specification counts what was hashed, not where it ended: data between sections is not hashed, and as many bytes
	// at the end are. UEFI's loader does the same.
	if end := len(p.file) - p.certSize; sum < end {
		h.Write(p.file[sum:end])
	}
	if pad := len(p.file) % 8; pad != 0 {
		h.Write(make([]byte, 8-pad))
	}
	return h.Sum(nil)
}

// Section gives the section of that name as it lies in memory, i.e. its virtual size; ok is false when there is none.
func (p *PE) Section(name string) (data []byte, ok bool) {
	for _, s := range p.Sections {
		if s.Name == name {
			return s.inMemory(), true
		}
	}
	return nil, false
}

func (s PESection) inMemory() []byte {
	n := int(s.VirtualSize)
	if n == 0 || n == len(s.Data) {
		return s.Data
	}
	if n < len(s.Data) {
		return s.Data[:n]
	}
	// A section that is larger in memory than in the file ends in zeros; a tail beyond the file's own size is refused by
	// leaving it out, because a header of forty bytes could ask for gigabytes.
	if n-len(s.Data) > len(s.Data)+4096 {
		return s.Data
	}
	return append(slices.Clone(s.Data), make([]byte, n-len(s.Data))...)
}

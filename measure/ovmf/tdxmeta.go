package ovmf

import (
	"encoding/binary"
	"fmt"

	"github.com/assay-tee/assay/internal/fault"
)

// TDXType is the type of a TDVF section (Intel TDX Virtual Firmware Design Guide, section 11).
type TDXType uint32

// The section types.
const (
	TDXBFV          TDXType = 0 // boot firmware volume
	TDXCFV          TDXType = 1 // configuration firmware volume: the variable store
	TDXHOB          TDXType = 2
	TDXTempMem      TDXType = 3
	TDXPermMem      TDXType = 4
	TDXPayload      TDXType = 5
	TDXPayloadParam TDXType = 6
)

func (t TDXType) String() string {
	names := [...]string{"BFV", "CFV", "TD HOB", "temporary memory", "permanent memory", "payload", "payload parameters"}
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// Attributes of a TDVF section.
const (
	TDXExtend  uint32 = 1 << 0 // EXTENDMR: the content is measured into MRTD
	TDXPageAug uint32 = 1 << 1 // PAGE_AUG: pages are added at run time and are not measured at all
)

// TDXSection is one TDVF section.
type TDXSection struct {
	Data       []byte // raw data of the file; shorter than Size when the rest is zero
	GPA        uint64 // page-aligned
	Size       uint64 // bytes of memory, whole pages
	Type       TDXType
	Attributes uint32
}

const (
	tdvfHeader  = 16
	tdvfSection = 32
	// maxTDXPages bounds the pages of one image (256 MiB).
	maxTDXPages = 65536
)

// TDXMetadata reads the TDVF descriptor. ok is false when the image has none. Contradictions are [fault.Malformed],
// unknown versions and section types [fault.Unsupported].
func (img *Image) TDXMetadata() (sections []TDXSection, ok bool, err error) {
	v, ok, err := img.u32s(guidTDXMetadata, "TDX metadata", 1)
	if !ok || err != nil {
		return nil, false, err
	}
	pos, err := img.fromEnd(v[0], tdvfHeader, "TDVF descriptor")
	if err != nil {
		return nil, false, err
	}
	if pos < 16 || GUID(img.Data[pos-16:pos]) != guidTDVFMetadata {
		return nil, false, fault.New(fault.Malformed, "the TDVF descriptor is not preceded by its GUID %v", guidTDVFMetadata)
	}
	h := img.Data[pos:]
	length, version, count := binary.LittleEndian.Uint32(h[4:]), binary.LittleEndian.Uint32(h[8:]), binary.LittleEndian.Uint32(h[12:])
	switch {
	case string(h[:4]) != "TDVF":
		return nil, false, fault.New(fault.Malformed, "the TDVF descriptor begins with %q, \"TDVF\" is wanted", h[:4])
	case version != 1:
		return nil, false, fault.New(fault.Unsupported, "TDVF descriptor of version %d; 1 is known", version)
	case count > maxSections:
		return nil, false, fault.New(fault.Malformed, "TDVF descriptor claims %d sections; at most %d are read", count, maxSections)
	case length != tdvfHeader+tdvfSection*count:
		return nil, false, fault.New(fault.Malformed, "TDVF descriptor claims %d bytes for %d sections, which take %d", length, count, tdvfHeader+tdvfSection*count)
	case uint64(length) > uint64(len(h)):
		return nil, false, fault.New(fault.Malformed, "TDVF descriptor of %d bytes does not fit into the %d bytes to the end of the file", length, len(h))
	}
	for i := range int(count) {
		s, err := img.tdxSection(i, h[tdvfHeader+tdvfSection*i:])
		if err != nil {
			return nil, false, err
		}
		sections = append(sections, s)
	}
	return sections, true, checkTDXSections(sections)
}

func (img *Image) tdxSection(i int, b []byte) (TDXSection, error) {
	off, raw := uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[4:]))
	s := TDXSection{GPA: binary.LittleEndian.Uint64(b[8:]), Size: binary.LittleEndian.Uint64(b[16:]),
		Type: TDXType(binary.LittleEndian.Uint32(b[24:])), Attributes: binary.LittleEndian.Uint32(b[28:])}
	switch {
	case s.Type > TDXPayloadParam:
		return s, fault.New(fault.Unsupported, "TDVF section %d has %v, which is not known", i, s.Type)
	case s.GPA%pageSize != 0 || s.Size%pageSize != 0 || s.Size == 0:
		return s, fault.New(fault.Malformed, "TDVF section %d (%v) at 0x%x with 0x%x bytes is not whole pages", i, s.Type, s.GPA, s.Size)
	case s.GPA+s.Size < s.GPA:
		return s, fault.New(fault.Malformed, "TDVF section %d (%v) at 0x%x with 0x%x bytes goes beyond the address space", i, s.Type, s.GPA, s.Size)
	case raw > s.Size:
		return s, fault.New(fault.Malformed, "TDVF section %d (%v) has 0x%x bytes of data for 0x%x bytes of memory", i, s.Type, raw, s.Size)
	case off+raw > uint64(len(img.Data)):
		return s, fault.New(fault.Malformed, "TDVF section %d (%v) takes bytes 0x%x to 0x%x of a file of 0x%x; if this is the code half of a split build, give the whole image, variable store first", i, s.Type, off, off+raw, len(img.Data))
	}
	s.Data = img.Data[off : off+raw]
	return s, nil
}

func checkTDXSections(sections []TDXSection) error {
	var pages uint64
	count := map[TDXType]int{}
	for i, s := range sections {
		count[s.Type]++
		// Compare before adding: 64 sections of 2⁵² pages would wrap the sum.
		if n := s.Size / pageSize; n > maxTDXPages || pages+n > maxTDXPages {
			return fault.New(fault.Malformed, "TDVF section %d (%v) brings the pages above %d", i, s.Type, maxTDXPages)
		}
		pages += s.Size / pageSize
	}
	switch {
	case count[TDXHOB] != 1:
		return fault.New(fault.Malformed, "TDVF descriptor has %d TD HOB sections, exactly one is wanted", count[TDXHOB])
	case count[TDXBFV] == 0:
		return fault.New(fault.Malformed, "TDVF descriptor has no BFV section")
	}
	return noOverlap(sections, func(s TDXSection) (uint64, uint64, string) { return s.GPA, s.Size, s.Type.String() })
}

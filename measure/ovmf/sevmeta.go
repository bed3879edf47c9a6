package ovmf

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/assay-tee/assay/internal/fault"
)

// SectionType is the type of a SEV metadata section (edk2 OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm).
type SectionType uint32

// The section types.
const (
	SNPSecMem       SectionType = 1
	SNPSecrets      SectionType = 2
	SNPCPUID        SectionType = 3
	SVSMCAA         SectionType = 4
	SNPKernelHashes SectionType = 0x10
)

func (t SectionType) String() string {
	switch t {
	case SNPSecMem:
		return "SNP_SEC_MEM"
	case SNPSecrets:
		return "SNP_SECRETS"
	case SNPCPUID:
		return "CPUID"
	case SVSMCAA:
		return "SVSM_CAA"
	case SNPKernelHashes:
		return "SNP_KERNEL_HASHES"
	}
	return fmt.Sprintf("type 0x%x", uint32(t))
}

// Section is one SEV metadata section: a range of guest memory that the launcher prepares.
type Section struct {
	GPA  uint64 // page-aligned
	Size uint64 // bytes, whole pages
	Type SectionType
}

const (
	maxSections = 64
	// maxZeroBytes bounds what one image may declare as zero pages: each costs a hash.
	maxZeroBytes = 16 << 20
	sevHeader    = 16
	sevSection   = 12
)

// SEVMetadata reads the SEV metadata. ok is false when the image has none. A table that lies about its length, sections
// that are unaligned, empty or overlap, and a second SECRETS or CPUID section are [fault.Malformed]; a section type that
// is not known is [fault.Unsupported], because its effect on the measurement is not known either.
func (img *Image) SEVMetadata() (sections []Section, ok bool, err error) {
	v, ok, err := img.u32s(guidSEVMetadata, "SEV metadata", 1)
	if !ok || err != nil {
		return nil, false, err
	}
	pos, err := img.fromEnd(v[0], sevHeader, "SEV metadata")
	if err != nil {
		return nil, false, err
	}
	h := img.Data[pos:]
	length, version, count := binary.LittleEndian.Uint32(h[4:]), binary.LittleEndian.Uint32(h[8:]), binary.LittleEndian.Uint32(h[12:])
	switch {
	case string(h[:4]) != "ASEV":
		return nil, false, fault.New(fault.Malformed, "SEV metadata begins with %q, \"ASEV\" is wanted", h[:4])
	case version != 1:
		return nil, false, fault.New(fault.Unsupported, "SEV metadata of version %d; 1 is known", version)
	case count > maxSections:
		return nil, false, fault.New(fault.Malformed, "SEV metadata claims %d sections; at most %d are read", count, maxSections)
	case length != sevHeader+sevSection*count:
		return nil, false, fault.New(fault.Malformed, "SEV metadata claims %d bytes for %d sections, which take %d", length, count, sevHeader+sevSection*count)
	case uint64(length) > uint64(len(h)):
		return nil, false, fault.New(fault.Malformed, "SEV metadata of %d bytes does not fit into the %d bytes to the end of the file", length, len(h))
	}
	for i := range int(count) {
		s := h[sevHeader+sevSection*i:]
		sections = append(sections, Section{GPA: uint64(binary.LittleEndian.Uint32(s)), Size: uint64(binary.LittleEndian.Uint32(s[4:])),
			Type: SectionType(binary.LittleEndian.Uint32(s[8:]))})
	}
	return sections, true, checkSections(sections)
}

func checkSections(sections []Section) error {
	var zero uint64
	once := map[SectionType]int{}
	for i, s := range sections {
		switch s.Type {
		case SNPSecMem, SVSMCAA, SNPKernelHashes:
			zero += s.Size
		case SNPSecrets, SNPCPUID:
			if once[s.Type]++; once[s.Type] > 1 {
				return fault.New(fault.Malformed, "SEV metadata has two %v sections", s.Type)
			}
			zero += s.Size
		default:
			return fault.New(fault.Unsupported, "SEV metadata section %d has %v, which is not known: its effect on the measurement cannot be told", i, s.Type)
		}
		if s.GPA%pageSize != 0 || s.Size%pageSize != 0 || s.Size == 0 {
			return fault.New(fault.Malformed, "SEV metadata section %d (%v) at 0x%x with 0x%x bytes is not whole pages", i, s.Type, s.GPA, s.Size)
		}
	}
	if zero > maxZeroBytes {
		return fault.New(fault.Malformed, "SEV metadata declares %d MiB of pages; at most %d MiB are measured", zero>>20, maxZeroBytes>>20)
	}
	return noOverlap(sections, func(s Section) (uint64, uint64, string) { return s.GPA, s.Size, s.Type.String() })
}

// noOverlap refuses ranges of guest memory of which two share a byte.
func noOverlap[T any](items []T, at func(T) (start, size uint64, name string)) error {
	sorted := slices.Clone(items)
	slices.SortStableFunc(sorted, func(a, b T) int {
		x, _, _ := at(a)
		y, _, _ := at(b)
		return cmp.Compare(x, y)
	})
	for i := 1; i < len(sorted); i++ {
		ps, pn, pname := at(sorted[i-1])
		s, _, name := at(sorted[i])
		if s-ps < pn {
			return fault.New(fault.Malformed, "section %s at 0x%x overlaps section %s at 0x%x with 0x%x bytes", name, s, pname, ps, pn)
		}
	}
	return nil
}

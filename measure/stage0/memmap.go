package stage0

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/assay-tee/assay/internal/fault"
)

// E820 is one entry of the memory map.
type E820 struct {
	Address, Size uint64
	Type          uint32
}

// E820Size is the length of an entry as packed in fw_cfg's etc/e820, in bytes.
const E820Size = 20

// ParseE820 reads packed entries.
func ParseE820(b []byte) ([]E820, error) {
	if len(b)%E820Size != 0 || len(b) == 0 || len(b) > 1024*E820Size {
		return nil, fault.New(fault.Malformed, "a memory map of %d bytes; entries have %d, and there are 1 to 1024", len(b), E820Size)
	}
	var out []E820
	for ; len(b) > 0; b = b[E820Size:] {
		e := E820{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint32(b[16:])}
		if e.Address+e.Size < e.Address {
			return nil, fault.New(fault.Malformed, "memory map entry at 0x%x with 0x%x bytes goes beyond the address space", e.Address, e.Size)
		}
		out = append(out, e)
	}
	return out, nil
}

// AddMemoryMap takes the memory map as stage0 has it when it measures: sorted, with its own reservations in place. The map
// that the launcher gives in fw_cfg is not yet that (oak.md section 8); it is used as is when finished is true.
func (e *Events) AddMemoryMap(entries []E820) {
	s := slices.Clone(entries)
	slices.SortStableFunc(s, func(a, b E820) int { return cmp.Compare(a.Address, b.Address) })
	var b []byte
	for _, x := range s {
		b = binary.LittleEndian.AppendUint64(b, x.Address)
		b = binary.LittleEndian.AppendUint64(b, x.Size)
		b = binary.LittleEndian.AppendUint32(b, x.Type)
	}
	e.MemoryMap = sha256.Sum256(b)
}

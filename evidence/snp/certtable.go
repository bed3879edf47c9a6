package snp

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/assay-tee/assay/internal/fault"
)

// Limits on what a certificate table may hold (evidence-snp.md section 14). Without them overlapping entries expand a
// small table to a large one.
const (
	maxTable        = 64 << 10 // bytes
	maxTableEntries = 32
	tableEntrySize  = 24
)

// GUIDs of table entries, in the byte order of the table: as written, unlike EFI GUIDs.
var (
	guidVCEK = guid("63da758de6644564adc5f4b93be8accd")
	guidVLEK = guid("a8074bc2a25a483eaae639c045a0b8a1")
	guidASK  = guid("4ab7b379bbac4fe4a02f05aef327c782")
	guidARK  = guid("c0b406a4a80349529743" + "3fb6014cd0ae")
	guidCRL  = guid("92f81bc358114d3d97ffd19f88dc67ea")
)

type guidBytes [16]byte

func guid(s string) (g guidBytes) {
	if n, err := hex.Decode(g[:], []byte(s)); err != nil || n != len(g) {
		panic("unreachable: GUID " + s)
	}
	return g
}

type tableEntry struct {
	guid guidBytes
	data []byte // a slice of the table
}

// parseTable decodes the certificate table of the GHCB's extended guest request, which configfs-tsm gives as auxblob
// (AMD 56421). The table comes from the host and nothing signs it. An empty one has no entries.
func parseTable(b []byte) ([]tableEntry, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) > maxTable {
		return nil, fault.New(fault.Malformed, "certificate table of %d bytes; at most %d are read", len(b), maxTable)
	}
	var out []tableEntry
	head := 0
	for end := false; !end; head += tableEntrySize {
		if len(b)-head < tableEntrySize {
			return nil, fault.New(fault.Malformed, "the certificate table does not end with a zero entry")
		}
		e := b[head : head+tableEntrySize]
		if end = ([tableEntrySize]byte)(e) == [tableEntrySize]byte{}; end {
			continue
		}
		if len(out) == maxTableEntries {
			return nil, fault.New(fault.Malformed, "more than %d entries in the certificate table", maxTableEntries)
		}
		out = append(out, tableEntry{guid: guidBytes(e[:16])})
	}
	for i := range out {
		e := b[i*tableEntrySize:]
		off, n := uint64(binary.LittleEndian.Uint32(e[16:])), uint64(binary.LittleEndian.Uint32(e[20:]))
		if n > 0 && off < uint64(head) || off+n > uint64(len(b)) {
			return nil, fault.New(fault.Malformed, "entry %d of the certificate table lies at %d with %d bytes, outside of the table", i, off, n)
		}
		out[i].data = b[off : off+n : off+n]
		for j := range i {
			p := b[j*tableEntrySize:]
			poff, pn := uint64(binary.LittleEndian.Uint32(p[16:])), uint64(binary.LittleEndian.Uint32(p[20:]))
			if out[j].guid == out[i].guid {
				return nil, fault.New(fault.Malformed, "entries %d and %d of the certificate table have the same GUID", j, i)
			}
			if n > 0 && pn > 0 && off < poff+pn && poff < off+n {
				return nil, fault.New(fault.Malformed, "entries %d and %d of the certificate table overlap", j, i)
			}
		}
	}
	return out, nil
}

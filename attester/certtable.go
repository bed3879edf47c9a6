package attester

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/assay-tee/assay/internal/fault"
)

// Limits on the certificate table that the host hands over (evidence-snp.md section 14).
const (
	tableEntrySize  = 24
	maxTableEntries = 32
)

type tableEntry struct {
	guid   [16]byte
	offset uint64
	data   []byte
}

// tableTypes are the GUIDs of the table, in text order, by the names that the sev library gives them.
var tableTypes = [...]struct{ guid, name string }{
	{"63da758de6644564adc5f4b93be8accd", "VCEK"},
	{"a8074bc2a25a483eaae639c045a0b8a1", "VLEK"},
	{"4ab7b379bbac4fe4a02f05aef327c782", "ASK"},
	{"c0b406a4a803495297433fb6014cd0ae", "ARK"},
	{"92f81bc358114d3d97ffd19f88dc67ea", "CRL"},
}

// typeName is the library's name of the entry's kind, "" for one that it does not know.
func (e tableEntry) typeName() string {
	for _, t := range tableTypes {
		if t.guid == hex.EncodeToString(e.guid[:]) {
			return t.name
		}
	}
	return ""
}

func (e tableEntry) uuid() string {
	h := hex.EncodeToString(e.guid[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// certTable reads the table: entries of GUID, offset and length up to one of zeros, then the blobs. Nothing at all is
// an empty table.
func certTable(b []byte) ([]tableEntry, error) {
	var out []tableEntry
	var total uint64
	for at := 0; len(b) > 0; at += tableEntrySize {
		if len(b)-at < tableEntrySize {
			return nil, fault.New(fault.Malformed, "the certificate table has no end")
		}
		e := tableEntry{guid: [16]byte(b[at:])}
		offset, length := uint64(binary.LittleEndian.Uint32(b[at+16:])), uint64(binary.LittleEndian.Uint32(b[at+20:]))
		if e.guid == [16]byte{} && offset == 0 && length == 0 {
			break
		}
		total += length
		switch {
		case len(out) == maxTableEntries:
			return nil, fault.New(fault.Malformed, "the certificate table has more than %d entries", maxTableEntries)
		case offset+length > uint64(len(b)) || total > uint64(len(b)):
			return nil, fault.New(fault.Malformed, "certificate table entry %d lies outside the table", len(out)+1)
		}
		e.offset, e.data = offset, b[offset:offset+length]
		out = append(out, e)
	}
	for i, e := range out { // a blob inside the list of entries would change its own description
		if e.offset < uint64(len(out)+1)*tableEntrySize && len(e.data) > 0 {
			return nil, fault.New(fault.Malformed, "certificate table entry %d lies inside the list of entries", i+1)
		}
	}
	return out, nil
}

package measuretest

import (
	"encoding/binary"
	"maps"
	"slices"
)

// Kernel builds a file of size bytes with a bzImage setup header of the given boot protocol (0: none).
func Kernel(size int, protocol uint16) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i)
	}
	clear(b[0x1f1:0x270])
	if protocol == 0 {
		return b
	}
	b[0x1f1] = 3
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x206:], protocol)
	b[0x211] = 1 // LOADED_HIGH
	return b
}

// PE builds a PE32+ image with the sections in the order of their names, and a certificate table when cert is not empty.
func PE(sections map[string][]byte, cert []byte) []byte {
	const pe, opt, optSize, align = 0x40, 0x40 + 24, 240, 512
	names := slices.Sorted(maps.Keys(sections))
	headers := (opt + optSize + 40*len(names) + align - 1) &^ (align - 1)
	b := make([]byte, headers)
	copy(b, "MZ")
	le := binary.LittleEndian
	le.PutUint32(b[0x3c:], pe)
	copy(b[pe:], "PE\x00\x00\x64\x86")
	le.PutUint16(b[pe+6:], uint16(len(names)))
	le.PutUint16(b[pe+20:], optSize)
	le.PutUint16(b[opt:], 0x20b)
	le.PutUint32(b[opt+60:], uint32(headers))
	le.PutUint32(b[opt+108:], 16)
	for i, n := range names {
		h := b[opt+optSize+40*i:]
		copy(h[:8], n)
		le.PutUint32(h[8:], uint32(len(sections[n])))
		le.PutUint32(h[16:], uint32((len(sections[n])+align-1)&^(align-1)))
		le.PutUint32(h[20:], uint32(len(b)))
		b = append(b, sections[n]...)
		b = append(b, make([]byte, -len(b)&(align-1))...)
	}
	if len(cert) > 0 {
		le.PutUint32(b[opt+112+32:], uint32(len(b)))
		le.PutUint32(b[opt+112+36:], uint32(len(cert)))
		b = append(b, cert...)
	}
	return b
}

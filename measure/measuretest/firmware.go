package measuretest

import (
	"encoding/binary"

	"github.com/assay-tee/assay/measure/ovmf"
)

// Entry is one entry of a footer table to be built.
type Entry struct {
	GUID string
	Data []byte
}

// GUIDs of footer table entries.
const (
	GUIDFooter      = "96b582de-1fb2-45f7-baea-a366c55a082d"
	GUIDReset       = "00f771de-1a7e-4fcb-890e-68c77e2fb44e"
	GUIDSEVMetadata = "dc886566-984a-4798-a75e-5585a7bf67cc"
	GUIDHashesTable = "7255371f-3a3b-4b04-927b-1da6efa8d454"
	GUIDSVSMInfo    = "a789a612-0597-4c4b-a49f-cbb1fe9d1ddd"
	GUIDTDXMetadata = "e47a6535-984a-4798-865e-4685a7bf8ec2"
	GUIDTDVF        = "e9eaf9f3-168e-44d5-a8eb-7f4d8738f6ae"
)

// GUID gives the bytes of a GUID in text form.
func GUID(s string) []byte {
	g, err := ovmf.ParseGUID(s)
	if err != nil {
		panic(err)
	}
	return g[:]
}

// U32 gives little-endian words.
func U32(v ...uint32) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, x)
	}
	return b
}

// Firmware builds an image of size bytes with a footer table of the entries, the first nearest to the end. metaAt is where
// tables may be placed by the caller; content fills the rest.
func Firmware(size int, entries ...Entry) []byte {
	img := make([]byte, size)
	for i := range img[:size-512] {
		img[i] = byte(i >> 12) // pages differ
	}
	end := size - 32
	pos, total := end-18, 18
	for _, e := range entries {
		n := len(e.Data) + 18
		copy(img[pos-n:], e.Data)
		binary.LittleEndian.PutUint16(img[pos-18:], uint16(n))
		copy(img[pos-16:], GUID(e.GUID))
		pos -= n
		total += n
	}
	binary.LittleEndian.PutUint16(img[end-18:], uint16(total))
	copy(img[end-16:], GUID(GUIDFooter))
	return img
}

// SEVMetadata gives the bytes of SEV metadata with sections of {gpa, size, type}.
func SEVMetadata(sections ...[3]uint32) []byte {
	b := append([]byte("ASEV"), U32(uint32(16+12*len(sections)), 1, uint32(len(sections)))...)
	for _, s := range sections {
		b = append(b, U32(s[:]...)...)
	}
	return b
}

// Sections of the usual AmdSev build of OVMF.
func Sections() [][3]uint32 {
	return [][3]uint32{{0x800000, 0x9000, 1}, {0x80a000, 0x3000, 1}, {0x80d000, 0x1000, 2}, {0x80e000, 0x1000, 3}, {0x80f000, 0x1000, 4},
		{0x810000, 0x1000, 0x10}, {0x811000, 0xf000, 1}}
}

// SNPFirmware builds an image with the usual tables and the given metadata sections; without sections it takes those of the
// AmdSev build.
func SNPFirmware(size int, sections ...[3]uint32) []byte {
	if len(sections) == 0 {
		sections = Sections()
	}
	const metaFromEnd = 2048
	img := Firmware(size,
		Entry{GUIDReset, U32(0x80b004)},
		Entry{GUIDSEVMetadata, U32(metaFromEnd)},
		Entry{GUIDHashesTable, U32(0x810c00, 0x400)})
	copy(img[size-metaFromEnd:], SEVMetadata(sections...))
	return img
}

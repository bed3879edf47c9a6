package eventlog

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// maxPathNodes bounds the nodes of one device path.
const maxPathNodes = 64

// devicePaths renders the device path of an EFI image load event as Trustee does, node by node; nil when it does not
// parse. It is a hint: the digest of these events is over the image.
func devicePaths(data []byte) []string {
	if len(data) < 32 {
		return nil
	}
	n := binary.LittleEndian.Uint64(data[24:])
	b := data[32:]
	if n > uint64(len(b)) {
		return nil
	}
	b = b[:n]
	var out []string
	for len(b) >= 4 && len(out) < maxPathNodes {
		typ, sub, size := b[0], b[1], int(binary.LittleEndian.Uint16(b[2:]))
		if size < 4 || size > len(b) {
			return nil
		}
		if typ == 0x7f {
			return out
		}
		out = append(out, pathNode(typ, sub, b[4:size]))
		b = b[size:]
	}
	return nil
}

func pathNode(typ, sub byte, d []byte) string {
	switch {
	case typ == 1 && sub == 1 && len(d) == 2:
		return fmt.Sprintf("Pci(%d,%d)", d[0], d[1])
	case typ == 2 && sub == 1 && len(d) == 8:
		return fmt.Sprintf("ACPI(%s,%d)", eisaID(binary.LittleEndian.Uint32(d)), binary.LittleEndian.Uint32(d[4:]))
	case typ == 4 && sub == 1 && len(d) == 38 && d[36] == 2 && d[37] == 2:
		return fmt.Sprintf("HD(%d,GPT,%s,0x%x,0x%x)", binary.LittleEndian.Uint32(d), guidText(d[20:36]),
			binary.LittleEndian.Uint64(d[4:]), binary.LittleEndian.Uint64(d[12:]))
	case typ == 4 && sub == 3 && len(d) >= 16:
		return fmt.Sprintf("VenMedia(%s,%s)", guidText(d[:16]), hex.EncodeToString(d[16:]))
	case typ == 4 && sub == 4 && len(d)%2 == 0:
		return "File(" + strings.TrimRight(utf16Text(d), "\x00") + ")"
	}
	return fmt.Sprintf("Path(%d,%d,%s)", typ, sub, hex.EncodeToString(d))
}

// eisaID renders a compressed EISA id: three letters of five bits and four hexadecimal digits.
func eisaID(v uint32) string {
	letter := func(shift uint) byte { return byte(v>>shift&0x1f) + '@' }
	return fmt.Sprintf("%c%c%c%04X", letter(10), letter(5), letter(0), v>>16)
}

// guidText renders an EFI GUID in upper case, its first three fields little-endian.
func guidText(b []byte) string {
	return fmt.Sprintf("%08X-%04X-%04X-%04X-%012X", binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:]),
		binary.LittleEndian.Uint16(b[6:]), b[8:10], b[10:16])
}

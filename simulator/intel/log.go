package intel

import (
	"crypto/sha512"
	"encoding/binary"
	"unicode/utf16"
)

// TCG event types that the simulated firmware writes.
const (
	evNoAction       uint32 = 0x03
	evSeparator      uint32 = 0x04
	evEventTag       uint32 = 0x06
	evIPL            uint32 = 0x0d
	evVariableConfig uint32 = 0x80000001
	evVariableBoot   uint32 = 0x80000002
	evApplication    uint32 = 0x80000003
	evAction         uint32 = 0x80000007
	evFirmwareBlob2  uint32 = 0x8000000a
	algSHA384        uint16 = 0x0c
	logArea                 = 64 << 10 // bytes of the CCEL area
)

// Log is a CCEL event log with the registers that it gives. The zero value is empty.
type Log struct {
	events []byte
	RTMR   [4][48]byte
}

// Extend measures what into RTMR rtmr and logs the event with data.
func (l *Log) Extend(rtmr int, typ uint32, what, data []byte) {
	d := sha512.Sum384(what)
	l.RTMR[rtmr] = sha512.Sum384(append(append([]byte(nil), l.RTMR[rtmr][:]...), d[:]...))
	l.Append(uint32(rtmr+1), typ, d[:], data)
}

// Append logs an event without measuring anything: what a liar would do.
func (l *Log) Append(index, typ uint32, digest, data []byte) {
	b := binary.LittleEndian.AppendUint32(l.events, index)
	b = binary.LittleEndian.AppendUint32(b, typ)
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint16(b, algSHA384)
	b = append(b, digest...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	l.events = append(b, data...)
}

// Runtime measures an event of the guest components into RTMR3.
func (l *Log) Runtime(domain, operation, content string) {
	text := domain + " " + operation + " " + content
	data := binary.LittleEndian.AppendUint32(nil, 0x4141454c)
	data = append(binary.LittleEndian.AppendUint32(data, uint32(len(text))), text...)
	l.Extend(3, evEventTag, data, data)
}

// Bytes renders the log in its area, padded as firmware pads it.
func (l *Log) Bytes() []byte {
	spec := append([]byte("Spec ID Event03\x00"), 0, 0, 0, 0, 0, 2, 0, 2, 1, 0, 0, 0, byte(algSHA384), 0, 48, 0, 0)
	b := binary.LittleEndian.AppendUint32(nil, 1)
	b = binary.LittleEndian.AppendUint32(b, evNoAction)
	b = append(b, make([]byte, 20)...)
	b = append(binary.LittleEndian.AppendUint32(b, uint32(len(spec))), spec...)
	b = append(b, l.events...)
	for len(b) < logArea {
		b = append(b, 0xff)
	}
	return b
}

// BootConfig describes a boot of a TD.
type BootConfig struct {
	Firmware, Kernel, Initrd []byte // measured as they are
	Cmdline                  string
	SecureBoot               bool
}

// Boot writes the log of a boot with OVMF, GRUB and a kernel.
func Boot(c BootConfig) *Log {
	l := &Log{}
	l.Extend(0, evFirmwareBlob2, c.Firmware, append([]byte("\x04OVMF"), make([]byte, 16)...))
	on := []byte{0}
	if c.SecureBoot {
		on[0] = 1
	}
	v := variable("SecureBoot", on)
	l.Extend(0, evVariableConfig, v, v)
	order := []byte{0, 0}
	l.Extend(0, evVariableBoot, order, variable("BootOrder", order))
	sep := []byte{0, 0, 0, 0}
	l.Extend(0, evSeparator, sep, sep)
	l.Extend(1, evSeparator, sep, sep)
	calling := []byte("Calling EFI Application from Boot Option")
	l.Extend(1, evAction, calling, calling)
	l.Extend(1, evApplication, c.Kernel, make([]byte, 32))
	cmd := "linux /boot/vmlinuz " + c.Cmdline
	l.Extend(2, evIPL, append([]byte(cmd), 0), []byte("grub_cmd "+cmd+"\x00\x00"))
	l.Extend(2, evIPL, append([]byte("/boot/vmlinuz "+c.Cmdline), 0), []byte("grub_kernel_cmdline /boot/vmlinuz "+c.Cmdline+"\x00\x00"))
	l.Extend(2, evEventTag, c.Initrd, append([]byte{0xec, 0x22, 0x3b, 0x8f, 13, 0, 0, 0}, "Linux initrd\x00"...))
	exit := []byte("Exit Boot Services Invocation")
	l.Extend(1, evAction, exit, exit)
	return l
}

// variable is UEFI_VARIABLE_DATA of the global namespace.
func variable(name string, data []byte) []byte {
	b := []byte{0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c}
	u := utf16.Encode([]rune(name))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(u)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(data)))
	for _, c := range u {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return append(b, data...)
}

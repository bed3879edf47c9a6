// Package acpi reads and builds the ACPI files that QEMU hands to firmware through fw_cfg: the tables blob, the root pointer
// and the loader's commands (QEMU hw/acpi/bios-linker-loader.c; specs measure.md section 14).
package acpi

import (
	"encoding/binary"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
)

// CommandKind is the kind of a loader command.
type CommandKind uint32

// The kinds.
const (
	Allocate    CommandKind = 1
	AddPointer  CommandKind = 2
	AddChecksum CommandKind = 3
)

const (
	commandSize = 128
	nameSize    = 56
	loaderSize  = 4096 // QEMU pads the loader's commands with zeros
	// MaxLoader is the largest loader file that is read, in bytes.
	MaxLoader = 64 << 10
)

// Command is one command of etc/table-loader.
type Command struct {
	Kind   CommandKind
	File   string // the file allocated, changed or summed
	Source string // AddPointer: the file pointed to
	// Allocate: alignment and zone; AddPointer: offset and size; AddChecksum: result offset, start and length.
	Args [3]uint32
}

// ParseLoader reads the commands up to the padding.
func ParseLoader(b []byte) ([]Command, error) {
	if len(b)%commandSize != 0 || len(b) > MaxLoader {
		return nil, fault.New(fault.Malformed, "a table loader of %d bytes; its commands have %d, and at most %d bytes are read", len(b), commandSize, MaxLoader)
	}
	var out []Command
	for ; len(b) > 0; b = b[commandSize:] {
		le := binary.LittleEndian
		c := Command{Kind: CommandKind(le.Uint32(b)), File: cstring(b[4 : 4+nameSize])}
		switch c.Kind {
		case 0:
			return out, nil
		case Allocate:
			c.Args = [3]uint32{le.Uint32(b[60:]), uint32(b[64])}
		case AddPointer:
			c.Source = cstring(b[60 : 60+nameSize])
			c.Args = [3]uint32{le.Uint32(b[116:]), uint32(b[120])}
		case AddChecksum:
			c.Args = [3]uint32{le.Uint32(b[60:]), le.Uint32(b[64:]), le.Uint32(b[68:])}
		default:
			return nil, fault.New(fault.Unsupported, "table loader command %d is not known", c.Kind)
		}
		out = append(out, c)
	}
	return out, nil
}

func cstring(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

func (c Command) append(b []byte) []byte {
	le := binary.LittleEndian
	out := make([]byte, commandSize)
	le.PutUint32(out, uint32(c.Kind))
	copy(out[4:4+nameSize], c.File)
	switch c.Kind {
	case Allocate:
		le.PutUint32(out[60:], c.Args[0])
		out[64] = byte(c.Args[1])
	case AddPointer:
		copy(out[60:60+nameSize], c.Source)
		le.PutUint32(out[116:], c.Args[0])
		out[120] = byte(c.Args[1])
	case AddChecksum:
		le.PutUint32(out[60:], c.Args[0])
		le.PutUint32(out[64:], c.Args[1])
		le.PutUint32(out[68:], c.Args[2])
	}
	return append(b, out...)
}

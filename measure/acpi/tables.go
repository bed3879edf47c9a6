package acpi

import (
	"encoding/binary"

	"github.com/assay-tee/assay/internal/fault"
)

const (
	fileTables = "etc/acpi/tables"
	fileRSDP   = "etc/acpi/rsdp"
	header     = 36 // of every table but FACS
	// MaxTables is the largest tables blob that is read, in bytes; QEMU's own limit is 128 KiB times two.
	MaxTables = 2 << 20
	maxCount  = 256
)

// Table is one table in the blob.
type Table struct {
	Signature string
	Offset    int
	Length    int
}

// ParseTables lists the tables of etc/acpi/tables, up to the padding. Lengths that do not fit are [fault.Malformed].
func ParseTables(blob []byte) ([]Table, error) {
	if len(blob) > MaxTables {
		return nil, fault.New(fault.Malformed, "ACPI tables of %d bytes; at most %d are read", len(blob), MaxTables)
	}
	var out []Table
	for off := 0; off+8 <= len(blob); {
		if blob[off] == 0 { // FACS is aligned, and the blob is padded
			off++
			continue
		}
		n := int64(binary.LittleEndian.Uint32(blob[off+4:]))
		sig := string(blob[off : off+4])
		if n < 8 || sig != "FACS" && n < header || int64(off)+n > int64(len(blob)) {
			return nil, fault.New(fault.Malformed, "ACPI table %q at 0x%x claims %d bytes; %d are left", sig, off, n, len(blob)-off)
		}
		if len(out) == maxCount {
			return nil, fault.New(fault.Malformed, "more than %d ACPI tables", maxCount)
		}
		out = append(out, Table{sig, off, int(n)})
		off += int(n)
	}
	return out, nil
}

func find(tables []Table, sig string) (Table, error) {
	for _, t := range tables {
		if t.Signature == sig {
			return t, nil
		}
	}
	return Table{}, fault.New(fault.Malformed, "the ACPI tables have no %s", sig)
}

// Files are the three fw_cfg files that firmware measures, before they are linked.
type Files struct{ Loader, RSDP, Tables []byte }

// FromTables makes the root pointer and the loader's commands that QEMU makes for a tables blob (QEMU hw/i386/acpi-build.c;
// the order is that of virtee/tdx-measure src/acpi.rs).
func FromTables(blob []byte) (*Files, error) {
	tables, err := ParseTables(blob)
	if err != nil {
		return nil, err
	}
	rsdt, err := find(tables, "RSDT")
	if err != nil {
		return nil, err
	}
	dsdt, err := find(tables, "DSDT")
	if err != nil {
		return nil, err
	}
	facp, err := find(tables, "FACP")
	if err != nil {
		return nil, err
	}
	if (rsdt.Length-header)%4 != 0 {
		return nil, fault.New(fault.Malformed, "RSDT of %d bytes; 36 and four per entry are wanted", rsdt.Length)
	}
	if facp.Length < 148 {
		return nil, fault.New(fault.Malformed, "FACP of %d bytes; at least 148 are wanted", facp.Length)
	}
	f := &Files{Tables: blob, RSDP: make([]byte, 20)}
	copy(f.RSDP, "RSD PTR ")
	copy(f.RSDP[9:], "BOCHS ")
	binary.LittleEndian.PutUint32(f.RSDP[16:], uint32(rsdt.Offset))

	var cmds []Command
	pointer := func(file, source string, off, size int) {
		cmds = append(cmds, Command{AddPointer, file, source, [3]uint32{uint32(off), uint32(size)}})
	}
	checksum := func(t Table) {
		cmds = append(cmds, Command{AddChecksum, fileTables, "", [3]uint32{uint32(t.Offset + 9), uint32(t.Offset), uint32(t.Length)}})
	}
	cmds = append(cmds, Command{Allocate, fileRSDP, "", [3]uint32{16, 2}}, Command{Allocate, fileTables, "", [3]uint32{64, 1}})
	checksum(dsdt)
	pointer(fileTables, fileTables, facp.Offset+36, 4)
	pointer(fileTables, fileTables, facp.Offset+40, 4)
	pointer(fileTables, fileTables, facp.Offset+140, 8)
	checksum(facp)
	for _, t := range tables {
		switch t.Signature {
		case "FACS", "DSDT", "FACP", "RSDT":
		default:
			checksum(t)
		}
	}
	for off := header; off < rsdt.Length; off += 4 {
		pointer(fileTables, fileTables, rsdt.Offset+off, 4)
	}
	checksum(rsdt)
	pointer(fileRSDP, fileTables, 16, 4)
	cmds = append(cmds, Command{AddChecksum, fileRSDP, "", [3]uint32{8, 0, 20}})
	for _, c := range cmds {
		f.Loader = c.append(f.Loader)
	}
	if n := len(f.Loader) % loaderSize; n != 0 {
		f.Loader = append(f.Loader, make([]byte, loaderSize-n)...)
	}
	return f, nil
}

package acpi_test

import (
	"encoding/binary"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure/acpi"
)

func table(sig string, n int) []byte {
	b := make([]byte, n)
	copy(b, sig)
	binary.LittleEndian.PutUint32(b[4:], uint32(n))
	return b
}

func blob() []byte {
	var b []byte
	for _, t := range [][]byte{table("FACS", 64), table("DSDT", 100), table("FACP", 244), table("APIC", 60), table("RSDT", 36+4*2)} {
		b = append(b, t...)
	}
	return append(b, make([]byte, 1024-len(b)%1024)...)
}

func TestFromTables(t *testing.T) {
	f, err := acpi.FromTables(blob())
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Loader) != 4096 || len(f.RSDP) != 20 || string(f.RSDP[:8]) != "RSD PTR " || binary.LittleEndian.Uint32(f.RSDP[16:]) != 64+100+244+60 {
		t.Errorf("loader %d bytes, RSDP % x", len(f.Loader), f.RSDP)
	}
	cmds, err := acpi.ParseLoader(f.Loader)
	if err != nil {
		t.Fatal(err)
	}
	want := []acpi.Command{
		{acpi.Allocate, "etc/acpi/rsdp", "", [3]uint32{16, 2}},
		{acpi.Allocate, "etc/acpi/tables", "", [3]uint32{64, 1}},
		{acpi.AddChecksum, "etc/acpi/tables", "", [3]uint32{73, 64, 100}},
		{acpi.AddPointer, "etc/acpi/tables", "etc/acpi/tables", [3]uint32{200, 4}},
		{acpi.AddPointer, "etc/acpi/tables", "etc/acpi/tables", [3]uint32{204, 4}},
		{acpi.AddPointer, "etc/acpi/tables", "etc/acpi/tables", [3]uint32{304, 8}},
		{acpi.AddChecksum, "etc/acpi/tables", "", [3]uint32{173, 164, 244}},
		{acpi.AddChecksum, "etc/acpi/tables", "", [3]uint32{417, 408, 60}},
		{acpi.AddPointer, "etc/acpi/tables", "etc/acpi/tables", [3]uint32{504, 4}},
		{acpi.AddPointer, "etc/acpi/tables", "etc/acpi/tables", [3]uint32{508, 4}},
		{acpi.AddChecksum, "etc/acpi/tables", "", [3]uint32{477, 468, 44}},
		{acpi.AddPointer, "etc/acpi/rsdp", "etc/acpi/tables", [3]uint32{16, 4}},
		{acpi.AddChecksum, "etc/acpi/rsdp", "", [3]uint32{8, 0, 20}},
	}
	if len(cmds) != len(want) {
		t.Fatalf("%d commands, want %d", len(cmds), len(want))
	}
	for i := range want {
		if cmds[i] != want[i] {
			t.Errorf("command %d: %v, want %v", i, cmds[i], want[i])
		}
	}
}

func TestTablesThatLie(t *testing.T) {
	for name, edit := range map[string]func(b []byte) []byte{
		"length 0":                  func(b []byte) []byte { clear(b[64+4 : 64+8]); return b },
		"length beyond the blob":    func(b []byte) []byte { copy(b[64+4:], []byte{0xff, 0xff, 0xff, 0xff}); return b },
		"no DSDT":                   func(b []byte) []byte { b[64] = 'X'; return b },
		"RSDT of 36 + 4n + 1 bytes": func(b []byte) []byte { b[468+4]++; return b },
		"short FACP": func([]byte) []byte {
			return append(append(table("DSDT", 40), table("FACP", 40)...), table("RSDT", 40)...)
		},
		"too large": func([]byte) []byte { return make([]byte, acpi.MaxTables+1) },
	} {
		if _, err := acpi.FromTables(edit(blob())); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := acpi.ParseLoader(make([]byte, 127)); !fault.Is(err, fault.Malformed) {
		t.Errorf("loader of 127 bytes: %v", err)
	}
	if _, err := acpi.ParseLoader(append([]byte{9}, make([]byte, 127)...)); !fault.Is(err, fault.Unsupported) {
		t.Errorf("unknown command: %v", err)
	}
}

func FuzzTables(f *testing.F) {
	f.Add(blob())
	f.Fuzz(func(t *testing.T, b []byte) {
		files, err := acpi.FromTables(b)
		if err != nil {
			if !fault.Is(err, fault.Malformed) {
				t.Fatal(err)
			}
			return
		}
		if _, err := acpi.ParseLoader(files.Loader); err != nil && len(files.Loader) <= acpi.MaxLoader {
			t.Fatalf("our own loader does not parse: %v", err)
		}
	})
}

package ovmf_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure/measuretest"
	"github.com/assay-tee/assay/measure/ovmf"
)

func TestGUIDTextForm(t *testing.T) {
	const s = "96b582de-1fb2-45f7-baea-a366c55a082d"
	g, err := ovmf.ParseGUID(s)
	if err != nil || g.String() != s {
		t.Errorf("%v, %v", g, err)
	}
	if !bytes.Equal(g[:4], []byte{0xde, 0x82, 0xb5, 0x96}) {
		t.Errorf("the first group is not little-endian: %x", g[:4])
	}
	for _, bad := range []string{"", s[1:], s + "0", "96b582de_1fb2-45f7-baea-a366c55a082d", "g6b582de-1fb2-45f7-baea-a366c55a082d"} {
		if _, err := ovmf.ParseGUID(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestFooterOfPlainFirmware(t *testing.T) {
	for _, n := range []int{1, 49, 50, 4096} {
		img, err := ovmf.Parse(make([]byte, n))
		if err != nil || img.HasFooter {
			t.Errorf("%d zero bytes: %v, %v", n, img, err)
		}
	}
	if _, err := ovmf.Parse(nil); !fault.Is(err, fault.Malformed) {
		t.Errorf("empty file: %v", err)
	}
}

func TestFooterThatLies(t *testing.T) {
	build := func(edit func(img []byte)) []byte {
		img := measuretest.SNPFirmware(8192)
		edit(img)
		return img
	}
	end := 8192 - 32
	for _, tc := range []struct {
		name string
		img  []byte
	}{
		{"size below its own header", build(func(b []byte) { binary.LittleEndian.PutUint16(b[end-18:], 17) })},
		{"size above the file", build(func(b []byte) { binary.LittleEndian.PutUint16(b[end-18:], 0xffff) })},
		{"entry of size 0", build(func(b []byte) { binary.LittleEndian.PutUint16(b[end-36:], 0) })},
		{"entry of size 17", build(func(b []byte) { binary.LittleEndian.PutUint16(b[end-36:], 17) })},
		{"entry beyond the table", build(func(b []byte) { binary.LittleEndian.PutUint16(b[end-36:], 200) })},
		{"entry twice", measuretest.Firmware(8192, measuretest.Entry{GUID: measuretest.GUIDReset, Data: measuretest.U32(1)},
			measuretest.Entry{GUID: measuretest.GUIDReset, Data: measuretest.U32(2)})},
	} {
		if _, err := ovmf.Parse(tc.img); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestSEVMetadataIsRead(t *testing.T) {
	img, err := ovmf.Parse(measuretest.SNPFirmware(8192))
	if err != nil {
		t.Fatal(err)
	}
	got, ok, err := img.SEVMetadata()
	if err != nil || !ok || len(got) != len(measuretest.Sections()) {
		t.Fatalf("%v, %v, %v", got, ok, err)
	}
	for i, s := range measuretest.Sections() {
		if want := (ovmf.Section{GPA: uint64(s[0]), Size: uint64(s[1]), Type: ovmf.SectionType(s[2])}); got[i] != want {
			t.Errorf("section %d: %v, want %v", i, got[i], want)
		}
	}
	if eip, ok, err := img.ResetEIP(); eip != 0x80b004 || !ok || err != nil {
		t.Errorf("reset 0x%x, %v, %v", eip, ok, err)
	}
}

func TestSEVMetadataThatLies(t *testing.T) {
	const at = 8192 - 2048
	edit := func(f func(b []byte)) []byte {
		img := measuretest.SNPFirmware(8192)
		f(img[at:])
		return img
	}
	offset := func(v uint32) []byte {
		return measuretest.Firmware(8192, measuretest.Entry{GUID: measuretest.GUIDSEVMetadata, Data: measuretest.U32(v)})
	}
	many := make([][3]uint32, 65)
	for i := range many {
		many[i] = [3]uint32{uint32(i) * 0x1000, 0x1000, 1}
	}
	for _, tc := range []struct {
		name  string
		img   []byte
		class fault.Class
	}{
		{"no signature", edit(func(b []byte) { b[0] = 'B' }), fault.Malformed},
		{"version 2", edit(func(b []byte) { b[8] = 2 }), fault.Unsupported},
		{"length differs from the count", edit(func(b []byte) { b[4]++ }), fault.Malformed},
		{"count 2^32-1", edit(func(b []byte) { copy(b[12:], measuretest.U32(1<<32-1)) }), fault.Malformed},
		{"more sections than are read", measuretest.SNPFirmware(8192, many...), fault.Malformed},
		{"offset beyond the file", offset(8193), fault.Malformed},
		{"offset that cuts the header", offset(15), fault.Malformed},
		{"offset 0", offset(0), fault.Malformed},
		{"entry without data", measuretest.Firmware(8192, measuretest.Entry{GUID: measuretest.GUIDSEVMetadata, Data: []byte{1}}), fault.Malformed},
		{"unaligned address", measuretest.SNPFirmware(8192, [3]uint32{0x800001, 0x1000, 1}), fault.Malformed},
		{"unaligned size", measuretest.SNPFirmware(8192, [3]uint32{0x800000, 0x1001, 1}), fault.Malformed},
		{"empty section", measuretest.SNPFirmware(8192, [3]uint32{0x800000, 0, 1}), fault.Malformed},
		{"overlap", measuretest.SNPFirmware(8192, [3]uint32{0x801000, 0x1000, 1}, [3]uint32{0x800000, 0x2000, 4}), fault.Malformed},
		{"same place twice", measuretest.SNPFirmware(8192, [3]uint32{0x800000, 0x1000, 1}, [3]uint32{0x800000, 0x1000, 1}), fault.Malformed},
		{"two CPUID sections", measuretest.SNPFirmware(8192, [3]uint32{0x800000, 0x1000, 3}, [3]uint32{0x802000, 0x1000, 3}), fault.Malformed},
		{"two SECRETS sections", measuretest.SNPFirmware(8192, [3]uint32{0x800000, 0x1000, 2}, [3]uint32{0x802000, 0x1000, 2}), fault.Malformed},
		{"unknown type", measuretest.SNPFirmware(8192, [3]uint32{0x800000, 0x1000, 0x11}), fault.Unsupported},
		{"gigabytes of zero pages", measuretest.SNPFirmware(8192, [3]uint32{0x1000000, 0xf0000000, 1}), fault.Malformed},
	} {
		img, err := ovmf.Parse(tc.img)
		if err != nil {
			t.Errorf("%s: footer: %v", tc.name, err)
			continue
		}
		if _, _, err := img.SEVMetadata(); !fault.Is(err, tc.class) {
			t.Errorf("%s: %v, want class %v", tc.name, err, tc.class)
		}
	}
}

// tdvf builds an image with a TDVF descriptor; each section is {offset, raw, gpa, size, type, attributes}.
func tdvf(edit func(b []byte), sections ...[6]uint64) []byte {
	const at = 4096
	img := measuretest.Firmware(16384, measuretest.Entry{GUID: measuretest.GUIDTDXMetadata, Data: measuretest.U32(16384 - at)})
	b := append([]byte("TDVF"), measuretest.U32(uint32(16+32*len(sections)), 1, uint32(len(sections)))...)
	for _, s := range sections {
		b = append(b, measuretest.U32(uint32(s[0]), uint32(s[1]))...)
		b = binary.LittleEndian.AppendUint64(b, s[2])
		b = binary.LittleEndian.AppendUint64(b, s[3])
		b = append(b, measuretest.U32(uint32(s[4]), uint32(s[5]))...)
	}
	copy(img[at-16:], measuretest.GUID(measuretest.GUIDTDVF))
	copy(img[at:], b)
	if edit != nil {
		edit(img[at:])
	}
	return img
}

func TestTDXMetadata(t *testing.T) {
	bfv, hob := [6]uint64{0, 0x1000, 0xffffc000, 0x2000, 0, 1}, [6]uint64{0, 0, 0x809000, 0x2000, 2, 0}
	with := func(s ...[6]uint64) []byte { return tdvf(nil, append([][6]uint64{bfv, hob}, s...)...) }
	for _, tc := range []struct {
		name  string
		img   []byte
		class fault.Class // Internal: is read
	}{
		{"good", with(), fault.Internal},
		{"no GUID before it", tdvf(func(b []byte) { b[0] = 'X' }, bfv, hob), fault.Malformed},
		{"version 2", tdvf(func(b []byte) { b[8] = 2 }, bfv, hob), fault.Unsupported},
		{"count 2^32-1", tdvf(func(b []byte) { copy(b[12:], measuretest.U32(1<<32-1)) }, bfv, hob), fault.Malformed},
		{"length differs", tdvf(func(b []byte) { b[4]++ }, bfv, hob), fault.Malformed},
		{"two TD HOBs", with([6]uint64{0, 0, 0x10000, 0x1000, 2, 0}), fault.Malformed},
		{"no TD HOB", tdvf(nil, bfv), fault.Malformed},
		{"no BFV", tdvf(nil, hob), fault.Malformed},
		{"raw above memory", with([6]uint64{0, 0x3000, 0x10000, 0x2000, 3, 0}), fault.Malformed},
		{"data beyond the file", with([6]uint64{0x3000, 0x2000, 0x10000, 0x2000, 1, 0}), fault.Malformed},
		{"unaligned", with([6]uint64{0, 0, 0x10001, 0x1000, 3, 0}), fault.Malformed},
		{"overlap", with([6]uint64{0, 0, 0x80a000, 0x1000, 3, 0}), fault.Malformed},
		{"2^36 pages", with([6]uint64{0, 0, 0x100000000, 1 << 48, 3, 0}), fault.Malformed},
		{"beyond the address space", with([6]uint64{0, 0, ^uint64(0xfff), 0x2000, 3, 0}), fault.Malformed},
		{"unknown type", with([6]uint64{0, 0, 0x10000, 0x1000, 7, 0}), fault.Unsupported},
	} {
		img, err := ovmf.Parse(tc.img)
		if err != nil {
			t.Fatal(err)
		}
		got, ok, err := img.TDXMetadata()
		if tc.class == fault.Internal {
			if err != nil || !ok || len(got) != 2 || len(got[0].Data) != 0x1000 {
				t.Errorf("%s: %v, %v", tc.name, got, err)
			}
			continue
		}
		if !fault.Is(err, tc.class) {
			t.Errorf("%s: %v, want class %v", tc.name, err, tc.class)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(measuretest.SNPFirmware(8192))
	f.Add(tdvf(nil, [6]uint64{0, 0x1000, 0xffffc000, 0x2000, 0, 1}, [6]uint64{0, 0, 0x809000, 0x2000, 2, 0}))
	f.Fuzz(func(t *testing.T, data []byte) {
		img, err := ovmf.Parse(data)
		if err != nil {
			if c := fault.ClassOf(err); c != fault.Malformed {
				t.Fatalf("class %v: %v", c, err)
			}
			return
		}
		sections, _, err := img.SEVMetadata()
		checkClass(t, err)
		tdx, _, err2 := img.TDXMetadata()
		checkClass(t, err2)
		var total uint64
		for _, s := range sections {
			total += s.Size
		}
		if err == nil && total > 16<<20 {
			t.Fatalf("%d bytes of sections", total)
		}
		for _, s := range tdx {
			if err2 == nil && uint64(len(s.Data)) > s.Size {
				t.Fatalf("section with more data than memory")
			}
		}
		_, _, err = img.ResetEIP()
		checkClass(t, err)
		_, _, _, err = img.HashesTable()
		checkClass(t, err)
		_, _, err = img.SVSMInfo()
		checkClass(t, err)
	})
}

func checkClass(t *testing.T, err error) {
	if c := fault.ClassOf(err); err != nil && c != fault.Malformed && c != fault.Unsupported {
		t.Fatalf("class %v: %v", c, err)
	}
}

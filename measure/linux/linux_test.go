package linux_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure/linux"
	"github.com/assay-tee/assay/measure/measuretest"
)

func TestBzImageIsSplit(t *testing.T) {
	for _, tc := range []struct {
		sects byte
		setup int
	}{{3, 2048}, {0, 2560}, {1, 1024}} {
		file := measuretest.Kernel(8192, 0x20f)
		file[0x1f1] = tc.sects
		k, err := linux.ParseBzImage(file)
		if err != nil || len(k.Setup) != tc.setup || len(k.Image) != 8192-tc.setup {
			t.Errorf("setup_sects %d: %v", tc.sects, err)
		}
	}
	for name, file := range map[string][]byte{"empty": nil, "no magic": make([]byte, 8192), "setup longer than the file": func() []byte {
		f := measuretest.Kernel(8192, 0x20f)
		f[0x1f1] = 255
		return f
	}()} {
		if _, err := linux.ParseBzImage(file); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSetupIsMeasuredWithoutTheInitrdsPlace(t *testing.T) {
	file := measuretest.Kernel(8192, 0x20f)
	k, err := linux.ParseBzImage(file)
	if err != nil {
		t.Fatal(err)
	}
	plain := k.SetupAsMeasured(false)
	copy(file[0x218:], "address, size"[:8])
	if !bytes.Equal(plain, k.SetupAsMeasured(false)) {
		t.Error("the initrd's address and size are measured")
	}
	patched := k.SetupAsMeasured(true)
	if patched[0x210] != 0xb0 || patched[0x211]&0x80 == 0 || binary.LittleEndian.Uint16(patched[0x224:]) != 0xfe00 || binary.LittleEndian.Uint32(patched[0x228:]) != 0x20000 {
		t.Errorf("patched header % x", patched[0x210:0x22c])
	}
	if bytes.Equal(file[0x210:0x22c], patched[0x210:0x22c]) {
		t.Error("the file itself was changed")
	}
}

func TestPatchQEMU(t *testing.T) {
	const gib = 1 << 30
	u32 := func(b []byte, off int) uint32 { return binary.LittleEndian.Uint32(b[off:]) }
	file := measuretest.Kernel(8192, 0x20f)
	binary.LittleEndian.PutUint16(file[0x236:], 1<<6)
	at := func(mem uint64) uint32 {
		out, err := linux.PatchQEMU(file, linux.Patch{InitrdSize: 5000, MemorySize: mem})
		if err != nil {
			t.Fatal(err)
		}
		if out[0x210] != 0xb0 || out[0x211]&0x80 == 0 || u32(out, 0x224) != 0xfe00 || u32(out, 0x228) != 0x20000 || u32(out, 0x21c) != 5000 {
			t.Errorf("patched header % x", out[0x210:0x22c])
		}
		return u32(out, 0x218)
	}
	// below4g is 2 GiB both at exactly 2 GiB and from 2.75 GiB on.
	want := uint32((0x80000000 - 0x28000 - 1 - 5000) &^ 4095)
	for _, mem := range []uint64{2 * gib, 0xb0000000, 64 * gib} {
		if got := at(mem); got != want {
			t.Errorf("memory 0x%x: initrd at 0x%x, want 0x%x", mem, got, want)
		}
	}
	if a, b := at(2*gib+gib/4), at(2*gib+gib/2); a == b || a == want {
		t.Errorf("between 2 and 2.75 GiB the address depends on memory: 0x%x, 0x%x", a, b)
	}
	out, err := linux.PatchQEMU(file, linux.Patch{MemorySize: 2 * gib})
	if err != nil || u32(out, 0x218) != u32(file, 0x218) {
		t.Errorf("without initrd: %v", err)
	}
	old := measuretest.Kernel(8192, 0x201)
	if out, err := linux.PatchQEMU(old, linux.Patch{}); err != nil || binary.LittleEndian.Uint16(out[0x20:]) != 0xa33f {
		t.Errorf("protocol 2.01: %v", err)
	}
	for name, f := range map[string][]byte{"4095 bytes": file[:4095], "protocol 0": measuretest.Kernel(8192, 0)} {
		if _, err := linux.PatchQEMU(f, linux.Patch{}); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := linux.PatchQEMU(file, linux.Patch{InitrdSize: 3 * gib, MemorySize: 2 * gib}); !fault.Is(err, fault.Usage) {
		t.Errorf("initrd larger than memory: %v", err)
	}
}

func TestAuthenticodeLeavesOutSignatureAndChecksum(t *testing.T) {
	img := measuretest.PE(map[string][]byte{".text": bytes.Repeat([]byte("code"), 200), ".data": []byte("data")}, nil)
	sum := func(b []byte) string {
		p, err := linux.ParsePE(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(p.Authenticode(sha256.New()))
	}
	want := sum(img)
	signed := measuretest.PE(map[string][]byte{".text": bytes.Repeat([]byte("code"), 200), ".data": []byte("data")}, []byte("a signature of 24 bytes."))
	if sum(signed) != want {
		t.Error("the signature is part of the digest")
	}
	edited := bytes.Clone(img)
	edited[0x40+24+64]++
	if sum(edited) != want {
		t.Error("the checksum is part of the digest")
	}
	edited = bytes.Clone(img)
	edited[len(edited)-600]++
	if sum(edited) == want {
		t.Error("the data is not part of the digest")
	}
}

func TestPEThatLies(t *testing.T) {
	good := measuretest.PE(map[string][]byte{".text": make([]byte, 600), ".data": make([]byte, 600)}, []byte("certificate table 24 byte"))
	const coff, opt = 0x44, 0x58
	table := opt + 240
	for name, edit := range map[string]func(b []byte){
		"e_lfanew beyond the file":     func(b []byte) { copy(b[0x3c:], measuretest.U32(0xfffffff0)) },
		"65535 sections":               func(b []byte) { copy(b[coff+2:], []byte{0xff, 0xff}) },
		"96 sections in a small file":  func(b []byte) { b[coff+2] = 96 },
		"optional header cut":          func(b []byte) { copy(b[coff+16:], []byte{8, 0}) },
		"headers beyond the file":      func(b []byte) { copy(b[opt+60:], measuretest.U32(1<<30)) },
		"headers before the sections":  func(b []byte) { copy(b[opt+60:], measuretest.U32(64)) },
		"section beyond the file":      func(b []byte) { copy(b[table+20:], measuretest.U32(0xffffff00)) },
		"section of 4 GiB":             func(b []byte) { copy(b[table+16:], measuretest.U32(0xffffffff)) },
		"sections overlap":             func(b []byte) { copy(b[table+40+20:], b[table+20:table+24]) },
		"certificates beyond the file": func(b []byte) { copy(b[opt+112+36:], measuretest.U32(0xffffff)) },
		"certificates over headers":    func(b []byte) { copy(b[opt+112+32:], measuretest.U32(16)) },
	} {
		b := bytes.Clone(good)
		edit(b)
		if _, err := linux.ParsePE(b); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := bytes.Clone(good)
	b[opt] = 7
	if _, err := linux.ParsePE(b); !fault.Is(err, fault.Unsupported) {
		t.Errorf("unknown optional header: %v", err)
	}
}

func TestUKISectionsInOrder(t *testing.T) {
	p, err := linux.ParsePE(measuretest.PE(map[string][]byte{".cmdline": []byte("quiet"), ".linux": []byte("kernel"), ".pcrsig": []byte("sig"), ".osrel": []byte("ID=x")}, nil))
	if err != nil {
		t.Fatal(err)
	}
	got, ok := p.UKI()
	if !ok || len(got) != 3 || got[0].Name != ".linux" || got[1].Name != ".osrel" || got[2].Name != ".cmdline" || string(got[2].Data) != "quiet" {
		t.Errorf("%v, %v", got, ok)
	}
}

func FuzzParsePE(f *testing.F) {
	f.Add(measuretest.PE(map[string][]byte{".text": []byte("x"), ".linux": []byte("y")}, []byte("sig")))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := linux.ParsePE(b)
		if err != nil {
			if c := fault.ClassOf(err); c != fault.Malformed && c != fault.Unsupported {
				t.Fatalf("class %v", c)
			}
			return
		}
		p.Authenticode(sha256.New())
		sections, _ := p.UKI()
		for _, s := range sections {
			if len(s.Data) > 2*len(b)+4096 {
				t.Fatalf("section of %d bytes from a file of %d", len(s.Data), len(b))
			}
		}
	})
}

func FuzzBzImage(f *testing.F) {
	f.Add(measuretest.Kernel(8192, 0x20f), uint64(5000), uint64(1<<31))
	f.Fuzz(func(t *testing.T, b []byte, initrd, mem uint64) {
		if k, err := linux.ParseBzImage(b); err == nil {
			k.SetupAsMeasured(true)
		} else if !fault.Is(err, fault.Malformed) {
			t.Fatal(err)
		}
		if _, err := linux.PatchQEMU(b, linux.Patch{InitrdSize: initrd, MemorySize: mem}); err != nil && !fault.Is(err, fault.Malformed) && !fault.Is(err, fault.Usage) {
			t.Fatal(err)
		}
	})
}

func TestStubInitrd(t *testing.T) {
	parse := func(s map[string][]byte) *linux.PE {
		p, err := linux.ParsePE(measuretest.PE(s, nil))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if d, ok := parse(map[string][]byte{".linux": {1}, ".initrd": []byte("abc")}).StubInitrd(false); !ok || string(d) != "abc" {
		t.Errorf("a single initrd is passed as it is: %q", d)
	}
	if _, ok := parse(map[string][]byte{".linux": {1}}).StubInitrd(false); ok {
		t.Error("an initrd out of nothing")
	}
	both := parse(map[string][]byte{".linux": {1}, ".initrd": []byte("abc"), ".osrel": []byte("ID=x\n")})
	d, _ := both.StubInitrd(false)
	if string(d[:4]) != "abc\x00" || len(d)%4 != 0 || string(d[4:10]) != "070701" || !bytes.Contains(d, []byte(".extra/os-release\x00")) ||
		!bytes.Contains(d, []byte("ID=x\n\x00\x00\x00070701")) || !bytes.HasSuffix(d, []byte("TRAILER!!!\x00\x00\x00\x00")) {
		t.Errorf("assembled initrd %q", d)
	}
	if d, _ := both.StubInitrd(true); string(d) != "abc" {
		t.Errorf("before 257 the os-release was not passed: %q", d)
	}
	if l, _ := parse(map[string][]byte{".linux": {1}, ".cmdline": []byte(" quiet\tsplash\n\x00")}).StubCommandLine(); l != "quiet splash" {
		t.Errorf("command line %q", l)
	}
}

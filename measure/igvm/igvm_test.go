package igvm_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure/igvm"
	"github.com/assay-tee/assay/measure/snp"
)

type builder struct{ vars, data []byte }

func (b *builder) header(kind uint32, body ...any) *builder {
	var buf bytes.Buffer
	for _, v := range body {
		_ = binary.Write(&buf, binary.LittleEndian, v)
	}
	n := buf.Len()
	for buf.Len()%8 != 0 {
		buf.WriteByte(0)
	}
	b.vars = binary.LittleEndian.AppendUint32(b.vars, kind)
	b.vars = append(binary.LittleEndian.AppendUint32(b.vars, uint32(n)), buf.Bytes()...)
	return b
}

const dataAt = 4096 // file data begins here

func (b *builder) bytes() []byte {
	out := append([]byte("IGVM"), make([]byte, 20)...)
	le := binary.LittleEndian
	le.PutUint32(out[4:], 1)
	le.PutUint32(out[8:], 24)
	le.PutUint32(out[12:], uint32(len(b.vars)))
	le.PutUint32(out[16:], uint32(dataAt+len(b.data)))
	le.PutUint32(out[20:], crc32.ChecksumIEEE(append(append([]byte(nil), out...), b.vars...)))
	out = append(out, b.vars...)
	out = append(out, make([]byte, dataAt-len(out))...)
	return append(out, b.data...)
}

func parse(t testing.TB, b []byte) (*igvm.File, error) {
	t.Helper()
	return igvm.Parse(bytes.NewReader(b), int64(len(b)))
}

func platform(b *builder) *builder {
	return b.header(1, uint32(1), uint8(2), uint8(igvm.SNP), uint16(1), uint64(0))
}

func page(b *builder, gpa uint64, off, flags uint32, kind uint16) *builder {
	return b.header(0x302, gpa, uint32(1), off, flags, kind, uint16(0))
}

func sample() *builder {
	b := &builder{data: bytes.Repeat([]byte{0xab}, 8192)}
	platform(b).header(0x101, uint64(0x30000), uint32(1), uint32(0))
	page(b, 0x10000, dataAt, 0, 0)
	page(b, 0x11000, 0, 0, 0)
	page(b, 0x12000, 0, 2, 0)
	page(b, 0x13000, 0, 0, 1)
	page(b, 0x14000, 0, 0, 2)
	b.header(0x302, uint64(0x15000), uint32(2), uint32(dataAt), uint32(0), uint16(0), uint16(0)) // another platform's
	b.header(0x301, uint64(0x1800), uint32(7), uint32(0)).header(0x303, uint64(0x20000), uint32(1), uint32(7))
	page(b, 0x30000, dataAt, 4, 0) // shared
	return b.header(0x304, uint64(0xfffffffff000), uint32(1), uint32(dataAt+4096), uint16(0), uint16(0))
}

func TestMeasureFollowsTheDirectives(t *testing.T) {
	f, err := parse(t, sample().bytes())
	if err != nil {
		t.Fatal(err)
	}
	full := bytes.Repeat([]byte{0xab}, 4096)
	build := func(coconut, nativeZero bool) snp.Launch {
		var l snp.Launch
		l.Content(snp.PageNormal, 0x10000, full, "")
		if nativeZero {
			l.Bare(snp.PageZero, 0x11000, 4096, "")
		} else {
			l.Content(snp.PageNormal, 0x11000, make([]byte, 4096), "")
		}
		l.Bare(snp.PageUnmeasured, 0x12000, 4096, "")
		l.Bare(snp.PageSecrets, 0x13000, 4096, "")
		l.Bare(snp.PageCPUID, 0x14000, 4096, "")
		if coconut {
			l.Bare(snp.PageUnmeasured, 0x20000, 4096, "")
			l.Content(snp.PageNormal, 0x30000, full, "")
		} else {
			l.Bare(snp.PageUnmeasured, 0x20000, 8192, "")
		}
		l.Content(snp.PageVMSA, 0xfffffffff000, full, "")
		return l
	}
	for _, tc := range []struct{ coconut, zero bool }{{false, false}, {true, false}, {true, true}} {
		res, err := f.Measure(igvm.SNP, igvm.Compat{Coconut: tc.coconut, NativeZero: tc.zero})
		if err != nil {
			t.Fatal(err)
		}
		if want := build(tc.coconut, tc.zero); res.SNP != want.LD || res.VPs != 1 {
			t.Errorf("%+v: %v, want %v", tc, res.SNP, want.LD)
		}
	}
	if p, ok := f.Policy(igvm.SNP); p != 0x30000 || !ok {
		t.Errorf("policy 0x%x, %v", p, ok)
	}
	if _, err := f.Measure(igvm.SEV, igvm.Compat{}); !fault.Is(err, fault.Unsupported) {
		t.Errorf("platform that is not there: %v", err)
	}
	if _, err := f.Measure(igvm.SNP, igvm.Compat{CheckKVM: true}); !fault.Is(err, fault.Unsupported) {
		t.Errorf("cr0 of the sample is not what KVM starts with: %v", err)
	}
}

func TestIDBlockMustAgree(t *testing.T) {
	base, err := parse(t, platform(&builder{}).bytes())
	if err != nil {
		t.Fatal(err)
	}
	res, err := base.Measure(igvm.SNP, igvm.Compat{})
	if err != nil {
		t.Fatal(err)
	}
	for name, ld := range map[string][48]byte{"right": res.SNP, "wrong": {1}} {
		f, err := parse(t, platform(&builder{}).header(0x30b, uint32(1), uint32(0), ld, [40]byte{}).bytes())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Measure(igvm.SNP, igvm.Compat{}); (err == nil) != (name == "right") || err != nil && !fault.Is(err, fault.Malformed) {
			t.Errorf("%s ID block: %v", name, err)
		}
	}
}

func TestFilesThatLie(t *testing.T) {
	good := sample().bytes()
	edit := func(at int, v byte) []byte { b := bytes.Clone(good); b[at] ^= v; return b }
	for _, tc := range []struct {
		name  string
		file  []byte
		class fault.Class
	}{
		{"empty", nil, fault.Malformed},
		{"no magic", edit(0, 1), fault.Malformed},
		{"version 3", edit(4, 2), fault.Unsupported},
		{"bad CRC", edit(21, 1), fault.Malformed},
		{"header changed", edit(40, 1), fault.Malformed},
		{"headers beyond the file", edit(15, 1), fault.Malformed},
		{"claims more bytes than it has", edit(19, 1), fault.Malformed},
		{"unknown directive", platform(&builder{}).header(0x3f0, uint64(0)).bytes(), fault.Unsupported},
		{"unknown initialisation", platform(&builder{}).header(0x1f0, uint64(0)).bytes(), fault.Unsupported},
		{"short body", (&builder{}).header(0x302, uint64(0)).bytes(), fault.Malformed},
	} {
		if _, err := parse(t, tc.file); !fault.Is(err, tc.class) {
			t.Errorf("%s: %v, want class %v", tc.name, err, tc.class)
		}
	}
	for name, b := range map[string]*builder{
		"page data beyond the file":  page(platform(&builder{}), 0, 0x7fffffff, 0, 0),
		"unaligned page":             page(platform(&builder{}), 1, 0, 0, 0),
		"mask 0":                     (&builder{}).header(1, uint32(0), uint8(0), uint8(2), uint16(1), uint64(0)),
		"undeclared parameter area":  platform(&builder{}).header(0x303, uint64(0), uint32(1), uint32(3)),
		"parameter area of 2^63":     platform(&builder{}).header(0x301, uint64(1<<63), uint32(0), uint32(0)).header(0x303, uint64(0), uint32(1), uint32(0)),
		"VP context without content": platform(&builder{}).header(0x304, uint64(0), uint32(1), uint32(0), uint32(0)),
	} {
		f, err := parse(t, b.bytes())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Measure(igvm.SNP, igvm.Compat{}); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range map[string]*builder{"unknown page type": page(platform(&builder{}), 0, 0, 0, 9), "2 MiB page": page(platform(&builder{}), 0, 0, 1, 0)} {
		f, err := parse(t, b.bytes())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Measure(igvm.SNP, igvm.Compat{}); !fault.Is(err, fault.Unsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzIGVM(f *testing.F) {
	f.Add(sample().vars)
	f.Fuzz(func(t *testing.T, vars []byte) {
		if len(vars) > dataAt-24 {
			return
		}
		file := (&builder{vars: vars, data: make([]byte, 4096)}).bytes() // with a right CRC, so that the headers are reached
		p, err := parse(t, file)
		if err == nil {
			_, err = p.Measure(igvm.SNP, igvm.Compat{Coconut: true})
		}
		if c := fault.ClassOf(err); err != nil && c != fault.Malformed && c != fault.Unsupported {
			t.Fatalf("class %v: %v", c, err)
		}
	})
}

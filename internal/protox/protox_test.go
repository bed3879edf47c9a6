package protox

import (
	"bytes"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

func TestReadsFields(t *testing.T) {
	b := AppendUint(nil, 1, 300)
	b = AppendBytes(b, 2, []byte("text"))
	b = AppendBytes(b, 3, AppendUint(nil, 7, 1))
	b = AppendBytes(b, 4, []byte("a"))
	b = AppendBytes(b, 4, nil)
	b = AppendUint(b, 99, 5)
	m := Parse("M", b)
	if m.Uint(1) != 300 || m.Text(2) != "text" || !m.Sub(3, "s").Bool(7) || len(m.All(4)) != 2 || m.Bytes(5) != nil || m.Sub(6, "s") != nil || m.Err() != nil {
		t.Errorf("%v", m.Err())
	}
	if n := m.Unknown(); n != 1 {
		t.Errorf("%d unknown fields, want 1", n)
	}
}

func TestRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		b    []byte
		ask  func(*Message)
	}{
		{"cut tag", []byte{0x80}, func(*Message) {}},
		{"long varint", []byte{0x08, 0x81, 0x00}, func(*Message) {}},
		{"group", []byte{0x0b, 0x0c}, func(*Message) {}},
		{"field 0", []byte{0x00, 0x00}, func(*Message) {}},
		{"length beyond the end", []byte{0x0a, 0x05, 1}, func(*Message) {}},
		{"huge length", []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, func(*Message) {}},
		{"singular twice", AppendBytes(AppendBytes(nil, 1, nil), 1, nil), func(m *Message) { m.Bytes(1) }},
		{"wrong wire type", AppendUint(nil, 1, 1), func(m *Message) { m.Bytes(1) }},
		{"two of a oneof", AppendBytes(AppendBytes(nil, 1, nil), 2, nil), func(m *Message) { m.OneOf(1, 2) }},
		{"no UTF-8", AppendBytes(nil, 1, []byte{0xff}), func(m *Message) { m.Text(1) }},
		{"nested", AppendBytes(nil, 1, []byte{0x80}), func(m *Message) { m.Sub(1, "s") }},
		{"too many fields", bytes.Repeat([]byte{0x08, 0x01}, MaxFields+1), func(*Message) {}},
		{"too long", make([]byte, MaxSize+1), func(*Message) {}},
	} {
		m := Parse("M", tc.b)
		tc.ask(m)
		if !fault.Is(m.Err(), fault.Malformed) {
			t.Errorf("%s: %v", tc.name, m.Err())
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(AppendBytes(AppendUint(nil, 1, 1), 2, []byte{8, 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := Parse("M", b)
		if m.Err() != nil {
			return
		}
		var out []byte
		for _, f := range m.fields {
			switch f.wire {
			case wireVarint:
				out = AppendUint(out, f.num, f.value)
			case wireBytes:
				out = AppendBytes(out, f.num, f.bytes)
			default:
				return
			}
		}
		if !bytes.Equal(out, b) {
			t.Errorf("%x reads as %x", b, out)
		}
	})
}

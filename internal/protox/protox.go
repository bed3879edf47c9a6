// Package protox is a strict and bounded reader of protobuf's wire format (protobuf.dev, "Encoding") for messages that
// strangers send. It needs no generated code: a caller asks for fields by number and type.
//
// Strict means: a message is read whole, with nothing left over; a field has one wire type; varints and tags have their
// shortest form; groups are refused; and where a caller asks for one value, a second occurrence is an error. Protobuf
// would let the last one win or merge the two, and then two readers could see two messages in the same bytes.
package protox

import (
	"encoding/binary"
	"slices"
	"unicode/utf8"

	"github.com/assay-tee/assay/internal/fault"
)

// Limits on one message; what is nested in it is a message of its own.
const (
	MaxSize   = 4 << 20 // bytes
	MaxFields = 4096    // occurrences of fields
)

// Wire types.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

type field struct {
	num   uint32
	wire  uint8
	value uint64 // of the number types
	bytes []byte // of wireBytes; aliases the input
}

// Message is a message split into its fields, in the order of the wire. It is sticky: the first error stays, and later
// questions give zero values.
type Message struct {
	name   string
	fields []field
	asked  []uint32
	err    *error
}

// Parse splits b. The name is what errors call the message. The result aliases b.
func Parse(name string, b []byte) *Message {
	m := &Message{name: name, err: new(error)}
	m.parse(b)
	return m
}

func (m *Message) parse(b []byte) {
	if len(b) > MaxSize {
		m.fail("%d bytes; at most %d are read", len(b), MaxSize)
		return
	}
	for p := 0; p < len(b); {
		tag, n := varint(b[p:])
		if n == 0 {
			m.fail("no field begins at offset %d", p)
			return
		}
		p += n
		f := field{num: uint32(tag >> 3), wire: uint8(tag & 7)}
		if tag>>3 == 0 || tag>>3 > 1<<29-1 {
			m.fail("field number %d", tag>>3)
			return
		}
		switch f.wire {
		case wireVarint:
			if f.value, n = varint(b[p:]); n == 0 {
				m.fail("field %d: no number of shortest form at offset %d", f.num, p)
				return
			}
			p += n
		case wire64:
			if len(b)-p < 8 {
				m.fail("field %d is cut", f.num)
				return
			}
			f.value = binary.LittleEndian.Uint64(b[p:])
			p += 8
		case wire32:
			if len(b)-p < 4 {
				m.fail("field %d is cut", f.num)
				return
			}
			f.value = uint64(binary.LittleEndian.Uint32(b[p:]))
			p += 4
		case wireBytes:
			size, n := varint(b[p:])
			if n == 0 || size > uint64(len(b)-p-n) {
				m.fail("field %d: a length beyond the end at offset %d", f.num, p)
				return
			}
			p += n
			f.bytes = b[p : p+int(size) : p+int(size)]
			p += int(size)
		default:
			m.fail("field %d has wire type %d", f.num, f.wire)
			return
		}
		if len(m.fields) == MaxFields {
			m.fail("more than %d fields", MaxFields)
			return
		}
		m.fields = append(m.fields, f)
	}
}

// varint reads a number of shortest form; n is 0 when there is none.
func varint(b []byte) (v uint64, n int) {
	v, n = binary.Uvarint(b)
	if n <= 0 || n > 1 && b[n-1] == 0 {
		return 0, 0
	}
	return v, n
}

func (m *Message) fail(format string, args ...any) {
	if m != nil && *m.err == nil {
		*m.err = fault.Wrap(fault.New(fault.Malformed, format, args...), "%s", m.name)
		m.fields = nil
	}
}

// Fail stops the reader with a malformed error, unless it has failed already.
func (m *Message) Fail(format string, args ...any) { m.fail(format, args...) }

// Err returns the first error of the message and of all that was read out of it with [Message.Sub].
func (m *Message) Err() error { return *m.err }

// Has reports whether the field occurs. Of a nil message, which is one that is absent, nothing occurs.
func (m *Message) Has(num uint32) bool {
	if m == nil {
		return false
	}
	m.asked = append(m.asked, num)
	return slices.ContainsFunc(m.fields, func(f field) bool { return f.num == num })
}

// one returns the only occurrence of a field of that wire type.
func (m *Message) one(num uint32, wire uint8) (out field, ok bool) {
	if m == nil {
		return field{}, false
	}
	m.asked = append(m.asked, num)
	for _, f := range m.fields {
		if f.num != num {
			continue
		}
		if ok || f.wire != wire {
			m.fail("field %d occurs twice, or has wire type %d instead of %d", num, f.wire, wire)
			return field{}, false
		}
		out, ok = f, true
	}
	return out, ok
}

// Bytes returns a byte string, nil when it is absent.
func (m *Message) Bytes(num uint32) []byte {
	f, ok := m.one(num, wireBytes)
	if ok && f.bytes == nil {
		return []byte{}
	}
	return f.bytes
}

// Text returns a string, "" when it is absent.
func (m *Message) Text(num uint32) string {
	f, _ := m.one(num, wireBytes)
	if !utf8.Valid(f.bytes) {
		m.fail("field %d is no UTF-8 text", num)
		return ""
	}
	return string(f.bytes)
}

// Uint returns an unsigned integer, 0 when it is absent.
func (m *Message) Uint(num uint32) uint64 { f, _ := m.one(num, wireVarint); return f.value }

// Int returns an int32 or int64 (not a zigzag one), 0 when it is absent.
func (m *Message) Int(num uint32) int64 { return int64(m.Uint(num)) }

// Bool returns a boolean, false when it is absent.
func (m *Message) Bool(num uint32) bool { return m.Uint(num) != 0 }

// Sub returns a nested message, nil when it is absent. It shares the sticky error of m.
func (m *Message) Sub(num uint32, name string) *Message {
	f, ok := m.one(num, wireBytes)
	if !ok {
		return nil
	}
	return m.nested(name, f.bytes)
}

func (m *Message) nested(name string, b []byte) *Message {
	s := &Message{name: m.name + "." + name, err: m.err}
	if *m.err == nil {
		s.parse(b)
	}
	return s
}

// All returns every occurrence of a byte string, in order.
func (m *Message) All(num uint32) (out [][]byte) {
	if m == nil {
		return nil
	}
	m.asked = append(m.asked, num)
	for _, f := range m.fields {
		if f.num != num {
			continue
		}
		if f.wire != wireBytes {
			m.fail("field %d has wire type %d instead of %d", num, f.wire, wireBytes)
			return nil
		}
		out = append(out, f.bytes)
	}
	return out
}

// Subs returns every occurrence of a nested message, in order.
func (m *Message) Subs(num uint32, name string) (out []*Message) {
	for _, b := range m.All(num) {
		out = append(out, m.nested(name, b))
	}
	return out
}

// OneOf returns which of the fields is set, 0 for none; two are an error.
func (m *Message) OneOf(nums ...uint32) (set uint32) {
	if m == nil {
		return 0
	}
	m.asked = append(m.asked, nums...)
	for _, f := range m.fields {
		if !slices.Contains(nums, f.num) {
			continue
		}
		if set != 0 && set != f.num {
			m.fail("fields %d and %d exclude each other", set, f.num)
			return 0
		}
		set = f.num
	}
	return set
}

// Unknown counts the fields of m that nobody has asked for.
func (m *Message) Unknown() (n int) {
	for _, f := range m.fields {
		if !slices.Contains(m.asked, f.num) {
			n++
		}
	}
	return n
}

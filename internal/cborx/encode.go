package cborx

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
)

func appendHead(b []byte, major byte, n uint64) []byte {
	m := major << 5
	switch {
	case n < 24:
		return append(b, m|byte(n))
	case n < 1<<8:
		return append(b, m|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, m|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, m|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, m|27), n)
}

// AppendUint appends the unsigned integer u.
func AppendUint(b []byte, u uint64) []byte { return appendHead(b, majUint, u) }

// AppendNeg appends the negative integer −1−mag.
func AppendNeg(b []byte, mag uint64) []byte { return appendHead(b, majNint, mag) }

// AppendInt appends the integer i.
func AppendInt(b []byte, i int64) []byte {
	if i < 0 {
		return appendHead(b, majNint, uint64(-1-i))
	}
	return appendHead(b, majUint, uint64(i))
}

// AppendBytes appends the byte string s.
func AppendBytes(b, s []byte) []byte { return append(appendHead(b, majBytes, uint64(len(s))), s...) }

// AppendText appends the text string s.
func AppendText(b []byte, s string) []byte {
	return append(appendHead(b, majText, uint64(len(s))), s...)
}

// AppendArray appends the head of an array of n entries.
func AppendArray(b []byte, n int) []byte { return appendHead(b, majArray, uint64(n)) }

// AppendMap appends the head of a map of n entries; the caller appends the entries in deterministic order.
func AppendMap(b []byte, n int) []byte { return appendHead(b, majMap, uint64(n)) }

// AppendTag appends the head of tag t.
func AppendTag(b []byte, t uint64) []byte { return appendHead(b, majTag, t) }

// AppendBool appends v.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0xf5)
	}
	return append(b, 0xf4)
}

// AppendNull appends null.
func AppendNull(b []byte) []byte { return append(b, 0xf6) }

// AppendFloat appends f in the shortest form that keeps its value (RFC 8949 section 4.2.1).
func AppendFloat(b []byte, f float64) []byte {
	f32 := float32(f)
	if float64(f32) != f {
		return binary.BigEndian.AppendUint64(append(b, 0xfb), math.Float64bits(f))
	}
	if h, ok := half(f32); ok {
		return binary.BigEndian.AppendUint16(append(b, 0xf9), h)
	}
	return binary.BigEndian.AppendUint32(append(b, 0xfa), math.Float32bits(f32))
}

// half gives the binary16 form of f when that loses nothing. f is finite.
func half(f float32) (uint16, bool) {
	bits := math.Float32bits(f)
	sign, exp, frac := uint16(bits>>16&0x8000), int(bits>>23&0xff)-127, bits&0x7fffff
	switch {
	case bits&0x7fffffff == 0:
		return sign, true
	case exp >= -14 && exp <= 15 && frac&0x1fff == 0:
		return sign | uint16(exp+15)<<10 | uint16(frac>>13), true
	case exp >= -24 && exp < -14: // subnormal in binary16
		full := frac | 0x800000
		shift := uint(-exp - 14 + 13)
		if full&(1<<shift-1) == 0 {
			return sign | uint16(full>>shift), true
		}
	}
	return 0, false
}

// floatOf decodes the argument of a float of 2, 4 or 8 bytes (info 25, 26, 27).
func floatOf(info byte, arg uint64) float64 {
	switch info {
	case 27:
		return math.Float64frombits(arg)
	case 26:
		return float64(math.Float32frombits(uint32(arg)))
	}
	h := uint16(arg)
	exp, frac := int(h>>10&0x1f), float64(h&0x3ff)
	var v float64
	switch exp {
	case 0:
		v = math.Ldexp(frac, -24)
	case 31:
		if v = math.Inf(1); frac != 0 {
			v = math.NaN()
		}
	default:
		v = math.Ldexp(1024+frac, exp-25)
	}
	if h&0x8000 != 0 {
		v = -v
	}
	return v
}

// Canonical returns the core deterministic encoding of the item b, which must have passed [Check].
func Canonical(b []byte) []byte { return appendCanonical(make([]byte, 0, len(b)), b) }

func appendCanonical(dst, b []byte) []byte {
	dst, _ = canonicalAt(dst, b, 0)
	return dst
}

func canonicalAt(dst, b []byte, pos int) ([]byte, int) {
	major, info, arg, next, err := head(b, pos)
	if err != nil {
		return dst, len(b)
	}
	switch major {
	case majUint, majNint:
		return appendHead(dst, major, arg), next
	case majBytes, majText:
		end := next + int(arg)
		return append(appendHead(dst, major, arg), b[next:end]...), end
	case majSimple:
		if info >= 25 {
			return AppendFloat(dst, floatOf(info, arg)), next
		}
		return append(dst, b[pos]), next
	case majTag:
		return canonicalAt(appendHead(dst, major, arg), b, next)
	case majArray:
		dst = appendHead(dst, major, arg)
		for ; arg > 0; arg-- {
			dst, next = canonicalAt(dst, b, next)
		}
		return dst, next
	}
	entries := make([]entry, 0, min(arg, 1024))
	for ; arg > 0; arg-- {
		var e entry
		e.key, next = canonicalAt(nil, b, next)
		e.value, next = canonicalAt(nil, b, next)
		entries = append(entries, e)
	}
	return appendEntries(dst, entries), next
}

type entry struct{ key, value []byte }

func appendEntries(dst []byte, es []entry) []byte {
	slices.SortFunc(es, func(a, b entry) int { return bytes.Compare(a.key, b.key) })
	dst = appendHead(dst, majMap, uint64(len(es)))
	for _, e := range es {
		dst = append(append(dst, e.key...), e.value...)
	}
	return dst
}

// MapEncoder collects the entries of a map and writes them in deterministic order, whatever the order of Put.
type MapEncoder struct{ entries []entry }

// Put adds an entry with an integer key; value is an encoded item.
func (m *MapEncoder) Put(key int64, value []byte) {
	m.entries = append(m.entries, entry{AppendInt(nil, key), value})
}

// PutText adds an entry with a text key.
func (m *MapEncoder) PutText(key string, value []byte) {
	m.entries = append(m.entries, entry{AppendText(nil, key), value})
}

// PutRaw adds an entry with an encoded key.
func (m *MapEncoder) PutRaw(key, value []byte) { m.entries = append(m.entries, entry{key, value}) }

// Len returns the number of entries so far.
func (m *MapEncoder) Len() int { return len(m.entries) }

// Append appends the map.
func (m *MapEncoder) Append(dst []byte) []byte { return appendEntries(dst, m.entries) }

// Package cborx is the one strict CBOR (RFC 8949) reader and writer of this module.
//
// [Check] walks an item once and refuses whatever could be read in two ways: duplicate keys (compared by value),
// indefinite lengths, invalid UTF-8, undefined and unassigned simple values, NaN and infinities, trailing bytes, and
// everything beyond its [Limits]. [Reader] then walks checked bytes without reflection and without copying. The append
// functions write the core deterministic encoding (RFC 8949 section 4.2.1).
//
// Every error has class malformed, unless a limit of this package is all that is wrong with the bytes: that is malformed
// too, because no producer of what we read needs more.
package cborx

import (
	"bytes"
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/assay-tee/assay/internal/fault"
)

// Limits bounds what one item may contain. The zero value is [DefaultLimits].
type Limits struct {
	Size  int // bytes of the whole item
	Depth int // nesting of arrays, maps and tags
	Items int // entries of one array or map
	Text  int // bytes of one text string
	Bytes int // bytes of one byte string
}

// DefaultLimits are the limits of specs corim.md section 18, with byte strings as long as a whole item may be, because
// payloads and tags travel in them.
var DefaultLimits = Limits{Size: 16 << 20, Depth: 16, Items: 65536, Text: 64 << 10, Bytes: 16 << 20}

func (l Limits) orDefault() Limits {
	d := DefaultLimits
	pick := func(v, def int) int {
		if v > 0 {
			return v
		}
		return def
	}
	return Limits{pick(l.Size, d.Size), pick(l.Depth, d.Depth), pick(l.Items, d.Items), pick(l.Text, d.Text), pick(l.Bytes, d.Bytes)}
}

// Major types (RFC 8949 section 3.1).
const (
	majUint byte = iota
	majNint
	majBytes
	majText
	majArray
	majMap
	majTag
	majSimple
)

// Check refuses b unless it is exactly one item that can be read in only one way and lies within lim.
func Check(b []byte, lim Limits) error {
	c := checker{buf: b, lim: lim.orDefault()}
	if len(b) > c.lim.Size {
		return fault.New(fault.Malformed, "CBOR item of %d bytes; at most %d are read", len(b), c.lim.Size)
	}
	end, err := c.item(0, 0)
	if err != nil {
		return err
	}
	if end != len(b) {
		return fault.New(fault.Malformed, "%d bytes follow the CBOR item", len(b)-end)
	}
	return nil
}

type checker struct {
	buf []byte
	lim Limits
}

func bad(pos int, format string, args ...any) error {
	return fault.Wrap(fault.New(fault.Malformed, format, args...), "CBOR at byte %d", pos)
}

// head reads the initial byte and argument at pos. It never reads beyond the buffer.
func head(buf []byte, pos int) (major, info byte, arg uint64, next int, err error) {
	if pos >= len(buf) {
		return 0, 0, 0, 0, bad(pos, "the item ends too early")
	}
	major, info = buf[pos]>>5, buf[pos]&0x1f
	rest := buf[pos+1:]
	switch {
	case info < 24:
		return major, info, uint64(info), pos + 1, nil
	case info == 24 && len(rest) >= 1:
		return major, info, uint64(rest[0]), pos + 2, nil
	case info == 25 && len(rest) >= 2:
		return major, info, uint64(binary.BigEndian.Uint16(rest)), pos + 3, nil
	case info == 26 && len(rest) >= 4:
		return major, info, uint64(binary.BigEndian.Uint32(rest)), pos + 5, nil
	case info == 27 && len(rest) >= 8:
		return major, info, binary.BigEndian.Uint64(rest), pos + 9, nil
	case info == 31:
		return 0, 0, 0, 0, bad(pos, "indefinite length or break code; only definite lengths are read")
	case info > 27:
		return 0, 0, 0, 0, bad(pos, "reserved additional information %d", info)
	}
	return 0, 0, 0, 0, bad(pos, "the item ends too early")
}

func (c *checker) item(pos, depth int) (int, error) {
	major, info, arg, next, err := head(c.buf, pos)
	if err != nil {
		return 0, err
	}
	left := uint64(len(c.buf) - next)
	switch major {
	case majUint, majNint:
		return next, nil
	case majBytes, majText:
		if arg > left {
			return 0, bad(pos, "a string of %d bytes, %d are left", arg, left)
		}
		limit := c.lim.Bytes
		if major == majText {
			limit = c.lim.Text
		}
		if arg > uint64(limit) {
			return 0, bad(pos, "a string of %d bytes; at most %d are read", arg, limit)
		}
		end := next + int(arg)
		if major == majText && !utf8.Valid(c.buf[next:end]) {
			return 0, bad(pos, "text is not valid UTF-8")
		}
		return end, nil
	case majSimple:
		return next, checkSimple(pos, info, arg)
	}
	if depth++; depth > c.lim.Depth {
		return 0, bad(pos, "nested deeper than %d", c.lim.Depth)
	}
	switch major {
	case majTag:
		return c.item(next, depth)
	case majArray:
		// Every entry takes at least one byte, so that a count beyond what is left can be refused at once.
		if arg > left || arg > uint64(c.lim.Items) {
			return 0, bad(pos, "an array of %d entries; %d bytes are left and at most %d entries are read", arg, left, c.lim.Items)
		}
		for ; arg > 0; arg-- {
			if next, err = c.item(next, depth); err != nil {
				return 0, err
			}
		}
		return next, nil
	}
	if arg > left/2 || arg > uint64(c.lim.Items) {
		return 0, bad(pos, "a map of %d entries; %d bytes are left and at most %d entries are read", arg, left, c.lim.Items)
	}
	return c.mapEntries(next, int(arg), depth)
}

func checkSimple(pos int, info byte, arg uint64) error {
	switch {
	case info >= 20 && info <= 22:
		return nil
	case info >= 25 && info <= 27:
		if f := floatOf(info, arg); math.IsNaN(f) || math.IsInf(f, 0) {
			return bad(pos, "NaN and infinities are not read")
		}
		return nil
	}
	return bad(pos, "simple value; only false, true and null are read")
}

// mapEntries checks n entries that begin at pos, and that no key occurs twice by value: 01 and 18 01 are one key.
func (c *checker) mapEntries(pos, n, depth int) (int, error) {
	var small [16][2]int // begin and end of the keys seen so far
	var seen map[string]struct{}
	if n > len(small) {
		seen = make(map[string]struct{}, min(n, 1024))
	}
	for i := range n {
		kEnd, err := c.item(pos, depth)
		if err != nil {
			return 0, err
		}
		if seen != nil {
			k := string(appendCanonical(nil, c.buf[pos:kEnd]))
			if _, dup := seen[k]; dup {
				return 0, bad(pos, "duplicate map key")
			}
			seen[k] = struct{}{}
		} else {
			for _, s := range small[:i] {
				if sameKey(c.buf[s[0]:s[1]], c.buf[pos:kEnd]) {
					return 0, bad(pos, "duplicate map key")
				}
			}
			small[i] = [2]int{pos, kEnd}
		}
		if pos, err = c.item(kEnd, depth); err != nil {
			return 0, err
		}
	}
	return pos, nil
}

// sameKey compares two checked items by value.
func sameKey(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if a[0]>>5 != b[0]>>5 {
		return false
	}
	ma, ia, va, na, _ := head(a, 0)
	_, ib, vb, nb, _ := head(b, 0)
	switch ma {
	case majUint, majNint:
		return va == vb
	case majBytes, majText:
		return va == vb && bytes.Equal(a[na:], b[nb:])
	case majSimple:
		if ia < 24 || ib < 24 {
			return ia == ib
		}
		return floatOf(ia, va) == floatOf(ib, vb)
	}
	return bytes.Equal(appendCanonical(nil, a), appendCanonical(nil, b))
}

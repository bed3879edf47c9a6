package cborx

import (
	"github.com/assay-tee/assay/internal/fault"
)

// Kind is what the next item is.
type Kind uint8

// The kinds of items.
const (
	End Kind = iota // nothing is left, or the reader has failed
	Uint
	Nint
	Bytes
	Text
	Array
	Map
	Tag
	Bool
	Null
	Float
)

func (k Kind) String() string {
	return [...]string{"the end", "an unsigned integer", "a negative integer", "bytes", "text", "an array", "a map", "a tag",
		"a boolean", "null", "a float"}[min(k, Float)]
}

// Reader walks an item that has passed [Check]. It is sticky: after the first error every method returns zero values
// and [Reader.Err] keeps the error, so that decoders read straight down and look once. Strings alias the input.
type Reader struct {
	buf []byte
	pos int
	err error
}

// NewReader checks b and returns a Reader at its beginning; if the check fails the Reader has failed already.
func NewReader(b []byte, lim Limits) *Reader { return &Reader{buf: b, err: Check(b, lim)} }

// Checked returns a Reader over bytes that were part of an item which has passed [Check].
func Checked(b []byte) *Reader { return &Reader{buf: b} }

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// OK reports whether no error has occurred.
func (r *Reader) OK() bool { return r.err == nil }

// Pos returns the offset of the next item in the input, in bytes.
func (r *Reader) Pos() int { return r.pos }

// Left returns how many bytes follow.
func (r *Reader) Left() int { return len(r.buf) - r.pos }

// Fail stops the reader with a malformed error at the present offset, unless it has failed already.
func (r *Reader) Fail(format string, args ...any) { r.FailAs(fault.Malformed, format, args...) }

// FailAs is Fail with another class.
func (r *Reader) FailAs(c fault.Class, format string, args ...any) {
	if r.err == nil {
		r.err = fault.Wrap(fault.New(c, format, args...), "byte %d", r.pos)
	}
}

// FailErr stops the reader with err, which has a class already. FailErr(nil) does nothing.
func (r *Reader) FailErr(err error) {
	if r.err == nil && err != nil {
		r.err = err
	}
}

// Within adds the name of what was being read to an error that has occurred.
func (r *Reader) Within(format string, args ...any) {
	if r.err != nil {
		r.err = fault.Wrap(r.err, format, args...)
	}
}

// Kind looks at the next item.
func (r *Reader) Kind() Kind {
	if r.err != nil || r.pos >= len(r.buf) {
		return End
	}
	major, info := r.buf[r.pos]>>5, r.buf[r.pos]&0x1f
	switch {
	case major < majSimple:
		return Uint + Kind(major)
	case info == 20 || info == 21:
		return Bool
	case info == 22:
		return Null
	}
	return Float
}

// take reads the head of an item of the wanted kind.
func (r *Reader) take(want Kind) (arg uint64, info byte, ok bool) {
	if r.err != nil {
		return 0, 0, false
	}
	if got := r.Kind(); got != want {
		r.Fail("%v expected, found %v", want, got)
		return 0, 0, false
	}
	_, info, arg, next, err := head(r.buf, r.pos)
	if err != nil {
		r.err = err
		return 0, 0, false
	}
	r.pos = next
	return arg, info, true
}

// Uint reads an unsigned integer.
func (r *Reader) Uint() uint64 { v, _, _ := r.take(Uint); return v }

// Int reads an integer of CBOR's full range as sign and magnitude: mag, or −1−mag when neg.
func (r *Reader) Int() (neg bool, mag uint64) {
	if r.Kind() == Nint {
		v, _, _ := r.take(Nint)
		return true, v
	}
	return false, r.Uint()
}

// Int64 reads an integer that fits 64 bits with a sign.
func (r *Reader) Int64() int64 {
	neg, mag := r.Int()
	if mag > 1<<63-1 {
		r.Fail("the integer is out of range")
		return 0
	}
	if neg {
		return -1 - int64(mag)
	}
	return int64(mag)
}

// Bytes reads a byte string; the result aliases the input and is never nil.
func (r *Reader) Bytes() []byte { return r.str(Bytes) }

// Text reads a text string.
func (r *Reader) Text() string { return string(r.str(Text)) }

func (r *Reader) str(k Kind) []byte {
	n, _, ok := r.take(k)
	if !ok {
		return []byte{}
	}
	if n > uint64(r.Left()) {
		r.Fail("the item ends too early")
		return []byte{}
	}
	b := r.buf[r.pos : r.pos+int(n) : r.pos+int(n)]
	r.pos += int(n)
	return b
}

// Array reads the head of an array and returns the number of its entries.
func (r *Reader) Array() int { n, _, _ := r.take(Array); return r.count(n) }

// Map reads the head of a map and returns the number of its entries.
func (r *Reader) Map() int { n, _, _ := r.take(Map); return r.count(n) }

func (r *Reader) count(n uint64) int {
	if n > uint64(r.Left()) {
		r.Fail("the item ends too early")
		return 0
	}
	return int(n)
}

// Tuple reads the head of an array that must have between lo and hi entries.
func (r *Reader) Tuple(lo, hi int) int {
	n := r.Array()
	if r.err == nil && (n < lo || n > hi) {
		r.Fail("an array of %d to %d entries expected, it has %d", lo, hi, n)
		return 0
	}
	return n
}

// Tag reads a tag and leaves the reader at its content.
func (r *Reader) Tag() uint64 { t, _, _ := r.take(Tag); return t }

// PeekTag returns the tag of the next item without reading it.
func (r *Reader) PeekTag() (uint64, bool) {
	if r.Kind() != Tag {
		return 0, false
	}
	_, _, t, _, err := head(r.buf, r.pos)
	return t, err == nil
}

// Expect reads a tag that must be t.
func (r *Reader) Expect(t uint64) {
	at := r.pos
	if got := r.Tag(); r.err == nil && got != t {
		r.pos = at
		r.Fail("tag %d expected, found tag %d", t, got)
	}
}

// Bool reads false or true.
func (r *Reader) Bool() bool { v, _, _ := r.take(Bool); return v == 21 }

// Null reads null.
func (r *Reader) Null() { r.take(Null) }

// Float reads a finite float of any width.
func (r *Reader) Float() float64 {
	arg, info, ok := r.take(Float)
	if !ok {
		return 0
	}
	return floatOf(info, arg)
}

// Raw reads the next item whole and returns its bytes as carried.
func (r *Reader) Raw() []byte {
	if r.err != nil {
		return nil
	}
	end, err := skip(r.buf, r.pos)
	if err != nil {
		r.err = err
		return nil
	}
	b := r.buf[r.pos:end:end]
	r.pos = end
	return b
}

// Canonical reads the next item whole and returns its core deterministic encoding, a copy.
func (r *Reader) Canonical() []byte {
	raw := r.Raw()
	if raw == nil {
		return nil
	}
	return Canonical(raw)
}

// Skip reads over the next item.
func (r *Reader) Skip() { r.Raw() }

// Done fails the reader unless everything has been read.
func (r *Reader) Done() error {
	if r.err == nil && r.pos != len(r.buf) {
		r.Fail("%d bytes are left", len(r.buf)-r.pos)
	}
	return r.err
}

// skip finds the end of the checked item at pos without recursion.
func skip(b []byte, pos int) (int, error) {
	for todo := uint64(1); todo > 0; todo-- {
		major, _, arg, next, err := head(b, pos)
		if err != nil {
			return 0, err
		}
		pos = next
		left := uint64(len(b) - pos)
		switch major {
		case majBytes, majText:
			if arg > left {
				return 0, bad(pos, "the item ends too early")
			}
			pos += int(arg)
		case majTag:
			todo++
		case majArray, majMap:
			if arg > left {
				return 0, bad(pos, "the item ends too early")
			}
			if todo += arg; major == majMap {
				todo += arg
			}
		}
	}
	return pos, nil
}

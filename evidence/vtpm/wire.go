package vtpm

import (
	"encoding/binary"

	"github.com/assay-tee/assay/internal/fault"
)

// reader reads the big-endian structures of TPM 2.0 Library Part 2 off a byte string. The first failure sticks, and
// everything read after it is zero; byte strings are slices of the input, so that nothing is allocated.
type reader struct {
	b    []byte
	what string // structure, for messages
	err  error
}

func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > len(r.b) {
		r.err = fault.New(fault.Malformed, "%s ends %d bytes too early", r.what, n-len(r.b))
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// sized reads a TPM2B: u16 length, bytes.
func (r *reader) sized() []byte { return r.take(int(r.u16())) }

func (r *reader) fail(c fault.Class, format string, args ...any) {
	if r.err == nil {
		r.err = fault.New(c, r.what+": "+format, args...)
	}
}

// end refuses what follows the structure.
func (r *reader) end() error {
	if r.err == nil && len(r.b) != 0 {
		r.err = fault.New(fault.Malformed, "%d bytes follow %s", len(r.b), r.what)
	}
	return r.err
}

func appendSized(b, v []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(v))), v...)
}

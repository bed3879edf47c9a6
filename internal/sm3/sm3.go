// Package sm3 is the hash function of GB/T 32905-2016 (draft-sca-cfrg-sm3), which Hygon platforms and some KBS
// clients use.
package sm3

import (
	"encoding/binary"
	"math/bits"
)

// Size is the length of a digest in bytes.
const Size = 32

const block = 64

// Sum returns the SM3 digest of data.
func Sum(data []byte) [Size]byte {
	v := [8]uint32{0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e}
	n := len(data) / block * block
	for i := 0; i < n; i += block {
		compress(&v, data[i:i+block])
	}
	tail := append(make([]byte, 0, 2*block), data[n:]...)
	tail = append(tail, 0x80)
	for len(tail)%block != block-8 {
		tail = append(tail, 0)
	}
	tail = binary.BigEndian.AppendUint64(tail, uint64(len(data))*8)
	for i := 0; i < len(tail); i += block {
		compress(&v, tail[i:i+block])
	}
	var out [Size]byte
	for i, x := range v {
		binary.BigEndian.PutUint32(out[4*i:], x)
	}
	return out
}

func p0(x uint32) uint32 { return x ^ bits.RotateLeft32(x, 9) ^ bits.RotateLeft32(x, 17) }
func p1(x uint32) uint32 { return x ^ bits.RotateLeft32(x, 15) ^ bits.RotateLeft32(x, 23) }

// compress is section 5.3 of the standard.
func compress(v *[8]uint32, b []byte) {
	var w [68]uint32
	for i := range 16 {
		w[i] = binary.BigEndian.Uint32(b[4*i:])
	}
	for i := 16; i < 68; i++ {
		w[i] = p1(w[i-16]^w[i-9]^bits.RotateLeft32(w[i-3], 15)) ^ bits.RotateLeft32(w[i-13], 7) ^ w[i-6]
	}
	a, bb, c, d, e, f, g, h := v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]
	for i := range 64 {
		t, ff, gg := uint32(0x79cc4519), a^bb^c, e^f^g
		if i >= 16 {
			t, ff, gg = 0x7a879d8a, a&bb|a&c|bb&c, e&f|^e&g
		}
		ss1 := bits.RotateLeft32(bits.RotateLeft32(a, 12)+e+bits.RotateLeft32(t, i%32), 7)
		ss2 := ss1 ^ bits.RotateLeft32(a, 12)
		tt1 := ff + d + ss2 + (w[i] ^ w[i+4])
		tt2 := gg + h + ss1 + w[i]
		d, c, bb, a = c, bits.RotateLeft32(bb, 9), a, tt1
		h, g, f, e = g, bits.RotateLeft32(f, 19), e, p0(tt2)
	}
	for i, x := range [8]uint32{a, bb, c, d, e, f, g, h} {
		v[i] ^= x
	}
}

package secex

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha512"
	"encoding/binary"

	"github.com/assay-tee/assay/internal/fault"
)

// Component is one part of an SE image (kernel, command line, initrd) as it is loaded.
type Component struct {
	Address uint64 // of its first page
	Content []byte // in the clear; padded with zeros to whole pages, an empty component is one page of zeros
	Tweak   [16]byte
}

// ComponentDigests recomputes PLD, ALD and TLD of an image from its components, given the 64-byte XTS key that the
// encrypted part of its header holds. The key and the tweaks are random per build, so that the digests cannot be had
// from kernel and initrd alone: only who can open the header can check them.
func ComponentDigests(xtsKey []byte, components []Component) (pld, ald, tld [digestSize]byte, pages uint64, err error) {
	x, err := newXTS(xtsKey)
	if err != nil {
		return pld, ald, tld, 0, err
	}
	p, a, t := sha512.New(), sha512.New(), sha512.New()
	page := make([]byte, pageSize)
	for _, c := range components {
		tweak := c.Tweak
		n := max((len(c.Content)+pageSize-1)/pageSize, 1)
		for i := range n {
			clear(page)
			copy(page, c.Content[min(i*pageSize, len(c.Content)):])
			x.encrypt(page, tweak)
			p.Write(page)
			a.Write(binary.BigEndian.AppendUint64(nil, c.Address+uint64(i)*pageSize))
			t.Write(tweak[:])
			raiseTweak(&tweak)
			pages++
		}
	}
	return [digestSize]byte(p.Sum(nil)), [digestSize]byte(a.Sum(nil)), [digestSize]byte(t.Sum(nil)), pages, nil
}

// raiseTweak adds the page size to the tweak, a 128-bit big-endian number.
func raiseTweak(t *[16]byte) {
	hi, lo := binary.BigEndian.Uint64(t[:8]), binary.BigEndian.Uint64(t[8:])
	if lo+pageSize < lo {
		hi++
	}
	binary.BigEndian.PutUint64(t[:8], hi)
	binary.BigEndian.PutUint64(t[8:], lo+pageSize)
}

// xts is AES-256-XTS (IEEE 1619) with a data unit number of 16 bytes; golang.org/x/crypto/xts takes one of 8.
type xts struct{ data, tweak cipher.Block }

func newXTS(key []byte) (*xts, error) {
	if len(key) != 64 {
		return nil, fault.New(fault.Malformed, "an XTS key has 64 bytes, not %d", len(key))
	}
	d, err := aes.NewCipher(key[:32])
	if err != nil {
		return nil, fault.New(fault.Internal, "AES: %w", err)
	}
	t, err := aes.NewCipher(key[32:])
	if err != nil {
		return nil, fault.New(fault.Internal, "AES: %w", err)
	}
	return &xts{d, t}, nil
}

// encrypt encrypts b, whole blocks, in place.
func (x *xts) encrypt(b []byte, number [16]byte) {
	var t [16]byte
	x.tweak.Encrypt(t[:], number[:])
	for ; len(b) > 0; b = b[16:] {
		for i := range t {
			b[i] ^= t[i]
		}
		x.data.Encrypt(b[:16], b[:16])
		for i := range t {
			b[i] ^= t[i]
		}
		// Multiply by x in GF(2^128), little-endian, polynomial 0x87.
		carry := byte(0)
		for i := range t {
			next := t[i] >> 7
			t[i] = t[i]<<1 | carry
			carry = next
		}
		t[0] ^= carry * 0x87
	}
}

package uefi_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure/uefi"
)

func disk(block int, entries ...byte) []byte {
	d := make([]byte, 40*block)
	h := d[block:]
	copy(h, "EFI PART")
	binary.LittleEndian.PutUint64(h[72:], 2)
	binary.LittleEndian.PutUint32(h[80:], uint32(len(entries)))
	binary.LittleEndian.PutUint32(h[84:], 128)
	for i, e := range entries {
		d[2*block+128*i] = e
	}
	return d
}

func TestGPTEventHasTheEntriesInUse(t *testing.T) {
	for _, block := range []int{512, 4096} {
		d := disk(block, 1, 0, 3, 0)
		got, err := uefi.GPTEvent(d)
		if err != nil {
			t.Fatal(err)
		}
		want := append(bytes.Clone(d[block:block+92]), 2, 0, 0, 0, 0, 0, 0, 0)
		want = append(append(want, d[2*block:2*block+128]...), d[2*block+256:2*block+384]...)
		if !bytes.Equal(got, want) {
			t.Errorf("block %d: event of %d bytes, want %d", block, len(got), len(want))
		}
	}
	for name, edit := range map[string]func(h []byte){
		"no signature":            func(h []byte) { h[0] = 0 },
		"2^32-1 entries":          func(h []byte) { binary.LittleEndian.PutUint32(h[80:], 1<<32-1) },
		"entries of 16 bytes":     func(h []byte) { binary.LittleEndian.PutUint32(h[84:], 16) },
		"entries of 2^31 bytes":   func(h []byte) { binary.LittleEndian.PutUint32(h[84:], 1<<31) },
		"entries beyond the disk": func(h []byte) { binary.LittleEndian.PutUint64(h[72:], 39) },
		"entries at block 2^64-1": func(h []byte) { binary.LittleEndian.PutUint64(h[72:], 1<<64-1) },
		"entries at block 2^55":   func(h []byte) { binary.LittleEndian.PutUint64(h[72:], 1<<55) },
	} {
		d := disk(512, 1, 2, 3, 4, 5, 6, 7, 8)
		edit(d[512:])
		if _, err := uefi.GPTEvent(d); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzGPT(f *testing.F) {
	f.Add(disk(512, 1, 2))
	f.Fuzz(func(t *testing.T, d []byte) {
		if e, err := uefi.GPTEvent(d); err == nil && len(e) > 100+len(d) || err != nil && !fault.Is(err, fault.Malformed) {
			t.Fatalf("%d bytes, %v", len(e), err)
		}
	})
}

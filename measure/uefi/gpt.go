package uefi

import (
	"encoding/binary"

	"github.com/assay-tee/assay/internal/fault"
)

const (
	gptHeader     = 92
	maxGPTEntries = 1024
	maxGPTEntry   = 4096
)

// GPTEvent builds the data of an EV_EFI_GPT_EVENT from the start of a disk: the header, the number of entries in use, and
// those entries. Blocks of 512 and of 4096 bytes are tried.
func GPTEvent(disk []byte) ([]byte, error) {
	for _, block := range []int{512, 4096} {
		if len(disk) >= block+gptHeader && string(disk[block:block+8]) == "EFI PART" {
			return gptEvent(disk, block)
		}
	}
	return nil, fault.New(fault.Malformed, "no GUID partition table: there is no \"EFI PART\" in the second block")
}

func gptEvent(disk []byte, block int) ([]byte, error) {
	le := binary.LittleEndian
	h := disk[block : block+gptHeader]
	lba, count, size := le.Uint64(h[72:]), le.Uint32(h[80:]), le.Uint32(h[84:])
	if size < 128 || size > maxGPTEntry || count > maxGPTEntries {
		return nil, fault.New(fault.Malformed, "a partition table of %d entries of %d bytes; at most %d of 128 to %d are read", count, size, maxGPTEntries, maxGPTEntry)
	}
	if lba > uint64(len(disk)) || lba*uint64(block)+uint64(count)*uint64(size) > uint64(len(disk)) {
		return nil, fault.New(fault.Malformed, "the partition entries at block %d lie beyond the %d bytes of disk that were given", lba, len(disk))
	}
	start := int(lba) * block
	var n uint64
	var entries []byte
	for i := range int(count) {
		e := disk[start+i*int(size) : start+(i+1)*int(size)]
		if [16]byte(e[:16]) != [16]byte{} {
			n++
			entries = append(entries, e...)
		}
	}
	return append(le.AppendUint64(append([]byte(nil), h...), n), entries...), nil
}

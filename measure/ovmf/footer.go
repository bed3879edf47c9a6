package ovmf

import (
	"encoding/binary"
	"slices"

	"github.com/assay-tee/assay/internal/fault"
)

const (
	entryHeader = 18 // u16 size, GUID
	// footerEnd is the distance of the footer entry's end from the end of the file: the reset vector lies behind it.
	footerEnd = 32
	// MaxImage is the largest firmware image that is read, in bytes.
	MaxImage = 64 << 20
	pageSize = 4096
	fourGiB  = 1 << 32
)

// Entry is one entry of the footer table.
type Entry struct {
	GUID GUID
	Data []byte // aliases the image
}

// Image is a firmware image. Its byte slice is not copied and must not be changed while the Image is in use.
type Image struct {
	Data []byte
	// Entries of the footer table, from the one nearest the end of the file backwards. Empty for plain firmware.
	Entries []Entry
	// HasFooter is false for firmware without a footer table: only SEV without kernel hashes can be predicted for it.
	HasFooter bool
}

// Parse reads the footer table of data. Firmware without one is no error; a table that contradicts itself or the file is
// [fault.Malformed].
func Parse(data []byte) (*Image, error) {
	switch {
	case len(data) == 0:
		return nil, fault.New(fault.Malformed, "the firmware file is empty")
	case len(data) > MaxImage:
		return nil, fault.New(fault.Malformed, "firmware of %d bytes; at most %d MiB are read", len(data), MaxImage>>20)
	}
	img := &Image{Data: data}
	if len(data) < footerEnd+entryHeader {
		return img, nil
	}
	end := len(data) - footerEnd
	size, guid := entryTail(data, end)
	if guid != guidFooter {
		return img, nil
	}
	img.HasFooter = true
	// "Total size counts all entries and this one" (specs measure.md section 3).
	if size < entryHeader || size > end {
		return nil, fault.New(fault.Malformed, "footer table claims %d bytes, the file has room for %d to %d", size, entryHeader, end)
	}
	start := end - size
	for pos := end - entryHeader; pos-start >= entryHeader; {
		n, g := entryTail(data, pos)
		if n < entryHeader || n > pos-start {
			return nil, fault.New(fault.Malformed, "footer table entry %v claims %d bytes, %d to %d are possible", g, n, entryHeader, pos-start)
		}
		if slices.ContainsFunc(img.Entries, func(e Entry) bool { return e.GUID == g }) {
			return nil, fault.New(fault.Malformed, "footer table names %v twice", g)
		}
		img.Entries = append(img.Entries, Entry{GUID: g, Data: data[pos-n : pos-entryHeader]})
		pos -= n
	}
	return img, nil
}

func entryTail(data []byte, end int) (size int, g GUID) {
	return int(binary.LittleEndian.Uint16(data[end-entryHeader:])), GUID(data[end-16 : end])
}

// Base is the guest physical address of the first byte: firmware ends at 4 GiB.
func (img *Image) Base() uint64 { return fourGiB - uint64(len(img.Data)) }

// WholePages says whether the image is a whole number of 4 KiB pages, as SNP and TDX need it; else [fault.Malformed].
func (img *Image) WholePages() error {
	if len(img.Data)%pageSize != 0 {
		return fault.New(fault.Malformed, "the firmware file has %d bytes, which is no multiple of %d: it is cut short, or not firmware", len(img.Data), pageSize)
	}
	return nil
}

func (img *Image) entry(g GUID) ([]byte, bool) {
	for _, e := range img.Entries {
		if e.GUID == g {
			return e.Data, true
		}
	}
	return nil, false
}

func (img *Image) u32s(g GUID, what string, n int) ([2]uint32, bool, error) {
	var v [2]uint32
	d, ok := img.entry(g)
	if !ok {
		return v, false, nil
	}
	if len(d) < 4*n {
		return v, false, fault.New(fault.Malformed, "footer table entry of the %s has %d bytes of data, %d are needed", what, len(d), 4*n)
	}
	for i := range n {
		v[i] = binary.LittleEndian.Uint32(d[4*i:])
	}
	return v, true, nil
}

// ResetEIP is the address at which further processors start (SEV-ES reset block).
func (img *Image) ResetEIP() (addr uint32, ok bool, err error) {
	v, ok, err := img.u32s(guidSEVESReset, "SEV-ES reset block", 1)
	return v[0], ok, err
}

// HashesTable is the guest physical address and size of the kernel hashes table. ok is false when the firmware has no such
// table, or declares it with base 0, which means the same.
func (img *Image) HashesTable() (base, size uint32, ok bool, err error) {
	v, ok, err := img.u32s(guidHashesTable, "kernel hashes table", 2)
	return v[0], v[1], ok && v[0] != 0, err
}

// SVSMInfo is the offset of the entry point of an SVSM image from its start.
func (img *Image) SVSMInfo() (offset uint32, ok bool, err error) {
	v, ok, err := img.u32s(guidSVSMInfo, "SVSM info", 1)
	return v[0], ok, err
}

// fromEnd resolves an offset that counts from the end of the file to a position of at least need bytes before the end.
func (img *Image) fromEnd(offset uint32, need int, what string) (int, error) {
	if uint64(offset) > uint64(len(img.Data)) || int64(offset) < int64(need) {
		return 0, fault.New(fault.Malformed, "%s lies %d bytes before the end of a file of %d bytes, and needs %d", what, offset, len(img.Data), need)
	}
	return len(img.Data) - int(offset), nil
}

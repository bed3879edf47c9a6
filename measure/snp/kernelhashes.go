package snp

import (
	"crypto/sha256"
	"encoding/binary"
	"io"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure/ovmf"
)

// KernelHashes are the digests that QEMU's kernel-hashes=on puts into guest memory. The kernel is the whole file, unpatched
// (specs measure.md section 9).
type KernelHashes struct {
	Kernel, Initrd, CommandLine [sha256.Size]byte
}

// HashKernel reads kernel and initrd to their ends. A nil initrd is the same as an empty one. The command line is hashed as
// given with one zero byte behind it; a final newline is part of it.
func HashKernel(kernel, initrd io.Reader, commandLine string) (*KernelHashes, error) {
	h := &KernelHashes{CommandLine: sha256.Sum256(append([]byte(commandLine), 0))}
	for _, f := range []struct {
		r   io.Reader
		sum *[sha256.Size]byte
	}{{kernel, &h.Kernel}, {initrd, &h.Initrd}} {
		d := sha256.New()
		if f.r != nil {
			if _, err := io.Copy(d, f.r); err != nil {
				return nil, err
			}
		}
		d.Sum(f.sum[:0])
	}
	return h, nil
}

// TableSize is the length of the kernel hashes table in bytes, padded to a multiple of 16.
const TableSize = 176

// Table builds the table as it lies in memory (QEMU target/i386/sev.c).
func (h *KernelHashes) Table() []byte {
	const entry = 16 + 2 + sha256.Size
	t := make([]byte, 0, TableSize)
	add := func(guid string, size uint16, content []byte) {
		g, err := ovmf.ParseGUID(guid)
		if err != nil {
			panic("unreachable: constant GUIDs are well formed: " + err.Error())
		}
		t = append(binary.LittleEndian.AppendUint16(append(t, g[:]...), size), content...)
	}
	add("9438d606-4f22-4cc9-b479-a793d411fd21", 18+3*entry, nil)
	add("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", entry, h.CommandLine[:])
	add("44baf731-3a2f-4bd7-9af1-41e29169781d", entry, h.Initrd[:])
	add("4de79437-abd2-427f-b835-d5b172d2045b", entry, h.Kernel[:])
	return t[:TableSize]
}

// page is the measured page with the table at the offset that the firmware names.
func (h *KernelHashes) page(base uint32) ([]byte, error) {
	off := base & (PageSize - 1)
	if off+TableSize > PageSize {
		return nil, fault.New(fault.Malformed, "the kernel hashes table at 0x%x crosses the end of its page", base)
	}
	p := make([]byte, PageSize)
	copy(p[off:], h.Table())
	return p, nil
}

// insteadOfHashes tells what covers a kernel when the firmware has no table for its hashes.
const insteadOfHashes = "Without it nothing in the launch measurement covers the kernel: use the AmdSev build of OVMF; or let another layer carry it: " +
	"Oak's stage0, whose DICE layers name kernel, initrd and command line ('assay measure stage0'); a unified kernel image measured into a vTPM " +
	"('assay measure pcr'); or dm-verity rooted in a measured initrd"

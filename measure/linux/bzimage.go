// Package linux reads the images that a machine boots: bzImage kernels, PE images with their Authenticode digest, and
// unified kernel images (specs measure.md sections 15 and 16, oak.md section 9).
package linux

import (
	"encoding/binary"

	"github.com/assay-tee/assay/internal/fault"
)

// Offsets of the setup header (Linux Documentation/arch/x86/boot.rst).
const (
	offSetupSects    = 0x1f1
	offMagic         = 0x202 // "HdrS"
	offProtocol      = 0x206
	offTypeOfLoader  = 0x210
	offLoadFlags     = 0x211
	offRamdiskImage  = 0x218
	offRamdiskSize   = 0x21c
	offHeapEnd       = 0x224
	offCmdLinePtr    = 0x228
	offInitrdMax     = 0x22c
	offXLoadFlags    = 0x236
	minKernel        = 4096
	sector           = 512
	loadedHigh       = 1 << 0
	canUseHeap       = 1 << 7
	canBeLoadedAbove = 1 << 6 // XLF… bit that QEMU tests before it uses memory up to 4 GiB
)

// BzImage is a kernel split the way that a loader does it. Both parts alias the file.
type BzImage struct {
	Setup []byte // boot sector and setup sectors
	Image []byte // the rest: what stage0 measures as kernel
}

// ParseBzImage splits a kernel. A file without the setup header's magic, or shorter than it says, is [fault.Malformed].
func ParseBzImage(file []byte) (*BzImage, error) {
	if len(file) < offXLoadFlags+2 || string(file[offMagic:offMagic+4]) != "HdrS" {
		return nil, fault.New(fault.Malformed, "no bzImage: there is no \"HdrS\" at 0x%x", offMagic)
	}
	n := int(file[offSetupSects])
	if n == 0 {
		n = 4 // boot.rst: "For backwards compatibility, if the setup_sects field contains 0, the real value is 4"
	}
	setup := sector * (n + 1)
	if len(file) <= setup {
		return nil, fault.New(fault.Malformed, "no bzImage: %d bytes of setup in a file of %d", setup, len(file))
	}
	return &BzImage{Setup: file[:setup:setup], Image: file[setup:]}, nil
}

// SetupAsMeasured is the setup data as stage0 measures it: without the initrd's place and, unless the launcher is known to
// leave it alone, with the fields that a launcher like QEMU writes. Type of loader and so on are written by the launcher
// before the guest sees the header; the initrd fields are blanked by stage0 (oak.md section 9).
func (k *BzImage) SetupAsMeasured(patchedByVMM bool) []byte {
	s := append([]byte(nil), k.Setup...)
	if patchedByVMM {
		s[offTypeOfLoader] = 0xb0
		s[offLoadFlags] |= canUseHeap
		binary.LittleEndian.PutUint16(s[offHeapEnd:], 0xfe00)
		binary.LittleEndian.PutUint32(s[offCmdLinePtr:], 0x20000)
	}
	clear(s[offRamdiskImage : offRamdiskSize+4])
	return s
}

// Patch is what QEMU before 10.1 is told when it loads a kernel with -kernel.
type Patch struct {
	InitrdSize uint64 // bytes; 0: no initrd
	MemorySize uint64 // bytes of guest memory
}

// PatchQEMU gives the kernel file as QEMU before 10.1 changes it in memory before the guest hashes it (hw/i386/x86.c; specs
// measure.md section 16). QEMU from 10.1 loads the file unchanged. The initrd's address depends on the memory size below
// 2.75 GiB.
func PatchQEMU(file []byte, p Patch) ([]byte, error) {
	if len(file) < minKernel {
		return nil, fault.New(fault.Malformed, "a kernel of %d bytes; QEMU refuses files below %d", len(file), minKernel)
	}
	out := append([]byte(nil), file...)
	le := binary.LittleEndian
	protocol := uint16(0)
	if string(out[offMagic:offMagic+4]) == "HdrS" {
		protocol = le.Uint16(out[offProtocol:])
	}
	if protocol < 0x200 {
		return nil, fault.New(fault.Malformed, "no kernel with a boot protocol: QEMU cannot load it directly")
	}
	realMode, cmdline := uint32(0x10000), uint32(0x20000)
	if out[offLoadFlags]&loadedHigh == 0 {
		realMode, cmdline = 0x90000, 0x9a000
	}
	out[offTypeOfLoader] = 0xb0
	if protocol >= 0x201 {
		out[offLoadFlags] |= canUseHeap
		le.PutUint32(out[offHeapEnd:], cmdline-realMode-0x200)
	}
	if protocol >= 0x202 {
		le.PutUint32(out[offCmdLinePtr:], cmdline)
	} else {
		le.PutUint16(out[0x20:], 0xa33f)
		le.PutUint16(out[0x22:], uint16(cmdline-realMode))
	}
	if p.InitrdSize > 0 {
		addr, err := initrdAddress(out, protocol, p)
		if err != nil {
			return nil, err
		}
		le.PutUint32(out[offRamdiskImage:], addr)
		le.PutUint32(out[offRamdiskSize:], uint32(p.InitrdSize))
	}
	return out, nil
}

func initrdAddress(k []byte, protocol uint16, p Patch) (uint32, error) {
	le := binary.LittleEndian
	limit := uint64(0x37ffffff)
	switch {
	case protocol >= 0x20c:
		if le.Uint16(k[offXLoadFlags:])&canBeLoadedAbove != 0 {
			limit = 0xffffffff
		}
	case protocol >= 0x203:
		if m := le.Uint32(k[offInitrdMax:]); m != 0 {
			limit = uint64(m)
		}
	}
	const acpiData = 0x28000
	lowmem := uint64(0x80000000)
	if p.MemorySize < 0xb0000000 {
		lowmem = 0xb0000000
	}
	below4G := min(p.MemorySize, lowmem)
	if below4G <= acpiData {
		return 0, fault.New(fault.Usage, "a machine with %d bytes of memory does not hold an initrd", p.MemorySize)
	}
	if limit >= below4G-acpiData {
		limit = below4G - acpiData - 1
	}
	if p.InitrdSize >= limit {
		return 0, fault.New(fault.Usage, "an initrd of %d bytes does not fit below 0x%x", p.InitrdSize, limit)
	}
	return uint32((limit - p.InitrdSize) &^ 4095), nil
}

package snp

import "encoding/binary"

// bootEIP is where the boot processor starts: the reset vector.
const bootEIP = 0xfffffff0

// VMSA builds the save area page of a processor that starts at eip (AMD APM volume 2, table B-4; specs measure.md sections 5
// and 6). rdx and sevFeatures are written as given.
func (r Registers) VMSA(eip uint32, boot bool, rdx, sevFeatures uint64) []byte {
	cs := r.CSAP
	if boot {
		cs = r.CSBoot
	}
	a := newSaveArea()
	for _, off := range []int{offES, offDS, offFS, offGS} {
		a.segment(off, 0, 0x93, 0xffff, 0)
	}
	a.segment(offCS, 0xf000, cs, 0xffff, uint64(eip)&0xffff0000)
	a.segment(offSS, 0, r.SS, 0xffff, 0)
	a.segment(offTR, 0, r.TR, 0xffff, 0)
	a.u64(offCR0, 0x10)
	a.u64(offRIP, uint64(eip)&0xffff)
	a.u64(offGPAT, r.GPAT)
	a.u64(offRDX, rdx)
	a.u64(offFeatures, sevFeatures)
	a.u32(offMXCSR, r.MXCSR)
	a.u16(offFCW, r.FCW)
	return a
}

// Offsets in the save area.
const (
	offES, offCS, offSS, offDS, offFS, offGS = 0x000, 0x010, 0x020, 0x030, 0x040, 0x050
	offGDTR, offLDTR, offIDTR, offTR         = 0x060, 0x070, 0x080, 0x090
	offEFER, offCR4, offCR0, offDR7, offDR6  = 0x0d0, 0x148, 0x158, 0x160, 0x168
	offRFLAGS, offRIP, offGPAT, offRDX       = 0x170, 0x178, 0x268, 0x310
	offFeatures, offXCR0, offMXCSR, offFCW   = 0x3b0, 0x3e8, 0x408, 0x410
)

type saveArea []byte

// newSaveArea holds what all launchers have in common.
func newSaveArea() saveArea {
	a := make(saveArea, PageSize)
	a.segment(offGDTR, 0, 0, 0xffff, 0)
	a.segment(offIDTR, 0, 0, 0xffff, 0)
	a.segment(offLDTR, 0, 0x82, 0xffff, 0)
	a.u64(offEFER, 0x1000) // SVME, set by KVM
	a.u64(offCR4, 0x40)
	a.u64(offDR7, 0x400)
	a.u64(offDR6, 0xffff0ff0)
	a.u64(offRFLAGS, 2)
	a.u64(offXCR0, 1)
	return a
}

func (a saveArea) segment(off int, selector, attributes uint16, limit uint32, base uint64) {
	a.u16(off, selector)
	a.u16(off+2, attributes)
	a.u32(off+4, limit)
	a.u64(off+8, base)
}

func (a saveArea) u16(off int, v uint16) { binary.LittleEndian.PutUint16(a[off:], v) }
func (a saveArea) u32(off int, v uint32) { binary.LittleEndian.PutUint32(a[off:], v) }
func (a saveArea) u64(off int, v uint64) { binary.LittleEndian.PutUint64(a[off:], v) }

// svsmVMSA is the save area of every processor in the SVSM mode of sev-snp-measure: flat 32-bit protected mode at the
// entry point of the image (specs measure.md section 11). sev_features is 1 always.
func svsmVMSA(eip uint32, signature uint32, mxcsr uint32, fcw uint16) []byte {
	a := newSaveArea()
	for _, off := range []int{offES, offSS, offDS, offFS} {
		a.segment(off, 0x10, 0xc93, 0xffffffff, 0)
	}
	a.segment(offCS, 8, 0xc9b, 0xffffffff, 0)
	a.segment(offGS, 0, 0x93, 0xffff, 0)
	a.segment(offTR, 0, 0x8b, 0xffff, 0)
	a.u64(offCR0, 0x11)
	a.u64(offRIP, uint64(eip))
	a.u64(offGPAT, patKVM)
	a.u64(offRDX, uint64(signature))
	a.u64(offFeatures, 1)
	a.u32(offMXCSR, mxcsr)
	a.u16(offFCW, fcw)
	return a
}

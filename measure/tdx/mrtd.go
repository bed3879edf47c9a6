// Package tdx predicts the measurements of an Intel TDX guest: MRTD from a TDVF image, and RTMR0 to RTMR3 from what the firmware
// and the boot loaders measure (specs measure.md sections 13 to 16).
package tdx

import (
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/ovmf"
)

// Order is the order in which a launcher adds and extends pages.
type Order string

// The orders.
const (
	// SinglePass: per page, first add, then sixteen extends. QEMU from 9, upstream QEMU 10.1, Google, Microsoft.
	SinglePass Order = "single-pass"
	// TwoPass: per section, first all adds, then all extends. QEMU 8 with Intel's patches, Oak.
	TwoPass Order = "two-pass"
)

// Orders lists both.
func Orders() []Order { return []Order{SinglePass, TwoPass} }

const (
	pageSize = 4096
	chunk    = 256 // TDH.MR.EXTEND
	record   = 128 // MEM.PAGE.ADD and MR.EXTEND records
)

// content is a section as it lies in guest memory.
type content struct {
	gpa, size uint64
	data      []byte // the rest up to size is zero
	add       bool
	extend    bool
	name      string
}

// MRTD computes the measurement of the build-time TD from the sections of a TDVF image, in file order.
func MRTD(sections []ovmf.TDXSection, order Order) (measure.SHA384, []measure.Step) {
	var cs []content
	for _, s := range sections {
		cs = append(cs, content{s.GPA, s.Size, s.Data, s.Attributes&ovmf.TDXPageAug == 0, s.Attributes&ovmf.TDXExtend != 0, s.Type.String()})
	}
	return mrtd(cs, order)
}

func mrtd(sections []content, order Order) (measure.SHA384, []measure.Step) {
	h := sha512.New384()
	var steps []measure.Step
	for _, s := range sections {
		for off := uint64(0); off < s.size; off += pageSize {
			if s.add {
				putRecord(h, "MEM.PAGE.ADD", s.gpa+off)
			}
			if s.extend && order == SinglePass {
				extendPage(h, s, off)
			}
		}
		if s.extend && order == TwoPass {
			for off := uint64(0); off < s.size; off += pageSize {
				extendPage(h, s, off)
			}
		}
		kind := "add"
		switch {
		case !s.add:
			kind = "not measured"
		case s.extend:
			kind = "add, extend"
		}
		steps = append(steps, measure.Step{What: s.name, Kind: kind, GPA: fmt.Sprintf("0x%x", s.gpa), Bytes: s.size, After: fmt.Sprintf("%x", h.Sum(nil))})
	}
	return measure.SHA384(h.Sum(nil)), steps
}

func putRecord(h hash.Hash, name string, gpa uint64) {
	var b [record]byte
	copy(b[:], name)
	binary.LittleEndian.PutUint64(b[16:], gpa)
	h.Write(b[:])
}

func extendPage(h hash.Hash, s content, off uint64) {
	for o := off; o < off+pageSize; o += chunk {
		putRecord(h, "MR.EXTEND", s.gpa+o)
		var b [chunk]byte
		if o < uint64(len(s.data)) {
			copy(b[:], s.data[o:])
		}
		h.Write(b[:])
	}
}

// Sections reads the TDVF sections of an image that must have them.
func Sections(img *ovmf.Image) ([]ovmf.TDXSection, error) {
	s, ok, err := img.TDXMetadata()
	if err != nil {
		return nil, err
	}
	if !ok {
		if !img.HasFooter {
			return nil, fault.New(fault.Malformed, "the file has no footer table: it is not UEFI firmware for confidential guests")
		}
		return nil, fault.New(fault.Unsupported, "the firmware has no TDX metadata: it was built without TDX support")
	}
	return s, nil
}

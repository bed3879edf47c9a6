package igvm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/snp"
)

// Compat chooses between the readings of the two tools where they differ (specs measure.md section 17).
type Compat struct {
	// Coconut reads as COCONUT's igvmmeasure does: shared pages are measured, a parameter is one page, masks of VP contexts
	// are ignored, pages of 2 MiB are split. Otherwise as Microsoft's igvm crate.
	Coconut bool
	// NativeZero measures pages without data as ZERO in place of NORMAL over zeros.
	NativeZero bool
	// CheckKVM refuses what QEMU and KVM would not launch as the file says.
	CheckKVM bool
	Trace    bool
}

// Result is what a file measures to.
type Result struct {
	SNP   measure.SHA384 // for SEV-SNP
	SEV   [32]byte       // for SEV and SEV-ES
	Pages int
	VPs   int
	Steps []measure.Step
}

const (
	flag2MB        = 1 << 0
	flagUnmeasured = 1 << 1
	flagShared     = 1 << 2
	twoMiB         = 2 << 20
	kvmVMSAGPA     = 0xfffffffff000
)

type run struct {
	f       *File
	c       Compat
	p       Platform
	mask    uint32
	launch  snp.Launch
	plain   hash.Hash // SEV and SEV-ES
	areas   map[uint32]uint64
	res     *Result
	idBlock []byte
}

// Measure computes the launch digest for platform SNP, SEV or SEV-ES. A file whose own ID block names another digest is
// [fault.Malformed].
func (f *File) Measure(p Platform, c Compat) (*Result, error) {
	if p != SNP && p != SEV && p != SEVES {
		return nil, fault.New(fault.Unsupported, "the launch digest of %v cannot be predicted from an IGVM file", p)
	}
	m, err := f.mask(p)
	if err != nil {
		return nil, err
	}
	r := &run{f: f, c: c, p: p, mask: m, areas: map[uint32]uint64{}, res: &Result{}, plain: sha256.New()}
	if c.Trace {
		r.launch.Trace = &r.res.Steps
	}
	for _, h := range f.headers {
		if err := r.directive(h); err != nil {
			return nil, err
		}
	}
	if c.CheckKVM && r.res.VPs != 1 {
		return nil, fault.New(fault.Unsupported, "KVM launches a file with exactly one VP context, this has %d", r.res.VPs)
	}
	r.res.SNP = r.launch.LD
	r.plain.Sum(r.res.SEV[:0])
	if p == SNP && r.idBlock != nil && !bytes.Equal(r.idBlock, r.launch.LD[:]) {
		return nil, fault.New(fault.Malformed, "the IGVM file measures to %v, and its own ID block names %x: it would not start", r.launch.LD, r.idBlock)
	}
	return r.res, nil
}

func (r *run) directive(h header) error {
	le := binary.LittleEndian
	switch h.kind {
	case hdrParameterArea:
		r.areas[le.Uint32(h.body[8:])] = le.Uint64(h.body)
	case hdrPageData:
		if le.Uint32(h.body[8:])&r.mask != 0 {
			return r.pageData(le.Uint64(h.body), le.Uint32(h.body[12:]), le.Uint32(h.body[16:]), le.Uint16(h.body[20:]))
		}
	case hdrParameterInsert:
		if le.Uint32(h.body[8:])&r.mask != 0 {
			return r.parameter(le.Uint64(h.body), le.Uint32(h.body[12:]))
		}
	case hdrVPContext:
		if le.Uint32(h.body[8:])&r.mask != 0 || r.c.Coconut {
			return r.vpContext(le.Uint64(h.body), le.Uint32(h.body[12:]))
		}
	case hdrSNPIDBlock:
		if le.Uint32(h.body)&r.mask != 0 {
			r.idBlock = h.body[8:56]
		}
	}
	return nil
}

// count bounds the pages of a file.
func (r *run) count(n uint64) error {
	if n > maxPages || uint64(r.res.Pages)+n > maxPages {
		return fault.New(fault.Malformed, "the IGVM file has more than %d pages", maxPages)
	}
	r.res.Pages += int(n)
	if r.c.CheckKVM && r.res.VPs > 0 {
		return fault.New(fault.Unsupported, "KVM measures the VP context last; this file has pages after it")
	}
	return nil
}

func (r *run) pageData(gpa uint64, off, flags uint32, kind uint16) error {
	size := uint64(page)
	if flags&flag2MB != 0 {
		if !r.c.Coconut {
			return fault.New(fault.Unsupported, "the IGVM file has a page of 2 MiB at 0x%x; --igvm-compat coconut splits it", gpa)
		}
		size = twoMiB
	}
	if flags&flagShared != 0 && !r.c.Coconut {
		return nil
	}
	if gpa%page != 0 {
		return fault.New(fault.Malformed, "the IGVM file has page data at 0x%x, which is no page address", gpa)
	}
	if err := r.count(size / page); err != nil {
		return err
	}
	switch {
	case kind == 1:
		r.bare(snp.PageSecrets, gpa, size, "secrets")
	case kind == 2, kind == 3:
		r.bare(snp.PageCPUID, gpa, size, "CPUID")
	case kind != 0:
		return fault.New(fault.Unsupported, "the IGVM file has page data of type %d at 0x%x, which is not known", kind, gpa)
	case flags&flagUnmeasured != 0:
		r.bare(snp.PageUnmeasured, gpa, size, "page data")
	case off == 0 && r.c.NativeZero:
		r.bare(snp.PageZero, gpa, size, "page data")
	default:
		buf := make([]byte, size)
		if err := r.f.read(off, buf); err != nil {
			return err
		}
		r.launch.Content(snp.PageNormal, gpa, buf, "page data")
		r.plain.Write(buf)
	}
	return nil
}

func (r *run) bare(t snp.PageType, gpa, size uint64, what string) { r.launch.Bare(t, gpa, size, what) }

func (r *run) parameter(gpa uint64, index uint32) error {
	size, ok := r.areas[index]
	if !ok {
		return fault.New(fault.Malformed, "the IGVM file inserts parameter area %d, which it does not declare", index)
	}
	if r.c.Coconut {
		size = page
	}
	if size == 0 || size > maxPages*page {
		return fault.New(fault.Malformed, "parameter area %d of the IGVM file has %d bytes", index, size)
	}
	size = (size + page - 1) &^ (page - 1)
	if err := r.count(size / page); err != nil {
		return err
	}
	r.bare(snp.PageUnmeasured, gpa, size, "parameters")
	return nil
}

func (r *run) vpContext(gpa uint64, off uint32) error {
	if off == 0 {
		return fault.New(fault.Malformed, "the IGVM file has a VP context without data")
	}
	buf := make([]byte, page)
	if err := r.f.read(off, buf); err != nil {
		return err
	}
	if err := r.count(1); err != nil {
		return err
	}
	r.res.VPs++
	if r.c.CheckKVM {
		const offCR0 = 0x158
		if cr0 := binary.LittleEndian.Uint64(buf[offCR0:]); gpa != kvmVMSAGPA || cr0 != 0x31 && cr0 != 0x30 {
			return fault.New(fault.Unsupported, "KVM measures the VP context at 0x%x with cr0 0x31 or 0x30; this file has it at 0x%x with cr0 0x%x", uint64(kvmVMSAGPA), gpa, cr0)
		}
	}
	r.launch.Content(snp.PageVMSA, gpa, buf, "VP context")
	if r.p == SEVES {
		r.plain.Write(buf)
	}
	return nil
}

package tdx

import (
	"cmp"
	"crypto/sha512"
	"encoding/binary"
	"slices"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/ovmf"
)

// Region is a range of guest memory.
type Region struct{ Start, Length uint64 }

const (
	hobAccepted   = 0 // EFI_RESOURCE_SYSTEM_MEMORY
	hobUnaccepted = 7
	hobAttributes = 7 // present, initialised, tested
	handoffHOB    = 56
	resourceHOB   = 48
	endHOB        = 8
	gib           = 1 << 30
)

func appendResource(b []byte, kind, attributes uint32, r Region) []byte {
	le := binary.LittleEndian
	h := make([]byte, resourceHOB)
	le.PutUint16(h, 3)
	le.PutUint16(h[2:], resourceHOB)
	le.PutUint32(h[24:], kind)
	le.PutUint32(h[28:], attributes)
	le.PutUint64(h[32:], r.Start)
	le.PutUint64(h[40:], r.Length)
	return append(b, h...)
}

// handoff begins a HOB list; its end is filled in by the caller.
func handoff() []byte {
	h := make([]byte, handoffHOB)
	le := binary.LittleEndian
	le.PutUint16(h, 1)
	le.PutUint16(h[2:], handoffHOB)
	le.PutUint32(h[8:], 9) // EFI_HOB_HANDOFF_TABLE_VERSION
	return h
}

// HOB builds the TD HOB list that QEMU hands to firmware, as far as it is measured: without the end HOB, whose length is
// counted in "end of list" nevertheless. accepted are the TD HOB and temporary memory sections.
func HOB(base uint64, accepted []Region, memory uint64) ([]byte, error) {
	a := slices.Clone(accepted)
	slices.SortStableFunc(a, func(x, y Region) int { return cmp.Compare(x.Start, y.Start) })
	type ranged struct {
		Region
		kind uint32
	}
	var out []ranged
	pos := uint64(0)
	for _, r := range a {
		if r.Start < pos || r.Start+r.Length > memory {
			return nil, fault.New(fault.Usage, "the firmware needs memory at 0x%x, and the machine has 0x%x bytes", r.Start+r.Length, memory)
		}
		if r.Start > pos {
			out = append(out, ranged{Region{pos, r.Start - pos}, hobUnaccepted})
		}
		out = append(out, ranged{r, hobAccepted})
		pos = r.Start + r.Length
	}
	if pos < memory {
		out = append(out, ranged{Region{pos, memory - pos}, hobUnaccepted})
	}
	// Above 2.75 GiB the launcher puts what does not fit below the hole behind it.
	const low, high = 0x80000000, 0x100000000
	if last := &out[len(out)-1]; memory >= 0xb0000000 && last.Start < low {
		rest := last.Start + last.Length - low
		last.Length = low - last.Start
		out = append(out, ranged{Region{high, rest}, last.kind})
	}
	b := handoff()
	for _, r := range out {
		b = appendResource(b, r.kind, hobAttributes, r.Region)
	}
	binary.LittleEndian.PutUint64(b[48:], base+uint64(len(b))+endHOB)
	return b, nil
}

// HOBFromSections builds the list for an image's sections and a memory size in bytes.
func HOBFromSections(sections []ovmf.TDXSection, memory uint64) ([]byte, error) {
	var base uint64
	var accepted []Region
	for _, s := range sections {
		if s.Type == ovmf.TDXHOB {
			base = s.GPA
		}
		if s.Type == ovmf.TDXHOB || s.Type == ovmf.TDXTempMem {
			accepted = append(accepted, Region{s.GPA, s.Size})
		}
	}
	return HOB(base, accepted, memory)
}

func sum(b []byte) measure.SHA384 { return sha512.Sum384(b) }

// GoogleShape is the memory of a machine type of Google's: total GiB over NUMA nodes.
type GoogleShape struct {
	Name       string
	GiB, Nodes uint64
}

// GoogleShapes lists the machine types whose endorsements carried one MRTD per memory size.
func GoogleShapes() []GoogleShape {
	return []GoogleShape{{"c3-standard-4", 16, 1}, {"c3-standard-8", 32, 1}, {"c3-standard-22", 88, 1}, {"c3-standard-44", 176, 1},
		{"c3-standard-88", 352, 2}, {"c3-standard-176", 704, 4}}
}

// GoogleHOBBug computes the MRTD of Google's early hypervisor, which extended every section, the TD HOB for the machine's memory
// among them (endorsements with ram_gib; specs measure.md section 19).
func GoogleHOBBug(sections []ovmf.TDXSection, shape GoogleShape, earlyAccept bool) (measure.SHA384, []measure.Step, error) {
	hob, err := googleHOB(sections, shape, earlyAccept)
	if err != nil {
		return measure.SHA384{}, nil, err
	}
	var cs []content
	for _, s := range sections {
		c := content{s.GPA, s.Size, s.Data, true, true, s.Type.String()}
		if s.Type == ovmf.TDXHOB {
			if uint64(len(hob)) > s.Size {
				return measure.SHA384{}, nil, fault.New(fault.Malformed, "the TD HOB section of 0x%x bytes does not hold a list of 0x%x", s.Size, len(hob))
			}
			c.data = hob
		}
		cs = append(cs, c)
	}
	d, steps := mrtd(cs, SinglePass)
	return d, steps, nil
}

func googleHOB(sections []ovmf.TDXSection, shape GoogleShape, earlyAccept bool) ([]byte, error) {
	var base uint64
	var taken []Region
	b := handoff()
	for _, s := range sections {
		if s.Type == ovmf.TDXHOB {
			base = s.GPA
		}
		taken = append(taken, Region{s.GPA, s.Size})
		b = appendResource(b, hobAccepted, hobAttributes, Region{s.GPA, s.Size})
	}
	slices.SortFunc(taken, func(x, y Region) int { return cmp.Compare(x.Start, y.Start) })
	ram := []Region{{0, 3 * gib}, {4*gib - 2<<20, 2 << 20}}
	pos := uint64(4 * gib)
	for n := range shape.Nodes {
		size := shape.GiB / shape.Nodes * gib
		if n == 0 {
			size -= 3 * gib
		}
		ram = append(ram, Region{pos, size})
		pos += size
	}
	for _, r := range ram {
		for _, free := range subtract(r, taken) {
			attributes := uint32(hobAttributes)
			if free.Start < 4*gib || earlyAccept {
				attributes |= 0x10000000
			}
			b = appendResource(b, hobUnaccepted, attributes, free)
		}
	}
	// "End of list" points at the end HOB here, not behind it.
	binary.LittleEndian.PutUint64(b[48:], base+uint64(len(b)))
	return append(b, 0xff, 0xff, 8, 0, 0, 0, 0, 0), nil
}

// subtract gives what taken, which is sorted, leaves of r.
func subtract(r Region, taken []Region) []Region {
	var out []Region
	pos, end := r.Start, r.Start+r.Length
	for _, t := range taken {
		if t.Start >= end || t.Start+t.Length <= pos {
			continue
		}
		if t.Start > pos {
			out = append(out, Region{pos, t.Start - pos})
		}
		pos = max(pos, t.Start+t.Length)
	}
	if pos < end {
		out = append(out, Region{pos, end - pos})
	}
	return out
}

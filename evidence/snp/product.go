package snp

import (
	"strconv"

	"github.com/assay-tee/assay/internal/fault"
)

// TCB is a TCB_VERSION: eight bytes as in the report, whose meaning depends on the product.
type TCB [8]byte

// le reports whether t ≤ u in every byte. Components are compared apart, never as one number: a higher microcode byte
// would hide an older SNP firmware (evidence-snp.md section 6). Reserved bytes are zero, so bytes are components.
func (t TCB) le(u TCB) bool {
	for i := range t {
		if t[i] > u[i] {
			return false
		}
	}
	return true
}

// component is one security patch level of a TCB_VERSION.
type component struct {
	name string // in claims
	at   int    // byte of the TCB_VERSION
	oid  int    // last arc of its certificate extension, 1.3.6.1.4.1.3704.1.3.<oid>
	kds  string // its parameter in requests to the KDS
}

// The TCB layouts (evidence-snp.md section 6), in the order of claims and of KDS parameters.
var (
	layoutMilan = []component{{"bootloader", 0, 1, "blSPL"}, {"tee", 1, 2, "teeSPL"}, {"snp", 6, 3, "snpSPL"}, {"microcode", 7, 8, "ucodeSPL"}}
	layoutTurin = []component{{"fmc", 0, 9, "fmcSPL"}, {"bootloader", 1, 1, "blSPL"}, {"tee", 2, 2, "teeSPL"}, {"snp", 3, 3, "snpSPL"},
		{"microcode", 7, 8, "ucodeSPL"}}
)

// Line is a product line: the processors that share certificates and layouts. A new line is a new row of lines.
type Line struct {
	Name     string // as in certificates and in the KDS
	cpuids   []cpuidRange
	tcb      []component
	hwidSize int  // bytes of CHIP_ID that are the hwID of a VCEK; the others are zero
	v2       bool // had firmware that made version 2 reports, which name no processor
}

type cpuidRange struct{ family, from, to uint8 }

// lines are the known product lines (evidence-snp.md section 1). Steppings vary and are not listed.
var lines = [...]Line{
	{Name: "Milan", cpuids: []cpuidRange{{0x19, 0x00, 0x0F}}, tcb: layoutMilan, hwidSize: 64, v2: true},
	{Name: "Genoa", cpuids: []cpuidRange{{0x19, 0x10, 0x1F}, {0x19, 0xA0, 0xAF}}, tcb: layoutMilan, hwidSize: 64, v2: true}, // with Bergamo and Siena
	{Name: "Turin", cpuids: []cpuidRange{{0x1A, 0x00, 0x11}}, tcb: layoutTurin, hwidSize: 8},
}

func lineByName(name string) *Line {
	for i := range lines {
		if lines[i].Name == name {
			return &lines[i]
		}
	}
	return nil
}

func lineByCPUID(c CPUID) *Line {
	for i := range lines {
		for _, r := range lines[i].cpuids {
			if r.family == c.Family && r.from <= c.Model && c.Model <= r.to {
				return &lines[i]
			}
		}
	}
	return nil
}

// candidateLines are the product lines that may have made r: one by CPUID, or those with version 2 reports.
func (r *Report) candidateLines() ([]*Line, error) {
	if r.Version >= 3 {
		if l := lineByCPUID(r.CPUID); l != nil {
			return []*Line{l}, nil
		}
		return nil, fault.New(fault.Unsupported, "no product line is known for CPUID family %#02x model %#02x", r.CPUID.Family, r.CPUID.Model)
	}
	var out []*Line
	for i := range lines {
		if lines[i].v2 {
			out = append(out, &lines[i])
		}
	}
	return out, nil
}

// namedTCBs are the four TCB_VERSIONs of a report with their names.
func (r *Report) namedTCBs() [4]struct {
	field string
	tcb   TCB
} {
	return [4]struct {
		field string
		tcb   TCB
	}{{"CURRENT_TCB", r.CurrentTCB}, {"REPORTED_TCB", r.ReportedTCB}, {"COMMITTED_TCB", r.CommittedTCB}, {"LAUNCH_TCB", r.LaunchTCB}}
}

// checkLayout refuses TCB_VERSIONs with reserved bytes that are not zero.
func (l *Line) checkLayout(r *Report) error {
	var used [8]bool
	for _, c := range l.tcb {
		used[c.at] = true
	}
	for _, t := range r.namedTCBs() {
		for i, b := range t.tcb {
			if b != 0 && !used[i] {
				return fault.New(fault.Malformed, "byte %d of %s is reserved on %s and must be zero", i, t.field, l.Name)
			}
		}
	}
	return nil
}

// kdsPath is the request for the VCEK of a chip at a TCB (AMD 57230; evidence-snp.md section 12).
func (l *Line) kdsPath(r *Report) string {
	const hexDigits = "0123456789abcdef"
	p := append(make([]byte, 0, 256), "/vcek/v1/"+l.Name+"/"...)
	for _, c := range r.ChipID[:l.hwidSize] {
		p = append(p, hexDigits[c>>4], hexDigits[c&15])
	}
	sep := byte('?')
	for _, c := range l.tcb {
		p = append(append(append(p, sep), c.kds...), '=')
		p = strconv.AppendUint(p, uint64(r.ReportedTCB[c.at]), 10)
		sep = '&'
	}
	return string(p)
}

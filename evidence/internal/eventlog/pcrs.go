package eventlog

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"math/bits"

	"github.com/assay-tee/assay/internal/fault"
)

// NumPCRs is the number of PCRs of a PC Client TPM.
const NumPCRs = 24

// PCRs are values that a TPM quoted, of one bank; what is nil was not quoted.
type PCRs struct {
	Alg    Alg
	Values [NumPCRs][]byte
}

// PCRsExplained is a log that gives the quoted values of all PCRs that it has events for.
type PCRsExplained struct {
	Explained
	Log *Log
	// Unexplained has bit n set when PCR n was quoted with a value that no event of the log accounts for: it was extended
	// by somebody who wrote another log, or none.
	Unexplained uint32
	// Dropped has bit n set when the log has events for PCR n, which was not quoted, or can be reset. They are no claims.
	Dropped uint32
}

// ParseTPM reads a TPM's log: crypto-agile, or in the old form with SHA-1 digests only. The first record decides, which is
// always in the old form (tsm-tpm.md section 8).
func ParseTPM(b []byte, o Options) (*Log, error) {
	const head = 32
	if len(b) >= head+16 && Type(binary.LittleEndian.Uint32(b[4:])) == EVNoAction && string(b[head:head+16]) == "Spec ID Event03\x00" {
		l, err := Parse(b, o)
		if err != nil {
			return nil, err
		}
		return l, l.strict()
	}
	if len(b) > MaxSize {
		return nil, fault.New(fault.Malformed, "event log of %d bytes; at most %d are read", len(b), MaxSize)
	}
	r := &reader{b: b}
	l := &Log{Banks: []Alg{SHA1}}
	for l.Used = r.at; r.left() > 0; l.Used = r.at {
		if o.Terminated && ends(r.b[r.at:]) {
			return l, nil
		}
		if len(l.Events) == maxEvents {
			return nil, bad(r.at, "more than %d events", maxEvents)
		}
		at := r.at
		index, ok1 := r.u32()
		typ, ok2 := r.u32()
		digest, ok3 := r.take(20)
		size, ok4 := r.u32()
		if !ok1 || !ok2 || !ok3 || !ok4 {
			return nil, bad(at, "the log ends inside the head of an event")
		}
		data, ok := r.take(uint64(size))
		if !ok {
			return nil, bad(r.at, "an event of %d bytes in a log that has %d left", size, r.left())
		}
		l.Events = append(l.Events, Event{Index: index, Type: Type(typ), Digests: []Digest{{SHA1, digest}}, Data: data})
	}
	if len(l.Events) == 0 {
		return nil, bad(0, "an empty event log")
	}
	return l, nil
}

// strict demands that each event has one digest of every bank that the header declares, and no other.
func (l *Log) strict() error {
	for i, e := range l.Events {
		if len(e.Digests) != len(l.Banks) {
			return fault.New(fault.Malformed, "event log: event %d has %d digests, the header declares %d banks", i, len(e.Digests), len(l.Banks))
		}
		for _, a := range l.Banks {
			if _, n := e.digest(a); n != 1 {
				return fault.New(fault.Malformed, "event log: event %d has %d digests of %s, one is required", i, n, a)
			}
		}
	}
	return nil
}

// resettable reports whether PCR n can be reset without a reboot, so that it says nothing about the boot (step 9).
func resettable(n int) bool { return n == 16 || n == 23 }

// ExplainPCRs replays the log in one bank. What was quoted and has events must come out exactly, else the error is of class
// binding; so it is for an event in a PCR that does not exist, and for a separator that is none (tsm-tpm.md section 12).
func (l *Log) ExplainPCRs(p PCRs) (*PCRsExplained, error) {
	var regs [NumPCRs][]byte
	for i := range regs {
		regs[i] = make([]byte, p.Alg.Size())
		if i >= 17 && i <= 22 {
			regs[i] = bytes.Repeat([]byte{0xff}, p.Alg.Size())
		}
	}
	out := &PCRsExplained{Log: l, Explained: Explained{Alg: p.Alg, pcrs: true, Events: make([]Measured, 0, len(l.Events))}}
	var had uint32
	var sep separators
	for i, e := range l.Events {
		if e.Type == EVNoAction {
			if loc, ok := startupLocality(e); ok && had&1 == 0 {
				regs[0][len(regs[0])-1] = loc
			}
			continue
		}
		if e.Index >= NumPCRs {
			return nil, unmeasured(i, e, "names PCR %d, which does not exist", e.Index)
		}
		d, n := e.digest(p.Alg)
		if n != 1 {
			return nil, unmeasured(i, e, "has %d digests of %s, one is required", n, p.Alg)
		}
		had |= 1 << e.Index
		regs[e.Index] = p.Alg.sum(regs[e.Index], d)
		if p.Values[e.Index] == nil || resettable(int(e.Index)) {
			out.Dropped |= 1 << e.Index
			continue
		}
		m := Measured{Event: e, Alg: p.Alg, Digest: d}
		if err := sep.check(&m); err != "" {
			return nil, unmeasured(i, e, "%s", err)
		}
		c, err := m.covered()
		if err != nil && !m.shimAuthority() && !m.variableDataOnly() {
			return nil, unmeasured(i, e, "%s", err)
		}
		m.Content = c
		out.Events = append(out.Events, m)
	}
	return out, out.compare(p, regs, had)
}

func (x *PCRsExplained) compare(p PCRs, regs [NumPCRs][]byte, had uint32) error {
	for i, want := range p.Values {
		if want == nil || resettable(i) || subtle.ConstantTimeCompare(regs[i], want) == 1 {
			continue
		}
		if had>>i&1 == 1 {
			return fault.New(fault.Binding, "the event log gives %x for PCR %d, the quote has %x: it is not the log of this machine, it was changed, or it is not whole", regs[i], i, want)
		}
		if i >= 17 && i <= 22 && bytes.Equal(want, make([]byte, len(want))) {
			continue // zero after a dynamic launch that extended nothing
		}
		x.Unexplained |= 1 << i
	}
	return nil
}

// startupLocality reads the record that says with which last byte PCR 0 began.
func startupLocality(e Event) (byte, bool) {
	if e.Index != 0 || len(e.Data) != 17 || string(e.Data[:16]) != "StartupLocality\x00" {
		return 0, false
	}
	return e.Data[16], true
}

// separators checks that what looks like a separator is one, and what is called one looks like it: the type of an event is
// not measured.
type separators struct{ seen uint32 }

var separatorData = [][]byte{{0, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff}, {1, 0, 0, 0}}

func (s *separators) check(m *Measured) string {
	if m.Index != 7 && (m.Type == EVEFIVariableBoot || m.Type == EVEFIVariableBoot2) {
		// The data of a boot variable may be these bytes: BootOrder with two entries, say. Boot variables go into PCR 1; in PCR
		// 7 the name would hide the end of what the firmware measured there.
		if v := parseVariable(m.Data); v != nil && m.covers(v.Data) {
			return ""
		}
	}
	if m.Type != EVSeparator {
		for _, d := range separatorData {
			if m.covers(d) {
				return "is called otherwise, and its digest is that of a separator"
			}
		}
		return ""
	}
	if m.Index > 7 {
		return "" // the profile speaks of PCR 0 to 7
	}
	switch {
	case bytes.Equal(m.Data, separatorData[2]):
		return "is the separator that reports an error of the firmware"
	case !bytes.Equal(m.Data, separatorData[0]) && !bytes.Equal(m.Data, separatorData[1]):
		return "is a separator with other data"
	case s.seen>>m.Index&1 == 1:
		return "is the second separator of its PCR"
	}
	s.seen |= 1 << m.Index
	return ""
}

// shimAuthority is the historic form in which shim logged one byte more than it measured.
func (m *Measured) shimAuthority() bool {
	return m.Type == EVEFIVariableAuthority && len(m.Data) > 0 && m.covers(m.Data[:len(m.Data)-1])
}

// variableDataOnly is the form of firmware for TPM 1.2, which measured the data of a variable without its name. What it is
// about is then not covered, so that nothing of it is claimed.
func (m *Measured) variableDataOnly() bool {
	v := parseVariable(m.Data)
	return m.Type == EVEFIVariableDriverConfig && v != nil && m.covers(v.Data)
}

// List returns the numbers of the bits of a mask.
func List(mask uint32) []int {
	var out []int
	for ; mask != 0; mask &= mask - 1 {
		out = append(out, bits.TrailingZeros32(mask))
	}
	return out
}

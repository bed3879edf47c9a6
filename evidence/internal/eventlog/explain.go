package eventlog

import (
	"bytes"
	"crypto/subtle"
	"fmt"

	"github.com/assay-tee/assay/internal/fault"
)

// Registers are authentic values of consecutive registers, all of one algorithm.
type Registers struct {
	Alg    Alg
	First  uint32   // index that the log has for Values[0]: 1 for RTMR0 in a CCEL log
	Values [][]byte // all registers that events may extend, each starting from zeros
	Name   string   // what they are called, for messages: "RTMR"
}

// Measured is an event whose digest was extended into an authentic register.
type Measured struct {
	Event
	Alg    Alg
	Digest []byte
	// Content is what of the event the digest covers, nil when nothing is covered: then the digest alone is measured, and
	// the rest of the event is a hint.
	Content *Content
}

// Explained is a log that gives exactly the registers it was held against.
type Explained struct {
	Alg    Alg
	pcrs   bool
	Events []Measured // in the order of the log; only the order within one register was measured
}

// Explain replays the log and compares every register, also those without events. Each event must extend one of them
// with exactly one digest of the bank: two would hide the content of the second, none measures nothing. EV_NO_ACTION
// extends nothing and is passed over (kbs-evidence.md section 6, rules 1 to 4 and 6). Its errors are of class binding.
func (l *Log) Explain(r Registers) (*Explained, error) {
	regs := make([][]byte, len(r.Values))
	for i := range regs {
		regs[i] = make([]byte, r.Alg.Size())
	}
	out := &Explained{Alg: r.Alg, Events: make([]Measured, 0, len(l.Events))}
	for i, e := range l.Events {
		if e.Type == EVNoAction {
			continue
		}
		if e.Index < r.First || e.Index-r.First >= uint32(len(regs)) {
			return nil, unmeasured(i, e, "names register index %d, which does not exist here", e.Index)
		}
		d, n := e.digest(r.Alg)
		if n != 1 {
			return nil, unmeasured(i, e, "has %d digests of %s, one is required", n, r.Alg)
		}
		reg := &regs[e.Index-r.First]
		*reg = r.Alg.sum(*reg, d)
		m := Measured{Event: e, Alg: r.Alg, Digest: d}
		c, err := m.covered()
		if err != nil {
			return nil, unmeasured(i, e, "%s", err)
		}
		m.Content = c
		out.Events = append(out.Events, m)
	}
	for i, want := range r.Values {
		if subtle.ConstantTimeCompare(regs[i], want) != 1 {
			return nil, fault.New(fault.Binding, "the event log gives %x for %s%d, the evidence has %x: it is not the log of this machine, or it was changed", regs[i], r.Name, i, want)
		}
	}
	return out, nil
}

func unmeasured(i int, e Event, format string, args ...any) error {
	return fault.New(fault.Binding, "event log: event %d (%s) %s", i, e.Type, fmt.Sprintf(format, args...))
}

func (e *Event) digest(a Alg) (value []byte, count int) {
	for _, d := range e.Digests {
		if d.Alg == a {
			value = d.Value
			count++
		}
	}
	return value, count
}

// covers reports whether the digest is that of text.
func (m *Measured) covers(text ...[]byte) bool { return bytes.Equal(m.Digest, m.Alg.sum(text...)) }

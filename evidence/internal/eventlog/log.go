package eventlog

import (
	"bytes"
	"encoding/binary"

	"github.com/assay-tee/assay/internal/fault"
)

// Limits on what a log may hold.
const (
	MaxSize    = 2 << 20 // bytes (performance.md section 11)
	maxEvents  = 1 << 14
	maxBanks   = 16
	maxDigests = 16 // per event
	maxUnknown = 128
)

// Log is a decoded log. Slices point into the bytes it was read from.
type Log struct {
	Banks  []Alg // in the order of the header
	Events []Event
	Used   int // bytes up to the end of the last event; what follows is padding
}

// Event is one entry.
type Event struct {
	Index   uint32 // register as the log numbers it: a PCR, or for CCEL RTMR number plus one
	Type    Type
	Digests []Digest
	Data    []byte
}

// Digest is a digest with its algorithm.
type Digest struct {
	Alg   Alg
	Value []byte
}

// Options say how a log may end.
type Options struct {
	// Terminated lets eight ff or eight 00 bytes end the log, as in the CCEL area of a TD; nothing behind them is read.
	// Without it the log ends with its last byte.
	Terminated bool
}

func bad(at int, format string, args ...any) error {
	return fault.New(fault.Malformed, "event log at byte %d: "+format, append([]any{at}, args...)...)
}

// reader walks over the log.
type reader struct {
	b  []byte
	at int
}

func (r *reader) left() int { return len(r.b) - r.at }

func (r *reader) take(n uint64) ([]byte, bool) {
	if n > uint64(r.left()) {
		return nil, false
	}
	out := r.b[r.at : r.at+int(n) : r.at+int(n)]
	r.at += int(n)
	return out, true
}

func (r *reader) u32() (uint32, bool) {
	b, ok := r.take(4)
	if !ok {
		return 0, false
	}
	return binary.LittleEndian.Uint32(b), true
}

func (r *reader) u16() (uint16, bool) {
	b, ok := r.take(2)
	if !ok {
		return 0, false
	}
	return binary.LittleEndian.Uint16(b), true
}

// Parse reads a crypto-agile log (TCG PC Client Platform Firmware Profile, section "Event Logging"). Its errors are of
// class malformed.
func Parse(b []byte, o Options) (*Log, error) {
	if len(b) > MaxSize {
		return nil, fault.New(fault.Malformed, "event log of %d bytes; at most %d are read", len(b), MaxSize)
	}
	r := &reader{b: b}
	l := &Log{}
	if err := l.readHeader(r); err != nil {
		return nil, err
	}
	for l.Used = r.at; r.left() > 0; l.Used = r.at {
		if o.Terminated && ends(r.b[r.at:]) {
			return l, nil
		}
		if len(l.Events) == maxEvents {
			return nil, bad(r.at, "more than %d events", maxEvents)
		}
		e, err := l.readEvent(r)
		if err != nil {
			return nil, err
		}
		l.Events = append(l.Events, e)
	}
	return l, nil
}

// ends reports whether b begins with the mark that ends a CCEL log.
func ends(b []byte) bool {
	return len(b) >= 8 && (bytes.Equal(b[:8], bytes.Repeat([]byte{0xff}, 8)) || bytes.Equal(b[:8], make([]byte, 8)))
}

// readHeader reads the first entry, in the old form, that holds the table of algorithms. Nothing measures the table, so
// its sizes are checked against those of the algorithms and not believed (kbs-evidence.md section 6, rule 5).
func (l *Log) readHeader(r *reader) error {
	head, ok := r.take(32)
	if !ok {
		return bad(0, "%d bytes are too few for a header", len(r.b))
	}
	// The index is 0 in logs of PCs and 1 in those of TDs.
	if typ := Type(binary.LittleEndian.Uint32(head[4:])); typ != EVNoAction {
		return bad(0, "the log does not begin with EV_NO_ACTION")
	}
	spec, ok := r.take(uint64(binary.LittleEndian.Uint32(head[28:])))
	if !ok {
		return bad(28, "the header is longer than the log")
	}
	s := &reader{b: spec}
	sig, ok := s.take(16)
	if !ok || string(sig) != "Spec ID Event03\x00" {
		return bad(32, "not the header of a crypto-agile log (\"Spec ID Event03\")")
	}
	if _, ok := s.take(8); !ok {
		return bad(48, "the header ends early")
	}
	n, ok := s.u32()
	if !ok || n == 0 || n > maxBanks {
		return bad(56, "the table of algorithms has %d entries; 1 to %d are read", n, maxBanks)
	}
	for range n {
		alg, ok1 := s.u16()
		size, ok2 := s.u16()
		if !ok1 || !ok2 {
			return bad(32+s.at, "the table of algorithms ends early")
		}
		if want := Alg(alg).Size(); want != 0 && int(size) != want || want == 0 && (size == 0 || size > maxUnknown) {
			return bad(32+s.at, "algorithm %#x is said to have digests of %d bytes", alg, size)
		}
		if Alg(alg).Size() == 0 {
			return fault.New(fault.Unsupported, "event log: algorithm %#x is not known", alg)
		}
		l.Banks = append(l.Banks, Alg(alg))
	}
	vendor, ok := s.take(1)
	if !ok {
		return bad(32+s.at, "the header ends before the vendor information")
	}
	if _, ok := s.take(uint64(vendor[0])); !ok || s.left() != 0 {
		return bad(32+s.at, "vendor information of %d bytes does not end with the header", vendor[0])
	}
	return nil
}

func (l *Log) readEvent(r *reader) (Event, error) {
	at := r.at
	index, ok1 := r.u32()
	typ, ok2 := r.u32()
	count, ok3 := r.u32()
	if !ok1 || !ok2 || !ok3 {
		return Event{}, bad(at, "the log ends inside the head of an event")
	}
	if count > maxDigests {
		return Event{}, bad(at, "an event with %d digests; at most %d are read", count, maxDigests)
	}
	e := Event{Index: index, Type: Type(typ), Digests: make([]Digest, 0, count)}
	for range count {
		alg, ok := r.u16()
		if !ok {
			return Event{}, bad(r.at, "the log ends inside the digests of an event")
		}
		size := Alg(alg).Size()
		if size == 0 {
			return Event{}, bad(r.at, "a digest of algorithm %#x, which is not known", alg)
		}
		v, ok := r.take(uint64(size))
		if !ok {
			return Event{}, bad(r.at, "the log ends inside a digest")
		}
		e.Digests = append(e.Digests, Digest{Alg(alg), v})
	}
	size, ok := r.u32()
	if !ok {
		return Event{}, bad(r.at, "the log ends before the size of an event")
	}
	if e.Data, ok = r.take(uint64(size)); !ok {
		return Event{}, bad(r.at, "an event of %d bytes in a log that has %d left", size, r.left())
	}
	return e, nil
}

package uefi

import (
	"encoding/binary"

	"github.com/assay-tee/assay/internal/fault"
)

// Algorithm ids of the TCG.
const (
	AlgSHA1   uint16 = 4
	AlgSHA256 uint16 = 0xb
	AlgSHA384 uint16 = 0xc
	AlgSHA512 uint16 = 0xd
)

// Event is one event of a log. In a confidential computing log Index 1 to 4 is RTMR0 to RTMR3; in a TPM's log it is the PCR.
type Event struct {
	Index   uint32
	Type    EventType
	Digests map[uint16][]byte
	Data    []byte // aliases the log
}

const (
	maxEvents = 65536
	// MaxLog is the largest log that is read, in bytes.
	MaxLog  = 16 << 20
	maxAlgs = 16
)

// ParseLog reads a crypto-agile event log (TCG PC Client Platform Firmware Profile, section 10.2; the CCEL table's content has the
// same form) up to its end or to a run of 0xFF. The first event, which describes the log, is not part of the result.
func ParseLog(log []byte) ([]Event, error) {
	if len(log) > MaxLog {
		return nil, fault.New(fault.Malformed, "an event log of %d bytes; at most %d MiB are read", len(log), MaxLog>>20)
	}
	r := &reader{b: log}
	r.take(4 + 4 + 20) // PCR index, type and SHA-1 digest of the first event
	spec := &reader{b: r.take(int(r.u32()))}
	if string(spec.take(16)) != "Spec ID Event03\x00" {
		return nil, fault.New(fault.Malformed, "no crypto-agile event log: it does not begin with \"Spec ID Event03\"")
	}
	spec.take(8)
	n := spec.u32()
	if n == 0 || n > maxAlgs {
		return nil, fault.New(fault.Malformed, "an event log with %d hash algorithms; 1 to %d are read", n, maxAlgs)
	}
	sizes := map[uint16]int{}
	for range n {
		alg := spec.u16()
		sizes[alg] = int(spec.u16())
	}
	if r.short || spec.short {
		return nil, fault.New(fault.Malformed, "the event log is cut in its first event")
	}
	var out []Event
	for len(r.b) >= 12 && binary.LittleEndian.Uint32(r.b) != 0xffffffff {
		e := Event{Index: r.u32(), Type: EventType(r.u32()), Digests: map[uint16][]byte{}}
		count := r.u32()
		if e.Index == 0 && e.Type == 0 && count == 0 {
			break // logs are also padded with zeros
		}
		if count > maxAlgs {
			return nil, fault.New(fault.Malformed, "event %d of the log has %d digests", len(out), count)
		}
		for range count {
			alg := r.u16()
			size, ok := sizes[alg]
			if !ok {
				return nil, fault.New(fault.Malformed, "event %d of the log has a digest of algorithm 0x%x, which its first event does not list", len(out), alg)
			}
			e.Digests[alg] = r.take(size)
		}
		e.Data = r.take(int(r.u32()))
		if r.short {
			return nil, fault.New(fault.Malformed, "the event log is cut in event %d", len(out))
		}
		if len(out) == maxEvents {
			return nil, fault.New(fault.Malformed, "more than %d events", maxEvents)
		}
		out = append(out, e)
	}
	return out, nil
}

// reader takes bytes from the front; after a short read everything is empty and short is set.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.b, r.short = nil, true
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

package eventlog

import (
	"crypto/subtle"
	"encoding/binary"

	"github.com/assay-tee/assay/internal/fault"
)

// The TLVs of a canonical event log (TCG Canonical Event Log 1.0; tsm-tpm.md section 11): u8 type, u32 big-endian length.
const (
	celRecnum  = 0
	celPCR     = 1
	celNVIndex = 2
	celDigests = 3
	celCCMR    = 108
	celCOS     = 80
)

// CELRecord is one record of a canonical event log.
type CELRecord struct {
	Number   uint64
	CCMR     bool   // Register is a CC measurement register: 1 is RTMR0
	Register uint32 // else a PCR
	Digests  []Digest
	Type     uint8  // TLV type of the content
	Content  []byte // its value
	raw      []byte // the whole content TLV
}

func celTLV(r *reader) (typ uint8, value, raw []byte, err error) {
	at := r.at
	head, ok := r.take(5)
	if !ok {
		return 0, nil, nil, bad(at, "the log ends inside a TLV")
	}
	n := binary.BigEndian.Uint32(head[1:])
	if value, ok = r.take(uint64(n)); !ok {
		return 0, nil, nil, bad(at, "a TLV of %d bytes in a log that has %d left", n, r.left())
	}
	return head[0], value, r.b[at:r.at:r.at], nil
}

// ParseCEL reads a canonical event log in TLV form. Record numbers run from 0 without gaps.
func ParseCEL(b []byte) ([]CELRecord, error) {
	if len(b) > MaxSize {
		return nil, fault.New(fault.Malformed, "event log of %d bytes; at most %d are read", len(b), MaxSize)
	}
	r := &reader{b: b}
	var out []CELRecord
	for r.left() > 0 {
		if len(out) == maxEvents {
			return nil, bad(r.at, "more than %d events", maxEvents)
		}
		rec, err := celRecord(r)
		if err != nil {
			return nil, err
		}
		if rec.Number != uint64(len(out)) {
			return nil, bad(r.at, "record %d follows record %d", rec.Number, len(out)-1)
		}
		out = append(out, rec)
	}
	return out, nil
}

func celRecord(r *reader) (rec CELRecord, err error) {
	at := r.at
	typ, v, _, err := celTLV(r)
	if err != nil {
		return rec, err
	}
	if typ != celRecnum || len(v) == 0 || len(v) > 8 {
		return rec, bad(at, "a record begins with its number in 1 to 8 bytes")
	}
	for _, c := range v {
		rec.Number = rec.Number<<8 | uint64(c)
	}
	at = r.at
	if typ, v, _, err = celTLV(r); err != nil {
		return rec, err
	}
	switch {
	case (typ == celPCR || typ == celCCMR) && len(v) == 1:
		rec.Register, rec.CCMR = uint32(v[0]), typ == celCCMR
	case typ == celNVIndex:
		return rec, fault.New(fault.Unsupported, "event log: a record about an NV index")
	default:
		return rec, bad(at, "a record without a register")
	}
	at = r.at
	if typ, v, _, err = celTLV(r); err != nil {
		return rec, err
	}
	if typ != celDigests {
		return rec, bad(at, "a record without digests")
	}
	if rec.Digests, err = celDigestList(v); err != nil {
		return rec, err
	}
	rec.Type, rec.Content, rec.raw, err = celTLV(r)
	return rec, err
}

func celDigestList(b []byte) ([]Digest, error) {
	r := &reader{b: b}
	var out []Digest
	for r.left() > 0 {
		if len(out) == maxDigests {
			return nil, bad(r.at, "more than %d digests", maxDigests)
		}
		alg, v, _, err := celTLV(r)
		if err != nil {
			return nil, err
		}
		if Alg(alg).Size() == 0 || len(v) != Alg(alg).Size() {
			return nil, bad(r.at, "a digest of algorithm %#x with %d bytes", alg, len(v))
		}
		out = append(out, Digest{Alg(alg), v})
	}
	return out, nil
}

// COSEvent is an event of Google's Confidential Space about the workload.
type COSEvent struct {
	Type  uint8
	Value string
}

const (
	cosSeparator = 8
	cosLast      = 11
)

// ReplayCEL replays the records of one register from zero, and returns the workload events as far as their digest covers
// them: the digest of a COS record is over the whole content TLV. Records of other registers are class binding, since they
// were not asked for; so is a workload event after the launch separator, and a record with none or two digests of the bank.
func ReplayCEL(records []CELRecord, alg Alg, ccmr bool, register uint32, want []byte) ([]COSEvent, error) {
	reg := make([]byte, alg.Size())
	var out []COSEvent
	separated := false
	for _, rec := range records {
		fail := func(what string) error {
			return fault.New(fault.Binding, "canonical event log: record %d %s", rec.Number, what)
		}
		if rec.CCMR != ccmr || rec.Register != register {
			return nil, fail("is about another register")
		}
		e := Event{Digests: rec.Digests}
		d, n := e.digest(alg)
		if n != 1 {
			return nil, fail("has not exactly one digest of the bank")
		}
		m := Measured{Alg: alg, Digest: d}
		if rec.Type != celCOS || !m.covers(rec.raw) {
			return nil, fail("has content that its digest does not cover")
		}
		reg = alg.sum(reg, d)
		r := &reader{b: rec.Content}
		typ, v, _, err := celTLV(r)
		if err != nil || r.left() != 0 || typ > cosLast {
			return nil, fail("holds no event that is known")
		}
		if separated && typ < cosSeparator {
			return nil, fail("is about the workload, and follows the launch separator")
		}
		separated = separated || typ == cosSeparator
		out = append(out, COSEvent{typ, string(v)})
	}
	if subtle.ConstantTimeCompare(reg, want) != 1 {
		return nil, fault.New(fault.Binding, "the canonical event log gives %x, the evidence has %x", reg, want)
	}
	return out, nil
}

package eventlog

import (
	"bytes"
	"crypto/subtle"
	"encoding/hex"
	"strconv"
	"unicode/utf8"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// UserspaceEvent is one record of the log that systemd keeps of what it extended after the firmware had finished
// (/run/log/systemd/tpm2-measure.log), or of a canonical event log in JSON.
type UserspaceEvent struct {
	PCR     uint32
	Digests []Digest
	Text    string // content.string, a hint
	Covered bool   // set by ExplainUserspace: the digest is that of Text
}

var userspaceAlgs = map[string]Alg{"sha1": SHA1, "sha256": SHA256, "sha384": SHA384, "sha512": SHA512}

// ParseUserspace reads records separated by RS (RFC 7464) or by line ends, or one JSON array of them. Records about NV
// indices are passed over: they extend no PCR.
func ParseUserspace(b []byte) ([]UserspaceEvent, error) {
	if len(b) > MaxSize {
		return nil, fault.New(fault.Malformed, "event log of %d bytes; at most %d are read", len(b), MaxSize)
	}
	var records [][]byte
	if t := bytes.TrimLeft(b, " \t\r\n"); len(t) > 0 && t[0] == '[' {
		var err error
		if records, err = jsonx.Array(t); err != nil {
			return nil, err
		}
	} else {
		records = bytes.FieldsFunc(b, func(c rune) bool { return c == 0x1e || c == '\n' })
	}
	if len(records) > maxEvents {
		return nil, fault.New(fault.Malformed, "userspace log: more than %d events", maxEvents)
	}
	var out []UserspaceEvent
	for i, raw := range records {
		e, ok, err := userspaceRecord(raw)
		if err != nil {
			return nil, fault.Wrap(err, "userspace log: record %d", i)
		}
		if ok {
			out = append(out, e)
		}
	}
	return out, nil
}

func userspaceRecord(raw []byte) (e UserspaceEvent, ok bool, err error) {
	list, err := jsonx.Object(raw)
	if err != nil {
		return e, false, err
	}
	for _, m := range list {
		switch m.Name {
		case "pcr":
			n, err := strconv.ParseUint(string(bytes.TrimSpace(m.Raw)), 10, 8)
			if err != nil || n >= NumPCRs {
				return e, false, fault.New(fault.Malformed, "PCR %.20s does not exist", m.Raw)
			}
			e.PCR, ok = uint32(n), true
		case "digests":
			if e.Digests, err = userspaceDigests(m.Raw); err != nil {
				return e, false, err
			}
		case "content":
			if c, err := jsonx.Object(m.Raw); err == nil {
				for _, x := range c {
					if s, err := jsonx.String(x.Raw); x.Name == "string" && err == nil && utf8.ValidString(s) {
						e.Text = s
					}
				}
			}
		}
	}
	return e, ok, nil
}

func userspaceDigests(raw []byte) ([]Digest, error) {
	list, err := jsonx.Array(raw)
	if err != nil {
		return nil, err
	}
	if len(list) > maxDigests {
		return nil, fault.New(fault.Malformed, "more than %d digests", maxDigests)
	}
	var out []Digest
	for _, raw := range list {
		o, err := jsonx.Object(raw)
		if err != nil {
			return nil, err
		}
		var d Digest
		for _, m := range o {
			s, err := jsonx.String(m.Raw)
			if err != nil {
				return nil, err
			}
			switch m.Name {
			case "hashAlg":
				d.Alg = userspaceAlgs[s]
			case "digest":
				if d.Value, err = hex.DecodeString(s); err != nil {
					return nil, fault.New(fault.Malformed, "a digest that is not hex")
				}
			}
		}
		if d.Alg.Size() == 0 {
			continue // a bank that is not known here
		}
		if len(d.Value) != d.Alg.Size() {
			return nil, fault.New(fault.Malformed, "a digest of %s with %d bytes", d.Alg, len(d.Value))
		}
		out = append(out, d)
	}
	return out, nil
}

// ExplainWithUserspace is ExplainPCRs where the operating system went on to extend PCRs after the firmware: the events of
// userspace follow those of the log, in their order, and what comes out must be what was quoted.
func (l *Log) ExplainWithUserspace(p PCRs, events []UserspaceEvent) (*PCRsExplained, []UserspaceEvent, error) {
	later := map[uint32]bool{}
	for _, e := range events {
		later[e.PCR] = true
	}
	// The firmware's part is held against the quote only where userspace extended nothing.
	first := p
	regs := l.replay(p.Alg)
	for n := range later {
		if first.Values[n] != nil {
			first.Values[n] = regs[n]
		}
	}
	x, err := l.ExplainPCRs(first)
	if err != nil {
		return nil, nil, err
	}
	var out []UserspaceEvent
	for i, e := range events {
		if p.Values[e.PCR] == nil || resettable(int(e.PCR)) {
			x.Dropped |= 1 << e.PCR
			continue
		}
		ev := Event{Digests: e.Digests}
		d, n := ev.digest(p.Alg)
		if n != 1 {
			return nil, nil, fault.New(fault.Binding, "userspace log: record %d has %d digests of %s, one is required", i, n, p.Alg)
		}
		regs[e.PCR] = p.Alg.sum(regs[e.PCR], d)
		m := Measured{Alg: p.Alg, Digest: d}
		if e.Covered = e.Text != "" && m.covers([]byte(e.Text)); !e.Covered {
			e.Text = ""
		}
		e.Digests = []Digest{{p.Alg, d}}
		out = append(out, e)
	}
	for n := range later {
		if want := p.Values[n]; want != nil && !resettable(int(n)) && subtle.ConstantTimeCompare(regs[n], want) != 1 {
			return nil, nil, fault.New(fault.Binding, "firmware and userspace log give %x for PCR %d, the quote has %x", regs[n], n, want)
		}
	}
	return x, out, nil
}

// replay extends every PCR by the log.
func (l *Log) replay(alg Alg) [NumPCRs][]byte {
	var regs [NumPCRs][]byte
	for i := range regs {
		regs[i] = make([]byte, alg.Size())
		if i >= 17 && i <= 22 {
			regs[i] = bytes.Repeat([]byte{0xff}, alg.Size())
		}
	}
	begun := false
	for _, e := range l.Events {
		if e.Type == EVNoAction {
			if loc, ok := startupLocality(e); ok && !begun {
				regs[0][len(regs[0])-1] = loc
			}
			continue
		}
		if d, n := e.digest(alg); n == 1 && e.Index < NumPCRs {
			begun = begun || e.Index == 0
			regs[e.Index] = alg.sum(regs[e.Index], d)
		}
	}
	return regs
}

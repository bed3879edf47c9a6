package tdx

import (
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/uefi"
)

// ParseReferenceLog reads the events of a machine that booted once: a CC event log (the content of the CCEL table), or dstack's
// JSON list of events, alone or in the event_log member of a quote response. Its digests are claims of that machine; they
// mean something only once a quote with the same registers has been verified.
func ParseReferenceLog(data []byte) ([]Event, error) {
	for _, b := range data {
		switch b {
		case ' ', '\t', '\r', '\n':
			continue
		case '[', '{':
			return parseJSONLog(data)
		}
		break
	}
	log, err := uefi.ParseLog(data)
	if err != nil {
		return nil, err
	}
	var out []Event
	for i, e := range log {
		if e.Type == uefi.EvNoAction {
			continue // never extended
		}
		if e.Index == 0 {
			continue // MRTD, which no event extends
		}
		d := e.Digests[uefi.AlgSHA384]
		if e.Index > 4 || len(d) != len(measure.SHA384{}) {
			return nil, fault.New(fault.Malformed, "event %d of the log is for register %d and has no SHA-384 digest; is it the log of a TPM?", i, e.Index)
		}
		out = append(out, Event{int(e.Index) - 1, e.Type, measure.SHA384(d), describe(e.Type, e.Data), Reference})
	}
	return out, nil
}

type jsonEvent struct {
	IMR     int            `json:"imr"`
	Type    uefi.EventType `json:"event_type"`
	Digest  string         `json:"digest"`
	Event   string         `json:"event"`
	Payload string         `json:"event_payload"`
}

const maxLogEvents = 65536

func parseJSONLog(data []byte) ([]Event, error) {
	if len(data) > uefi.MaxLog {
		return nil, fault.New(fault.Malformed, "an event log of %d bytes; at most %d MiB are read", len(data), uefi.MaxLog>>20)
	}
	if err := jsonx.Check(data); err != nil {
		return nil, err
	}
	var response struct {
		EventLog json.RawMessage `json:"event_log"`
	}
	if json.Unmarshal(data, &response) == nil && len(response.EventLog) > 0 {
		data = response.EventLog
		var text string
		if json.Unmarshal(data, &text) == nil { // a list inside a string
			data = []byte(text)
			if err := jsonx.Check(data); err != nil {
				return nil, err
			}
		}
	}
	var events []jsonEvent
	if err := json.Unmarshal(data, &events); err != nil {
		return nil, fault.New(fault.Malformed, "no JSON list of events: %w", err)
	}
	if len(events) > maxLogEvents {
		return nil, fault.New(fault.Malformed, "more than %d events", maxLogEvents)
	}
	var out []Event
	for i, e := range events {
		payload, err := hex.DecodeString(e.Payload)
		if err != nil {
			return nil, fault.New(fault.Malformed, "event %d of the log has a payload that is not hex", i)
		}
		x := Event{RTMR: e.IMR, Type: e.Type, What: e.Event, Source: Reference}
		if e.Type == uefi.EvDstack {
			x.Digest, x.Source = DstackDigest(e.Event, payload), Computed
		} else if x.Digest, err = measure.ParseSHA384(e.Digest); err != nil {
			return nil, fault.New(fault.Malformed, "event %d of the log: %w", i, err)
		}
		if x.What == "" {
			x.What = describe(e.Type, payload)
		}
		out = append(out, x)
	}
	return out, nil
}

// describe gives a short name for an event of a log.
func describe(t uefi.EventType, data []byte) string {
	switch t {
	case uefi.EvHandoffTables2:
		return "TD HOB"
	case uefi.EvFirmwareBlob2:
		return "CFV"
	case uefi.EvVariableDriver, uefi.EvVariableBoot, uefi.EvVariableAuthority:
		if name := variableName(data); name != "" {
			return name
		}
	case uefi.EvAction:
		return printable(data)
	case uefi.EvEventTag:
		if len(data) > 8 {
			return printable(data[8:])
		}
	}
	return t.String()
}

func variableName(data []byte) string {
	if len(data) < 32 {
		return ""
	}
	n := int(data[16]) | int(data[17])<<8
	if 32+2*n > len(data) || n > 256 {
		return ""
	}
	var s []byte
	for i := range n {
		s = append(s, data[32+2*i])
	}
	return printable(s)
}

func printable(b []byte) string {
	var s []byte
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			break
		}
		s = append(s, c)
	}
	return string(s)
}

// Overlay takes the events of a reference log and puts what was computed in their places, so that a changed kernel or command
// line can be predicted for a machine of which everything else is known. Each override replaces the first event of its
// register and type that was not replaced yet, and, if it has a name the log knows, of that name. An override without a place
// in the log is [fault.Usage].
func Overlay(log, overrides []Event) ([]Event, error) {
	out := append([]Event(nil), log...)
	done := make([]bool, len(out))
	for _, o := range overrides {
		at := -1
		for i, e := range out {
			if done[i] || e.RTMR != o.RTMR || e.Type != o.Type {
				continue
			}
			if e.What == o.What {
				at = i
				break
			}
			// Logs without payloads have no names; then the order decides.
			if at < 0 && e.What == e.Type.String() {
				at = i
			}
		}
		if at < 0 {
			at = firstFree(out, done, o)
		}
		if at < 0 {
			return nil, fault.New(fault.Usage, "the reference log has no %v event in RTMR%d for the %s: it is of another kind of boot", o.Type, o.RTMR, o.What)
		}
		out[at], done[at] = o, true
	}
	return out, nil
}

func firstFree(events []Event, done []bool, o Event) int {
	named := o.Type == uefi.EvVariableDriver || o.Type == uefi.EvVariableBoot
	for i, e := range events {
		if !done[i] && e.RTMR == o.RTMR && e.Type == o.Type && !named {
			return i
		}
	}
	return -1
}

// Summary counts the sources of events, for people.
func Summary(events []Event) string {
	n := map[string]int{}
	for _, e := range events {
		n[e.Source]++
	}
	return fmt.Sprintf("%d events: %d computed, %d given, %d constant, %d taken from the reference log", len(events), n[Computed], n[Given], n[Constant], n[Reference])
}

package eventlog

import (
	"encoding/binary"
	"testing"
	"unicode/utf16"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/fault"
)

// uefiVariable is UEFI_VARIABLE_DATA.
func uefiVariable(name string, data []byte) []byte {
	u := utf16.Encode([]rune(name))
	b := append([]byte(nil), efiGlobal[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(u)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(data)))
	for _, c := range u {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return append(b, data...)
}

// What runs after the firmware can extend PCR 7 as well, and types of events are not measured. Whatever the separator is
// called, what comes after it says nothing about Secure Boot.
func TestSecureBootCannotBeForgedAfterTheSeparator(t *testing.T) {
	zeros := []byte{0, 0, 0, 0}
	event := func(typ Type, data, measured []byte) Event {
		return Event{Index: 7, Type: typ, Digests: []Digest{{SHA256, SHA256.sum(measured)}}, Data: data}
	}
	variable := func(name string, v ...byte) Event {
		d := uefiVariable(name, v)
		return event(EVEFIVariableDriverConfig, d, d)
	}
	off := uefiVariable("SecureBoot", []byte{0})
	authority := uefiVariable("db", []byte{1})
	forged := []Event{variable("SecureBoot", 1), variable("PK", 1), variable("KEK", 1), variable("db", 1), event(EVEFIVariableAuthority, authority, authority)}
	hidden := event(Type(0x80000099), off, off)
	explain := func(events ...Event) (*PCRsExplained, error) {
		l := &Log{Banks: []Alg{SHA256}, Events: events}
		p := PCRs{Alg: SHA256}
		p.Values[7] = make([]byte, 32)
		for _, e := range events {
			p.Values[7] = SHA256.sum(p.Values[7], e.Digests[0].Value)
		}
		return l.ExplainPCRs(p)
	}
	x, err := explain(forged...)
	if err != nil || !member(t, x.BootClaims("pcr"), "secure_boot").Bool() {
		t.Fatalf("firmware's own events: %v", err)
	}
	x, err = explain(append([]Event{hidden, event(EVSeparator, zeros, zeros)}, forged...)...)
	if err != nil || member(t, x.BootClaims("pcr"), "secure_boot").Kind != claim.NodeNull {
		t.Errorf("after the separator: %v", err)
	}
	for _, typ := range []Type{Type(0x80000099), EVEFIVariableBoot, EVEFIVariableBoot2} {
		if _, err := explain(append([]Event{hidden, event(typ, uefiVariable("BootOrder", zeros), zeros)}, forged...)...); !fault.Is(err, fault.Binding) {
			t.Errorf("the separator under the type %s: %v", typ, err)
		}
	}
}

// In a TD the register of Secure Boot has other separators too; the first of them ends what the firmware says about it.
func TestSecureBootOfATDCannotBeForged(t *testing.T) {
	zeros := []byte{0, 0, 0, 0}
	event := func(typ Type, data, measured []byte) Event {
		return Event{Index: 1, Type: typ, Digests: []Digest{{SHA384, SHA384.sum(measured)}}, Data: data}
	}
	on, off := uefiVariable("SecureBoot", []byte{1}), uefiVariable("SecureBoot", []byte{0})
	state := func(events ...Event) claim.Node {
		t.Helper()
		reg := make([]byte, 48)
		for _, e := range events {
			reg = SHA384.sum(reg, e.Digests[0].Value)
		}
		x, err := (&Log{Banks: []Alg{SHA384}, Events: events}).Explain(Registers{Alg: SHA384, First: 1, Name: "RTMR", Values: [][]byte{reg}})
		if err != nil {
			t.Fatal(err)
		}
		return member(t, x.BootClaims("rtmr_"), "secure_boot")
	}
	if s := state(event(EVEFIVariableDriverConfig, on, on), event(EVSeparator, zeros, zeros)); !s.Bool() {
		t.Errorf("firmware's own event: %s", s)
	}
	for _, typ := range []Type{Type(0x80000099), EVEFIVariableBoot, EVSeparator} {
		data := zeros
		if typ == EVEFIVariableBoot {
			data = uefiVariable("BootOrder", zeros)
		}
		if s := state(event(Type(0x80000099), off, off), event(typ, data, zeros), event(EVEFIVariableDriverConfig, on, on)); s.Kind != claim.NodeNull {
			t.Errorf("after a separator under the type %s: %s", typ, s)
		}
	}
}

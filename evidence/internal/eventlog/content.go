package eventlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// Content is what an event says as far as its digest covers it (kbs-evidence.md section 6, last table).
type Content struct {
	Kind     Kind
	Text     string    // Action, GRUBCommand, KernelCmdline
	Variable *Variable // Variable: all of it; BootVariable: Data only
	AAEL     *AAEL
	Data     []byte // Separator, GPT
}

// Kind says what a content is.
type Kind uint8

// The kinds of content.
const (
	KindSeparator Kind = iota
	KindAction
	KindVariable     // EV_EFI_VARIABLE_DRIVER_CONFIG and _AUTHORITY: name, GUID and data
	KindBootVariable // EV_EFI_VARIABLE_BOOT: data, not the name
	KindGPT
	KindAAEL
	KindGRUBCommand
	KindKernelCmdline
)

// Variable is UEFI_VARIABLE_DATA.
type Variable struct {
	GUID [16]byte // as in the log
	Name string
	Data []byte
}

// AAEL is a runtime event of the guest components.
type AAEL struct{ Domain, Operation, Content string }

// Labels of EV_EVENT_TAG.
const (
	tagAAEL        = 0x4141454c
	TagLoadOptions = 0x8f3b22ed
	TagInitrd      = 0x8f3b22ec
)

var errContent = errors.New("does not hash to its digest, which covers its whole content")

// covered returns what the digest of m covers. Content of types whose digest is over all of it must fit: there a
// mismatch means that somebody edited the log.
func (m *Measured) covered() (*Content, error) {
	switch m.Type {
	case EVSeparator, EVEFIAction, EVEFIVariableDriverConfig, EVEFIVariableAuthority, EVEFIGPTEvent:
		if !m.covers(m.Data) {
			return nil, errContent
		}
	}
	switch m.Type {
	case EVSeparator:
		return &Content{Kind: KindSeparator, Data: m.Data}, nil
	case EVEFIAction:
		return &Content{Kind: KindAction, Text: printable(m.Data)}, nil
	case EVEFIGPTEvent:
		return &Content{Kind: KindGPT, Data: m.Data}, nil
	case EVEFIVariableDriverConfig, EVEFIVariableAuthority:
		if v := parseVariable(m.Data); v != nil {
			return &Content{Kind: KindVariable, Variable: v}, nil
		}
	case EVEFIVariableBoot, EVEFIVariableBoot2:
		if v := parseVariable(m.Data); v != nil && m.covers(v.Data) {
			return &Content{Kind: KindBootVariable, Variable: &Variable{Data: v.Data}}, nil
		}
	case EVEventTag:
		return m.coveredTag()
	case EVIPL:
		return m.coveredGRUB(), nil
	}
	return nil, nil
}

func (m *Measured) coveredTag() (*Content, error) {
	id, text, ok := taggedEvent(m.Data)
	if !ok || id != tagAAEL {
		return nil, nil
	}
	if !m.covers(m.Data) {
		return nil, errContent
	}
	a := parseAAEL(text)
	if a == nil {
		return nil, nil
	}
	return &Content{Kind: KindAAEL, AAEL: a}, nil
}

// taggedEvent splits TCG_PCClientTaggedEvent: id, size, and data of that size.
func taggedEvent(b []byte) (id uint32, data []byte, ok bool) {
	if len(b) < 8 {
		return 0, nil, false
	}
	n := uint64(binary.LittleEndian.Uint32(b[4:]))
	if n != uint64(len(b)-8) {
		return 0, nil, false
	}
	return binary.LittleEndian.Uint32(b), b[8:], true
}

// parseAAEL splits "domain operation content" at the first two blanks.
func parseAAEL(text []byte) *AAEL {
	if !utf8.Valid(text) {
		return nil
	}
	domain, rest, ok1 := bytes.Cut(text, []byte(" "))
	op, content, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok1 || !ok2 || len(domain) == 0 || len(op) == 0 {
		return nil
	}
	return &AAEL{string(domain), string(op), string(content)}
}

// grubLabels are the labels that GRUB puts before a text; the digest covers the text behind them, in newer builds without
// the final NUL, in older ones with it (tsm-tpm.md section 12).
var grubLabels = []struct {
	label string
	kind  Kind
}{
	{"grub_cmd: ", KindGRUBCommand}, {"grub_cmd ", KindGRUBCommand},
	{"kernel_cmdline: ", KindKernelCmdline}, {"grub_kernel_cmdline ", KindKernelCmdline},
}

func (m *Measured) coveredGRUB() *Content {
	for _, l := range grubLabels {
		text, ok := bytes.CutPrefix(m.Data, []byte(l.label))
		if !ok {
			continue
		}
		text, _, _ = bytes.Cut(text, []byte{0}) // a stray byte follows the NUL in real logs
		if utf8.Valid(text) && (m.covers(text) || m.covers(text, []byte{0})) {
			return &Content{Kind: l.kind, Text: string(text)}
		}
	}
	return nil
}

// maxVariableName bounds the name of a variable in UTF-16 units.
const maxVariableName = 1024

// parseVariable reads UEFI_VARIABLE_DATA; nil when lengths do not fit, then the event stays opaque.
func parseVariable(b []byte) *Variable {
	if len(b) < 32 {
		return nil
	}
	units, size := binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
	rest := uint64(len(b) - 32)
	if units > maxVariableName || 2*units > rest || size > rest-2*units {
		return nil
	}
	v := &Variable{GUID: [16]byte(b[:16]), Name: utf16Text(b[32 : 32+2*units])}
	v.Data = b[32+2*units : 32+2*units+size]
	return v
}

func utf16Text(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(u))
}

// printable returns text up to its NUL, or "" for what is no text.
func printable(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	if !utf8.Valid(b) {
		return ""
	}
	return string(b)
}

package intel

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/dcap"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// maxContainer bounds evidence in any form, in bytes: a quote of 64 KiB and an event log of 2 MiB, in base64.
const maxContainer = 3 << 20

// Forms of evidence.
const (
	FormatQuote = "quote"    // binary
	FormatKBS   = "kbs-json" // {"quote": "…", "cc_eventlog": "…"} of Trustee's guests
)

// Container is evidence with its wrappings taken off. Nothing in it is trusted.
type Container struct {
	Format   string
	Quote    []byte
	EventLog []byte
}

// Detect names the form of data, and reports whether it looks like a quote of tee, good or bad.
func Detect(data []byte, tee dcap.TEE) (format string, ok bool) {
	c, err := unwrapData(data)
	if err != nil {
		return "", false
	}
	got, ok := looksLike(c.Quote)
	return c.Format, ok && got == tee
}

// looksLike reads the TEE off the beginning of a quote. No other evidence has version and key type in this place.
func looksLike(q []byte) (dcap.TEE, bool) {
	if len(q) < dcap.HeaderSize {
		return 0, false
	}
	v, key, tee := binary.LittleEndian.Uint16(q), binary.LittleEndian.Uint16(q[2:]), binary.LittleEndian.Uint32(q[4:])
	if v < 2 || v > 16 || key < 1 || key > 8 {
		return 0, false
	}
	if tee == 0x81 {
		return dcap.TDX, true
	}
	return dcap.SGX, tee < 0x100
}

// Unwrap takes the wrappings off evidence for the driver of that name. Its errors are of class malformed or unsupported.
func Unwrap(driver string, ev evidence.Evidence) (Container, error) {
	if ev.TEE != "" && ev.TEE != driver {
		return Container{}, fault.New(fault.Unsupported, "evidence of TEE %q was given to the driver of %q", ev.TEE, driver)
	}
	c, err := unwrapData(ev.Data)
	if err != nil {
		return Container{}, err
	}
	if ev.Format != "" && ev.Format != c.Format {
		return Container{}, fault.New(fault.Malformed, "the evidence is in the form %q, %q was said", c.Format, ev.Format)
	}
	if ev.EventLog != nil {
		c.EventLog = ev.EventLog
	}
	return c, nil
}

func unwrapData(data []byte) (Container, error) {
	switch {
	case len(data) == 0:
		return Container{}, fault.New(fault.Malformed, "empty evidence")
	case len(data) > maxContainer:
		return Container{}, fault.New(fault.Malformed, "evidence of %d bytes; at most %d are read", len(data), maxContainer)
	case !isText(data):
		return Container{Format: FormatQuote, Quote: data}, nil
	case isJSON(data):
		return unwrapJSON(data, 0)
	}
	raw, err := decodeText(data)
	if err != nil {
		return Container{}, err
	}
	if isText(raw) && isJSON(raw) {
		return unwrapJSON(raw, 0)
	}
	return Container{Format: FormatQuote, Quote: raw}, nil
}

// isText looks at the beginning: a quote begins with its version, whose upper byte is zero.
func isText(data []byte) bool {
	for _, b := range data[:min(len(data), 64)] {
		if (b < ' ' || b > '~') && b != '\n' && b != '\r' && b != '\t' {
			return false
		}
	}
	return true
}

func isJSON(text []byte) bool {
	t := bytes.TrimLeft(text, " \t\r\n")
	return len(t) > 0 && t[0] == '{'
}

// unwrapJSON reads the form of Trustee's guests (kbs-evidence.md sections 3 and 4), also inside the wrapping of a KBS
// client. Unknown members are accepted and decide nothing.
func unwrapJSON(text []byte, depth int) (Container, error) {
	members, err := jsonx.Object(text)
	if err != nil {
		return Container{}, err
	}
	has := map[string][]byte{}
	for _, m := range members {
		if !jsonx.IsNull(m.Raw) {
			has[m.Name] = m.Raw
		}
	}
	if inner := has["primary_evidence"]; inner != nil && depth == 0 {
		if inner[0] == '"' {
			s, err := jsonx.String(inner)
			if err != nil {
				return Container{}, err
			}
			inner = []byte(s)
		}
		return unwrapJSON(inner, depth+1)
	}
	if has["quote"] == nil {
		return Container{}, fault.New(fault.Malformed, "JSON without a member \"quote\" is no evidence of TDX or SGX")
	}
	c := Container{Format: FormatKBS}
	if c.Quote, err = member(has, "quote"); err != nil {
		return Container{}, err
	}
	c.EventLog, err = member(has, "cc_eventlog")
	return c, err
}

func member(has map[string][]byte, name string) ([]byte, error) {
	raw := has[name]
	if raw == nil {
		return nil, nil
	}
	s, err := jsonx.String(raw)
	if err != nil {
		return nil, fault.Wrap(err, "%s", name)
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, fault.New(fault.Malformed, "%s is not base64: %w", name, err)
	}
	return b, nil
}

// decodeText decodes hex or base64 (standard or URL alphabet, with or without padding, with line breaks).
func decodeText(data []byte) ([]byte, error) {
	text := make([]byte, 0, len(data))
	hexOnly := true
	for _, b := range data {
		switch b {
		case '\n', '\r', '\t', ' ':
			continue
		case '-':
			b = '+'
		case '_':
			b = '/'
		}
		hexOnly = hexOnly && (b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F')
		text = append(text, b)
	}
	if hexOnly {
		if n, err := hex.Decode(text, text); err == nil && n > 0 {
			return text[:n], nil
		}
		return nil, fault.New(fault.Malformed, "hex text of odd length")
	}
	text = bytes.TrimRight(text, "=")
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(text)))
	n, err := base64.RawStdEncoding.Decode(out, text)
	if err != nil || n == 0 {
		return nil, fault.New(fault.Malformed, "text that is neither JSON, hex nor base64")
	}
	return out[:n], nil
}

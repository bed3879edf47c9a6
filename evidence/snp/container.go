package snp

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// Limits on what is read before anything is authenticated (performance.md section 11).
const (
	maxContainer    = 512 << 10 // bytes of evidence in any form; JSON writes a byte as up to four characters
	maxSupplied     = 32        // certificates and lists that come with one piece of evidence
	maxSuppliedBlob = 64 << 10  // bytes of one of them
)

// Forms of evidence.
const (
	FormatReport   = "report"          // 1184 bytes
	FormatExtended = "extended-report" // 1184 bytes, then the GHCB certificate table
	FormatKBS      = "kbs-json"        // {"attestation_report": {…}, "cert_chain": […]} of Trustee's guests
	FormatAproxy   = "aproxy-json"     // {"snp-report": "…", "certs-buf": "…"} of COCONUT-SVSM's aproxy
)

// role is what the container says that a certificate is. It chooses no more than which checks may refuse it.
type role uint8

const (
	roleUnknown role = iota
	roleVEK
	roleIssuer // ASK, ASVK or ARK: must equal one that is built in or configured
	roleCRL
)

// supplied is a certificate or list that came with evidence, DER.
type supplied struct {
	role role
	der  []byte
}

// container is evidence with its wrappings taken off. Nothing in it is trusted.
type container struct {
	format   string
	report   []byte // not yet parsed
	supplied []supplied
}

// Detect names the form of data, and reports whether it looks like SNP evidence at all, good or bad: what this driver
// recognises, it can refuse with a reason.
func Detect(data []byte) (format string, ok bool) {
	if len(data) == 0 || len(data) > maxContainer {
		return "", false
	}
	plain := data
	if isText(plain) && !isJSON(plain) {
		raw, err := decodeText(plain)
		if err != nil {
			return "", false
		}
		plain = raw
	}
	if isText(plain) {
		return detectJSON(plain, 0)
	}
	// A report begins with its version, a small number in four bytes; no other evidence does.
	if len(plain) < 64 || plain[0] == 0 || plain[0] > 16 || plain[1]|plain[2]|plain[3] != 0 {
		return "", false
	}
	if len(plain) <= ReportSize {
		return FormatReport, true
	}
	return FormatExtended, true
}

func detectJSON(text []byte, depth int) (string, bool) {
	if !isJSON(text) {
		return "", false
	}
	o, err := jsonObject(text)
	if err != nil {
		return "", false
	}
	if _, ok := o["snp-report"]; ok {
		return FormatAproxy, true
	}
	if raw, ok := o["attestation_report"]; ok {
		// Evidence of other TEEs has a member of this name too; chip_id is AMD's.
		r, err := jsonObject(raw)
		_, amd := r["chip_id"]
		return FormatKBS, err == nil && amd
	}
	if inner, err := primaryEvidence(o); err == nil && inner != nil && depth == 0 {
		return detectJSON(inner, depth+1)
	}
	return "", false
}

func isJSON(text []byte) bool {
	t := bytes.TrimLeft(text, " \t\r\n")
	return len(t) > 0 && t[0] == '{'
}

// unwrap takes the wrappings off ev and collects all certificates that came with it.
func unwrap(ev evidence.Evidence) (*container, error) {
	if ev.TEE != "" && ev.TEE != Name {
		return nil, fault.New(fault.Unsupported, "evidence of TEE %q was given to the driver of %q", ev.TEE, Name)
	}
	c, err := unwrapData(ev.Data)
	if err != nil {
		return nil, err
	}
	if ev.Format != "" && ev.Format != c.format {
		return nil, fault.New(fault.Malformed, "the evidence is in the form %q, %q was said", c.format, ev.Format)
	}
	if err := c.addTable(ev.Aux); err != nil {
		return nil, fault.Wrap(err, "auxblob")
	}
	for i, b := range ev.Endorsements {
		if err := c.addBlob(b); err != nil {
			return nil, fault.Wrap(err, "supplied certificate %d", i+1)
		}
	}
	return c, nil
}

func unwrapData(data []byte) (*container, error) {
	if len(data) == 0 {
		return nil, fault.New(fault.Malformed, "empty evidence")
	}
	if len(data) > maxContainer {
		return nil, fault.New(fault.Malformed, "evidence of %d bytes; at most %d are read", len(data), maxContainer)
	}
	if c, err := unwrapPlain(data); c != nil || err != nil {
		return c, err
	}
	raw, err := decodeText(data)
	if err != nil {
		return nil, err
	}
	c, err := unwrapPlain(raw)
	if c == nil && err == nil {
		return nil, fault.New(fault.Malformed, "text that decodes to text, but to no SNP evidence")
	}
	return c, err
}

// unwrapPlain reads the binary and JSON forms. It returns nil, nil for other text. A binary report begins with its
// version, whose upper bytes are zero, so text and binary never look alike.
func unwrapPlain(data []byte) (*container, error) {
	if !isText(data) {
		return unwrapBinary(data)
	}
	if isJSON(data) {
		return unwrapJSON(data, 0)
	}
	return nil, nil
}

func isText(data []byte) bool {
	for _, b := range data[:min(len(data), 64)] {
		if (b < ' ' || b > '~') && b != '\n' && b != '\r' && b != '\t' {
			return false
		}
	}
	return true
}

func unwrapBinary(data []byte) (*container, error) {
	if len(data) <= ReportSize {
		return &container{format: FormatReport, report: data}, nil // Parse judges the length
	}
	c := &container{format: FormatExtended, report: data[:ReportSize]}
	if err := c.addTable(data[ReportSize:]); err != nil {
		return nil, fault.Wrap(err, "%d bytes follow the report", len(data)-ReportSize)
	}
	return c, nil
}

// decodeText decodes hex or base64 (standard or URL alphabet, with or without padding, with line breaks).
func decodeText(data []byte) ([]byte, error) {
	text := make([]byte, 0, len(data))
	for _, b := range data {
		switch b {
		case '\n', '\r', '\t', ' ':
		case '-':
			text = append(text, '+')
		case '_':
			text = append(text, '/')
		default:
			text = append(text, b)
		}
	}
	out := make([]byte, max(hex.DecodedLen(len(text)), base64.RawStdEncoding.DecodedLen(len(text))))
	if n, err := hex.Decode(out, text); err == nil && n > 0 {
		return out[:n], nil
	}
	n, err := base64.RawStdEncoding.Strict().Decode(out, bytes.TrimRight(text, "="))
	if err != nil || n == 0 {
		return nil, fault.New(fault.Malformed, "neither an SNP report nor JSON, hex or base64 of one")
	}
	return out[:n], nil
}

// addTable adds the entries of a certificate table. Unknown GUIDs are kept out: nothing signs them.
func (c *container) addTable(b []byte) error {
	entries, err := parseTable(b)
	if err != nil {
		return err
	}
	for _, e := range entries {
		r := roleUnknown
		switch e.guid {
		case guidVCEK, guidVLEK:
			r = roleVEK
		case guidASK, guidARK:
			r = roleIssuer
		case guidCRL:
			r = roleCRL
		}
		if r == roleUnknown || len(e.data) == 0 {
			continue
		}
		if err := c.addEncoded(r, e.data); err != nil {
			return fault.Wrap(err, "certificate table entry %x", e.guid[:4])
		}
	}
	return nil
}

// addBlob adds what an operator or a collector supplied: DER, PEM with one or more blocks, or a certificate table.
func (c *container) addBlob(b []byte) error {
	if looksLikeTable(b) {
		return c.addTable(b)
	}
	return c.addEncoded(roleUnknown, b)
}

func looksLikeTable(b []byte) bool {
	if len(b) < tableEntrySize {
		return false
	}
	switch guidBytes(b[:16]) {
	case guidVCEK, guidVLEK, guidASK, guidARK, guidCRL:
		return true
	}
	return false
}

// addEncoded adds DER, or the certificates and lists of PEM text.
func (c *container) addEncoded(r role, b []byte) error {
	if len(b) > maxSuppliedBlob {
		return fault.New(fault.Malformed, "%d bytes; at most %d are read", len(b), maxSuppliedBlob)
	}
	ders, err := decodePEM(b)
	if err != nil {
		return err
	}
	for _, d := range ders {
		if d.crl {
			r = roleCRL
		}
		if err := c.add(supplied{r, d.der}); err != nil {
			return err
		}
	}
	return nil
}

func (c *container) add(s supplied) error {
	if len(c.supplied) == maxSupplied {
		return fault.New(fault.Malformed, "more than %d certificates came with the evidence", maxSupplied)
	}
	c.supplied = append(c.supplied, s)
	return nil
}

type derBlob struct {
	der []byte
	crl bool // by its PEM type; DER does not say
}

// decodePEM returns the certificates and lists of PEM text; what is not PEM is returned as DER.
func decodePEM(b []byte) ([]derBlob, error) {
	if len(b) > 0 && b[0] == 0x30 {
		return []derBlob{{der: b}}, nil
	}
	var out []derBlob
	for rest := b; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch block.Type {
		case "CERTIFICATE", "X509 CRL":
			if len(out) == maxSupplied {
				return nil, fault.New(fault.Malformed, "more than %d PEM blocks", maxSupplied)
			}
			out = append(out, derBlob{block.Bytes, block.Type == "X509 CRL"})
		}
	}
	if out == nil {
		return nil, fault.New(fault.Malformed, "neither a DER nor a PEM certificate or CRL")
	}
	return out, nil
}

package azvtpm

import (
	"bytes"
	"encoding/hex"
	"encoding/pem"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/vtpm"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

const (
	maxContainer = 512 << 10 // bytes of evidence; a byte may take four characters
	maxTDQuote   = 64 << 10
	maxVCEK      = 16 << 10
)

// FormatJSON is the one form of evidence, in all its versions.
const FormatJSON = "json"

// container is evidence with its wrappings taken off. Nothing in it is trusted.
type container struct {
	hcl     *HCL
	msg     []byte
	sig     vtpm.Signature
	pcrs    vtpm.Bank
	vcek    []byte // DER
	tdQuote []byte
}

// open takes off the wrappings around the members.
func open(text []byte) (object, error) {
	if len(text) == 0 {
		return nil, fault.New(fault.Malformed, "empty evidence")
	}
	for range 3 {
		o, err := members(text)
		if err != nil {
			return nil, err
		}
		switch {
		case o["primary_evidence"] != nil:
			text = o["primary_evidence"]
		case o["platform"] != nil && o["evidence"] != nil:
			text = o["evidence"]
		default:
			return o, nil
		}
		if text[0] == '"' {
			s, err := jsonx.String(text)
			if err != nil {
				return nil, err
			}
			text = []byte(s)
		}
	}
	return nil, fault.New(fault.Malformed, "evidence wrapped too often")
}

// detect reports whether data looks like evidence of Azure, and with which kind of HCL report.
func detect(data []byte, kind uint32) bool {
	t := bytes.TrimLeft(data[:min(len(data), 64)], " \t\r\n")
	if len(t) == 0 || t[0] != '{' {
		return false
	}
	o, err := open(data)
	if err != nil {
		return false
	}
	raw := o.either("hcl_report", "report")
	if raw == nil || o.either("tpm_quote", "quote") == nil {
		return false
	}
	if o["td_quote"] != nil || o["vcek"] != nil {
		return (o["td_quote"] != nil) == (kind == typeTDX)
	}
	b, err := bytesOf(raw, maxHCL)
	if err != nil {
		return false
	}
	h, err := ParseHCL(b)
	return err == nil && h.ReportType == kind
}

func (o object) either(names ...string) []byte {
	for _, n := range names {
		if o[n] != nil {
			return o[n]
		}
	}
	return nil
}

func unwrap(name string, ev evidence.Evidence) (*container, error) {
	switch {
	case ev.TEE != "" && ev.TEE != name:
		return nil, fault.New(fault.Unsupported, "evidence of TEE %q was given to the driver of %q", ev.TEE, name)
	case ev.Format != "" && ev.Format != FormatJSON:
		return nil, fault.New(fault.Malformed, "the evidence is in the form %q, %q was said", FormatJSON, ev.Format)
	}
	o, err := open(ev.Data)
	if err != nil {
		return nil, err
	}
	switch v := string(bytes.TrimSpace(o["version"])); v {
	case "", "0", "1", "2":
	default:
		return nil, fault.New(fault.Unsupported, "evidence of version %.20s; none, 1 and 2 are known", v)
	}
	for _, pair := range [][2]string{{"tpm_quote", "quote"}, {"hcl_report", "report"}} {
		if o[pair[0]] != nil && o[pair[1]] != nil {
			return nil, fault.New(fault.Malformed, "both %q and %q are there", pair[0], pair[1])
		}
	}
	c := &container{}
	raw, err := bytesOf(o.either("hcl_report", "report"), maxHCL)
	if err != nil {
		return nil, fault.Wrap(err, "hcl_report")
	}
	if c.hcl, err = ParseHCL(raw); err != nil {
		return nil, err
	}
	if err := c.quote(o.either("tpm_quote", "quote")); err != nil {
		return nil, err
	}
	return c, c.certificate(o)
}

func (c *container) quote(raw []byte) error {
	q, err := members(raw)
	if err != nil {
		return fault.Wrap(err, "tpm_quote")
	}
	if c.msg, err = hexOf(q["message"], 2<<10); err != nil {
		return fault.Wrap(err, "tpm_quote.message")
	}
	c.sig = vtpm.Signature{Scheme: vtpm.RSASSA, Hash: vtpm.SHA256}
	if c.sig.RSA, err = hexOf(q["signature"], 1<<10); err != nil {
		return fault.Wrap(err, "tpm_quote.signature")
	}
	list, err := jsonx.Array(q["pcrs"])
	if err != nil {
		return fault.Wrap(err, "tpm_quote.pcrs")
	}
	if len(list) != vtpm.NumPCRs {
		return fault.New(fault.Malformed, "%d PCR values, %d are expected", len(list), vtpm.NumPCRs)
	}
	c.pcrs.Hash = vtpm.SHA256
	for i, raw := range list {
		if c.pcrs.Values[i], err = hexOf(raw, 64); err != nil {
			return fault.Wrap(err, "PCR value %d", i)
		}
		if len(c.pcrs.Values[i]) != vtpm.SHA256.Size() {
			return fault.New(fault.Malformed, "PCR value %d has %d bytes", i, len(c.pcrs.Values[i]))
		}
	}
	return nil
}

// certificate takes what the CPU's driver needs beside the HCL report.
func (c *container) certificate(o object) error {
	var err error
	if c.hcl.ReportType == typeTDX {
		if o["td_quote"] == nil {
			return fault.New(fault.Malformed, "an HCL report of TDX without a \"td_quote\": the TDREPORT in it proves nothing to others")
		}
		c.tdQuote, err = bytesOf(o["td_quote"], maxTDQuote)
		return fault.Wrap(err, "td_quote")
	}
	if o["vcek"] == nil {
		return nil // the operator may have it, or AMD's service
	}
	if o["vcek"][0] == '"' {
		if s, err := jsonx.String(o["vcek"]); err == nil {
			if block, rest := pem.Decode([]byte(s)); block != nil {
				if len(bytes.TrimSpace(rest)) != 0 || block.Type != "CERTIFICATE" {
					return fault.New(fault.Malformed, "vcek is not one certificate in PEM")
				}
				c.vcek = block.Bytes
				return nil
			}
		}
	}
	c.vcek, err = bytesOf(o["vcek"], maxVCEK)
	return fault.Wrap(err, "vcek")
}

// bytesOf decodes base64url or an array of numbers.
func bytesOf(raw []byte, most int) ([]byte, error) {
	if len(raw) > 0 && raw[0] == '[' {
		return byteArray(raw, most)
	}
	s, err := jsonx.String(raw)
	if err != nil {
		return nil, err
	}
	b, err := unbase64(s)
	if err == nil && len(b) > most {
		err = fault.New(fault.Malformed, "%d bytes; at most %d are read", len(b), most)
	}
	return b, err
}

// hexOf decodes hex or an array of numbers.
func hexOf(raw []byte, most int) ([]byte, error) {
	if len(raw) > 0 && raw[0] == '[' {
		return byteArray(raw, most)
	}
	s, err := jsonx.String(raw)
	if err != nil {
		return nil, err
	}
	if len(s) > 2*most {
		return nil, fault.New(fault.Malformed, "%d characters of hex; at most %d are read", len(s), 2*most)
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil, fault.New(fault.Malformed, "not hex: %w", err)
	}
	return b, nil
}

// byteArray decodes a JSON array of numbers from 0 to 255, which jsonx has checked to be an array, without a copy of each
// of them.
func byteArray(raw []byte, most int) ([]byte, error) {
	out := make([]byte, 0, min(len(raw)/2, most))
	bad := fault.New(fault.Malformed, "an array of bytes holds something else")
	digits, v, comma := 0, 0, false
	for _, ch := range raw[1:] {
		switch {
		case ch >= '0' && ch <= '9':
			if digits > 0 && v == 0 || digits == 3 {
				return nil, bad
			}
			v, digits = 10*v+int(ch-'0'), digits+1
		case ch == ',' || ch == ']':
			if digits == 0 && !(ch == ']' && !comma && len(out) == 0) || v > 255 {
				return nil, bad
			}
			if len(out) == most {
				return nil, fault.New(fault.Malformed, "more than %d bytes", most)
			}
			if digits > 0 {
				out = append(out, byte(v))
			}
			digits, v, comma = 0, 0, ch == ','
		case ch == ' ' || ch == '\n' || ch == '\t' || ch == '\r':
			// jsonx has refused blanks inside a number.
		default:
			return nil, bad
		}
	}
	return out, nil
}

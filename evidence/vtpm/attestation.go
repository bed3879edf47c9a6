package vtpm

import (
	"crypto/x509"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// The protobuf attest.Attestation of go-tpm-tools (tsm-tpm.md section 9), field by field.
const (
	fieldAKPub    = 1
	fieldQuotes   = 2
	fieldEventLog = 3
	fieldCEL      = 5
	fieldAKCert   = 6
	fieldInters   = 7
	fieldSEVSNP   = 8
	fieldTDX      = 9
	maxQuotes     = 8
	maxFields     = 1 << 10
	maxPCREntries = 64
)

// fields walks over the fields of a message. visit gets the bytes of length-delimited fields and the value of varints.
func fields(what string, b []byte, visit func(num protowire.Number, typ protowire.Type, raw []byte, v uint64) error) error {
	for n := 0; len(b) > 0; n++ {
		if n == maxFields {
			return fault.New(fault.Malformed, "%s has more than %d fields", what, maxFields)
		}
		num, typ, size := protowire.ConsumeTag(b)
		if size < 0 {
			return fault.New(fault.Malformed, "%s: %w", what, protowire.ParseError(size))
		}
		b = b[size:]
		var raw []byte
		var v uint64
		switch typ {
		case protowire.BytesType:
			raw, size = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			v, size = protowire.ConsumeVarint(b)
		default:
			size = protowire.ConsumeFieldValue(num, typ, b)
		}
		if size < 0 {
			return fault.New(fault.Malformed, "%s: %w", what, protowire.ParseError(size))
		}
		b = b[size:]
		if err := visit(num, typ, raw, v); err != nil {
			return err
		}
	}
	return nil
}

func looksLikeAttestation(data []byte) bool {
	if len(data) > maxContainer || len(data) < 64 {
		return false
	}
	quotes := 0
	err := fields("", data, func(num protowire.Number, typ protowire.Type, raw []byte, _ uint64) error {
		if num == fieldQuotes && typ == protowire.BytesType {
			quotes++
		}
		if num > 32 {
			return fault.New(fault.Malformed, "")
		}
		return nil
	})
	return err == nil && quotes > 0
}

// readAttestation reads the protobuf. The instance information in it is a copy that nothing signs, and is not read.
func readAttestation(data []byte) (*container, error) {
	c := &container{format: FormatAttestation}
	once := map[protowire.Number][]byte{}
	err := fields("attest.Attestation", data, func(num protowire.Number, typ protowire.Type, raw []byte, _ uint64) error {
		switch num {
		case fieldQuotes:
			if typ != protowire.BytesType || len(c.quotes) == maxQuotes {
				return fault.New(fault.Malformed, "more than %d quotes", maxQuotes)
			}
			q, err := readQuote(raw)
			if err != nil {
				return err
			}
			c.quotes = append(c.quotes, q)
		case fieldInters:
			if len(c.ak.inters) == maxIntermediates {
				return fault.New(fault.Malformed, "more than %d certificates came with the evidence", maxIntermediates)
			}
			c.ak.inters = append(c.ak.inters, raw)
		case fieldAKPub, fieldEventLog, fieldCEL, fieldAKCert, fieldSEVSNP, fieldTDX:
			if typ != protowire.BytesType || once[num] != nil {
				return fault.New(fault.Malformed, "field %d of attest.Attestation occurs twice", num)
			}
			once[num] = append([]byte{}, raw...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.logs.Firmware, c.logs.CEL = once[fieldEventLog], once[fieldCEL]
	if len(c.quotes) == 0 {
		return nil, fault.New(fault.Malformed, "no quote, so that this is no evidence of a TPM")
	}
	if err := c.readKey(once[fieldAKPub], once[fieldAKCert]); err != nil {
		return nil, err
	}
	return c, c.readCPU(once[fieldSEVSNP], once[fieldTDX])
}

// readKey takes the key of the certificate, else that of the TPMT_PUBLIC. Where both came along they must be one key: go-
// tpm-tools ignores the second, and then claims about its attributes would be about nothing.
func (c *container) readKey(pub, cert []byte) error {
	if len(pub) > 0 {
		p, err := ParsePublic(pub)
		if err != nil {
			return err
		}
		c.ak.public, c.ak.key = p, p.Key
	}
	if len(cert) > 0 {
		x, err := parseCert(cert)
		if err != nil {
			return err
		}
		c.ak.cert = cert
		if c.ak.key == nil {
			c.ak.key = x.PublicKey
		}
	}
	if c.ak.key == nil {
		return fault.New(fault.Malformed, "neither a public area nor a certificate of the attestation key")
	}
	var err error
	if c.ak.spki, err = x509.MarshalPKIXPublicKey(c.ak.key); err != nil {
		return fault.New(fault.Unsupported, "attestation key: %w", err)
	}
	return nil
}

// readQuote reads tpm.Quote: 1 quote, 2 raw_sig, 3 pcrs.
func readQuote(b []byte) (signedQuote, error) {
	var q signedQuote
	var sig, pcrs []byte
	err := fields("tpm.Quote", b, func(num protowire.Number, _ protowire.Type, raw []byte, _ uint64) error {
		switch num {
		case 1:
			q.msg = raw
		case 2:
			sig = raw
		case 3:
			pcrs = raw
		}
		return nil
	})
	if err != nil {
		return q, err
	}
	if q.sig, err = ParseSignature(sig); err != nil {
		return q, err
	}
	n := 0
	return q, fields("tpm.PCRs", pcrs, func(num protowire.Number, _ protowire.Type, raw []byte, v uint64) error {
		switch num {
		case 1:
			if v > 0xFFFF {
				return fault.New(fault.Malformed, "PCR bank %d", v)
			}
			q.given.Hash = Hash(v)
		case 2:
			if n++; n > maxPCREntries {
				return fault.New(fault.Malformed, "more than %d PCR values", maxPCREntries)
			}
			return q.given.readEntry(raw)
		}
		return nil
	})
}

// readEntry reads one entry of map<uint32, bytes>.
func (b *Bank) readEntry(raw []byte) error {
	var index uint64
	value := []byte{}
	err := fields("tpm.PCRs.pcrs", raw, func(num protowire.Number, _ protowire.Type, raw []byte, v uint64) error {
		switch num {
		case 1:
			index = v
		case 2:
			value = raw
		}
		return nil
	})
	if err != nil {
		return err
	}
	if index >= NumPCRs || b.Values[index] != nil {
		return fault.New(fault.Malformed, "PCR %d does not exist or is given twice", index)
	}
	b.Values[index] = value
	return nil
}

// readCPU takes the evidence of the CPU as it is; its driver judges it.
func (c *container) readCPU(snp, tdx []byte) error {
	switch {
	case len(snp) > 0 && len(tdx) > 0:
		return fault.New(fault.Malformed, "evidence of two CPU TEEs")
	case len(snp) > 0:
		ev, err := sevAttestation(snp)
		c.cpu = &cpuEvidence{"snp", ev}
		return err
	case len(tdx) > 0:
		quote, err := tdxQuote(tdx)
		c.cpu = &cpuEvidence{"tdx", evidence.Evidence{Data: quote}}
		return err
	}
	return nil
}

package kds

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"

	"github.com/assay-tee/assay/internal/fault"
)

// CheckAnswer refuses, as class unavailable, a body that is not what d asks for: of the wrong form, or the certificate
// of another chip or TCB. It keeps wrong answers out of caches and proves nothing: signatures are for the driver.
func CheckAnswer(d Document, body []byte) error {
	switch d.Kind {
	case CRL:
		if _, err := x509.ParseRevocationList(body); err != nil {
			return fault.New(fault.Unavailable, "the answer for %s is not a revocation list: %w", d.Path(), err)
		}
		return nil
	case CertChain:
		for n := 0; ; n++ {
			block, rest := pem.Decode(body)
			if block == nil {
				if n < 2 {
					return fault.New(fault.Unavailable, "the answer for %s is not a chain of certificates in PEM", d.Path())
				}
				return nil
			}
			if _, err := x509.ParseCertificate(block.Bytes); err != nil || block.Type != "CERTIFICATE" {
				return fault.New(fault.Unavailable, "the answer for %s holds what is no certificate (%s): %w", d.Path(), block.Type, err)
			}
			body = rest
		}
	}
	c, err := x509.ParseCertificate(body)
	if err != nil {
		return fault.New(fault.Unavailable, "the answer for %s is not a certificate: %w", d.Path(), err)
	}
	return d.matches(c)
}

// matches compares AMD's extensions (evidence-snp.md section 10) with what was asked for.
func (d Document) matches(c *x509.Certificate) error {
	want := map[int]uint8{1: d.SPL.BootLoader, 2: d.SPL.TEE, 3: d.SPL.SNP, 8: d.SPL.Microcode}
	if d.SPL.FMC != nil {
		want[9] = *d.SPL.FMC
	}
	var hwID []byte
	arc := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1}
	for _, x := range c.Extensions {
		if len(x.Id) <= len(arc) || !x.Id[:len(arc)].Equal(arc) {
			continue
		}
		switch id := x.Id[len(arc):]; {
		case len(id) == 1 && id[0] == 4:
			hwID = x.Value
		case len(id) == 2 && id[0] == 3:
			n, asked := want[id[1]]
			if asked && bytes.Equal(x.Value, derInt(n)) {
				delete(want, id[1])
			}
		}
	}
	if len(want) > 0 || !bytes.Equal(hwID, d.HWID) {
		return fault.New(fault.Unavailable, "the answer for %s is the certificate of another chip or TCB", d.Path())
	}
	return nil
}

func derInt(v uint8) []byte {
	if v < 0x80 {
		return []byte{2, 1, v}
	}
	return []byte{2, 2, 0, v}
}

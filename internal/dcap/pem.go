package dcap

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"

	"github.com/assay-tee/assay/internal/fault"
)

const (
	// MaxPEMSize bounds a chain as it comes with a quote or with collateral, in bytes.
	MaxPEMSize = 64 << 10
	// maxChainCerts bounds the certificates of one chain: Intel's have three.
	maxChainCerts = 8

	// Labels of PEM blocks.
	LabelCert = "CERTIFICATE"
	LabelCRL  = "X509 CRL"
)

// PEMBlock is one block of PEM text.
type PEMBlock struct {
	Label string // "CERTIFICATE"
	DER   []byte
}

// ScanPEM returns at most max blocks of PEM text. It takes what real carriers send and encoding/pem does not: blocks
// without a line break between them, CRLF, and NULs at the end (section 26, item 14). Text between blocks that is
// neither space nor NUL is refused. Its errors are of class malformed.
func ScanPEM(b []byte, max int) ([]PEMBlock, error) {
	var out []PEMBlock
	for {
		b = bytes.TrimLeft(b, " \t\r\n\x00")
		if len(b) == 0 {
			return out, nil
		}
		if len(out) == max {
			return nil, fault.New(fault.Malformed, "PEM: more than %d blocks", max)
		}
		rest, found := bytes.CutPrefix(b, []byte("-----BEGIN "))
		label, rest, closed := bytes.Cut(rest, []byte("-----"))
		if !found || !closed || len(label) > 64 {
			return nil, fault.New(fault.Malformed, "PEM: the beginning of a block is expected after %d blocks", len(out))
		}
		body, rest, found := bytes.Cut(rest, []byte("-----END "+string(label)+"-----"))
		if !found {
			return nil, fault.New(fault.Malformed, "PEM: block %d does not end", len(out)+1)
		}
		body = bytes.TrimSpace(body)
		der := make([]byte, base64.StdEncoding.DecodedLen(len(body)))
		n, err := base64.StdEncoding.Decode(der, body) // skips CR and LF
		if err != nil {
			return nil, fault.New(fault.Malformed, "PEM: block %d: %w", len(out)+1, err)
		}
		out = append(out, PEMBlock{string(label), der[:n]})
		b = rest
	}
}

// pemBlocks returns the contents of PEM text whose blocks all have one label.
func pemBlocks(b []byte, label string, max int) ([][]byte, error) {
	blocks, err := ScanPEM(b, max)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(blocks))
	for i, blk := range blocks {
		if blk.Label != label {
			return nil, fault.New(fault.Malformed, "PEM: block %d is %q, %q is expected", i+1, blk.Label, label)
		}
		out[i] = blk.DER
	}
	return out, nil
}

// ParseCerts reads the certificates of a PEM chain, at most eight. Its errors are of class malformed.
func ParseCerts(pemText []byte) ([]*x509.Certificate, error) {
	if len(pemText) > MaxPEMSize {
		return nil, fault.New(fault.Malformed, "certificate chain of %d bytes; at most %d are taken", len(pemText), MaxPEMSize)
	}
	ders, err := pemBlocks(pemText, LabelCert, maxChainCerts)
	if err != nil {
		return nil, err
	}
	if len(ders) == 0 {
		return nil, fault.New(fault.Malformed, "certificate chain: no certificate in it")
	}
	out := make([]*x509.Certificate, len(ders))
	for i, der := range ders {
		if out[i], err = x509.ParseCertificate(der); err != nil {
			return nil, fault.New(fault.Malformed, "certificate %d of the chain: %w", i+1, err)
		}
	}
	return out, nil
}

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

	blockCert = "CERTIFICATE"
	blockCRL  = "X509 CRL"
)

// pemBlocks returns the contents of all PEM blocks of one label. It takes what real carriers send and encoding/pem
// does not: blocks without a line break between them, CRLF, and NULs at the end (section 26, item 14). Text between
// blocks that is neither space nor NUL is refused.
func pemBlocks(b []byte, label string, max int) ([][]byte, error) {
	begin, end := []byte("-----BEGIN "+label+"-----"), []byte("-----END "+label+"-----")
	var out [][]byte
	for {
		b = bytes.TrimLeft(b, " \t\r\n\x00")
		if len(b) == 0 {
			return out, nil
		}
		if len(out) == max {
			return nil, fault.New(fault.Malformed, "PEM: more than %d blocks", max)
		}
		body, found := bytes.CutPrefix(b, begin)
		if !found {
			return nil, fault.New(fault.Malformed, "PEM: %q is expected after %d blocks", begin, len(out))
		}
		body, b, found = bytes.Cut(body, end)
		if !found {
			return nil, fault.New(fault.Malformed, "PEM: block %d does not end", len(out)+1)
		}
		der := make([]byte, base64.StdEncoding.DecodedLen(len(body)))
		n, err := base64.StdEncoding.Decode(der, bytes.TrimSpace(body)) // skips CR and LF
		if err != nil {
			return nil, fault.New(fault.Malformed, "PEM: block %d: %w", len(out)+1, err)
		}
		out = append(out, der[:n])
	}
}

// ParseCerts reads the certificates of a PEM chain, at most eight. Its errors are of class malformed.
func ParseCerts(pemText []byte) ([]*x509.Certificate, error) {
	if len(pemText) > MaxPEMSize {
		return nil, fault.New(fault.Malformed, "certificate chain of %d bytes; at most %d are taken", len(pemText), MaxPEMSize)
	}
	ders, err := pemBlocks(pemText, blockCert, maxChainCerts)
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

package snp

import (
	"crypto/x509"
	"embed"
	"encoding/pem"

	"github.com/assay-tee/assay/internal/fault"
)

// rootFiles are AMD's own certificates; roots/README.md says where they come from, roots_test.go pins their digests.
//
//go:embed roots/*.pem
var rootFiles embed.FS

// builtinCerts parses AMD's nine certificates.
func builtinCerts() ([]*x509.Certificate, error) {
	entries, err := rootFiles.ReadDir("roots")
	if err != nil {
		return nil, fault.New(fault.Internal, "built-in AMD certificates: %w", err)
	}
	var out []*x509.Certificate
	for _, e := range entries {
		b, err := rootFiles.ReadFile("roots/" + e.Name())
		if err != nil {
			return nil, fault.New(fault.Internal, "built-in AMD certificates: %w", err)
		}
		block, rest := pem.Decode(b)
		if block == nil || len(rest) != 0 {
			return nil, fault.New(fault.Internal, "built-in AMD certificate %s is not one PEM block", e.Name())
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fault.New(fault.Internal, "built-in AMD certificate %s: %w", e.Name(), err)
		}
		out = append(out, c)
	}
	return out, nil
}

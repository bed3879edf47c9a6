package server

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestTokenKeyChains holds the scenarios of the existing server for keys that a token brings along.
func TestTokenKeyChains(t *testing.T) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set: no chains to judge")
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, "trustee", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var manifest struct {
		Files []struct {
			Path, Role, Expected, Reason string
			At                           string `json:"verification_time"`
			Needs                        []string
		}
	}
	if err := json.Unmarshal(read("MANIFEST.json"), &manifest); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range manifest.Files {
		if f.Role != "token key" {
			continue
		}
		n++
		at, err := time.Parse(time.RFC3339, f.At)
		if err != nil {
			t.Fatal(err)
		}
		p := &passports{roots: x509.NewCertPool()}
		for rest := read(f.Needs[0]); ; {
			var b *pem.Block
			if b, rest = pem.Decode(rest); b == nil {
				break
			}
			c, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			p.roots.AddCert(c)
		}
		token := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","jwk":`+string(read(f.Path))+`}`)) + ".e30.AA"
		leaf, err := p.leaf(token, at)
		if got := leaf != nil && err == nil; got != (f.Expected == "accept") {
			t.Errorf("%s (%s): %v", f.Path, f.Reason, err)
		}
	}
	if n < 6 {
		t.Errorf("only %d scenarios", n)
	}
}

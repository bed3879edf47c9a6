package secex

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/fault"
)

func der(b []byte) []byte {
	if blk, _ := pem.Decode(b); blk != nil {
		return blk.Bytes
	}
	return b
}

// The scenarios of s390-tools' own tests, with the class that each must give.
func TestHostKeyDocumentScenarios(t *testing.T) {
	var doc struct {
		Scenarios []struct {
			Certs    []string `json:"certs"`
			CRLs     []string `json:"crls"`
			Root     string   `json:"root"`
			HKD      string   `json:"hkd"`
			Expected string   `json:"expected"`
		} `json:"hkd_scenarios"`
	}
	if err := json.Unmarshal(vector(t, "se", "kat.json"), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Scenarios) < 20 {
		t.Fatalf("%d scenarios, 20 expected", len(doc.Scenarios))
	}
	cert := func(name string) *x509.Certificate {
		c, err := x509.ParseCertificate(der(vector(t, "se", "cert", name)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return c
	}
	for i, tc := range doc.Scenarios {
		t.Run(fmt.Sprintf("%02d %s", i, tc.Expected), func(t *testing.T) {
			cfg := HostKeyConfig{Documents: []*x509.Certificate{cert(tc.HKD)}, Roots: []*x509.Certificate{cert(tc.Root)}, Time: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
			for _, n := range tc.Certs {
				cfg.Chain = append(cfg.Chain, cert(n))
			}
			for _, n := range tc.CRLs {
				l, err := x509.ParseRevocationList(der(vector(t, "se", "cert", n)))
				if err != nil {
					t.Fatalf("%s: %v", n, err)
				}
				cfg.Lists = append(cfg.Lists, l)
			}
			keys, err := VerifyHostKeys(cfg)
			if tc.Expected == "accept" {
				if err != nil || len(keys) != 1 {
					t.Fatalf("%d keys, %v", len(keys), err)
				}
				return
			}
			word, _, _ := strings.Cut(tc.Expected, " ")
			want, ok := fault.ClassByName(strings.Trim(word, ":"))
			if !ok { // "refused: …" leaves the class to us
				want = fault.Signature
			}
			if !fault.Is(err, want) {
				t.Errorf("class %v, want %v: %v", fault.ClassOf(err), want, err)
			}
		})
	}
}

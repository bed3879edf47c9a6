package simulator_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha512"
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func world(t *testing.T, products ...simulator.Product) *simulator.AMD {
	t.Helper()
	a, err := simulator.NewAMD(simulator.AMDConfig{Clock: func() time.Time { return now }, Products: products, VLEK: true, KeyBits: 2048})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func chip(t *testing.T, a *simulator.AMD, p simulator.Product) *simulator.Chip {
	t.Helper()
	c, err := a.NewChip(p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAnchorsAreRefusedUnlessAskedForByTheirUnsafeName(t *testing.T) {
	cfg := world(t, simulator.Milan).Anchors()
	if _, err := evidence.NewAnchors(cfg); err != nil {
		t.Error(err)
	}
	cfg.AllowSimulatorUnsafe = false
	if _, err := evidence.NewAnchors(cfg); !fault.Is(err, fault.Usage) {
		t.Errorf("simulated roots without their unsafe name: %v", err)
	}
	for _, c := range cfg.Roots {
		if !evidence.IsSimulated(c) {
			t.Errorf("%s does not carry the mark", c.Subject)
		}
	}
}

func TestRootsDifferFromRunToRun(t *testing.T) {
	if a, b := world(t), world(t); a.ARK(simulator.Milan).Equal(b.ARK(simulator.Milan)) {
		t.Error("two worlds share a root")
	}
}

func TestChainsHold(t *testing.T) {
	a := world(t, simulator.Products()...)
	for _, p := range simulator.Products() {
		c := chip(t, a, p)
		vcek, err := c.VCEK(c.TCB)
		if err != nil {
			t.Fatal(err)
		}
		vlek, err := a.VLEK(p, "CN=cloud.example", c.TCB)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range []struct {
			name       string
			leaf, from *x509.Certificate
		}{{"ARK", a.ARK(p), a.ARK(p)}, {"ASK", a.ASK(p), a.ARK(p)}, {"ASVK", a.ASVK(p), a.ARK(p)}, {"VCEK", vcek, a.ASK(p)}, {"VLEK", vlek, a.ASVK(p)}} {
			if err := l.from.CheckSignature(l.leaf.SignatureAlgorithm, l.leaf.RawTBSCertificate, l.leaf.Signature); err != nil {
				t.Errorf("%s %s: %v", p, l.name, err)
			}
			if l.leaf.SignatureAlgorithm != x509.SHA384WithRSAPSS || !bytes.Equal(l.leaf.RawIssuer, l.from.RawSubject) || !evidence.IsSimulated(l.leaf) {
				t.Errorf("%s %s: algorithm %v, issuer %s, subject %s", p, l.name, l.leaf.SignatureAlgorithm, l.leaf.Issuer, l.leaf.Subject)
			}
		}
		if again, err := c.VCEK(c.TCB); err != nil || !again.PublicKey.(*ecdsa.PublicKey).Equal(vcek.PublicKey) {
			t.Errorf("%s: a VCEK minted again has another key (%v)", p, err)
		}
	}
}

// Simulated endorsement certificates have the shape of AMD's: the same extensions in the same order, the same
// encodings, the same serial, attribute types and validity.
func TestVCEKsHaveTheShapeOfRealOnes(t *testing.T) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set: real certificates are not at hand")
	}
	for p, name := range map[simulator.Product]string{simulator.Milan: "milan-vcek-0d057f9b6e29", simulator.Genoa: "genoa-vcek-05788a16abe1", simulator.Turin: "turin-vcek-49d521f00a62"} {
		der, err := os.ReadFile(filepath.Join(dir, "snp", "veks", name+".der"))
		if err != nil {
			t.Fatal(err)
		}
		real, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		c := chip(t, world(t, p), p)
		ours, err := c.VCEK(c.TCB)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(shape(real), shape(ours)); diff != "" {
			t.Errorf("%s (-real +simulated):\n%s", p, diff)
		}
	}
}

type certShape struct {
	Serial     string
	Subject    []string // types and CN
	Extensions []string
	Days       int
	Version    int
	Algorithm  x509.SignatureAlgorithm // its encoding varies among AMD's own: with or without defaults
}

func shape(c *x509.Certificate) certShape {
	s := certShape{Serial: c.SerialNumber.String(), Version: c.Version, Days: int(c.NotAfter.Sub(c.NotBefore).Hours() / 24), Algorithm: c.SignatureAlgorithm}
	for _, n := range c.Subject.Names {
		v := n.Type.String()
		if n.Type.String() != "2.5.4.10" {
			v += "=" + n.Value.(string)
		}
		s.Subject = append(s.Subject, v)
	}
	for _, e := range c.Extensions {
		v := e.Id.String()
		if v == "1.3.6.1.4.1.3704.1.1" || v == "1.3.6.1.4.1.3704.1.2" {
			v += " " + string(e.Value)
		} else if v == "1.3.6.1.4.1.3704.1.4" {
			v += string(rune('0' + len(e.Value)))
		}
		if e.Critical {
			v += " critical"
		}
		s.Extensions = append(s.Extensions, v)
	}
	return s
}

func TestReportsVerifyUnderTheKeyThatTheyName(t *testing.T) {
	for _, p := range simulator.Products() {
		a := world(t, p)
		c := chip(t, a, p)
		for version := uint32(2); version <= 5; version++ {
			for _, signing := range []uint32{simulator.SignedByVCEK, simulator.SignedByVLEK} {
				r := c.NewReport()
				r.Version, r.SigningKey, r.CSP = version, signing, "CN=cloud.example"
				cert, err := c.VCEK(c.TCB)
				if signing == simulator.SignedByVLEK {
					cert, err = a.VLEK(p, r.CSP, c.TCB)
				}
				if err != nil {
					t.Fatal(err)
				}
				b, err := c.Report(r)
				if err != nil {
					t.Fatal(err)
				}
				if !verifies(b, cert) {
					t.Errorf("%s version %d key %d: the signature does not hold", p, version, signing)
				}
				b[0x90] ^= 1
				if verifies(b, cert) {
					t.Errorf("%s: the signature holds over changed bytes", p)
				}
			}
		}
	}
}

func verifies(report []byte, cert *x509.Certificate) bool {
	sum := sha512.Sum384(report[:0x2A0])
	num := func(off int) *big.Int {
		b := slices.Clone(report[off : off+72])
		slices.Reverse(b)
		return new(big.Int).SetBytes(b)
	}
	return ecdsa.Verify(cert.PublicKey.(*ecdsa.PublicKey), sum[:], num(0x2A0), num(0x2E8))
}

func TestWhatCannotBeMadeIsRefused(t *testing.T) {
	a, err := simulator.NewAMD(simulator.AMDConfig{KeyBits: 2048})
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"unknown product": func() error {
			_, err := simulator.NewAMD(simulator.AMDConfig{Products: []simulator.Product{"Rome"}})
			return err
		},
		"weak keys":        func() error { _, err := simulator.NewAMD(simulator.AMDConfig{KeyBits: 512}); return err },
		"product not made": func() error { _, err := a.NewChip(simulator.Turin); return err },
		"VLEK not made":    func() error { _, err := a.VLEK(simulator.Milan, "x", simulator.TCB{}); return err },
		"long Turin id": func() error {
			_, err := world(t, simulator.Turin).ChipWithID(simulator.Turin, [64]byte{63: 1})
			return err
		},
	} {
		if err := f(); !fault.Is(err, fault.Usage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

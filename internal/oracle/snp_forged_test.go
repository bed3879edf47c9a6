package oracle

import (
	"context"
	"crypto/x509"
	"testing"
	"time"

	"github.com/google/go-sev-guest/abi"
	sevtest "github.com/google/go-sev-guest/testing"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/snp"
	"github.com/assay-tee/assay/internal/fault"
)

// TestForgedChain uses keys that are published in go-sev-guest: a complete chain with AMD's names, made by anybody. It
// verifies where its root is configured, which shows that nothing else is wrong with it, and nowhere else.
func TestForgedChain(t *testing.T) {
	signer, err := sevtest.DefaultTestOnlyCertChain("Milan", at.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	table, err := signer.CertTableBytes()
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]abi.ReportSigner{"VCEK": abi.VcekReportSigner, "VLEK": abi.VlekReportSigner} {
		response := sevtest.CreateRawReport(&sevtest.TestReportOptions{SignerInfo: abi.SignerInfo{SigningKey: kind}, FMS: 0x00A00F11, Version: 3})
		report := response[:abi.ReportSize]
		r, s, err := signer.Sign(abi.SignedComponent(report))
		if err != nil {
			t.Fatal(err)
		}
		if err := abi.SetSignature(r, s, report); err != nil {
			t.Fatal(err)
		}
		ev := evidence.Evidence{Data: report, Aux: table}
		d, err := snp.New(snp.Config{})
		if err != nil {
			t.Fatal(err)
		}
		configured, err := evidence.NewAnchors(evidence.AnchorsConfig{Roots: []*x509.Certificate{signer.Ark, signer.Ask, signer.Asvk}, OnlyThese: true})
		if err != nil {
			t.Fatal(err)
		}
		env := evidence.Env{Time: at, Binding: evidence.UnboundUnsafe(), Anchors: configured}
		if _, err := d.Authenticate(context.Background(), ev, env); err != nil {
			t.Errorf("%s, root configured: %v", name, err)
		}
		env.Anchors = evidence.BuiltinAnchors()
		if _, err := d.Authenticate(context.Background(), ev, env); !fault.Is(err, fault.Signature) {
			t.Errorf("%s, AMD's roots: %v, want class signature", name, err)
		}
	}
}

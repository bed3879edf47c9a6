package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	sevdata "github.com/google/go-sev-guest/verify/testdata"

	"github.com/assay-tee/assay"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// realReport is evidence of real hardware with the certificate that belongs to it.
type realReport struct {
	what        string
	report, vek []byte
	at          time.Time
}

// offsets of fields in an ATTESTATION_REPORT (AMD 56860, table "ATTESTATION_REPORT Structure").
const (
	offReportData  = 0x50
	offMeasurement = 0x90
)

// realHardware appraises reports that AMD Milan machines have made: the one that a published Go module carries and,
// where ASSAY_VECTORS names them, one of a production guest.
func (d *demo) realHardware(ctx context.Context) error {
	d.head("Real hardware: reports of AMD Milan machines, back to AMD's pinned root")
	reports := []realReport{{"a debug guest on Milan, published with go-sev-guest", sevdata.AttestationBytes, sevdata.VcekBytes, time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)}}
	if dir := d.a.getenv("ASSAY_VECTORS"); dir != "" {
		rep, err := os.ReadFile(filepath.Join(dir, "snp", "reports", "milan-v3-e75e8d4efa81.bin"))
		if err != nil {
			return fault.New(fault.Usage, "ASSAY_VECTORS: %w", err)
		}
		vek, err := os.ReadFile(filepath.Join(dir, "snp", "veks", "milan-vcek-27c3ccfce070.der"))
		if err != nil {
			return fault.New(fault.Usage, "ASSAY_VECTORS: %w", err)
		}
		reports = append(reports, realReport{"a production guest on Milan, from ASSAY_VECTORS", rep, vek, time.Date(2026, 7, 15, 0, 0, 0, 0, time.UTC)})
	} else {
		d.say("   (set ASSAY_VECTORS to see a production guest as well)")
	}
	for _, r := range reports {
		if err := d.real(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) real(ctx context.Context, r realReport) error {
	pol, err := d.a.loadPolicy(nil, "", false)
	if err != nil {
		return err
	}
	v, err := assay.New(assay.Config{Policy: pol})
	if err != nil {
		return err
	}
	// For the show the operator expects what the report says; in earnest both come from elsewhere.
	bind, err := evidence.ExpectExact(r.report[offReportData:offMeasurement])
	if err != nil {
		return err
	}
	b, err := endorse.NewBuilder(endorse.Config{Time: r.at})
	if err != nil {
		return err
	}
	if err := b.Local(localOperator, "snp", []endorse.Expectation{{Name: "measurement", Values: [][]byte{r.report[offMeasurement:][:48]}}}); err != nil {
		return err
	}
	o, err := v.Verify(ctx, r.at, b.Set(), assay.Submission{Evidence: evidence.Evidence{Data: r.report, Endorsements: [][]byte{r.vek}}, Binding: bind})
	if err != nil {
		return fault.Wrap(err, "%s", r.what)
	}
	d.ok("authentic: %s", r.what)
	return d.show(o.Report())
}

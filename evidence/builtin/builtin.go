// Package builtin is the table of all drivers. A driver is in the product when it has a row here; nothing registers
// itself.
package builtin

import (
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/azvtpm"
	"github.com/assay-tee/assay/evidence/bundle"
	"github.com/assay-tee/assay/evidence/oak"
	"github.com/assay-tee/assay/evidence/secex"
	"github.com/assay-tee/assay/evidence/sgx"
	"github.com/assay-tee/assay/evidence/snp"
	"github.com/assay-tee/assay/evidence/tdx"
	"github.com/assay-tee/assay/evidence/vtpm"
	"github.com/assay-tee/assay/internal/fault"
)

// Row is one driver.
type Row struct {
	Name   string
	Driver evidence.Driver
	// Detect names the form of data within the driver and reports whether it looks like evidence of this TEE.
	Detect func(data []byte) (format string, ok bool)
	// Inspector decodes for display; nil when the driver cannot.
	Inspector evidence.Inspector
}

// Table holds the drivers in the order in which detection asks them. It is immutable.
type Table struct{ rows []Row }

// New constructs every driver with its defaults.
func New() (*Table, error) {
	s, err := snp.New(snp.Config{})
	if err != nil {
		return nil, err
	}
	t, err := tdx.New(tdx.Config{})
	if err != nil {
		return nil, err
	}
	x, err := sgx.New(sgx.Config{})
	if err != nil {
		return nil, err
	}
	se, err := secex.New(secex.Config{})
	if err != nil {
		return nil, err
	}
	az, err := azvtpm.NewSNP(azvtpm.Config{CPU: s})
	if err != nil {
		return nil, err
	}
	azx, err := azvtpm.NewTDX(azvtpm.Config{CPU: t})
	if err != nil {
		return nil, err
	}
	tpm, err := vtpm.New(vtpm.Config{CPU: map[string]evidence.Driver{snp.Name: s, tdx.Name: t}})
	if err != nil {
		return nil, err
	}
	o, err := oak.New(oak.Config{SNP: s, TDX: t})
	if err != nil {
		return nil, err
	}
	table := &Table{}
	bun, err := bundle.New(bundle.Config{For: func(ev evidence.Evidence) (evidence.Driver, error) {
		r, err := table.For(ev)
		return r.Driver, err
	}})
	if err != nil {
		return nil, err
	}
	table.rows = []Row{
		{Name: snp.Name, Driver: s, Detect: snp.Detect, Inspector: s},
		{Name: tdx.Name, Driver: t, Detect: tdx.Detect, Inspector: t},
		{Name: sgx.Name, Driver: x, Detect: sgx.Detect, Inspector: x},
		{Name: secex.Name, Driver: se, Detect: secex.Detect, Inspector: se},
		{Name: oak.Name, Driver: o, Detect: oak.Detect, Inspector: o},
		// A TEE whose token is itself a CMW collection (Arm CCA) belongs above this row.
		{Name: bundle.Name, Driver: bun, Detect: bundle.Detect, Inspector: bun},
		{Name: azvtpm.NameSNP, Driver: az, Detect: azvtpm.DetectSNP, Inspector: az},
		{Name: azvtpm.NameTDX, Driver: azx, Detect: azvtpm.DetectTDX, Inspector: azx},
		{Name: vtpm.Name, Driver: tpm, Detect: vtpm.Detect, Inspector: tpm},
	}
	return table, nil
}

// Rows returns the table. Callers must not change it.
func (t *Table) Rows() []Row { return t.rows }

// ByName returns the driver of that name.
func (t *Table) ByName(name string) (Row, bool) {
	for _, r := range t.rows {
		if r.Name == name {
			return r, true
		}
	}
	return Row{}, false
}

// For returns the driver for ev: the one that ev.TEE names, else the first whose form the data has. Detection only
// chooses who tries; a wrong choice ends in a refusal.
func (t *Table) For(ev evidence.Evidence) (Row, error) {
	if ev.TEE != "" {
		if r, ok := t.ByName(ev.TEE); ok {
			return r, nil
		}
		return Row{}, fault.New(fault.Unsupported, "no driver for TEE %q", ev.TEE)
	}
	for _, r := range t.rows {
		if _, ok := r.Detect(ev.Data); ok {
			return r, nil
		}
	}
	return Row{}, fault.New(fault.Malformed, "%d bytes that look like no known evidence; say what they are with --as", len(ev.Data))
}

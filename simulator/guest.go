package simulator

import (
	"crypto/rand"

	"github.com/assay-tee/assay/attester"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// Bits of POLICY (evidence-snp.md section 3).
const (
	PolicySMT       uint64 = 1 << 16
	PolicyReserved1 uint64 = 1 << 17 // must be 1
	PolicyMigrateMA uint64 = 1 << 18
	PolicyDebug     uint64 = 1 << 19
)

// GuestConfig is how a host launches a guest.
type GuestConfig struct {
	Measurement [48]byte
	Policy      uint64 // zero: 0x30000, SMT allowed and nothing else
	HostData    [32]byte
	VMPL        uint32 // level of the kernel; it can ask for reports of this level and those above
	// CSP, if set, is the provider whose VLEK signs; otherwise the chip's VCEK does.
	CSP string
	// NoCerts leaves the certificate table empty, as many hosts do: the Verifier has to find the certificates.
	NoCerts bool
	// Change may alter each report before it is signed: ID block fields, TCBs, anything.
	Change func(*Report)
}

// Guest is a confidential machine on a simulated chip.
type Guest struct {
	chip *Chip
	cfg  GuestConfig
	id   [32]byte
}

// Launch starts a guest.
func (c *Chip) Launch(cfg GuestConfig) (*Guest, error) {
	if cfg.VMPL > 3 {
		return nil, fault.New(fault.Usage, "VMPL %d does not exist", cfg.VMPL)
	}
	if cfg.Policy == 0 {
		cfg.Policy = PolicyReserved1 | PolicySMT
	}
	g := &Guest{chip: c, cfg: cfg}
	rand.Read(g.id[:])
	return g, nil
}

// Chip returns the chip that the guest runs on.
func (g *Guest) Chip() *Chip { return g.chip }

// Report asks firmware for a report over reportData at the guest's own level.
func (g *Guest) Report(reportData [64]byte) ([]byte, error) { return g.report(reportData, g.cfg.VMPL) }

func (g *Guest) report(reportData [64]byte, vmpl uint32) ([]byte, error) {
	r := g.chip.NewReport()
	r.Measurement, r.Policy, r.HostData, r.ReportID = g.cfg.Measurement, g.cfg.Policy, g.cfg.HostData, g.id
	r.ReportData, r.VMPL = reportData, vmpl
	if g.cfg.CSP != "" {
		r.SigningKey, r.CSP = SignedByVLEK, g.cfg.CSP
		r.ChipID = [64]byte{} // hosts with VLEKs mask it (evidence-snp.md section 5)
	}
	if g.cfg.Change != nil {
		g.cfg.Change(&r)
	}
	return g.chip.Report(r)
}

// CertTable is what the host hands to the guest for an extended request: VCEK or VLEK, ASK or ASVK, ARK; or nothing.
func (g *Guest) CertTable() ([]byte, error) {
	if g.cfg.NoCerts {
		return nil, nil
	}
	a, p := g.chip.amd, g.chip.Product
	if g.cfg.CSP != "" {
		der, err := a.VLEKWith(p, g.cfg.CSP, g.chip.TCB, VEKOptions{})
		if err != nil {
			return nil, err
		}
		return CertTable(VEKEntry(true, der), ASKEntry(a.ASVK(p)), ARKEntry(a.ARK(p))), nil
	}
	der, err := g.chip.VCEKWith(g.chip.TCB, VEKOptions{})
	if err != nil {
		return nil, err
	}
	return CertTable(VEKEntry(false, der), ASKEntry(a.ASK(p)), ARKEntry(a.ARK(p))), nil
}

// Evidence is a report with its certificate table, as configfs-tsm would give it.
func (g *Guest) Evidence(reportData [64]byte) (evidence.Evidence, error) {
	report, err := g.Report(reportData)
	if err != nil {
		return evidence.Evidence{}, err
	}
	table, err := g.CertTable()
	if err != nil {
		return evidence.Evidence{}, err
	}
	return evidence.Evidence{TEE: "snp", Format: "report", Data: report, Aux: table}, nil
}

// Attester is the guest's own view: the real collector over a simulated kernel.
func (g *Guest) Attester() (*attester.ConfigFS, error) {
	return attester.NewConfigFS(attester.ConfigFSConfig{FS: g.TSM()})
}

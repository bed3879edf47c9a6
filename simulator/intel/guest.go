package intel

import (
	"context"
	"crypto/rand"
	"crypto/sha512"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// GuestConfig is how a host launches a TD.
type GuestConfig struct {
	TD   TD          // what the host and the module put into the report; MRTD zero is random
	Boot *BootConfig // nil: no event log, RTMRs as in TD
	Body BodyType    // zero: TD 1.0 in a quote of version 4
}

// Guest is a TD on a simulated machine. It implements attester.Attester.
type Guest struct {
	Machine *Machine
	Log     *Log // nil without a boot
	cfg     GuestConfig
}

// Launch starts a TD.
func (m *Machine) Launch(cfg GuestConfig) *Guest {
	if cfg.TD.MRTD == [48]byte{} {
		rand.Read(cfg.TD.MRTD[:])
	}
	if cfg.Body == 0 {
		cfg.Body = BodyTD10
	}
	g := &Guest{Machine: m, cfg: cfg}
	if cfg.Boot != nil {
		g.Log = Boot(*cfg.Boot)
	}
	return g
}

// MRTD is the launch measurement of the guest.
func (g *Guest) MRTD() [48]byte { return g.cfg.TD.MRTD }

// TEE implements attester.Attester.
func (g *Guest) TEE() string { return "tdx" }

// Evidence implements attester.Attester: a quote over reportData, with the event log as it is now.
func (g *Guest) Evidence(_ context.Context, reportData []byte) (evidence.Evidence, error) {
	td := g.cfg.TD
	if len(reportData) < 16 || len(reportData) > len(td.ReportData) {
		return evidence.Evidence{}, fault.New(fault.Usage, "report data of %d bytes; 16 to %d are possible", len(reportData), len(td.ReportData))
	}
	copy(td.ReportData[:], reportData)
	var log []byte
	if g.Log != nil {
		td.RTMR, log = g.Log.RTMR, g.Log.Bytes()
	}
	q, err := g.Machine.TDQuote(td, g.cfg.Body, QuoteOptions{})
	if err != nil {
		return evidence.Evidence{}, err
	}
	return evidence.Evidence{TEE: "tdx", Format: "quote", Data: q, EventLog: log}, nil
}

// EnclaveGuest is an enclave on a simulated machine. It implements attester.Attester.
type EnclaveGuest struct {
	Machine *Machine
	Enclave Enclave // MREnclave zero: that of an enclave called "assay"
}

// TEE implements attester.Attester.
func (g *EnclaveGuest) TEE() string { return "sgx" }

// Evidence implements attester.Attester.
func (g *EnclaveGuest) Evidence(_ context.Context, reportData []byte) (evidence.Evidence, error) {
	e := g.Enclave
	if len(reportData) < 16 || len(reportData) > len(e.ReportData) {
		return evidence.Evidence{}, fault.New(fault.Usage, "report data of %d bytes; 16 to %d are possible", len(reportData), len(e.ReportData))
	}
	if e.MREnclave == [32]byte{} {
		d := sha512.Sum512_256([]byte("assay"))
		e.MREnclave = d
	}
	copy(e.ReportData[:], reportData)
	q, err := g.Machine.EnclaveQuote(e, QuoteOptions{})
	if err != nil {
		return evidence.Evidence{}, err
	}
	return evidence.Evidence{TEE: "sgx", Format: "quote", Data: q}, nil
}

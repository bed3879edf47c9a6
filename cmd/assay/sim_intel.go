package main

import (
	"context"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/attester"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator/intel"
)

type simIntelFlags struct {
	measurement, nonce, status string
	debug, td15                bool
	cmdline                    string
}

func newSimTDXCmd(a *app) *cobra.Command {
	var f simIntelFlags
	c := &cobra.Command{
		Use:   "tdx DIR",
		Short: "Write the evidence of a simulated TD into DIR, with its root and collateral",
		Long: `Writes into DIR (which must not exist):
  quote.bin      the quote                               evidence.json   the same, with event log, as a Trustee guest sends it
  outblob        the same as configfs-tsm gives it       ccel.bin        the event log
  root.pem       the simulated root, for --anchor        collateral/     TCBInfo, identity, lists, chain, for --collateral
  measurement    MRTD, hex                               nonce           the report data, hex`,
		Example: `  assay sim tdx td
  assay verify td/quote.bin --collateral td/collateral --anchor td/root.pem --insecure-simulator \
      --nonce $(cat td/nonce) --expect mr_td=$(cat td/measurement)`,
		Args: cobra.ExactArgs(1),
		RunE: runE(func(cmd *cobra.Command, args []string) error { return a.simIntel(cmd.Context(), f, true, args[0]) }),
	}
	fl := c.Flags()
	fl.StringVar(&f.measurement, "measurement", "", "MRTD in `HEX`, 48 bytes (default: random)")
	fl.StringVar(&f.nonce, "nonce", "", "report data in `HEX`, up to 64 bytes (default: random)")
	fl.StringVar(&f.status, "tcb-status", "UpToDate", "`STATUS` that the collateral gives the platform")
	fl.StringVar(&f.cmdline, "cmdline", "root=/dev/vda1 ro", "kernel command `LINE` in the event log")
	fl.BoolVar(&f.debug, "debug", false, "launch a debug TD")
	fl.BoolVar(&f.td15, "td15", false, "a TD of TDX 1.5 in a quote of version 5")
	return c
}

func newSimSGXCmd(a *app) *cobra.Command {
	var f simIntelFlags
	c := &cobra.Command{
		Use:   "sgx DIR",
		Short: "Write the evidence of a simulated enclave into DIR, with its root and collateral",
		Args:  cobra.ExactArgs(1),
		RunE:  runE(func(cmd *cobra.Command, args []string) error { return a.simIntel(cmd.Context(), f, false, args[0]) }),
	}
	fl := c.Flags()
	fl.StringVar(&f.measurement, "measurement", "", "MRENCLAVE in `HEX`, 32 bytes (default: random)")
	fl.StringVar(&f.nonce, "nonce", "", "report data in `HEX`, up to 64 bytes (default: random)")
	fl.StringVar(&f.status, "tcb-status", "UpToDate", "`STATUS` that the collateral gives the platform")
	fl.BoolVar(&f.debug, "debug", false, "launch a debug enclave")
	return c
}

// hexOrRandom reads a flag into b, or fills b at random.
func hexOrRandom(flag, s string, b []byte) error {
	if s == "" {
		_, err := rand.Read(b)
		return fault.As(fault.Internal, err)
	}
	v, err := unhex(flag, s)
	if err != nil {
		return err
	}
	if len(v) > len(b) {
		return fault.New(fault.Usage, "%s has %d bytes, at most %d fit", flag, len(v), len(b))
	}
	copy(b, v)
	return nil
}

func (a *app) simIntel(ctx context.Context, f simIntelFlags, tdx bool, dir string) error {
	if err := simulatedDir(dir); err != nil {
		return err
	}
	w, err := intel.New(intel.Config{Clock: a.now})
	if err != nil {
		return err
	}
	m, err := w.NewMachine(intel.MachineConfig{})
	if err != nil {
		return err
	}
	measurement, nonce := make([]byte, 32), make([]byte, 64)
	if tdx {
		measurement = make([]byte, 48)
	}
	if err := hexOrRandom("--measurement", f.measurement, measurement); err != nil {
		return err
	}
	if err := hexOrRandom("--nonce", f.nonce, nonce); err != nil {
		return err
	}
	var guest attester.Attester
	if tdx {
		cfg := intel.GuestConfig{TD: intel.TD{MRTD: [48]byte(measurement), Attributes: intel.TDSeptVEDisable}, Boot: &intel.BootConfig{Firmware: []byte("simulated firmware"),
			Kernel: []byte("simulated kernel"), Initrd: []byte("simulated initrd"), Cmdline: f.cmdline, SecureBoot: true}}
		if f.debug {
			cfg.TD.Attributes |= intel.TDDebug
		}
		if f.td15 {
			cfg.Body = intel.BodyTD15
		}
		guest = m.Launch(cfg)
	} else {
		e := intel.Enclave{MREnclave: [32]byte(measurement), Flags: intel.EnclaveInit | intel.EnclaveMode64}
		if f.debug {
			e.Flags |= intel.EnclaveDebug
		}
		guest = &intel.EnclaveGuest{Machine: m, Enclave: e}
	}
	ev, err := guest.Evidence(ctx, nonce)
	if err != nil {
		return err
	}
	col, err := m.Collateral(tdx, intel.CollateralOptions{TCBInfo: func(t *intel.TCBInfo) { t.Levels[0].Status = f.status }})
	if err != nil {
		return err
	}
	return a.writeSimIntel(w, ev, col, measurement, nonce, dir)
}

func (a *app) writeSimIntel(w *intel.World, ev evidence.Evidence, col *intel.Collateral, measurement, nonce []byte, dir string) error {
	kbs, err := attester.KBSEvidence(ev)
	if err != nil {
		return err
	}
	crl := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}) }
	files := map[string][]byte{
		"quote.bin": ev.Data, "outblob": ev.Data, "evidence.json": kbs, "root.pem": intel.PEM(w.Root.Cert),
		"measurement": fmt.Appendf(nil, "%x\n", measurement), "nonce": fmt.Appendf(nil, "%x\n", nonce), "provider": []byte("tdx_guest\n"),
		"collateral/tcbinfo.json": col.TCBInfo, "collateral/identity.json": col.Identity, "collateral/tcb-signing.pem": col.Chain,
		"collateral/pck-crl.pem": crl(col.PCKCRL), "collateral/root-crl.pem": crl(col.RootCRL),
	}
	if ev.EventLog != nil {
		files["ccel.bin"] = ev.EventLog
	} else {
		delete(files, "provider")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fault.New(fault.Usage, "%w", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "collateral"), 0o755); err != nil {
		return fault.New(fault.Internal, "%w", err)
	}
	for name, b := range files {
		if err := a.output(filepath.Join(dir, filepath.FromSlash(name)), 0o644, func(w io.Writer) error { _, err := w.Write(b); return err }); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(a.stdout, strings.TrimSuffix(dir, "/"))
	return err
}

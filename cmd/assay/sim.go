package main

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/attester"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator"
)

func newSimCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "sim",
		Short: "Make simulated evidence for trying things out; it proves nothing",
		Long: `Makes hardware in software: roots, chips and reports that exist for one call. Every root carries the simulator's mark
and is refused by every verifier that was not started with its insecure option.`,
	}
	c.AddCommand(newSimSNPCmd(a), newSimTDXCmd(a), newSimSGXCmd(a))
	return c
}

type simFlags struct {
	product     string
	version     uint32
	measurement string
	nonce       string
	hostData    string
	vmpl        uint32
	debug       bool
	csp         string
	keyBits     int
}

func newSimSNPCmd(a *app) *cobra.Command {
	var f simFlags
	c := &cobra.Command{
		Use:   "snp DIR",
		Short: "Write the evidence of a simulated SEV-SNP guest into DIR, in every form, with its root and certificates",
		Long: `Writes into DIR (which must not exist):
  report.bin     the report           outblob, auxblob   the same as configfs-tsm gives it, with the certificate table
  evidence.json  the same as a Trustee guest sends it
  vcek.der       the certificate of the chip's key (vlek.der with --csp)
  ark.pem        the simulated root, for --anchor        crl.der  its revocation list
  measurement    the launch measurement, hex             nonce    the report data, hex`,
		Example: `  assay sim snp guest
  assay verify guest/report.bin --cert guest/vcek.der --anchor guest/ark.pem --insecure-simulator \
      --nonce $(cat guest/nonce) --expect measurement=$(cat guest/measurement)`,
		Args: cobra.ExactArgs(1),
		RunE: runE(func(_ *cobra.Command, args []string) error { return a.simSNP(f, args[0]) }),
	}
	fl := c.Flags()
	fl.StringVar(&f.product, "product", "Milan", "`PRODUCT`: Milan, Genoa or Turin")
	fl.Uint32Var(&f.version, "report-version", 0, "`VERSION` of the report, 2 to 5 (default: that of the product's firmware)")
	fl.StringVar(&f.measurement, "measurement", "", "launch measurement in `HEX`, 48 bytes (default: random)")
	fl.StringVar(&f.nonce, "nonce", "", "report data in `HEX`, up to 64 bytes (default: random)")
	fl.StringVar(&f.hostData, "host-data", "", "host data in `HEX`, 32 bytes (default: zero)")
	fl.Uint32Var(&f.vmpl, "vmpl", 0, "privilege `LEVEL` that asks for the report")
	fl.BoolVar(&f.debug, "debug", false, "launch a debug guest")
	fl.StringVar(&f.csp, "csp", "", "sign with the VLEK of this provider `NAME` instead of the chip's VCEK")
	fl.IntVar(&f.keyBits, "key-bits", 4096, "`BITS` of the simulated RSA keys; 2048 is faster")
	return c
}

// simulatedDir refuses a directory that is there, before work is spent on what goes into it.
func simulatedDir(dir string) error {
	if _, err := os.Lstat(dir); err == nil {
		return fault.New(fault.Usage, "%s is there already; name a directory that is not, or remove it", dir)
	}
	return nil
}

func (a *app) simSNP(f simFlags, dir string) error {
	if err := simulatedDir(dir); err != nil {
		return err
	}
	cfg := simulator.GuestConfig{VMPL: f.vmpl, CSP: f.csp, Policy: simulator.PolicySMT | simulator.PolicyReserved1}
	var reportData [64]byte
	for _, p := range []struct {
		flag, hex string
		into      []byte
		random    bool
	}{{"--measurement", f.measurement, cfg.Measurement[:], true}, {"--nonce", f.nonce, reportData[:], true}, {"--host-data", f.hostData, cfg.HostData[:], false}} {
		switch {
		case p.hex != "":
			b, err := unhex(p.flag, p.hex)
			if err != nil {
				return err
			}
			if len(b) > len(p.into) {
				return fault.New(fault.Usage, "%s has %d bytes, at most %d fit", p.flag, len(b), len(p.into))
			}
			copy(p.into, b)
		case p.random:
			if _, err := rand.Read(p.into); err != nil {
				return fault.New(fault.Internal, "randomness: %w", err)
			}
		}
	}
	if f.debug {
		cfg.Policy |= simulator.PolicyDebug
	}
	if f.version != 0 {
		cfg.Change = func(r *simulator.Report) { r.Version = f.version }
	}
	product := simulator.Product(f.product)
	fmt.Fprintln(a.stderr, "making a simulated AMD root; this takes a moment")
	world, err := simulator.NewAMD(simulator.AMDConfig{Clock: a.now, Products: []simulator.Product{product}, VLEK: f.csp != "", KeyBits: f.keyBits})
	if err != nil {
		return err
	}
	chip, err := world.NewChip(product)
	if err != nil {
		return err
	}
	guest, err := chip.Launch(cfg)
	if err != nil {
		return err
	}
	ev, err := guest.Evidence(reportData)
	if err != nil {
		return err
	}
	return a.writeSimulated(world, product, chip, f.csp, ev, cfg.Measurement[:], reportData[:], dir)
}

func (a *app) writeSimulated(world *simulator.AMD, product simulator.Product, chip *simulator.Chip, csp string, ev evidence.Evidence, measurement, reportData []byte, dir string) error {
	kbs, err := attester.KBSEvidence(ev)
	if err != nil {
		return err
	}
	crl, err := world.CRL(product, simulator.CRLOptions{})
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"report.bin": ev.Data, "outblob": ev.Data, "auxblob": ev.Aux, "crl.der": crl, "evidence.json": append(json.RawMessage(nil), kbs...),
		"ark.pem":     pemCerts(world.ARK(product), world.ASK(product), world.ASVK(product)),
		"measurement": fmt.Appendf(nil, "%x\n", measurement), "nonce": fmt.Appendf(nil, "%x\n", reportData), "provider": []byte("sev_guest\n"),
	}
	if csp != "" {
		c, err := world.VLEK(product, csp, chip.TCB)
		if err != nil {
			return err
		}
		files["vlek.der"] = c.Raw
	} else {
		c, err := chip.VCEK(chip.TCB)
		if err != nil {
			return err
		}
		files["vcek.der"] = c.Raw
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fault.New(fault.Usage, "%w", err)
	}
	for name, b := range files {
		if err := a.output(filepath.Join(dir, name), 0o644, func(w io.Writer) error { _, err := w.Write(b); return err }); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(a.stdout, dir)
	return err
}

func pemCerts(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		if c != nil {
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
		}
	}
	return out
}

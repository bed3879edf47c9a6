package intel

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"

	"github.com/assay-tee/assay/internal/fault"
)

// MachineConfig describes a platform.
type MachineConfig struct {
	FMSPC      [6]byte // zero: 00 80 6f 05 00 00
	PCEID      [2]byte
	Components [16]uint8 // SGX TCB components; all zero: 3 in each
	PCESVN     uint16    // zero: 11
	SGXType    int       // 0 standard, 1 scalable, 2 scalable with integrity
	// ProcessorCA issues the PCK certificate under the Processor CA, whose certificates lack instance id and flags.
	ProcessorCA                            bool
	DynamicPlatform, CachedKeys, SMTEnable bool
	// Cert may change the PCK certificate.
	Cert func(*CertOptions)
	// Extension may replace the value of the SGX extension.
	Extension func([]byte) []byte
}

// Machine is a platform: a PCK and a quoting enclave per TEE. Its fields may be read, not changed.
type Machine struct {
	World  *World
	Config MachineConfig
	PPID   [16]byte
	PIID   [16]byte
	PCK    *Authority
	CA     *Authority

	qe map[bool]*ecdsa.PrivateKey // attestation keys; true: TDX
}

// NewMachine makes a platform with random identifiers.
func (w *World) NewMachine(cfg MachineConfig) (*Machine, error) {
	if cfg.FMSPC == [6]byte{} {
		cfg.FMSPC = [6]byte{0x00, 0x80, 0x6f, 0x05, 0x00, 0x00}
	}
	if cfg.Components == [16]uint8{} {
		for i := range cfg.Components {
			cfg.Components[i] = 3
		}
	}
	if cfg.PCESVN == 0 {
		cfg.PCESVN = 11
	}
	m := &Machine{World: w, Config: cfg, CA: w.Platform, qe: map[bool]*ecdsa.PrivateKey{}}
	if cfg.ProcessorCA {
		m.CA = w.Processor
	}
	rand.Read(m.PPID[:])
	rand.Read(m.PIID[:])
	ext, err := m.extension()
	if err != nil {
		return nil, err
	}
	if cfg.Extension != nil {
		ext = cfg.Extension(ext)
	}
	o := CertOptions{CommonName: namePCK, By: m.CA, Years: 7, Extra: []pkix.Extension{{Id: sgxOID(), Value: ext}}}
	if cfg.Cert != nil {
		cfg.Cert(&o)
	}
	if m.PCK, err = w.Issue(o); err != nil {
		return nil, err
	}
	for _, tdx := range []bool{false, true} {
		if m.qe[tdx], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, fault.New(fault.Internal, "attestation key: %w", err)
		}
	}
	return m, nil
}

// CPUSVN is the raw form of the components; the simulator's platforms use the components themselves.
func (m *Machine) CPUSVN() [16]byte { return m.Config.Components }

// Chain is the PCK chain as quotes carry it: PEM, ending with a NUL as Intel's library writes it.
func (m *Machine) Chain() []byte {
	return append(PEM(m.PCK.Cert, m.CA.Cert, m.World.Root.Cert), 0)
}

func sgxOID(suffix ...int) asn1.ObjectIdentifier {
	return append(asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}, suffix...)
}

// sgxElement is SEQUENCE { OID, value }.
type sgxElement struct {
	ID    asn1.ObjectIdentifier
	Value asn1.RawValue
}

// extension is the SGX extension of the PCK certificate (evidence-intel.md section 7).
func (m *Machine) extension() ([]byte, error) {
	var firstErr error
	raw := func(v any) asn1.RawValue {
		der, err := asn1.Marshal(v)
		if err != nil && firstErr == nil {
			firstErr = err
		}
		return asn1.RawValue{FullBytes: der}
	}
	c := m.Config
	var tcb []sgxElement
	for i, v := range c.Components {
		tcb = append(tcb, sgxElement{sgxOID(2, i+1), raw(int(v))})
	}
	svn := m.CPUSVN()
	tcb = append(tcb, sgxElement{sgxOID(2, 17), raw(int(c.PCESVN))}, sgxElement{sgxOID(2, 18), raw(svn[:])})
	elems := []sgxElement{
		{sgxOID(1), raw(m.PPID[:])},
		{sgxOID(2), raw(tcb)},
		{sgxOID(3), raw(c.PCEID[:])},
		{sgxOID(4), raw(c.FMSPC[:])},
		{sgxOID(5), raw(asn1.Enumerated(c.SGXType))},
	}
	if !c.ProcessorCA {
		elems = append(elems, sgxElement{sgxOID(6), raw(m.PIID[:])}, sgxElement{sgxOID(7), raw([]sgxElement{
			{sgxOID(7, 1), raw(c.DynamicPlatform)}, {sgxOID(7, 2), raw(c.CachedKeys)}, {sgxOID(7, 3), raw(c.SMTEnable)}})})
	}
	out := raw(elems)
	if firstErr != nil {
		return nil, fault.New(fault.Internal, "SGX extension: %w", firstErr)
	}
	return out.FullBytes, nil
}

// Certificates returns PCK, CA and root, for tests of look-up.
func (m *Machine) Certificates() []*x509.Certificate {
	return []*x509.Certificate{m.PCK.Cert, m.CA.Cert, m.World.Root.Cert}
}

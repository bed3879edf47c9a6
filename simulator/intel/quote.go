package intel

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/binary"

	"github.com/assay-tee/assay/internal/fault"
)

// QuoteOptions change a quote, to make what no platform would make. The zero value changes nothing.
type QuoteOptions struct {
	Version uint16 // zero: 4 for a TD 1.0 body, 5 for other TDs, 3 for enclaves
	// Header, Body and QEReport may be changed before they are signed.
	Header   func([]byte)
	Body     func([]byte)
	QE       func(*Enclave)
	QEReport func([]byte)
	AuthData []byte // QE authentication data; nil: 32 bytes
	// BindingKey and BindingAuth are what the QE report names; nil: the attestation key and the authentication data.
	BindingKey, BindingAuth []byte
	// AttestationKey signs the quote; QEKey signs the QE report. nil: the machine's own.
	AttestationKey, QEKey *ecdsa.PrivateKey
	CertType              uint16 // zero: 5
	CertData              []byte // nil: the PCK chain
	Trailing              []byte
}

// Measurements of the simulated quoting enclaves.
var (
	qeSigner    = [32]byte{0x8c, 0x4f, 0x57, 0x75}
	tdqeSigner  = [32]byte{0xdc, 0x9e, 0x2a, 0x7c}
	vendorIntel = []byte{0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07}
)

// QESVN is the ISVSVN of the simulated quoting enclaves.
const QESVN = 8

// TDQuote signs a TD report. Body types 3 and 4 exist in version 5 only.
func (m *Machine) TDQuote(td TD, typ BodyType, o QuoteOptions) ([]byte, error) {
	if o.Version == 0 {
		o.Version = 5
		if typ == BodyTD10 {
			o.Version = 4
		}
	}
	return m.quote(td.Bytes(typ), typ, true, o)
}

// EnclaveQuote signs an enclave report.
func (m *Machine) EnclaveQuote(e Enclave, o QuoteOptions) ([]byte, error) {
	if o.Version == 0 {
		o.Version = 3
	}
	if e.CPUSVN == [16]byte{} {
		e.CPUSVN = m.CPUSVN()
	}
	return m.quote(e.Bytes(), BodySGX, false, o)
}

func (m *Machine) quote(body []byte, typ BodyType, tdx bool, o QuoteOptions) ([]byte, error) {
	h := make([]byte, 48)
	binary.LittleEndian.PutUint16(h, o.Version)
	binary.LittleEndian.PutUint16(h[2:], 2)
	if tdx {
		binary.LittleEndian.PutUint32(h[4:], 0x81)
	}
	copy(h[12:], vendorIntel)
	copy(h[28:], m.PPID[:])
	if o.Header != nil {
		o.Header(h)
	}
	if o.Body != nil {
		o.Body(body)
	}
	q := h
	if o.Version == 5 {
		q = binary.LittleEndian.AppendUint16(q, uint16(typ))
		q = binary.LittleEndian.AppendUint32(q, uint32(len(body)))
	}
	q = append(q, body...)
	auth, err := m.authData(q, tdx, o)
	if err != nil {
		return nil, err
	}
	q = binary.LittleEndian.AppendUint32(q, uint32(len(auth)))
	return append(append(q, auth...), o.Trailing...), nil
}

// authData signs what comes before it and certifies the key (evidence-intel.md section 5).
func (m *Machine) authData(signed []byte, tdx bool, o QuoteOptions) ([]byte, error) {
	ak := o.AttestationKey
	if ak == nil {
		ak = m.qe[tdx]
	}
	sig, err := signRaw(ak, signed)
	if err != nil {
		return nil, err
	}
	pub, err := point(ak)
	if err != nil {
		return nil, err
	}
	cert, err := m.certification(pub, tdx, o)
	if err != nil {
		return nil, err
	}
	out := append(sig, pub...)
	if o.Version >= 4 {
		out = binary.LittleEndian.AppendUint16(out, 6)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(cert)))
	}
	return append(out, cert...), nil
}

func (m *Machine) certification(pub []byte, tdx bool, o QuoteOptions) ([]byte, error) {
	authData := o.AuthData
	if authData == nil {
		authData = make([]byte, 32)
		for i := range authData {
			authData[i] = byte(i)
		}
	}
	if len(authData) > 0xffff {
		return nil, fault.New(fault.Usage, "authentication data of %d bytes", len(authData))
	}
	boundKey, boundAuth := o.BindingKey, o.BindingAuth
	if boundKey == nil {
		boundKey = pub
	}
	if boundAuth == nil {
		boundAuth = authData
	}
	d := sha256.Sum256(append(append([]byte(nil), boundKey...), boundAuth...))
	qe := Enclave{CPUSVN: m.CPUSVN(), Flags: EnclaveInit | EnclaveMode64 | 0x10, MRSigner: qeSigner, ISVProdID: 1, ISVSVN: QESVN}
	if tdx {
		qe.MRSigner, qe.ISVProdID = tdqeSigner, 2
	}
	copy(qe.ReportData[:], d[:])
	if o.QE != nil {
		o.QE(&qe)
	}
	report := qe.Bytes()
	if o.QEReport != nil {
		o.QEReport(report)
	}
	key := o.QEKey
	if key == nil {
		key = m.PCK.Key
	}
	sig, err := signRaw(key, report)
	if err != nil {
		return nil, err
	}
	typ, data := o.CertType, o.CertData
	if typ == 0 {
		typ = 5
	}
	if data == nil {
		data = m.Chain()
	}
	out := append(report, sig...)
	out = binary.LittleEndian.AppendUint16(out, uint16(len(authData)))
	out = append(out, authData...)
	out = binary.LittleEndian.AppendUint16(out, typ)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(data)))
	return append(out, data...), nil
}

// PlatformIDs are certification data of type 1 (PPID in clear), or of 2 and 3 with a PPID that looks encrypted.
func (m *Machine) PlatformIDs(typ uint16) []byte {
	ppid := m.PPID[:]
	if n := map[uint16]int{2: 256, 3: 384}[typ]; n > 0 {
		ppid = make([]byte, n)
		copy(ppid, m.PPID[:])
	}
	svn := m.CPUSVN()
	b := append(append([]byte(nil), ppid...), svn[:]...)
	b = binary.LittleEndian.AppendUint16(b, m.Config.PCESVN)
	return append(b, m.Config.PCEID[:]...)
}

package intel_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
	sim "github.com/assay-tee/assay/simulator/intel"
)

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	return must[*ecdsa.PrivateKey](tb)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
}

func tcb(change func(*sim.TCBInfo)) sim.CollateralOptions {
	return sim.CollateralOptions{TCBInfo: change}
}

func identity(change func(*sim.Identity)) sim.CollateralOptions {
	return sim.CollateralOptions{Identity: change}
}

func cert(change func(*sim.CertOptions)) sim.MachineConfig { return sim.MachineConfig{Cert: change} }

func editBody(find, replace string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(find), []byte(replace)) }
}

func dropExt(arc ...int) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		switch {
		case slicesEqual(arc, []int{2, 5, 29, 31}):
			c.CRLDistributionPoints = nil
		case slicesEqual(arc, []int{2, 5, 29, 15}):
			c.KeyUsage = 0
		case slicesEqual(arc, []int{2, 5, 29, 19}):
			c.BasicConstraintsValid = false
		}
	}
}

func slicesEqual(a, b []int) bool { return asn1.ObjectIdentifier(a).Equal(asn1.ObjectIdentifier(b)) }

type after = func(tb testing.TB, m *sim.Machine, q []byte, c *sim.Collateral) []byte

// otherWorld is a hierarchy with the same names and other keys.
func otherWorld(tb testing.TB) *sim.World {
	return must[*sim.World](tb)(sim.New(sim.Config{Clock: func() time.Time { return now }}))
}

// Each row names a check of the checklist (evidence-intel.md section 14), breaks exactly what it guards, and sees its
// class; the rows without class are neighbours that must pass.
func TestChecklist(t *testing.T) {
	ones := [48]byte{1}
	for _, tc := range []struct {
		check, name string
		s           setup
		want        string
	}{
		{"0", "untouched TD", setup{tdx: true}, "UpToDate"},
		{"0", "untouched enclave", setup{}, "UpToDate"},

		{"1 structure", "version", setup{quote: sim.QuoteOptions{Header: func(h []byte) { h[0] = 6 }}}, "class unsupported"},
		{"1 structure", "attestation key type", setup{quote: sim.QuoteOptions{Header: func(h []byte) { h[2] = 3 }}}, "class unsupported"},
		{"1 structure", "vendor", setup{quote: sim.QuoteOptions{Header: func(h []byte) { h[13] ^= 1 }}}, "class unsupported"},
		{"1 structure", "bytes left over inside the certification data", setup{after: func(tb testing.TB, _ *sim.Machine, q []byte, _ *sim.Collateral) []byte {
			binary.LittleEndian.PutUint32(q[432:], binary.LittleEndian.Uint32(q[432:])+1)
			return append(q, 0)
		}}, "class malformed"},
		{"1 structure", "bytes behind the quote", setup{quote: sim.QuoteOptions{Trailing: make([]byte, 3000)}}, "UpToDate"},
		{"1 structure", "100 certificates", setup{quote: sim.QuoteOptions{CertData: bytes.Repeat(sim.PEM(world(t).Root.Cert), 100)}}, "class malformed"},
		{"1 structure", "certification data of 10 MiB", setup{quote: sim.QuoteOptions{CertData: bytes.Repeat([]byte("A"), 10<<20)}}, "class malformed"},
		{"1 structure", "certification data that are no PEM", setup{quote: sim.QuoteOptions{CertData: []byte("certificate")}}, "class malformed"},
		{"1 structure", "an enclave's quote for the driver of TDX", setup{after: func(tb testing.TB, m *sim.Machine, _ []byte, _ *sim.Collateral) []byte {
			return must[[]byte](tb)(m.TDQuote(sim.TD{}, sim.BodyTD10, sim.QuoteOptions{}))
		}}, "class unsupported"},

		{"2 binding", "another nonce", setup{tdx: true, env: func(e *evidence.Env) {
			e.Binding, _ = evidence.ExpectFit(bytes.Repeat([]byte{7}, 32))
		}}, "class binding"},
		{"2 binding", "shorter than the field", setup{env: func(e *evidence.Env) { e.Binding, _ = evidence.ExpectExact(make([]byte, 63)) }}, "class binding"},

		{"3 quote signature", "by another key", setup{tdx: true, quote: sim.QuoteOptions{AttestationKey: newKey(t), BindingKey: make([]byte, 64)}}, "class signature"},
		{"3 quote signature", "body changed", setup{tdx: true, after: func(_ testing.TB, _ *sim.Machine, q []byte, _ *sim.Collateral) []byte { q[48+136] ^= 1; return q }}, "class signature"},
		{"3 quote signature", "header changed", setup{after: func(_ testing.TB, _ *sim.Machine, q []byte, _ *sim.Collateral) []byte { q[30] ^= 1; return q }}, "class signature"},
		{"3 quote signature", "descriptor is signed too", setup{tdx: true, body: sim.BodyTD15}, "UpToDate"},
		{"3 QE binding", "authentication data of another", setup{quote: sim.QuoteOptions{BindingAuth: make([]byte, 32)}}, "class signature"},
		{"3 QE binding", "no authentication data", setup{quote: sim.QuoteOptions{AuthData: []byte{}}}, "UpToDate"},
		{"3 QE binding", "upper half of REPORT_DATA", setup{quote: sim.QuoteOptions{QE: func(e *sim.Enclave) { e.ReportData[63] = 1 }}}, "class signature"},

		{"4 chain", "another root", setup{after: func(tb testing.TB, m *sim.Machine, _ []byte, _ *sim.Collateral) []byte {
			other := must[*sim.Machine](tb)(otherWorld(tb).NewMachine(m.Config))
			return must[[]byte](tb)(other.EnclaveQuote(sim.Enclave{}, sim.QuoteOptions{}))
		}}, "class signature"},
		{"4 chain", "leaf by another CA of that name", setup{machine: cert(func(o *sim.CertOptions) { o.By = otherWorld(t).Platform })}, "class signature"},
		{"4 chain", "leaf by the root", setup{machine: cert(func(o *sim.CertOptions) { o.By = world(t).Root })}, "class signature"},
		{"4 chain", "issuer named otherwise", setup{machine: cert(func(o *sim.CertOptions) { o.IssuerName = world(t).Processor.Cert })}, "class signature"},
		{"4 chain", "the intermediate as leaf", setup{quote: sim.QuoteOptions{CertData: sim.PEM(world(t).Platform.Cert, world(t).Root.Cert)}}, "class signature"},
		{"4 chain", "no intermediate", setup{after: func(tb testing.TB, m *sim.Machine, _ []byte, _ *sim.Collateral) []byte {
			return must[[]byte](tb)(m.EnclaveQuote(sim.Enclave{}, sim.QuoteOptions{CertData: sim.PEM(m.PCK.Cert, m.World.Root.Cert)}))
		}}, "class signature"},
		{"4 chain", "any order, CRLF, no line ends between", setup{after: func(tb testing.TB, m *sim.Machine, _ []byte, _ *sim.Collateral) []byte {
			pem := strings.ReplaceAll(strings.TrimSpace(string(sim.PEM(m.World.Root.Cert))), "\n", "\r\n") + strings.TrimSpace(string(sim.PEM(m.PCK.Cert))) + string(sim.PEM(m.CA.Cert))
			return must[[]byte](tb)(m.EnclaveQuote(sim.Enclave{}, sim.QuoteOptions{CertData: []byte(pem)}))
		}}, "UpToDate"},
		{"4 chain", "two leaves", setup{after: func(tb testing.TB, m *sim.Machine, _ []byte, _ *sim.Collateral) []byte {
			return must[[]byte](tb)(m.EnclaveQuote(sim.Enclave{}, sim.QuoteOptions{CertData: append(sim.PEM(m.PCK.Cert), m.Chain()...)}))
		}}, "class signature"},
		{"4 roles", "leaf with another name", setup{machine: cert(func(o *sim.CertOptions) { o.CommonName = "Intel SGX PCK" })}, "class signature"},
		{"4 roles", "leaf that is a CA", setup{machine: cert(func(o *sim.CertOptions) { o.CA = true })}, "class signature"},
		{"4 roles", "TCB signing certificate as leaf", setup{machine: cert(func(o *sim.CertOptions) { o.CommonName = "Intel SGX TCB Signing" })}, "class signature"},
		{"4 windows", "leaf expired a second ago", setup{machine: cert(func(o *sim.CertOptions) { o.NotAfter = now.Add(-time.Second) })}, "class stale"},
		{"4 windows", "leaf expires now", setup{machine: cert(func(o *sim.CertOptions) { o.NotAfter = now })}, "UpToDate"},
		{"4 windows", "leaf begins in a second", setup{machine: cert(func(o *sim.CertOptions) { o.NotBefore = now.Add(time.Second) })}, "class stale"},
		{"4 windows", "leaf begins now", setup{machine: cert(func(o *sim.CertOptions) { o.NotBefore = now })}, "UpToDate"},
		{"4 extensions", "no CRL distribution point", setup{machine: cert(func(o *sim.CertOptions) { o.Change = dropExt(2, 5, 29, 31) })}, "class malformed"},
		{"4 extensions", "no key usage", setup{machine: cert(func(o *sim.CertOptions) { o.Change = dropExt(2, 5, 29, 15) })}, "class malformed"},
		{"4 extensions", "no basic constraints", setup{machine: cert(func(o *sim.CertOptions) { o.Change = dropExt(2, 5, 29, 19) })}, "class malformed"},
		{"4 SGX extension", "missing", setup{machine: cert(func(o *sim.CertOptions) { o.Extra = nil })}, "class malformed"},
		{"4 SGX extension", "garbage", setup{machine: sim.MachineConfig{Extension: func([]byte) []byte { return []byte{0x30, 1, 0} }}}, "class malformed"},
		{"4 SGX extension", "an element twice", setup{machine: sim.MachineConfig{Extension: func(b []byte) []byte {
			return bytes.Replace(b, []byte{0x0d, 0x01, 0x03}, []byte{0x0d, 0x01, 0x04}, 1) // PCE-ID called FMSPC
		}}}, "class malformed"},
		{"4 SGX extension", "a TCB component twice", setup{machine: sim.MachineConfig{Extension: func(b []byte) []byte {
			return bytes.Replace(b, []byte{0x0d, 0x01, 0x02, 0x0f}, []byte{0x0d, 0x01, 0x02, 0x10}, 1) // component 15 called 16
		}}}, "class malformed"},
		{"4 SGX extension", "unknown SGX type", setup{machine: sim.MachineConfig{SGXType: 3}}, "class malformed"},

		{"5 revocation", "no PCK CRL", setup{after: func(_ testing.TB, _ *sim.Machine, q []byte, c *sim.Collateral) []byte { c.PCKCRL = nil; return q }}, "class unavailable"},
		{"5 revocation", "no root CRL", setup{after: func(_ testing.TB, _ *sim.Machine, q []byte, c *sim.Collateral) []byte { c.RootCRL = nil; return q }}, "class unavailable"},
		{"5 revocation", "list of the other CA", setup{after: func(tb testing.TB, m *sim.Machine, q []byte, c *sim.Collateral) []byte {
			c.PCKCRL = must[[]byte](tb)(m.World.CRL(m.World.Processor, sim.CRLOptions{}))
			return q
		}}, "class unavailable"},
		{"5 revocation", "list signed by another", setup{collateral: sim.CollateralOptions{PCKCRL: sim.CRLOptions{Signer: newKey(t)}}}, "class signature"},
		{"5 revocation", "root list signed by another", setup{collateral: sim.CollateralOptions{RootCRL: sim.CRLOptions{Signer: newKey(t)}}}, "class signature"},
		{"5 revocation", "list expired", setup{collateral: sim.CollateralOptions{PCKCRL: sim.CRLOptions{NextUpdate: now.Add(-time.Second)}}}, "class stale"},
		{"5 revocation", "list ends now", setup{collateral: sim.CollateralOptions{PCKCRL: sim.CRLOptions{NextUpdate: now}}}, "UpToDate"},
		{"5 revocation", "list not yet valid", setup{collateral: sim.CollateralOptions{PCKCRL: sim.CRLOptions{ThisUpdate: now.Add(time.Second)}}}, "class stale"},
		{"5 revocation", "root list expired", setup{collateral: sim.CollateralOptions{RootCRL: sim.CRLOptions{NextUpdate: now.Add(-time.Second)}}}, "class stale"},
		{"5 revocation", "list as hex text", setup{after: func(_ testing.TB, _ *sim.Machine, q []byte, c *sim.Collateral) []byte {
			c.PCKCRL = []byte(hexText(c.PCKCRL))
			return q
		}}, "UpToDate"},

		{"6 QE report", "signed by another", setup{tdx: true, quote: sim.QuoteOptions{QEKey: newKey(t)}}, "class signature"},
		{"6 QE report", "changed", setup{after: func(_ testing.TB, _ *sim.Machine, q []byte, _ *sim.Collateral) []byte { q[436+128+70] ^= 1; return q }}, "class signature"},

		{"7 TCBInfo", "missing", setup{tdx: true, after: func(_ testing.TB, _ *sim.Machine, q []byte, c *sim.Collateral) []byte { c.TCBInfo = nil; return q }}, "class unavailable"},
		{"7 TCBInfo", "no issuer chain", setup{tdx: true, after: func(_ testing.TB, _ *sim.Machine, q []byte, c *sim.Collateral) []byte { c.Chain = nil; return q }}, "class unavailable"},
		{"7 TCBInfo", "signed by another", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Document.Signer = newKey(t) })}, "class signature"},
		{"7 TCBInfo", "signed by the PCK CA", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Document.Signer = world(t).Platform.Key })}, "class signature"},
		{"7 TCBInfo", "changed", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Document.Tamper = editBody(`"OutOfDate"`, `"UpToDate"`) })}, "class signature"},
		{"7 TCBInfo", "white space changed", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Document.Tamper = editBody(`,"`, `, "`) })}, "class signature"},
		{"7 TCBInfo", "signing certificate by another root", setup{tdx: true, after: func(tb testing.TB, m *sim.Machine, q []byte, c *sim.Collateral) []byte {
			w := otherWorld(tb)
			i := m.CurrentTCBInfo(true)
			c.TCBInfo, c.Chain = must[[]byte](tb)(w.TCBInfo(i)), w.SigningChain()
			return q
		}}, "class signature"},
		{"7 TCBInfo", "expired a second ago", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Next = now.Add(-time.Second) })}, "class stale"},
		{"7 TCBInfo", "ends now", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Next = now })}, "UpToDate"},
		{"7 TCBInfo", "not yet issued", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Issue = now.Add(time.Second) })}, "class stale"},
		{"7 TCBInfo", "unknown status", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Levels[0].Status = "Fine" })}, "class malformed"},
		{"7 TCBInfo", "a relaunch status in a document", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Levels[0].Status = "TDRelaunchAdvised" })}, "class malformed"},
		{"7 TCBInfo", "component of 256", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Document.Edit = editBody(`{"svn":2}`, `{"svn":256}`) })}, "class malformed"},
		{"7 TCBInfo", "duplicate levels", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Levels = append(i.Levels, i.Levels[0]) })}, "class malformed"},
		{"7 TCBInfo", "no levels", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Levels = nil; i.Document.Edit = editBody(`"tcbLevels":null`, `"tcbLevels":[]`) })}, "class malformed"},
		{"7 TCBInfo", "version 4", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Version = 4 })}, "class unsupported"},
		{"7 TCBInfo", "unknown members", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Document.Edit = editBody(`"tcbType":0`, `"tcbType":0,"novelty":[1]`) })}, "UpToDate"},
		{"7 identity", "missing", setup{after: func(_ testing.TB, _ *sim.Machine, q []byte, c *sim.Collateral) []byte { c.Identity = nil; return q }}, "class unavailable"},
		{"7 identity", "signed by another", setup{collateral: identity(func(d *sim.Identity) { d.Document.Signer = newKey(t) })}, "class signature"},
		{"7 identity", "changed", setup{collateral: identity(func(d *sim.Identity) { d.Document.Tamper = editBody(`"isvsvn":8`, `"isvsvn":7`) })}, "class signature"},
		{"7 identity", "expired", setup{collateral: identity(func(d *sim.Identity) { d.Next = now.Add(-time.Second) })}, "class stale"},
		{"7 identity", "not yet issued", setup{collateral: identity(func(d *sim.Identity) { d.Issue = now.Add(time.Second) })}, "class stale"},
		{"7 identity", "unknown status", setup{collateral: identity(func(d *sim.Identity) { d.Levels = []sim.SVNLevel{{Status: "SWHardeningNeeded"}} })}, "class malformed"},

		{"8 TCBInfo fits", "of SGX for a TD", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.TDX = false })}, "class binding"},
		{"8 TCBInfo fits", "version 2 for an enclave", setup{collateral: tcb(func(i *sim.TCBInfo) { i.Version = 2 })}, "UpToDate"},
		{"8 TCBInfo fits", "another FMSPC", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.FMSPC[5]++ })}, "class binding"},
		{"8 TCBInfo fits", "another PCE-ID", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.PCEID[0]++ })}, "class binding"},
		{"8 TCBInfo fits", "FMSPC in lower case", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Document.Edit = editBody("00806F050000", "00806f050000") })}, "UpToDate"},

		{"9 module", "MRSIGNERSEAM", setup{tdx: true, td: sim.TD{MRSignerSEAM: ones}}, "class binding"},
		{"9 module", "MRSIGNERSEAM of version 0", setup{tdx: true, td: sim.TD{TEETCBSVN: [16]byte{5, 0, 2}, MRSignerSEAM: ones}}, "class binding"},
		{"9 module", "SEAMATTRIBUTES", setup{tdx: true, td: sim.TD{SEAMAttributes: [8]byte{0, 0, 1}}}, "class binding"},
		{"9 module", "SEAMATTRIBUTES that the document allows", setup{tdx: true, td: sim.TD{SEAMAttributes: [8]byte{1}}, collateral: tcb(func(i *sim.TCBInfo) { i.Modules[0].Attrs[0] = 1 })}, "class binding"},
		{"9 module", "no identity", setup{tdx: true, td: sim.TD{TEETCBSVN: [16]byte{5, 2, 2}}}, "class binding"},
		{"9 module", "no identities at all", setup{tdx: true, collateral: tcb(func(i *sim.TCBInfo) { i.Modules = nil })}, "class binding"},
		{"9 module", "version 10 is TDX_0A", setup{tdx: true, td: sim.TD{TEETCBSVN: [16]byte{5, 10, 2}}, collateral: tcb(func(i *sim.TCBInfo) { i.Modules[0].ID = "TDX_0A" })}, "UpToDate"},
		{"9 module", "signer of the identity, not of tdxModule", setup{tdx: true, td: sim.TD{MRSignerSEAM: ones}, collateral: tcb(func(i *sim.TCBInfo) { i.Modules[0].MRSigner = ones })}, "UpToDate"},

		{"10 QE identity", "QE for a TD", setup{tdx: true, collateral: identity(func(d *sim.Identity) { d.TDX = false })}, "class binding"},
		{"10 QE identity", "TD_QE for an enclave", setup{collateral: identity(func(d *sim.Identity) { d.TDX = true })}, "class binding"},
		{"10 QE identity", "MRSIGNER", setup{quote: sim.QuoteOptions{QE: func(e *sim.Enclave) { e.MRSigner[0]++ }}}, "class binding"},
		{"10 QE identity", "ISVPRODID", setup{quote: sim.QuoteOptions{QE: func(e *sim.Enclave) { e.ISVProdID++ }}}, "class binding"},
		{"10 QE identity", "a debug QE", setup{quote: sim.QuoteOptions{QE: func(e *sim.Enclave) { e.Flags |= sim.EnclaveDebug }}}, "class binding"},
		{"10 QE identity", "MISCSELECT", setup{quote: sim.QuoteOptions{QE: func(e *sim.Enclave) { e.MiscSelect = 1 }}}, "class binding"},
		{"10 QE identity", "an attribute outside the mask", setup{quote: sim.QuoteOptions{QE: func(e *sim.Enclave) { e.XFRM = 3 }}}, "UpToDate"},
	} {
		t.Run(tc.check+"/"+tc.name, func(t *testing.T) { tc.s.check(t, tc.want) })
	}
}

func hexText(b []byte) string {
	const d = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(d[c>>4])
		s.WriteByte(d[c&15])
	}
	return s.String()
}

// Step 5: a certificate that a list names is refused, whichever certificate it is, also when everything is cached.
func TestRevoked(t *testing.T) {
	for name, revoke := range map[string]func(m *sim.Machine){
		"PCK":                 func(m *sim.Machine) { m.World.Revoke(m.CA, m.PCK.Cert) },
		"PCK CA":              func(m *sim.Machine) { m.World.Revoke(m.World.Root, m.CA.Cert) },
		"TCB signing":         func(m *sim.Machine) { m.World.Revoke(m.World.Root, m.World.Signing.Cert) },
		"PCK without TCBInfo": func(m *sim.Machine) { m.World.Revoke(m.CA, m.PCK.Cert) },
	} {
		t.Run(name, func(t *testing.T) {
			setup{tdx: true, world: otherWorld(t), after: func(tb testing.TB, m *sim.Machine, q []byte, c *sim.Collateral) []byte {
				revoke(m)
				c.PCKCRL = must[[]byte](tb)(m.World.CRL(m.CA, sim.CRLOptions{}))
				c.RootCRL = must[[]byte](tb)(m.World.CRL(m.World.Root, sim.CRLOptions{}))
				if name == "PCK without TCBInfo" {
					c.TCBInfo = nil
				}
				return q
			}}.check(t, "class revoked")
		})
	}
}

// Step 1 and section 6: certification data that name the PCK certificate instead of carrying it.
func TestCertificationDataTypes(t *testing.T) {
	with := func(typ uint16) after {
		return func(tb testing.TB, m *sim.Machine, _ []byte, _ *sim.Collateral) []byte {
			data := m.PlatformIDs(typ)
			if typ == 4 {
				data = sim.PEM(m.PCK.Cert)
			}
			return must[[]byte](tb)(m.EnclaveQuote(sim.Enclave{}, sim.QuoteOptions{CertType: typ, CertData: data}))
		}
	}
	fetch := func(typ uint16) after {
		return func(tb testing.TB, m *sim.Machine, q []byte, c *sim.Collateral) []byte {
			c.ByRequest = true
			return with(typ)(tb, m, q, c)
		}
	}
	store := func(m *sim.Machine) [][]byte { return [][]byte{m.PCK.Cert.Raw, sim.PEM(m.CA.Cert)} }
	foreign := func(m *sim.Machine) [][]byte {
		other, err := m.World.NewMachine(sim.MachineConfig{PCESVN: 5})
		if err != nil {
			return nil
		}
		return [][]byte{other.PCK.Cert.Raw, m.CA.Cert.Raw}
	}
	for _, tc := range []struct {
		name string
		s    setup
		want string
	}{
		{"type 1 with a store", setup{after: with(1), hints: store}, "UpToDate"},
		{"type 2 with a store", setup{after: with(2), hints: store}, "UpToDate"},
		{"type 3 with a store", setup{after: with(3), hints: store}, "UpToDate"},
		{"type 4 with a store", setup{after: with(4), hints: store}, "UpToDate"},
		{"type 1 without", setup{after: with(1)}, "class unavailable"},
		{"type 2 without", setup{after: with(2)}, "class unavailable"},
		{"type 3 without", setup{after: with(3)}, "class unavailable"},
		{"type 4 without its CA", setup{after: with(4)}, "class unavailable"},
		{"type 3 from PCS", setup{after: fetch(3)}, "UpToDate"},
		{"type 4, CA from PCS", setup{after: fetch(4)}, "UpToDate"},
		{"type 1 with the certificate of another TCB", setup{after: with(1), hints: foreign}, "class unavailable"},
		{"type 3 with the certificate of another TCB", setup{after: with(3), hints: foreign}, "class unavailable"},
		{"type 3 of a wrong length", setup{hints: store, after: func(tb testing.TB, m *sim.Machine, _ []byte, _ *sim.Collateral) []byte {
			return must[[]byte](tb)(m.EnclaveQuote(sim.Enclave{}, sim.QuoteOptions{CertType: 3, CertData: m.PlatformIDs(3)[:403]}))
		}}, "class malformed"},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.s.check(t, tc.want) })
	}
}

// Lists are looked at for each certificate, also when they have been verified and used for another one before.
func TestRevokedBesideAKnownMachine(t *testing.T) {
	w := otherWorld(t)
	good, bad := must[*sim.Machine](t)(w.NewMachine(sim.MachineConfig{})), must[*sim.Machine](t)(w.NewMachine(sim.MachineConfig{}))
	w.Revoke(bad.CA, bad.PCK.Cert)
	c := must[*sim.Collateral](t)(good.Collateral(true, sim.CollateralOptions{}))
	env := evidence.Env{Time: now, Binding: evidence.UnboundUnsafe(), Anchors: must[*evidence.Anchors](t)(evidence.NewAnchors(w.Anchors())), Collateral: c}
	d := setup{tdx: true}.driver(t)
	for _, tc := range []struct {
		m    *sim.Machine
		want string
	}{{good, "UpToDate"}, {bad, "class revoked"}, {good, "UpToDate"}, {bad, "class revoked"}} {
		q := must[[]byte](t)(tc.m.TDQuote(sim.TD{}, sim.BodyTD10, sim.QuoteOptions{}))
		v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: q}, env)
		if got := outcome(v, err); got != tc.want {
			t.Errorf("%s (%v), want %s", got, err, tc.want)
		}
	}
}

// Two roots may be trusted side by side; documents under one of them say nothing about machines under the other.
func TestRootsDoNotMix(t *testing.T) {
	other := otherWorld(t)
	setup{tdx: true, after: func(tb testing.TB, m *sim.Machine, q []byte, c *sim.Collateral) []byte {
		c.TCBInfo = must[[]byte](tb)(other.TCBInfo(m.CurrentTCBInfo(true)))
		c.Chain = append(append([]byte{}, c.Chain...), other.SigningChain()...)
		return q
	}, env: func(e *evidence.Env) {
		cfg := world(t).Anchors()
		cfg.Roots = append(cfg.Roots, other.Anchors().Roots...)
		e.Anchors = must[*evidence.Anchors](t)(evidence.NewAnchors(cfg))
	}}.check(t, "class signature")
}

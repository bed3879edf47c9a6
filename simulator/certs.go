package simulator

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// Lifetimes (evidence-snp.md sections 9 and 11).
const (
	caYears   = 25
	vcekYears = 7
	vlekYears = 1
	backdated = 24 * time.Hour // the KDS mints certificates that began a day before the request
)

// newAuthority makes the CA certificates of p; keys are those of ARK, ASK and, if there is a third, ASVK.
func newAuthority(p Product, keys []*rsa.PrivateKey, now time.Time) (*authority, error) {
	l, _ := p.line()
	askSerial := l.arkSerial + 1
	if p == Genoa {
		askSerial++ // AMD's own: 0x20001 is not in use
	}
	notBefore := now.UTC().Truncate(time.Second).AddDate(-1, 0, 0)
	a := &authority{}
	var err error
	certify := func(cn, crl string, serial int64, key *rsa.PrivateKey, usage x509.KeyUsage, issuer *ca) *ca {
		if err != nil {
			return nil
		}
		var c *ca
		c, err = issueCA(x509.Certificate{
			SerialNumber: big.NewInt(serial), RawSubject: subject(cn), NotBefore: notBefore, NotAfter: notBefore.AddDate(caYears, 0, 0),
			SignatureAlgorithm: x509.SHA384WithRSAPSS, KeyUsage: usage, BasicConstraintsValid: true, IsCA: true,
			MaxPathLenZero: issuer != nil, CRLDistributionPoints: []string{"https://kds.simulator.invalid/" + crl + "/v1/" + string(p) + "/crl"},
		}, key, issuer)
		return c
	}
	a.ark = certify("ARK-"+string(p), "vcek", l.arkSerial, keys[0], x509.KeyUsageCertSign|x509.KeyUsageCRLSign, nil)
	a.ask = certify("SEV-"+string(p), "vcek", askSerial, keys[1], x509.KeyUsageCertSign, a.ark)
	if len(keys) > 2 {
		a.asvk = certify("SEV-VLEK-"+string(p), "vlek", l.arkSerial+0x101, keys[2], x509.KeyUsageCertSign, a.ark)
	}
	return a, err
}

func issueCA(t x509.Certificate, key *rsa.PrivateKey, issuer *ca) (*ca, error) {
	id := sha1.Sum(x509.MarshalPKCS1PublicKey(&key.PublicKey))
	t.SubjectKeyId = id[:]
	parent, signer := &t, key
	if issuer != nil {
		parent, signer = issuer.cert, issuer.key
	}
	cert, err := sign(&t, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	return &ca{key: key, cert: cert}, nil
}

// sign issues a certificate and reads it back.
func sign(t, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := signDER(t, parent, pub, key)
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fault.New(fault.Internal, "a certificate of the simulator does not parse: %w", err)
	}
	return c, nil
}

func signDER(t, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, pub, key)
	if err != nil {
		return nil, fault.New(fault.Internal, "the simulator cannot issue a certificate: %w", err)
	}
	return der, nil
}

// subject is a distinguished name in AMD's order of attributes, with the simulator's mark in the place of AMD's name.
func subject(cn string) []byte {
	attr := func(arc int, v string) pkix.RelativeDistinguishedNameSET {
		return pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{2, 5, 4, arc}, Value: v}}
	}
	der, err := asn1.Marshal(pkix.RDNSequence{attr(11, "Engineering"), attr(6, "US"), attr(7, "Santa Clara"), attr(8, "CA"),
		attr(10, evidence.SimulatorOrganization), attr(3, cn)})
	if err != nil {
		panic("unreachable: constant names marshal: " + err.Error())
	}
	return der
}

// VEKOptions change the certificate of an endorsement key, to make what AMD would never issue. The zero value changes
// nothing.
type VEKOptions struct {
	NotBefore, NotAfter time.Time               // zero: a day before the clock; 7 years (VLEK 1 year) later
	Algorithm           x509.SignatureAlgorithm // zero: RSASSA-PSS with SHA-384
	SaltLength          int                     // zero: 48; of PSS signatures
	CommonName          string                  // "": SEV-VCEK or SEV-VLEK
	Serial              int64                   // AMD's is 0
	// Extensions sees and may change AMD's extensions before the certificate is signed.
	Extensions func([]pkix.Extension) []pkix.Extension
	// IssuedBy replaces the issuer: certificates under the ASK or ASVK of another simulated world, or of another
	// product, with the names of that issuer.
	IssuedBy *Issuer
}

// Issuer is an ASK or ASVK that may sign endorsement keys it should not.
type Issuer struct {
	ca *ca
	// Name, if set, is the certificate whose subject is written as issuer in place of the signer's own.
	Name *x509.Certificate
}

// Issuer returns the ASK of p, or with vlek its ASVK, for [VEKOptions].
func (a *AMD) Issuer(p Product, vlek bool) (*Issuer, error) {
	l := a.line(p)
	c := l.ask
	if vlek {
		c = l.asvk
	}
	if c == nil {
		return nil, fault.New(fault.Usage, "the simulator was not asked for this CA of %s", p)
	}
	return &Issuer{ca: c}, nil
}

// signer is an endorsement key: the same for every certificate of one chip (or provider) and TCB.
type signer struct{ key *ecdsa.PrivateKey }

func newSigner() (*signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, fault.New(fault.Internal, "P-384 key: %w", err)
	}
	return &signer{key}, nil
}

// issue makes the DER certificate of an endorsement key. Like AMD's it has serial 0 and no extensions but AMD's own.
func (s *signer) issue(cn string, exts []pkix.Extension, by *ca, now time.Time, years int, o VEKOptions) ([]byte, error) {
	t := &x509.Certificate{SerialNumber: big.NewInt(o.Serial), NotBefore: o.NotBefore, NotAfter: o.NotAfter, SignatureAlgorithm: o.Algorithm}
	if t.NotBefore.IsZero() {
		t.NotBefore = now.UTC().Truncate(time.Second).Add(-backdated)
	}
	if t.NotAfter.IsZero() {
		t.NotAfter = t.NotBefore.AddDate(years, 0, 0)
	}
	if t.SignatureAlgorithm == 0 {
		t.SignatureAlgorithm = x509.SHA384WithRSAPSS
	}
	if o.CommonName != "" {
		cn = o.CommonName
	}
	t.RawSubject = subject(cn)
	if o.Extensions != nil {
		exts = o.Extensions(exts)
	}
	t.ExtraExtensions = exts
	var name *x509.Certificate
	if o.IssuedBy != nil {
		by, name = o.IssuedBy.ca, o.IssuedBy.Name
	}
	if name == nil {
		name = by.cert
	}
	parent := *by.cert
	parent.RawSubject, parent.Subject = name.RawSubject, name.Subject
	parent.SubjectKeyId = nil // AMD's leaves have no authority key id
	der, err := signDER(t, &parent, s.key.Public(), by.key)
	if err == nil && o.SaltLength != 0 {
		err = resalt(der, by.key, o.SaltLength)
	}
	return der, err
}

// resalt replaces the signature at the end of a certificate by one with a salt of another length; the certificate goes
// on to say 48.
func resalt(der []byte, key *rsa.PrivateKey, salt int) error {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return fault.New(fault.Internal, "a certificate of the simulator does not parse: %w", err)
	}
	sum := sha512.Sum384(c.RawTBSCertificate)
	sig, err := rsa.SignPSS(rand.Reader, key, crypto.SHA384, sum[:], &rsa.PSSOptions{SaltLength: salt})
	if err != nil {
		return fault.New(fault.Usage, "salt of %d bytes: %w", salt, err)
	}
	copy(der[len(der)-len(sig):], sig)
	return nil
}

// OIDs of AMD's extensions (evidence-snp.md section 10).
func amdOID(arc ...int) asn1.ObjectIdentifier {
	return append(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1}, arc...)
}

// vekExtensions are AMD's extensions in AMD's order. hwID is raw octets, without a DER header. Turin has fmcSPL in
// front and lacks spl4; before it snpSPL stands behind spl7.
func vekExtensions(p Product, vlek bool, t TCB, hwID []byte, csp string) []pkix.Extension {
	l, _ := p.line()
	version, name := l.structVersion, l.vcekName
	if vlek {
		version, name = 0, string(p)
	}
	out := []pkix.Extension{{Id: amdOID(1), Value: derInt(version)}, {Id: amdOID(2), Value: derIA5(name)}}
	spl := func(arc int, v uint8) { out = append(out, pkix.Extension{Id: amdOID(3, arc), Value: derInt(v)}) }
	if l.turinTCB {
		spl(9, t.FMC)
	}
	spl(1, t.BootLoader)
	spl(2, t.TEE)
	if l.turinTCB {
		spl(3, t.SNP)
	} else {
		spl(4, 0)
	}
	spl(5, 0)
	spl(6, 0)
	spl(7, 0)
	if !l.turinTCB {
		spl(3, t.SNP)
	}
	spl(8, t.Microcode)
	if vlek {
		return append(out, pkix.Extension{Id: amdOID(5), Value: derIA5(csp)})
	}
	return append(out, pkix.Extension{Id: amdOID(4), Value: hwID})
}

func derInt(v uint8) []byte {
	if v < 0x80 {
		return []byte{2, 1, v}
	}
	return []byte{2, 2, 0, v}
}

func derIA5(s string) []byte { return append([]byte{0x16, byte(len(s))}, s...) }

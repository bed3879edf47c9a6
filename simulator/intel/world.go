package intel

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"sync"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// Common names that give certificates their roles (evidence-intel.md section 8).
const (
	nameRoot       = "Intel SGX Root CA"
	namePlatform   = "Intel SGX PCK Platform CA"
	nameProcessor  = "Intel SGX PCK Processor CA"
	namePCK        = "Intel SGX PCK Certificate"
	nameTCBSigning = "Intel SGX TCB Signing"
)

// Config says what [New] makes.
type Config struct {
	// Clock gives the time at which certificates and documents are issued; nil is time.Now.
	Clock func() time.Time
}

// World is Intel's key hierarchy for one process. It is safe for concurrent use.
type World struct {
	clock     func() time.Time
	Root      *Authority
	Platform  *Authority // PCK Platform CA
	Processor *Authority // PCK Processor CA
	Signing   *Authority // TCB Signing

	mu      sync.Mutex
	serial  int64
	revoked map[string][]*big.Int // by common name of the CA
}

// Authority is a key with its certificate.
type Authority struct {
	Key  *ecdsa.PrivateKey
	Cert *x509.Certificate
}

// New makes keys and certificates.
func New(cfg Config) (*World, error) {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	w := &World{clock: cfg.Clock, revoked: map[string][]*big.Int{}}
	var err error
	for _, a := range []struct {
		into  **Authority
		name  string
		by    func() *Authority
		years int
		ca    bool
	}{
		{&w.Root, nameRoot, func() *Authority { return nil }, 30, true},
		{&w.Platform, namePlatform, func() *Authority { return w.Root }, 15, true},
		{&w.Processor, nameProcessor, func() *Authority { return w.Root }, 15, true},
		{&w.Signing, nameTCBSigning, func() *Authority { return w.Root }, 7, false},
	} {
		if *a.into, err = w.Issue(CertOptions{CommonName: a.name, By: a.by(), Years: a.years, CA: a.ca}); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// CertOptions describe a certificate of the hierarchy; tests use it to make what Intel would never issue.
type CertOptions struct {
	CommonName string
	By         *Authority // issuer; nil is self-signed
	IssuerName *x509.Certificate
	CA         bool
	Years      int
	NotBefore  time.Time // zero: a year before the clock
	NotAfter   time.Time // zero: Years after the clock
	Key        *ecdsa.PrivateKey
	Extra      []pkix.Extension
	// Change may alter the template before it is signed.
	Change func(*x509.Certificate)
}

// Issue makes a certificate.
func (w *World) Issue(o CertOptions) (*Authority, error) {
	key := o.Key
	if key == nil {
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, fault.New(fault.Internal, "P-256 key: %w", err)
		}
	}
	w.mu.Lock()
	w.serial++
	serial := new(big.Int).SetInt64(w.serial)
	w.mu.Unlock()
	now := w.clock().UTC().Truncate(time.Second)
	pub, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, fault.New(fault.Internal, "public key: %w", err)
	}
	id := sha1.Sum(pub)
	t := &x509.Certificate{
		SerialNumber: serial.Add(serial, new(big.Int).Lsh(big.NewInt(0x5151), 96)),
		Subject: pkix.Name{CommonName: o.CommonName, Organization: []string{evidence.SimulatorOrganization},
			Locality: []string{"Santa Clara"}, Province: []string{"CA"}, Country: []string{"US"}},
		NotBefore: o.NotBefore, NotAfter: o.NotAfter, SubjectKeyId: id[:], BasicConstraintsValid: true, IsCA: o.CA,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: o.Extra, SignatureAlgorithm: x509.ECDSAWithSHA256,
		CRLDistributionPoints: []string{"https://certificates.simulator.invalid/IntelSGXRootCA.der"},
	}
	if t.NotBefore.IsZero() {
		t.NotBefore = now.AddDate(-1, 0, 0)
	}
	if t.NotAfter.IsZero() {
		t.NotAfter = now.AddDate(max(o.Years, 1), 0, 0)
	}
	if o.CA {
		t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	if o.Change != nil {
		o.Change(t)
	}
	parent, signer := t, key
	if o.By != nil {
		p := *o.By.Cert
		if o.IssuerName != nil {
			p.RawSubject, p.Subject = o.IssuerName.RawSubject, o.IssuerName.Subject
		}
		parent, signer = &p, o.By.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, fault.New(fault.Internal, "the simulator cannot issue a certificate: %w", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fault.New(fault.Internal, "a certificate of the simulator does not parse: %w", err)
	}
	return &Authority{Key: key, Cert: c}, nil
}

// Anchors is what the operator of a Verifier would have to configure to believe in w.
func (w *World) Anchors() evidence.AnchorsConfig {
	return evidence.AnchorsConfig{Roots: []*x509.Certificate{w.Root.Cert}, AllowSimulatorUnsafe: true}
}

// PEM renders certificates as one chain.
func PEM(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// SigningChain is the issuer chain of signed documents, as PCS sends it.
func (w *World) SigningChain() []byte { return PEM(w.Signing.Cert, w.Root.Cert) }

// Revoke withdraws a certificate: lists made from now on name its serial number.
func (w *World) Revoke(by *Authority, c *x509.Certificate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	cn := by.Cert.Subject.CommonName
	w.revoked[cn] = append(w.revoked[cn], c.SerialNumber)
}

// CRLOptions change a revocation list. The zero value gives the list that would be published now.
type CRLOptions struct {
	ThisUpdate, NextUpdate time.Time // zero: an hour before the clock; 30 days after it
	Number                 int64     // zero: 1, which is what Intel's lists say
	Signer                 *ecdsa.PrivateKey
}

// CRL signs the list of a CA: w.Root, w.Platform or w.Processor. It returns DER.
func (w *World) CRL(by *Authority, o CRLOptions) ([]byte, error) {
	now := w.clock().UTC().Truncate(time.Second)
	t := &x509.RevocationList{Number: big.NewInt(max(o.Number, 1)), ThisUpdate: o.ThisUpdate, NextUpdate: o.NextUpdate, SignatureAlgorithm: x509.ECDSAWithSHA256}
	if t.ThisUpdate.IsZero() {
		t.ThisUpdate = now.Add(-time.Hour)
	}
	if t.NextUpdate.IsZero() {
		t.NextUpdate = now.AddDate(0, 0, 30)
	}
	w.mu.Lock()
	for _, s := range w.revoked[by.Cert.Subject.CommonName] {
		t.RevokedCertificateEntries = append(t.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: s, RevocationTime: t.ThisUpdate})
	}
	w.mu.Unlock()
	key, issuer := by.Key, *by.Cert
	if o.Signer != nil {
		key = o.Signer
		issuer.PublicKey = &key.PublicKey
	}
	der, err := x509.CreateRevocationList(rand.Reader, t, &issuer, key)
	if err != nil {
		return nil, fault.New(fault.Internal, "the simulator cannot issue a revocation list: %w", err)
	}
	return der, nil
}

// signRaw signs the SHA-256 of msg and gives r ‖ s, 32 bytes each, big-endian.
func signRaw(key *ecdsa.PrivateKey, msg []byte) ([]byte, error) {
	d := sha256.Sum256(msg)
	r, s, err := ecdsa.Sign(rand.Reader, key, d[:])
	if err != nil {
		return nil, fault.New(fault.Internal, "signature: %w", err)
	}
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out, nil
}

// point is the public key as x ‖ y.
func point(key *ecdsa.PrivateKey) ([]byte, error) {
	b, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, fault.New(fault.Internal, "public key: %w", err)
	}
	return b[1:], nil
}

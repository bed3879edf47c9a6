package vtpm

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"crypto/x509"
	"encoding/binary"
	"hash"
	"io"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// Credential is a secret wrapped to an endorsement key and the name of an attestation key (TPM2_MakeCredential). Only the
// TPM that holds both gives the secret back.
type Credential struct {
	IDObject        []byte // TPM2B_ID_OBJECT
	EncryptedSecret []byte // TPM2B_ENCRYPTED_SECRET
}

// MakeCredential wraps secret, at most as long as the name's digest, for the object called akName in the TPM of ek
// (TPM 2.0 Library Part 1, sections 24 and B.10, C.6.4). ek must be a storage key: restricted, decrypt, with AES in CFB.
func MakeCredential(random io.Reader, ek *Public, akName, secret []byte) (*Credential, error) {
	switch {
	case ek.Attributes&(Restricted|Decrypt) != Restricted|Decrypt || ek.Attributes&Sign != 0:
		return nil, fault.New(fault.Unsupported, "the key is no endorsement key: it is not a restricted decryption key")
	case ek.Symmetric.Alg != 0x0006 || ek.Symmetric.Mode != 0x0043 || ek.Symmetric.Bits != 128 && ek.Symmetric.Bits != 256:
		return nil, fault.New(fault.Unsupported, "an endorsement key with symmetric algorithm %04x, mode %04x; AES in CFB is known", ek.Symmetric.Alg, ek.Symmetric.Mode)
	case len(secret) == 0 || len(secret) > ek.NameAlg.Size():
		return nil, fault.New(fault.Usage, "a secret of %d bytes; 1 to %d are possible", len(secret), ek.NameAlg.Size())
	}
	seed, enc, err := ek.shareSeed(random)
	if err != nil {
		return nil, err
	}
	h, _ := ek.NameAlg.crypto()
	block, err := aes.NewCipher(kdfa(h, seed, "STORAGE", akName, nil, int(ek.Symmetric.Bits)))
	if err != nil {
		return nil, fault.New(fault.Internal, "%w", err)
	}
	identity := appendSized(nil, secret)
	cipher.NewCFBEncrypter(block, make([]byte, block.BlockSize())).XORKeyStream(identity, identity) //nolint:staticcheck // the TPM's mode
	mac := hmac.New(h.New, kdfa(h, seed, "INTEGRITY", nil, nil, 8*h.Size()))
	mac.Write(identity)
	mac.Write(akName)
	return &Credential{IDObject: appendSized(nil, append(appendSized(nil, mac.Sum(nil)), identity...)), EncryptedSecret: appendSized(nil, enc)}, nil
}

// shareSeed makes a seed and encrypts it to ek.
func (p *Public) shareSeed(random io.Reader) (seed, enc []byte, err error) {
	h, _ := p.NameAlg.crypto()
	switch k := p.Key.(type) {
	case *rsa.PublicKey:
		seed = make([]byte, h.Size())
		if _, err := io.ReadFull(random, seed); err != nil {
			return nil, nil, fault.New(fault.Internal, "randomness: %w", err)
		}
		enc, err = rsa.EncryptOAEP(h.New(), random, k, seed, []byte("IDENTITY\x00"))
		if err != nil {
			return nil, nil, fault.New(fault.Unsupported, "endorsement key: %w", err)
		}
		return seed, enc, nil
	case *ecdsa.PublicKey:
		return shareECC(h, k)
	}
	return nil, nil, fault.New(fault.Unsupported, "an endorsement key of type %T", p.Key)
}

// shareECC is one-pass Diffie-Hellman (Part 1, section C.6.1): the seed is KDFe of the shared x coordinate.
func shareECC(h crypto.Hash, k *ecdsa.PublicKey) (seed, enc []byte, err error) {
	pub, err := k.ECDH()
	if err != nil {
		return nil, nil, fault.New(fault.Unsupported, "endorsement key: %w", err)
	}
	eph, err := pub.Curve().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fault.New(fault.Internal, "randomness: %w", err)
	}
	z, err := eph.ECDH(pub)
	if err != nil {
		return nil, nil, fault.New(fault.Unsupported, "endorsement key: %w", err)
	}
	x := func(p *ecdh.PublicKey) []byte { b := p.Bytes(); return b[1 : 1+len(b)/2] }
	y := func(p *ecdh.PublicKey) []byte { b := p.Bytes(); return b[1+len(b)/2:] }
	return kdfe(h, z, "IDENTITY", x(eph.PublicKey()), x(pub), 8*h.Size()), appendSized(appendSized(nil, x(eph.PublicKey())), y(eph.PublicKey())), nil
}

// kdfa is SP 800-108 in counter mode with HMAC (Part 1, section 11.4.10.2).
func kdfa(h crypto.Hash, key []byte, label string, u, v []byte, bits int) []byte {
	var out []byte
	for i := uint32(1); len(out)*8 < bits; i++ {
		m := hmac.New(h.New, key)
		counted(m, i, label)
		m.Write(u)
		m.Write(v)
		m.Write(binary.BigEndian.AppendUint32(nil, uint32(bits)))
		out = m.Sum(out)
	}
	return out[:bits/8]
}

// kdfe is SP 800-56A with a hash (Part 1, section 11.4.10.3).
func kdfe(h crypto.Hash, z []byte, label string, u, v []byte, bits int) []byte {
	var out []byte
	for i := uint32(1); len(out)*8 < bits; i++ {
		d := h.New()
		d.Write(binary.BigEndian.AppendUint32(nil, i))
		d.Write(z)
		d.Write(append([]byte(label), 0))
		d.Write(u)
		d.Write(v)
		out = d.Sum(out)
	}
	return out[:bits/8]
}

func counted(h hash.Hash, i uint32, label string) {
	h.Write(binary.BigEndian.AppendUint32(nil, i))
	h.Write(append([]byte(label), 0))
}

// EnrolConfig says which TPM is to be enrolled.
type EnrolConfig struct {
	Name  string // how results will call the attestation key
	AK    []byte // TPMT_PUBLIC or TPM2B_PUBLIC of the attestation key
	EK    []byte // the same of the endorsement key
	EKCer []byte // certificate of the endorsement key, DER; nil when EKTrusted
	// Intermediates and Roots are the chain of EKCer. Roots are trusted.
	Intermediates [][]byte
	Roots         []*x509.Certificate
	// EKTrusted says that the operator knows the endorsement key from elsewhere: a provisioning record, the manifest of an
	// SVSM that a CPU report covers.
	EKTrusted bool
	Time      time.Time
}

// Enrolment is the verifier's side of credential activation. Finish makes the attestation key an anchor.
type Enrolment struct {
	Challenge Credential
	cfg       EnrolConfig
	ak        *Public
	secret    [32]byte
}

// NewEnrolment checks both keys and makes a challenge. Errors are of class malformed, unsupported, signature or stale.
func NewEnrolment(cfg EnrolConfig) (*Enrolment, error) {
	if cfg.Time.IsZero() {
		return nil, fault.New(fault.Internal, "enrolment without a clock")
	}
	e := &Enrolment{cfg: cfg}
	var err error
	if e.ak, err = ParsePublic(cfg.AK); err != nil {
		return nil, err
	}
	// The name that the credential is made for commits to the attributes, so that looking at them here is enough.
	if err := e.ak.CheckAK(); err != nil {
		return nil, err
	}
	ek, err := ParsePublic(cfg.EK)
	if err != nil {
		return nil, err
	}
	if err := cfg.checkEK(ek); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(rand.Reader, e.secret[:]); err != nil {
		return nil, fault.New(fault.Internal, "randomness: %w", err)
	}
	c, err := MakeCredential(rand.Reader, ek, e.ak.Name(), e.secret[:])
	if err != nil {
		return nil, err
	}
	e.Challenge = *c
	return e, nil
}

func (cfg *EnrolConfig) checkEK(ek *Public) error {
	if cfg.EKTrusted {
		return nil
	}
	if cfg.EKCer == nil || len(cfg.Roots) == 0 {
		return fault.New(fault.Signature, "no trust anchor for the endorsement key: give its certificate and the root of the TPM's maker")
	}
	leaf, err := parseCert(cfg.EKCer)
	if err != nil {
		return err
	}
	a, err1 := x509.MarshalPKIXPublicKey(leaf.PublicKey)
	b, err2 := x509.MarshalPKIXPublicKey(ek.Key)
	if err1 != nil || err2 != nil || subtle.ConstantTimeCompare(a, b) != 1 {
		return fault.New(fault.Signature, "the certificate of the endorsement key is for another key")
	}
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: cfg.Time, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, r := range cfg.Roots {
		opts.Roots.AddCert(r)
	}
	for i, der := range cfg.Intermediates {
		if i == maxIntermediates {
			return fault.New(fault.Malformed, "more than %d certificates", maxIntermediates)
		}
		c, err := parseCert(der)
		if err != nil {
			return err
		}
		opts.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(opts); err != nil {
		return chainFault(leaf, opts, err)
	}
	return nil
}

// Finish compares what the TPM gave back, and returns the attestation key as an anchor for exactly this object.
func (e *Enrolment) Finish(secret []byte) (evidence.AnchorKey, error) {
	if subtle.ConstantTimeCompare(secret, e.secret[:]) != 1 {
		return evidence.AnchorKey{}, fault.New(fault.Binding, "the secret is another: attestation key and endorsement key are not in one TPM")
	}
	return evidence.AnchorKey{TEE: Name, Name: e.cfg.Name, ID: e.ak.Name(), Key: e.ak.Key}, nil
}

// credentialMagic begins the file of tpm2-tools and Keylime, before the version 1.
const credentialMagic = 0xBADCC0DE

// File is the form of tpm2-tools and Keylime.
func (c *Credential) File() []byte {
	b := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, credentialMagic), 1)
	return append(append(b, c.IDObject...), c.EncryptedSecret...)
}

// ParseCredentialFile is the inverse of [Credential.File].
func ParseCredentialFile(b []byte) (*Credential, error) {
	r := reader{b: b, what: "credential file"}
	if r.u32() != credentialMagic || r.u32() != 1 {
		r.fail(fault.Malformed, "not a credential file of version 1")
	}
	c := &Credential{IDObject: appendSized(nil, r.sized()), EncryptedSecret: appendSized(nil, r.sized())}
	if err := r.end(); err != nil {
		return nil, err
	}
	return c, nil
}

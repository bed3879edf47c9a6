// Package tpm collects evidence from a TPM 2.0: a quote over PCR 0 to 23 of the SHA-256 bank, in the form of Trustee's
// guests, and the answer to a credential activation.
package tpm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"

	"github.com/assay-tee/assay/attester"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// DefaultDevice is the TPM through the kernel's resource manager.
const DefaultDevice = "/dev/tpmrm0"

const (
	numPCRs     = 24
	perRead     = 8 // PCRs that TPM2_PCR_Read gives at most
	maxAttempts = 5
)

// Config configures an [Attester].
type Config struct {
	// Device is the TPM; "" means DefaultDevice. TPM, when not nil, is used instead.
	Device string
	TPM    transport.TPM
	// Handle is the persistent attestation key (0x81010002 for Trustee's guests, 0x81000003 on Azure). Zero makes a
	// primary key in the endorsement hierarchy, which is the same whenever it is made.
	Handle uint32
}

// Attester quotes. It implements attester.Attester. A TPM serves one command at a time, and so does it.
type Attester struct {
	cfg Config
	tpm transport.TPM
}

var _ attester.Attester = (*Attester)(nil)

// New opens the TPM. What is not there is class unsupported.
func New(cfg Config) (*Attester, error) {
	a := &Attester{cfg: cfg, tpm: cfg.TPM}
	if a.tpm != nil {
		return a, nil
	}
	if cfg.Device == "" {
		cfg.Device = DefaultDevice
	}
	t, err := linuxtpm.Open(cfg.Device)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.New(fault.Unsupported, "there is no TPM at %s", cfg.Device)
	case errors.Is(err, os.ErrPermission):
		return nil, fault.New(fault.Usage, "no access to %s: %w", cfg.Device, err)
	case err != nil:
		return nil, fault.New(fault.Unsupported, "TPM at %s: %w", cfg.Device, err)
	}
	a.tpm = t
	return a, nil
}

// Close closes the device, if New opened it.
func (a *Attester) Close() error {
	if c, ok := a.tpm.(transport.TPMCloser); ok && a.cfg.TPM == nil {
		return c.Close()
	}
	return nil
}

// TEE implements attester.Attester.
func (a *Attester) TEE() string { return "tpm" }

// akTemplate is a restricted signing key: it signs only what the TPM made.
func akTemplate() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{Type: tpm2.TPMAlgRSA, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, Restricted: true, SignEncrypt: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{KeyBits: 2048,
			Scheme: tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSASSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256})}})}
}

// key is a loaded object.
type key struct {
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName
	public []byte // TPMT_PUBLIC
	flush  func()
}

// attestationKey loads the key that quotes.
func (a *Attester) attestationKey() (*key, error) {
	if a.cfg.Handle == 0 {
		return a.primary(akTemplate())
	}
	h := tpm2.TPMHandle(a.cfg.Handle)
	r, err := tpm2.ReadPublic{ObjectHandle: h}.Execute(a.tpm)
	if err != nil {
		return nil, fault.New(fault.Unsupported, "no attestation key at handle %#x: %w", a.cfg.Handle, err)
	}
	return &key{handle: h, name: r.Name, public: r.OutPublic.Bytes(), flush: func() {}}, nil
}

// primary makes a primary key in the endorsement hierarchy.
func (a *Attester) primary(t tpm2.TPMTPublic) (*key, error) {
	r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(t)}.Execute(a.tpm)
	if err != nil {
		return nil, fault.New(fault.Unsupported, "the TPM made no key: %w", err)
	}
	return &key{handle: r.ObjectHandle, name: r.Name, public: r.OutPublic.Bytes(), flush: func() {
		_, _ = tpm2.FlushContext{FlushHandle: r.ObjectHandle}.Execute(a.tpm)
	}}, nil
}

// Publics returns TPMT_PUBLIC of the attestation key and of the endorsement key, for an enrolment.
func (a *Attester) Publics() (ak, ek []byte, err error) {
	k, err := a.attestationKey()
	if err != nil {
		return nil, nil, err
	}
	defer k.flush()
	e, err := a.primary(tpm2.RSAEKTemplate)
	if err != nil {
		return nil, nil, err
	}
	defer e.flush()
	return k.public, e.public, nil
}

// Evidence implements attester.Attester: a quote whose extraData is reportData.
func (a *Attester) Evidence(ctx context.Context, reportData []byte) (evidence.Evidence, error) {
	if len(reportData) < 16 || len(reportData) > 64 {
		return evidence.Evidence{}, fault.New(fault.Usage, "report data of %d bytes; 16 to 64 are possible", len(reportData))
	}
	k, err := a.attestationKey()
	if err != nil {
		return evidence.Evidence{}, err
	}
	defer k.flush()
	spki, err := publicKey(k.public)
	if err != nil {
		return evidence.Evidence{}, err
	}
	// A PCR may be extended between quote and reading; then both are done again.
	for range maxAttempts {
		if err := ctx.Err(); err != nil {
			return evidence.Evidence{}, fault.New(fault.Unavailable, "%w", err)
		}
		msg, sig, digest, err := a.quote(k, reportData)
		if err != nil {
			return evidence.Evidence{}, err
		}
		values, err := a.readPCRs()
		if err != nil {
			return evidence.Evidence{}, err
		}
		if sum := sha256.Sum256(bytes.Join(values, nil)); !bytes.Equal(sum[:], digest) {
			continue
		}
		data, err := render(msg, sig, values, spki)
		return evidence.Evidence{TEE: a.TEE(), Data: data}, err
	}
	return evidence.Evidence{}, fault.New(fault.Unavailable, "PCRs changed during each of %d quotes", maxAttempts)
}

func selection(from, to int) tpm2.TPMLPCRSelection {
	var bitmap [numPCRs / 8]byte
	for i := from; i < to; i++ {
		bitmap[i/8] |= 1 << (i % 8)
	}
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256, PCRSelect: bitmap[:]}}}
}

func (a *Attester) quote(k *key, data []byte) (msg, sig, digest []byte, err error) {
	r, err := tpm2.Quote{SignHandle: tpm2.AuthHandle{Handle: k.handle, Name: k.name, Auth: tpm2.PasswordAuth(nil)},
		QualifyingData: tpm2.TPM2BData{Buffer: data}, InScheme: tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull}, PCRSelect: selection(0, numPCRs)}.Execute(a.tpm)
	if err != nil {
		return nil, nil, nil, fault.New(fault.Unsupported, "the TPM gave no quote: %w", err)
	}
	attest, err := r.Quoted.Contents()
	if err != nil {
		return nil, nil, nil, fault.New(fault.Internal, "quote: %w", err)
	}
	q, err := attest.Attested.Quote()
	if err != nil {
		return nil, nil, nil, fault.New(fault.Internal, "quote: %w", err)
	}
	return r.Quoted.Bytes(), tpm2.Marshal(r.Signature), q.PCRDigest.Buffer, nil
}

func (a *Attester) readPCRs() ([][]byte, error) {
	var out [][]byte
	for from := 0; from < numPCRs; from += perRead {
		r, err := tpm2.PCRRead{PCRSelectionIn: selection(from, from+perRead)}.Execute(a.tpm)
		if err != nil || len(r.PCRValues.Digests) != perRead {
			return nil, fault.New(fault.Unsupported, "the TPM has no SHA-256 bank of 24 PCRs: %v", err)
		}
		for _, d := range r.PCRValues.Digests {
			out = append(out, d.Buffer)
		}
	}
	return out, nil
}

// publicKey is the SubjectPublicKeyInfo of a TPMT_PUBLIC.
func publicKey(public []byte) ([]byte, error) {
	p, err := tpm2.Unmarshal[tpm2.TPMTPublic](public)
	if err != nil {
		return nil, fault.New(fault.Internal, "attestation key: %w", err)
	}
	k, err := tpm2.Pub(*p)
	if err != nil {
		return nil, fault.New(fault.Unsupported, "attestation key: %w", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		return nil, fault.New(fault.Unsupported, "attestation key: %w", err)
	}
	return spki, nil
}

// render is the form of kbs-evidence.md section 8.
func render(msg, sig []byte, values [][]byte, spki []byte) ([]byte, error) {
	type quote struct {
		Signature string   `json:"signature"`
		Message   string   `json:"message"`
		PCRs      []string `json:"pcrs"`
	}
	b64 := base64.StdEncoding.EncodeToString
	q := quote{Signature: b64(sig), Message: b64(msg)}
	for _, v := range values {
		q.PCRs = append(q.PCRs, hex.EncodeToString(v))
	}
	b, err := json.Marshal(struct {
		Quote quote  `json:"tpm_quote"`
		AK    string `json:"ak_public"`
	}{q, b64(spki)})
	if err != nil {
		return nil, fault.New(fault.Internal, "%w", err)
	}
	return b, nil
}

// Activate opens a credential (TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET) that a verifier made for the two keys of Publics.
func (a *Attester) Activate(idObject, encrypted []byte) ([]byte, error) {
	blob, err := tpm2.Unmarshal[tpm2.TPM2BIDObject](idObject)
	if err != nil {
		return nil, fault.New(fault.Malformed, "TPM2B_ID_OBJECT: %w", err)
	}
	secret, err := tpm2.Unmarshal[tpm2.TPM2BEncryptedSecret](encrypted)
	if err != nil {
		return nil, fault.New(fault.Malformed, "TPM2B_ENCRYPTED_SECRET: %w", err)
	}
	k, err := a.attestationKey()
	if err != nil {
		return nil, err
	}
	defer k.flush()
	e, err := a.primary(tpm2.RSAEKTemplate)
	if err != nil {
		return nil, err
	}
	defer e.flush()
	// The template of an endorsement key asks for PolicySecret of the endorsement hierarchy (EK Credential Profile, B.3.3).
	policy := tpm2.Policy(tpm2.TPMAlgSHA256, 16, func(t transport.TPM, h tpm2.TPMISHPolicy, n tpm2.TPM2BNonce) error {
		_, err := tpm2.PolicySecret{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)}, PolicySession: h, NonceTPM: n}.Execute(t)
		return err
	})
	r, err := tpm2.ActivateCredential{
		ActivateHandle: tpm2.AuthHandle{Handle: k.handle, Name: k.name, Auth: tpm2.PasswordAuth(nil)},
		KeyHandle:      tpm2.AuthHandle{Handle: e.handle, Name: e.name, Auth: policy},
		CredentialBlob: *blob, Secret: *secret,
	}.Execute(a.tpm)
	if err != nil {
		return nil, fault.New(fault.Binding, "the TPM did not open the credential: it was made for other keys: %w", err)
	}
	return r.CertInfo.Buffer, nil
}

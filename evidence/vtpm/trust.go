package vtpm

import (
	"crypto"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/internal/sealed"
	"github.com/assay-tee/assay/internal/fault"
)

func bindingFault(field string, have, want int) error {
	return fault.New(fault.Binding, "%s has %d bytes, %d are expected: the evidence was made for another nonce, key or session", field, have, want)
}

// What the attestation key rests on, the claim ak_trust.
const (
	TrustEnrolled    = "enrolled"    // the operator named the key: an earlier enrolment, credential activation
	TrustCertificate = "certificate" // a certificate that chains to a configured root
	TrustCPU         = "cpu"         // authentic evidence of a CPU TEE commits to the key
	TrustNone        = "none"        // nothing; only by the driver's unsafe option
)

// forever is the end of the validity of what has none.
var forever = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// trust is what the attestation key was found to rest on.
type trust struct {
	how       string
	root      sealed.Root
	links     []sealed.Link
	window    evidence.Window
	authority claim.Authority
	cert      *x509.Certificate
	unsafe    []string
}

// attestationKey is the key that a container names, with what is known of it.
type attestationKey struct {
	key    crypto.PublicKey
	spki   []byte
	public *Public // nil when only the bare key is at hand
	cert   []byte  // DER, nil when there is none
	inters [][]byte
	auth   claim.Authority // nil when it has not been made yet
}

// root finds what k rests on (tsm-tpm.md section 7). A key that came with the evidence never is its own anchor.
func (k *attestationKey) root(env evidence.Env, unrooted bool) (*trust, error) {
	for _, a := range env.Anchors.Keys(Name) {
		der, err := x509.MarshalPKIXPublicKey(a.Key)
		if err != nil || subtle.ConstantTimeCompare(der, k.spki) != 1 {
			continue
		}
		// An anchor with an id is for the very object whose attributes were looked at when it was enrolled.
		if a.ID != nil && k.public != nil && subtle.ConstantTimeCompare(a.ID, k.public.Name()) != 1 {
			continue
		}
		auth, err := k.authority()
		if err != nil {
			return nil, err
		}
		return &trust{how: TrustEnrolled, root: sealed.Root{Name: a.Name, SHA256: sha256.Sum256(k.spki)}, authority: auth,
			window: evidence.Window{NotAfter: forever}}, nil
	}
	if k.cert != nil {
		return k.chain(env)
	}
	if !unrooted {
		return nil, fault.New(fault.Signature, "no trust anchor for the attestation key %x: it is not enrolled, and no certificate for it came along; enrol the TPM by credential activation, or name the key as an anchor", sha256.Sum256(k.spki))
	}
	auth, err := k.authority()
	if err != nil {
		return nil, err
	}
	return &trust{how: TrustNone, root: sealed.Root{Name: "no root", SHA256: sha256.Sum256(k.spki)}, authority: auth,
		window: evidence.Window{NotAfter: forever}, unsafe: []string{"unrooted-attestation-key"}}, nil
}

var (
	oidSAN = asn1.ObjectIdentifier{2, 5, 29, 17}
)

const (
	maxCert          = 16 << 10
	maxIntermediates = 8
)

// chain verifies the certificate of k to a configured root at env.Time.
func (k *attestationKey) chain(env evidence.Env) (*trust, error) {
	leaf, err := parseCert(k.cert)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(leaf.PublicKey)
	if err != nil || subtle.ConstantTimeCompare(spki, k.spki) != 1 {
		return nil, fault.New(fault.Signature, "the certificate of the attestation key is for another key")
	}
	if leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 || leaf.IsCA {
		return nil, fault.New(fault.Signature, "the certificate of the attestation key is not for signatures")
	}
	roots, inters := x509.NewCertPool(), x509.NewCertPool()
	var anchors []*x509.Certificate
	for _, c := range env.Anchors.Roots() {
		roots.AddCert(c)
		anchors = append(anchors, c)
	}
	for i, der := range k.inters {
		if i == maxIntermediates {
			return nil, fault.New(fault.Malformed, "more than %d certificates came with the evidence", maxIntermediates)
		}
		c, err := parseCert(der)
		if err != nil {
			return nil, err
		}
		inters.AddCert(c)
	}
	opts := x509.VerifyOptions{Roots: roots, Intermediates: inters, CurrentTime: env.Time, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	if len(anchors) == 0 {
		return nil, fault.New(fault.Signature, "no trust anchor for the certificate of the attestation key (issuer %q): name the root of its maker", leaf.Issuer)
	}
	chains, err := leaf.Verify(opts)
	if err != nil {
		return nil, chainFault(leaf, opts, err)
	}
	return k.certified(leaf, chains[0])
}

// chainFault tells a chain that does not hold from one that does not hold now.
func chainFault(leaf *x509.Certificate, opts x509.VerifyOptions, err error) error {
	opts.CurrentTime = leaf.NotBefore
	if inv, ok := err.(x509.CertificateInvalidError); ok && inv.Reason == x509.Expired {
		if _, again := leaf.Verify(opts); again == nil {
			return fault.New(fault.Stale, "the certificate of the attestation key, valid from %s to %s: %w", leaf.NotBefore.Format(time.RFC3339), leaf.NotAfter.Format(time.RFC3339), err)
		}
	}
	return fault.New(fault.Signature, "the certificate of the attestation key (issuer %q) leads to no root that is trusted here: %w", leaf.Issuer, err)
}

func (k *attestationKey) certified(leaf *x509.Certificate, path []*x509.Certificate) (*trust, error) {
	root := path[len(path)-1]
	t := &trust{how: TrustCertificate, cert: leaf, root: sealed.Root{Name: root.Subject.CommonName, SHA256: sha256.Sum256(root.Raw), Simulated: evidence.IsSimulated(root)},
		window: evidence.Window{NotAfter: forever}}
	for i, c := range path {
		role := "TPM CA"
		switch i {
		case 0:
			role = "AK"
		case len(path) - 1:
			role = "root"
		}
		t.links = append(t.links, sealed.Link{Role: role, Subject: c.Subject.String(), SHA256: sha256.Sum256(c.Raw), NotBefore: c.NotBefore, NotAfter: c.NotAfter})
		if c.NotBefore.After(t.window.NotBefore) {
			t.window.NotBefore = c.NotBefore
		}
		if c.NotAfter.Before(t.window.NotAfter) {
			t.window.NotAfter = c.NotAfter
		}
		auth, err := claim.CertAuthority(c)
		if err != nil {
			return nil, fault.New(fault.Unsupported, "certificate %q: %w", c.Subject, err)
		}
		t.authority = append(t.authority, auth...)
	}
	if t.root.Simulated {
		t.unsafe = append(t.unsafe, "simulator-root")
	}
	return t, nil
}

// parseCert parses a certificate of a TPM. Such certificates have a critical subject alternative name made of directory
// names, which crypto/x509 does not read (TCG EK Credential Profile 2.5, section 3.2); nothing rests on it here, so that
// this one extension may be critical and unread.
func parseCert(der []byte) (*x509.Certificate, error) {
	if len(der) > maxCert {
		return nil, fault.New(fault.Malformed, "a certificate of %d bytes; at most %d are read", len(der), maxCert)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fault.New(fault.Malformed, "a certificate that came with the evidence: %w", err)
	}
	rest := c.UnhandledCriticalExtensions[:0]
	for _, id := range c.UnhandledCriticalExtensions {
		if !id.Equal(oidSAN) {
			rest = append(rest, id)
		}
	}
	c.UnhandledCriticalExtensions = rest
	return c, nil
}

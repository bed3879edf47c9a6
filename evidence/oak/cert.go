package oak

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"

	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/cosex"
	"github.com/assay-tee/assay/internal/fault"
)

// External AAD of the certificates (oak.md section 4).
const (
	aadLayer       = "oak-dice-layer-v1"
	aadApplication = "oak-application-keys-v1"
	aadUserData    = "oak-user-data-v1"
)

// AAD says which external AAD certificates may be signed over.
type AAD uint8

// The choices.
const (
	AADEither  AAD = iota // the purpose or nothing; claims say which
	AADPurpose            // the purpose of the certificate
	AADLegacy             // nothing, as in all evidence that has been published
)

// Claims of the CWT (oak.md section 4).
const (
	claimIssuer             = 1
	claimSubject            = 2
	claimPublicKey          = -4670552
	claimKeyUsage           = -4670553
	claimSHA256             = -4670572
	claimEventID            = -4670573
	claimApplicationKey     = -4670574
	claimTransparentEventID = -4670575
)

var certLimits = cborx.Limits{Size: 64 << 10, Depth: 8, Items: 64, Text: 4 << 10, Bytes: 64 << 10}

// Certificate is a COSE_Sign1 over CWT claims: authentic once [Certificate.verify] has returned no error.
type Certificate struct {
	name            string
	sign1           *cosex.Sign1
	sha             [32]byte
	Issuer, Subject string // hex key ids
	Key             []byte // encoded COSE_Key of the subject, nil when there is none
	pub             publicKey
	KeyUsage        []byte
	EventID         []byte // SHA-256, nil when absent
	Transparent     []byte // SHA-256, nil when absent
	KeySet          []byte // serialized Tink key set of CB's application certificates
	Purpose         bool   // the signature covers the purpose
	claims          bool   // the payload has been read as claims
}

// parseSign1 reads a certificate without looking into the payload.
func parseSign1(name string, b []byte) (*Certificate, error) {
	s, err := cosex.Parse(b, cosex.Options{Untagged: true, Limits: certLimits})
	if err != nil {
		return nil, fault.Wrap(err, "%s", name)
	}
	if len(b) > 0 && b[0] != 0x84 {
		return nil, fault.New(fault.Malformed, "%s: the COSE_Sign1 is tagged, which Oak's are not", name)
	}
	if s.Alg != cosex.ES256 {
		return nil, fault.New(fault.Unsupported, "%s: signature algorithm %d; Oak's certificates have ES256", name, s.Alg)
	}
	return &Certificate{name: name, sign1: s, sha: sha256.Sum256(b)}, nil
}

// parseCertificate reads a certificate and its claims. Errors are malformed or unsupported.
func parseCertificate(name string, b []byte) (*Certificate, error) {
	c, err := parseSign1(name, b)
	if err != nil {
		return nil, err
	}
	c.claims = true
	r := cborx.NewReader(c.sign1.Payload, certLimits)
	for n := r.Map(); n > 0 && r.OK(); n-- {
		if r.Kind() == cborx.Text {
			r.Skip()
			r.Skip()
			continue
		}
		switch r.Int64() {
		case claimIssuer:
			c.Issuer = r.Text()
		case claimSubject:
			c.Subject = r.Text()
		case claimPublicKey:
			c.Key = r.Bytes()
		case claimKeyUsage:
			c.KeyUsage = r.Bytes()
		case claimEventID:
			c.EventID = digestMap(r)
		case claimTransparentEventID:
			c.Transparent = digestMap(r)
		case claimApplicationKey:
			c.KeySet = r.Bytes()
		default:
			r.Skip()
		}
	}
	if err := r.Done(); err != nil {
		return nil, fault.Wrap(err, "%s", name)
	}
	if c.Key != nil {
		if c.pub, err = parseCOSEKey(c.Key); err != nil {
			return nil, fault.Wrap(err, "%s", name)
		}
		// Upstream does not look at the ids; where the key carries one all data agrees, and a chain whose names say something
		// else deceives readers. CB's keys carry none, and their subjects are ids of another making.
		switch {
		case c.pub.named && c.Subject != c.pub.id:
			return nil, fault.New(fault.Malformed, "%s: the subject is %q, the id of its key is %s", name, c.Subject, c.pub.id)
		case !c.pub.named:
			c.pub.id = c.Subject
		}
	}
	return c, nil
}

// digestMap reads {−4670572: SHA-256}, the value of EVENT_ID; the number once meant the raw command line.
func digestMap(r *cborx.Reader) (d []byte) {
	for n := r.Map(); n > 0 && r.OK(); n-- {
		if r.Int64() == claimSHA256 {
			d = r.Bytes()
		} else {
			r.Skip()
		}
	}
	if r.OK() && len(d) != sha256.Size {
		r.Fail("a digest of %d bytes; SHA-256 has %d", len(d), sha256.Size)
	}
	return d
}

// verify checks the signature by the issuer's key, and that the names agree.
func (c *Certificate) verify(issuer *publicKey, purpose string, mode AAD) error {
	if issuer.ec == nil {
		return fault.New(fault.Signature, "%s: the key above it cannot sign certificates", c.name)
	}
	// What is published is signed over nothing, so that form is tried first.
	err := fault.New(fault.Signature, "no form is accepted")
	if mode != AADPurpose {
		err = c.sign1.Verify(issuer.ec, nil)
	}
	if err != nil && mode != AADLegacy {
		if err = c.sign1.Verify(issuer.ec, []byte(purpose)); err == nil {
			c.Purpose = true
		}
	}
	if err != nil {
		return fault.Wrap(err, "%s is not signed by the layer above it", c.name)
	}
	if c.claims && c.Issuer != issuer.id {
		return fault.New(fault.Signature, "%s: the issuer is %q, but the key that signed it has the id %s", c.name, c.Issuer, issuer.id)
	}
	return nil
}

// publicKey is a P-256 key, or an X25519 key, which cannot sign.
type publicKey struct {
	id    string // hex; of keys without a kid, the subject of their certificate
	named bool   // carries a kid, which agrees with the key
	ec    *ecdsa.PublicKey
	point []byte // 65 bytes SEC1, or 32 bytes of X25519
}

// parseCOSEKey reads a key and recomputes its id (oak.md section 5).
func parseCOSEKey(b []byte) (k publicKey, err error) {
	r := cborx.NewReader(b, certLimits)
	var kty, crv int64
	var kid, x, y []byte
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch r.Int64() {
		case 1:
			kty = r.Int64()
		case 2:
			kid = r.Bytes()
		case -1:
			crv = r.Int64()
		case -2:
			x = r.Bytes()
		case -3:
			y = r.Bytes()
		default:
			r.Skip()
		}
	}
	if err := r.Done(); err != nil {
		return k, fault.Wrap(err, "COSE_Key")
	}
	switch {
	case kty == 2 && crv == 1 && len(x) == 32 && len(y) == 32:
		k.point = append(append([]byte{4}, x...), y...)
		if k.ec, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), k.point); err != nil {
			return k, fault.New(fault.Malformed, "COSE_Key: %w", err)
		}
	case kty == 1 && crv == 4 && len(x) == 32:
		k.point = append([]byte(nil), x...)
	default:
		return k, fault.New(fault.Unsupported, "COSE_Key of type %d on curve %d; Oak has P-256 and X25519", kty, crv)
	}
	id, err := hkdf.Key(sha256.New, k.point, []byte("DICE_ID_SALT"), "ID", 20)
	if err != nil {
		return k, fault.New(fault.Internal, "key id: %w", err)
	}
	k.id, k.named = hex.EncodeToString(id), kid != nil
	if kid != nil && hex.EncodeToString(kid) != k.id {
		return k, fault.New(fault.Malformed, "COSE_Key: kid is %x, the id of the key is %s", kid, k.id)
	}
	return k, nil
}

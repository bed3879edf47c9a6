// Package keys reads, makes and writes signing keys: private keys as PKCS#8 PEM files that only their owner can read,
// public keys as PEM, JWK or JWK set.
//
// Algorithms are tied to keys, never to what a message says (RFC 8725 section 3.1): P-256 signs ES256 and nothing
// else, P-384 ES384, P-521 ES512, Ed25519 EdDSA.
package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"

	"github.com/go-jose/go-jose/v4"

	"github.com/assay-tee/assay/internal/fault"
)

// Alg is a JOSE algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1).
type Alg string

// The algorithms that keys of this package can have.
const (
	ES256 Alg = "ES256"
	ES384 Alg = "ES384"
	ES512 Alg = "ES512"
	EdDSA Alg = "EdDSA" // Ed25519
)

// Algs lists the algorithms.
func Algs() []Alg { return []Alg{ES256, ES384, ES512, EdDSA} }

// Private is a signing key with the one algorithm that it is for.
type Private struct {
	Alg    Alg
	Signer crypto.Signer
	Public Public
}

// Public is a verification key with the one algorithm that it is for.
type Public struct {
	Alg Alg
	Key crypto.PublicKey // *ecdsa.PublicKey or ed25519.PublicKey
	// KID is the RFC 7638 thumbprint with SHA-256, base64url.
	KID string
}

// Generate makes a key.
func Generate(alg Alg) (*Private, error) {
	var s crypto.Signer
	var err error
	switch alg {
	case ES256:
		s, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ES384:
		s, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case ES512:
		s, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case EdDSA:
		_, s, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, fault.New(fault.Usage, "unknown key algorithm %q; known are ES256, ES384, ES512, EdDSA", alg)
	}
	if err != nil {
		return nil, fault.New(fault.Internal, "generating a key: %w", err)
	}
	return NewPrivate(s)
}

// NewPrivate ties a key to its algorithm.
func NewPrivate(s crypto.Signer) (*Private, error) {
	if s == nil {
		return nil, fault.New(fault.Internal, "no private key")
	}
	pub, err := NewPublic(s.Public())
	if err != nil {
		return nil, err
	}
	return &Private{Alg: pub.Alg, Signer: s, Public: pub}, nil
}

// NewPublic ties a public key to its algorithm. Other kinds of keys are of class unsupported.
func NewPublic(k crypto.PublicKey) (Public, error) {
	p := Public{Key: k}
	switch k := k.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			p.Alg = ES256
		case elliptic.P384():
			p.Alg = ES384
		case elliptic.P521():
			p.Alg = ES512
		}
		if _, err := k.ECDH(); p.Alg != "" && err != nil { // refuses points off the curve
			return Public{}, fault.New(fault.Malformed, "public key: %w", err)
		}
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return Public{}, fault.New(fault.Malformed, "Ed25519 public key of %d bytes", len(k))
		}
		p.Alg = EdDSA
	}
	if p.Alg == "" {
		return Public{}, fault.New(fault.Unsupported, "keys of type %T are not used here; P-256, P-384, P-521 and Ed25519 are", k)
	}
	t, err := (&jose.JSONWebKey{Key: k}).Thumbprint(crypto.SHA256)
	if err != nil {
		return Public{}, fault.New(fault.Malformed, "public key: %w", err)
	}
	p.KID = base64.RawURLEncoding.EncodeToString(t)
	return p, nil
}

// SPKI returns the DER SubjectPublicKeyInfo.
func (p Public) SPKI() []byte {
	der, err := x509.MarshalPKIXPublicKey(p.Key)
	if err != nil {
		return nil // not reachable for a key that NewPublic took
	}
	return der
}

// Fingerprint is the SHA-256 of the SubjectPublicKeyInfo, in hex.
func (p Public) Fingerprint() string {
	s := sha256.Sum256(p.SPKI())
	return hex.EncodeToString(s[:])
}

// IsZero reports whether p holds no key.
func (p Public) IsZero() bool { return p.Key == nil }

// JWK returns p as a JOSE key for verification, with kid, alg and use.
func (p Public) JWK() jose.JSONWebKey {
	return jose.JSONWebKey{Key: p.Key, KeyID: p.KID, Algorithm: string(p.Alg), Use: "sig"}
}

// JWKS returns a JWK set (RFC 7517 section 5) of ps.
func JWKS(ps ...Public) jose.JSONWebKeySet {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, p := range ps {
		set.Keys = append(set.Keys, p.JWK())
	}
	return set
}

// Package dsse reads, verifies and writes DSSE envelopes (secure-systems-lab/dsse 1.0): JSON around a payload, signed
// over its pre-authentication encoding.
package dsse

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // SHA-384 and SHA-512 of the curves
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"strconv"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
	"github.com/assay-tee/assay/provenance/internal/seal"
)

// Limits of an envelope.
const (
	MaxSize       = 16 << 20 // bytes
	maxSignatures = 64
)

// PayloadInToto is the payload type of in-toto statements.
const PayloadInToto = "application/vnd.in-toto+json"

// Envelope is a DSSE envelope; nothing in it counts before a signature has been checked.
type Envelope struct {
	PayloadType string
	Payload     []byte // decoded
	Signatures  []Signature
}

// Signature is one signature; its key id is a hint that nothing vouches for.
type Signature struct {
	KeyID string
	Sig   []byte
}

// Parse reads an envelope. Unknown members are ignored, repeated ones refused. Errors are malformed.
func Parse(b []byte) (*Envelope, error) {
	if len(b) > MaxSize {
		return nil, fault.New(fault.Malformed, "DSSE envelope of %d bytes; at most %d are read", len(b), MaxSize)
	}
	var raw struct {
		PayloadType *string `json:"payloadType"`
		Payload     *string `json:"payload"`
		Signatures  []struct {
			KeyID string  `json:"keyid"`
			Sig   *string `json:"sig"`
		} `json:"signatures"`
	}
	if err := exactMembers(b, "payloadType", "payload", "signatures"); err != nil {
		return nil, fault.Wrap(err, "DSSE envelope")
	}
	if err := jsonx.Unmarshal(b, &raw, false); err != nil {
		return nil, fault.Wrap(err, "DSSE envelope")
	}
	if raw.PayloadType == nil || raw.Payload == nil || len(raw.Signatures) == 0 {
		return nil, fault.New(fault.Malformed, "DSSE envelope without payloadType, payload or signatures")
	}
	if len(raw.Signatures) > maxSignatures {
		return nil, fault.New(fault.Malformed, "DSSE envelope with %d signatures; at most %d are read", len(raw.Signatures), maxSignatures)
	}
	e := &Envelope{PayloadType: *raw.PayloadType}
	var err error
	if e.Payload, err = decode(*raw.Payload); err != nil {
		return nil, fault.Wrap(err, "DSSE payload")
	}
	for _, s := range raw.Signatures {
		if s.Sig == nil || *s.Sig == "" {
			return nil, fault.New(fault.Malformed, "DSSE signature without sig")
		}
		sig, err := decode(*s.Sig)
		if err != nil {
			return nil, fault.Wrap(err, "DSSE signature")
		}
		e.Signatures = append(e.Signatures, Signature{KeyID: s.KeyID, Sig: sig})
	}
	return e, nil
}

// exactMembers refuses members that encoding/json would take for a known one although their case differs: two readers
// could see two payloads.
func exactMembers(b []byte, names ...string) error {
	ms, err := jsonx.Object(b)
	if err != nil {
		return err
	}
	for _, m := range ms {
		for _, n := range names {
			if m.Name != n && strings.EqualFold(m.Name, n) {
				return fault.New(fault.Malformed, "member %q differs from %q by case alone", m.Name, n)
			}
		}
	}
	return nil
}

// decode reads standard or URL-safe base64 with padding; line breaks, which Go's decoder passes over, are refused.
func decode(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, fault.New(fault.Malformed, "base64 with line breaks")
	}
	enc := base64.StdEncoding.Strict()
	if strings.ContainsAny(s, "-_") {
		enc = base64.URLEncoding.Strict()
	}
	b, err := enc.DecodeString(s)
	if err != nil {
		return nil, fault.New(fault.Malformed, "base64: %w", err)
	}
	return b, nil
}

// PAE is the pre-authentication encoding: what is signed.
func PAE(payloadType string, payload []byte) []byte {
	b := make([]byte, 0, len(payloadType)+len(payload)+32)
	b = append(b, "DSSEv1 "...)
	b = append(strconv.AppendInt(b, int64(len(payloadType)), 10), ' ')
	b = append(append(b, payloadType...), ' ')
	b = append(strconv.AppendInt(b, int64(len(payload)), 10), ' ')
	return append(b, payload...)
}

// Encoding is the form of a signature.
type Encoding uint8

// The forms of signatures.
const (
	DER   Encoding = iota // ECDSA as ASN.1; Ed25519 and RSA have one form only
	P1363                 // ECDSA as r‖s of fixed length
)

// Scheme is how an RSA key signs.
type Scheme uint8

// The RSA schemes.
const (
	PSS Scheme = iota
	PKCS1v15
)

// Key is a configured verification key.
type Key struct {
	Name     string // for people and the trail
	ID       string // when set, a signature that names a key id must name this one
	Require  bool   // the signature must name ID
	Public   crypto.PublicKey
	Encoding Encoding
	RSA      Scheme
}

// SPKI is the SHA-256 of the key's SubjectPublicKeyInfo, hex.
func (k Key) SPKI() string {
	der, err := x509.MarshalPKIXPublicKey(k.Public)
	if err != nil {
		return ""
	}
	s := sha256.Sum256(der)
	return hex.EncodeToString(s[:])
}

// Check verifies sig over message by the key's own algorithm. Errors have class signature or unsupported.
func (k Key) Check(message, sig []byte) error {
	ok := false
	switch p := k.Public.(type) {
	case *ecdsa.PublicKey:
		h, size, err := curveHash(p.Curve)
		if err != nil {
			return err
		}
		d := sum(h, message)
		if k.Encoding == P1363 {
			ok = len(sig) == 2*size && ecdsa.Verify(p, d, new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:]))
		} else {
			ok = ecdsa.VerifyASN1(p, d, sig)
		}
	case ed25519.PublicKey:
		ok = len(p) == ed25519.PublicKeySize && len(sig) == ed25519.SignatureSize && ed25519.Verify(p, message, sig)
	case *rsa.PublicKey:
		if p.N.BitLen() < 2048 {
			return fault.New(fault.Signature, "an RSA key of %d bits; at least 2048 are needed", p.N.BitLen())
		}
		d := sum(crypto.SHA256, message)
		if k.RSA == PKCS1v15 {
			ok = rsa.VerifyPKCS1v15(p, crypto.SHA256, d, sig) == nil
		} else {
			ok = rsa.VerifyPSS(p, crypto.SHA256, d, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto}) == nil
		}
	default:
		return fault.New(fault.Unsupported, "keys of type %T do not verify signatures here", k.Public)
	}
	if !ok {
		return fault.New(fault.Signature, "the signature does not verify under key %q", k.label())
	}
	return nil
}

func (k Key) label() string {
	if k.Name != "" {
		return k.Name
	}
	if k.ID != "" {
		return k.ID
	}
	return k.SPKI()
}

func curveHash(c elliptic.Curve) (h crypto.Hash, size int, err error) {
	switch c {
	case elliptic.P256():
		return crypto.SHA256, 32, nil
	case elliptic.P384():
		return crypto.SHA384, 48, nil
	case elliptic.P521():
		return crypto.SHA512, 66, nil
	}
	return 0, 0, fault.New(fault.Unsupported, "an ECDSA key on a curve that is not used here")
}

func sum(h crypto.Hash, b []byte) []byte {
	w := h.New()
	w.Write(b)
	return w.Sum(nil)
}

// Verify checks that at least threshold different keys have signed e, and returns those that have, in the order of the
// configuration. A key id in a signature is a hint: it narrows the choice among configured keys, never widens it.
func (e *Envelope) Verify(keys []Key, threshold int) ([]Key, error) {
	if threshold < 1 || len(keys) == 0 {
		return nil, fault.New(fault.Usage, "no key to verify with: name the signer's public key")
	}
	message := PAE(e.PayloadType, e.Payload)
	var good []Key
	var last error
	counted := map[string]bool{}
	for _, k := range keys {
		if counted[k.SPKI()] {
			continue
		}
		for _, s := range e.Signatures {
			if k.Require && s.KeyID != k.ID || k.ID != "" && s.KeyID != "" && s.KeyID != k.ID {
				continue
			}
			if last = k.Check(message, s.Sig); last == nil {
				good, counted[k.SPKI()] = append(good, k), true
				break
			}
		}
	}
	if len(good) >= threshold {
		return good, nil
	}
	if last == nil || len(good) > 0 {
		last = fault.New(fault.Signature, "%d of %d needed signatures are by keys that are configured", len(good), threshold)
	}
	return nil, fault.New(fault.Signature, "DSSE envelope: %w", last)
}

// Attest reads and verifies an envelope: the signer of the result is the first key that holds.
func Attest(file []byte, keys []Key, threshold int) (*seal.Attestation, error) {
	e, err := Parse(bytes.TrimSpace(file))
	if err != nil {
		return nil, err
	}
	good, err := e.Verify(keys, threshold)
	if err != nil {
		return nil, err
	}
	sha := sha256.Sum256(file)
	return seal.New(seal.Data{Form: "dsse", SHA256: hex.EncodeToString(sha[:]), PayloadType: e.PayloadType, Payload: e.Payload,
		Signer: seal.Signer{Name: good[0].Name, KeyID: good[0].ID, KeySHA256: good[0].SPKI()}}), nil
}

// Sign writes an envelope of one line.
func Sign(payloadType string, payload []byte, keyID string, signer crypto.Signer) ([]byte, error) {
	message := PAE(payloadType, payload)
	var h crypto.Hash
	switch p := signer.Public().(type) {
	case *ecdsa.PublicKey:
		var err error
		if h, _, err = curveHash(p.Curve); err != nil {
			return nil, err
		}
		message = sum(h, message)
	case ed25519.PublicKey:
	default:
		return nil, fault.New(fault.Unsupported, "keys of type %T do not sign envelopes here", p)
	}
	sig, err := signer.Sign(rand.Reader, message, h)
	if err != nil {
		return nil, fault.New(fault.Internal, "signing: %w", err)
	}
	type jsonSig struct {
		KeyID string `json:"keyid,omitempty"`
		Sig   []byte `json:"sig"`
	}
	out, err := json.Marshal(struct {
		PayloadType string    `json:"payloadType"`
		Payload     []byte    `json:"payload"`
		Signatures  []jsonSig `json:"signatures"`
	}{payloadType, payload, []jsonSig{{keyID, sig}}})
	return out, fault.As(fault.Internal, err)
}

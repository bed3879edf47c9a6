// Package jwe encrypts secrets to the key that evidence binds, in the exact bytes that the clients of the KBS protocol
// rebuild (specs kbs-protocol.md sections 6, 10 and 11.2; RFC 7516, 7518, 3394).
package jwe

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/mlkem"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"slices"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jcs"
	"github.com/assay-tee/assay/internal/jsonx"
)

// Alg is the key management algorithm that a key names.
type Alg string

// The algorithms of the KBS protocol.
const (
	ECDHES   Alg = "ECDH-ES+A256KW"
	OAEP256  Alg = "RSA-OAEP-256"
	RSA15    Alg = "RSA1_5"   // legacy clients only
	OAEPSHA1 Alg = "RSA-OAEP" // legacy clients only
	MLKEM768 Alg = "ML-KEM-768+A192KW"
)

// MaxKeySize bounds the JWK text, in bytes; an RSA key of 8192 bits has about 1.5 KiB, an ML-KEM-768 key 1.7 KiB.
const MaxKeySize = 4096

// RSA sizes that are accepted, in bits.
const minRSA, maxRSA = 2048, 8192

var b64 = base64.RawURLEncoding.Strict()

// Key is the public key of an Attester (tee-pubkey). Only [ParseKey] and the constructors make one, after they have
// checked that it is usable: points lie on their curve, moduli are long enough.
type Key struct {
	alg       Alg
	canonical []byte // RFC 8785 text of the members in the table of section 6 and no others
	ec        *ecdh.PublicKey
	crv       string
	x, y      []byte // full width
	rsa       *rsa.PublicKey
	rsaN      string
	rsaE      string
	kem       *mlkem.EncapsulationKey768
}

// Alg returns the algorithm.
func (k *Key) Alg() Alg { return k.alg }

// JSON returns the canonical JWK: what binding digests contain. Callers must not change it.
func (k *Key) JSON() []byte { return k.canonical }

// Curve returns "P-256", "P-384" or "P-521" of an EC key, "" otherwise.
func (k *Key) Curve() string { return k.crv }

// XY returns the coordinates of an EC key at full width.
func (k *Key) XY() (x, y []byte) { return k.x, k.y }

// RSATexts returns modulus and exponent as the JWK spells them; digests of protocol 0.1.0 concatenate them.
func (k *Key) RSATexts() (n, e string) { return k.rsaN, k.rsaE }

// Thumbprint is SHA-256 of the canonical JWK.
func (k *Key) Thumbprint() [32]byte { return sha256.Sum256(k.canonical) }

// Equal reports whether k and o are the same key for the same algorithm.
func (k *Key) Equal(o *Key) bool { return bytes.Equal(k.canonical, o.canonical) }

func keyFault(format string, args ...any) error {
	return fault.New(fault.Malformed, "tee-pubkey: "+format, args...)
}

// ParseKey reads a JWK. Members outside the table of kbs-protocol.md section 6 are dropped, except private ones, which
// are an error: a private key must never travel. Errors are of class malformed, or unsupported for other kinds of keys.
func ParseKey(jwk []byte) (*Key, error) {
	if len(jwk) > MaxKeySize {
		return nil, keyFault("longer than %d bytes", MaxKeySize)
	}
	members, err := jsonx.Object(jwk)
	if err != nil {
		return nil, fault.Wrap(err, "tee-pubkey")
	}
	str := map[string]string{}
	for _, m := range members {
		switch m.Name {
		case "d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv":
			return nil, keyFault("holds the private member %q; only the public key may be sent", m.Name)
		case "kty", "crv", "alg", "x", "y", "n", "e", "pub":
			if str[m.Name], err = jsonx.String(m.Raw); err != nil {
				return nil, keyFault("member %q is not a string", m.Name)
			}
		}
	}
	k := &Key{alg: Alg(str["alg"])}
	switch str["kty"] {
	case "EC":
		err = k.setEC(str)
	case "RSA":
		err = k.setRSA(str)
	case "AKP":
		err = k.setKEM(str)
	case "":
		err = keyFault("has no kty")
	default:
		err = fault.New(fault.Unsupported, "tee-pubkey: kty %.20q is not one of EC, RSA, AKP", str["kty"])
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

func (k *Key) setEC(s map[string]string) error {
	if k.alg != ECDHES {
		return fault.New(fault.Unsupported, "tee-pubkey: alg %.40q does not fit an EC key; it must be %s", k.alg, ECDHES)
	}
	var curve ecdh.Curve
	var width int
	switch k.crv = s["crv"]; k.crv {
	case "P-256":
		curve, width = ecdh.P256(), 32
	case "P-384":
		curve, width = ecdh.P384(), 48
	case "P-521":
		curve, width = ecdh.P521(), 66
	default:
		return fault.New(fault.Unsupported, "tee-pubkey: curve %.20q is not P-256, P-384 or P-521", k.crv)
	}
	for name, into := range map[string]*[]byte{"x": &k.x, "y": &k.y} {
		v, err := b64.DecodeString(s[name])
		if err != nil {
			return keyFault("%s is not base64url without padding", name)
		}
		if len(v) != width {
			return keyFault("%s has %d bytes; a coordinate on %s has exactly %d", name, len(v), k.crv, width)
		}
		*into = v
	}
	pub, err := curve.NewPublicKey(slices.Concat([]byte{4}, k.x, k.y))
	if err != nil {
		return keyFault("x, y is not a point on %s", k.crv)
	}
	k.ec = pub
	k.canonical = object("alg", string(k.alg), "crv", k.crv, "kty", "EC", "x", s["x"], "y", s["y"])
	return nil
}

func (k *Key) setRSA(s map[string]string) error {
	switch k.alg {
	case OAEP256, RSA15, OAEPSHA1:
	default:
		return fault.New(fault.Unsupported, "tee-pubkey: alg %.40q does not fit an RSA key; use %s", k.alg, OAEP256)
	}
	n, errN := b64.DecodeString(s["n"])
	e, errE := b64.DecodeString(s["e"])
	if errN != nil || errE != nil {
		return keyFault("n or e is not base64url without padding")
	}
	N, E := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
	if bits := N.BitLen(); bits < minRSA || bits > maxRSA {
		return keyFault("an RSA modulus of %d bits is outside %d to %d", bits, minRSA, maxRSA)
	}
	if N.Bit(0) == 0 || E.BitLen() > 31 || E.Bit(0) == 0 || E.BitLen() < 2 {
		return keyFault("modulus or exponent is not one of an RSA key")
	}
	k.rsa, k.rsaN, k.rsaE = &rsa.PublicKey{N: N, E: int(E.Int64())}, s["n"], s["e"]
	k.canonical = object("alg", string(k.alg), "e", s["e"], "kty", "RSA", "n", s["n"])
	return nil
}

func (k *Key) setKEM(s map[string]string) error {
	if k.alg != MLKEM768 {
		return fault.New(fault.Unsupported, "tee-pubkey: alg %.40q does not fit an AKP key; it must be %s", k.alg, MLKEM768)
	}
	pub, err := b64.DecodeString(s["pub"])
	if err != nil {
		return keyFault("pub is not base64url without padding")
	}
	if k.kem, err = mlkem.NewEncapsulationKey768(pub); err != nil {
		return keyFault("pub is not an ML-KEM-768 encapsulation key of %d bytes", mlkem.EncapsulationKeySize768)
	}
	k.canonical = object("alg", string(k.alg), "kty", "AKP", "pub", s["pub"])
	return nil
}

// object writes an object of strings in the order given, in the canonical form of RFC 8785 if that order is.
func object(kv ...string) []byte {
	out := []byte{'{'}
	for i := 0; i < len(kv); i += 2 {
		if i > 0 {
			out = append(out, ',')
		}
		out = jcs.AppendString(append(jcs.AppendString(out, kv[i]), ':'), kv[i+1])
	}
	return append(out, '}')
}

// ECKey makes the [Key] of an ECDH public key on P-256, P-384 or P-521.
func ECKey(pub *ecdh.PublicKey) (*Key, error) {
	raw := pub.Bytes()
	width, crv := (len(raw)-1)/2, ""
	switch pub.Curve() {
	case ecdh.P256():
		crv = "P-256"
	case ecdh.P384():
		crv = "P-384"
	case ecdh.P521():
		crv = "P-521"
	default:
		return nil, fault.New(fault.Unsupported, "only P-256, P-384 and P-521 keys can receive secrets")
	}
	return ParseKey(object("alg", string(ECDHES), "crv", crv, "kty", "EC",
		"x", b64.EncodeToString(raw[1:1+width]), "y", b64.EncodeToString(raw[1+width:])))
}

// RSAKey makes the [Key] of an RSA public key for RSA-OAEP-256.
func RSAKey(pub *rsa.PublicKey) (*Key, error) {
	return ParseKey(object("alg", string(OAEP256), "e", b64.EncodeToString(big.NewInt(int64(pub.E)).Bytes()),
		"kty", "RSA", "n", b64.EncodeToString(pub.N.Bytes())))
}

// SPKI returns the SubjectPublicKeyInfo of an EC or RSA key.
func (k *Key) SPKI() ([]byte, error) {
	switch {
	case k.ec != nil:
		curve := elliptic.P256()
		switch k.crv {
		case "P-384":
			curve = elliptic.P384()
		case "P-521":
			curve = elliptic.P521()
		}
		der, err := x509.MarshalPKIXPublicKey(&ecdsa.PublicKey{Curve: curve, X: new(big.Int).SetBytes(k.x), Y: new(big.Int).SetBytes(k.y)})
		return der, fault.As(fault.Internal, err)
	case k.rsa != nil:
		der, err := x509.MarshalPKIXPublicKey(k.rsa)
		return der, fault.As(fault.Internal, err)
	}
	return nil, fault.New(fault.Unsupported, "an ML-KEM key has no SubjectPublicKeyInfo here")
}

// ParseSPKI makes the [Key] of a DER SubjectPublicKeyInfo: ECDH-ES+A256KW for EC keys, RSA-OAEP-256 for RSA.
func ParseSPKI(der []byte) (*Key, error) {
	pub, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fault.New(fault.Malformed, "the bound key is no SubjectPublicKeyInfo: %w", err)
	}
	switch p := pub.(type) {
	case *ecdsa.PublicKey:
		e, err := p.ECDH()
		if err != nil {
			return nil, fault.New(fault.Malformed, "the bound key: %w", err)
		}
		return ECKey(e)
	case *rsa.PublicKey:
		return RSAKey(p)
	}
	return nil, fault.New(fault.Unsupported, "the bound key is of a kind that no secret can be encrypted to")
}

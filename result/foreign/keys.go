package foreign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// Key is a pinned key of a verifier.
type Key struct {
	KID string // "" matches any
	Key crypto.PublicKey
}

const (
	maxKeySet = 1 << 20
	maxKeys   = 256
)

// ParseKeys reads a JWK set as the services publish it (RSA by n and e, EC by x and y, or the first certificate of x5c), or
// PEM public keys and certificates. Keys of other kinds are passed over; none at all is class malformed.
func ParseKeys(b []byte) ([]Key, error) {
	if len(b) > maxKeySet {
		return nil, fault.New(fault.Malformed, "a key set of %d bytes; at most %d are read", len(b), maxKeySet)
	}
	if p, _ := pem.Decode(b); p != nil {
		return pemKeys(b)
	}
	o, err := members(b)
	if err != nil {
		return nil, fault.Wrap(err, "key set")
	}
	list := [][]byte{b}
	if o["keys"] != nil {
		if list, err = jsonx.Array(o["keys"]); err != nil {
			return nil, fault.Wrap(err, "key set")
		}
	}
	if len(list) > maxKeys {
		return nil, fault.New(fault.Malformed, "a key set of %d keys; at most %d are read", len(list), maxKeys)
	}
	var out []Key
	for _, raw := range list {
		k, err := jwk(raw)
		if err != nil {
			return nil, err
		}
		if k.Key != nil {
			out = append(out, k)
		}
	}
	if len(out) == 0 {
		return nil, fault.New(fault.Malformed, "the key set has no RSA or EC key")
	}
	return out, nil
}

func pemKeys(b []byte) ([]Key, error) {
	var out []Key
	for p, rest := pem.Decode(b); p != nil; p, rest = pem.Decode(rest) {
		if len(out) == maxKeys {
			return nil, fault.New(fault.Malformed, "more than %d keys", maxKeys)
		}
		switch p.Type {
		case "CERTIFICATE":
			c, err := x509.ParseCertificate(p.Bytes)
			if err != nil {
				return nil, fault.New(fault.Malformed, "certificate: %w", err)
			}
			out = append(out, Key{Key: c.PublicKey})
		case "PUBLIC KEY":
			k, err := x509.ParsePKIXPublicKey(p.Bytes)
			if err != nil {
				return nil, fault.New(fault.Malformed, "public key: %w", err)
			}
			out = append(out, Key{Key: k})
		default:
			return nil, fault.New(fault.Malformed, "PEM block %q is no public key", p.Type)
		}
	}
	return out, nil
}

func jwk(raw []byte) (Key, error) {
	o, err := members(raw)
	if err != nil {
		return Key{}, fault.Wrap(err, "JWK")
	}
	var k Key
	if o["kid"] != nil {
		if k.KID, err = jsonx.String(o["kid"]); err != nil {
			return Key{}, fault.Wrap(err, "JWK")
		}
	}
	num := func(name string) *big.Int {
		s, err := jsonx.String(o[name])
		if err != nil {
			return nil
		}
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || len(b) > 1024 {
			return nil
		}
		return new(big.Int).SetBytes(b)
	}
	kty, _ := jsonx.String(o["kty"])
	if list, err := jsonx.Array(o["x5c"]); o["x5c"] != nil && o["n"] == nil && o["x"] == nil && err == nil && len(list) > 0 {
		s, err := jsonx.String(list[0])
		if err != nil {
			return Key{}, fault.Wrap(err, "JWK")
		}
		der, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return Key{}, fault.New(fault.Malformed, "JWK: x5c: %w", err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return Key{}, fault.New(fault.Malformed, "JWK: x5c: %w", err)
		}
		k.Key = c.PublicKey
		return k, nil
	}
	switch kty {
	case "RSA":
		n, e := num("n"), num("e")
		if n == nil || e == nil || !e.IsInt64() || e.Int64() > 1<<31-1 {
			return Key{}, fault.New(fault.Malformed, "JWK %q is no RSA key", k.KID)
		}
		k.Key = &rsa.PublicKey{N: n, E: int(e.Int64())}
	case "EC":
		crv, _ := jsonx.String(o["crv"])
		curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384()}[crv]
		x, y := num("x"), num("y")
		if curve == nil || x == nil || y == nil || max(x.BitLen(), y.BitLen()) > curve.Params().BitSize {
			return Key{}, fault.New(fault.Malformed, "JWK %q is no key on P-256 or P-384", k.KID)
		}
		size := curve.Params().BitSize / 8
		point := append([]byte{4}, append(x.FillBytes(make([]byte, size)), y.FillBytes(make([]byte, size))...)...)
		key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
		if err != nil {
			return Key{}, fault.New(fault.Malformed, "JWK %q: %w", k.KID, err)
		}
		k.Key = key
	}
	return k, nil
}

type object map[string][]byte

func members(text []byte) (object, error) {
	list, err := jsonx.Object(text)
	if err != nil {
		return nil, err
	}
	o := make(object, len(list))
	for _, x := range list {
		if !jsonx.IsNull(x.Raw) {
			o[x.Name] = x.Raw
		}
	}
	return o, nil
}

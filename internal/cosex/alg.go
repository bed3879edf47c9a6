package cosex

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the table below
	_ "crypto/sha512"
	"encoding/asn1"
	"math/big"

	"github.com/assay-tee/assay/internal/fault"
)

// Signature algorithms (IANA COSE Algorithms) that are verified and made.
const (
	ES256   int64 = -7
	ES384   int64 = -35
	ES512   int64 = -36
	ESP256  int64 = -9  // RFC 9864
	ESP384  int64 = -51 // RFC 9864
	ESP512  int64 = -52 // RFC 9864
	PS256   int64 = -37
	PS384   int64 = -38
	PS512   int64 = -39
	Ed25519 int64 = -19 // RFC 9864
	EdDSA   int64 = -8
)

type family uint8

const (
	famECDSA family = iota
	famPSS
	famEd25519
)

type algorithm struct {
	id     int64
	name   string
	family family
	hash   crypto.Hash
	curve  elliptic.Curve // set when the algorithm fixes it
}

var algorithms = []algorithm{
	{ES256, "ES256", famECDSA, crypto.SHA256, nil},
	{ES384, "ES384", famECDSA, crypto.SHA384, nil},
	{ES512, "ES512", famECDSA, crypto.SHA512, nil},
	{ESP256, "ESP256", famECDSA, crypto.SHA256, elliptic.P256()},
	{ESP384, "ESP384", famECDSA, crypto.SHA384, elliptic.P384()},
	{ESP512, "ESP512", famECDSA, crypto.SHA512, elliptic.P521()},
	{PS256, "PS256", famPSS, crypto.SHA256, nil},
	{PS384, "PS384", famPSS, crypto.SHA384, nil},
	{PS512, "PS512", famPSS, crypto.SHA512, nil},
	{Ed25519, "Ed25519", famEd25519, 0, nil},
	{EdDSA, "EdDSA", famEd25519, 0, nil},
}

// AlgName returns the registered name of a signature algorithm, or "".
func AlgName(id int64) string {
	for _, a := range algorithms {
		if a.id == id {
			return a.name
		}
	}
	switch id {
	case -48, -49, -50:
		return map[int64]string{-48: "ML-DSA-44", -49: "ML-DSA-65", -50: "ML-DSA-87"}[id]
	case -257:
		return "RS256"
	}
	return ""
}

// AlgByName is the inverse of [AlgName] for algorithms that can be used.
func AlgByName(name string) (int64, bool) {
	for _, a := range algorithms {
		if a.name == name {
			return a.id, true
		}
	}
	return 0, false
}

// AlgFor gives the usual algorithm for a key.
func AlgFor(key crypto.PublicKey) (int64, error) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return ES256, nil
		case elliptic.P384():
			return ES384, nil
		case elliptic.P521():
			return ES512, nil
		}
	case *rsa.PublicKey:
		if k.N.BitLen() >= 3072 {
			return PS384, nil
		}
		return PS256, nil
	case ed25519.PublicKey:
		return EdDSA, nil
	}
	return 0, fault.New(fault.Unsupported, "no signature algorithm here fits a key of type %T", key)
}

// lookup finds an algorithm. RS256, RS1 and MACs are refused as signatures (specs corim.md section 4).
func lookup(id int64) (algorithm, error) {
	for _, a := range algorithms {
		if a.id == id {
			return a, nil
		}
	}
	if id >= -50 && id <= -48 {
		return algorithm{}, fault.New(fault.Unsupported, "signature algorithm %s is not available in this build", AlgName(id))
	}
	return algorithm{}, fault.New(fault.Signature, "algorithm %d %s is not accepted for signatures", id, AlgName(id))
}

// fit checks that key can be used with a.
func (a algorithm) fit(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if a.family == famECDSA && (a.curve == nil || a.curve == k.Curve) && curveSize(k.Curve) > 0 {
			return nil
		}
	case *rsa.PublicKey:
		if a.family == famPSS {
			if k.N.BitLen() < 2048 {
				return fault.New(fault.Signature, "an RSA key of %d bits; at least 2048 are needed", k.N.BitLen())
			}
			return nil
		}
	case ed25519.PublicKey:
		if a.family == famEd25519 && len(k) == ed25519.PublicKeySize {
			return nil
		}
	}
	return fault.New(fault.Signature, "algorithm %s does not fit a key of type %T", a.name, key)
}

// curveSize is the length of a coordinate in bytes; 0 for curves that are not used here.
func curveSize(c elliptic.Curve) int {
	switch c {
	case elliptic.P256():
		return 32
	case elliptic.P384():
		return 48
	case elliptic.P521():
		return 66
	}
	return 0
}

func digest(h crypto.Hash, b []byte) []byte {
	w := h.New()
	w.Write(b)
	return w.Sum(nil)
}

func verify(alg int64, key crypto.PublicKey, tbs, sig []byte) error {
	a, err := lookup(alg)
	if err != nil {
		return err
	}
	if err := a.fit(key); err != nil {
		return err
	}
	ok := false
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		n := curveSize(k.Curve)
		if len(sig) != 2*n {
			return fault.New(fault.Signature, "an ECDSA signature of %d bytes; r‖s on this curve has %d", len(sig), 2*n)
		}
		ok = ecdsa.Verify(k, digest(a.hash, tbs), new(big.Int).SetBytes(sig[:n]), new(big.Int).SetBytes(sig[n:]))
	case *rsa.PublicKey:
		ok = rsa.VerifyPSS(k, a.hash, digest(a.hash, tbs), sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	case ed25519.PublicKey:
		ok = len(sig) == ed25519.SignatureSize && ed25519.Verify(k, tbs, sig)
	}
	if !ok {
		return fault.New(fault.Signature, "the %s signature does not verify under this key", a.name)
	}
	return nil
}

func sign(alg int64, signer crypto.Signer, tbs []byte) ([]byte, error) {
	a, err := lookup(alg)
	if err != nil {
		return nil, err
	}
	if err := a.fit(signer.Public()); err != nil {
		return nil, fault.New(fault.Usage, "%w", err)
	}
	switch k := signer.Public().(type) {
	case *ecdsa.PublicKey:
		der, err := signer.Sign(rand.Reader, digest(a.hash, tbs), a.hash)
		if err != nil {
			return nil, fault.As(fault.Internal, err)
		}
		var rs struct{ R, S *big.Int }
		if rest, err := asn1.Unmarshal(der, &rs); err != nil || len(rest) > 0 {
			return nil, fault.New(fault.Internal, "the signer gave no ECDSA signature: %w", err)
		}
		n := curveSize(k.Curve)
		out := make([]byte, 2*n)
		if rs.R.Sign() < 0 || rs.S.Sign() < 0 || rs.R.BitLen() > 8*n || rs.S.BitLen() > 8*n {
			return nil, fault.New(fault.Internal, "the signer gave a signature that is out of range")
		}
		rs.R.FillBytes(out[:n])
		rs.S.FillBytes(out[n:])
		return out, nil
	case *rsa.PublicKey:
		sig, err := signer.Sign(rand.Reader, digest(a.hash, tbs), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: a.hash})
		return sig, fault.As(fault.Internal, err)
	}
	sig, err := signer.Sign(rand.Reader, tbs, crypto.Hash(0))
	return sig, fault.As(fault.Internal, err)
}

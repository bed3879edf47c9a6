package jwe

import (
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

// Form is the shape of a response.
type Form uint8

const (
	// RFC7516 is the flattened JWE of protocol 0.2.0 and later.
	RFC7516 Form = iota
	// Legacy is the form of protocol 0.1.x: plain header, data and tag together, no additional data.
	Legacy
	// Compact is the compact serialisation of our own wire. What is encrypted is the secret's length (u32, big-endian), the
	// secret, and zeros up to a multiple of 256 bytes, so that who carries it does not see how long the secret is
	// (keylime-broker.md section 5).
	Compact
)

// MaxSize bounds a response that [Decrypt] reads, in bytes.
const MaxSize = 8 << 20

const cekSize, ivSize, tagSize = 32, 12, 16

// Encrypt encrypts plaintext to key. Randomness comes from crypto/rand.
func Encrypt(key *Key, form Form, plaintext []byte) ([]byte, error) {
	p := params{cek: make([]byte, cekSize), iv: make([]byte, ivSize)}
	rand.Read(p.cek)
	rand.Read(p.iv)
	if key.ec != nil {
		eph, err := key.ec.Curve().GenerateKey(rand.Reader)
		if err != nil {
			return nil, fault.As(fault.Internal, err)
		}
		p.eph = eph
	}
	return encrypt(key, form, plaintext, p)
}

// params are the random choices of one encryption; tests fix them to compare bytes.
type params struct {
	cek, iv []byte
	eph     *ecdh.PrivateKey
}

func encrypt(key *Key, form Form, plaintext []byte, p params) ([]byte, error) {
	header, wrapped, err := key.wrap(form, p)
	if err != nil {
		return nil, err
	}
	aead, err := gcm(p.cek)
	if err != nil {
		return nil, err
	}
	if form == Legacy {
		sealed := aead.Seal(nil, p.iv, plaintext, nil)
		return object("protected", string(header), "encrypted_key", b64.EncodeToString(wrapped),
			"iv", b64.EncodeToString(p.iv), "ciphertext", b64.EncodeToString(sealed), "tag", ""), nil
	}
	if form == Compact {
		plaintext = pad(plaintext)
		defer clear(plaintext)
	}
	protected := b64.EncodeToString(header)
	sealed := aead.Seal(nil, p.iv, plaintext, []byte(protected))
	cut := len(sealed) - tagSize
	if form == Compact {
		return []byte(strings.Join([]string{protected, b64.EncodeToString(wrapped), b64.EncodeToString(p.iv),
			b64.EncodeToString(sealed[:cut]), b64.EncodeToString(sealed[cut:])}, ".")), nil
	}
	return object("protected", protected, "encrypted_key", b64.EncodeToString(wrapped),
		"iv", b64.EncodeToString(p.iv), "ciphertext", b64.EncodeToString(sealed[:cut]), "tag", b64.EncodeToString(sealed[cut:])), nil
}

// wrap returns the header text and the wrapped content key. The header is written by hand: the clients parse it and
// serialise it again to get the additional data, so every byte counts (kbs-protocol.md section 10).
func (k *Key) wrap(form Form, p params) (header, wrapped []byte, err error) {
	if form == Legacy && k.alg != RSA15 && k.alg != OAEPSHA1 {
		return nil, nil, fault.New(fault.Unsupported, "clients of protocol 0.1.x know only RSA1_5 and RSA-OAEP, not %s", k.alg)
	}
	switch k.alg {
	case ECDHES:
		z, err := p.eph.ECDH(k.ec)
		if err != nil {
			return nil, nil, keyFault("no key agreement is possible with this key")
		}
		pub := p.eph.PublicKey().Bytes()
		w := (len(pub) - 1) / 2
		epk := object("crv", k.crv, "kty", "EC", "x", b64.EncodeToString(pub[1:1+w]), "y", b64.EncodeToString(pub[1+w:]))
		header = slices.Concat([]byte(`{"alg":"ECDH-ES+A256KW","enc":"A256GCM","epk":`), epk, []byte("}"))
		wrapped, err = wrapKey(concatKDF(z), p.cek)
		return header, wrapped, err
	case MLKEM768:
		shared, ct := k.kem.Encapsulate()
		header = object("alg", string(k.alg), "enc", "A256GCM", "ek", b64.EncodeToString(ct))
		wrapped, err = wrapKey(kemKDF(shared), p.cek)
		return header, wrapped, err
	case OAEP256:
		wrapped, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, k.rsa, p.cek, nil)
	case OAEPSHA1:
		wrapped, err = rsa.EncryptOAEP(sha1.New(), rand.Reader, k.rsa, p.cek, nil)
	case RSA15:
		wrapped, err = rsa.EncryptPKCS1v15(rand.Reader, k.rsa, p.cek)
	default:
		return nil, nil, fault.New(fault.Internal, "no wrapping for %s", k.alg)
	}
	return object("alg", string(k.alg), "enc", "A256GCM"), wrapped, fault.As(fault.Internal, err)
}

// PrivateKey opens responses on the side of the Attester. Exactly one member is set.
type PrivateKey struct {
	EC  *ecdh.PrivateKey
	RSA *rsa.PrivateKey
	KEM *mlkem.DecapsulationKey768
}

// Decrypt opens a response the way the clients do: the additional data is the header parsed and serialised again, so
// that a response only this implementation could open is refused. Both forms are recognised. Errors are of class
// malformed when the text is no JWE, else of class signature and say nothing about the step that failed.
func Decrypt(priv PrivateKey, response []byte) ([]byte, error) {
	if len(response) > MaxSize {
		return nil, fault.New(fault.Malformed, "JWE: longer than %d bytes", MaxSize)
	}
	m, err := stringMembers(response, "JWE", "protected", "encrypted_key", "iv", "ciphertext", "tag")
	if err != nil {
		return nil, err
	}
	var bin [4][]byte
	for i, name := range []string{"encrypted_key", "iv", "ciphertext", "tag"} {
		if bin[i], err = b64.DecodeString(m[name]); err != nil {
			return nil, fault.New(fault.Malformed, "JWE: %s is not base64url without padding", name)
		}
	}
	legacy := len(m["protected"]) > 0 && m["protected"][0] == '{'
	headerText := []byte(m["protected"])
	if !legacy {
		if headerText, err = b64.DecodeString(m["protected"]); err != nil {
			return nil, fault.New(fault.Malformed, "JWE: protected is not base64url without padding")
		}
	}
	h, err := parseHeader(headerText)
	if err != nil {
		return nil, err
	}
	cek, err := priv.unwrap(h, bin[0])
	if err != nil {
		return nil, err
	}
	aead, err := gcm(cek)
	if err != nil || len(bin[1]) != ivSize {
		return nil, errUnwrap
	}
	var aad []byte
	sealed := bin[2]
	if !legacy {
		if len(bin[3]) != tagSize {
			return nil, errUnwrap
		}
		aad = []byte(b64.EncodeToString(h.reserialised))
		sealed = slices.Concat(sealed, bin[3])
	}
	out, err := aead.Open(nil, bin[1], sealed, aad)
	if err != nil {
		return nil, errUnwrap
	}
	return out, nil
}

type header struct {
	alg          Alg
	epkX, epkY   []byte
	epkCrv       string
	ek           []byte
	reserialised []byte
}

func parseHeader(text []byte) (*header, error) {
	bad := func(what string) error { return fault.New(fault.Malformed, "JWE header: %s", what) }
	members, err := jsonx.Object(text)
	if err != nil {
		return nil, fault.Wrap(err, "JWE header")
	}
	h := &header{}
	var enc string
	var rest []jsonx.Member
	for _, m := range members {
		switch m.Name {
		case "alg", "enc":
			s, err := jsonx.String(m.Raw)
			if err != nil {
				return nil, bad(m.Name + " is not a string")
			}
			if m.Name == "alg" {
				h.alg = Alg(s)
			} else {
				enc = s
			}
			continue
		case "epk":
			e, err := stringMembers(m.Raw, "JWE header epk", "crv", "kty", "x", "y")
			if err != nil {
				return nil, err
			}
			h.epkCrv = e["crv"]
			var errX, errY error
			h.epkX, errX = b64.DecodeString(e["x"])
			h.epkY, errY = b64.DecodeString(e["y"])
			if errX != nil || errY != nil || e["kty"] != "EC" {
				return nil, bad("epk is not an EC key")
			}
		case "ek":
			s, err := jsonx.String(m.Raw)
			if err != nil {
				return nil, bad("ek is not a string")
			}
			if h.ek, err = b64.DecodeString(s); err != nil {
				return nil, bad("ek is not base64url without padding")
			}
		}
		rest = append(rest, m)
	}
	if enc != "A256GCM" {
		return nil, fault.New(fault.Unsupported, "JWE header: enc %.20q is not A256GCM", enc)
	}
	h.reserialised, err = reserialise(string(h.alg), enc, rest)
	return h, err
}

func (p PrivateKey) unwrap(h *header, wrapped []byte) ([]byte, error) {
	var cek []byte
	var err error
	switch {
	case h.alg == ECDHES && p.EC != nil:
		pub, perr := p.EC.Curve().NewPublicKey(slices.Concat([]byte{4}, h.epkX, h.epkY))
		width := map[string]int{"P-256": 32, "P-384": 48, "P-521": 66}[h.epkCrv]
		if perr != nil || len(h.epkX) != width || len(h.epkY) != width {
			return nil, errUnwrap
		}
		z, zerr := p.EC.ECDH(pub)
		if zerr != nil {
			return nil, errUnwrap
		}
		cek, err = unwrapKey(concatKDF(z), wrapped)
	case h.alg == MLKEM768 && p.KEM != nil:
		shared, kerr := p.KEM.Decapsulate(h.ek)
		if kerr != nil {
			return nil, errUnwrap
		}
		cek, err = unwrapKey(kemKDF(shared), wrapped)
	case h.alg == OAEP256 && p.RSA != nil:
		cek, err = rsa.DecryptOAEP(sha256.New(), nil, p.RSA, wrapped, nil)
	case h.alg == OAEPSHA1 && p.RSA != nil:
		cek, err = rsa.DecryptOAEP(sha1.New(), nil, p.RSA, wrapped, nil)
	case h.alg == RSA15 && p.RSA != nil:
		// A wrong padding gives a random key, so that the failure shows only in the content's tag (RFC 3218).
		cek = make([]byte, cekSize)
		rand.Read(cek)
		err = rsa.DecryptPKCS1v15SessionKey(nil, p.RSA, wrapped, cek)
	default:
		return nil, fault.New(fault.Unsupported, "JWE header: alg %.40q does not fit this key", h.alg)
	}
	if err != nil || len(cek) != cekSize {
		return nil, errUnwrap
	}
	return cek, nil
}

// Public returns the [Key] to send.
func (p PrivateKey) Public() (*Key, error) {
	switch {
	case p.EC != nil:
		return ECKey(p.EC.PublicKey())
	case p.RSA != nil:
		return RSAKey(&p.RSA.PublicKey)
	case p.KEM != nil:
		return ParseKey(object("alg", string(MLKEM768), "kty", "AKP", "pub", b64.EncodeToString(p.KEM.EncapsulationKey().Bytes())))
	}
	return nil, fault.New(fault.Usage, "no private key is set")
}

// Generate makes the key pair of an Attester: "P-256", "P-384", "P-521", "RSA" (3072 bits) or "ML-KEM-768".
func Generate(kind string) (PrivateKey, error) {
	var p PrivateKey
	var err error
	switch kind {
	case "P-256":
		p.EC, err = ecdh.P256().GenerateKey(rand.Reader)
	case "P-384":
		p.EC, err = ecdh.P384().GenerateKey(rand.Reader)
	case "P-521":
		p.EC, err = ecdh.P521().GenerateKey(rand.Reader)
	case "RSA":
		p.RSA, err = rsa.GenerateKey(rand.Reader, 3072)
	case "ML-KEM-768":
		p.KEM, err = mlkem.GenerateKey768()
	default:
		return p, fault.New(fault.Usage, "no key kind %q; there are P-256, P-384, P-521, RSA and ML-KEM-768", kind)
	}
	return p, fault.As(fault.Internal, err)
}

func stringMembers(text []byte, what string, names ...string) (map[string]string, error) {
	members, err := jsonx.Object(text)
	if err != nil {
		return nil, fault.Wrap(err, "%s", what)
	}
	out := map[string]string{}
	for _, m := range members {
		if !slices.Contains(names, m.Name) {
			continue
		}
		if out[m.Name], err = jsonx.String(m.Raw); err != nil {
			return nil, fault.New(fault.Malformed, "%s: %s is not a string", what, m.Name)
		}
	}
	for _, n := range names {
		if _, ok := out[n]; !ok {
			return nil, fault.New(fault.Malformed, "%s: %s is missing", what, n)
		}
	}
	return out, nil
}

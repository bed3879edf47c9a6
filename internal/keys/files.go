package keys

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/go-jose/go-jose/v4"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

const (
	maxKeyFile = 1 << 20 // bytes
	maxKeys    = 1000    // in one JWK set or PEM file
)

// PEM returns the private key as PKCS#8 PEM.
func (p *Private) PEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(p.Signer)
	if err != nil {
		return nil, fault.New(fault.Unsupported, "this private key cannot be written to a file: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// PEM returns the public key as SubjectPublicKeyInfo PEM.
func (p Public) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: p.SPKI()})
}

// Write puts the private key into a new file that only its owner can read (0600). It never overwrites.
func (p *Private) Write(path string) error {
	b, err := p.PEM()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Usage, "%s exists; a key file is never overwritten", path)
	}
	if err != nil {
		return fault.New(fault.Usage, "key file: %w", err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fault.New(fault.Internal, "writing the key file: %w", err)
	}
	return nil
}

// Load reads a private key file. A file that others than its owner can read is refused.
func Load(path string) (*Private, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.New(fault.Usage, "key file: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fault.New(fault.Internal, "key file: %w", err)
	}
	if st.Mode().IsRegular() && st.Mode().Perm()&0o077 != 0 {
		return nil, fault.New(fault.Usage, "%s can be read by others (mode %04o); say chmod 600 %s", path, st.Mode().Perm(), path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fault.New(fault.Internal, "key file: %w", err)
	}
	k, err := ParsePrivate(b)
	return k, fault.Wrap(err, "%s", path)
}

// ParsePrivate reads one private key: PEM in PKCS#8 or SEC 1 form, or a JWK.
func ParsePrivate(b []byte) (*Private, error) {
	if len(b) > maxKeyFile {
		return nil, fault.New(fault.Malformed, "a key of more than %d bytes", maxKeyFile)
	}
	if t := bytes.TrimSpace(b); len(t) > 0 && t[0] == '{' {
		var k jose.JSONWebKey
		if err := parseJWK(t, &k); err != nil {
			return nil, err
		}
		s, ok := k.Key.(crypto.Signer)
		if !ok {
			return nil, fault.New(fault.Malformed, "the JWK holds no private key")
		}
		return NewPrivate(s)
	}
	block, rest := pem.Decode(b)
	for block != nil && block.Type == "EC PARAMETERS" {
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return nil, fault.New(fault.Malformed, "no PEM block and no JWK; a private key is expected")
	}
	var k any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		k, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		k, err = x509.ParseECPrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, fault.New(fault.Unsupported, "encrypted key files are not read; decrypt it into a file of mode 0600 first")
	default:
		return nil, fault.New(fault.Malformed, "PEM block %q, a private key is expected", block.Type)
	}
	if err != nil {
		return nil, fault.New(fault.Malformed, "private key: %w", err)
	}
	s, ok := k.(crypto.Signer)
	if !ok {
		return nil, fault.New(fault.Unsupported, "private keys of type %T are not used here", k)
	}
	return NewPrivate(s)
}

// ParsePublic reads verification keys: PEM public keys and certificates (their keys; nothing else of a certificate
// counts), a JWK, a JWK set, or one DER SubjectPublicKeyInfo. Private JWKs are refused, so that nobody hands a secret
// around by mistake.
func ParsePublic(b []byte) ([]Public, error) {
	if len(b) > maxKeyFile {
		return nil, fault.New(fault.Malformed, "keys of more than %d bytes", maxKeyFile)
	}
	if t := bytes.TrimSpace(b); len(t) > 0 && t[0] == '{' {
		return parseJWKs(t)
	}
	if !bytes.Contains(b, []byte("-----BEGIN")) {
		k, err := x509.ParsePKIXPublicKey(b)
		if err != nil {
			return nil, fault.New(fault.Malformed, "neither PEM nor JWK nor a DER public key")
		}
		p, err := NewPublic(k)
		return []Public{p}, err
	}
	var out []Public
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		k, err := blockKey(block)
		if err != nil {
			return nil, err
		}
		p, err := NewPublic(k)
		if err != nil {
			return nil, err
		}
		if out = append(out, p); len(out) > maxKeys {
			return nil, fault.New(fault.Malformed, "more than %d keys", maxKeys)
		}
	}
	if len(out) == 0 {
		return nil, fault.New(fault.Malformed, "no PEM block that can be read")
	}
	return out, nil
}

func blockKey(b *pem.Block) (crypto.PublicKey, error) {
	switch b.Type {
	case "PUBLIC KEY":
		k, err := x509.ParsePKIXPublicKey(b.Bytes)
		return k, fault.As(fault.Malformed, err)
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fault.New(fault.Malformed, "certificate: %w", err)
		}
		return c.PublicKey, nil
	case "PRIVATE KEY", "EC PRIVATE KEY":
		return nil, fault.New(fault.Usage, "this is a private key; the public one is wanted here")
	}
	return nil, fault.New(fault.Malformed, "PEM block %q, a public key is expected", b.Type)
}

func parseJWKs(b []byte) ([]Public, error) {
	members, err := jsonx.Object(b)
	if err != nil {
		return nil, err
	}
	raws := [][]byte{b}
	for _, m := range members {
		if m.Name == "keys" {
			if raws, err = jsonx.Array(m.Raw); err != nil {
				return nil, err
			}
		}
	}
	if len(raws) == 0 || len(raws) > maxKeys {
		return nil, fault.New(fault.Malformed, "a JWK set of %d keys", len(raws))
	}
	var out []Public
	for _, raw := range raws {
		var k jose.JSONWebKey
		if err := parseJWK(raw, &k); err != nil {
			return nil, err
		}
		if !k.IsPublic() {
			return nil, fault.New(fault.Usage, "this JWK holds a private or symmetric key; the public one is wanted here")
		}
		p, err := NewPublic(k.Key)
		if err != nil {
			return nil, err
		}
		if k.Algorithm != "" && k.Algorithm != string(p.Alg) && !(p.Alg == EdDSA && k.Algorithm == "Ed25519") {
			return nil, fault.New(fault.Malformed, "a JWK for %s says alg %q", p.Alg, k.Algorithm)
		}
		if k.Use != "" && k.Use != "sig" {
			return nil, fault.New(fault.Malformed, "a JWK with use %q cannot verify signatures", k.Use)
		}
		out = append(out, p)
	}
	return out, nil
}

func parseJWK(raw []byte, k *jose.JSONWebKey) error {
	if err := jsonx.Check(raw); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, k); err != nil {
		return fault.New(fault.Malformed, "JWK: %w", err)
	}
	return nil
}

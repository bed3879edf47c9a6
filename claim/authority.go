package claim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"strings"
)

// CanonicalKey returns id with PEM text (554, 555, 556) brought to one form: line ends LF, no final one. Keys are
// compared in this form (specs corim.md section 10).
func CanonicalKey(id ID) ID {
	if id.Kind != KindText || id.Tag < TagPKIXBase64Key || id.Tag > TagPKIXBase64Path {
		return id
	}
	s := id.content
	if strings.IndexByte(s, '\r') >= 0 {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	}
	id.content = strings.TrimSuffix(s, "\n")
	return id
}

// KeyAuthority returns the forms under which pub may be named as an authority (specs corim.md A11): 554, 557 with
// SHA-256, -384 and -512 over the SubjectPublicKeyInfo, and 558 where COSE has the key type.
func KeyAuthority(pub crypto.PublicKey) (Authority, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("public key of type %T: %w", pub, err)
	}
	a := Authority{pemID(TagPKIXBase64Key, "PUBLIC KEY", spki)}
	a = appendThumbprints(a, TagKeyThumbprint, spki)
	if k, ok := coseKey(pub); ok {
		a = append(a, Encoded(TagCOSEKey, k))
	}
	return a, nil
}

// CertAuthority returns the forms of the certificate itself, 555, 559 and 562, and those of its key.
func CertAuthority(c *x509.Certificate) (Authority, error) {
	a, err := KeyAuthority(c.PublicKey)
	if err != nil {
		return nil, err
	}
	a = append(a, pemID(TagPKIXBase64Cert, "CERTIFICATE", c.Raw), Bytes(TagPKIXASN1DERCert, c.Raw))
	return appendThumbprints(a, TagCertThumbprint, c.Raw), nil
}

func pemID(tag uint64, block string, der []byte) ID {
	return CanonicalKey(Text(tag, string(pem.EncodeToMemory(&pem.Block{Type: block, Bytes: der}))))
}

func appendThumbprints(a Authority, tag uint64, der []byte) Authority {
	s256, s384, s512 := sha256.Sum256(der), sha512.Sum384(der), sha512.Sum512(der)
	return append(a, DigestID(tag, Digest{Alg: SHA256, Value: s256[:]}), DigestID(tag, Digest{Alg: SHA384, Value: s384[:]}),
		DigestID(tag, Digest{Alg: SHA512, Value: s512[:]}))
}

// coseKey is the core deterministic COSE_Key (RFC 9053 section 7) with the required members only.
func coseKey(pub crypto.PublicKey) ([]byte, bool) {
	bstr := func(b, v []byte) []byte { return append(appendHead(b, 2, uint64(len(v))), v...) }
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		crv := map[string]byte{"P-256": 1, "P-384": 2, "P-521": 3}[k.Curve.Params().Name]
		pt, err := k.Bytes() // 4 ‖ x ‖ y
		if crv == 0 || err != nil {
			return nil, false
		}
		n := (len(pt) - 1) / 2
		b := bstr([]byte{0xa4, 0x01, 0x02, 0x20, crv, 0x21}, pt[1:1+n])
		return bstr(append(b, 0x22), pt[1+n:]), true
	case ed25519.PublicKey:
		return bstr([]byte{0xa3, 0x01, 0x01, 0x20, 0x06, 0x21}, k), true
	case *rsa.PublicKey:
		e := binary.BigEndian.AppendUint64(nil, uint64(k.E))
		for len(e) > 1 && e[0] == 0 {
			e = e[1:]
		}
		b := bstr([]byte{0xa3, 0x01, 0x03, 0x20}, k.N.Bytes())
		return bstr(append(b, 0x21), e), true
	}
	return nil, false
}

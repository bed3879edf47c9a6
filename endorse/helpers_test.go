package endorse

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
)

var now = time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC)

var class = claim.Environment{Class: claim.Class{ID: claim.Bytes(claim.TagOID, []byte{0x2b, 6, 1, 4, 1, 0x9c, 0x78, 3, 1})}}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func measured(b byte) claim.Element {
	d := make([]byte, 48)
	d[0] = b
	return claim.Element{Key: claim.Uint(641), Values: claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: d}}}}
}

// comid is a tag with one reference triple.
func comid(id string, version uint64, elements ...claim.Element) corim.CoMID {
	return corim.CoMID{TagIdentity: corim.TagIdentity{TagID: claim.Text(claim.TagNone, id), TagVersion: version},
		Triples: corim.Triples{Reference: []corim.ValueTriple{{Environment: class, Elements: elements}}}}
}

func manifest(id string, tags ...corim.CoMID) *corim.Manifest {
	return &corim.Manifest{ID: claim.Text(claim.TagNone, id), CoMIDs: tags}
}

func sign(t testing.TB, m *corim.Manifest, k crypto.Signer, o corim.SignOptions) []byte {
	t.Helper()
	b, err := corim.Encode(m, corim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if o.SignerName == "" {
		o.SignerName = "Example Firmware"
	}
	s, err := corim.Sign(b, k, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func anchor(name string, k *ecdsa.PrivateKey) *Anchor {
	return &Anchor{Name: name, Keys: []crypto.PublicKey{k.Public()}, Scope: Anything()}
}

func newBuilder(t testing.TB, c Config) *Builder {
	t.Helper()
	if c.Time.IsZero() {
		c.Time = now
	}
	b, err := NewBuilder(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func admit(t testing.TB, b *Builder, data []byte) *Receipt {
	t.Helper()
	r, err := b.Admit(data)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func refused(t testing.TB, name string, err error, want fault.Class) {
	t.Helper()
	if !fault.Is(err, want) {
		t.Errorf("%s: %v (class %v), want class %v", name, err, fault.ClassOf(err), want)
	}
}

// authority is a small certificate authority.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Example Root"}, NotBefore: now.AddDate(-1, 0, 0),
		NotAfter: now.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	a.cert = issue(t, tmpl, tmpl, a.key.Public(), a.key)
	return a
}

func issue(t testing.TB, tmpl, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (a *authority) leaf(t testing.TB, k *ecdsa.PrivateKey, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Example Signer"}, NotBefore: now.AddDate(0, -1, 0),
		NotAfter: now.AddDate(0, 1, 0), UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 2, 3, 4}}}
	if change != nil {
		change(tmpl)
	}
	return issue(t, tmpl, a.cert, k.Public(), a.key)
}

func pemOf(t testing.TB, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

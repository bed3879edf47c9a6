package vtpm

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/fault"
)

// keyPublic is TPMT_PUBLIC of a key with these attributes; a storage key has AES-128 in CFB.
func keyPublic(tb testing.TB, key crypto.PublicKey, attr Attributes) []byte {
	tb.Helper()
	be := binary.BigEndian
	_, isRSA := key.(*rsa.PublicKey)
	kind := uint16(algECC)
	if isRSA {
		kind = algRSA
	}
	b := be.AppendUint32(be.AppendUint16(be.AppendUint16(nil, kind), uint16(SHA256)), uint32(attr))
	b = appendSized(b, nil)
	if attr&Decrypt != 0 {
		b = append(b, 0, 6, 0, 128, 0, 0x43)
	} else {
		b = append(b, 0, algNull)
	}
	b = append(b, 0, algNull)
	switch k := key.(type) {
	case *rsa.PublicKey:
		b = be.AppendUint32(be.AppendUint16(b, uint16(k.N.BitLen())), 0)
		return appendSized(b, k.N.Bytes())
	case *ecdsa.PublicKey:
		b = be.AppendUint16(be.AppendUint16(b, 3), algNull)
		pt, err := k.Bytes()
		if err != nil {
			tb.Fatal(err)
		}
		return appendSized(appendSized(b, pt[1:33]), pt[33:])
	}
	tb.Fatal("key")
	return nil
}

const akAttributes = Sign | Restricted | FixedTPM | FixedParent | SensitiveDataOrigin

// activate does what a TPM does with a credential.
func activate(tb testing.TB, ek crypto.PrivateKey, akName []byte, c Credential) []byte {
	tb.Helper()
	enc := c.EncryptedSecret[2:]
	var seed []byte
	switch k := ek.(type) {
	case *rsa.PrivateKey:
		var err error
		if seed, err = rsa.DecryptOAEP(sha256.New(), nil, k, enc, []byte("IDENTITY\x00")); err != nil {
			tb.Fatal(err)
		}
	case *ecdsa.PrivateKey:
		x, y := enc[2:34], enc[36:68]
		pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
		if err != nil {
			tb.Fatal(err)
		}
		mine, _ := k.ECDH()
		theirs, _ := pub.ECDH()
		z, err := mine.ECDH(theirs)
		if err != nil {
			tb.Fatal(err)
		}
		seed = kdfe(crypto.SHA256, z, "IDENTITY", x, mine.PublicKey().Bytes()[1:33], 256)
	}
	id := c.IDObject[2:]
	mac, identity := id[2:34], id[34:]
	h := hmac.New(sha256.New, kdfa(crypto.SHA256, seed, "INTEGRITY", nil, nil, 256))
	h.Write(identity)
	h.Write(akName)
	if !bytes.Equal(h.Sum(nil), mac) {
		return nil
	}
	block, err := aes.NewCipher(kdfa(crypto.SHA256, seed, "STORAGE", akName, nil, 128))
	if err != nil {
		tb.Fatal(err)
	}
	out := make([]byte, len(identity))
	cipher.NewCFBDecrypter(block, make([]byte, 16)).XORKeyStream(out, identity) //nolint:staticcheck // the TPM's mode
	return out[2:]
}

func TestCredential(t *testing.T) {
	rk, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ek, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ak := keyPublic(t, &rk.PublicKey, akAttributes)
	for _, k := range []crypto.Signer{rk, ek} {
		e, err := NewEnrolment(EnrolConfig{Name: "x", AK: ak, EK: keyPublic(t, k.Public(), Restricted|Decrypt|FixedTPM), EKTrusted: true, Time: time.Unix(1, 0)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Finish(activate(t, k, e.ak.Name(), e.Challenge))
		if err != nil || !bytes.Equal(got.ID, e.ak.Name()) {
			t.Errorf("%T: %v", k, err)
		}
		if activate(t, k, []byte("another name"), e.Challenge) != nil {
			t.Error("opened for another name")
		}
		if _, err := e.Finish(nil); !fault.Is(err, fault.Binding) {
			t.Errorf("no secret: %v", err)
		}
	}
	now := time.Unix(1, 0)
	for name, tc := range map[string]struct {
		cfg   EnrolConfig
		class fault.Class
	}{
		"key that signs anything": {EnrolConfig{AK: keyPublic(t, &rk.PublicKey, akAttributes&^Restricted), EK: keyPublic(t, &rk.PublicKey, Restricted|Decrypt), EKTrusted: true, Time: now}, fault.Signature},
		"key that may leave":      {EnrolConfig{AK: keyPublic(t, &rk.PublicKey, akAttributes&^FixedTPM), EK: keyPublic(t, &rk.PublicKey, Restricted|Decrypt), EKTrusted: true, Time: now}, fault.Signature},
		"EK that nobody vouches":  {EnrolConfig{AK: ak, EK: keyPublic(t, &rk.PublicKey, Restricted|Decrypt), Time: now}, fault.Signature},
		"EK that signs":           {EnrolConfig{AK: ak, EK: ak, EKTrusted: true, Time: now}, fault.Unsupported},
		"no clock":                {EnrolConfig{AK: ak, EK: ak, EKTrusted: true}, fault.Internal},
		"no key":                  {EnrolConfig{EK: ak, EKTrusted: true, Time: now}, fault.Malformed},
	} {
		if _, err := NewEnrolment(tc.cfg); !fault.Is(err, tc.class) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The credential file of other tools has our sizes.
func TestRealCredentialFile(t *testing.T) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is unset")
	}
	b, err := os.ReadFile(filepath.Join(dir, "tpm", "tpm2tools-mkcred.out"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseCredentialFile(b)
	if err != nil || len(c.IDObject) != 47 || len(c.EncryptedSecret) != 258 {
		t.Errorf("%d %d %v", len(c.IDObject), len(c.EncryptedSecret), err)
	}
	if !bytes.Equal(c.File(), b) {
		t.Error("the file is not made again")
	}
	for n := range b {
		if _, err := ParseCredentialFile(b[:n]); !fault.Is(err, fault.Malformed) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

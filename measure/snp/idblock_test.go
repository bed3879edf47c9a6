package snp_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/measure"
	"github.com/assay-tee/assay/measure/measuretest"
	"github.com/assay-tee/assay/measure/snp"
)

func key(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestIDBlockRoundTrip(t *testing.T) {
	b := snp.IDBlock{LD: measure.SHA384{1, 2}, FamilyID: [16]byte{3}, ImageID: [16]byte{4}, GuestSVN: 5, Policy: 0xb0000}
	got, err := snp.ParseIDBlock(b.Bytes())
	if err != nil || got != b {
		t.Errorf("%+v, %v", got, err)
	}
	bad := b.Bytes()
	bad[80] = 2
	if _, err := snp.ParseIDBlock(bad); !fault.Is(err, fault.Unsupported) {
		t.Errorf("version 2: %v", err)
	}
	if _, err := snp.ParseIDBlock(bad[:95]); !fault.Is(err, fault.Malformed) {
		t.Errorf("95 bytes: %v", err)
	}
}

func TestIDAuthSignsAndVerifies(t *testing.T) {
	id, author := key(t, elliptic.P384()), key(t, elliptic.P384())
	block := snp.IDBlock{Policy: snp.DefaultPolicy}.Bytes()
	with, err := snp.SignIDBlock(block, id, author)
	if err != nil {
		t.Fatal(err)
	}
	without, err := snp.SignIDBlock(block, id, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantID, err := snp.KeyDigest(&id.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	wantAuthor, err := snp.KeyDigest(&author.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, auth := range map[string][]byte{"with author": with, "without author": without} {
		got, err := snp.VerifyIDAuth(block, auth)
		if err != nil || got.IDKeyDigest != wantID || got.HasAuthor != (name == "with author") || got.HasAuthor && got.AuthorKeyDigest != wantAuthor {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, at := range map[string]int{"signature of the block": 0x40, "signature of the ID key": 0x680} {
		bad := bytes.Clone(with)
		bad[at] ^= 1
		if _, err := snp.VerifyIDAuth(block, bad); !fault.Is(err, fault.Signature) {
			t.Errorf("flipped bit in the %s: %v", name, err)
		}
	}
	other := snp.IDBlock{Policy: snp.DefaultPolicy, GuestSVN: 1}.Bytes()
	if _, err := snp.VerifyIDAuth(other, with); !fault.Is(err, fault.Signature) {
		t.Errorf("another block: %v", err)
	}
	for name, at := range map[string]int{"ID key": 0x244, "author key": 0x884} {
		bad := bytes.Clone(with)
		bad[at] ^= 1
		if _, err := snp.VerifyIDAuth(block, bad); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s off the curve: %v", name, err)
		}
	}
	if _, err := snp.SignIDBlock(block, key(t, elliptic.P256()), nil); !fault.Is(err, fault.Unsupported) {
		t.Errorf("key on P-256: %v", err)
	}
}

func TestIDBlockVectors(t *testing.T) {
	for _, c := range measuretest.Cases(t, "id-block") {
		var x struct {
			Base64       string `json:"measurement_base64"`
			Hex          string `json:"measurement"`
			IDKey        string `json:"id_key"`
			AuthorKey    string `json:"author_key"`
			Auth         string `json:"id_auth"`
			IDDigest     string `json:"id_key_digest_base64"`
			AuthorDigest string `json:"author_key_digest_base64"`
		}
		if err := json.Unmarshal(c.Raw, &x); err != nil {
			t.Fatal(err)
		}
		b := snp.IDBlock{Policy: snp.DefaultPolicy}
		if x.Hex != "" {
			d, err := measure.ParseSHA384(x.Hex)
			if err != nil {
				t.Fatal(err)
			}
			b.LD = d
		} else {
			raw, err := base64.StdEncoding.DecodeString(x.Base64)
			if err != nil {
				t.Fatal(err)
			}
			copy(b.LD[:], raw)
		}
		if got := base64.StdEncoding.EncodeToString(b.Bytes()); got != c.ExpectedString() {
			t.Errorf("%s: block %s, want %s", c.ID, got, c.ExpectedString())
		}
		for file, want := range map[string]string{x.IDKey: x.IDDigest, x.AuthorKey: x.AuthorDigest} {
			blk, _ := pem.Decode(measuretest.Read(t, file))
			pub, err := x509.ParsePKIXPublicKey(blk.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			d, err := snp.KeyDigest(pub.(*ecdsa.PublicKey))
			if got := base64.StdEncoding.EncodeToString(d[:]); err != nil || got != want {
				t.Errorf("%s: digest of %s is %s, %v; want %s", c.ID, file, got, err, want)
			}
		}
		if x.Auth != "" {
			a, err := snp.VerifyIDAuth(b.Bytes(), measuretest.Read(t, x.Auth))
			if err != nil || base64.StdEncoding.EncodeToString(a.IDKeyDigest[:]) != x.IDDigest || !a.HasAuthor {
				t.Errorf("%s: %+v, %v", c.ID, a, err)
			}
		}
	}
}

func FuzzIDAuth(f *testing.F) {
	k := key(f, elliptic.P384())
	block := snp.IDBlock{}.Bytes()
	auth, err := snp.SignIDBlock(block, k, k)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(block, auth)
	f.Fuzz(func(t *testing.T, block, auth []byte) {
		_, err := snp.VerifyIDAuth(block, auth)
		switch c := fault.ClassOf(err); {
		case err == nil, c == fault.Malformed, c == fault.Unsupported, c == fault.Signature:
		default:
			t.Fatalf("class %v: %v", c, err)
		}
	})
}

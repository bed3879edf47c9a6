package vtpm_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/assay-tee/assay/evidence/vtpm"
	"github.com/assay-tee/assay/internal/fault"
)

func vectors(tb testing.TB) string {
	tb.Helper()
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		tb.Skip("ASSAY_VECTORS is unset: real evidence is not at hand")
	}
	return dir
}

func load(tb testing.TB, path ...string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{vectors(tb)}, path...)...))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func publicKey(tb testing.TB, pemText []byte) crypto.PublicKey {
	tb.Helper()
	block, _ := pem.Decode(pemText)
	if block == nil {
		tb.Fatal("no PEM")
	}
	k, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// softQuote is a quote of a TPM made of software.
type softQuote struct {
	key    crypto.Signer
	scheme vtpm.Scheme
	hash   vtpm.Hash
	bank   vtpm.Bank
	attest vtpm.Attest
}

func newSoftQuote(bank vtpm.Hash, scheme vtpm.Scheme, hash vtpm.Hash, key crypto.Signer) *softQuote {
	q := &softQuote{key: key, scheme: scheme, hash: hash, bank: vtpm.Bank{Hash: bank}}
	for i := range q.bank.Values {
		q.bank.Values[i] = bytes.Repeat([]byte{byte(i + 1)}, bank.Size())
	}
	q.attest = vtpm.Attest{Type: 0x8018, QualifiedSigner: append([]byte{0, 0x0b}, make([]byte, 32)...), ExtraData: []byte("sixteen bytes or more of a nonce"), Clock: 9, ResetCount: 2,
		RestartCount: 3, Safe: true, FirmwareVersion: 7, Selections: []vtpm.Selection{{Hash: bank, Bitmap: []byte{0xff, 0xff, 0xff}}}}
	q.digest()
	return q
}

func cryptoHash(h vtpm.Hash) crypto.Hash {
	return map[vtpm.Hash]crypto.Hash{vtpm.SHA1: crypto.SHA1, vtpm.SHA256: crypto.SHA256, vtpm.SHA384: crypto.SHA384, vtpm.SHA512: crypto.SHA512}[h]
}

// digest sets PCRDigest over what the first selection names.
func (q *softQuote) digest() {
	h := cryptoHash(q.hash).New()
	for i, v := range q.bank.Values {
		if s := q.attest.Selections[0].Bitmap; i/8 < len(s) && s[i/8]>>(i%8)&1 == 1 {
			h.Write(v)
		}
	}
	q.attest.PCRDigest = h.Sum(nil)
}

func (q *softQuote) sign(tb testing.TB) ([]byte, vtpm.Signature) {
	tb.Helper()
	msg := q.attest.Append(nil)
	return msg, q.signature(tb, msg)
}

func (q *softQuote) signature(tb testing.TB, msg []byte) vtpm.Signature {
	tb.Helper()
	ch := cryptoHash(q.hash)
	h := ch.New()
	h.Write(msg)
	s := vtpm.Signature{Scheme: q.scheme, Hash: q.hash}
	var opts crypto.SignerOpts = ch
	if q.scheme == vtpm.RSAPSS {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: ch}
	}
	sig, err := q.key.Sign(rand.Reader, h.Sum(nil), opts)
	if err != nil {
		tb.Fatal(err)
	}
	s.RSA = sig
	if q.scheme == vtpm.ECDSA {
		s.RSA = nil
		s.R, s.S = ecdsaParts(tb, sig)
	}
	return s
}

func ecdsaParts(tb testing.TB, der []byte) (r, s []byte) {
	tb.Helper()
	// SEQUENCE { INTEGER, INTEGER } with short lengths
	der = der[2:]
	one := func() []byte {
		n := int(der[1])
		v := new(big.Int).SetBytes(der[2 : 2+n]).Bytes()
		der = der[2+n:]
		return v
	}
	return one(), one()
}

func ecKey(tb testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	tb.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// Every combination of scheme, hash and bank verifies, and structures encode to what was parsed.
func TestQuoteSchemes(t *testing.T) {
	p256, p384 := ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384())
	for _, bank := range []vtpm.Hash{vtpm.SHA1, vtpm.SHA256, vtpm.SHA384, vtpm.SHA512} {
		for _, hash := range []vtpm.Hash{vtpm.SHA256, vtpm.SHA384, vtpm.SHA512} {
			for _, k := range []struct {
				scheme vtpm.Scheme
				key    crypto.Signer
			}{{vtpm.RSASSA, rsaKey()}, {vtpm.RSAPSS, rsaKey()}, {vtpm.ECDSA, p256}, {vtpm.ECDSA, p384}} {
				q := newSoftQuote(bank, k.scheme, hash, k.key)
				msg, sig := q.sign(t)
				enc := sig.Append(nil)
				parsed, err := vtpm.ParseSignature(enc)
				if err != nil || !bytes.Equal(parsed.Append(nil), enc) {
					t.Fatalf("signature %x: %v", enc, err)
				}
				got, err := vtpm.VerifyQuote(k.key.Public(), msg, parsed, &q.bank, vtpm.Want{Bank: bank, Exact: vtpm.AllPCRs})
				if err != nil {
					t.Fatalf("%v %v bank %v: %v", k.scheme, hash, bank, err)
				}
				if got.ResetCount != 2 || got.RestartCount != 3 || !got.Safe || got.FirmwareVersion != 7 || got.Clock != 9 {
					t.Errorf("attest %+v", got.Attest)
				}
				if !bytes.Equal(got.Append(nil), msg) {
					t.Error("the attest does not encode to what was parsed")
				}
			}
		}
	}
}

// What is not exactly what the TPM signed, or not over what is wanted, is refused with its class.
func TestQuoteRefusals(t *testing.T) {
	base := func() *softQuote { return newSoftQuote(vtpm.SHA256, vtpm.RSASSA, vtpm.SHA256, rsaKey()) }
	want := vtpm.Want{Bank: vtpm.SHA256, Exact: vtpm.AllPCRs}
	for _, tc := range []struct {
		name  string
		edit  func(q *softQuote)                // before the signature
		after func(msg []byte) []byte           // after it
		given func(b *vtpm.Bank)                // the values presented
		want  *vtpm.Want                        // instead of want
		sig   func(s *vtpm.Signature)           // the signature presented
		key   func(*testing.T) crypto.PublicKey // another key
		class fault.Class
	}{
		{name: "values in another order", given: func(b *vtpm.Bank) { b.Values[4], b.Values[5] = b.Values[5], b.Values[4] }, class: fault.Binding},
		{name: "a value changed", given: func(b *vtpm.Bank) { b.Values[7] = bytes.Repeat([]byte{9}, 32) }, class: fault.Binding},
		{name: "a value missing", given: func(b *vtpm.Bank) { b.Values[23] = nil }, class: fault.Binding},
		{name: "a value of another length", given: func(b *vtpm.Bank) { b.Values[0] = b.Values[0][:31] }, class: fault.Malformed},
		{name: "values called another bank", given: func(b *vtpm.Bank) { b.Hash = vtpm.SHA384 }, class: fault.Binding},
		{name: "selection of another bank", edit: func(q *softQuote) { q.attest.Selections[0].Hash = vtpm.SHA384 }, class: fault.Binding},
		{name: "selection of an unknown bank", edit: func(q *softQuote) { q.attest.Selections[0].Hash = 0x99 }, class: fault.Unsupported},
		{name: "selection leaves out a PCR", edit: func(q *softQuote) { q.attest.Selections[0].Bitmap = []byte{0xfe, 0xff, 0xff}; q.digest() }, class: fault.Binding},
		{name: "selection leaves out what is demanded", edit: func(q *softQuote) { q.attest.Selections[0].Bitmap = []byte{0, 0x80, 0x41}; q.digest() },
			want: &vtpm.Want{Cover: 1 << 4}, class: fault.Binding},
		{name: "two selections", edit: func(q *softQuote) {
			q.attest.Selections = append(q.attest.Selections, vtpm.Selection{Hash: vtpm.SHA1, Bitmap: []byte{0, 0, 0}})
		}, class: fault.Binding},
		{name: "no selection", edit: func(q *softQuote) { q.attest.Selections = nil }, class: fault.Binding},
		{name: "empty selection", edit: func(q *softQuote) { q.attest.Selections[0].Bitmap = []byte{0, 0, 0}; q.digest() }, want: &vtpm.Want{}, class: fault.Binding},
		{name: "bitmap of 2 bytes", edit: func(q *softQuote) { q.attest.Selections[0].Bitmap = []byte{0xff, 0xff} }, class: fault.Unsupported},
		{name: "bitmap of 4 bytes", edit: func(q *softQuote) { q.attest.Selections[0].Bitmap = []byte{0xff, 0xff, 0xff, 0} }, class: fault.Unsupported},
		{name: "bitmap of 5 bytes", edit: func(q *softQuote) { q.attest.Selections[0].Bitmap = make([]byte, 5) }, class: fault.Malformed},
		{name: "a certification", edit: func(q *softQuote) { q.attest.Type = 0x8017 }, class: fault.Unsupported},
		{name: "another type", after: func(m []byte) []byte { m[5] = 0x19; return m }, class: fault.Signature},
		{name: "another magic", after: func(m []byte) []byte { m[0] ^= 1; return m }, class: fault.Signature},
		{name: "a changed byte", after: func(m []byte) []byte { m[60] ^= 1; return m }, class: fault.Signature},
		{name: "a trailing byte", after: func(m []byte) []byte { return append(m, 0) }, class: fault.Malformed},
		{name: "another key", key: func(t *testing.T) crypto.PublicKey { return ecKey(t, elliptic.P256()).Public() }, class: fault.Signature},
		{name: "weak curve", key: func(t *testing.T) crypto.PublicKey { return ecKey(t, elliptic.P224()).Public() }, class: fault.Unsupported},
		{name: "weak RSA key", key: func(t *testing.T) crypto.PublicKey {
			return &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}
		}, class: fault.Unsupported},
		{name: "RSA with exponent 3", key: func(t *testing.T) crypto.PublicKey { return &rsa.PublicKey{N: rsaKey().N, E: 3} }, class: fault.Unsupported},
		{name: "scheme confusion", sig: func(s *vtpm.Signature) { s.Scheme = vtpm.RSAPSS }, class: fault.Signature},
		{name: "SHA-1 signature", sig: func(s *vtpm.Signature) { s.Hash = vtpm.SHA1 }, class: fault.Unsupported},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := base()
			if tc.edit != nil {
				tc.edit(q)
			}
			msg, sig := q.sign(t)
			if tc.after != nil {
				msg = tc.after(msg)
			}
			if tc.given != nil {
				tc.given(&q.bank)
			}
			if tc.sig != nil {
				tc.sig(&sig)
			}
			w, key := want, rsaKey().Public()
			if tc.want != nil {
				w = *tc.want
			}
			if tc.key != nil {
				key = tc.key(t)
			}
			if got, err := vtpm.VerifyQuote(key, msg, sig, &q.bank, w); got != nil || !fault.Is(err, tc.class) {
				t.Errorf("%v, want class %v", err, tc.class)
			}
		})
	}
}

func TestStructuresAreBounded(t *testing.T) {
	msg, sig := newSoftQuote(vtpm.SHA256, vtpm.RSASSA, vtpm.SHA256, rsaKey()).sign(t)
	for n := range msg {
		if _, err := vtpm.ParseAttest(msg[:n]); !fault.Is(err, fault.Malformed) {
			t.Errorf("attest cut at %d: %v", n, err)
		}
	}
	s := sig.Append(nil)
	for n := range s {
		if _, err := vtpm.ParseSignature(s[:n]); !fault.Is(err, fault.Malformed) {
			t.Errorf("signature cut at %d: %v", n, err)
		}
	}
	huge := slices.Clone(msg)
	at := len(huge) - 2 - 32 - 6 - 4
	binary.BigEndian.PutUint32(huge[at:], 1<<32-1)
	if _, err := vtpm.ParseAttest(huge); !fault.Is(err, fault.Malformed) {
		t.Errorf("2^32-1 selections: %v", err)
	}
	if _, err := vtpm.ParseAttest(make([]byte, 10<<20)); !fault.Is(err, fault.Malformed) {
		t.Error(err)
	}
}

// tpm2Values reads the PCR file of tpm2-tools.
func tpm2Values(tb testing.TB, b []byte, sel vtpm.Selection) *vtpm.Bank {
	tb.Helper()
	le := binary.LittleEndian
	b = b[4+16*8:]
	lists := int(le.Uint32(b))
	b = b[4:]
	var values [][]byte
	for range lists {
		n := int(le.Uint32(b))
		for i := range n {
			at := 4 + i*66
			values = append(values, b[at+2:at+2+int(le.Uint16(b[at:]))])
		}
		b = b[4+8*66:]
	}
	out := &vtpm.Bank{Hash: sel.Hash}
	for i := range vtpm.NumPCRs {
		if sel.Bitmap[i/8]>>(i%8)&1 == 1 {
			out.Values[i], values = values[0], values[1:]
		}
	}
	return out
}

func TestQuoteOfTPM2Tools(t *testing.T) {
	file := func(n string) []byte { return load(t, "tpm", n) }
	msg, key := file("tpm2tools-quote.msg"), publicKey(t, file("tpm2tools-ak.pem"))
	sig, err := vtpm.ParseSignature(file("tpm2tools-quote.sig"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := vtpm.ParseAttest(msg)
	if err != nil {
		t.Fatal(err)
	}
	values := tpm2Values(t, file("tpm2tools-quote.pcrs"), a.Selections[0])
	q, err := vtpm.VerifyQuote(key, msg, sig, values, vtpm.Want{})
	if err != nil {
		t.Fatal(err)
	}
	if q.Bank.Mask() != 1<<15|1<<16|1<<22 || hex.EncodeToString(q.ExtraData) != "db1db298db6d60e6385b7231743e9c3056a18003" || q.Clock != 5994 {
		t.Errorf("%+v", q)
	}
	if _, err := vtpm.VerifyQuote(key, msg, sig, values, vtpm.Want{Exact: vtpm.AllPCRs}); !fault.Is(err, fault.Binding) {
		t.Errorf("a sparse quote where all PCRs are wanted: %v", err)
	}
	relabelled := &vtpm.Bank{Hash: vtpm.SHA256}
	relabelled.Values[0], relabelled.Values[1], relabelled.Values[2] = values.Values[15], values.Values[16], values.Values[22]
	if _, err := vtpm.VerifyQuote(key, msg, sig, relabelled, vtpm.Want{}); !fault.Is(err, fault.Binding) {
		t.Errorf("relabelled values: %v", err)
	}
	if _, err := vtpm.VerifyQuote(key, append(slices.Clone(msg), 0), sig, values, vtpm.Want{}); !fault.Is(err, fault.Malformed) {
		t.Errorf("trailing byte: %v", err)
	}

	ak, err := vtpm.ParsePublic(file("tpm2tools-ak.pub"))
	if err != nil {
		t.Fatal(err)
	}
	ek, err := vtpm.ParsePublic(file("tpm2tools-ek.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if !ak.Key.(*rsa.PublicKey).Equal(key) || !bytes.Equal(ak.Name(), file("tpm2tools-ak.name")) {
		t.Errorf("name %x", ak.Name())
	}
	if err := ak.CheckAK(); err != nil {
		t.Error(err)
	}
	if err := ek.CheckAK(); !fault.Is(err, fault.Signature) {
		t.Errorf("an endorsement key as attestation key: %v", err)
	}
	if got := ak.QualifiedName(ek.QualifiedName(nil)); !bytes.Equal(got, q.QualifiedSigner) {
		t.Errorf("qualified name %x, signed %x", got, q.QualifiedSigner)
	}
}

func TestQuoteOfAzure(t *testing.T) {
	b := load(t, "tpm", "quote-challenge.bin")
	le := binary.LittleEndian
	part := func() []byte {
		n := le.Uint64(b)
		v := b[8 : 8+n]
		b = b[8+n:]
		return v
	}
	sig := vtpm.Signature{Scheme: vtpm.RSASSA, Hash: vtpm.SHA256, RSA: part()}
	msg := part()
	values := &vtpm.Bank{Hash: vtpm.SHA256}
	for i := range values.Values {
		values.Values[i] = b[8+32*i : 40+32*i]
	}
	key := publicKey(t, load(t, "tpm", "quote-challenge.akpub.pem"))
	q, err := vtpm.VerifyQuote(key, msg, sig, values, vtpm.Want{Bank: vtpm.SHA256, Exact: vtpm.AllPCRs})
	if err != nil {
		t.Fatal(err)
	}
	if string(q.ExtraData) != "challenge" || q.FirmwareVersion != 0x2020031200120003 {
		t.Errorf("%+v", q.Attest)
	}
	if _, err := vtpm.VerifyQuote(publicKey(t, load(t, "tpm", "tpm2tools-ak.pem")), msg, sig, values, vtpm.Want{}); !fault.Is(err, fault.Signature) {
		t.Errorf("another key: %v", err)
	}

	// PCR 0 to 7 and 14 only.
	a, err := vtpm.ParseAttest(load(t, "trustee", "az-snp-vtpm", "tpm-quote.msg"))
	if err != nil || hex.EncodeToString(a.Selections[0].Bitmap) != "ff4000" || string(a.ExtraData) != "challenge" {
		t.Errorf("%+v %v", a, err)
	}
}

func TestQuoteWithECDSA(t *testing.T) {
	// Node id, u16 length, TPMS_ATTEST, TPMT_SIGNATURE; values do not travel.
	b := load(t, "tpm", "enacttrust-basic.token")
	key := publicKey(t, load(t, "tpm", "enacttrust-basic.pub.pem"))
	n := int(binary.BigEndian.Uint16(b[16:]))
	msg := b[18 : 18+n]
	sig, err := vtpm.ParseSignature(b[18+n:])
	if err != nil {
		t.Fatal(err)
	}
	if err := sig.Verify(key, msg); err != nil {
		t.Error(err)
	}
	if _, err := vtpm.ParseAttest(msg); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	q := newSoftQuote(vtpm.SHA256, vtpm.RSASSA, vtpm.SHA256, rsaKey())
	msg, sig := q.sign(f)
	f.Add(msg)
	f.Add(sig.Append(nil))
	f.Add([]byte{0, 1, 0, 0x0b, 0, 5, 4, 0x72, 0, 0, 0, 0x10, 0, 0x14, 0, 0x0b, 8, 0, 0, 0, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := vtpm.ParseAttest(b); err == nil && !bytes.Equal(a.Append(nil), b) {
			t.Errorf("attest %x", b)
		}
		if s, err := vtpm.ParseSignature(b); err == nil && !bytes.Equal(s.Append(nil), b) {
			t.Errorf("signature %x", b)
		}
		if p, err := vtpm.ParsePublic(b); err == nil {
			p.Name()
			_ = p.CheckAK()
		}
	})
}

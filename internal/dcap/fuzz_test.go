package dcap

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

// blankQuote is a structurally right quote with nothing signed.
func blankQuote(version uint16, tee TEE, body BodyType) []byte {
	h := make([]byte, HeaderSize)
	binary.LittleEndian.PutUint16(h, version)
	h[2] = keyTypeP256
	if tee == TDX {
		h[4] = teeTypeTDX
	}
	copy(h[12:], vendorIntel[:])
	b := h
	if version == 5 {
		b = binary.LittleEndian.AppendUint16(b, uint16(body))
		b = binary.LittleEndian.AppendUint32(b, uint32(bodySizes[body]))
	}
	b = append(b, make([]byte, bodySizes[body])...)
	inner := make([]byte, EnclaveReportSize+signatureSize)
	inner = append(binary.LittleEndian.AppendUint16(inner, 32), make([]byte, 32)...)
	inner = binary.LittleEndian.AppendUint16(inner, uint16(CertPCKChain))
	inner = append(binary.LittleEndian.AppendUint32(inner, 4), "PEM\n"...)
	auth := make([]byte, signatureSize+keySize)
	if version >= 4 {
		auth = binary.LittleEndian.AppendUint16(auth, uint16(certQEReport))
		auth = binary.LittleEndian.AppendUint32(auth, uint32(len(inner)))
	}
	auth = append(auth, inner...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(auth)))
	return append(b, auth...)
}

func everyShape() map[string][]byte {
	return map[string][]byte{
		"v3 SGX": blankQuote(3, SGX, BodySGX), "v4 SGX": blankQuote(4, SGX, BodySGX), "v4 TDX": blankQuote(4, TDX, BodyTD10),
		"v5 SGX": blankQuote(5, SGX, BodySGX), "v5 TD 1.0": blankQuote(5, TDX, BodyTD10), "v5 TD 1.5": blankQuote(5, TDX, BodyTD15),
		"v5 TD 1.5 extended": blankQuote(5, TDX, BodyTD15X),
	}
}

func TestParseQuoteShapes(t *testing.T) {
	for name, b := range everyShape() {
		t.Run(name, func(t *testing.T) {
			q, err := ParseQuote(append(b[:len(b):len(b)], 0, 0, 0))
			if err != nil {
				t.Fatal(err)
			}
			if len(q.Trailing) != 3 || !bytes.Equal(q.Raw, b) || string(q.CertData) != "PEM\n" || len(q.QEAuthData) != 32 {
				t.Errorf("trailing %d, certification data %q", len(q.Trailing), q.CertData)
			}
			if q.TEE == TDX && q.TD().HasTDX15() {
				_, _ = q.TD().TEETCBSVN2(), q.TD().MRServiceTD()
			}
			if q.TEE == TDX && q.TD().IsExtended() && len(q.TD().Extended().ServiceTDAttr()) != 8 {
				t.Error("the extended part is short")
			}
			for n := range b {
				if _, err := ParseQuote(b[:n]); !fault.Is(err, fault.Malformed) {
					t.Fatalf("cut to %d bytes: %v", n, err)
				}
			}
		})
	}
}

func TestParseQuoteRefuses(t *testing.T) {
	put16 := func(at int, v uint16) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint16(b[at:], v) }
	}
	put32 := func(at int, v uint32) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint32(b[at:], v) }
	}
	v4, v5, v3 := blankQuote(4, TDX, BodyTD10), blankQuote(5, TDX, BodyTD15), blankQuote(3, SGX, BodySGX)
	for _, tc := range []struct {
		name  string
		base  []byte
		edit  func([]byte)
		class fault.Class
	}{
		{"version 2", v4, put16(0, 2), fault.Unsupported},
		{"version 6", v4, put16(0, 6), fault.Unsupported},
		{"P-384 key", v4, put16(2, 3), fault.Unsupported},
		{"another TEE", v4, put32(4, 0x82), fault.Unsupported},
		{"TDX called SGX", v4, put32(4, 0), fault.Malformed},
		{"TEE type in version 3", v3, put32(4, 0x81), fault.Malformed},
		{"another vendor", v4, func(b []byte) { b[12] ^= 1 }, fault.Unsupported},
		{"authentication data of 0", v4, put32(632, 0), fault.Malformed},
		{"authentication data of 64", v4, put32(632, 64), fault.Malformed},
		{"authentication data of 4 GiB", v4, put32(632, 0xffffffff), fault.Malformed},
		{"outer type 5", v4, put16(764, 5), fault.Malformed},
		{"outer size one more", v4, func(b []byte) { b[766]++ }, fault.Malformed},
		{"outer size one less", v4, func(b []byte) { b[766]-- }, fault.Malformed},
		{"QE authentication data of 65535", v4, put16(1218, 0xffff), fault.Malformed},
		{"inner type 0", v4, put16(1252, 0), fault.Malformed},
		{"inner type 6", v4, put16(1252, 6), fault.Malformed},
		{"inner type 7", v4, put16(1252, 7), fault.Malformed},
		{"inner size 0", v4, put32(1254, 0), fault.Malformed},
		{"inner size one less", v4, put32(1254, 3), fault.Malformed},
		{"inner size 4 GiB", v4, put32(1254, 0xffffffff), fault.Malformed},
		{"body type 2 of another size", v5, put16(48, 2), fault.Malformed},
		{"body type 1 in TDX", v5, put16(48, 1), fault.Malformed},
		{"body type 5", v5, put16(48, 5), fault.Unsupported},
		{"body type 0", v5, put16(48, 0), fault.Unsupported},
		{"body size", v5, put32(50, 584), fault.Malformed},
		{"body size 4 GiB", v5, put32(50, 0xffffffff), fault.Malformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := bytes.Clone(tc.base)
			tc.edit(b)
			if _, err := ParseQuote(b); !fault.Is(err, tc.class) {
				t.Errorf("got %v, want class %s", err, tc.class)
			}
		})
	}
	if _, err := ParseQuote(make([]byte, 10<<20)); !fault.Is(err, fault.Malformed) {
		t.Errorf("10 MiB: %v", err)
	}
}

func TestParseQuoteAllocatesNothing(t *testing.T) {
	b := blankQuote(5, TDX, BodyTD15)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := ParseQuote(b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// addVectors seeds a fuzz target with real data when it is at hand.
func addVectors(f *testing.F, pattern string) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		return
	}
	files, err := filepath.Glob(filepath.Join(dir, "intel", pattern))
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range files[:min(len(files), 6)] {
		b, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

func FuzzParseQuote(f *testing.F) {
	for _, b := range everyShape() {
		f.Add(b)
	}
	addVectors(f, "quotes/*.bin")
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := ParseQuote(b)
		if err != nil {
			if c := fault.ClassOf(err); c != fault.Malformed && c != fault.Unsupported {
				t.Fatalf("class %s: %v", c, err)
			}
			return
		}
		if !bytes.Equal(append(bytes.Clone(q.Raw), q.Trailing...), b) || !bytes.HasPrefix(q.Raw, q.Signed) {
			t.Fatal("the parts do not make up the quote")
		}
		if q.TEE == TDX && q.TD().IsExtended() {
			_ = q.TD().Extended().ServiceTDAttr()
		}
		_ = q.VerifyBinding()
		_, _ = q.PlatformIDs()
	})
}

func FuzzParseCerts(f *testing.F) {
	f.Add([]byte(intelRoot))
	f.Add(bytes.Repeat([]byte(intelRoot), 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		certs, err := ParseCerts(b)
		if err == nil {
			_, err = BuildPCKChain(certs, certs[:1])
		}
		if err != nil {
			if c := fault.ClassOf(err); c != fault.Malformed && c != fault.Signature {
				t.Fatalf("class %s: %v", c, err)
			}
		}
	})
}

func FuzzSGXExtension(f *testing.F) {
	f.Add([]byte{0x30, 0})
	if dir := os.Getenv("ASSAY_VECTORS"); dir != "" {
		for _, name := range []string{"tdx-v4-4927b75a19a0.bin", "sgx-v3-f8b81014b6e4.bin"} {
			_, chain := authenticate(f, load(f, dir, "intel", "quotes", name))
			for _, e := range chain.Leaf.Extensions {
				if e.Id.Equal(oidSGX) {
					f.Add(e.Value)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := parseSGXExtension(b); err != nil && !fault.Is(err, fault.Malformed) {
			t.Fatal(err)
		}
	})
}

const tinyTCBInfo = `{"tcbInfo":{"version":2,"issueDate":"2026-01-01T00:00:00Z","nextUpdate":"2026-02-01T00:00:00Z","fmspc":"00606a000000","pceId":"0000","tcbType":0,"tcbEvaluationDataNumber":1,"tcbLevels":[]},"signature":"00"}`

func FuzzParseTCBInfo(f *testing.F) {
	f.Add([]byte(tinyTCBInfo))
	addVectors(f, "tcbinfo/*.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		checkDocument(t, b, func() error { _, err := ParseTCBInfo(b); return err })
	})
}

func FuzzParseIdentity(f *testing.F) {
	f.Add([]byte(`{"enclaveIdentity":{"id":"QE","version":2},"signature":""}`))
	addVectors(f, "identity/*.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		checkDocument(t, b, func() error { _, err := ParseIdentity(b); return err })
	})
}

func checkDocument(t *testing.T, b []byte, parse func() error) {
	if err := parse(); err != nil {
		if c := fault.ClassOf(err); c != fault.Malformed && c != fault.Unsupported {
			t.Fatalf("class %s: %v", c, err)
		}
		return
	}
	s, err := SplitSigned(b)
	if err != nil || !bytes.Contains(b, s.Body) {
		t.Fatal("the signed text is not what was carried: ", err)
	}
}

func FuzzParseCRL(f *testing.F) {
	f.Add([]byte("-----BEGIN X509 CRL-----\nMA==\n-----END X509 CRL-----\n"))
	f.Add([]byte("3000"))
	addVectors(f, "crl/*.der")
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCRL(b)
		if err != nil {
			if !fault.Is(err, fault.Malformed) {
				t.Fatal(err)
			}
			return
		}
		_ = c.VerifiedBy(IntelRoot())
	})
}

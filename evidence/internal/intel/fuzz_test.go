package intel

import (
	"testing"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/dcap"
	"github.com/assay-tee/assay/internal/fault"
)

// Whatever is handed over as collateral, reading it ends, keeps a copy, and finds no more than it was given.
func FuzzReadLibrary(f *testing.F) {
	for _, s := range []string{
		`{"tcbInfo":{"version":3},"signature":"00"}`, `{"enclaveIdentity":{},"signature":""}`, `{"collaterals":{"a":["-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----"]}}`,
		`{"tcb_info":"{}","tcb_info_signature":"00","pck_crl":"3000"}`, "-----BEGIN%20CERTIFICATE-----%0AMAA=%0A-----END%20CERTIFICATE-----", "3000", "\x30\x00",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l := readLibrary([][]byte{b})
		if !l.same([][]byte{b}) {
			t.Fatal("the library is not of what it was made from")
		}
		for _, d := range l.tcb {
			if d.Signed.Name != "tcbInfo" || len(d.Levels) == 0 {
				t.Fatal("a document without its content")
			}
		}
	})
}

// Whatever is sent as evidence, taking its wrappings off gives a quote or one of two classes.
func FuzzUnwrap(f *testing.F) {
	for _, s := range []string{`{"quote":"AAAA"}`, `{"primary_evidence":{"quote":"AAAA"}}`, `{"primary_evidence":"{\"quote\":\"\"}"}`, "0400", "BAACAIEA", "\x04\x00\x02\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Unwrap("tdx", evidence.Evidence{Data: b})
		if err != nil {
			if !fault.Is(err, fault.Malformed) {
				t.Fatal(err)
			}
			return
		}
		if len(c.Quote) > len(b) || c.Format == "" {
			t.Fatalf("%d bytes of quote out of %d", len(c.Quote), len(b))
		}
		Detect(b, dcap.TDX)
	})
}

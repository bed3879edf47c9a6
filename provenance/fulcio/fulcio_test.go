package fulcio

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/url"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

func ext(n int, v []byte) pkix.Extension {
	return pkix.Extension{Id: append(append(asn1.ObjectIdentifier{}, arc...), n), Value: v}
}

func newer(n int, s string) pkix.Extension {
	der, _ := asn1.MarshalWithParams(s, "utf8")
	return ext(n, der)
}

func TestRead(t *testing.T) {
	uri := []*url.URL{{Scheme: "https", Host: "github.com", Path: "/o/r/.github/workflows/w.yml@refs/tags/v1.0.0"}}
	for _, tc := range []struct {
		name string
		cert x509.Certificate
		ok   bool
	}{
		{"both generations agree", x509.Certificate{URIs: uri, Extensions: []pkix.Extension{ext(1, []byte("https://issuer")), newer(8, "https://issuer"), ext(5, []byte("o/r")), newer(12, "https://github.com/o/r")}}, true},
		{"only the old", x509.Certificate{URIs: uri, Extensions: []pkix.Extension{ext(1, []byte("https://issuer")), ext(5, []byte("o/r"))}}, true},
		{"two issuers", x509.Certificate{URIs: uri, Extensions: []pkix.Extension{ext(1, []byte("https://issuer")), newer(8, "https://other")}}, false},
		{"two repositories", x509.Certificate{URIs: uri, Extensions: []pkix.Extension{ext(5, []byte("o/r")), newer(12, "https://github.com/o/r2")}}, false},
		{"two commits", x509.Certificate{URIs: uri, Extensions: []pkix.Extension{ext(3, []byte("aa")), newer(13, "bb")}}, false},
		{"an extension twice", x509.Certificate{URIs: uri, Extensions: []pkix.Extension{newer(8, "a"), newer(8, "a")}}, false},
		{"a new one as bare bytes", x509.Certificate{URIs: uri, Extensions: []pkix.Extension{ext(8, []byte("https://issuer"))}}, false},
		{"two names", x509.Certificate{URIs: uri, EmailAddresses: []string{"a@example.com"}}, false},
		{"no name", x509.Certificate{}, false},
	} {
		c, err := Read(&tc.cert)
		if tc.ok != (err == nil) || !tc.ok && !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if tc.ok && (c.Issuer != "https://issuer" || c.SourceURI != "https://github.com/o/r" || c.SAN != uri[0].String()) {
			t.Errorf("%s: %+v", tc.name, c)
		}
	}
}

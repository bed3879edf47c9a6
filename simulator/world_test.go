package simulator_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator"
)

func bytesReader(b []byte) io.Reader { return bytes.NewReader(b) }

func TestRevocationLists(t *testing.T) {
	a, other := world(t, simulator.Milan), world(t, simulator.Milan)
	ark, ask := a.ARK(simulator.Milan), a.ASK(simulator.Milan)
	list := func(o simulator.CRLOptions) *x509.RevocationList {
		t.Helper()
		der, err := a.CRL(simulator.Milan, o)
		if err != nil {
			t.Fatal(err)
		}
		l, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	fresh := list(simulator.CRLOptions{})
	if err := fresh.CheckSignatureFrom(ark); err != nil || len(fresh.RevokedCertificateEntries) != 0 {
		t.Errorf("fresh list: %v, %d entries", err, len(fresh.RevokedCertificateEntries))
	}
	a.Revoke(simulator.Milan, ask)
	after := list(simulator.CRLOptions{})
	if len(after.RevokedCertificateEntries) != 1 || after.RevokedCertificateEntries[0].SerialNumber.Cmp(ask.SerialNumber) != 0 || after.Number.Cmp(fresh.Number) <= 0 {
		t.Errorf("after a revocation: %v, number %v", after.RevokedCertificateEntries, after.Number)
	}
	forger, err := other.Issuer(simulator.Milan, false)
	if err != nil {
		t.Fatal(err)
	}
	forger.Name = ark
	forged := list(simulator.CRLOptions{IssuedBy: forger})
	if err := forged.CheckSignatureFrom(ark); err == nil || !bytes.Equal(forged.RawIssuer, ark.RawSubject) {
		t.Errorf("a forged list verifies (%v), or does not name the ARK (%s)", err, forged.Issuer)
	}
	if _, err := a.CRL(simulator.Turin, simulator.CRLOptions{}); !fault.Is(err, fault.Usage) {
		t.Errorf("list of a product not made: %v", err)
	}
}

func TestForgedVCEKsCarryTheNamesOfTheRealIssuer(t *testing.T) {
	a, other := world(t, simulator.Milan), world(t, simulator.Milan)
	forger, err := other.Issuer(simulator.Milan, false)
	if err != nil {
		t.Fatal(err)
	}
	forger.Name = a.ASK(simulator.Milan)
	c := chip(t, a, simulator.Milan)
	for _, tc := range []struct {
		name  string
		o     simulator.VEKOptions
		holds bool
	}{
		{"unchanged", simulator.VEKOptions{}, true},
		{"signed by another world's ASK", simulator.VEKOptions{IssuedBy: forger}, false},
		{"PKCS #1 v1.5", simulator.VEKOptions{Algorithm: x509.SHA384WithRSA}, true},
		{"other salt", simulator.VEKOptions{SaltLength: 20}, false},
	} {
		der, err := c.VCEKWith(c.TCB, tc.o)
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		ask := a.ASK(simulator.Milan)
		if err := ask.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); (err == nil) != tc.holds {
			t.Errorf("%s: signature %v", tc.name, err)
		}
		if !bytes.Equal(cert.RawIssuer, ask.RawSubject) {
			t.Errorf("%s: issuer is %s", tc.name, cert.Issuer)
		}
	}
}

func TestKDSAnswersLikeAMDs(t *testing.T) {
	a := world(t, simulator.Milan, simulator.Turin)
	milan, turin := chip(t, a, simulator.Milan), chip(t, a, simulator.Turin)
	srv := httptest.NewServer(a.KDS())
	defer srv.Close()
	get := func(path string) (int, []byte, http.Header) {
		t.Helper()
		r, err := http.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, b, r.Header
	}
	milanTCB, turinTCB := "?ucodeSPL=219&blSPL=4&teeSPL=0&snpSPL=24", "?fmcSPL=1&blSPL=1&teeSPL=1&snpSPL=4&ucodeSPL=81"
	for _, tc := range []struct {
		name, path string
		status     int
	}{
		{"Milan", "/vcek/v1/Milan/" + hexOf(milan.HWID()) + milanTCB, 200},
		{"Turin by its short id", "/vcek/v1/Turin/" + hexOf(turin.HWID()) + turinTCB, 200},
		{"Turin by its long id", "/vcek/v1/Turin/" + hexOf(turin.ID[:]) + turinTCB, 404},
		{"Turin without FMC", "/vcek/v1/Turin/" + hexOf(turin.HWID()) + "?blSPL=1&teeSPL=1&snpSPL=4&ucodeSPL=81", 400},
		{"unknown chip", "/vcek/v1/Milan/" + hexOf(make([]byte, 64)) + milanTCB, 404},
		{"unknown product", "/vcek/v1/Rome/cert_chain", 404},
		{"VLEK", "/vlek/v1/Milan/cert" + milanTCB, 401},
	} {
		status, body, h := get(tc.path)
		if status != tc.status {
			t.Errorf("%s: status %d, want %d", tc.name, status, tc.status)
		}
		if status == 200 {
			if _, err := x509.ParseCertificate(body); err != nil || h.Get("Content-Type") != "application/octet-stream" {
				t.Errorf("%s: %v, %v", tc.name, err, h)
			}
		}
	}
	for path, cn := range map[string]string{"/vcek/v1/Milan/cert_chain": "SEV-Milan", "/vlek/v1/Turin/cert_chain": "SEV-VLEK-Turin"} {
		_, b, _ := get(path)
		first, rest := pem.Decode(b)
		second, _ := pem.Decode(rest)
		if first == nil || second == nil {
			t.Fatalf("%s: %s", path, b)
		}
		if c, err := x509.ParseCertificate(first.Bytes); err != nil || c.Subject.CommonName != cn {
			t.Errorf("%s: first is %v (%v)", path, c.Subject, err)
		}
	}
	if _, b, _ := get("/vcek/v1/Milan/crl"); !isCRL(b) {
		t.Error("no revocation list")
	}
}

func isCRL(b []byte) bool { _, err := x509.ParseRevocationList(b); return err == nil }

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s []byte
	for _, v := range b {
		s = append(s, digits[v>>4], digits[v&15])
	}
	return string(s)
}

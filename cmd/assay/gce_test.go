package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

func protoBytes(num protowire.Number, parts ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), bytes.Join(parts, nil))
}

func protoNumber(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

// launchEndorsement is a root certificate (PEM) and an endorsement under it for guests with 1 and 2 VMSAs.
func launchEndorsement(t *testing.T, one, two []byte) (root, endorsement []byte) {
	t.Helper()
	rootKey, err := rsa.GenerateKey(rand.Reader, 3072)
	must(t, err)
	key, err := rsa.GenerateKey(rand.Reader, 3072)
	must(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "GCE-cc-tcb-root"}, NotBefore: time.Now().AddDate(-1, 0, 0),
		NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, rootKey.Public(), rootKey)
	must(t, err)
	ca, err := x509.ParseCertificate(der)
	must(t, err)
	leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "GCE-uefi-signing-key"},
		NotBefore: tmpl.NotBefore, NotAfter: tmpl.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature}, ca, key.Public(), rootKey)
	must(t, err)
	golden := bytes.Join([][]byte{protoBytes(1, protoNumber(1, uint64(time.Now().Add(-time.Hour).Unix()))), protoNumber(2, 701234567), protoBytes(4, leaf),
		protoBytes(5, bytes.Repeat([]byte{0xfd}, 48)), protoBytes(7, protoNumber(1, 4), protoBytes(2, protoNumber(1, 1), protoBytes(2, one)),
			protoBytes(2, protoNumber(1, 2), protoBytes(2, two)), protoNumber(5, 0x70000))}, nil)
	sum := sha256.Sum256(golden)
	sig, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: 32})
	must(t, err)
	return pemCerts(ca), append(protoBytes(1, golden), protoBytes(2, sig)...)
}

// Google's endorsement vouches for the launch of a guest that it lists, and for no other.
func TestLaunchEndorsementVouches(t *testing.T) {
	dir := t.TempDir()
	path := func(n string) string { return filepath.Join(dir, n) }
	assay := func(args ...string) (int, string) {
		var out bytes.Buffer
		code := run(t.Context(), args, strings.NewReader(""), &out, &out, func(string) string { return "" })
		return code, out.String()
	}
	one, two := bytes.Repeat([]byte{0x11}, 48), bytes.Repeat([]byte{0x22}, 48)
	root, endorsement := launchEndorsement(t, one, two)
	must(t, os.WriteFile(path("root.pem"), root, 0o600))
	must(t, os.WriteFile(path("launch_endorsement.binarypb"), endorsement, 0o600))
	forged := bytes.Clone(endorsement)
	forged[bytes.Index(forged, one)] ^= 1
	must(t, os.WriteFile(path("forged.binarypb"), forged, 0o600))

	for _, tc := range []struct {
		name, measurement, endorsement string
		debug                          bool
		code                           int
		says                           []string
	}{
		{"two VMSAs", strings.Repeat("22", 48), "launch_endorsement.binarypb", false, 0, []string{`"gce.vcpus"`, `gce.firmware`, `gce-ovmf"`, "GCE-uefi-signing-key"}},
		{"four VMSAs, which are not listed", strings.Repeat("44", 48), "launch_endorsement.binarypb", false, exitNotAffirming, []string{"nearest"}},
		{"a debug guest", strings.Repeat("11", 48), "launch_endorsement.binarypb", true, exitNotAffirming, nil},
		{"a forged endorsement", strings.Repeat("11", 48), "forged.binarypb", false, 4, []string{"does not hold"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			guest := path(strings.ReplaceAll(tc.name, " ", "_"))
			args := []string{"sim", "snp", guest, "--key-bits", "2048", "--measurement", tc.measurement}
			if tc.debug {
				args = append(args, "--debug")
			}
			if code, out := assay(args...); code != 0 {
				t.Fatal(out)
			}
			nonce, err := os.ReadFile(filepath.Join(guest, "nonce"))
			must(t, err)
			code, out := assay("verify", guest, "--anchor", filepath.Join(guest, "ark.pem"), "--insecure-simulator", "--nonce", strings.TrimSpace(string(nonce)),
				"--anchor", path("root.pem"), "--statement", path(tc.endorsement), "--format", "json")
			if code != tc.code {
				t.Fatalf("exit %d, want %d: %s", code, tc.code, out)
			}
			for _, s := range tc.says {
				if !strings.Contains(out, s) {
					t.Errorf("%q is not told: %s", s, out)
				}
			}
			if tc.debug && strings.Contains(out, "gce-ovmf") {
				t.Errorf("the series of a debug guest counts: %s", out)
			}
		})
	}
	if code, out := assay("corim", "verify", path("launch_endorsement.binarypb"), "--anchor", path("root.pem")); code != 0 || !strings.Contains(out, "gce/snp/") {
		t.Errorf("corim verify: %d %s", code, out)
	}
	if code, _ := assay("corim", "verify", path("launch_endorsement.binarypb"), "--anchor", path("two_VMSAs/vcek.der")); code != 4 {
		t.Errorf("under a strange anchor: exit %d", code)
	}
}

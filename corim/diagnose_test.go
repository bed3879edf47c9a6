package corim_test

import (
	"bytes"
	"crypto/elliptic"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/corim/profiles/amdsnp"
)

func TestDiagnoseSaysWhatAPersonAsks(t *testing.T) {
	b, err := corim.Sign(example(t), ecKey(t, elliptic.P256()), corim.SignOptions{SignerName: "Example Firmware", CWTClaims: true})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := corim.Diagnose(&out, b, corim.DiagnoseOptions{Options: corim.Options{Profiles: profiles.All()}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"SIGNED CoRIM, ES256; the signature is not checked here", `"Example Firmware"`, "AMD SEV-SNP",
		"valid until 2030-03-17T17:46:40Z", "measurement (641)", "sha-384:0000000000000000… (48 bytes)", "each byte ≥ 0x0000000000000007",
		"manifest-creator, manifest-signer", "class 1.3.6.1.4.1.3704.3.1"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}

func TestDiagnoseCannotBeMadeToSteerATerminal(t *testing.T) {
	evil := "\x1b[2J\u202e"
	name := evil
	m := &corim.Manifest{ID: claim.Text(0, evil), Entities: []corim.Entity{{Name: evil, RegID: evil, Roles: []int64{1}}},
		DependentRIMs: []corim.Locator{{HRefs: []string{evil}}},
		CoMIDs: []corim.CoMID{{Language: evil, TagIdentity: corim.TagIdentity{TagID: claim.Text(0, evil)},
			Triples: corim.Triples{Reference: []corim.ValueTriple{{
				Environment: claim.Environment{Class: claim.Class{Vendor: claim.Some(evil), Model: claim.Some(evil)}},
				Elements: []claim.Element{{Key: claim.Text(0, evil), Values: claim.Values{Name: &name, Serial: &name,
					Version: &claim.Version{Text: evil, Scheme: evil}, Text: &claim.TextChoice{Value: evil},
					Digests:    []claim.Digest{{AlgName: evil, Value: []byte{1}}},
					CryptoKeys: []claim.ID{claim.Text(claim.TagPKIXBase64Key, evil)},
					Ext:        []claim.Extension{{Key: -5, CBOR: claim.Text(0, evil).AppendCBOR(nil)}}}}},
			}}}}}}
	b, err := corim.Encode(m, corim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := corim.Diagnose(&out, b, corim.DiagnoseOptions{}); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.ContainsAny(s, "\x1b\u202e") {
		t.Errorf("%q", s)
	}
}

func TestDiagnoseReadsEveryVector(t *testing.T) {
	dir, files := vectors(t)
	seen := 0
	for _, v := range files {
		if v.Expected.Decode != "ok" || v.Kind != "concise-mid-tag map (untagged)" && v.Kind != "tag 501 corim-map" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, v.Path))
		if err != nil {
			t.Fatal(err)
		}
		var short, full bytes.Buffer
		o := corim.Options{Profiles: profiles.All(), Profile: profileOf(v.Path)}
		if err := corim.Diagnose(&short, b, corim.DiagnoseOptions{Options: o}); err != nil {
			t.Errorf("%s: %v", v.Path, err)
		}
		if err := corim.Diagnose(&full, b, corim.DiagnoseOptions{Options: o, Full: true}); err != nil || full.Len() < short.Len()/2 {
			t.Errorf("%s: %v", v.Path, err)
		}
		if strings.Contains(full.String(), "…") {
			t.Errorf("%s: something is shortened in\n%s", v.Path, full.String())
		}
		seen++
	}
	if seen < 30 {
		t.Errorf("only %d vectors seen", seen)
	}
}

func TestTCBIsDescribedByteByByte(t *testing.T) {
	got := amdsnp.Describe(claim.Uint(amdsnp.KeyPolicy), claim.Values{Raw: &claim.Raw{Value: []byte{0, 0, 2, 0, 0, 0, 0, 0}, Mask: []byte{0, 0, 0x0e, 0, 0, 0, 0, 0}}})
	if got != "0000020000000000 under 00000e0000000000 (reserved 1=1, MIGRATE_MA=0, DEBUG=0)" {
		t.Error(got)
	}
}

package corim_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/corim/profiles/intelpoe"
	"github.com/assay-tee/assay/corim/profiles/nvidia"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/cosex"
	"github.com/assay-tee/assay/internal/fault"
)

type vector struct {
	Path     string `json:"path"`
	Kind     string `json:"kind"`
	Expected struct {
		Decode string `json:"decode"`
		Why    string `json:"why"`
	} `json:"expected"`
}

// vectors reads the manifest of the corim folder, or skips.
func vectors(t testing.TB) (dir string, files []vector) {
	t.Helper()
	dir = os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set: the published CoRIM vectors are not tested")
	}
	dir = filepath.Join(dir, "corim")
	b, err := os.ReadFile(filepath.Join(dir, "MANIFEST.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Files []vector `json:"files"`
	}
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return dir, m.Files
}

// profileOf is the profile under which the tags of a group are read on their own.
func profileOf(path string) *corim.Profile {
	id := map[string]string{"amd": "tag:amd.com,2025:snp-corim-profile", "intel": "2.16.840.1.113741.1.16.1",
		"psa": "tag:arm.com,2025:psa#1.0.0"}[strings.Split(path, "/")[0]]
	switch {
	case strings.HasPrefix(path, "cca/platform"):
		id = "tag:arm.com,2025:cca_platform#1.0.0"
	case strings.HasPrefix(path, "cca/realm"):
		id = "tag:arm.com,2025:cca_realm#1.0.0"
	case strings.HasPrefix(path, "spec/comid-psa"):
		id = "tag:arm.com,2025:psa#1.0.0"
	}
	return profiles.All()[id]
}

func TestVectorsDecodeAsStated(t *testing.T) {
	dir, files := vectors(t)
	seen := 0
	for _, v := range files {
		if v.Expected.Decode != "ok" && v.Expected.Decode != "reject" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, v.Path))
		if err != nil {
			t.Fatal(err)
		}
		var again []byte
		switch v.Kind {
		case "concise-mid-tag map (untagged)":
			o := corim.Options{Profile: profileOf(v.Path)}
			var c *corim.CoMID
			if c, err = corim.DecodeCoMID(b, o); err == nil {
				again, err = corim.EncodeCoMID(c, o)
			}
		case "tag 501 corim-map":
			o := corim.Options{Profiles: profiles.All(), ForDisplay: true}
			var m *corim.Manifest
			if m, err = corim.Decode(b, o); err == nil {
				again, err = corim.Encode(m, o)
			}
		case "concise-tl-tag map (untagged)":
			var c *corim.CoTL
			if c, err = corim.DecodeCoTL(b, corim.Options{}); err == nil {
				again, err = corim.EncodeCoTL(c)
			}
		case "concise evidence":
			_, err = corim.DecodeConciseEvidence(b, corim.Options{Profile: profileOf(v.Path)})
		case "SPDM table of contents":
			_, err = corim.DecodeSPDMToC(b, corim.Options{Profile: profileOf(v.Path)})
		case "CMW collection":
			_, err = corim.DecodeCollection(b, corim.Options{Profiles: profiles.All(), ForDisplay: true})
		case "COSE_Sign1":
			err = decodeSigned(v.Path, b)
		case "fragment":
			if strings.Contains("amd/host.cbor amd/minabi.cbor amd/vmpl.cbor", v.Path) {
				_, err = corim.DecodeValues(b, corim.Options{Profile: profileOf(v.Path)})
				break
			}
			err = cborx.Check(b, cborx.Limits{})
		default: // well-formedness is all that is stated
			err = cborx.Check(b, cborx.Limits{})
		}
		seen++
		t.Run(v.Path, func(t *testing.T) {
			if ok := err == nil; ok != (v.Expected.Decode == "ok") {
				t.Fatalf("error %v; expected %s %s", err, v.Expected.Decode, v.Expected.Why)
			}
			if err != nil || again == nil || !bytes.Equal(cborx.Canonical(b), b) {
				return
			}
			if !bytes.Equal(again, b) {
				t.Errorf("deterministic bytes were not written again:\nread    %x\nwritten %x", b, again)
			}
		})
	}
	if seen < 100 {
		t.Fatalf("only %d vectors seen", seen)
	}
}

// decodeSigned reads the envelope, and where it is one of a CoRIM the manifest too. Several of the files have filler
// instead of a signature.
func decodeSigned(path string, b []byte) error {
	if strings.HasPrefix(path, "tcg/") {
		_, err := cosex.Parse(b, cosex.Options{})
		return err
	}
	s, err := corim.ParseSigned(b, corim.Options{Profiles: profiles.All()})
	if err != nil {
		return err
	}
	_, err = s.UnverifiedManifest()
	return err
}

func TestOwnershipVectorsDecodeWithTheirRelaxation(t *testing.T) {
	dir, _ := vectors(t)
	for name, want := range map[string]fault.Class{"poe-golden": 0, "poe-golden-leaf-only": 0, "poe-golden-tstr-id": 0,
		"poe-golden-fwdcompat": 0, "poe-negative-bare": fault.Malformed} {
		b, err := os.ReadFile(filepath.Join(dir, "poe", name+".cbor"))
		if err != nil {
			t.Fatal(err)
		}
		s, err := corim.ParseSigned(b, corim.Options{Profiles: profiles.All(), Relax: intelpoe.Relax()})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		m, err := s.UnverifiedManifest()
		if got := fault.ClassOf(err); (err != nil) != (want != 0) || err != nil && got != want {
			t.Errorf("%s: %v, want class %v", name, err, want)
		}
		if err == nil {
			for _, f := range intelpoe.Profile().Check(m) {
				t.Errorf("%s: %s %v", name, f.Warning, f.Err)
			}
		}
	}
}

func TestNVIDIAVectorVerifiesUnderItsKey(t *testing.T) {
	dir, _ := vectors(t)
	b, err := os.ReadFile(filepath.Join(dir, "nvidia", "cx7.cbor"))
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "nvidia", "*.pem"))
	if len(files) != 1 {
		t.Fatalf("keys: %v", files)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	var key any
	if block.Type == "CERTIFICATE" {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		key = c.PublicKey
	} else if key, err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
		t.Fatal(err)
	}
	for i := range nvidia.Relax() {
		relax := slices.Delete(slices.Clone(nvidia.Relax()), i, i+1)
		s, err := corim.ParseSigned(b, corim.Options{Relax: relax})
		if err == nil {
			_, err = s.UnverifiedManifest()
		}
		if !fault.Is(err, fault.Malformed) {
			t.Errorf("without %s: %v", nvidia.Relax()[i], err)
		}
	}
	s, err := corim.ParseSigned(b, corim.Options{Relax: nvidia.Relax()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(key); err != nil {
		t.Fatal(err)
	}
	m, err := s.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if err := nvidia.Adapt(m); err != nil {
		t.Fatal(err)
	}
	if got := m.CoMIDs[0].Triples.Reference[0].Environment.Class.Model.V; got != "15b3102115b3003300" {
		t.Errorf("model %q", got)
	}
	if len(m.Relaxations) != 3 {
		t.Errorf("relaxations used: %v", m.Relaxations)
	}
}

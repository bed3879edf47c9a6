package corim_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/internal/cborx"
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
		default:
			continue
		}
		seen++
		t.Run(v.Path, func(t *testing.T) {
			if ok := err == nil; ok != (v.Expected.Decode == "ok") {
				t.Fatalf("error %v; expected %s %s", err, v.Expected.Decode, v.Expected.Why)
			}
			if err != nil || !bytes.Equal(cborx.Canonical(b), b) {
				return
			}
			if !bytes.Equal(again, b) {
				t.Errorf("deterministic bytes were not written again:\nread    %x\nwritten %x", b, again)
			}
		})
	}
	if seen < 30 {
		t.Fatalf("only %d vectors seen", seen)
	}
}

package endorse

import (
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/corim/profiles/intelpoe"
	"github.com/assay-tee/assay/internal/fault"
)

// The expectation "admit" of the manifest of CoRIM vectors, at the time that it names: each content inside an otherwise
// valid signed CoRIM of an authorised signer.
func TestVectorsAreAdmittedAsStated(t *testing.T) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set: the published CoRIM vectors are not admitted")
	}
	dir = filepath.Join(dir, "corim")
	b, err := os.ReadFile(filepath.Join(dir, "MANIFEST.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Files []struct {
			Path     string `json:"path"`
			Kind     string `json:"kind"`
			Expected struct {
				Decode string `json:"decode"`
				Admit  string `json:"admit"`
				Why    string `json:"admit_why"`
			} `json:"expected"`
		} `json:"files"`
	}
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	k := newKey(t)
	seen := map[string]int{}
	for _, f := range m.Files {
		if f.Expected.Admit != "ok" && f.Expected.Admit != "reject" || strings.HasPrefix(f.Path, "poe/") || strings.HasPrefix(f.Path, "nvidia/") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, f.Path))
		if err != nil {
			t.Fatal(err)
		}
		got, why := admitVector(t, k, f.Path, f.Kind, data)
		seen[got]++
		if got != f.Expected.Admit {
			t.Errorf("%s: %s (%v), want %s (%s)", f.Path, got, why, f.Expected.Admit, f.Expected.Why)
		}
	}
	if seen["ok"] < 10 || seen["reject"] < 10 {
		t.Errorf("only %v were seen", seen)
	}
}

func admitVector(t *testing.T, k *ecdsa.PrivateKey, path, kind string, data []byte) (string, error) {
	t.Helper()
	reg := profiles.All()
	opts := corim.Options{Profiles: reg}
	m := &corim.Manifest{ID: claim.Text(claim.TagNone, "vector"), Profile: vectorProfile(path)}
	switch {
	case strings.HasPrefix(kind, "concise-mid-tag"):
		opts.Profile = reg[m.Profile]
		c, err := corim.DecodeCoMID(data, opts)
		if err != nil {
			return "reject", err
		}
		m.CoMIDs = []corim.CoMID{*c}
	case strings.HasPrefix(kind, "concise-tl-tag"):
		c, err := corim.DecodeCoTL(data, opts)
		if err != nil {
			return "reject", err
		}
		m.CoTLs = []corim.CoTL{*c}
	case strings.HasPrefix(kind, "tag 501"):
		m = nil
	default:
		t.Errorf("%s: kind %q is not known to this test", path, kind)
		return "", nil
	}
	if m != nil {
		var err error
		if data, err = corim.Encode(m, opts); err != nil {
			t.Errorf("%s: %v", path, err)
			return "", nil
		}
	}
	signed, err := corim.Sign(data, k, corim.SignOptions{SignerName: "vectors"})
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return "", nil
	}
	_, err = newBuilder(t, Config{Anchors: []*Anchor{anchor("vectors", k)}, Profiles: reg}).Admit(signed)
	if err != nil {
		if fault.ClassOf(err) == fault.Internal {
			t.Errorf("%s: class internal: %v", path, err)
		}
		return "reject", err
	}
	return "ok", nil
}

// NVIDIA's file under its pinned key, with the three relaxations that it needs and no others.
func TestVectorNVIDIA(t *testing.T) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set: NVIDIA's CoRIM is not admitted")
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, "corim", "nvidia", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	data := read("cx7.cbor")
	keys, err := filepath.Glob(filepath.Join(dir, "corim", "nvidia", "*.pem"))
	if err != nil || len(keys) == 0 {
		t.Fatal("no key beside the vector")
	}
	as, err := ParseAnchors("nvidia.pem", read(filepath.Base(keys[0])))
	if err != nil {
		t.Fatal(err)
	}
	twice := *as[0]
	twice.Relax = []corim.Relaxation{corim.RelaxLegacyPrefix, corim.RelaxLegacyPrefix, corim.RelaxLegacyPrefix}
	wide := anchor("wide", newKey(t))
	wide.Relax = []corim.Relaxation{corim.RelaxLegacyPrefix, corim.RelaxBarePayload, corim.RelaxBstrAroundTag}
	_, err = newBuilder(t, Config{Anchors: []*Anchor{&twice, wide}, Profiles: profiles.All()}).Admit(data)
	refused(t, "one relaxation named three times", err, fault.Malformed)
	relax := []corim.Relaxation{corim.RelaxLegacyPrefix, corim.RelaxBarePayload, corim.RelaxBstrAroundTag}
	for i := range 1 << len(relax) {
		a := *as[0]
		a.Relax = nil
		for j, r := range relax {
			if i>>j&1 == 1 {
				a.Relax = append(a.Relax, r)
			}
		}
		// Another anchor's relaxations must not help this one.
		other := anchor("other", newKey(t))
		other.Relax = relax
		b := newBuilder(t, Config{Anchors: []*Anchor{&a, other}, Profiles: profiles.All()})
		r, err := b.Admit(data)
		if i < 1<<len(relax)-1 {
			refused(t, fmt.Sprint(a.Relax), err, fault.Malformed)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Relaxations) != 3 {
			t.Errorf("relaxations in the receipt: %v", r.Relaxations)
		}
		// It speaks of the device that its tag-id names, and of no other.
		dev := claim.Environment{Class: claim.Class{Vendor: claim.Some("NVIDIA"), Model: claim.Some("15b3102115b3003300")}}
		wide := claim.Environment{Class: claim.Class{Vendor: claim.Some("NVIDIA")}}
		set := b.Set()
		if len(set.Nearby(&dev, 9)) == 0 || len(set.Nearby(&wide, 9)) != 0 {
			t.Errorf("about the device %d, about every device %d statements", len(set.Nearby(&dev, 9)), len(set.Nearby(&wide, 9)))
		}
	}
}

func vectorProfile(path string) string {
	id := map[string]string{"amd": "tag:amd.com,2025:snp-corim-profile", "intel": "2.16.840.1.113741.1.16.1", "psa": "tag:arm.com,2025:psa#1.0.0"}[strings.Split(path, "/")[0]]
	switch {
	case strings.HasPrefix(path, "cca/platform"):
		return "tag:arm.com,2025:cca_platform#1.0.0"
	case strings.HasPrefix(path, "cca/realm"):
		return "tag:arm.com,2025:cca_realm#1.0.0"
	case strings.HasPrefix(path, "spec/comid-psa"):
		return "tag:arm.com,2025:psa#1.0.0"
	}
	return id
}

// The manifest says of every POE file that it is refused: signature, certificates and key id are filler. Signed anew by
// an anchored key, the good ones are admitted where the anchor tolerates their form, and nowhere else.
func TestPOEVectorsAreRefusedAsStated(t *testing.T) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set: the POE vectors are not looked at")
	}
	k := newKey(t)
	tolerant := anchor("a", k)
	tolerant.Relax = intelpoe.Relax()
	for name, good := range map[string]bool{"poe-golden": true, "poe-golden-leaf-only": true, "poe-golden-tstr-id": true, "poe-golden-fwdcompat": true, "poe-negative-bare": false} {
		data, err := os.ReadFile(filepath.Join(dir, "corim", "poe", name+".cbor"))
		if err != nil {
			t.Fatal(err)
		}
		builders := map[bool]*Builder{
			false: newBuilder(t, Config{Profiles: profiles.All(), Anchors: []*Anchor{anchor("a", k)}}),
			true:  newBuilder(t, Config{Profiles: profiles.All(), Anchors: []*Anchor{tolerant}}),
		}
		s, err := corim.ParseSigned(data, corim.Options{Profiles: profiles.All(), Relax: intelpoe.Relax()})
		if err != nil {
			t.Fatal(err)
		}
		for relaxed, b := range builders {
			_, err := b.Admit(data)
			refused(t, fmt.Sprintf("%s as published, relaxed %v", name, relaxed), err, fault.Malformed)
		}
		m, err := s.UnverifiedManifest()
		if err != nil {
			if good {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		anew, err := corim.Sign(m.Raw, k, corim.SignOptions{SignerName: "vectors"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = builders[false].Admit(anew)
		refused(t, name+" signed anew, strict", err, fault.Malformed)
		if _, err = builders[true].Admit(anew); err != nil {
			t.Errorf("%s signed anew, relaxed: %v", name, err)
		}
	}
}

package corim_test

import (
	"bytes"
	"crypto/elliptic"
	"os"
	"path/filepath"
	"testing"

	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/internal/fault"
)

// seed adds a small example and, where they are at hand, the published vectors.
func seed(f *testing.F, extra ...[]byte) {
	f.Helper()
	for _, b := range extra {
		f.Add(b)
	}
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		return
	}
	files, _ := filepath.Glob(filepath.Join(dir, "corim", "*", "*.cbor"))
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil && len(b) < 2000 {
			f.Add(b)
		}
	}
}

// classified fails on an error that has no class of its own.
func classified(t *testing.T, err error) bool {
	t.Helper()
	if err != nil && !fault.Is(err, fault.Malformed) && !fault.Is(err, fault.Unsupported) {
		t.Fatalf("class %v: %v", fault.ClassOf(err), err)
	}
	return err == nil
}

// stable checks that what was written is read again as the same, and written as the same.
func stable[T any](t *testing.T, v T, write func(T) ([]byte, error), read func([]byte) (T, error)) {
	t.Helper()
	one, err := write(v)
	if err != nil {
		t.Fatalf("what was read cannot be written: %v", err)
	}
	again, err := read(one)
	if err != nil {
		t.Fatalf("what was written cannot be read: %v\n%x", err, one)
	}
	two, err := write(again)
	if err != nil || !bytes.Equal(one, two) {
		t.Fatalf("%v: written as %x, then as %x", err, one, two)
	}
}

func FuzzDecode(f *testing.F) {
	seed(f, example(f))
	strict := corim.Options{Profiles: profiles.All(), ForDisplay: true}
	lax := strict
	lax.Relax = corim.Relaxations()
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := corim.Decode(b, lax)
		laxly := classified(t, err)
		m, err := corim.Decode(b, strict)
		if !classified(t, err) {
			return
		}
		if !laxly && len(m.Warnings) == 0 {
			t.Fatalf("a relaxation refuses what strict reading accepts: %x", b)
		}
		stable(t, m, func(m *corim.Manifest) ([]byte, error) { return corim.Encode(m, strict) },
			func(b []byte) (*corim.Manifest, error) { return corim.Decode(b, strict) })
	})
}

func FuzzDecodeCoMID(f *testing.F) {
	seed(f, unhex(f, comid("a1 10 f5")))
	var all []*corim.Profile
	seen := map[*corim.Profile]bool{nil: true}
	all = append(all, nil)
	for _, p := range profiles.All() {
		if !seen[p] {
			seen[p] = true
			all = append(all, p)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, p := range all {
			o := corim.Options{Profile: p}
			c, err := corim.DecodeCoMID(b, o)
			if !classified(t, err) {
				continue
			}
			stable(t, c, func(c *corim.CoMID) ([]byte, error) { return corim.EncodeCoMID(c, o) },
				func(b []byte) (*corim.CoMID, error) { return corim.DecodeCoMID(b, o) })
			if p != nil && p.Check != nil {
				p.Check(&corim.Manifest{CoMIDs: []corim.CoMID{*c}})
			}
		}
	})
}

func FuzzDecodeCoTL(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := corim.DecodeCoTL(b, corim.Options{})
		if classified(t, err) {
			stable(t, c, corim.EncodeCoTL, func(b []byte) (*corim.CoTL, error) { return corim.DecodeCoTL(b, corim.Options{}) })
		}
	})
}

func FuzzParseSigned(f *testing.F) {
	key := ecKey(f, elliptic.P256())
	for _, o := range []corim.SignOptions{{SignerName: "A"}, {SignerName: "A", CWTClaims: true, Detached: true}, {SignerName: "A", HashAlg: -16}} {
		b, err := corim.Sign(example(f), key, o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, relax := range [][]corim.Relaxation{nil, corim.Relaxations()} {
			s, err := corim.ParseSigned(b, corim.Options{Profiles: profiles.All(), Relax: relax})
			if !classified(t, err) {
				continue
			}
			if s.SignerName() == "" {
				t.Fatal("nobody signed")
			}
			if err := s.Verify(key.Public()); err == nil {
				if _, err := s.Manifest(); err != nil && fault.Is(err, fault.Signature) {
					t.Fatal(err)
				}
			} else if !fault.Is(err, fault.Signature) && !fault.Is(err, fault.Unsupported) {
				t.Fatal(err)
			}
			_, err = s.UnverifiedManifest()
			classified(t, err)
			if _, err := s.Certificates(); err != nil {
				classified(t, err)
			}
		}
	})
}

func FuzzDecodeConciseEvidence(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := corim.DecodeConciseEvidence(b, corim.Options{})
		classified(t, err)
		_, err = corim.DecodeSPDMToC(b, corim.Options{})
		classified(t, err)
		_, err = corim.DecodeCollection(b, corim.Options{Profiles: profiles.All()})
		classified(t, err)
	})
}

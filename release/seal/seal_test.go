package seal_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/release/seal"
)

func TestSealer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "age.key")
	s, err := seal.LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", st.Mode(), err)
	}
	blob, err := s.Seal("a/b/c@1", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := seal.LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Open("a/b/c@1", blob); err != nil || string(got) != "secret" {
		t.Fatalf("%q %v", got, err)
	}
	if _, err := again.Open("a/b/d@1", blob); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a secret in another's place: %v", err)
	}
	other, err := seal.LoadOrCreate(filepath.Join(t.TempDir(), "age.key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open("a/b/c@1", blob); !fault.Is(err, fault.Unavailable) {
		t.Errorf("another identity: %v", err)
	}
	blob[len(blob)-1] ^= 1
	if _, err := again.Open("a/b/c@1", blob); !fault.Is(err, fault.Unavailable) {
		t.Errorf("damaged: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.LoadOrCreate(path); !fault.Is(err, fault.Usage) {
		t.Errorf("readable by all: %v", err)
	}
}

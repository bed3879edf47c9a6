package rekor1

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is unset: no real log entry is at hand")
	}
	b, err := os.ReadFile(filepath.Join(dir, "oak", "endorsement", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func key(t testing.TB, name string) (*ecdsa.PublicKey, []byte) {
	t.Helper()
	blk, _ := pem.Decode(read(t, name))
	k, err := x509.ParsePKIXPublicKey(blk.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return k.(*ecdsa.PublicKey), blk.Bytes
}

// Every member of a real entry that anything signs or hashes is needed.
func TestRealEntry(t *testing.T) {
	raw := read(t, "logentry.json")
	log, _ := key(t, "rekor_public_key.pem")
	other, endorser := key(t, "endorser_public_key.pem")
	e, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Verify(log); err != nil {
		t.Fatal(err)
	}
	if e.LogIndex != 132193865 || e.IntegratedTime.Unix() != 1726762760 {
		t.Errorf("index %d, time %v", e.LogIndex, e.IntegratedTime)
	}
	artefact := read(t, "endorsement.json")
	if err := e.Body.Covers(artefact, endorser); err != nil {
		t.Fatal(err)
	}
	if err := e.Body.Covers(append(bytes.Clone(artefact), ' '), endorser); !fault.Is(err, fault.Binding) {
		t.Errorf("another artefact: %v", err)
	}
	if err := e.Body.Covers(artefact, endorser[1:]); !fault.Is(err, fault.Signature) {
		t.Errorf("another endorser: %v", err)
	}
	if err := e.Verify(other); !fault.Is(err, fault.Signature) {
		t.Errorf("another log: %v", err)
	}
	for name, change := range map[string]func(*Entry){
		"body":       func(e *Entry) { e.rawBody = strings.Replace(e.rawBody, "e", "f", 1) },
		"time":       func(e *Entry) { e.integrated++ },
		"index":      func(e *Entry) { e.LogIndex++ },
		"timestamp":  func(e *Entry) { e.set[20] ^= 1 },
		"leaf":       func(e *Entry) { e.body[3] ^= 1 },
		"uuid":       func(e *Entry) { e.UUID = e.UUID[:len(e.UUID)-1] + "x" },
		"path":       func(e *Entry) { e.proof.Hashes[2] = e.proof.Hashes[1] },
		"path cut":   func(e *Entry) { e.proof.Hashes = e.proof.Hashes[1:] },
		"place":      func(e *Entry) { e.proof.LogIndex-- },
		"size":       func(e *Entry) { e.proof.TreeSize++ },
		"root":       func(e *Entry) { e.proof.RootHash = strings.Repeat("00", 32) },
		"checkpoint": func(e *Entry) { e.proof.Checkpoint = strings.Replace(e.proof.Checkpoint, "\n1", "\n2", 1) },
		"signature of it": func(e *Entry) {
			e.proof.Checkpoint = e.proof.Checkpoint[:len(e.proof.Checkpoint)-12] + "AAAAAAAAAAA=\n"
		},
	} {
		e, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		change(e)
		if err := e.Verify(log); err == nil {
			t.Errorf("%s changed: verified", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"00":{"body":"e30=","integratedTime":1,"logID":"ab","logIndex":2,"verification":{}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := Parse(b); err != nil && !fault.Is(err, fault.Malformed) && !fault.Is(err, fault.Unsupported) {
			t.Errorf("%v %v", e, err)
		}
	})
}

package builtin_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/builtin"
)

// Oak's evidence is a protobuf message without any magic; nobody else takes it.
func TestDetectionOfOak(t *testing.T) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is unset: real evidence is not at hand")
	}
	table, err := builtin.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"milan_oc_release", "milan_oc_staging", "genoa_oc", "cb", "fake"} {
		b, err := os.ReadFile(filepath.Join(dir, "oak", name+"_evidence.binarypb"))
		if err != nil {
			t.Fatal(err)
		}
		if row, err := table.For(evidence.Evidence{Data: b}); err != nil || row.Name != "oak" {
			t.Errorf("%s: %q, %v", name, row.Name, err)
		}
	}
}

// Real evidence is recognised by the driver of its TEE and by no other.
func TestDetectionOnRealEvidence(t *testing.T) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is unset: real evidence is not at hand")
	}
	table, err := builtin.New()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "intel", "quotes", "*.bin"))
	if err != nil || len(files) == 0 {
		t.Fatal("no quotes: ", err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, _, _ := strings.Cut(filepath.Base(path), "-")
		if row, err := table.For(evidence.Evidence{Data: b}); err != nil || row.Name != want {
			t.Errorf("%s: %q, %v", path, row.Name, err)
		}
		for _, r := range table.Rows() {
			if _, ok := r.Detect(b); ok && r.Name != want {
				t.Errorf("%s looks like %s too", path, r.Name)
			}
		}
	}
}

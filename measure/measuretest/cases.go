// Package measuretest reads the launch measurement vectors (ASSAY_VECTORS/measure) for the tests of package measure's
// folders.
package measuretest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Case is one entry of cases.json, as far as several tests share its fields.
type Case struct {
	ID            string          `json:"id"`
	Mode          string          `json:"mode"`
	Expected      json.RawMessage `json:"expected"`
	ExpectedError string          `json:"expected_error"`
	ExpectedFiles []string        `json:"expected_files"`
	VCPUs         int             `json:"vcpus"`
	VCPUType      string          `json:"vcpu_type"`
	Features      string          `json:"guest_features"`
	VMM           string          `json:"vmm_type"`
	Option        string          `json:"option"`
	OVMF          string          `json:"ovmf"`
	Kernel        *string         `json:"kernel"`
	Initrd        *string         `json:"initrd"`
	Append        string          `json:"append"`
	OVMFHash      string          `json:"snp_ovmf_hash"`
	SVSM          string          `json:"svsm"`
	VarsSize      uint64          `json:"vars_size"`
	Firmware      string          `json:"firmware"`
	Product       string          `json:"product"`
	Machine       string          `json:"machine"`
	File          string          `json:"file"`
	Raw           json.RawMessage `json:"-"`
}

// ExpectedString is the expected value when it is one string.
func (c Case) ExpectedString() string {
	var s string
	_ = json.Unmarshal(c.Expected, &s) // null and objects give ""
	return s
}

// Dir is the folder of vectors; the test is skipped when ASSAY_VECTORS is not set.
func Dir(t testing.TB) string {
	t.Helper()
	d := os.Getenv("ASSAY_VECTORS")
	if d == "" {
		t.Skip("ASSAY_VECTORS is not set: vectors are not checked")
	}
	return filepath.Join(d, "measure")
}

// Read reads a file of the vectors; "empty file" is one without content.
func Read(t testing.TB, name string) []byte {
	t.Helper()
	if name == "empty file" {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(Dir(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Cases gives the cases of the given modes.
func Cases(t testing.TB, modes ...string) []Case {
	t.Helper()
	var doc struct {
		Cases []json.RawMessage `json:"cases"`
	}
	if err := json.Unmarshal(Read(t, "cases.json"), &doc); err != nil {
		t.Fatal(err)
	}
	var out []Case
	for _, raw := range doc.Cases {
		var c Case
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatal(err)
		}
		c.Raw = raw
		for _, m := range modes {
			if c.Mode == m {
				out = append(out, c)
			}
		}
	}
	if len(out) == 0 {
		t.Fatalf("no case of mode %v: the test looks in the wrong place", modes)
	}
	return out
}

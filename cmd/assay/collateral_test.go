package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/simulator"
)

// What was fetched where there is a network verifies where there is none.
func TestFetchedCollateralVerifiesOffline(t *testing.T) {
	amd, err := simulator.NewAMD(simulator.AMDConfig{Clock: time.Now, KeyBits: 2048})
	must(t, err)
	kds := httptest.NewServer(amd.KDS())
	defer kds.Close()
	chip, err := amd.NewChip(simulator.Milan)
	must(t, err)
	g, err := chip.Launch(simulator.GuestConfig{Measurement: [48]byte{7}, NoCerts: true})
	must(t, err)
	rep, err := g.Report([64]byte{9})
	must(t, err)
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		must(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
		return filepath.Join(dir, name)
	}
	report, ark := file("report.bin", rep), file("ark.pem", pemCerts(amd.ARK(simulator.Milan), amd.ASK(simulator.Milan)))
	bundle := filepath.Join(dir, "bundle")
	assay := func(args ...string) (int, string) {
		var out bytes.Buffer
		code := run(context.Background(), args, strings.NewReader(""), &out, &out, func(k string) string {
			return map[string]string{"ASSAY_KDS_URL": kds.URL}[k]
		})
		return code, out.String()
	}
	trust := []string{"--anchor", ark, "--insecure-simulator"}
	verify := append([]string{"verify", report, "--offline", "--nonce", fmt.Sprintf("%x", [64]byte{9}), "--expect", fmt.Sprintf("measurement=%x", [48]byte{7})}, trust...)
	if code, out := assay(verify...); code != 8 {
		t.Fatalf("without the bundle: %d %s", code, out)
	}
	if code, out := assay(append([]string{"collateral", "fetch", report, "-o", bundle}, trust...)...); code != 0 || !strings.Contains(out, "amd-kds /vcek/v1/Milan/") {
		t.Fatalf("fetch: %d %s", code, out)
	}
	key := filepath.Join(dir, "courier.key")
	signed := filepath.Join(dir, "site.bundle")
	for _, args := range [][]string{{"key", "generate", "-o", key}, append([]string{"collateral", "export", report, "--key", key, "-o", signed}, trust...)} {
		if code, out := assay(args...); code != 0 {
			t.Fatalf("%v: %d %s", args, code, out)
		}
	}
	kds.Close()
	moved := filepath.Join(dir, "moved")
	if code, out := assay(append([]string{"collateral", "import", signed, "--key", key + ".pub", "-o", moved}, trust...)...); code != 0 || !strings.Contains(out, "amd-kds") {
		t.Errorf("import: %d %s", code, out)
	}
	if code, out := assay(append(verify, "--collateral", moved)...); code != 0 {
		t.Errorf("with what was imported: %d %s", code, out)
	}
	b, err := os.ReadFile(signed)
	must(t, err)
	b[len(b)/2] ^= 1
	must(t, os.WriteFile(signed, b, 0o600))
	if code, out := assay(append([]string{"collateral", "import", signed, "--key", key + ".pub", "-o", filepath.Join(dir, "no")}, trust...)...); code != 3 && code != 4 {
		t.Errorf("import of a changed bundle: %d %s", code, out)
	}
	if code, out := assay(append(verify, "--collateral", bundle)...); code != 0 || !strings.Contains(out, "AFFIRMING") {
		t.Errorf("with the bundle: %d %s", code, out)
	}
}

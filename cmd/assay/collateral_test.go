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
	kds.Close()
	if code, out := assay(append(verify, "--collateral", bundle)...); code != 0 || !strings.Contains(out, "AFFIRMING") {
		t.Errorf("with the bundle: %d %s", code, out)
	}
}

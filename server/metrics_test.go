package server_test

import (
	"strings"
	"testing"

	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/simulator"
)

func TestMetrics(t *testing.T) {
	w := newWorld(t, func(c *server.Config) { c.Version = "1.2.3" })
	w.put("default/key/1", "", "the secret")
	c := w.client(simulator.GuestConfig{Measurement: good})
	if _, err := c.Attest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), "default/key/1", ""); err != nil {
		t.Fatal(err)
	}
	b := w.client(simulator.GuestConfig{Measurement: bad})
	if _, err := b.Attest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(t.Context(), "default/key/1", ""); err == nil {
		t.Fatal("released")
	}
	w.raw("POST", "/kbs/v0/attest", strings.Repeat("a", 32), "{}")
	for i := range 50 { // paths that strangers invent make no series
		w.raw("GET", "/kbs/v0/resource/a/b/c"+strings.Repeat("x", i), "", "")
		w.raw("BREW", "/kbs/v0/x"+strings.Repeat("x", i), "", "")
	}
	resp, out := w.raw("GET", "/metrics", "", "")
	if resp.StatusCode != 200 || len(out) > 64<<10 {
		t.Fatalf("%d, %d bytes", resp.StatusCode, len(out))
	}
	for _, want := range []string{
		"kbs_auth_requests_total 2", "kbs_auth_successes_total 2", `kbs_attestation_successes_total{tee_type="snp"} 2`, "kbs_attestation_requests_total 3",
		"kbs_resource_reads_total 1", "kbs_policy_approvals_total 1", "kbs_policy_violations_total 1", `kbs_build_info{build_date="",git_hash="",version="1.2.3"} 1`,
		`assay_faults_total{class="denied",reason="policy_denied"} 1`, `assay_releases_total{kind="plain"} 1`, `kbs_http_response_size_bytes_count`,
		`kbs_http_requests_total{method="other",route="/kbs/v0/",status="404"} 50`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s", want)
		}
	}
	if resp, _ := w.raw("POST", "/metrics", "", ""); resp.StatusCode != 405 {
		t.Errorf("POST /metrics: %d", resp.StatusCode)
	}
}

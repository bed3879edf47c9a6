package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The unchanged cases of Oak's manifest: evidence, endorsements and reference values, as a user would give them.
func TestOakManifestOnTheCommandLine(t *testing.T) {
	dir := filepath.Join(vectors(t), "oak")
	b, err := os.ReadFile(filepath.Join(dir, "MANIFEST.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Cases []struct {
			ID, Evidence, Endorsements, Expected, Class, Mutation string
			References                                            string `json:"reference_values"`
			Time                                                  string `json:"verification_time"`
		}
	}
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, c := range m.Cases {
		if c.Evidence == "" || c.Mutation != "" {
			continue
		}
		ran++
		t.Run(c.ID, func(t *testing.T) {
			as := "oak"
			if strings.Contains(c.Expected, "transparent") {
				as = "oak:evidence-transparent"
			}
			code, v := assayJSON(t, "verify", filepath.Join(dir, c.Evidence), "--as", as, "--at", c.Time, "--collateral", filepath.Join(dir, c.Endorsements),
				"--unsigned-statement", filepath.Join(dir, c.References))
			if c.Expected == "pass" {
				c.Class = ""
			}
			checkVerdict(t, code, v, c.Class)
		})
	}
	if ran < 12 {
		t.Errorf("only %d cases ran", ran)
	}
}

// Endorsed by Oak, logged, and bound to the session's key: affirmed, once the operator says that the container is his own
// affair.
func TestOakAffirmed(t *testing.T) {
	dir := filepath.Join(vectors(t), "oak")
	params := filepath.Join(t.TempDir(), "params.json")
	if err := os.WriteFile(params, []byte(`{"oak": {"skip": ["container"]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	const session = "0426ed766df16dfc3417d6ce7b98850ef6ec094fb265760f6eb459e482f93f3e34e166e2cedf90109954a40530b1b0c6b9cfe9096bed5eef9a3aad2f211f539790"
	args := []string{"verify", filepath.Join(dir, "milan_oc_release_evidence.binarypb"), "--at", "2025-08-01T00:00:00Z",
		"--cert", filepath.Join(dir, "milan_oc_release_endorsements.binarypb"),
		"--unsigned-statement", filepath.Join(dir, "derived/milan_oc_release_reference_values_endorsed.binarypb"), "--report-data", session}
	if code, v := assayJSON(t, append(args, "--params", params)...); code != 0 || v.Verdict != "affirming" {
		t.Errorf("exit %d, %s %+v", code, v.Verdict, v.Failures)
	}
	if code, v := assayJSON(t, args...); code != exitNotAffirming || v.Verdict != "warning" {
		t.Errorf("with a layer that nobody vouches for: exit %d, %s", code, v.Verdict)
	}
}

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
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
			text := func(name string) string {
				return filepath.Join(dir, strings.TrimSuffix(name, ".binarypb")+".textproto")
			}
			if head, err := os.ReadFile(text(c.Evidence)); err != nil || !strings.HasPrefix(string(head), "#") || strings.HasPrefix(c.Evidence, "endorsed") {
				return // no text form that says what it is
			}
			ends := text(c.Endorsements)
			if b, err := os.ReadFile(ends); err != nil || !strings.HasPrefix(string(b), "#") {
				ends = filepath.Join(dir, c.Endorsements)
			}
			code, v = assayJSON(t, "verify", text(c.Evidence), "--as", as, "--at", c.Time, "--collateral", ends, "--unsigned-statement", text(c.References))
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

// What `assay measure stage0` predicts and what is attested meet in one verdict: the launch digest as a signed statement
// about the hardware's report, the digests of stage0's event as expectations of the layer above it.
func TestStage0PredictionAndEvidenceMeet(t *testing.T) {
	oak := filepath.Join(vectors(t), "oak")
	dir := t.TempDir()
	key, statement := filepath.Join(dir, "key"), filepath.Join(dir, "statement")
	if out, code := assayRun(t, "key", "generate", "--alg", "ES384", "-o", key); code != 0 {
		t.Fatal(out)
	}
	if out, code := assayRun(t, "measure", "stage0", "--from", "1=195b01b74976a1faba13bd85eaf787958f0a46e6dddd45c5bdbf8673522777842b8057ae5d866b75416efb62012deaa3",
		"--vcpus", "1-4", "--key", key, "--valid-for", "0", "-o", statement); code != 0 {
		t.Fatal(out)
	}
	const line = "console=ttyS0 panic=-1 earlycon=uart,io,0x3F8 brd.rd_nr=1 brd.rd_size=3072000 brd.max_part=1 ip=10.0.2.15:::255.255.255.0::eth0:off net.ifnames=0 quiet"
	out, code := assayRun(t, "measure", "stage0", "--append", line)
	if code != 0 {
		t.Fatal(out)
	}
	hex := regexp.MustCompile(`[0-9a-f]{64}`).FindString(out)
	args := []string{"verify", filepath.Join(oak, "milan_oc_release_evidence.binarypb"), "--at", "2025-08-01T00:00:00Z", "--offline", "--cert", filepath.Join(oak, "milan_oc_release_endorsements.binarypb"),
		"--report-data", "0426ed766df16dfc3417d6ce7b98850ef6ec094fb265760f6eb459e482f93f3e34e166e2cedf90109954a40530b1b0c6b9cfe9096bed5eef9a3aad2f211f539790",
		"--statement", statement, "--anchor", key + ".pub", "--expect", "cmdline=" + hex,
		"--expect", "kernel=936f0a0038062f47309f4fabeb7e57a7ffd8c66f9ec04071f35282dbc021aafc", "--expect", "setup-data=5a5a32aa64c3d58ab64695ff00e2a7cc2398b0bf4f8ee3b798e9e50d2dbaf891",
		"--expect", "initrd=a71ab401387cc6ee19162d7c08097094308c06ff0aa635ce29939ca2aab92f96", "--expect", "system_image=06a6ead26627128d0d8a5fd37cd5a7bb366d8d051a185c2cf9bded9c8fc32f7f"}
	good := "container=f2f9cfe4b90c0c2c287667920b760f847b6ee03f3dcf6feda8419c603f7b0953"
	if out, code := assayRun(t, append(args, "--expect", good)...); code != 0 || !strings.Contains(out, "launch.vcpus = 1") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if out, code := assayRun(t, append(args, "--expect", strings.Replace(good, "f2f9", "f2f8", 1))...); code != exitNotAffirming {
		t.Errorf("another container: exit %d\n%s", code, out)
	}
}

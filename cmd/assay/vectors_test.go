package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

// The vectors' verdicts, through the command line: what a user gets to see, and the exit code that scripts rely on.

func vectors(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set: real vectors are not verified")
	}
	return dir
}

// verdictOf is what `assay verify --format json` says, as far as these tests read it.
type verdictOf struct {
	Verdict  string
	Evidence []struct {
		TEE    string
		Claims map[string]json.RawMessage
	}
	Failures []struct{ Class, What string }
}

// assayJSON runs one command line without a home directory, so that nothing is cached.
func assayJSON(t *testing.T, args ...string) (int, verdictOf) {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(context.Background(), append(args, "--format", "json", "--offline"), strings.NewReader(""), &out, &errs, func(string) string { return "" })
	var v verdictOf
	if err := json.Unmarshal(out.Bytes(), &v); err != nil {
		t.Fatalf("%v: exit %d: %s%s", args, code, out.String(), errs.String())
	}
	return code, v
}

// checkVerdict compares class and exit code with what the manifest states; "" means authentic.
func checkVerdict(t *testing.T, code int, v verdictOf, class string) {
	t.Helper()
	if class == "" {
		if len(v.Failures) > 0 || (code != 0 && code != exitNotAffirming) {
			t.Errorf("exit %d, %+v; authentic expected", code, v.Failures)
		}
		return
	}
	c, ok := fault.ClassByName(class)
	if !ok {
		t.Fatalf("the manifest names an unknown class %q", class)
	}
	if len(v.Failures) != 1 || v.Failures[0].Class != class || code != c.ExitCode() || v.Verdict != "none" {
		t.Errorf("exit %d, verdict %s, %+v; class %s and exit %d expected", code, v.Verdict, v.Failures, class, c.ExitCode())
	}
}

func TestSNPManifestOnTheCommandLine(t *testing.T) {
	dir := filepath.Join(vectors(t), "snp")
	var m struct {
		Cases []struct{ ID, Expect, Class, Report, VEK, Roots, Time, Change string }
	}
	readManifest(t, dir, &m)
	for _, tc := range m.Cases {
		t.Run(tc.ID, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join(dir, tc.Report))
			must(t, err)
			name := filepath.Join(t.TempDir(), "report.bin")
			must(t, os.WriteFile(name, changed(t, raw, tc.Change), 0o600))
			args := []string{"verify", name, "--at", tc.Time, "--anchor", filepath.Join(dir, tc.Roots)}
			if tc.VEK != "" {
				args = append(args, "--cert", filepath.Join(dir, tc.VEK))
			}
			code, v := assayJSON(t, args...)
			if tc.Expect == "authentic" {
				tc.Class = ""
			}
			checkVerdict(t, code, v, tc.Class)
		})
	}
}

func readManifest(t *testing.T, dir string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "MANIFEST.json"))
	must(t, err)
	must(t, json.Unmarshal(b, into))
}

// changed applies the one-step changes of the SNP manifest, which are written in words.
func changed(t *testing.T, raw []byte, change string) []byte {
	t.Helper()
	num := func(s string) int {
		n, err := strconv.ParseInt(s, 0, 64)
		must(t, err)
		return int(n)
	}
	var nums []string
	for _, f := range strings.FieldsFunc(change, func(r rune) bool { return strings.ContainsRune(" ()", r) }) {
		if _, err := strconv.ParseInt(f, 0, 64); err == nil {
			nums = append(nums, f)
		}
	}
	switch {
	case change == "":
	case strings.HasPrefix(change, "xor "):
		raw[num(nums[1])] ^= byte(num(nums[0]))
	case strings.HasPrefix(change, "set byte at offset"):
		raw[num(nums[0])] = byte(num(nums[len(nums)-1]))
	case strings.HasPrefix(change, "set u32 at offset"):
		binary.LittleEndian.PutUint32(raw[num(nums[0]):], uint32(num(nums[1])))
	case strings.HasPrefix(change, "truncate to"):
		raw = raw[:num(nums[0])]
	case change == "append one zero byte":
		raw = append(raw, 0)
	default:
		t.Fatalf("change %q is not understood", change)
	}
	return raw
}

// Every row of the oracle for which a coherent instant and both revocation lists exist.
func TestIntelOracleOnTheCommandLine(t *testing.T) {
	if testing.Short() {
		t.Skip("several hundred quotes")
	}
	dir := filepath.Join(vectors(t), "intel")
	f, err := os.Open(filepath.Join(dir, "oracle.tsv"))
	must(t, err)
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma = '\t'
	rows, err := r.ReadAll()
	must(t, err)
	col := map[string]int{}
	for i, n := range rows[0] {
		col[n] = i
	}
	status := map[string]string{"OK": "UpToDate", "TCB_OUT_OF_DATE": "OutOfDate", "TCB_SW_HARDENING_NEEDED": "SWHardeningNeeded",
		"TCB_CONFIGURATION_NEEDED": "ConfigurationNeeded", "TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED": "ConfigurationAndSWHardeningNeeded",
		"TCB_OUT_OF_DATE_CONFIGURATION_NEEDED": "OutOfDateConfigurationNeeded"}
	seen := 0
	for i, row := range rows[1:] {
		get := func(n string) string { return row[col[n]] }
		if get("coherent_at") == "-" || get("pck_crl") == "-" || get("root_crl") == "-" {
			continue
		}
		seen++
		args := []string{"verify", filepath.Join(dir, get("quote")), "--at", get("coherent_at")}
		for _, n := range []string{"tcb_info", "identity", "pck_crl", "root_crl", "tcb_signing_chain"} {
			args = append(args, "--collateral", filepath.Join(dir, get(n)))
		}
		code, v := assayJSON(t, args...)
		name := fmt.Sprintf("row %d (%s, %s)", i+2, get("quote"), get("tcb_info"))
		if get("intel_qvl_status") == "TCB_NOT_SUPPORTED" {
			if len(v.Failures) != 1 || v.Failures[0].Class != "unsupported" {
				t.Errorf("%s: exit %d %+v, TCB not supported expected", name, code, v.Failures)
			}
			continue
		}
		if len(v.Evidence) != 1 || string(v.Evidence[0].Claims["tcb_status"]) != strconv.Quote(status[get("intel_qvl_status")]) {
			t.Errorf("%s: exit %d %+v, status %s expected", name, code, v.Failures, get("intel_qvl_status"))
		}
	}
	if seen < 100 {
		t.Errorf("only %d rows were run", seen)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// protoField returns the first length-delimited field of a protobuf message.
func protoField(t *testing.T, msg []byte, number uint64) []byte {
	t.Helper()
	for len(msg) > 0 {
		key, n := binary.Uvarint(msg)
		msg = msg[n:]
		v, n := binary.Uvarint(msg)
		msg = msg[n:]
		if key&7 != 2 {
			continue
		}
		if key>>3 == number {
			return msg[:v]
		}
		msg = msg[v:]
	}
	t.Fatalf("no field %d", number)
	return nil
}

func assayRun(t *testing.T, args ...string) (stdout string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), args, strings.NewReader(""), &out, &errs, func(string) string { return "" })
	return out.String() + errs.String(), code
}

// Evidence of real hardware is affirmed against what was predicted, and not against what was predicted for another launch.
func TestPredictedReferenceValuesAffirmRealEvidence(t *testing.T) {
	vectors := os.Getenv("ASSAY_VECTORS")
	if vectors == "" {
		t.Skip("ASSAY_VECTORS is not set: real evidence is not checked")
	}
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(vectors, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	key := filepath.Join(dir, "key")
	if out, code := assayRun(t, "key", "generate", "--alg", "ES384", "-o", key); code != 0 {
		t.Fatal(out)
	}

	report := protoField(t, protoField(t, read("oak/milan_oc_release_evidence.binarypb"), 1), 2)
	vcek := protoField(t, protoField(t, protoField(t, read("oak/milan_oc_release_endorsements.binarypb"), 2), 1), 1)
	snp := []string{write("report", report), "--cert", write("vcek", vcek), "--at", "2025-09-12T12:00:00Z", "--report-data", hex.EncodeToString(report[0x50:0x90])}

	tdx := func(name, at string) []string {
		var x struct {
			Quote string `json:"quote"`
			Data  string `json:"report_data"`
		}
		if err := json.Unmarshal(read("measure/tdx/"+name), &x); err != nil {
			t.Fatal(err)
		}
		q, err := hex.DecodeString(x.Quote)
		if err != nil {
			t.Fatal(err)
		}
		args := []string{write(name, q), "--at", at, "--report-data", x.Data}
		for _, c := range []string{"tcbinfo", "crl", "identity", "chains", "pcs"} {
			args = append(args, "--collateral", filepath.Join(vectors, "intel", c))
		}
		return args
	}
	const milan, milan4 = "1=195b01b74976a1faba13bd85eaf787958f0a46e6dddd45c5bdbf8673522777842b8057ae5d866b75416efb62012deaa3", "4=ef2e9ba020a8d2ce0caf92f17c47cb0cc01b10332f4382e2e0f3971fa72970a781ef694342d04bf77ed8bc4640e75633"
	lite := []string{"tdx", "--from-ccel", filepath.Join(vectors, "measure/tdx/tdx-lite-getquote.json"), "--mrtd", "fd685522ce791dfef67414614eb07d03fc07a32c5a66f36288b329dab92b724b1564c73d436ffb9ea84488c51ac5a1c5"}
	for _, tc := range []struct {
		name     string
		measure  []string
		evidence []string
		code     int
		says     string
	}{
		{"stage0 on Milan, 1 to 64 vCPUs", []string{"stage0", "--from", milan, "--vcpus", "1-64"}, snp, 0, "launch.vcpus = 1"},
		{"stage0 on Milan, other counts", []string{"stage0", "--from", milan4, "--vcpus", "4-64"}, snp, exitNotAffirming, ""},
		{"TDX", lite, tdx("tdx-lite-getquote.json", "2026-05-30T00:00:00Z"), 0, "rtmr"},
		{"TDX with another command line", append(lite, "--cmdline", "other"), tdx("tdx-lite-getquote.json", "2026-05-30T00:00:00Z"), exitNotAffirming, ""},
	} {
		statement := filepath.Join(dir, "statement")
		if out, code := assayRun(t, append(append([]string{"measure"}, tc.measure...), "--key", key, "--valid-for", "0", "-o", statement)...); code != 0 {
			t.Fatalf("%s: measure: %s", tc.name, out)
		}
		out, code := assayRun(t, append(append([]string{"verify"}, tc.evidence...), "--offline", "--statement", statement, "--anchor", key+".pub")...)
		if code != tc.code || !strings.Contains(out, tc.says) {
			t.Errorf("%s: exit %d, want %d\n%s", tc.name, code, tc.code, out)
		}
	}
}

// A range of 512 vCPU counts is one statement that can be admitted.
func TestRangeIsOneAdmissibleStatement(t *testing.T) {
	vectors := os.Getenv("ASSAY_VECTORS")
	if vectors == "" {
		t.Skip("ASSAY_VECTORS is not set")
	}
	dir := t.TempDir()
	key, statement := filepath.Join(dir, "key"), filepath.Join(dir, "statement")
	if out, code := assayRun(t, "key", "generate", "--alg", "ES384", "-o", key); code != 0 {
		t.Fatal(out)
	}
	if out, code := assayRun(t, "measure", "snp", "--ovmf", filepath.Join(vectors, "measure/ovmf/ovmf_AmdSev_suffix.bin"), "--kernel", "/dev/null", "--append", "quiet",
		"--vcpus", "1-512", "--vcpu-type", "EPYC-Milan", "--key", key, "-o", statement); code != 0 {
		t.Fatal(out)
	}
	if out, code := assayRun(t, "corim", "verify", statement, "--anchor", key+".pub"); code != 0 || !strings.Contains(out, "ADMISSIBLE") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// Files that are no artefacts end in a clear class at once, whatever their size.
func TestArtefactsThatAreNoFiles(t *testing.T) {
	dir := t.TempDir()
	sparse := filepath.Join(dir, "sparse")
	f, err := os.Create(sparse)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(4 << 30); err != nil {
		t.Skip("no sparse files here")
	}
	f.Close()
	small := filepath.Join(dir, "small")
	if err := os.WriteFile(small, []byte("not firmware"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, verb := range [][]string{{"snp", "--vcpus", "1", "--vcpu-type", "EPYC", "--ovmf"}, {"tdx", "--firmware"}, {"stage0", "--stage0-rom"}, {"snp", "--igvm"}, {"kernel"}, {"pcr", "--uki"}, {"tdx", "--from-ccel"}, {"pcr", "--from-log"}} {
		for file, code := range map[string]int{sparse: 3, small: 3, dir: 2, filepath.Join(dir, "absent"): 2} {
			if out, got := assayRun(t, append(append([]string{"measure"}, verb...), file)...); got != code {
				t.Errorf("%v %s: exit %d, want %d: %s", verb, filepath.Base(file), got, code, out)
			}
		}
	}
}

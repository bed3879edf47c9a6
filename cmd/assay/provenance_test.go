package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/provenance/dsse"
)

// provenanceWorld is a directory with a builder's key, a publisher's key, a simulated guest and a firmware.
type provenanceWorld struct {
	t       *testing.T
	dir     string
	builder *keys.Private
}

func (w *provenanceWorld) file(name string) string { return filepath.Join(w.dir, name) }

func (w *provenanceWorld) write(name, format string, args ...any) {
	w.t.Helper()
	if err := os.WriteFile(w.file(name), fmt.Appendf(nil, format, args...), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *provenanceWorld) read(name string) string {
	b, err := os.ReadFile(w.file(name))
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// run runs a command line in which @name is a file of the directory.
func (w *provenanceWorld) run(want int, line ...string) string {
	w.t.Helper()
	for i, a := range line {
		if strings.HasPrefix(a, "@") {
			line[i] = w.file(a[1:])
		}
	}
	var out, errs bytes.Buffer
	if got := run(context.Background(), line, strings.NewReader(""), &out, &errs, func(string) string { return "" }); got != want {
		w.t.Fatalf("%s: exit %d, want %d\n%s%s", strings.Join(line, " "), got, want, out.String(), errs.String())
	}
	return out.String() + errs.String()
}

// build writes the builder's word on an artefact.
func (w *provenanceWorld) build(name, artefact, commit string) {
	w.t.Helper()
	d := sha256.Sum256([]byte(artefact))
	payload := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v0.1","subject":[{"name":"OVMF.fd","digest":{"sha256":"%x"}}],
"predicateType":"https://slsa.dev/provenance/v0.2","predicate":{"builder":{"id":"https://builder.example/v1"},"buildType":"https://builder.example/make",
"invocation":{"configSource":{"uri":"git+https://github.com/org/firmware@refs/tags/v1","digest":{"sha1":"%[2]s"}}},
"materials":[{"uri":"git+https://github.com/org/firmware@refs/tags/v1","digest":{"sha1":"%[2]s"}}]}}`, d, commit)
	b, err := dsse.Sign(dsse.PayloadInToto, []byte(payload), "", w.builder.Signer)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(name, "%s", b)
}

// From the firmware file to the commit in the verdict, and the same with what does not belong together.
func TestFromArtefactToCommit(t *testing.T) {
	k, err := keys.Generate(keys.ES256)
	if err != nil {
		t.Fatal(err)
	}
	w := &provenanceWorld{t: t, dir: t.TempDir(), builder: k}
	w.write("builder.pem", "%s", k.Public.PEM())
	w.run(0, "key", "generate", "-o", "@publisher.key")
	w.run(0, "sim", "snp", "@guest", "--key-bits", "2048")
	nonce, m := w.read("guest/nonce"), w.read("guest/measurement")

	const firmware, commit = "firmware of commit one", "4d329c75e7ec1725f7c9ce917a8799d408d06be3"
	d256, d384 := sha256.Sum256([]byte(firmware)), sha512.Sum384([]byte(firmware))
	w.write("OVMF.fd", firmware)
	w.write("launch.json", `{"technology":"sev-snp","inputs":[{"role":"firmware","name":"OVMF.fd","bytes":22,"digest":{"sha256":"%x","sha384":"%x"}}],
"values":[{"name":"measurement","vcpus":1,"alg":"sha384","digest":"%s"}]}`, d256, d384, m)
	w.build("good.jsonl", firmware, commit)
	w.build("other.jsonl", "another firmware", "ffffffffffffffffffffffffffffffffffffffff")
	w.write("expect.json", `{"keys":["builder.pem"],"source_uri":"github.com/org/firmware","builder_id":"https://builder.example/v1","source_tag":"",
"builder_levels":[{"builder":"https://builder.example/","level":3}]}`)
	w.write("demand.json", `{"provenance":{"sources":["github.com/org/firmware"],"builders":["https://builder.example/v1"],"min_level":3,"artefacts":["firmware"]}}`)

	out := w.run(0, "provenance", "verify", "@good.jsonl", "--artifact", "@OVMF.fd", "--expectations", "@expect.json")
	if !strings.Contains(out, commit) {
		t.Error(out)
	}
	w.run(5, "provenance", "verify", "@other.jsonl", "--artifact", "@OVMF.fd", "--expectations", "@expect.json")
	w.run(7, "provenance", "verify", "@good.jsonl", "--artifact", "@OVMF.fd", "--expectations", "@expect.json", "--source-uri", "github.com/org/other")
	w.run(7, "provenance", "verify", "@good.jsonl", "--artifact", "@OVMF.fd", "--expectations", "@expect.json", "--min-level", "4")
	w.run(4, "provenance", "verify", "@good.jsonl", "--artifact", "@OVMF.fd", "--key", "@publisher.key.pub", "--source-uri", "github.com/org/firmware", "--builder-id", "https://builder.example/v1")
	w.run(2, "provenance", "verify", "@good.jsonl", "--expectations", "@expect.json")
	if out := w.run(0, "provenance", "show", "@good.jsonl"); !strings.Contains(out, "NOT VERIFIED") {
		t.Error(out)
	}

	w.run(0, "corim", "create", "--from-measure", "@launch.json", "--provenance", "@good.jsonl", "--id", "fw", "-o", "@fw.cbor")
	w.run(0, "corim", "sign", "@fw.cbor", "--key", "@publisher.key", "--name", "Publisher", "-o", "@fw.corim")
	verify := func(want int, more ...string) string {
		return w.run(want, append([]string{"verify", "@guest", "--anchor", "@guest/ark.pem", "--insecure-simulator", "--nonce", nonce,
			"--statement", "@fw.corim", "--anchor", "@publisher.key.pub"}, more...)...)
	}
	out = verify(0, "--provenance", "@good.jsonl", "--provenance-expect", "@expect.json", "--params", "@demand.json", "--explain")
	for _, s := range []string{"firmware built by https://builder.example/v1 from git+https://github.com/org/firmware at " + commit, "refs/tags/v1", "SLSA build level 3"} {
		if !strings.Contains(out, s) {
			t.Errorf("%q is missing:\n%s", s, out)
		}
	}
	w.run(0, "key", "generate", "-o", "@ear.key")
	if out = verify(0, "--provenance", "@good.jsonl", "--provenance-expect", "@expect.json", "--ear-key", "@ear.key", "--format", "json"); !strings.Contains(out, commit) {
		t.Error(out)
	}
	if out = verify(6, "--params", "@demand.json"); !strings.Contains(out, "linked to a verified build") {
		t.Error(out)
	}
	if out = verify(6, "--provenance", "@other.jsonl", "--provenance-expect", "@expect.json", "--params", "@demand.json"); !strings.Contains(out, "provenance") || strings.Contains(out, "ffffffffff") {
		t.Error(out)
	}
	verify(2, "--provenance", "@good.jsonl")

	// A firmware of another commit: no statement vouches for it, and the trail says which comes nearest.
	w.run(0, "sim", "snp", "@guest2", "--key-bits", "2048", "--measurement", hex.EncodeToString(d384[:]))
	out = w.run(6, "verify", "@guest2", "--anchor", "@guest2/ark.pem", "--insecure-simulator", "--nonce", w.read("guest2/nonce"), "--statement", "@fw.corim",
		"--anchor", "@publisher.key.pub", "--provenance", "@good.jsonl", "--provenance-expect", "@expect.json", "--params", "@demand.json")
	if !strings.Contains(out, "nearest") || strings.Contains(out, "at "+commit) {
		t.Error(out)
	}

	// One statement for several technologies has one CoMID and is admitted all the same.
	w.write("tdx.json", `{"technology":"tdx","inputs":[{"role":"firmware","name":"OVMF.fd","bytes":22,"digest":{"sha256":"%x","sha384":"%x"}}],
"values":[{"name":"mrtd","alg":"sha384","digest":"%x"}]}`, d256, d384, d384)
	w.run(0, "corim", "create", "--from-measure", "@launch.json", "--from-measure", "@tdx.json", "--provenance", "@good.jsonl", "--id", "both", "-o", "@both.cbor")
	w.run(0, "corim", "sign", "@both.cbor", "--key", "@publisher.key", "--name", "Publisher", "-o", "@fw.corim")
	if out = verify(0, "--provenance", "@good.jsonl", "--provenance-expect", "@expect.json", "--params", "@demand.json"); !strings.Contains(out, commit) {
		t.Error(out)
	}

	// Another verifier's summary stands in where that is said.
	w.run(0, "key", "generate", "-o", "@vsa.key")
	w.run(0, "provenance", "verify", "@good.jsonl", "--artifact", "@OVMF.fd", "--expectations", "@expect.json", "--vsa", "@vsa.json", "--vsa-key", "@vsa.key",
		"--vsa-verifier", "https://verifier.example/v1", "--vsa-resource", "pkg:firmware/ovmf")
	summary := []string{"provenance", "verify", "@vsa.json", "--key", "@vsa.key.pub", "--verifier-id", "https://verifier.example/v1", "--resource-uri", "pkg:firmware/ovmf",
		"--subject-digest", fmt.Sprintf("sha256:%x", d256)}
	w.run(0, append(summary, "--verified-level", "SLSA_BUILD_LEVEL_3")...)
	w.run(7, append(summary, "--verified-level", "SLSA_BUILD_LEVEL_4")...)
}

package endorse

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/internal/fault"
	launch "github.com/assay-tee/assay/measure/statement"
	"github.com/assay-tee/assay/provenance"
	"github.com/assay-tee/assay/provenance/dsse"
	"github.com/assay-tee/assay/provenance/slsa"
)

const (
	testBuilder = "https://builder.example/v1"
	testSource  = "github.com/org/firmware"
)

func sha(s string) (d256, d384 string) {
	a, b := sha256.Sum256([]byte(s)), sha512.Sum384([]byte(s))
	return hex.EncodeToString(a[:]), hex.EncodeToString(b[:])
}

// built is a build of artefact at commit, signed by k, and its file.
func built(t testing.TB, k *ecdsa.PrivateKey, artefact, commit string) (*provenance.Verdict, []byte) {
	t.Helper()
	d, _ := sha(artefact)
	payload := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v0.1","subject":[{"name":"%[1]s","digest":{"sha256":"%[2]s"}}],
"predicateType":"https://slsa.dev/provenance/v0.2","predicate":{"builder":{"id":"%[3]s"},"buildType":"https://builder.example/make",
"invocation":{"configSource":{"uri":"git+https://%[4]s@refs/tags/v1","digest":{"sha1":"%[5]s"}}},
"materials":[{"uri":"git+https://%[4]s@refs/tags/v1","digest":{"sha1":"%[5]s"}}]}}`, artefact, d, testBuilder, testSource, commit)
	return signed(t, k, []byte(payload))
}

func signed(t testing.TB, k *ecdsa.PrivateKey, payload []byte) (*provenance.Verdict, []byte) {
	t.Helper()
	file, err := dsse.Sign(dsse.PayloadInToto, payload, "", k)
	if err != nil {
		t.Fatal(err)
	}
	a, err := dsse.Attest(file, []dsse.Key{{Name: "builder", Public: k.Public()}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	v, err := provenance.Judge(a, slsa.Expectation{Source: testSource, Builder: testBuilder}, provenance.Levels{{Prefix: testBuilder, Level: 2}})
	if err != nil {
		t.Fatal(err)
	}
	return v, file
}

// predicted is what "assay measure" would say of a firmware: two values, for one and two vCPUs.
func predicted(firmware string) *launch.Prediction {
	d256, d384 := sha(firmware)
	p := &launch.Prediction{Technology: launch.SNP, Inputs: []launch.Input{{Role: "firmware", Name: firmware, Digests: launch.Digests{SHA256: d256, SHA384: d384}}}}
	for n := 1; n <= 2; n++ {
		m := sha512.Sum384(fmt.Appendf(nil, "%s with %d", firmware, n))
		p.Values = append(p.Values, launch.Value{Name: "measurement", VCPUs: n, Alg: "sha384", Digest: m[:]})
	}
	return p
}

func predictedManifest(t testing.TB, firmware ...string) *corim.Manifest {
	t.Helper()
	var out *corim.Manifest
	for _, f := range firmware {
		m, err := predicted(f).Manifest(launch.Options{ID: "firmware"})
		if err != nil {
			t.Fatal(err)
		}
		if out == nil {
			out = m
			continue
		}
		a, b := &out.CoMIDs[0].Triples, &m.CoMIDs[0].Triples
		a.Reference, a.Series = append(a.Reference, b.Reference...), append(a.Series, b.Series...)
	}
	return out
}

func signManifest(t testing.TB, m *corim.Manifest, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	b, err := corim.Encode(m, corim.Options{Profiles: profiles.All()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := corim.Sign(b, k, corim.SignOptions{SignerName: "Example Firmware"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// dependOn names a file as dependent RIM.
func dependOn(m *corim.Manifest, file []byte) *corim.Manifest {
	d := sha256.Sum256(file)
	m.DependentRIMs = []corim.Locator{{HRefs: []string{"https://example.com/x"}, Thumbprints: []claim.Digest{{Alg: claim.SHA256, Value: d[:]}}}}
	return m
}

func TestBuildsAreLinkedByDigest(t *testing.T) {
	k, builder := newKey(t), newKey(t)
	good, goodFile := built(t, builder, "OVMF.fd", "c1")
	var toto bytes.Buffer
	if err := predicted("OVMF.fd").WriteInToto(&toto); err != nil {
		t.Fatal(err)
	}
	measuredBy, _ := signed(t, builder, toto.Bytes())
	// bare is the statement without any word on what the values were made from.
	bare := func(firmware ...string) *corim.Manifest {
		m := predictedManifest(t, firmware...)
		m.CoMIDs[0].Triples.Series = nil
		return m
	}
	for _, tc := range []struct {
		name  string
		known []*provenance.Verdict
		m     *corim.Manifest
		want  string // artefact and commit of the links
		warn  bool
	}{
		{"nothing known", nil, predictedManifest(t, "OVMF.fd"), "", false},
		{"the firmware's build", []*provenance.Verdict{good}, predictedManifest(t, "OVMF.fd"), "firmware c1", false},
		{"another firmware", []*provenance.Verdict{good}, predictedManifest(t, "other.fd"), "", false},
		{"two firmwares in one tag, one build", []*provenance.Verdict{good}, predictedManifest(t, "OVMF.fd", "other.fd"), "", true},
		{"a measurement statement leads to the build", []*provenance.Verdict{good, measuredBy}, bare("OVMF.fd"), "firmware c1", false},
		{"a measurement statement without a build", []*provenance.Verdict{measuredBy}, bare("OVMF.fd"), "", false},
		{"a measurement statement about some of the values", []*provenance.Verdict{good, measuredBy}, bare("OVMF.fd", "other.fd"), "", true},
		{"named by the statement's signer", []*provenance.Verdict{good}, dependOn(bare("x.fd"), goodFile), "statement c1", false},
		{"named, but the statement says other files", []*provenance.Verdict{good}, dependOn(predictedManifest(t, "other.fd"), goodFile), "", true},
		{"another file is named", []*provenance.Verdict{good}, dependOn(bare("x.fd"), []byte("other")), "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBuilder(t, Config{Anchors: []*Anchor{anchor("p", k)}, Profiles: profiles.All()})
			for _, v := range tc.known {
				if err := b.AddProvenance(v); err != nil {
					t.Fatal(err)
				}
			}
			r := admit(t, b, signManifest(t, tc.m, k))
			var got []string
			for _, l := range r.Provenance {
				got = append(got, l.Artefact+" "+l.Commit)
				if l.Builder != testBuilder || l.Level != 2 || l.Source != "git+https://"+testSource {
					t.Errorf("%+v", l)
				}
			}
			if s := strings.Join(got, ", "); s != tc.want {
				t.Errorf("links %q, want %q", s, tc.want)
			}
			warned := false
			for _, w := range r.Warnings {
				warned = warned || strings.Contains(w, "a build is known")
			}
			if warned != tc.warn {
				t.Errorf("warnings %q", r.Warnings)
			}
		})
	}
}

// One tag for all vCPU counts: the build of the one firmware stands beside every value.
func TestBuildStandsBesideEveryValue(t *testing.T) {
	k, builder := newKey(t), newKey(t)
	good, _ := built(t, builder, "OVMF.fd", "c1")
	b := newBuilder(t, Config{Anchors: []*Anchor{anchor("p", k)}, Profiles: profiles.All()})
	if err := b.AddProvenance(good); err != nil {
		t.Fatal(err)
	}
	r := admit(t, b, signManifest(t, predictedManifest(t, "OVMF.fd"), k))
	if len(r.Provenance) != 1 || r.Relations < 4 {
		t.Errorf("%d links, %d relations", len(r.Provenance), r.Relations)
	}
	refs := 0
	for _, s := range b.Set().segments {
		for _, e := range s.entries {
			if ref, ok := e.rel.(*Reference); ok {
				refs++
				if len(ref.Source.Provenance) != 1 {
					t.Errorf("%v has %d links", ref.Elements, len(ref.Source.Provenance))
				}
			}
		}
	}
	if refs == 0 {
		t.Error("no reference value")
	}
}

func TestUnverifiedProvenanceIsRefused(t *testing.T) {
	b := newBuilder(t, Config{})
	for _, v := range []*provenance.Verdict{nil, {Kind: provenance.KindBuild, Builder: testBuilder}} {
		refused(t, "made by hand", b.AddProvenance(v), fault.Internal)
	}
}

// BenchmarkAdmitAmongBuilds: what is known of other artefacts costs an admission nothing. x-peer is the ratio to an
// admission where nothing is known.
func BenchmarkAdmitAmongBuilds(b *testing.B) {
	k, builder := newKey(b), newKey(b)
	good, _ := built(b, builder, "OVMF.fd", "c1")
	data := signManifest(b, predictedManifest(b, "OVMF.fd"), k)
	cfg := Config{Anchors: []*Anchor{anchor("p", k)}, Profiles: profiles.All()}
	var known builds
	fill := newBuilder(b, cfg)
	if err := fill.AddProvenance(good); err != nil {
		b.Fatal(err)
	}
	for i := range 100_000 {
		v := *good
		d, _ := sha(fmt.Sprint(i))
		v.SHA256, v.Subjects = d, []provenance.Subject{{Digest: map[string]string{"sha256": d}}}
		if err := fill.AddProvenance(&v); err != nil {
			b.Fatal(err)
		}
	}
	known = fill.builds
	run := func(b *testing.B, known builds) {
		b.ReportAllocs()
		for b.Loop() {
			x := newBuilder(b, cfg)
			x.builds = known
			if _, err := x.Admit(data); err != nil {
				b.Fatal(err)
			}
		}
	}
	var none float64
	b.Run("none", func(b *testing.B) { run(b, builds{}); none = float64(b.Elapsed()) / float64(b.N) })
	b.Run("100000", func(b *testing.B) {
		run(b, known)
		b.ReportMetric(float64(b.Elapsed())/float64(b.N)/none, "x-peer")
	})
}

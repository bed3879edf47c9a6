package check

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/provenance/internal/vectors"
	"github.com/assay-tee/assay/provenance/intoto"
	"github.com/assay-tee/assay/provenance/sigstore"
)

func find(t testing.TB, id string) *vectors.Case {
	for _, c := range vectors.Cases(t) {
		if c.ID == id {
			return &c
		}
	}
	t.Fatalf("no case %s", id)
	return nil
}

// Each line breaks one thing of a good bundle or expectation.
func TestGoodBundleWrongExpectation(t *testing.T) {
	c := find(t, "slsa-gha_go-binary-linux-amd64-push-v14")
	for _, tc := range []struct {
		name   string
		change func(*Config)
		class  fault.Class
	}{
		{"another artefact", func(c *Config) {
			c.Artefact = &sigstore.Artefact{Digests: intoto.Digests{"sha256": strings.Repeat("00", 32)}}
		}, fault.Binding},
		{"a longer source", func(c *Config) { c.Build.Source += "2" }, fault.Policy},
		{"a shorter source", func(c *Config) { c.Build.Source = strings.TrimSuffix(c.Build.Source, "e") }, fault.Policy},
		{"no source", func(c *Config) { c.Build.Source = "" }, fault.Usage},
		{"another predicate type", func(c *Config) { c.PredicateType = "https://slsa.dev/provenance/v1" }, fault.Policy},
		{"a level that nobody grants", func(c *Config) { c.MinLevel = 4 }, fault.Policy},
		{"too old", func(c *Config) { c.MaxAge, c.Now = time.Hour, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }, fault.Stale},
		{"from the future", func(c *Config) { c.MaxAge, c.Now = time.Hour, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) }, fault.Stale},
		{"another identity", func(c *Config) {
			c.Identity = sigstore.Identity{SAN: "x", Issuer: "https://token.actions.githubusercontent.com"}
		}, fault.Policy},
		{"another issuer", func(c *Config) {
			c.Identity = sigstore.Identity{SANRegexp: ".*", Issuer: "https://accounts.google.com"}
		}, fault.Policy},
		{"an expression that matches a part", func(c *Config) {
			c.Identity = sigstore.Identity{SANRegexp: "https://github.com/slsa-framework/slsa-github-generator", IssuerRegexp: ".*"}
		}, fault.Policy},
		{"an identity without issuer", func(c *Config) { c.Identity = sigstore.Identity{SANRegexp: ".*"} }, fault.Usage},
		{"inputs of a build that had none", func(c *Config) { c.Build.Inputs = map[string]string{"a": "b"} }, fault.Policy},
		{"no trusted root", func(c *Config) { c.TrustedRoot = nil }, fault.Usage},
		{"a trusted root of another version", func(c *Config) {
			c.TrustedRoot = bytes.Replace(c.TrustedRoot, []byte("version=0.1"), []byte("version=1.0"), 1)
		}, fault.Malformed},
		{"a summary is expected", func(c *Config) { c.Summary = nil; c.PredicateType = "https://slsa.dev/verification_summary/v1" }, fault.Policy},
	} {
		file, cfg := config(t, c)
		if _, err := File(file, cfg); err != nil {
			t.Fatal(err)
		}
		tc.change(&cfg)
		if _, err := File(file, cfg); !fault.Is(err, tc.class) {
			t.Errorf("%s: class %s, want %s: %v", tc.name, fault.ClassOf(err), tc.class, err)
		}
	}
}

// A payload whose text differs from what was signed, and parts taken from elsewhere.
func TestChangedBundles(t *testing.T) {
	c := find(t, "slsa-gha_go-binary-linux-amd64-push-v14")
	edit := func(file []byte, f func(m map[string]any)) []byte {
		var m map[string]any
		if err := json.Unmarshal(file, &m); err != nil {
			t.Fatal(err)
		}
		f(m)
		b, _ := json.Marshal(m)
		return b
	}
	entry := func(m map[string]any) map[string]any {
		return m["verificationMaterial"].(map[string]any)["tlogEntries"].([]any)[0].(map[string]any)
	}
	for _, tc := range []struct {
		name   string
		change func(map[string]any)
		class  fault.Class
	}{
		{"payload", func(m map[string]any) {
			e := m["dsseEnvelope"].(map[string]any)
			p, _ := base64.StdEncoding.DecodeString(e["payload"].(string))
			e["payload"] = base64.StdEncoding.EncodeToString(bytes.Replace(p, []byte("f6ab7ad0"), []byte("f6ab7ad1"), 1))
		}, fault.Signature},
		{"entry of another index", func(m map[string]any) { entry(m)["logIndex"] = "1" }, fault.Signature},
		{"entry time moved by a second", func(m map[string]any) { entry(m)["integratedTime"] = "1740517926" }, fault.Signature},
		{"no entry", func(m map[string]any) { m["verificationMaterial"].(map[string]any)["tlogEntries"] = []any{} }, fault.Unavailable},
		{"entry twice", func(m map[string]any) {
			v := m["verificationMaterial"].(map[string]any)
			v["tlogEntries"] = append(v["tlogEntries"].([]any), v["tlogEntries"].([]any)[0])
		}, fault.Malformed},
		{"of a log that the root does not have", func(m map[string]any) {
			entry(m)["logId"] = map[string]any{"keyId": base64.StdEncoding.EncodeToString(make([]byte, 32))}
		}, fault.Signature},
	} {
		file, cfg := config(t, c)
		if _, err := File(edit(file, tc.change), cfg); !fault.Is(err, tc.class) {
			t.Errorf("%s: class %s, want %s: %v", tc.name, fault.ClassOf(err), tc.class, err)
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"certificate":{"rawBytes":"AA=="},"tlogEntries":[]},"dsseEnvelope":{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"AA=="}]}}`))
	f.Add([]byte(`{"attestations":[{"predicateType":"https://slsa.dev/provenance/v1","bundle":{}}]}`))
	f.Add([]byte(`{"image_summary":{"digest":"sha256:00"},"provenance_summary":{"provenance":[{"kind":"BUILD","envelope":{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"keyid":"x","sig":"AA=="}]}}]}}`))
	root := []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`)
	f.Fuzz(func(t *testing.T, b []byte) {
		cfg := Config{TrustedRoot: root, Artefact: &sigstore.Artefact{Digests: intoto.Digests{"sha256": strings.Repeat("00", 32), "sha512": strings.Repeat("00", 64)}}}
		cfg.Build.Source = "github.com/a/b"
		if _, err := File(b, cfg); err == nil {
			t.Error("accepted under nobody's key")
		}
	})
}

// BenchmarkBundle is one bundle offline. Its checks are six ECDSA signatures (entry timestamp, checkpoint, certificate, its
// authority, SCT, envelope), most of them P-256 and two P-384; x-floor is the ratio to four P-256 and two P-384 checks.
func BenchmarkBundle(b *testing.B) {
	file, cfg := config(b, find(b, "slsa-gha_go-binary-linux-amd64-push-v14"))
	var floor float64
	b.Run("signatures", func(b *testing.B) {
		type signed struct {
			key *ecdsa.PublicKey
			sig []byte
		}
		var all []signed
		digest := make([]byte, 48)
		for _, x := range []struct {
			c elliptic.Curve
			n int
		}{{elliptic.P256(), 4}, {elliptic.P384(), 2}} {
			k, err := ecdsa.GenerateKey(x.c, rand.Reader)
			if err != nil {
				b.Fatal(err)
			}
			sig, err := ecdsa.SignASN1(rand.Reader, k, digest)
			if err != nil {
				b.Fatal(err)
			}
			for range x.n {
				all = append(all, signed{&k.PublicKey, sig})
			}
		}
		for b.Loop() {
			for _, s := range all {
				if !ecdsa.VerifyASN1(s.key, digest, s.sig) {
					b.Fatal("does not verify")
				}
			}
		}
		floor = float64(b.Elapsed()) / float64(b.N)
	})
	b.Run("bundle", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := File(file, cfg); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed())/float64(b.N)/floor, "x-floor")
	})
}

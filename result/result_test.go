package result_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"testing"
	"time"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence/evidencetest"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/keys"
	"github.com/assay-tee/assay/policy"
	"github.com/assay-tee/assay/policy/rego"
	"github.com/assay-tee/assay/result"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// world is one affirmed guest with everything that a result is made of.
type world struct {
	appraisal *appraise.Appraisal
	decision  *policy.Decision
	key       *keys.Private
	bound     *keys.Private // the key in REPORT_DATA
}

func newWorld(t testing.TB, change func(*evidencetest.Content)) world {
	t.Helper()
	w := world{key: generate(t, keys.ES256), bound: generate(t, keys.ES256)}
	image := sha512.Sum384([]byte("image"))
	c := evidencetest.Content{
		TEE: "snp", Product: "Milan", Time: now,
		ECTs: []claim.ECT{{
			Environment: claim.Environment{Class: claim.Class{ID: claim.Bytes(claim.TagOID, []byte{0x2b, 6, 1, 4, 1, 0x9c, 0x78, 3, 1})}},
			Authority:   claim.Authority{claim.Bytes(claim.TagBytes, []byte("VEK"))}, CMType: claim.CMEvidence,
			Elements: []claim.Element{{Key: claim.Uint(641), Name: "measurement", Field: "MEASUREMENT", Values: claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: image[:]}}}}},
		}},
		Claims: func() claim.Object {
			return claim.Object{{Name: "measurement", Value: claim.H(image[:])}, {Name: "vmpl", Value: claim.U(0)},
				{Name: "policy", Value: claim.O(claim.Member{Name: "debug", Value: claim.B(false)}, claim.Member{Name: "migrate_ma", Value: claim.B(false)})},
				{Name: "report_id_ma", Value: claim.H(bytes.Repeat([]byte{0xff}, 32))},
				{Name: "current_version", Value: claim.S("1.55.29")}, {Name: "committed_version", Value: claim.S("1.55.29")},
				{Name: "chip_binding", Value: claim.S("hwid")}, {Name: "signing_key", Value: claim.S("vcek")}}
		},
	}
	c.Root.Name, c.Root.BuiltIn = "ARK-Milan", true
	c.Binding.Bound, c.Binding.Field, c.Binding.Value, c.Binding.Key = true, "REPORT_DATA", bytes.Repeat([]byte{7}, 64), w.bound.Public.SPKI()
	if change != nil {
		change(&c)
	}
	b, err := endorse.NewBuilder(endorse.Config{Time: now})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Local("local operator", "", []endorse.Expectation{{Name: "measurement", Values: [][]byte{image[:]}}}); err != nil {
		t.Fatal(err)
	}
	if w.appraisal, err = appraise.Appraise([]appraise.Input{{Verified: evidencetest.New(t, c)}}, b.Set()); err != nil {
		t.Fatal(err)
	}
	p, err := rego.Builtin(rego.Params{})
	if err != nil {
		t.Fatal(err)
	}
	if w.decision, err = p.Decide(context.Background(), w.appraisal, policy.Acceptable()); err != nil {
		t.Fatal(err)
	}
	return w
}

func generate(t testing.TB, alg keys.Alg) *keys.Private {
	t.Helper()
	k, err := keys.Generate(alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (w world) issue(t testing.TB, cfg result.IssuerConfig, o result.Options) []byte {
	t.Helper()
	if cfg.Key == nil {
		cfg.Key = w.key
	}
	i, err := result.NewIssuer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := i.Issue(w.appraisal, w.decision, o)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestRoundTrip(t *testing.T) {
	w := newWorld(t, nil)
	nonce := bytes.Repeat([]byte{9}, 32)
	for _, alg := range keys.Algs() {
		k := generate(t, alg)
		for _, p := range []result.Profile{result.ProfileEAR, result.ProfileVeraison, result.ProfileTrustee} {
			if p == result.ProfileTrustee && alg != keys.ES256 {
				continue
			}
			tok := w.issue(t, result.IssuerConfig{Key: k, Profile: p}, result.Options{Nonce: nonce, Confirm: true})
			a, err := result.Verify(tok, result.VerifyConfig{Keys: []keys.Public{k.Public}, Time: now, Profiles: []result.Profile{p}, Nonce: nonce, Labels: []string{"snp"}, BoundKey: w.bound.Public.SPKI()})
			if err != nil {
				t.Fatalf("%s %s: %v\n%s", alg, p, err, tok)
			}
			if a.Status() != claim.TierAffirming {
				t.Errorf("%s %s: %v", alg, p, a.Status())
			}
			s, _ := a.Submod("snp")
			if v := s.Vector(); v[claim.Executables].V != 3 || v[claim.Hardware].V != 2 {
				t.Errorf("%s %s: %v", alg, p, v)
			}
			if m, ok := s.Trail().Get("measurement"); !ok || len(m.Object()) == 0 {
				t.Errorf("%s %s: no trail", alg, p)
			}
		}
	}
	tok := w.issue(t, result.IssuerConfig{}, result.Options{})
	if _, err := result.Verify(tok, result.VerifyConfig{Keys: []keys.Public{generate(t, keys.ES256).Public}, Time: now}); !fault.Is(err, fault.Signature) {
		t.Errorf("key of somebody else: %v", err)
	}
}

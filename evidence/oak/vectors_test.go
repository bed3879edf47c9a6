package oak_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/oak"
	"github.com/assay-tee/assay/internal/fault"
)

var mid = time.Date(2025, 9, 12, 12, 0, 0, 0, time.UTC)

func vector(t testing.TB, name string) []byte {
	t.Helper()
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is unset: real evidence is not at hand")
	}
	b, err := os.ReadFile(filepath.Join(dir, "oak", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newDriver(t testing.TB, cfg oak.Config) *oak.Driver {
	t.Helper()
	d, err := oak.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func unbound(at time.Time) evidence.Env {
	return evidence.Env{Time: at, Binding: evidence.UnboundUnsafe(), Anchors: evidence.BuiltinAnchors()}
}

// check authenticates, and wants either success or a refusal of that class ("" is success).
func check(t testing.TB, d *oak.Driver, ev evidence.Evidence, env evidence.Env, class string) *evidence.Verified {
	t.Helper()
	v, err := d.Authenticate(context.Background(), ev, env)
	switch {
	case class == "" && err != nil:
		t.Fatalf("refused: %v", err)
	case class != "" && err == nil:
		t.Fatalf("accepted, want class %s", class)
	case class != "":
		if got := fault.ClassOf(err).String(); got != class {
			t.Fatalf("class %s, want %s: %v", got, class, err)
		}
	}
	return v
}

func claimText(t testing.TB, v *evidence.Verified, name string) string {
	t.Helper()
	for _, c := range v.Claims() {
		if c.Name == name {
			b, err := json.Marshal(c.Value)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
	}
	return ""
}

func TestRealEvidence(t *testing.T) {
	d := newDriver(t, oak.Config{})
	for _, tc := range []struct {
		name, endorsements string
		at                 time.Time
		shape              oak.Shape
		root               string
		claims             map[string]string
	}{
		{"milan_oc_release_evidence.binarypb", "milan_oc_release_endorsements.binarypb", mid, oak.ShapeContainers, "ARK-Milan", map[string]string{
			"certificate_aad": `"none"`, "platform": `"AMD_SEV_SNP"`,
			"kernel_cmdline": `"console=ttyS0 panic=-1 earlycon=uart,io,0x3F8 brd.rd_nr=1 brd.rd_size=3072000 brd.max_part=1 ip=10.0.2.15:::255.255.255.0::eth0:off net.ifnames=0 quiet"`}},
		{"milan_oc_staging_evidence.binarypb", "milan_oc_staging_endorsements.binarypb", mid, oak.ShapeContainers, "ARK-Milan", nil},
		{"genoa_oc_evidence.binarypb", "genoa_oc_endorsements.binarypb", mid, oak.ShapeContainers, "ARK-Genoa", nil},
		{"cb_evidence.binarypb", "cb_endorsements.binarypb", mid, oak.ShapeCB, "ARK-Milan", nil},
		{"fake_evidence.binarypb", "fake_endorsements.binarypb", time.Date(2025, 9, 17, 2, 23, 13, 500e6, time.UTC), oak.ShapeContainers, "none (insecure)", map[string]string{
			"kernel": `"f9d0584247b46cc234a862aa8cd08765b38405022253a78b9af189c4cedbe447"`}},
		{"endorsed_evidence/evidence.binarypb", "endorsed_evidence/endorsements.binarypb", time.Unix(0, 0), oak.ShapeContainers, "none (insecure)", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ev := evidence.Evidence{Data: vector(t, tc.name), Endorsements: [][]byte{vector(t, tc.endorsements)}}
			if format, ok := oak.Detect(ev.Data); !ok || format != oak.FormatEvidence {
				t.Errorf("not recognised: %q", format)
			}
			v := check(t, d, ev, unbound(tc.at), "")
			if v.Product() != string(tc.shape) || v.Root().Name != tc.root {
				t.Errorf("product %q, root %q", v.Product(), v.Root().Name)
			}
			for name, want := range tc.claims {
				if got := claimText(t, v, name); got != want {
					t.Errorf("%s is %s, want %s", name, got, want)
				}
			}
			if hardware := tc.root[0] == 'A'; hardware != (len(v.Parts()) == 1) || hardware == (v.Unsafe()[0] == oak.UnsafeNoRoot) {
				t.Errorf("parts %v, unsafe %v", v.Parts(), v.Unsafe())
			}
			check(t, newDriver(t, oak.Config{AAD: oak.AADPurpose}), ev, unbound(tc.at), "signature")
			check(t, newDriver(t, oak.Config{AAD: oak.AADLegacy}), ev, unbound(tc.at), "")
			if _, err := d.Inspect(ev); err != nil {
				t.Error(err)
			}
		})
	}
}

// A transparent log must have an event for each layer too.
func TestTransparentLogOfAnotherLength(t *testing.T) {
	ev := evidence.Evidence{Data: vector(t, "endorsed_evidence/evidence.binarypb"), Format: oak.FormatTransparent}
	check(t, newDriver(t, oak.Config{}), ev, unbound(time.Unix(0, 0)), "binding")
}

// A key that nobody configured is no root; one that is configured carries a mark that is never affirmed.
func TestSoftwareRoot(t *testing.T) {
	ev := evidence.Evidence{Data: vector(t, "cb_evidence_software_rooted.binarypb")}
	d := newDriver(t, oak.Config{})
	check(t, d, ev, unbound(time.Unix(1000, 0)), "unsupported")
	in, err := d.Inspect(ev)
	if err != nil {
		t.Fatal(err)
	}
	var layers []struct {
		PublicKey string `json:"public_key"`
	}
	for _, c := range in.Claims {
		if c.Name == "layers" {
			b, err := json.Marshal(c.Value)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(b, &layers); err != nil {
				t.Fatal(err)
			}
		}
	}
	point, err := hex.DecodeString(layers[0].PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	a, err := evidence.NewAnchors(evidence.AnchorsConfig{Keys: []evidence.AnchorKey{{TEE: oak.Name, Name: "lab", Key: key}}})
	if err != nil {
		t.Fatal(err)
	}
	env := unbound(time.Unix(1000, 0))
	env.Anchors = a
	if v := check(t, d, ev, env, ""); v.Root().Name != "lab" || v.Unsafe()[0] != oak.UnsafeSoftwareRoot {
		t.Errorf("root %+v, unsafe %v", v.Root(), v.Unsafe())
	}
}

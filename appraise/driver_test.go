package appraise

import (
	"context"
	"testing"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/corim/profiles/amdsnp"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/snp"
	"github.com/assay-tee/assay/simulator"
)

// simulated boots a guest with the example measurement and authenticates it with the real driver.
func simulated(t testing.TB) *evidence.Verified {
	t.Helper()
	amd, err := simulator.NewAMD(simulator.AMDConfig{KeyBits: 2048, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	chip, err := amd.NewChip(amd.Products()[0])
	if err != nil {
		t.Fatal(err)
	}
	guest, err := chip.Launch(simulator.GuestConfig{Measurement: [48]byte(unhex(t, exampleMeasurement))})
	if err != nil {
		t.Fatal(err)
	}
	data := [64]byte{1, 2, 3}
	ev, err := guest.Evidence(data)
	if err != nil {
		t.Fatal(err)
	}
	d, err := snp.New(snp.Config{})
	if err != nil {
		t.Fatal(err)
	}
	anchors, err := evidence.NewAnchors(amd.Anchors())
	if err != nil {
		t.Fatal(err)
	}
	bind, err := evidence.ExpectExact(data[:])
	if err != nil {
		t.Fatal(err)
	}
	v, err := d.Authenticate(context.Background(), ev, evidence.Env{Time: now, Binding: bind, Anchors: anchors})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// What the driver delivers is what a statement under AMD's profile speaks of.
func TestDriverEvidence(t *testing.T) {
	v := simulated(t)
	statement := func(m []byte) *endorse.Set {
		b, err := endorse.NewBuilder(endorse.Config{Time: now, Profiles: profiles.All()})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := corim.Encode(&corim.Manifest{ID: claim.Text(claim.TagNone, "m"), Profile: amdsnp.ID, CoMIDs: []corim.CoMID{{TagIdentity: corim.TagIdentity{TagID: claim.Text(claim.TagNone, "t")},
			Triples: corim.Triples{Reference: []corim.ValueTriple{{Environment: amdsnp.Class(false), Elements: []claim.Element{
				{Key: claim.Uint(amdsnp.KeyMeasurement), Values: claim.Values{Digests: []claim.Digest{{Alg: claim.SHA384, Value: m}}}}}}}}}}}, corim.Options{Profiles: profiles.All()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.AdmitUnsigned(raw, "admin"); err != nil {
			t.Fatal(err)
		}
		return b.Set()
	}
	if l := appraise1(t, v, statement(unhex(t, exampleMeasurement))).line(t, "measurement"); !l.Accepted || l.Field == "" {
		t.Errorf("%+v %+v", l, l.Nearest)
	}
	l := appraise1(t, v, statement(make([]byte, 48))).line(t, "measurement")
	if l.Accepted || l.Nearest == nil || l.Nearest.What != "measurement" {
		t.Errorf("%+v %+v", l, l.Nearest)
	}
	b, err := endorse.NewBuilder(endorse.Config{Time: now})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Local("operator", "", []endorse.Expectation{{Name: "measurement", Values: [][]byte{unhex(t, exampleMeasurement)}}, {Name: "host-data", Values: [][]byte{make([]byte, 32)}}}); err != nil {
		t.Fatal(err)
	}
	if a := appraise1(t, v, b.Set()); !a.line(t, "measurement").Accepted || !a.line(t, "host_data").Accepted || len(a.Unmet) > 0 {
		t.Errorf("%+v", a.Unmet)
	}
}

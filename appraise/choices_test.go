package appraise

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence/evidencetest"
)

// A2: the authority of the whole series wins over that of an item.
func TestSeriesAuthority(t *testing.T) {
	item := func(by claim.Authority) corim.SeriesItem {
		e := svn(1, 0, true)
		e.AuthorizedBy = by
		return corim.SeriesItem{Condition: []claim.Element{e}, Addition: []claim.Element{named("s", "1")}}
	}
	ark, other := claim.Authority{claim.Bytes(claim.TagBytes, []byte("ARK"))}, claim.Authority{claim.Bytes(claim.TagBytes, []byte("other"))}
	for _, tc := range []struct {
		name         string
		common, item claim.Authority
		want         string
	}{
		{"none", nil, nil, "s=1"}, {"common met", ark, nil, "s=1"}, {"common missed", other, nil, ""}, {"item met", nil, ark, "s=1"}, {"item missed", nil, other, ""},
		{"common met, item would be missed", ark, other, "s=1"}, {"common missed, item would be met", other, ark, ""},
	} {
		m := &corim.Manifest{ID: claim.Text(claim.TagNone, "m"), CoMIDs: []corim.CoMID{{TagIdentity: corim.TagIdentity{TagID: claim.Text(claim.TagNone, "t")},
			Triples: corim.Triples{Series: []corim.SeriesTriple{{Environment: env("e"), AuthorizedBy: tc.common, Items: []corim.SeriesItem{item(tc.item)}}}}}}}
		raw, err := corim.Encode(m, corim.Options{})
		if err != nil {
			t.Fatal(err)
		}
		b := builder(t)
		if _, err := b.AdmitUnsigned(raw, "admin"); err != nil {
			t.Fatal(err)
		}
		ev := claim.ECT{Environment: env("e"), CMType: claim.CMEvidence, Authority: ekAuth, Elements: []claim.Element{svn(1, 5, false)}}
		if got := endorsedNames(appraise1(t, verified(t, ev), b.Set())); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// A33: an endorsement may rest on what a reference value provider said, by his authority.
func TestEndorsementOfWhatIsCorroborated(t *testing.T) {
	cond1 := cond(env("e"), svn(1, 5, false))
	cond1.Authority = claim.Authority{claim.Bytes(claim.TagBytes, []byte("provider"))}
	ev := claim.ECT{Environment: env("e"), CMType: claim.CMEvidence, Authority: ekAuth, Elements: []claim.Element{svn(1, 5, false)}}
	for _, with := range []bool{true, false} {
		b := builder(t)
		assert(t, b, "certifier", endorse.Relations{Endorsements: []*endorse.Endorsement{ce(cond(env("e"), named("certified", "yes")), cond1)}})
		if with {
			assert(t, b, "provider", endorse.Relations{References: []*endorse.Reference{{Environment: env("e"), Elements: []claim.Element{svn(1, 5, true)}}}})
		}
		want := ""
		if with {
			want = "certified=yes"
		}
		if got := endorsedNames(appraise1(t, verified(t, ev), b.Set())); got != want {
			t.Errorf("with the provider's statement %v: %q", with, got)
		}
	}
}

// The golden appraisal once more, from the published tags.
func TestGoldenPSAVectors(t *testing.T) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set: the published PSA tags are not appraised")
	}
	reg := profiles.All()
	const profile = "tag:arm.com,2025:psa#1.0.0"
	b, err := endorse.NewBuilder(endorse.Config{Time: now, Profiles: reg})
	if err != nil {
		t.Fatal(err)
	}
	var first claim.Element
	var class claim.Environment
	for name, who := range map[string]string{"comid-psa-refval.cbor": "manufacturer", "comid-psa-endval.cbor": "certifier"} {
		data, err := os.ReadFile(filepath.Join(dir, "corim", "spec", name))
		if err != nil {
			t.Fatal(err)
		}
		c, err := corim.DecodeCoMID(data, corim.Options{Profiles: reg, Profile: reg[profile]})
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Triples.Reference) == 2 {
			first, class = c.Triples.Reference[0].Elements[0], c.Triples.Reference[0].Environment
		}
		raw, err := corim.Encode(&corim.Manifest{ID: claim.Text(claim.TagNone, name), Profile: profile, CoMIDs: []corim.CoMID{*c}}, corim.Options{Profiles: reg})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.AdmitUnsigned(raw, who); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	device := class
	device.Instance = claim.Bytes(claim.TagUEID, unhex(t, "014ca3e4f50bf248c39787020d68ffd05c88767751bf2645ca923f57a98becd296"))
	ev := claim.ECT{Environment: device, Elements: []claim.Element{first}, CMType: claim.CMEvidence, Profile: profile, Authority: ekAuth}
	a := appraise1(t, evidencetest.New(t, evidencetest.Content{TEE: "psa", Time: now, ECTs: []claim.ECT{ev}}), b.Set())
	if len(a.Accepted) != 3 || a.Accepted[1].Environment != class || a.Accepted[1].Source.Signer != "manufacturer" ||
		a.Accepted[2].Environment != class || a.Accepted[2].Source.Signer != "certifier" || len(a.Accepted[2].Elements[0].Values.Ext) != 1 {
		t.Errorf("%s", acsText(a))
	}
	if len(set(a)) != 3 {
		t.Errorf("%v", set(a))
	}
}

func set(a *Attester) map[claim.CMType]int {
	out := map[claim.CMType]int{}
	for _, e := range a.Accepted {
		out[e.CMType]++
	}
	return out
}

package corim_test

import (
	"reflect"
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
)

func TestTagsMadeHereAreReadAgain(t *testing.T) {
	env := claim.Environment{Class: claim.Class{Vendor: claim.Some("Worthless Sea, Inc.")}}
	sw := corim.CoSWID{TagID: claim.Text(0, "sw"), TagVersion: 2, SoftwareName: "Firmware", SoftwareVersion: "1.4", Patch: true,
		Entities: []corim.CoSWIDEntity{{Name: "A", RegID: "https://a.example", Roles: []int64{1, 2}}},
		Links:    []corim.CoSWIDLink{{HRef: "https://a.example/license", Rel: "license"}},
		Payload: []corim.CoSWIDFile{{Path: "boot/kernel", Size: claim.Some[uint64](7), Digest: claim.Digest{Alg: claim.SHA256, Value: make([]byte, 32)}},
			{Path: "boot/initrd"}}}
	ta := corim.CoTS{Stores: []corim.TAStore{{Language: "en", Identity: &corim.TagIdentity{TagID: claim.Text(0, "ta"), TagVersion: 5},
		Environments: []corim.TAEnvironment{{Environment: env}, {NamedStore: "Miscellaneous"}}, Purposes: []string{"corim"},
		PermClaims: [][]byte{{0x01}}, Anchors: []corim.TrustAnchor{{Format: 2, Data: []byte{1}}}, CAs: [][]byte{{2}}}}}
	m := &corim.Manifest{ID: claim.Text(0, "m"), CoSWIDs: []corim.CoSWID{sw}, CoTSs: []corim.CoTS{ta}}
	b, err := corim.Encode(m, corim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := corim.Decode(b, corim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got.CoSWIDs[0].Raw, got.CoTSs[0].Raw = nil, nil
	if !reflect.DeepEqual(got.CoSWIDs[0], sw) {
		t.Errorf("read   %+v\nwanted %+v", got.CoSWIDs[0], sw)
	}
	if !reflect.DeepEqual(got.CoTSs[0], ta) {
		t.Errorf("read   %+v\nwanted %+v", got.CoTSs[0], ta)
	}
}

func TestTrustAnchorStoresThatAreRefused(t *testing.T) {
	for name, in := range map[string]string{
		"no stores":             "80",
		"no keys":               "81 a1 02 80",
		"no anchors":            "81 a2 02 80 06 a1 01 81 41 00",
		"environment of two":    "81 a2 02 81 a2 00 a1 00 a1 01 61 61 02 61 62 06 a1 00 81 82 02 41 00",
		"anchor without data":   "81 a2 02 80 06 a1 00 81 81 02",
		"unknown key":           "81 a3 02 80 06 a1 00 81 82 02 41 00 18 63 00",
		"store that is no list": "a2 02 80 06 a1 00 81 82 02 41 00",
	} {
		content := unhex(t, in)
		b := cborx.AppendTag(unhex(t, "d9 01f5 a2 00 61 69 01 81"), corim.TagCoTS)
		if _, err := corim.Decode(cborx.AppendBytes(b, content), corim.Options{}); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCollections(t *testing.T) {
	manifest := unhex(t, "d9 01f5 a2 00 61 69 01 81 d9 01fa 58 1b"+comid("a1 10 f5"))
	entry := func(b []byte) []byte {
		return cborx.AppendBytes(append(cborx.AppendArray(b, 2), 0x19, 0xfd, 0xe9), manifest)
	}
	collection := func(kind string) []byte {
		b := cborx.AppendText(cborx.AppendText([]byte{0xa3}, "__cmwc_t"), kind)
		return entry(cborx.AppendText(entry(append(b, 0)), "tag-b"))
	}
	c, err := corim.DecodeCollection(collection("tag:ietf.org,2026:corim"), corim.Options{})
	if err != nil || len(c.Members) != 2 || c.Members[0].Label != "" || c.Members[1].Label != "tag-b" || c.Members[0].Format != 65001 {
		t.Errorf("%+v, %v", c, err)
	}
	for _, kind := range []string{"tag:{{&SELF}}:corim", "tag:ietf.org,2026:eat", ""} {
		if _, err := corim.DecodeCollection(collection(kind), corim.Options{}); !fault.Is(err, fault.Malformed) {
			t.Errorf("%q (A35): %v", kind, err)
		}
	}
}

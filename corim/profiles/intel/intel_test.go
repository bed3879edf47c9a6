package intel_test

import (
	"bytes"
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim/profiles/intel"
	"github.com/assay-tee/assay/internal/cborx"
)

type (
	list []any
	tag  struct {
		n uint64
		v any
	}
)

func appendAny(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return cborx.AppendNull(b)
	case int:
		return cborx.AppendInt(b, int64(v))
	case float64:
		return cborx.AppendFloat(b, v)
	case string:
		return cborx.AppendText(b, v)
	case []byte:
		return cborx.AppendBytes(b, v)
	case list:
		b = cborx.AppendArray(b, len(v))
		for _, x := range v {
			b = appendAny(b, x)
		}
		return b
	case tag:
		return appendAny(cborx.AppendTag(b, v.n), v.v)
	}
	panic("no such form")
}

func ext(key int64, v any) claim.Values {
	return claim.Values{Ext: []claim.Extension{{Key: key, CBOR: appendAny(nil, v)}}}
}

func components(first any, rest any) list {
	l := list{first}
	for range 15 {
		l = append(l, rest)
	}
	return l
}

func dg(b byte) list { return list{1, bytes.Repeat([]byte{b}, 32)} }

func TestComparisons(t *testing.T) {
	ge := func(n any) tag { return tag{60010, list{2, n}} }
	mem := func(v list) tag { return tag{60020, list{6, v}} }
	for _, tc := range []struct {
		name      string
		key       int64
		cond, acc any
		want      bool
	}{
		{"equal text", intel.Vendor, "Intel", "Intel", true},
		{"other text", intel.Vendor, "Intel", "intel", false},
		{"ge met", intel.ISVSVN, ge(6), 6, true},
		{"ge not met", intel.ISVSVN, ge(6), 5, false},
		{"gt", intel.ISVSVN, tag{60010, list{1, 6}}, 6, false},
		{"lt", intel.ISVSVN, tag{60010, list{3, 6}}, 5, true},
		{"le", intel.ISVSVN, tag{60010, list{4, 6}}, 6, true},
		{"integer against float", intel.ISVSVN, ge(6.0), 7, false},
		{"minimum svn", intel.ISVSVN, tag{553, 6}, 7, true},
		{"range", intel.TCBEvalNum, tag{564, list{3, nil}}, 3, true},
		{"range below", intel.TCBEvalNum, tag{564, list{3, 5}}, 6, false},
		{"plain number", intel.ISVSVN, 6, 7, false},
		{"a condition as evidence", intel.ISVSVN, ge(1), ge(6), false},
		{"operator of sets on a number", intel.ISVSVN, tag{60010, list{6, 1}}, 1, false},
		{"removed operator", intel.TCBStatus, tag{60021, list{8, list{"a"}}}, list{"a"}, false},
		{"digest, one", intel.MRSigner, dg(1), list{dg(1)}, true},
		{"digest differs", intel.MRSigner, list{dg(1)}, dg(2), false},
		{"digest mem", intel.MRSigner, mem(list{dg(1), dg(2)}), dg(2), true},
		{"digest not mem", intel.MRSigner, mem(list{dg(1), dg(2)}), dg(3), false},
		{"digest nmem", intel.MRSigner, tag{60020, list{7, list{dg(1)}}}, dg(3), true},
		{"digest nmem, listed", intel.MRSigner, tag{60020, list{7, list{dg(1)}}}, dg(1), false},
		{"digest nmem, other algorithm", intel.MRSigner, tag{60020, list{7, list{dg(1)}}}, list{7, bytes.Repeat([]byte{1}, 48)}, false},
		{"status set equal", intel.TCBStatus, list{"A", "B"}, list{"B", "A"}, true},
		{"status set larger", intel.TCBStatus, list{"A"}, list{"A", "B"}, false},
		{"every status listed", intel.TCBStatus, tag{60021, list{6, list{"UpToDate", "SWHardeningNeeded"}}}, list{"UpToDate"}, true},
		{"an unknown status", intel.TCBStatus, tag{60021, list{6, list{"UpToDate"}}}, list{"UpToDate", "Revoked"}, false},
		{"nmem of advisories", intel.AdvisoryIDs, tag{60021, list{7, list{"INTEL-SA-1"}}}, list{"INTEL-SA-2"}, true},
		{"nmem of advisories, listed", intel.AdvisoryIDs, tag{60021, list{7, list{"INTEL-SA-1"}}}, list{"INTEL-SA-2", "INTEL-SA-1"}, false},
		{"components", intel.TCBCompSVN, components(tag{553, 10}, ge(0)), components(10, 3), true},
		{"one component short", intel.TCBCompSVN, components(tag{553, 10}, ge(3)), components(255, 2), false},
		{"fifteen components", intel.TCBCompSVN, components(1, 1)[:15], components(1, 1)[:15], false},
		{"mask", intel.Attributes, tag{563, list{[]byte{1, 2}, []byte{0xff, 0}}}, []byte{1, 9}, true},
		{"mask looks", intel.Attributes, tag{563, list{[]byte{1, 2}, []byte{0xff, 0}}}, []byte{2, 2}, false},
		{"short mask is extended by zeros", intel.Attributes, tag{563, list{[]byte{1, 2}, []byte{0xff}}}, tag{560, []byte{1, 9}}, true},
		{"values of two lengths", intel.Attributes, tag{563, list{[]byte{1}, []byte{0}}}, []byte{1, 2}, false},
		{"date in two forms", intel.TCBDate, "2023-02-15T00:00:00Z", tag{1, 1676419200}, true},
		{"date in another zone", intel.TCBDate, "2023-02-15T01:00:00+01:00", tag{0, "2023-02-15T00:00:00Z"}, true},
		{"another date", intel.TCBDate, "2023-02-15T00:00:00Z", "2023-02-16T00:00:00Z", false},
		{"period", intel.TCBDate, tag{1003, list{"a", nil}}, tag{1003, list{"a", nil}}, false},
	} {
		cmp := intel.Profile().Comparator(claim.ID{}, tc.key)
		if got := cmp(ext(tc.key, tc.cond), ext(tc.key, tc.acc)); got != tc.want {
			t.Errorf("%s: %t", tc.name, got)
		}
		if cmp(ext(tc.key, tc.cond), claim.Values{}) || cmp(claim.Values{}, ext(tc.key, tc.acc)) {
			t.Errorf("%s: something matches nothing", tc.name)
		}
	}
	if intel.Profile().Comparator(claim.ID{}, -7777) != nil {
		t.Error("a comparison for an unknown code point")
	}
}

func TestRemovedCodePointsAreRefused(t *testing.T) {
	for _, k := range []int64{-77, -90} {
		if intel.CodePoints()[k].Check(appendAny(nil, 1)) == nil {
			t.Errorf("%d was read", k)
		}
	}
}

func TestConditionsAreRecognised(t *testing.T) {
	cp := intel.CodePoints()
	for _, tc := range []struct {
		key  int64
		v    any
		want bool
	}{
		{intel.ISVSVN, 1, false}, {intel.ISVSVN, tag{553, 1}, true}, {intel.TCBCompSVN, components(1, 1), false},
		{intel.TCBCompSVN, components(1, tag{553, 1}), true}, {intel.Attributes, tag{563, list{[]byte{1}, []byte{1}}}, true},
		{intel.TCBStatus, list{"UpToDate"}, false},
	} {
		if got := cp[tc.key].Condition(appendAny(nil, tc.v)); got != tc.want {
			t.Errorf("%d %v: %t", tc.key, tc.v, got)
		}
	}
}

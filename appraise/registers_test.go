package appraise

import (
	"slices"
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/evidencetest"
)

// Who vouches for one register of several vouches for that one: the claim is accepted when each of them is vouched for, and
// a register that the operator expects to be another is not.
func TestOneRegisterDoesNotVouchForTheOthers(t *testing.T) {
	key := claim.Text(claim.TagNone, "td.rtmr")
	env := claim.Environment{Class: claim.Class{ID: claim.Bytes(claim.TagBytes, []byte("td"))}}
	reg := func(n uint64, what string) claim.Register {
		return claim.Register{ID: claim.Uint(n), Digests: digest384(what)}
	}
	v := evidencetest.New(t, evidencetest.Content{TEE: "tdx", Time: now, Root: evidence.Root{Name: "root"}, ECTs: []claim.ECT{{
		Environment: env, Authority: claim.Authority{claim.Bytes(claim.TagBytes, []byte("ak"))}, CMType: claim.CMEvidence,
		Elements: []claim.Element{{Key: key, Name: "rtmr", Values: claim.Values{Registers: []claim.Register{reg(0, "a"), reg(1, "b")}}}}}}})
	for _, tc := range []struct {
		name     string
		stated   [][]claim.Register
		endorsed []claim.Register
		expect   map[string]string
		want     []string
		accepted bool
	}{
		{"nobody", nil, nil, nil, nil, false},
		{"a statement about one", [][]claim.Register{{reg(0, "a")}}, nil, nil, []string{"0"}, false},
		{"a statement about both", [][]claim.Register{{reg(0, "a"), reg(1, "b")}}, nil, nil, []string{"0", "1"}, true},
		{"two statements", [][]claim.Register{{reg(1, "b")}, {reg(0, "a")}}, nil, nil, []string{"0", "1"}, true},
		{"a statement with one that differs", [][]claim.Register{{reg(0, "a"), reg(1, "x")}}, nil, nil, nil, false},
		{"an endorsed value of one", nil, []claim.Register{reg(1, "b")}, nil, []string{"1"}, false},
		{"one is expected", nil, nil, map[string]string{"rtmr_1": "b"}, []string{"1"}, false},
		{"both are expected", nil, nil, map[string]string{"rtmr_1": "b", "rtmr_0": "a"}, []string{"0", "1"}, true},
		{"another is expected than stated", [][]claim.Register{{reg(0, "a"), reg(1, "b")}}, nil, map[string]string{"rtmr_1": "x"}, []string{"0"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := builder(t)
			src := &endorse.Source{Kind: "corim", ID: "s", Signer: "s", Authority: claim.Authority{claim.Bytes(claim.TagBytes, []byte("s"))}}
			for _, regs := range tc.stated {
				if err := b.Assert(src, endorse.Relations{References: []*endorse.Reference{{Environment: env, Elements: []claim.Element{{Key: key, Values: claim.Values{Registers: regs}}}}}}); err != nil {
					t.Fatal(err)
				}
			}
			if tc.endorsed != nil {
				add := claim.ECT{Environment: env, CMType: claim.CMEndorsements, Elements: []claim.Element{{Key: key, Values: claim.Values{Registers: tc.endorsed}}}}
				if err := b.Assert(src, endorse.Relations{Endorsements: []*endorse.Endorsement{{Conditions: []claim.ECT{{Environment: env}}, Additions: []claim.ECT{add}}}}); err != nil {
					t.Fatal(err)
				}
			}
			var list []endorse.Expectation
			for name, what := range tc.expect {
				list = append(list, endorse.Expectation{Name: name, Values: [][]byte{digest384(what)[0].Value}})
			}
			if list != nil {
				if err := b.Local("operator", "", list); err != nil {
					t.Fatal(err)
				}
			}
			a, err := Appraise([]Input{{Verified: v}}, b.Set())
			if err != nil {
				t.Fatal(err)
			}
			l := a.Attesters()[0].line(t, "rtmr")
			if l.Accepted != tc.accepted || !slices.Equal(l.Registers, tc.want) {
				t.Errorf("accepted %v, registers %v; want %v, %v", l.Accepted, l.Registers, tc.accepted, tc.want)
			}
		})
	}
}

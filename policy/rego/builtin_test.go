package rego

import (
	"reflect"
	"testing"

	"github.com/assay-tee/assay/appraise"
	"github.com/assay-tee/assay/evidence/evidencetest"
	"github.com/assay-tee/assay/policy/builtin"
)

// Every TEE alone, every pair, all together and an unknown one: the part of the built-in policy compiles by itself.
func TestEveryPartOfTheBuiltinCompiles(t *testing.T) {
	tees := []string{"unknown"}
	for _, f := range builtin.Files() {
		if f.Optional == "" && len(f.TEEs) > 0 && f.Name != "builtin/intel.rego" {
			tees = append(tees, f.TEEs...)
		}
	}
	if len(tees) < 4 {
		t.Fatalf("only %v", tees)
	}
	n := &narrower{files: builtin.Files(), asksMore: func(string) bool { return true }}
	bare := &narrower{files: builtin.Files(), asksMore: func(string) bool { return false }}
	attester := func(tee string) *appraise.Attester {
		return &appraise.Attester{Label: tee, Evidence: evidencetest.New(t, evidencetest.Content{TEE: tee})}
	}
	var all []*appraise.Attester
	for i, a := range tees {
		all = append(all, attester(a))
		if _, err := bare.program([]*appraise.Attester{attester(a)}); err != nil {
			t.Errorf("%s without options: %v", a, err)
		}
		for _, b := range tees[i:] {
			if _, err := n.program([]*appraise.Attester{attester(a), attester(b)}); err != nil {
				t.Errorf("%s and %s: %v", a, b, err)
			}
		}
	}
	if _, err := n.program(all); err != nil {
		t.Error(err)
	}
	if len(n.programs) > maxPrograms+1 {
		t.Errorf("%d programs kept", len(n.programs))
	}
}

// A new parameter counts as one that asks more, unless it is named here and read in snp.rego.
func TestAsksMoreSeesEveryParameter(t *testing.T) {
	read := map[string]bool{"VMPL": true, "AllowMigrationAgent": true, "AllowMaskedChipID": true, "AllowProvisionalFirmware": true}
	typ := reflect.TypeFor[SNP]()
	for i := range typ.NumField() {
		var s SNP
		f := reflect.ValueOf(&s).Elem().Field(i)
		switch f.Kind() {
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		case reflect.Map:
			f.Set(reflect.MakeMap(f.Type()))
		default:
			f.SetUint(1)
		}
		if name := typ.Field(i).Name; s.asksMore() == read[name] {
			t.Errorf("%s: asks more: %v", name, s.asksMore())
		}
	}
}

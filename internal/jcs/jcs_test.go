package jcs_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/assay-tee/assay/internal/jcs"
)

func TestTransform(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"members", `{"b":1,"a":"test","c":{"d":"e"}}`, `{"a":"test","b":1,"c":{"d":"e"}}`},
		{"UTF-16 order", `{"\ufb33":1,"\ud83d\ude00":2}`, "{\"😀\":2,\"\ufb33\":1}"},
		{"no HTML escapes", `"<&>\u2028"`, "\"<&>\u2028\""},
		// RFC 8785 section 3.2.2.3 and appendix B.
		{"numbers", `[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001,-0,0]`, `[333333333.3333333,1e+30,4.5,0.002,1e-27,0,0]`},
		{"limits of plain form", `[1e21,1e20,999999999999999900000,0.000001,0.0000001,9007199254740993]`, `[1e+21,100000000000000000000,999999999999999900000,0.000001,1e-7,9007199254740992]`},
		{"extremes", `[5e-324,1.7976931348623157e308,-1.5e-10]`, `[5e-324,1.7976931348623157e+308,-1.5e-10]`},
	} {
		got, err := jcs.Transform([]byte(tc.in))
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %s %v, want %s", tc.name, got, err, tc.want)
		}
	}
	for _, in := range []string{`1e400`, `{"a":1,"a":1}`, ``, `[1`} {
		if got, err := jcs.Transform([]byte(in)); err == nil {
			t.Errorf("%q became %q", in, got)
		}
	}
}

func TestVectors(t *testing.T) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set")
	}
	data, err := os.ReadFile(filepath.Join(dir, "kbs/report-data.json"))
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		JCS []struct{ Name, JSON, Canonical string }
	}
	if err := json.Unmarshal(data, &v); err != nil || len(v.JCS) == 0 {
		t.Fatal(err)
	}
	for _, tc := range v.JCS {
		got, err := jcs.Transform([]byte(tc.JSON))
		if err != nil || string(got) != tc.Canonical {
			t.Errorf("%s: %q %v", tc.Name, got, err)
		}
	}
}

func FuzzTransform(f *testing.F) {
	f.Add([]byte(`{"b":[1.5,{"z":1,"a":"x"}],"a":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		once, err := jcs.Transform(data)
		if err != nil {
			return
		}
		twice, err := jcs.Transform(once)
		if err != nil || string(once) != string(twice) {
			t.Fatalf("not idempotent: %q %q %v", once, twice, err)
		}
	})
}

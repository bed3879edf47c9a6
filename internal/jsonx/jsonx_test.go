package jsonx_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/jsonx"
)

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		ok       bool
	}{
		{"object", ` {"a":[1,2.5e-3,{"b":null}],"c":"\u00e9\ud83d\ude00"} `, true},
		{"empty containers", `[{},[],""]`, true},
		{"scalar", `-0.1`, true},
		{"empty", ``, false},
		{"duplicate name", `{"a":1,"a":2}`, false},
		{"duplicate name by escape", `{"a":1,"\u0061":2}`, false},
		{"nested duplicate", `[{"x":{"a":1,"a":2}}]`, false},
		{"duplicate among many", `{"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"i":0,"j":0,"k":0,"l":0,"m":0,"n":0,"o":0,"p":0,"q":0,"r":0,"q":1}`, false},
		{"trailing", `{} {}`, false},
		{"trailing comma", `[1,]`, false},
		{"leading zero", `01`, false},
		{"lone surrogate", `"\ud800"`, false},
		{"reversed surrogates", `"\ude00\ud83d"`, false},
		{"invalid UTF-8", "\"\xff\"", false},
		{"control character", "\"a\nb\"", false},
		{"unterminated", `{"a":`, false},
		{"depth at the limit", strings.Repeat("[", 64) + strings.Repeat("]", 64), true},
		{"depth over the limit", strings.Repeat("[", 65) + strings.Repeat("]", 65), false},
		{"deep and cut off", strings.Repeat("[", 1<<20), false},
	} {
		err := jsonx.Check([]byte(tc.in))
		if (err == nil) != tc.ok || err != nil && !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestObjectKeepsOrderAndBytes(t *testing.T) {
	m, err := jsonx.Object([]byte(`{"b" : 1.0 ,"a":{"x": [ ] }}`))
	if err != nil || len(m) != 2 || m[0].Name != "b" || string(m[0].Raw) != "1.0" || string(m[1].Raw) != `{"x": [ ] }` {
		t.Fatalf("%v %v", m, err)
	}
}

// FuzzCheck: whatever Check accepts encoding/json accepts too, and strings mean the same to both.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `[1,"\u0041",true]`, `{"a":1,"a":2}`, `"\ud83d\ude00"`, `1e400`, `{"":{"":[[]]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if jsonx.Check(data) != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("accepted what is not JSON: %q", data)
		}
		if s, err := jsonx.String(data); err == nil {
			var want string
			if json.Unmarshal(data, &want) != nil || want != s {
				t.Fatalf("%q read as %q, not %q", data, s, want)
			}
		}
		if m, err := jsonx.Object(data); err == nil {
			for _, e := range m {
				if !bytes.Contains(data, e.Raw) {
					t.Fatal("a member's bytes are not the input's")
				}
			}
		}
	})
}

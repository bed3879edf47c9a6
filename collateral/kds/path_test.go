package kds_test

import (
	"strings"
	"testing"

	"github.com/assay-tee/assay/collateral/kds"
	"github.com/assay-tee/assay/internal/fault"
)

const (
	id8   = "0102030405060708"
	query = "?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219"
)

func TestParsePath(t *testing.T) {
	id64 := strings.Repeat("ab", 64)
	for _, tc := range []struct{ name, path, canonical string }{
		{"chain", "/vcek/v1/Milan/cert_chain", "/vcek/v1/Milan/cert_chain"},
		{"VLEK list", "/vlek/v1/Genoa/crl", "/vlek/v1/Genoa/crl"},
		{"VCEK", "/vcek/v1/Milan/" + id64 + query, "/vcek/v1/Milan/" + id64 + query},
		{"order and zeros are free", "/vcek/v1/Milan/" + strings.ToUpper(id64) + "?ucodeSPL=219&blSPL=04&teeSPL=00&snpSPL=24", "/vcek/v1/Milan/" + id64 + query},
		{"Turin", "/vcek/v1/Turin/" + id8 + query + "&fmcSPL=1", "/vcek/v1/Turin/" + id8 + "?fmcSPL=1&" + query[1:]},
		{"unknown product", "/vcek/v1/Venice/crl", "/vcek/v1/Venice/crl"},
		{"nothing", "", ""},
		{"relative", "vcek/v1/Milan/crl", ""},
		{"another key", "/pek/v1/Milan/crl", ""},
		{"another version", "/vcek/v2/Milan/crl", ""},
		{"dots", "/vcek/v1/../crl", ""},
		{"empty product", "/vcek/v1//crl", ""},
		{"deeper", "/vcek/v1/Milan/crl/x", ""},
		{"list with parameters", "/vcek/v1/Milan/crl?x=1", ""},
		{"VLEK certificate", "/vlek/v1/Milan/" + id64 + query, ""},
		{"id of another length", "/vcek/v1/Milan/abcd" + query, ""},
		{"id not hex", "/vcek/v1/Milan/" + id64[1:] + "x" + query, ""},
		{"no parameters", "/vcek/v1/Milan/" + id64, ""},
		{"one missing", "/vcek/v1/Milan/" + id64 + "?blSPL=4&teeSPL=0&snpSPL=24", ""},
		{"one twice", "/vcek/v1/Milan/" + id64 + query + "&blSPL=4", ""},
		{"one unknown", "/vcek/v1/Milan/" + id64 + query + "&x=4", ""},
		{"beyond a byte", "/vcek/v1/Milan/" + id64 + "?blSPL=256&teeSPL=0&snpSPL=24&ucodeSPL=1", ""},
		{"negative", "/vcek/v1/Milan/" + id64 + "?blSPL=-1&teeSPL=0&snpSPL=24&ucodeSPL=1", ""},
		{"many zeros", "/vcek/v1/Milan/" + id64 + "?blSPL=0001&teeSPL=0&snpSPL=24&ucodeSPL=1", ""},
		{"bad escape", "/vcek/v1/Milan/" + id64 + query + "&%zz=1", ""},
		{"too long", "/vcek/v1/Milan/" + id64 + query + strings.Repeat("&", 400), ""},
	} {
		d, err := kds.ParsePath(tc.path)
		switch {
		case tc.canonical == "" && !fault.Is(err, fault.Malformed):
			t.Errorf("%s: class %v: %v", tc.name, fault.ClassOf(err), err)
		case tc.canonical != "" && (err != nil || d.Path() != tc.canonical):
			t.Errorf("%s: %q, %v; want %q", tc.name, d.Path(), err, tc.canonical)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	f.Add("/vcek/v1/Turin/" + id8 + query + "&fmcSPL=1")
	f.Add("/vlek/v1/Milan/cert_chain")
	f.Fuzz(func(t *testing.T, path string) {
		d, err := kds.ParsePath(path)
		if err != nil {
			if !fault.Is(err, fault.Malformed) {
				t.Fatalf("class %v: %v", fault.ClassOf(err), err)
			}
			return
		}
		again, err := kds.ParsePath(d.Path())
		if err != nil || again.Path() != d.Path() {
			t.Errorf("%q reads as %q, which reads as %q, %v", path, d.Path(), again.Path(), err)
		}
	})
}

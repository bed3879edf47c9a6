package corimjson_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/corimjson"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/internal/fault"
)

func vectors(t *testing.T) []string {
	t.Helper()
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set: the JSON form of the published vectors is not tested")
	}
	files, err := filepath.Glob(filepath.Join(dir, "corim", "*", "*.cbor"))
	if err != nil || len(files) == 0 {
		t.Fatal("no vectors")
	}
	return files
}

// Every vector that reads must give the same CBOR after a way through JSON.
func TestVectorsSurviveTheWayThroughJSON(t *testing.T) {
	comids, corims := 0, 0
	for _, name := range vectors(t) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		o := corim.Options{Profiles: profiles.All(), ForDisplay: true}
		if c, err := corim.DecodeCoMID(b, corim.Options{}); err == nil {
			comids++
			want, err := corim.EncodeCoMID(c, corim.Options{})
			if err != nil {
				t.Fatal(err)
			}
			j, err := corimjson.FromCoMID(c)
			if err != nil {
				t.Fatal(err)
			}
			again, err := corimjson.CoMID(j)
			if err != nil {
				t.Errorf("%s: %v\n%s", name, err, j)
				continue
			}
			if got, err := corim.EncodeCoMID(again, corim.Options{}); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %v\n got %x\nwant %x\n%s", name, err, got, want, j)
			}
		}
		if m, err := corim.Decode(b, o); err == nil {
			corims++
			want, err := corim.Encode(m, o)
			if err != nil {
				t.Fatal(err)
			}
			j, err := corimjson.FromManifest(m)
			if err != nil {
				t.Fatal(err)
			}
			again, err := corimjson.Manifest(j)
			if err != nil {
				t.Errorf("%s: %v\n%s", name, err, j)
				continue
			}
			if got, err := corim.Encode(again, o); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %v\n got %x\nwant %x\n%s", name, err, got, want, j)
			}
		}
	}
	if comids < 20 || corims < 5 {
		t.Errorf("only %d CoMIDs and %d CoRIMs seen", comids, corims)
	}
}

const template = `{
  "lang": "en-GB",
  "tag-identity": {"id": "43BBE37F-2E61-4B33-AED3-53CFF1428B16", "version": 1},
  "entities": [{"name": "ACME Ltd.", "regid": "https://acme.example", "roles": ["tagCreator", "creator", "maintainer"]}],
  "linked-tags": [{"target": "6F7D8D2F-EAEC-4A15-BB46-1E4DCB85DDFF", "rel": "replaces"}],
  "triples": {
    "reference-values": [{
      "environment": {
        "class": {"id": {"type": "uuid", "value": "83294297-97EB-42EF-8A72-AE9FEA002750"}, "vendor": "ACME", "model": "RoadRunner", "layer": 0, "index": 0},
        "instance": {"type": "ueid", "value": "Ad6tvu/erb7v3q2+796tvu8="}
      },
      "measurements": [{
        "key": {"type": "uint", "value": 641},
        "value": {
          "version": {"value": "1.2.3", "scheme": "semver"},
          "svn": {"type": "min-value", "value": 10},
          "digests": ["sha-256:5Fty9cDAtXLbTY06t+l/No/3TmI0eoJN7LZ6hOUiTXU=", "sha-384;hex:` + "%s" + `"],
          "flags": {"is-secure": true, "is-debug": false},
          "raw-value": {"type": "masked", "value": {"value": "AQID", "mask": "/wD/"}},
          "mac-addr": "00:00:5e:00:53:01",
          "ip-addr": "2001:4860:0:2001::68",
          "serial-number": "C02X70VHJHD5",
          "ueid": "Ad6tvu/erb7v3q2+796tvu8=",
          "uuid": "9090B8D3-3B17-474C-A0B9-6F54731CAB72",
          "name": "x",
          "cryptokeys": [{"type": "bytes", "value": "U3h5YwdTXfPsjYsVouLcVkFBnD0wYM/jIjjA+pc/eqM="}],
          "integrity-registers": {"0": {"key_type": "uint", "value": ["sha-256;5Fty9cDAtXLbTY06t+l/No/3TmI0eoJN7LZ6hOUiTXU="]}},
          "int-range": {"type": "rawIntRange", "value": {"min": -5, "max": null}},
          "bool": true,
          "number": {"type": "set", "value": [1, 1.0, -18446744073709551616]},
          "text": {"type": "set", "value": ["a", "b"]},
          "bytes": "AQID",
          "extensions": {"-70": "Intel", "-84": {"type": "tag", "tag": 60020, "value": [6, [[1, {"type": "bytes", "value": "AA=="}]]]}}
        },
        "authorized-by": [{"type": "thumbprint", "value": "sha-256;5Fty9cDAtXLbTY06t+l/No/3TmI0eoJN7LZ6hOUiTXU="}]
      }]
    }]
  }
}`

func TestATemplateInTheStyleOfCocli(t *testing.T) {
	doc := strings.Replace(template, "%s", strings.Repeat("ab", 48), 1)
	c, err := corimjson.CoMID([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	b, err := corim.EncodeCoMID(c, corim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	read, err := corim.DecodeCoMID(b, corim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := read.Triples.Reference[0].Elements[0]
	if len(e.Values.Digests) != 2 || !e.Values.SVN.Min || e.Values.Raw.Mask[1] != 0 || len(e.Values.Number.Set) != 3 || len(e.Values.Ext) != 2 {
		t.Errorf("%+v", e.Values)
	}
	m, err := corimjson.Manifest([]byte(`{"corim-id": "5c57e8f4-46cd-421b-91c9-08cf93e13cfc", "profile": "tag:arm.com,2025:psa#1.0.0",
		"dependent-rims": [{"href": "https://parent.example/x", "thumbprint": "sha-256:5Fty9cDAtXLbTY06t+l/No/3TmI0eoJN7LZ6hOUiTXU="}],
		"validity": {"not-before": "2021-12-31T00:00:00Z", "not-after": "2099-12-31T00:00:00Z"},
		"entities": [{"name": "ACME Ltd.", "regid": "acme.example", "roles": ["manifestCreator"]}]}`), []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = corim.Encode(m, corim.Options{Profiles: profiles.All()}); err != nil {
		t.Fatal(err)
	}
	got, err := corim.Decode(b, corim.Options{Profiles: profiles.All()})
	if err != nil || len(got.CoMIDs) != 1 || got.Entities[0].Roles[0] != 1 || got.Validity.NotAfter.Year() != 2099 {
		t.Errorf("%v %+v", err, got)
	}
}

func TestTemplatesThatAreRefused(t *testing.T) {
	env := `"environment": {"class": {"vendor": "A"}}`
	mm := func(v string) string {
		return `{"tag-identity": {"id": "x"}, "triples": {"reference-values": [{` + env + `, "measurements": [{"value": ` + v + `}]}]}}`
	}
	for name, doc := range map[string]string{
		"no JSON":            `x`,
		"member twice":       `{"tag-identity": {"id": "x", "id": "y"}, "triples": {}}`,
		"unknown member":     mm(`{"nmae": "x"}`),
		"legacy op-flags":    mm(`{"op-flags": ["notSecure"]}`),
		"svn of a text type": mm(`{"svn": {"type": "exact-value", "value": "1"}}`),
		"svn negative":       mm(`{"svn": {"type": "exact-value", "value": -1}}`),
		"unknown algorithm":  mm(`{"digests": ["md5;AA=="]}`),
		"digest, no base64":  mm(`{"digests": ["sha-256;!!"]}`),
		"flag misspelt":      mm(`{"flags": {"is-sekure": true}}`),
		"no value":           `{"tag-identity": {"id": "x"}, "triples": {"reference-values": [{` + env + `, "measurements": [{}]}]}}`,
		"no id":              `{"triples": {}}`,
		"unknown id type":    `{"tag-identity": {"id": "x"}, "triples": {"reference-values": [{"environment": {"instance": {"type": "psa.id", "value": "AA=="}}, "measurements": []}]}}`,
		"trailing":           mm(`{"name": "x"}`) + "{}",
		"mask alone":         mm(`{"raw-value-mask": "AA=="}`),
	} {
		if _, err := corimjson.CoMID([]byte(doc)); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What is well formed and says nothing is refused when it is to be written.
	c, err := corimjson.CoMID([]byte(`{"tag-identity": {"id": "x"}, "triples": {}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := corim.EncodeCoMID(c, corim.Options{}); !fault.Is(err, fault.Malformed) {
		t.Errorf("a CoMID without triples was written: %v", err)
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add([]byte(strings.Replace(template, "%s", strings.Repeat("ab", 48), 1)))
	f.Add([]byte(`{"corim-id": "a", "comids": []}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if c, err := corimjson.CoMID(doc); err == nil {
			_, _ = corim.EncodeCoMID(c, corim.Options{})
		} else if !fault.Is(err, fault.Malformed) {
			t.Fatal(err)
		}
		if m, err := corimjson.Manifest(doc); err == nil {
			_, _ = corim.Encode(m, corim.Options{ForDisplay: true})
		} else if !fault.Is(err, fault.Malformed) {
			t.Fatal(err)
		}
	})
}

// The example of the documentation must read, and be what it says.
func TestTheDocumentedExampleReads(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "corim-json.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, example, ok := bytes.Cut(doc, []byte("## Example\n"))
	if !ok {
		t.Fatal("no example")
	}
	m, err := corimjson.Manifest(example)
	if err != nil {
		t.Fatal(err)
	}
	o := corim.Options{Profiles: profiles.All()}
	if _, err := corim.Encode(m, o); err != nil {
		t.Fatal(err)
	}
	for _, f := range o.Profiles[m.Profile].Check(m) {
		if f.Err != nil {
			t.Error(f.Err)
		}
	}
}

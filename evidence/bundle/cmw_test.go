package bundle

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTagsOfContentFormats(t *testing.T) {
	for f, tag := range map[uint16]uint64{0: 1668546817, 254: 1668547071, 255: 1668547073, 64999: 1668612070, 65024: 1668612095} {
		got, ok := TagFor(f)
		back, okBack := FormatOf(tag)
		if got != tag || back != f || !ok || !okBack {
			t.Errorf("%d: %d, %d back", f, got, back)
		}
	}
	if _, ok := TagFor(65025); ok {
		t.Error("65025 has no tag")
	}
	for _, tag := range []uint64{1668546816, 1668547072, 1668612096} {
		if f, ok := FormatOf(tag); ok {
			t.Errorf("tag %d is %d", tag, f)
		}
	}
}

// The examples of the draft, in both forms, both ways.
func TestExamples(t *testing.T) {
	for _, tc := range []struct{ name, json, cbor string }{
		{"record", `["application/vnd.example.rats-conceptual-msg","I0faVQ"]`, ""},
		{"with indicator", `["application/vnd.x","I0faVQ",3]`, "83 71" + hex.EncodeToString([]byte("application/vnd.x")) + "44 2347da55 03"},
		{"number", "", "82 19 fde7 44 2347da55"},
		{"number and indicator", "", "83 19 fde7 44 2347da55 03"},
		{"tag", "", "da 63747700 44 2347da55"},
		{"collection", `{"__cmwc_t":"tag:example.com,2024:composite","a":["application/vnd.x","I0faVQ"]}`, ""},
		{"numbers as labels", "", "a1 01 82 19 fde7 44 2347da55"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.json != "" {
				c, err := Parse([]byte(tc.json))
				if err != nil {
					t.Fatal(err)
				}
				if b, err := c.MarshalJSON(); err != nil || string(b) != tc.json {
					t.Errorf("%s, %v", b, err)
				}
				again, err := Parse(c.AppendCBOR(nil))
				if err != nil {
					t.Fatal(err)
				}
				if b, err := again.MarshalJSON(); err != nil || string(b) != tc.json {
					t.Errorf("by way of CBOR: %s, %v", b, err)
				}
			}
			if tc.json == "" || strings.HasPrefix(tc.cbor, "83") {
				want := unhex(t, tc.cbor)
				if tc.name == "tag" {
					tag, _ := TagFor(64999)
					want = append([]byte{0xda, byte(tag >> 24), byte(tag >> 16), byte(tag >> 8), byte(tag)}, want[5:]...)
				}
				c, err := Parse(want)
				if err != nil {
					t.Fatal(err)
				}
				if got := c.AppendCBOR(nil); !bytes.Equal(got, want) {
					t.Errorf("%x, want %x", got, want)
				}
			}
		})
	}
}

func TestRefusedCMWs(t *testing.T) {
	deep := strings.Repeat(`{"a":`, maxDepth+1) + `["a/b","AA"]` + strings.Repeat("}", maxDepth+1)
	wide := "{"
	for i := range maxItems + 1 {
		wide += `"l` + strings.Repeat("x", i) + `":["a/b","AA"],`
	}
	wide = strings.TrimSuffix(wide, ",") + "}"
	for name, text := range map[string]string{
		"padding": `["a/b","AA=="]`, "alphabet": `["a/b","+/8"]`, "empty value": `["a/b",""]`, "one member": `["a/b"]`, "four": `["a/b","AA",1,2]`,
		"indicator 0": `["a/b","AA",0]`, "indicator 32": `["a/b","AA",32]`, "indicator as text": `["a/b","AA","1"]`, "no media type": `["ab","AA"]`,
		"label twice": `{"a":["a/b","AA"],"a":["a/b","AA"]}`, "kind twice": `{"__cmwc_t":"a:b","__cmwc_t":"a:b","a":["a/b","AA"]}`,
		"no label": `{"__cmwc_t":"a:b"}`, "nothing": `{}`, "relative kind": `{"__cmwc_t":"x","a":["a/b","AA"]}`, "number as type": `[1,"AA"]`,
		"too deep": deep, "too many": wide, "a text": `"a"`, "trailing": `["a/b","AA"]x`,
	} {
		if _, err := Parse([]byte(text)); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range map[string]string{
		"indefinite array": "9f 19fde7 4100 ff", "indefinite map": "bf 01 82 19fde7 4100 ff", "another tag": "c1 4100", "tag over text": "da6374777e 6100",
		"empty value": "82 19fde7 40", "indicator 0": "83 19fde7 4100 00", "format too large": "82 1a00010000 4100", "label twice": "a2 01 82 19fde7 4100 01 82 19fde7 4100",
		"empty map": "a0", "bytes as label": "a1 4101 82 19fde7 4100",
	} {
		if _, err := Parse(unhex(t, b)); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRealCollection(t *testing.T) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is unset: no real collection is at hand")
	}
	b, err := os.ReadFile(filepath.Join(dir, "cca", "derived", "cmw-record.cbor"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Items) != 2 || !c.Items[0].Number || c.Items[0].CMW.Record.Format != 263 || !bytes.Equal(c.AppendCBOR(nil), b) {
		t.Errorf("%+v", c)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"__cmwc_t":"a:b","a":["a/b","AA",4]}`))
	f.Add([]byte("\xa1\x01\x82\x19\xfd\xe7\x41\x00"))
	f.Add([]byte("\x83\x63a/b\x41\x00\x03"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			if !fault.Is(err, fault.Malformed) {
				t.Error(err)
			}
			return
		}
		out := c.AppendCBOR(nil)
		again, err := Parse(out)
		if err != nil || !bytes.Equal(again.AppendCBOR(nil), out) {
			t.Errorf("%x: written as %x, read again: %v", b, out, err)
		}
		_ = (&plan{}).walk(c)
	})
}

func FuzzSubmods(f *testing.F) {
	f.Add([]byte(`{"submods":{"a":["JWT","a.b.c"],"b":["CBOR","AA"],"c":{"submods":{}}}}`), true)
	f.Add([]byte("\xa1\x19\x01\x0a\xa1\x61a\x41\x00"), false)
	f.Fuzz(func(t *testing.T, b []byte, asJSON bool) {
		if _, _, err := submods(b, asJSON, 0); err != nil && !fault.Is(err, fault.Malformed) {
			t.Error(err)
		}
	})
}

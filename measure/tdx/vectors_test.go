package tdx_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/assay-tee/assay/measure/measuretest"
	"github.com/assay-tee/assay/measure/ovmf"
	"github.com/assay-tee/assay/measure/tdx"
)

func TestMRTDVectors(t *testing.T) {
	for _, c := range measuretest.Cases(t, "tdx-mrtd") {
		z, err := gzip.NewReader(bytes.NewReader(measuretest.Read(t, c.Firmware)))
		if err != nil {
			t.Fatal(err)
		}
		fw, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		img, err := ovmf.Parse(fw)
		if err != nil {
			t.Fatal(err)
		}
		sections, err := tdx.Sections(img)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := tdx.MRTD(sections, tdx.SinglePass)
		if c.Machine != "" {
			for _, s := range tdx.GoogleShapes() {
				if s.Name == c.Machine {
					if got, _, err = tdx.GoogleHOBBug(sections, s, false); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if got.String() != c.ExpectedString() {
			t.Errorf("%s: MRTD %v, want %v", c.ID, got, c.ExpectedString())
		}
	}
}

func TestHOBVectors(t *testing.T) {
	for _, c := range measuretest.Cases(t, "tdx") {
		var x struct {
			HOB struct {
				Base     string      `json:"base"`
				Memory   uint64      `json:"memory_size"`
				Accepted [][2]string `json:"accepted_regions"`
				SHA384   string      `json:"sha384"`
				Length   int         `json:"list_length"`
			} `json:"td_hob"`
		}
		if err := json.Unmarshal(c.Raw, &x); err != nil {
			t.Fatal(err)
		}
		num := func(s string) uint64 {
			v, err := strconv.ParseUint(strings.TrimPrefix(s, "0x"), 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		var acc []tdx.Region
		for _, r := range x.HOB.Accepted {
			acc = append(acc, tdx.Region{Start: num(r[0]), Length: num(r[1]) - num(r[0])})
		}
		hob, err := tdx.HOB(num(x.HOB.Base), acc, x.HOB.Memory)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha512.Sum384(hob)); got != x.HOB.SHA384 || x.HOB.Length > 0 && x.HOB.Length != len(hob) {
			t.Errorf("%s: TD HOB of %d bytes with %s, want %d with %s", c.ID, len(hob), got, x.HOB.Length, x.HOB.SHA384)
		}
	}
}

package eventlog

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

func TestRealCEL(t *testing.T) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(load(t, vectors(t), "eventlog", "cel.b64"))))
	if err != nil {
		t.Fatal(err)
	}
	recs, err := ParseCEL(b)
	if err != nil {
		t.Fatal(err)
	}
	want := unhex(t, "2261f93374ed538b35e7e93c540a1562ccb25d14f6c40a1efea03d329e29a97172d84e152344af4a7188d0c8b9fcabeb")
	ev, err := ReplayCEL(recs, SHA384, true, 4, want)
	if err != nil {
		t.Fatal(err)
	}
	if len(ev) != 18 || ev[1].Value != "sha256:777049f969d790c7fa9edf5783ad22b2d4fa25f31612e95639eb3b5098ff8066" || ev[2].Value != "Never" {
		t.Errorf("%+v", ev)
	}
	for n := range b {
		if r, err := ParseCEL(b[:n]); err == nil {
			if _, err := ReplayCEL(r, SHA384, true, 4, want); !fault.Is(err, fault.Binding) {
				t.Errorf("cut at %d: %v", n, err)
			}
		} else if !fault.Is(err, fault.Malformed) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	if _, err := ReplayCEL(recs, SHA384, true, 3, want); !fault.Is(err, fault.Binding) {
		t.Error("another register")
	}
	if _, err := ReplayCEL(recs, SHA256, true, 4, want); !fault.Is(err, fault.Binding) {
		t.Error("another bank")
	}
}

func tlv(typ uint8, v ...byte) []byte { return append([]byte{typ, 0, 0, 0, byte(len(v))}, v...) }

// celLog builds a log of COS events over PCR 13.
func celLog(events ...[2]string) ([]byte, []byte) {
	var log []byte
	reg := make([]byte, 32)
	for i, e := range events {
		content := tlv(celCOS, tlv(e[0][0], []byte(e[1])...)...)
		d := SHA256.sum(content)
		reg = SHA256.sum(reg, d)
		log = append(log, tlv(celRecnum, byte(i))...)
		log = append(log, tlv(celPCR, 13)...)
		log = append(log, tlv(celDigests, tlv(uint8(SHA256), d...)...)...)
		log = append(log, content...)
	}
	return log, reg
}

func TestCELRules(t *testing.T) {
	good := [][2]string{{"\x00", "image"}, {"\x01", "sha256:aa"}, {"\x08", ""}, {"\x09", "1"}}
	log, reg := celLog(good...)
	replay := func(log, reg []byte) error {
		recs, err := ParseCEL(log)
		if err == nil {
			_, err = ReplayCEL(recs, SHA256, false, 13, reg)
		}
		return err
	}
	if err := replay(log, reg); err != nil {
		t.Fatal(err)
	}
	late, lateReg := celLog([2]string{"\x08", ""}, [2]string{"\x00", "image"})
	unknown, unknownReg := celLog([2]string{"\x0c", "x"})
	edited := append([]byte{}, log...)
	edited[len(edited)-1] ^= 1
	for name, tc := range map[string]struct {
		log, reg []byte
		class    fault.Class
	}{
		"workload after the separator": {late, lateReg, fault.Binding},
		"unknown event":                {unknown, unknownReg, fault.Binding},
		"content edited":               {edited, reg, fault.Binding},
		"an event more":                {log, make([]byte, 32), fault.Binding},
		"a gap in the numbers":         {append(append([]byte{}, log...), log...), reg, fault.Malformed},
		"huge length":                  {[]byte{0, 0xff, 0xff, 0xff, 0xff}, reg, fault.Malformed},
	} {
		if err := replay(tc.log, tc.reg); !fault.Is(err, tc.class) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzCEL(f *testing.F) {
	log, reg := celLog([2]string{"\x00", "image"})
	f.Add(log)
	f.Fuzz(func(t *testing.T, b []byte) {
		if recs, err := ParseCEL(b); err == nil {
			_, _ = ReplayCEL(recs, SHA256, false, 13, reg)
		}
	})
}

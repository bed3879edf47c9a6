package eventlog

import (
	"fmt"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
)

func userspaceLine(pcr int, text string, digest []byte) string {
	return fmt.Sprintf("\x1e{\"pcr\":%d,\"digests\":[{\"hashAlg\":\"sha1\",\"digest\":\"%x\"},{\"hashAlg\":\"sm9\",\"digest\":\"00\"}],\"content_type\":\"systemd\",\"content\":{\"string\":%q}}\n", pcr, digest, text)
}

func TestUserspace(t *testing.T) {
	fw := SHA1.sum([]byte{9})
	log := legacy(11, EVIPL, fw, []byte{9})
	phase := func(s string) []byte { return SHA1.sum([]byte(s)) }
	value := SHA1.sum(SHA1.sum(SHA1.sum(make([]byte, 20), fw), phase("enter-initrd")), phase("leave-initrd"))
	good := userspaceLine(11, "enter-initrd", phase("enter-initrd")) + userspaceLine(11, "leave-initrd", phase("leave-initrd"))
	for name, tc := range map[string]struct {
		log     string
		class   fault.Class
		ok      bool
		covered int
	}{
		"both phases":       {good, 0, true, 2},
		"as an array":       {"[" + userspaceLine(11, "enter-initrd", phase("enter-initrd"))[1:] + "," + userspaceLine(11, "leave-initrd", phase("leave-initrd"))[1:] + "]", 0, true, 2},
		"text edited":       {userspaceLine(11, "ready", phase("enter-initrd")) + userspaceLine(11, "leave-initrd", phase("leave-initrd")), 0, true, 1},
		"one phase less":    {userspaceLine(11, "enter-initrd", phase("enter-initrd")), fault.Binding, false, 0},
		"nothing":           {"", fault.Binding, false, 0},
		"PCR 24":            {userspaceLine(24, "x", phase("x")), fault.Malformed, false, 0},
		"digest cut":        {userspaceLine(11, "x", phase("x")[:19]), fault.Malformed, false, 0},
		"PCR not quoted":    {good + userspaceLine(15, "machine-id", phase("machine-id")), 0, true, 2},
		"not JSON":          {"\x1e{", fault.Malformed, false, 0},
		"no digest of bank": {"\x1e{\"pcr\":11,\"digests\":[]}", fault.Binding, false, 0},
	} {
		l, err := ParseTPM(log, Options{})
		if err != nil {
			t.Fatal(err)
		}
		p := PCRs{Alg: SHA1}
		p.Values[11] = value
		events, err := ParseUserspace([]byte(tc.log))
		var out []UserspaceEvent
		if err == nil {
			_, out, err = l.ExplainWithUserspace(p, events)
		}
		if tc.ok != (err == nil) || !tc.ok && !fault.Is(err, tc.class) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		n := 0
		for _, e := range out {
			if e.Covered {
				n++
			} else if e.Text != "" {
				t.Errorf("%s: text %q is not covered", name, e.Text)
			}
		}
		if n != tc.covered {
			t.Errorf("%s: %d texts are covered, want %d", name, n, tc.covered)
		}
	}
}

func FuzzUserspace(f *testing.F) {
	f.Add([]byte(userspaceLine(11, "x", make([]byte, 20))))
	f.Fuzz(func(t *testing.T, b []byte) {
		events, err := ParseUserspace(b)
		if err != nil {
			return
		}
		l, err := ParseTPM(legacy(11, EVIPL, make([]byte, 20), nil), Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, _, _ = l.ExplainWithUserspace(PCRs{Alg: SHA1}, events)
	})
}

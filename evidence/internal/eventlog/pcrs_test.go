package eventlog

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/fault"
)

// manifest is what the manifest of real logs says about one of them.
type manifest struct {
	Files []struct {
		Path     string
		Expected struct {
			Parse   string
			Format  string
			Banks   []string `json:"log_banks"`
			Events  int
			Quoted  map[string]map[string]string `json:"quoted_pcrs"`
			Only    json.RawMessage              `json:"replay_only"`
			Cmdline string                       `json:"kernel_cmdline"`
			Secure  string                       `json:"secure_boot"`
		}
	}
}

var algByName = map[string]Alg{"sha1": SHA1, "sha256": SHA256, "sha384": SHA384}

func pcrsOf(t *testing.T, alg Alg, values map[string]string) PCRs {
	t.Helper()
	p := PCRs{Alg: alg}
	for k, v := range values {
		n, err := strconv.Atoi(k)
		if err != nil {
			t.Fatal(err)
		}
		p.Values[n] = unhex(t, v)
	}
	return p
}

// rawLog takes a log out of the JSON dumps of the field.
func rawLog(t *testing.T, b []byte) []byte {
	var o struct {
		Log struct{ Raw []byte }
	}
	if json.Unmarshal(b, &o) == nil && o.Log.Raw != nil {
		return o.Log.Raw
	}
	return b
}

func member(t *testing.T, n claim.Node, name string) claim.Node {
	t.Helper()
	v, ok := n.Object().Get(name)
	if !ok {
		t.Fatalf("no member %s", name)
	}
	return v
}

// Every real TPM log parses as stated and gives the quoted values, in every bank.
func TestRealTPMLogs(t *testing.T) {
	var m manifest
	if err := json.Unmarshal(load(t, vectors(t), "eventlog", "MANIFEST.json"), &m); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range m.Files {
		e := f.Expected
		if e.Format == "" && e.Parse != "malformed" || strings.Contains(strings.ToLower(f.Path), "ccel") || strings.HasPrefix(f.Path, "event_log") || strings.Contains(f.Path, "intel-tdx") {
			continue
		}
		seen++
		t.Run(f.Path, func(t *testing.T) {
			l, err := ParseTPM(rawLog(t, load(t, vectors(t), "eventlog", f.Path)), Options{})
			if e.Parse == "malformed" {
				if !fault.Is(err, fault.Malformed) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := e.Events
			if e.Format == "crypto-agile" {
				want-- // the header is not counted here
			}
			if len(l.Events) != want || len(l.Banks) != len(e.Banks) {
				t.Errorf("%d events, %d banks; want %d, %v", len(l.Events), len(l.Banks), want, e.Banks)
			}
			var only map[string]map[string]string
			_ = json.Unmarshal(e.Only, &only)
			for _, set := range []map[string]map[string]string{e.Quoted, only} {
				for bank, values := range set {
					x, err := l.ExplainPCRs(pcrsOf(t, algByName[bank], values))
					if f.Path == "ebs_event_missing_eventlog.bin" {
						if !fault.Is(err, fault.Binding) {
							t.Errorf("%v", err)
						}
						continue
					}
					if err != nil {
						t.Errorf("%s: %v", bank, err)
						continue
					}
					if f.Path == "linux_tpm12.json" != (x.Unexplained == 1<<10) {
						t.Errorf("unexplained %v", List(x.Unexplained))
					}
					boot := x.BootClaims("pcr")
					if e.Cmdline != "" && bank == "sha256" && member(t, boot, "kernel_cmdline").Text() != strings.TrimRight(e.Cmdline, "\x00") {
						t.Errorf("command line %s", member(t, boot, "kernel_cmdline"))
					}
					if e.Secure == "enabled" && !member(t, boot, "secure_boot").Bool() {
						t.Errorf("%s: Secure Boot is %s", bank, member(t, boot, "secure_boot"))
					}
					switch f.Path {
					case "arch-linux-workstation.bin":
						if member(t, boot, "secure_boot").Kind != claim.NodeNull {
							t.Error("an empty variable is not unknown")
						}
					case "ubuntu-2104-no-secure-boot.bin":
						if s := member(t, boot, "secure_boot"); s.Kind != claim.NodeBool || s.Bool() {
							t.Errorf("Secure Boot is %s", s)
						}
					}
				}
			}
		})
	}
	if seen < 14 {
		t.Errorf("only %d logs", seen)
	}
}

// The derived cases of the manifest.
func TestDerivedTPMLogs(t *testing.T) {
	var m struct {
		Files []struct {
			Path     string
			Expected struct {
				Quoted map[string]map[string]string `json:"quoted_pcrs"`
			}
		}
		Derived []struct {
			ID, Base string
			Ops      []struct {
				Op     string
				Offset int
				Value  uint32
				Length int
				Hex    string
			}
		} `json:"derived_cases"`
	}
	if err := json.Unmarshal(load(t, vectors(t), "eventlog", "MANIFEST.json"), &m); err != nil {
		t.Fatal(err)
	}
	want := map[string]fault.Class{"digest-flip": fault.Binding, "type-change": fault.Binding, "to-no-action": fault.Binding, "pcr-index-change": fault.Binding,
		"truncate-mid-event": fault.Malformed, "drop-last-event": fault.Binding, "huge-event-size": fault.Malformed, "huge-digest-count": fault.Malformed, "trailing-zero-garbage": fault.Malformed}
	for _, c := range m.Derived {
		b := slices.Clone(load(t, vectors(t), "eventlog", c.Base))
		for _, op := range c.Ops {
			switch op.Op {
			case "xor":
				b[op.Offset] ^= byte(op.Value)
			case "set32le":
				binary.LittleEndian.PutUint32(b[op.Offset:], op.Value)
			case "truncate":
				b = b[:op.Length]
			case "append":
				b = append(b, unhex(t, op.Hex)...)
			}
		}
		var quoted map[string]map[string]string
		for _, f := range m.Files {
			if f.Path == c.Base {
				quoted = f.Expected.Quoted
			}
		}
		explain := func(bank string) (*PCRsExplained, error) {
			l, err := ParseTPM(b, Options{})
			if err != nil {
				return nil, err
			}
			return l.ExplainPCRs(pcrsOf(t, algByName[bank], quoted[bank]))
		}
		x, err := explain("sha256")
		switch c.ID {
		case "data-flip":
			// The command that was edited is measured, and its text is not claimed.
			if err != nil {
				t.Errorf("%s: %v", c.ID, err)
				break
			}
			good, err := ParseTPM(load(t, vectors(t), "eventlog", c.Base), Options{})
			if err != nil {
				t.Fatal(err)
			}
			y, err := good.ExplainPCRs(pcrsOf(t, SHA256, quoted["sha256"]))
			if err != nil {
				t.Fatal(err)
			}
			if a, b := len(member(t, x.BootClaims("pcr"), "grub_commands").List()), len(member(t, y.BootClaims("pcr"), "grub_commands").List()); a+1 != b {
				t.Errorf("%d commands of %d are claimed", a, b)
			}
		case "digest-flip":
			if _, err := explain("sha1"); err != nil {
				t.Errorf("SHA-1 bank: %v", err)
			}
			fallthrough
		default:
			if class, known := want[c.ID]; !known || !fault.Is(err, class) {
				t.Errorf("%s: %v, want %v", c.ID, err, class)
			}
		}
	}
}

// legacy is a record in the old form.
func legacy(pcr uint32, typ Type, digest, data []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, pcr)
	b = binary.LittleEndian.AppendUint32(b, uint32(typ))
	b = append(b, digest...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

func TestPCRRules(t *testing.T) {
	sum := func(b ...byte) []byte { return SHA1.sum(b) }
	zero := make([]byte, 20)
	ext := func(ds ...[]byte) []byte {
		r := zero
		for _, d := range ds {
			r = SHA1.sum(r, d)
		}
		return r
	}
	sepD := sum(0, 0, 0, 0)
	for _, tc := range []struct {
		name  string
		log   []byte
		pcrs  map[int][]byte
		class fault.Class
		ok    bool
		open  uint32
		drop  uint32
	}{
		{"separator", legacy(4, EVSeparator, sepD, make([]byte, 4)), map[int][]byte{4: ext(sepD)}, 0, true, 0, 0},
		{"second separator", append(legacy(4, EVSeparator, sepD, make([]byte, 4)), legacy(4, EVSeparator, sepD, make([]byte, 4))...), map[int][]byte{4: ext(sepD, sepD)}, fault.Binding, false, 0, 0},
		{"separator in disguise", legacy(4, EVIPL, sepD, make([]byte, 4)), map[int][]byte{4: ext(sepD)}, fault.Binding, false, 0, 0},
		{"separator with other data", legacy(4, EVSeparator, sum(2, 0, 0, 0), []byte{2, 0, 0, 0}), map[int][]byte{4: ext(sum(2, 0, 0, 0))}, fault.Binding, false, 0, 0},
		{"error separator", legacy(4, EVSeparator, sum(1, 0, 0, 0), []byte{1, 0, 0, 0}), map[int][]byte{4: ext(sum(1, 0, 0, 0))}, fault.Binding, false, 0, 0},
		{"PCR that does not exist", legacy(24, EVIPL, sum(9), []byte{9}), nil, fault.Binding, false, 0, 0},
		{"PCR that was not quoted", legacy(9, EVIPL, sum(9), []byte{9}), map[int][]byte{4: zero}, 0, true, 0, 1 << 9},
		{"PCR that can be reset", legacy(16, EVIPL, sum(9), []byte{9}), map[int][]byte{16: ext(sum(9))}, 0, true, 0, 1 << 16},
		{"quoted PCR without events", legacy(9, EVIPL, sum(9), []byte{9}), map[int][]byte{9: ext(sum(9)), 10: sum(1)}, 0, true, 1 << 10, 0},
		{"locality", append(legacy(0, EVNoAction, zero, []byte("StartupLocality\x00\x03")), legacy(0, EVPostCode, sum(7), []byte{7})...),
			map[int][]byte{0: SHA1.sum(append(make([]byte, 19), 3), sum(7))}, 0, true, 0, 0},
		{"locality too late", append(legacy(0, EVPostCode, sum(7), []byte{7}), legacy(0, EVNoAction, zero, []byte("StartupLocality\x00\x03"))...),
			map[int][]byte{0: ext(sum(7))}, 0, true, 0, 0},
		{"one event more", legacy(9, EVIPL, sum(9), []byte{9}), map[int][]byte{9: ext(sum(9), sum(8))}, fault.Binding, false, 0, 0},
		{"action that does not fit its digest", legacy(4, EVEFIAction, sum(1), []byte("Calling EFI Application from Boot Option")), map[int][]byte{4: ext(sum(1))}, fault.Binding, false, 0, 0},
		{"cut", legacy(9, EVIPL, sum(9), []byte{9})[:30], nil, fault.Malformed, false, 0, 0},
		{"empty", nil, nil, fault.Malformed, false, 0, 0},
	} {
		p := PCRs{Alg: SHA1}
		for i, v := range tc.pcrs {
			p.Values[i] = v
		}
		l, err := ParseTPM(tc.log, Options{})
		var x *PCRsExplained
		if err == nil {
			x, err = l.ExplainPCRs(p)
		}
		if tc.ok != (err == nil) || !tc.ok && !fault.Is(err, tc.class) {
			t.Errorf("%s: %v", tc.name, err)
		} else if tc.ok && (x.Unexplained != tc.open || x.Dropped != tc.drop) {
			t.Errorf("%s: unexplained %v, dropped %v", tc.name, List(x.Unexplained), List(x.Dropped))
		}
	}
}

func FuzzTPM(f *testing.F) {
	f.Add(legacy(4, EVSeparator, make([]byte, 20), make([]byte, 4)))
	f.Add(tinyLog(1, EVSeparator, make([]byte, 48), make([]byte, 4)))
	b, _ := hex.DecodeString("00")
	f.Add(b)
	f.Add([]byte(base64.StdEncoding.EncodeToString([]byte("x"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseTPM(b, Options{Terminated: len(b)%2 == 0})
		if err != nil {
			return
		}
		for _, a := range []Alg{SHA1, SHA256} {
			if x, err := l.ExplainPCRs(PCRs{Alg: a}); err == nil {
				x.BootClaims("pcr")
			}
		}
	})
}

package eventlog

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-tee/assay/internal/fault"
)

func vectors(tb testing.TB) string {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		tb.Skip("ASSAY_VECTORS is unset: the tests on recorded logs are left out")
	}
	return dir
}

func load(tb testing.TB, path ...string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func explain(b []byte, regs ...[]byte) (*Explained, error) {
	l, err := Parse(b, Options{Terminated: true})
	if err != nil {
		return nil, err
	}
	return l.Explain(Registers{Alg: SHA384, First: 1, Values: regs, Name: "RTMR"})
}

// The published cases: what may become a claim, and what must be refused.
func TestCases(t *testing.T) {
	var file struct {
		Cases []struct {
			Name, Expect string
			Log          string `json:"log_base64"`
			RTMR         map[string]string
			NotEvent     *int     `json:"claims_must_not_contain_event"`
			NoText       *int     `json:"text_must_not_be_claimed_event"`
			Algs         []string `json:"claims_digest_algorithms"`
			Events       []struct {
				Index  uint32
				Type   string
				Covers bool `json:"digest_covers_event_data"`
			}
		}
	}
	if err := json.Unmarshal(load(t, vectors(t), "kbs", "event-log.json"), &file); err != nil {
		t.Fatal(err)
	}
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			raw, err := base64.StdEncoding.DecodeString(c.Log)
			if err != nil {
				t.Fatal(err)
			}
			x, err := explain(raw, unhex(t, c.RTMR["rtmr0"]), unhex(t, c.RTMR["rtmr1"]), unhex(t, c.RTMR["rtmr2"]), unhex(t, c.RTMR["rtmr3"]))
			if c.Expect == "reject" {
				if !fault.Is(err, fault.Malformed) && !fault.Is(err, fault.Binding) {
					t.Fatalf("%v, want a refusal", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, w := range c.Events {
				e := x.Events[i]
				var want [4]byte
				copy(want[:], unhex(t, w.Type))
				if e.Index != w.Index || uint32(e.Type) != binary.BigEndian.Uint32(want[:]) || e.covers(e.Data) != w.Covers {
					t.Errorf("event %d: %d %v %t, want %+v", i, e.Index, e.Type, e.covers(e.Data), w)
				}
			}
			for _, e := range x.Events {
				if e.Type == EVNoAction {
					t.Error("EV_NO_ACTION became a claim")
				}
			}
			if c.NoText != nil {
				e := x.Events[*c.NoText]
				if e.Content != nil && (e.Content.Text != "" || e.Content.Variable != nil && e.Content.Variable.Name != "") {
					t.Errorf("text that no digest covers became a claim: %+v", e.Content)
				}
			}
			if b, err := json.Marshal(x.TrusteeClaims()); err != nil || len(c.Algs) == 1 && bytes.Contains(b, []byte("SHA-256")) {
				t.Errorf("%v: digests of other banks in %s", err, b)
			}
			x.BootClaims("rtmr_")
		})
	}
}

// The claims of real logs equal those that Trustee gives, member by member.
func TestTrusteeClaims(t *testing.T) {
	dir := filepath.Join(vectors(t), "trustee", "eventlog")
	outs, err := filepath.Glob(filepath.Join(dir, "*_out.json"))
	if err != nil || len(outs) == 0 {
		t.Fatal("no expectations: ", err)
	}
	for _, out := range outs {
		t.Run(filepath.Base(out), func(t *testing.T) {
			b := load(t, strings.TrimSuffix(out, "_out.json"))
			alg := SHA384
			if strings.Contains(out, "csv") {
				alg = SM3
			}
			l, err := Parse(b, Options{Terminated: true})
			if err != nil {
				t.Fatal(err)
			}
			x, err := l.Explain(Registers{Alg: alg, First: 1, Values: replay(l, alg), Name: "RTMR"})
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(x.TrusteeClaims())
			if err != nil {
				t.Fatal(err)
			}
			var g, w any
			if err := json.Unmarshal([]byte(`{"uefi_event_logs":`+string(got)+`}`), &g); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(load(t, out), &w); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(w, g); d != "" {
				t.Errorf("(-Trustee +ours)\n%s", d)
			}
		})
	}
}

// replay extends without judging, to find registers that a log would give.
func replay(l *Log, alg Alg) [][]byte {
	regs := make([][]byte, 4)
	for i := range regs {
		regs[i] = make([]byte, alg.Size())
	}
	for _, e := range l.Events {
		if d, n := e.digest(alg); n == 1 && e.Type != EVNoAction {
			regs[e.Index-1] = alg.sum(regs[e.Index-1], d)
		}
	}
	return regs
}

// Real logs replay to the registers that were published or signed with them.
func TestRegistersOfRealLogs(t *testing.T) {
	dir := vectors(t)
	for _, folder := range []string{"eventlog", "trustee"} {
		var man struct {
			Files []struct {
				Path     string
				Expected json.RawMessage
				Claims   struct {
					Registers map[string]string
					Algorithm string
				}
			}
		}
		if err := json.Unmarshal(load(t, dir, folder, "MANIFEST.json"), &man); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, f := range man.Files {
			regs := f.Claims.Registers
			var ex struct {
				Registers  map[string]string
				ReplayOnly map[string]json.RawMessage `json:"replay_only"`
			}
			if f.Expected != nil && f.Expected[0] == '{' {
				if err := json.Unmarshal(f.Expected, &ex); err != nil {
					t.Fatal(err)
				}
				regs = ex.Registers
				for k, v := range ex.ReplayOnly {
					var s string
					if strings.HasPrefix(k, "rtmr") && json.Unmarshal(v, &s) == nil {
						if regs == nil {
							regs = map[string]string{}
						}
						regs[k] = s
					}
				}
			}
			if len(regs) == 0 || strings.Contains(f.Path, "quote") || strings.Contains(f.Path, "tdreport") {
				continue
			}
			n++
			t.Run(filepath.Base(f.Path), func(t *testing.T) {
				alg := SHA384
				if f.Claims.Algorithm == "SM3" {
					alg = SM3
				}
				l, err := Parse(load(t, dir, folder, f.Path), Options{Terminated: true})
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range replay(l, alg) {
					for _, k := range []string{"rtmr" + string(rune('0'+i)), string(rune('1' + i))} {
						// tdx_ccel_live.bin is published with the TDREPORT of another boot for RTMR2.
						if want, ok := regs[k]; ok && want != hex.EncodeToString(v) && !(f.Path == "tdx_ccel_live.bin" && i == 2) {
							t.Errorf("%s: %x, want %s", k, v, want)
						}
					}
				}
			})
		}
		if n == 0 {
			t.Errorf("no log with registers in %s", folder)
		}
	}
}

// tinyLog is a header and one measured event.
func tinyLog(index uint32, typ Type, digest, data []byte) []byte {
	spec := append([]byte("Spec ID Event03\x00"), 0, 0, 0, 0, 0, 2, 0, 2, 1, 0, 0, 0, byte(SHA384), 0, 48, 0, 0)
	b := binary.LittleEndian.AppendUint32(nil, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(EVNoAction))
	b = append(b, make([]byte, 20)...)
	b = append(binary.LittleEndian.AppendUint32(b, uint32(len(spec))), spec...)
	b = binary.LittleEndian.AppendUint32(b, index)
	b = binary.LittleEndian.AppendUint32(b, uint32(typ))
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = append(append(b, byte(SHA384), 0), digest...)
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(data))), data...)
}

func TestExplain(t *testing.T) {
	zero := make([]byte, 48)
	action := []byte("Exit Boot Services Invocation")
	d := SHA384.sum(action)
	reg := SHA384.sum(zero, d)
	for _, tc := range []struct {
		name  string
		log   []byte
		regs  [4][]byte
		class string
	}{
		{"good", tinyLog(2, EVEFIAction, d, action), [4][]byte{zero, reg, zero, zero}, ""},
		{"terminated", append(tinyLog(2, EVEFIAction, d, action), bytes.Repeat([]byte{0xff}, 100)...), [4][]byte{zero, reg, zero, zero}, ""},
		{"another register", tinyLog(3, EVEFIAction, d, action), [4][]byte{zero, reg, zero, zero}, "binding"},
		{"a register without events", tinyLog(2, EVEFIAction, d, action), [4][]byte{zero, reg, zero, reg}, "binding"},
		{"text changed", tinyLog(2, EVEFIAction, d, []byte("Exit")), [4][]byte{zero, reg, zero, zero}, "binding"},
		{"no such register", tinyLog(5, EVEFIAction, d, action), [4][]byte{zero, reg, zero, zero}, "binding"},
		{"index 0", tinyLog(0, EVEFIAction, d, action), [4][]byte{zero, reg, zero, zero}, "binding"},
		{"no action", tinyLog(2, EVNoAction, d, action), [4][]byte{zero, zero, zero, zero}, ""},
		{"three bytes more", append(tinyLog(2, EVEFIAction, d, action), 1, 2, 3), [4][]byte{zero, reg, zero, zero}, "malformed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x, err := explain(tc.log, tc.regs[:]...)
			if got := fault.ClassOf(err).String(); tc.class != "" && (err == nil || got != tc.class) || tc.class == "" && err != nil {
				t.Fatalf("%v, want %q", err, tc.class)
			}
			if err == nil && tc.name == "good" && (len(x.Events) != 1 || x.Events[0].Content.Text != string(action)) {
				t.Errorf("%+v", x.Events)
			}
		})
	}
	// The table of algorithms is measured by nobody: a size in it that is not the algorithm's is a lie.
	lying := tinyLog(2, EVEFIAction, d, action)
	lying[32+16+8+4+2] = 32 // SHA-384 of 32 bytes
	if _, err := explain(lying, zero, reg, zero, zero); !fault.Is(err, fault.Malformed) {
		t.Errorf("a lying table: %v", err)
	}
	full := tinyLog(2, EVEFIAction, d, action)
	for n := range full {
		// Cut behind the header the log is whole again: then the registers differ.
		if _, err := explain(full[:n], zero, reg, zero, zero); !fault.Is(err, fault.Malformed) && !fault.Is(err, fault.Binding) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	d := SHA384.sum([]byte{0, 0, 0, 0})
	f.Add(tinyLog(1, EVSeparator, d, []byte{0, 0, 0, 0}))
	f.Add(tinyLog(3, EVIPL, d, []byte("grub_cmd x\x00")))
	f.Add(tinyLog(4, EVEventTag, d, []byte("LEAA\x05\x00\x00\x00a b c")))
	f.Add(tinyLog(2, EVEFIBootServicesApp, d, make([]byte, 40)))
	if dir := os.Getenv("ASSAY_VECTORS"); dir != "" {
		for _, p := range []string{"CCEL_data_grub", "CCEL_AAEL_alibabacloud", "CCEL_data_ovmf"} {
			f.Add(load(f, dir, "trustee", "eventlog", p))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(b, Options{Terminated: true})
		if err != nil {
			if c := fault.ClassOf(err); c != fault.Malformed && c != fault.Unsupported {
				t.Fatalf("class %s: %v", c, err)
			}
			return
		}
		for i := range l.Events {
			if n := l.Events[i].Index; n < 1 || n > 4 {
				return
			}
		}
		x, err := l.Explain(Registers{Alg: SHA384, First: 1, Values: replay(l, SHA384), Name: "RTMR"})
		if err != nil {
			if !fault.Is(err, fault.Binding) {
				t.Fatal(err)
			}
			return
		}
		for _, n := range []json.Marshaler{x.TrusteeClaims(), x.BootClaims("rtmr_")} {
			if _, err := n.MarshalJSON(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

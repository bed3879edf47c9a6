package cborx

import (
	"bytes"
	"encoding/hex"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"pgregory.net/rapid"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCheckRefusesWhatCanBeReadInTwoWays(t *testing.T) {
	for name, in := range map[string]string{
		"empty":                         "",
		"head only":                     "18",
		"two bytes of a longer head":    "d901",
		"trailing byte":                 "0000",
		"indefinite array":              "9f00ff",
		"indefinite map":                "bf0000ff",
		"indefinite text":               "7f6161ff",
		"indefinite bytes":              "5f4161ff",
		"break alone":                   "ff",
		"reserved additional info":      "1c",
		"text that is not UTF-8":        "62c328",
		"text with a surrogate":         "63eda080",
		"duplicate key":                 "a201000100",
		"duplicate key, longer form":    "a20100180100",
		"duplicate negative key":        "a2200038000000",
		"duplicate text key":            "a2616100616100",
		"duplicate text, longer length": "a261610078016100",
		"duplicate array key":           "a28101008118 0100",
		"duplicate float key":           "a2f93c0000fa3f80000000",
		"duplicate among many":          "b1" + "00000100020003000400050006000700080009000a000b000c000d000e000f00" + "180000",
		"undefined":                     "f7",
		"simple value 0":                "e0",
		"simple value 32":               "f820",
		"NaN":                           "f97e00",
		"infinity":                      "f97c00",
		"negative infinity, double":     "fbfff0000000000000",
		"array longer than the input":   "9b000000010000000000",
		"map longer than the input":     "bb0000000100000000",
		"bytes longer than the input":   "5affffffff00",
		"text of 2^64-1":                "7bffffffffffffffff",
		"depth 17":                      strings.Repeat("81", 17) + "00",
		"depth 17 of tags":              strings.Repeat("c1", 17) + "00",
		"a map lacks its last value":    "a100",
	} {
		if err := Check(unhex(t, in), Limits{}); !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckAcceptsWhatIsNotDeterministic(t *testing.T) {
	for name, in := range map[string]string{
		"longer integer":       "1800",
		"unsorted keys":        "a202000100",
		"depth 16":             strings.Repeat("81", 16) + "00",
		"1 and \"1\" as keys":  "a20100613100",
		"1 and -1 as keys":     "a201002000",
		"bytes and text alike": "a2416100616100",
		"null":                 "f6",
		"a float":              "f93e00",
		"17 keys":              "b1" + "00000100020003000400050006000700080009000a000b000c000d000e000f00" + "1000",
	} {
		if err := Check(unhex(t, in), Limits{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a stranger announces must not cost more than what he sends.
func TestHostileInputCostsLittle(t *testing.T) {
	deep := bytes.Repeat([]byte{0x81}, 10_000)
	wide := append([]byte{0x9a, 0x00, 0x0f, 0x42, 0x40}, bytes.Repeat([]byte{0x80}, 1_000_000)...)
	for name, in := range map[string][]byte{
		"depth 10,000":      append(deep, 0),
		"2^32 entries":      unhex(t, "9b0000000100000000"+"00"),
		"2^32 pairs":        unhex(t, "bb0000000100000000"+"00"),
		"2^32 bytes":        unhex(t, "5b0000000100000000"+"00"),
		"1,000,000 entries": wide,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := Check(in, Limits{})
		runtime.ReadMemStats(&after)
		if !fault.Is(err, fault.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 64<<10 {
			t.Errorf("%s: %d bytes allocated", name, got)
		}
	}
}

func TestCanonicalIsCoreDeterministic(t *testing.T) {
	for in, want := range map[string]string{
		"1800":                           "00",
		"1b0000000000000017":             "17",
		"3a000000ff":                     "38ff",
		"a202000100":                     "a201000200",
		"a36161000a002000":               "a30a002000616100",
		"fb3ff8000000000000":             "f93e00",
		"fa47c35000":                     "fa47c35000", // 100000.0 does not fit 16 bits
		"fb3ff199999999999a":             "fb3ff199999999999a",
		"fb3e60000000000000":             "fa33000000",
		"fb3e70000000000000":             "f90001", // 2^-24, the smallest subnormal
		"fb8000000000000000":             "f98000",
		"fb40effc0000000000":             "f97bff", // 65504
		"d8641800":                       "d86400",
		"5801ff":                         "41ff",
		"82a201010000a200000101":         "82a200000101a200000101",
		"a2f5006161f6":                   "a26161f6f500",
		"9a000000021b0000000000000000f4": "8200f4",
	} {
		in, want = strings.ReplaceAll(in, " ", ""), strings.ReplaceAll(want, " ", "")
		b := unhex(t, in)
		if err := Check(b, Limits{}); err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := hex.EncodeToString(Canonical(b)); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestFloatsSurviveInTheShortestForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.Float64().Draw(t, "f")
		if rapid.Bool().Draw(t, "small") {
			f = float64(rapid.Int16().Draw(t, "n")) / 32
		}
		if math.IsNaN(f) || math.IsInf(f, 0) {
			t.Skip()
		}
		b := AppendFloat(nil, f)
		r := NewReader(b, Limits{})
		if got := r.Float(); got != f || math.Signbit(got) != math.Signbit(f) || r.Done() != nil {
			t.Fatalf("%v written as %x, read as %v %v", f, b, got, r.Err())
		}
	})
}

func TestReaderFailsOnceAndStays(t *testing.T) {
	r := NewReader(unhex(t, "8301612a f5"), Limits{})
	if n := r.Array(); n != 3 {
		t.Fatalf("%d entries", n)
	}
	if r.Text(); r.OK() {
		t.Error("an integer was read as text")
	}
	first := r.Err()
	if r.Uint() != 0 || r.Bytes() == nil || r.Map() != 0 || r.Bool() || r.Kind() != End || r.Err() != first {
		t.Error("a failed reader went on")
	}
}

func TestInt64KeepsItsBounds(t *testing.T) {
	for in, want := range map[string]int64{"1b7fffffffffffffff": math.MaxInt64, "3b7fffffffffffffff": math.MinInt64} {
		if r := NewReader(unhex(t, in), Limits{}); r.Int64() != want || r.Done() != nil {
			t.Errorf("%s: %v", in, r.Err())
		}
	}
	for _, in := range []string{"1b8000000000000000", "3b8000000000000000", "c2 41 01"} {
		if r := NewReader(unhex(t, in), Limits{}); r.Int64() != 0 || !fault.Is(r.Err(), fault.Malformed) {
			t.Errorf("%s was read as an integer", in)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"00", "a20100180100", "8301612af5", "d901f5a10001", "fb3ff199999999999a", "9f00ff"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if Check(b, Limits{}) != nil {
			return
		}
		c := Canonical(b)
		if err := Check(c, Limits{}); err != nil {
			t.Fatalf("the deterministic form %x of %x is refused: %v", c, b, err)
		}
		if d := Canonical(c); !bytes.Equal(c, d) {
			t.Fatalf("%x is not its own deterministic form: %x", c, d)
		}
		r := Checked(b)
		if r.Skip(); r.Done() != nil {
			t.Fatalf("skip and check disagree about %x: %v", b, r.Err())
		}
	})
}

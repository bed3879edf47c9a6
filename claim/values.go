package claim

import (
	"bytes"
	"fmt"
	"strconv"
)

// Digest is [alg, value]. Alg is an id of the IANA Named Information registry; AlgName is set, and Alg is 0, only for
// text names that the registry does not know.
type Digest struct {
	Alg     int64
	AlgName string
	Value   []byte
	// TextAlg says that a known algorithm was carried by its text name. It only serves the codec and takes no part in
	// any comparison.
	TextAlg bool
}

// Digest algorithms of the IANA Named Information registry.
const (
	SHA256   int64 = 1
	SHA384   int64 = 7
	SHA512   int64 = 8
	SHA3_224 int64 = 9
	SHA3_256 int64 = 10
	SHA3_384 int64 = 11
	SHA3_512 int64 = 12
)

type digestAlg struct {
	id   int64
	name string
	size int // bytes
}

var digestAlgs = []digestAlg{
	{1, "sha-256", 32}, {2, "sha-256-128", 16}, {3, "sha-256-120", 15}, {4, "sha-256-96", 12}, {5, "sha-256-64", 8},
	{6, "sha-256-32", 4}, {7, "sha-384", 48}, {8, "sha-512", 64}, {9, "sha3-224", 28}, {10, "sha3-256", 32},
	{11, "sha3-384", 48}, {12, "sha3-512", 64},
}

// DigestAlgByName returns the registry id of a text name.
func DigestAlgByName(name string) (int64, bool) {
	for _, a := range digestAlgs {
		if a.name == name {
			return a.id, true
		}
	}
	return 0, false
}

// DigestSize returns the length in bytes that a digest of algorithm alg has.
func DigestSize(alg int64) (int, bool) {
	for _, a := range digestAlgs {
		if a.id == alg {
			return a.size, true
		}
	}
	return 0, false
}

// SameAlg reports whether d and e are digests of one algorithm.
func (d Digest) SameAlg(e Digest) bool { return d.Alg == e.Alg && d.AlgName == e.AlgName }

// Equal reports whether d and e have the same algorithm and bytes.
func (d Digest) Equal(e Digest) bool { return d.SameAlg(e) && bytes.Equal(d.Value, e.Value) }

// AlgString returns the name of the algorithm.
func (d Digest) AlgString() string {
	if d.AlgName != "" {
		return d.AlgName
	}
	for _, a := range digestAlgs {
		if a.id == d.Alg {
			return a.name
		}
	}
	return "alg " + strconv.FormatInt(d.Alg, 10)
}

func (d Digest) String() string { return fmt.Sprintf("%s:%x", d.AlgString(), d.Value) }

// Int is an integer of CBOR's full range, −2⁶⁴ … 2⁶⁴−1: Mag, or −1−Mag when Neg.
type Int struct {
	Neg bool
	Mag uint64
}

// IntOf is the Int of i.
func IntOf(i int64) Int {
	if i < 0 {
		return Int{Neg: true, Mag: uint64(-1 - i)}
	}
	return Int{Mag: uint64(i)}
}

// Cmp returns −1, 0 or 1 as i is below, equal to or above j.
func (i Int) Cmp(j Int) int {
	switch {
	case i.Neg != j.Neg:
		if i.Neg {
			return -1
		}
		return 1
	case i.Mag == j.Mag:
		return 0
	case (i.Mag < j.Mag) != i.Neg:
		return -1
	}
	return 1
}

func (i Int) String() string {
	if !i.Neg {
		return strconv.FormatUint(i.Mag, 10)
	}
	if i.Mag == 1<<64-1 {
		return "-18446744073709551616"
	}
	return "-" + strconv.FormatUint(i.Mag+1, 10)
}

// Number is an integer or a finite float.
type Number struct {
	Float bool
	F     float64
	I     Int
}

// Range is a closed interval; a nil end is open.
type Range[T any] struct{ Min, Max *T }

// Version is version-map; Scheme is its text form ("" when absent; 1 is "multipartnumeric" … 16384 "semver"; an
// integer without a name is its decimal form).
type Version struct {
	Text   string
	Scheme string
	// TextScheme says that Scheme was carried as text although an integer stands for the same name. It only serves the
	// codec and takes no part in any comparison.
	TextScheme bool
}

// SVN is a security version number; Min makes it the condition "at least" (tag 553).
type SVN struct {
	Value uint64
	Min   bool
	// Bare says that a plain value was carried without tag 552. It only serves the codec and takes no part in any
	// comparison.
	Bare bool
}

// Raw is raw-value. A nil Mask compares every bit; a Mask makes it a condition (tag 563).
type Raw struct {
	Value, Mask []byte
	// OldMask says that the mask was carried beside the value under the deprecated code point 5. It only serves the
	// codec and takes no part in any comparison.
	OldMask bool
}

// Register is one integrity register; ID is an unsigned integer or text, and 5 and "5" differ.
type Register struct {
	ID      ID
	Digests []Digest
}

// IntRange is code point 15: a plain integer (Value) or a range.
type IntRange struct {
	Value *Int
	Range *Range[Int]
}

// NumberChoice, TextChoice and BytesChoice are code points 17 to 19: one value, or a condition.
type NumberChoice struct {
	Value *Number
	Range *Range[Number]
	Set   []Number
}

// TextChoice is code point 18.
type TextChoice struct {
	Value string
	Set   []string
}

// BytesChoice is code point 19.
type BytesChoice struct {
	Value []byte
	Set   [][]byte
}

// Flag is the index of a flag in flags-map.
type Flag uint8

// The flags of flags-map.
const (
	FlagConfigured Flag = iota
	FlagSecure
	FlagRecovery
	FlagDebug
	FlagReplayProtected
	FlagIntegrityProtected
	FlagRuntimeMeas
	FlagImmutable
	FlagTCB
	FlagConfidentialityProtected
	FlagRuntimeUpdatable
	NumFlags
)

func (f Flag) String() string {
	return [...]string{"is-configured", "is-secure", "is-recovery", "is-debug", "is-replay-protected",
		"is-integrity-protected", "is-runtime-meas", "is-immutable", "is-tcb", "is-confidentiality-protected",
		"is-runtime-updatable"}[min(f, NumFlags-1)]
}

// Flags is flags-map: a flag that is not in Known is unknown, never false.
type Flags struct{ Known, Value uint16 }

// With returns f with flag set to v.
func (f Flags) With(flag Flag, v bool) Flags {
	f.Known |= 1 << flag
	f.Value &^= 1 << flag
	if v {
		f.Value |= 1 << flag
	}
	return f
}

// Get returns the value of flag and whether it is known.
func (f Flags) Get(flag Flag) (value, known bool) {
	return f.Value>>flag&1 == 1, f.Known>>flag&1 == 1
}

// Extension is a code point that a profile defines (negative), or one not known here (positive): kept, and compared
// only by an algorithm that the profile gives.
type Extension struct {
	Key  int64
	CBOR []byte // core deterministic encoding of the value
}

// Values is measurement-values-map; the number beside each field is its code point. Absent fields are nil, empty or
// unset. Some forms (SVN.Min, Raw.Mask, ranges, sets) are conditions and are never allowed in Evidence.
type Values struct {
	Version    *Version      // 0
	SVN        *SVN          // 1
	Digests    []Digest      // 2
	Flags      Flags         // 3
	Raw        *Raw          // 4 and 5
	MAC        []byte        // 6
	IP         []byte        // 7
	Serial     *string       // 8
	UEID       []byte        // 9
	UUID       []byte        // 10
	Name       *string       // 11
	CryptoKeys []ID          // 13
	Registers  []Register    // 14
	IntRange   *IntRange     // 15
	Bool       *bool         // 16
	Number     *NumberChoice // 17
	Text       *TextChoice   // 18
	Bytes      *BytesChoice  // 19
	Ext        []Extension   // negative or unknown
}

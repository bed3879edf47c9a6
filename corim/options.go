package corim

import (
	"slices"
	"strings"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
)

// Relaxation is the name of one rule that reading may leave out for one call. The default is none.
type Relaxation string

// The relaxations of specs corim.md section 18, each for files that exist.
const (
	RelaxLegacyPrefix  Relaxation = "legacy-prefix"   // tags 500 and 502 before 18 or 501
	RelaxBarePayload   Relaxation = "bare-payload"    // the payload is a corim-map without tag 501
	RelaxBstrAroundTag Relaxation = "bstr-around-tag" // an element of tags is a bstr around 506(map)
	RelaxUntaggedURI   Relaxation = "untagged-uri"    // plain text as profile or href
	RelaxOIDTLV        Relaxation = "oid-tlv"         // tag 111 holds the whole TLV
	RelaxProfileArray  Relaxation = "profile-array"   // the profile is an array of one
)

// Relaxations lists every relaxation.
func Relaxations() []Relaxation {
	return []Relaxation{RelaxLegacyPrefix, RelaxBarePayload, RelaxBstrAroundTag, RelaxUntaggedURI, RelaxOIDTLV, RelaxProfileArray}
}

// Limits of specs corim.md section 18.
const (
	MaxSize         = 16 << 20 // bytes of a manifest
	maxTags         = 4096
	maxTriples      = 65536  // per CoMID
	maxElements     = 262144 // measured elements in one manifest, so that memory stays in proportion
	maxBytes        = 1 << 20
	maxCertificates = 10
)

var (
	outerLimits = cborx.Limits{Size: MaxSize, Depth: 16, Items: 65536, Text: 64 << 10, Bytes: MaxSize}
	innerLimits = cborx.Limits{Size: MaxSize, Depth: 16, Items: 65536, Text: 64 << 10, Bytes: maxBytes}
)

// Options are the conditions of one reading. The zero Options are strict and know no profile.
type Options struct {
	// Profiles are the known profiles by identifier; a manifest with another profile is refused whole.
	Profiles Registry
	// Relax are the rules to leave out, each for a reason that the caller can name.
	Relax []Relaxation
	// ForDisplay also reads a manifest of an unknown profile, with a warning. What it yields must not be admitted.
	ForDisplay bool
	// Profile is the profile under which a tag is read on its own (DecodeCoMID); a manifest names its own.
	Profile *Profile
}

// Registry is a set of profiles by identifier: a URI, or an OID in dotted decimal, compared by exact bytes.
type Registry map[string]*Profile

// NewRegistry makes a Registry of profiles under all their identifiers.
func NewRegistry(profiles ...*Profile) Registry {
	r := Registry{}
	for _, p := range profiles {
		for _, id := range p.IDs {
			r[id] = p
		}
	}
	return r
}

// Profile is what a profile defines on top of the base. A profile only overrides what its specification lists;
// everything else follows the base rules. A Profile is immutable.
type Profile struct {
	IDs  []string // identifiers, the current one first
	Name string   // for people

	// CodePoints are the measurement-values-map code points that the profile defines.
	CodePoints map[int64]CodePoint
	// OddDigest allows a digest of mkey whose length does not fit its algorithm; nil allows none.
	OddDigest func(mkey claim.ID, d claim.Digest) bool
	// KeyTags are CBOR tags of crypto-key forms beyond the base.
	KeyTags []uint64
	// TripleKeys are triple categories of the profile, by key with their names; they are kept undecoded.
	TripleKeys map[int64]string

	// Compare looks up the comparison of an element's code point, where the base rule does not apply; else nil.
	Compare func(mkey claim.ID, codePoint int64) func(cond, acc claim.Values) bool
	// ElementName gives the name by which people know an element, or "".
	ElementName func(env claim.Environment, mkey claim.ID) string
	// Describe writes an element's values for people where the profile knows more than the base, or "".
	Describe func(mkey claim.ID, v claim.Values) string
	// Check finds what the profile forbids or advises against in a manifest.
	Check func(*Manifest) []Finding

	// ExactCover says that a reference triple describes the whole state: each element of the Evidence must be matched
	// by a distinct element of the triple and the other way round (specs corim.md A24).
	ExactCover bool
	// OnlyKeys, when set, makes reading skip all other corim-map keys undecoded.
	OnlyKeys []int64
}

// Comparator returns the comparison that p demands for a code point of the element mkey, or nil for the base rule.
func (p *Profile) Comparator(mkey claim.ID, codePoint int64) func(cond, acc claim.Values) bool {
	if p == nil || p.Compare == nil {
		return nil
	}
	return p.Compare(mkey, codePoint)
}

// CodePoint describes one measurement-values-map code point of a profile.
type CodePoint struct {
	Name string
	// Check refuses a value, given as its core deterministic encoding, that the profile does not allow.
	Check func(cbor []byte) error
	// Condition reports whether the value is a condition, which Evidence and endorsements may not carry; may be nil.
	Condition func(cbor []byte) bool
}

// Finding is something that a profile forbids (Err) or advises against (Warning).
type Finding struct {
	Where   string // which triple and element
	Warning string // "" when Err is set
	Err     error
}

// decoder carries the conditions of one reading and what it has found.
type decoder struct {
	opts     Options
	profile  *Profile
	used     []string
	warnings []string
	elements int
	// oddAllowed says that digests of odd length are collected in odd, for the measurement's mkey to decide.
	oddAllowed bool
	odd        []claim.Digest // digests of the present measurement whose length only a profile can allow
}

func (d *decoder) relaxed(x Relaxation) bool {
	if !slices.Contains(d.opts.Relax, x) {
		return false
	}
	if !slices.Contains(d.used, string(x)) {
		d.used = append(d.used, string(x))
	}
	return true
}

func (d *decoder) warn(s string) {
	if len(d.warnings) < 100 && !slices.Contains(d.warnings, s) {
		d.warnings = append(d.warnings, s)
	}
}

func (d *decoder) lookupProfile(id string) error {
	p, ok := d.opts.Profiles[id]
	switch {
	case ok:
	case d.opts.ForDisplay:
		d.warn("the profile is not known here: for display only, nothing of this may be admitted")
		return nil
	default:
		known := make([]string, 0, len(d.opts.Profiles))
		for k := range d.opts.Profiles {
			known = append(known, k)
		}
		slices.Sort(known)
		return fault.New(fault.Unsupported, "profile %q is not known here, so nothing of this CoRIM can be read (known: %s)", id, strings.Join(known, ", "))
	}
	d.profile = p
	return nil
}

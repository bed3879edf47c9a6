package oak

import (
	"encoding/hex"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/oaktext"
	"github.com/assay-tee/assay/internal/protox"
)

// Limits on reference values.
const maxValues = 1024 // digests, literals or keys of one reference value

// Key is VerifyingKey.
type Key struct {
	Type uint64
	ID   uint32
	Raw  []byte // SubjectPublicKeyInfo, DER
}

// KeySet is VerifyingKeySet. Zero limits do not limit.
type KeySet struct {
	Keys              []Key
	NotBefore         time.Time
	NotBeforeRelative time.Duration // negative, from now
}

// Strategy is which transparency is asked for.
type Strategy uint8

// The strategies. TLogMissing is a failure.
const (
	TLogMissing Strategy = iota
	TLogSkip
	TLogAll
	TLogAny
)

// TLog is TLogReferenceValues, or the older field rekor.
type TLog struct {
	Strategy Strategy
	Rekor    *KeySet
	C2SP     *string // text of the policy
	PES      *KeySet
}

// RequiredClaims is ClaimReferenceValue: present, even when the list is empty.
type RequiredClaims struct{ Types []string }

// EndorsementReference is EndorsementReferenceValue.
type EndorsementReference struct {
	Endorser       KeySet
	RequiredClaims *RequiredClaims
	TLog           TLog
}

// How says what a reference value asks for. Empty is a failure: a value that says nothing is no value.
type How uint8

// The choices.
const (
	Empty How = iota
	Skip
	ByEndorsement
	ByDigest
	ByRegex
	ByLiteral
)

func (h How) String() string {
	return [...]string{"nothing", "skip", "endorsement", "digest", "regex", "literal"}[min(h, ByLiteral)]
}

// NamedDigest is a digest under Oak's name of its algorithm.
type NamedDigest struct {
	Alg   string
	Value []byte
}

// Digests are digests of one thing under several algorithms.
type Digests []NamedDigest

// Value is one reference value.
type Value struct {
	How         How
	Endorsement *EndorsementReference
	Digests     []Digests
	SetupData   []Digests // of a kernel
	Regex       string
	Literals    []string
}

// TCB is a minimum of SNP's TCB, or skip.
type TCB struct {
	Skip    bool
	Minimum map[string]uint64 // boot_loader, tee, snp, microcode, fmc
}

// SNP is AmdSevReferenceValues.
type SNP struct {
	AllowDebug, RequireAliasCheck bool
	Stage0                        *Value
	MinTCB                        *TCB            // the older field; decides alone when set
	Products                      map[string]*TCB // Milan, Genoa, Turin
	LaunchMit, CurrentMit         uint64
}

// TDX is IntelTdxReferenceValues.
type TDX struct {
	AllowDebug bool
	Stage0     *Value
	TCB        *TCB // Minimum has the keys "0" to "15"
}

// ReferenceValues are what somebody asks of Oak evidence.
type ReferenceValues struct {
	Shape    string // of the evidence that they are for
	SNP      *SNP
	TDX      *TDX
	Insecure bool
	Values   map[string]*Value
	Events   []*Value // of CB, one per event
}

// ParseReferenceValues reads the message ReferenceValues, in binary form, or in text form that names the message. Errors are malformed or unsupported.
func ParseReferenceValues(b []byte) (*ReferenceValues, error) {
	b, err := oaktext.Binary(b, oaktext.ReferenceValues)
	if err != nil {
		return nil, err
	}
	m := protox.Parse("ReferenceValues", b)
	r := &ReferenceValues{Values: map[string]*Value{}}
	form := m.OneOf(1, 2, 3, 4, 5, 6)
	l := (*protox.Message)(nil)
	switch form {
	case 1:
		r.Shape, l = "oak_restricted_kernel", m.Sub(1, "oak_restricted_kernel")
		if a := l.Sub(3, "application_layer"); a != nil {
			r.Values[Application], r.Values[ApplicationConfig] = binary(a, 1), binary(a, 2)
		}
	case 2:
		r.Shape, l = "oak_containers", m.Sub(2, "oak_containers")
		if s := l.Sub(3, "system_layer"); s != nil {
			r.Values[SystemImage] = binary(s, 1)
		}
		if c := l.Sub(4, "container_layer"); c != nil {
			r.Values[Container], r.Values[ContainerConfig] = binary(c, 1), binary(c, 2)
		}
	case 3:
		r.Shape, l = "cb", m.Sub(3, "cb")
		for _, e := range l.Subs(5, "layers") {
			r.Events = append(r.Events, binary(e, 1))
		}
	case 0:
		if m.Err() == nil {
			return nil, fault.New(fault.Policy, "reference values of no kind: an empty message asks for nothing")
		}
		return nil, m.Err()
	default:
		if m.Err() == nil {
			return nil, fault.New(fault.Unsupported, "reference values of kind %d", form)
		}
		return nil, m.Err()
	}
	if root := l.Sub(1, "root_layer"); root != nil {
		r.root(root)
	}
	if k := l.Sub(2, "kernel_layer"); form != 3 && k != nil {
		r.Values[Kernel] = kernel(k, 1)
		r.Values[Initrd], r.Values[MemoryMap], r.Values[ACPI] = binary(k, 4), binary(k, 5), binary(k, 6)
		r.Values[KernelCmdline] = text(k, 9)
	}
	return r, m.Err()
}

func (r *ReferenceValues) root(m *protox.Message) {
	if s := m.Sub(1, "amd_sev"); s != nil {
		r.SNP = &SNP{AllowDebug: s.Bool(3), Stage0: binary(s, 4), MinTCB: tcb(s, 5, snpTCB), RequireAliasCheck: s.Bool(10),
			Products: map[string]*TCB{"Milan": tcb(s, 6, snpTCB), "Genoa": tcb(s, 7, snpTCB), "Turin": tcb(s, 8, snpTCB)}}
		s.Bool(9) // check_vcek_cert_expiry: always checked
		// Upstream compares them as numbers; absent is 0, which asks for nothing.
		r.SNP.LaunchMit, r.SNP.CurrentMit = number(s, 11), number(s, 12)
	}
	if t := m.Sub(2, "intel_tdx"); t != nil {
		r.TDX = &TDX{TCB: tcb(t, 1, tdxTCB), AllowDebug: t.Bool(2), Stage0: binary(t, 3)}
	}
	r.Insecure = m.Sub(3, "insecure") != nil
}

// number reads a number that may be wrapped in a message of its own.
func number(m *protox.Message, num uint32) uint64 {
	if !m.Has(num) {
		return 0
	}
	return m.Uint(num)
}

var snpTCB = []string{"boot_loader", "tee", "snp", "microcode", "fmc"}

var tdxTCB = []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"}

// tcb reads the oneof skip 1, minimum 2. An empty one is not nil and asks for nothing that could be met.
func tcb(m *protox.Message, num uint32, names []string) *TCB {
	s := m.Sub(num, "tcb")
	if s == nil {
		return nil
	}
	t := &TCB{}
	switch s.OneOf(1, 2) {
	case 1:
		t.Skip = true
	case 2:
		least := s.Sub(2, "minimum")
		t.Minimum = map[string]uint64{}
		for i, n := range names {
			t.Minimum[n] = least.Uint(uint32(i + 1))
		}
	}
	return t
}

// binary reads a BinaryReferenceValue; nil when it is absent.
func binary(m *protox.Message, num uint32) *Value {
	b := m.Sub(num, "value")
	if b == nil {
		return nil
	}
	v := &Value{}
	switch b.OneOf(1, 2, 3) {
	case 1:
		v.How = Skip
	case 2:
		v.How, v.Endorsement = ByEndorsement, endorsement(b.Sub(2, "endorsement"))
	case 3:
		v.How, v.Digests = ByDigest, digests(b.Sub(3, "digests"))
	}
	return v
}

func kernel(m *protox.Message, num uint32) *Value {
	b := m.Sub(num, "kernel")
	if b == nil {
		return nil
	}
	v := &Value{}
	switch b.OneOf(1, 2, 3) {
	case 1:
		v.How = Skip
	case 2:
		v.How, v.Endorsement = ByEndorsement, endorsement(b.Sub(2, "endorsement"))
	case 3:
		v.How = ByDigest
		d := b.Sub(3, "digests")
		if i := d.Sub(2, "image"); i != nil {
			v.Digests = digests(i)
		}
		if s := d.Sub(3, "setup_data"); s != nil {
			v.SetupData = digests(s)
		}
	}
	return v
}

func text(m *protox.Message, num uint32) *Value {
	b := m.Sub(num, "text")
	if b == nil {
		return nil
	}
	v := &Value{}
	switch b.OneOf(1, 2, 3, 4) {
	case 1:
		v.How = Skip
	case 2:
		v.How, v.Regex = ByRegex, b.Sub(2, "regex").Text(1)
	case 3:
		v.How = ByLiteral
		for _, l := range b.Sub(3, "string_literals").All(1) {
			v.Literals = append(v.Literals, string(l))
		}
	case 4:
		v.How, v.Endorsement = ByEndorsement, endorsement(b.Sub(4, "endorsement"))
	}
	if len(v.Literals) > maxValues {
		b.Fail("%d literals", len(v.Literals))
	}
	return v
}

func digests(m *protox.Message) (out []Digests) {
	list := m.Subs(1, "digests")
	if len(list) > maxValues {
		m.Fail("%d digests", len(list))
	}
	for _, d := range list {
		out = append(out, rawDigest(d))
	}
	return out
}

var digestFields = map[uint32]string{17: "sha1", 18: "sha2_256", 19: "sha2_512", 20: "sha3_512", 21: "sha3_384", 22: "sha3_256", 23: "sha3_224", 32: "sha2_384", 16: "psha2"}

func rawDigest(m *protox.Message) (d Digests) {
	for num, name := range digestFields {
		if b := m.Bytes(num); len(b) > 0 {
			d = append(d, NamedDigest{name, b})
		}
	}
	return d
}

// hexDigest reads a HexDigest, in lower-case hexadecimal text.
func hexDigest(m *protox.Message) (d Digests) {
	if m == nil {
		return nil
	}
	for num, name := range digestFields {
		s := m.Text(num)
		if s == "" {
			continue
		}
		b, err := hex.DecodeString(s)
		if err != nil {
			m.Fail("%s is no hexadecimal text", name)
		}
		d = append(d, NamedDigest{name, b})
	}
	return d
}

func keySet(m *protox.Message) (k KeySet) {
	if m == nil {
		return k
	}
	for _, s := range m.Subs(1, "keys") {
		id := s.Uint(2)
		if id > 1<<32-1 {
			s.Fail("key id %d", id)
		}
		k.Keys = append(k.Keys, Key{Type: s.Uint(1), ID: uint32(id), Raw: s.Bytes(3)})
	}
	if len(k.Keys) > maxValues {
		m.Fail("%d keys", len(k.Keys))
	}
	if t := m.Sub(2, "signed_timestamp"); t != nil {
		if a := t.Sub(1, "not_before_absolute"); a != nil {
			k.NotBefore = time.Unix(a.Int(1), a.Int(2)).UTC()
		}
		if d := t.Sub(2, "not_before_relative"); d != nil {
			k.NotBeforeRelative = time.Duration(d.Int(1))*time.Second + time.Duration(d.Int(2))
		}
	}
	return k
}

func endorsement(m *protox.Message) *EndorsementReference {
	r := &EndorsementReference{Endorser: keySet(m.Sub(3, "endorser"))}
	if c := m.Sub(4, "required_claims"); c != nil {
		r.RequiredClaims = &RequiredClaims{}
		for _, t := range c.All(1) {
			r.RequiredClaims.Types = append(r.RequiredClaims.Types, string(t))
		}
	}
	if t := m.Sub(6, "tlog"); t != nil {
		r.TLog.Strategy = map[uint32]Strategy{1: TLogSkip, 2: TLogAll, 3: TLogAny}[t.OneOf(1, 2, 3)]
		if k := t.Sub(5, "rekor"); k != nil {
			set := keySet(k)
			r.TLog.Rekor = &set
		}
		if c := t.Sub(6, "c2sp"); c != nil {
			policy := c.Text(2)
			r.TLog.C2SP = &policy
		}
		if p := t.Sub(7, "pes"); p != nil {
			set := keySet(p.Sub(1, "key_set"))
			r.TLog.PES = &set
		}
		return r
	}
	// Without tlog the older field decides: skip 1, or verify 2 with a key set.
	if o := m.Sub(5, "rekor"); o != nil {
		switch o.OneOf(1, 2) {
		case 1:
			r.TLog.Strategy = TLogSkip
		case 2:
			set := keySet(o.Sub(2, "verify"))
			r.TLog = TLog{Strategy: TLogAll, Rekor: &set}
		}
	}
	return r
}

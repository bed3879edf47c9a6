package claim

import "strconv"

// Tier is a status of draft-ietf-rats-ar4si section 2.3, as the number that its CBOR form has.
type Tier uint8

// The tiers.
const (
	TierNone            Tier = 0
	TierAffirming       Tier = 2
	TierWarning         Tier = 32
	TierContraindicated Tier = 96
)

func (t Tier) String() string {
	switch t {
	case TierAffirming:
		return "affirming"
	case TierWarning:
		return "warning"
	case TierContraindicated:
		return "contraindicated"
	}
	return "none"
}

// TierByName is the inverse of [Tier.String].
func TierByName(s string) (Tier, bool) {
	for _, t := range []Tier{TierNone, TierAffirming, TierWarning, TierContraindicated} {
		if t.String() == s {
			return t, true
		}
	}
	return TierNone, false
}

// rank orders tiers from best to worst: affirming, none, warning, contraindicated (specs ear.md section 5).
func (t Tier) rank() int {
	switch t {
	case TierAffirming:
		return 0
	case TierWarning:
		return 2
	case TierContraindicated:
		return 3
	}
	return 1
}

// Worse returns the worse of t and u.
func (t Tier) Worse(u Tier) Tier {
	if u.rank() > t.rank() {
		return u
	}
	return t
}

// Better reports whether t is strictly better than u.
func (t Tier) Better(u Tier) bool { return t.rank() < u.rank() }

// TrustClaim is a value of one member of the trust vector.
type TrustClaim int8

// Tier returns the tier that v lies in (draft-ietf-rats-ar4si section 2.3.2).
func (v TrustClaim) Tier() Tier {
	switch {
	case v >= -1 && v <= 1:
		return TierNone
	case v >= 2 && v <= 31, v <= -2 && v >= -32:
		return TierAffirming
	case v >= 32 && v <= 95, v <= -33 && v >= -96:
		return TierWarning
	}
	return TierContraindicated
}

func (v TrustClaim) String() string { return strconv.Itoa(int(v)) }

// VectorMember is an index of [TrustVector]; its number is the CBOR key.
type VectorMember uint8

// The members of the vector.
const (
	InstanceIdentity VectorMember = iota
	Configuration
	Executables
	FileSystem
	Hardware
	RuntimeOpaque
	StorageOpaque
	SourcedData
	NumVectorMembers
)

var vectorNames = [NumVectorMembers]string{"instance-identity", "configuration", "executables", "file-system",
	"hardware", "runtime-opaque", "storage-opaque", "sourced-data"}

func (m VectorMember) String() string { return vectorNames[min(m, NumVectorMembers-1)] }

// VectorMemberByName is the inverse of [VectorMember.String].
func VectorMemberByName(s string) (VectorMember, bool) {
	for i, n := range vectorNames {
		if n == s {
			return VectorMember(i), true
		}
	}
	return 0, false
}

// TrustVector is the AR4SI trustworthiness vector. An unset member makes no assertion.
type TrustVector [NumVectorMembers]Opt[TrustClaim]

// Tier is the best status that the vector allows (specs ear.md section 5): the worst tier of its members, where unset
// and 0 are neutral, an explicit 1 or −1 caps at none, and a vector without any assertion is none.
func (v TrustVector) Tier() Tier {
	out, any := TierAffirming, false
	for _, m := range v {
		if !m.Set || m.V == 0 {
			continue
		}
		any = true
		out = out.Worse(m.V.Tier())
	}
	if !any {
		return TierNone
	}
	return out
}

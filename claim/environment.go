package claim

import (
	"fmt"
	"strings"
)

// Class is class-map (draft-ietf-rats-corim section 5.1.4.2). Absent members are unset.
type Class struct {
	ID     ID // 111, 37 or 560
	Vendor Opt[string]
	Model  Opt[string]
	Layer  Opt[uint64]
	Index  Opt[uint64]
}

// Environment is environment-map (section 5.1.4.1). It is comparable; == means equal deterministic encodings.
type Environment struct {
	Class    Class
	Instance ID
	Group    ID
}

// IsZero reports whether nothing is set; such an environment is not allowed in any statement.
func (e Environment) IsZero() bool { return e == Environment{} }

// Contains reports whether e, as a condition, matches the environment of a: every attribute that e has, a has with an
// equal value; what a has beyond that is ignored (section 8.3.4.3.2). The zero Environment contains nothing.
func (e Environment) Contains(a Environment) bool {
	if e.IsZero() {
		return false
	}
	return idIn(e.Class.ID, a.Class.ID) && optIn(e.Class.Vendor, a.Class.Vendor) && optIn(e.Class.Model, a.Class.Model) &&
		optIn(e.Class.Layer, a.Class.Layer) && optIn(e.Class.Index, a.Class.Index) &&
		idIn(e.Instance, a.Instance) && idIn(e.Group, a.Group)
}

func idIn(c, a ID) bool                    { return c.IsZero() || c == a }
func optIn[T comparable](c, a Opt[T]) bool { return !c.Set || c == a }

// String renders e for people.
func (e Environment) String() string {
	var p []string
	if !e.Class.ID.IsZero() {
		p = append(p, "class "+e.Class.ID.String())
	}
	if e.Class.Vendor.Set {
		p = append(p, fmt.Sprintf("vendor %q", e.Class.Vendor.V))
	}
	if e.Class.Model.Set {
		p = append(p, fmt.Sprintf("model %q", e.Class.Model.V))
	}
	if e.Class.Layer.Set {
		p = append(p, fmt.Sprintf("layer %d", e.Class.Layer.V))
	}
	if e.Class.Index.Set {
		p = append(p, fmt.Sprintf("index %d", e.Class.Index.V))
	}
	if !e.Instance.IsZero() {
		p = append(p, "instance "+e.Instance.String())
	}
	if !e.Group.IsZero() {
		p = append(p, "group "+e.Group.String())
	}
	return strings.Join(p, ", ")
}

// Authority is the set of all forms under which the keys that vouch for something are known: a key may appear as
// 554, 555, 557, 558, 559, 561, 562 and so on (specs corim.md A11). Order has no meaning.
type Authority []ID

// Satisfies reports whether a holds every entry of the condition c (section 8.3.4.3.4). An empty condition is met.
func (a Authority) Satisfies(c Authority) bool {
next:
	for _, want := range c {
		for _, have := range a {
			if have == want {
				continue next
			}
		}
		return false
	}
	return true
}

// CMType is the conceptual message that an ECT came from (section 8.2).
type CMType uint8

// The conceptual messages.
const (
	CMReferenceValues CMType = 0
	CMEndorsements    CMType = 1
	CMEvidence        CMType = 2
)

func (t CMType) String() string {
	return [...]string{"reference-values", "endorsements", "evidence"}[min(t, 2)]
}

// Element is one measured element of an environment: element-id (mkey) and element-claims (mval).
type Element struct {
	Key    ID // zero: anonymous
	Values Values
	// Name is the name by which people know this element, from the driver or the profile ("measurement"). It takes no
	// part in any comparison.
	Name string
	// Field is the evidence field that the values were read from ("MEASUREMENT at 0x090"); only in evidence.
	Field string
	// AuthorizedBy is a condition on the authority of what matches; only in conditions (specs corim.md A1).
	AuthorizedBy Authority
}

// ECT is an environment-claims tuple with elements (E-ECT, section 8.2).
type ECT struct {
	Environment Environment
	Elements    []Element
	Authority   Authority
	Profile     string // "" when none
	CMType      CMType
}

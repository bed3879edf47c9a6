package appraise

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/claim/compare"
	"github.com/assay-tee/assay/endorse"
)

// meets reports whether one ECT of the accepted claims meets a condition as a whole (section 8.3.4.4.3): environment,
// authority, and every element by some element of this very ECT. Components are never mixed from several ECTs.
func (n *node) meets(env *claim.Environment, auth claim.Authority, elements []claim.Element, profile endorse.Comparators) bool {
	if !env.Contains(n.env) || !satisfies(n.auth, auth) {
		return false
	}
	for i := range elements {
		if !n.meetsElement(&elements[i], profile) {
			return false
		}
	}
	return true
}

func (n *node) meetsElement(c *claim.Element, profile endorse.Comparators) bool {
	if !satisfies(n.auth, c.AuthorizedBy) {
		return false
	}
	for _, e := range n.elements {
		if compare.Element(c, e, profile) {
			return true
		}
	}
	return false
}

// satisfies is section 15.2: every entry of the condition is some form of the authority.
func satisfies(have, want claim.Authority) bool {
	if have.Satisfies(want) {
		return true
	}
next:
	for _, w := range want {
		for _, h := range have {
			if compare.KeyID(w, h) {
				continue next
			}
		}
		return false
	}
	return true
}

// oneToOne reports whether the elements of n and those of the statement can be paired so that none is left over on
// either side (specs corim.md A24). It is maximum bipartite matching by augmenting paths.
func (n *node) oneToOne(elements []claim.Element, profile endorse.Comparators) bool {
	if len(elements) != len(n.elements) {
		return false
	}
	owner := make([]int, len(n.elements)) // statement element that holds an evidence element, plus one
	var try func(c int, seen []bool) bool
	try = func(c int, seen []bool) bool {
		for j, e := range n.elements {
			if seen[j] || !compare.Element(&elements[c], e, profile) {
				continue
			}
			seen[j] = true
			if owner[j] == 0 || try(owner[j]-1, seen) {
				owner[j] = c + 1
				return true
			}
		}
		return false
	}
	for c := range elements {
		if !try(c, make([]bool, len(n.elements))) {
			return false
		}
	}
	return true
}

// byName compares an expectation of the operator with one element of the evidence: the bytes that a person would call
// the value of that claim. Numbers are read big-endian. named reports whether the element has that name at all.
func byName(x *claim.Element, e *claim.Element) (same, named bool) {
	if x.Values.Bytes == nil || e.Name == "" {
		return false, false
	}
	name, own := foldName(x.Name), foldName(e.Name)
	v := &e.Values
	if name == own {
		for _, d := range v.Digests {
			same = same || wants(x, d.Value)
		}
		switch {
		case v.Raw != nil:
			same = same || wants(x, v.Raw.Value)
		case v.SVN != nil:
			same = same || wantsNumber(x, v.SVN.Value)
		case v.IntRange != nil && v.IntRange.Value != nil && !v.IntRange.Value.Neg:
			same = same || wantsNumber(x, v.IntRange.Value.Mag)
		case v.Bytes != nil:
			same = same || wants(x, v.Bytes.Value)
		}
		return same || wants(x, v.UEID) || wants(x, v.UUID), true
	}
	for _, r := range v.Registers {
		if !namesRegister(name, own, r.ID) {
			continue
		}
		for _, d := range r.Digests {
			same = same || wants(x, d.Value)
		}
		return same, true
	}
	return false, false
}

// namesRegister reports whether name is that of register id of the element own: rtmr_2, rtmr.2 or rtmr2.
func namesRegister(name, own string, id claim.ID) bool {
	rest, ok := strings.CutPrefix(name, own)
	return ok && foldName(registerName(id)) == strings.TrimLeft(rest, "._")
}

// registersNamed lists the registers of e that the expectation x is about.
func registersNamed(x, e *claim.Element) []claim.ID {
	var out []claim.ID
	for _, r := range e.Values.Registers {
		if namesRegister(foldName(x.Name), foldName(e.Name), r.ID) {
			out = append(out, r.ID)
		}
	}
	return out
}

// wants reports whether b is one of the values of the expectation x.
func wants(x *claim.Element, b []byte) bool {
	if len(b) == 0 {
		return false
	}
	if len(x.Values.Bytes.Set) == 0 {
		return bytes.Equal(x.Values.Bytes.Value, b)
	}
	return slices.ContainsFunc(x.Values.Bytes.Set, func(v []byte) bool { return bytes.Equal(v, b) })
}

func wantsNumber(x *claim.Element, n uint64) bool {
	is := func(b []byte) bool {
		var v uint64
		for i, c := range b {
			if len(b)-i > 8 && c != 0 {
				return false
			}
			v = v<<8 | uint64(c)
		}
		return len(b) > 0 && v == n
	}
	return slices.ContainsFunc(x.Values.Bytes.Set, is) || len(x.Values.Bytes.Set) == 0 && is(x.Values.Bytes.Value)
}

// foldName lets people write host-data for host_data.
func foldName(s string) string {
	return strings.ReplaceAll(s, "-", "_")
}

func registerName(id claim.ID) string {
	if u, ok := id.UintContent(); ok {
		return strconv.FormatUint(u, 10)
	}
	return id.TextContent()
}

// elementName is the name by which people know e.
func elementName(e *claim.Element) string {
	switch {
	case e.Name != "":
		return e.Name
	case !e.Key.IsZero():
		return "element " + e.Key.String()
	case e.Values.Flags.Known != 0:
		return "flags"
	}
	return "anonymous element"
}

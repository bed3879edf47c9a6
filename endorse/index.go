package endorse

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"slices"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/claim/compare"
)

// envMask says which attributes an environment has. A condition can only be met by an environment that has all of the
// condition's attributes with equal values, so the conditions of one shape are found by hashing these attributes.
type envMask uint8

const (
	maskClassID envMask = 1 << iota
	maskVendor
	maskModel
	maskLayer
	maskIndex
	maskInstance
	maskGroup
)

func maskOf(e *claim.Environment) envMask {
	var m envMask
	for _, a := range [...]struct {
		has bool
		bit envMask
	}{
		{!e.Class.ID.IsZero(), maskClassID}, {e.Class.Vendor.Set, maskVendor}, {e.Class.Model.Set, maskModel},
		{e.Class.Layer.Set, maskLayer}, {e.Class.Index.Set, maskIndex}, {!e.Instance.IsZero(), maskInstance}, {!e.Group.IsZero(), maskGroup},
	} {
		if a.has {
			m |= a.bit
		}
	}
	return m
}

// hashEnv hashes the attributes of e that m names; fits is false when e lacks one of them.
func hashEnv(seed maphash.Seed, e *claim.Environment, m envMask) (h uint64, fits bool) {
	if maskOf(e)&m != m || m == 0 {
		return 0, false
	}
	var hash maphash.Hash
	hash.SetSeed(seed)
	hash.WriteByte(byte(m))
	id := func(id claim.ID) { writeID(&hash, id) }
	text := func(o claim.Opt[string]) { writeUint(&hash, uint64(len(o.V))); hash.WriteString(o.V) }
	for bit := maskClassID; bit <= maskGroup; bit <<= 1 {
		switch m & bit {
		case maskClassID:
			id(e.Class.ID)
		case maskVendor:
			text(e.Class.Vendor)
		case maskModel:
			text(e.Class.Model)
		case maskLayer:
			writeUint(&hash, e.Class.Layer.V)
		case maskIndex:
			writeUint(&hash, e.Class.Index.V)
		case maskInstance:
			id(e.Instance)
		case maskGroup:
			id(e.Group)
		}
	}
	return hash.Sum64(), true
}

func writeUint(h *maphash.Hash, u uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], u)
	h.Write(b[:])
}

func writeID(h *maphash.Hash, id claim.ID) {
	writeUint(h, id.Tag)
	h.WriteByte(byte(id.Kind))
	id.HashContent(h)
}

// point is an element and code point by which statements are found.
type point struct {
	key claim.ID
	cp  int64
}

// pin is one value that a condition pins exactly: whatever meets the condition carries one of the pin's hashes.
type pin struct {
	point point
	keys  []uint64 // one per digest of a list, otherwise one
}

// pins lists the values of elements that pin what can meet them. Values that a profile compares by its own algorithm
// pin nothing, and neither do ranges, masks and minima.
func pins(seed maphash.Seed, env uint64, elements []claim.Element, profile Comparators) []pin {
	var out []pin
	for i := range elements {
		e := &elements[i]
		base := func(cp int64) bool { return profile == nil || profile(e.Key, cp) == nil }
		if len(e.Values.Digests) > 0 && base(compare.Digests) {
			out = append(out, pin{point{e.Key, compare.Digests}, digestKeys(nil, seed, env, e)})
		}
		if r := e.Values.Raw; r != nil && r.Mask == nil && base(compare.Raw) {
			out = append(out, pin{point{e.Key, compare.Raw}, []uint64{valueKey(seed, env, e.Key, compare.Raw, 0, "", r.Value)}})
		}
		if n := e.Values.Name; n != nil && base(compare.Name) {
			out = append(out, pin{point{e.Key, compare.Name}, []uint64{valueKey(seed, env, e.Key, compare.Name, 0, *n, nil)}})
		}
	}
	return out
}

func digestKeys(dst []uint64, seed maphash.Seed, env uint64, e *claim.Element) []uint64 {
	for _, d := range e.Values.Digests {
		dst = append(dst, valueKey(seed, env, e.Key, compare.Digests, d.Alg, d.AlgName, d.Value))
	}
	return dst
}

func valueKey(seed maphash.Seed, env uint64, key claim.ID, cp, alg int64, text string, value []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	writeUint(&h, env)
	writeID(&h, key)
	writeUint(&h, uint64(cp))
	writeUint(&h, uint64(alg))
	writeUint(&h, uint64(len(text)))
	h.WriteString(text)
	h.Write(value)
	return h.Sum64()
}

// probe lists every key under which a relation that this ECT could meet may be stored.
func (s *Set) probe(keys []uint64, env *claim.Environment, elements []*claim.Element) []uint64 {
	for _, m := range s.masks {
		h, fits := s.hashEnv(env, m)
		if !fits {
			continue
		}
		keys = append(keys, h)
		if len(s.points) == 0 {
			continue
		}
		for _, e := range elements {
			if len(e.Values.Digests) > 0 && s.points[point{e.Key, compare.Digests}] > 0 {
				keys = digestKeys(keys, s.seed, h, e)
			}
			if e.Values.Raw != nil && s.points[point{e.Key, compare.Raw}] > 0 {
				keys = append(keys, valueKey(s.seed, h, e.Key, compare.Raw, 0, "", e.Values.Raw.Value))
			}
			if e.Values.Name != nil && s.points[point{e.Key, compare.Name}] > 0 {
				keys = append(keys, valueKey(s.seed, h, e.Key, compare.Name, 0, *e.Values.Name, nil))
			}
		}
	}
	return keys
}

func (s *Set) hashEnv(e *claim.Environment, m envMask) (uint64, bool) { return hashEnv(s.seed, e, m) }

// segment is an immutable part of a set: an index from keys to chains of relations.
type segment struct {
	heads   map[uint64]chain
	entries []entry
	near    map[uint64][]nearRef
	masks   []envMask
	points  map[point]uint64
	keys    map[claim.ID]bool // elements that reference values speak about
	rels    []relation        // in the order of admission, for merging
}

type chain struct{ first, n int32 }

type entry struct {
	rel  relation
	next int32
}

// nearRef is a candidate for "the nearest statement", with a number that orders candidates alike whatever the order
// of admission was.
type nearRef struct {
	ref *Reference
	ord uint64
}

// maxNear bounds the candidates that are kept per environment.
const maxNear = 32

func buildSegment(seed maphash.Seed, rels []relation) *segment {
	g := &segment{heads: make(map[uint64]chain, len(rels)), entries: make([]entry, 0, len(rels)),
		near: map[uint64][]nearRef{}, points: map[point]uint64{}, keys: map[claim.ID]bool{}, rels: rels}
	for _, r := range rels {
		switch r := r.(type) {
		case *Reference:
			h := g.insert(seed, &r.Environment, r.Elements, r.Compare, r)
			g.addNear(h, r)
			for i := range r.Elements {
				if !g.keys[r.Elements[i].Key] {
					g.keys[r.Elements[i].Key] = true
				}
			}
		case *Endorsement:
			c := &r.Conditions[0]
			g.insert(seed, &c.Environment, c.Elements, r.Compare, r)
		case *Series:
			g.insert(seed, &r.Environment, r.Common, r.Compare, r)
		case *Keys:
			g.insert(seed, &r.Environment, nil, nil, r)
		case *Domain:
			env := &r.Domain
			if !r.Dependency {
				env = &r.Members[0]
			}
			g.insert(seed, env, nil, nil, r)
		}
	}
	return g
}

// insert stores r under its environment and, of all the values it pins, the one with the fewest relations so far:
// a million statements that share a measurement but name a chip each are then found by the chip.
func (g *segment) insert(seed maphash.Seed, env *claim.Environment, elements []claim.Element, profile Comparators, r relation) (envKey uint64) {
	m := maskOf(env)
	h, _ := hashEnv(seed, env, m)
	if !slices.Contains(g.masks, m) {
		g.masks = append(g.masks, m)
	}
	best, load := pin{keys: []uint64{h}}, int32(1<<31-1)
	for _, p := range pins(seed, h, elements, profile) {
		n := int32(0)
		for _, k := range p.keys {
			n = max(n, g.heads[k].n)
		}
		if n < load {
			best, load = p, n
		}
	}
	if load != 1<<31-1 {
		g.points[best.point]++
	}
	for _, k := range best.keys {
		c, found := g.heads[k]
		if !found {
			c.first = -1
		}
		g.entries = append(g.entries, entry{rel: r, next: c.first})
		g.heads[k] = chain{first: int32(len(g.entries) - 1), n: c.n + 1}
	}
	return h
}

func (g *segment) addNear(env uint64, r *Reference) {
	n := nearRef{r, ordinal(r)}
	l := g.near[env]
	i, _ := slices.BinarySearchFunc(l, n.ord, func(a nearRef, ord uint64) int {
		if a.ord < ord {
			return -1
		}
		return 1
	})
	if i >= maxNear {
		return
	}
	l = slices.Insert(l, i, n)
	g.near[env] = l[:min(len(l), maxNear)]
}

// ordinal is a number that depends on what r says and who says it, and on nothing else.
func ordinal(r *Reference) uint64 {
	h := sha256.New()
	h.Write([]byte(r.Source.SHA256 + "\x00" + r.Source.ID + "\x00" + r.Source.TagID + "\x00" + r.Source.Signer))
	for i := range r.Elements {
		e := &r.Elements[i]
		h.Write(e.Key.AppendCBOR([]byte{0}))
		for _, d := range e.Values.Digests {
			h.Write(d.Value)
		}
		if e.Values.Raw != nil {
			h.Write(e.Values.Raw.Value)
		}
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

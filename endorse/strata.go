package endorse

import (
	"strconv"
	"strings"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/claim/compare"
	"github.com/assay-tee/assay/internal/fault"
)

// strata orders conditional relations so that a series, which takes the first item that matches and so depends on what
// is not there, is looked at only after everything that could still add to what it matches against (section 8.3.4.4;
// specs corim.md section 14.3). A set in which no such order exists is refused when its last part is admitted.
type strata struct {
	nodes []*stratum // all series and endorsements, also those that were dropped and not yet forgotten
	by    map[*Source][]*stratum
	dead  int
	adds  classes // what the nodes add
	// needs are the shapes of conditions that lead to a series, directly or over endorsements.
	needs  classes
	series int
	ranked map[*Series]int
	evs    map[*Endorsement]int
}

// stratum is a conditional relation as a node of the graph "an addition of X could meet a condition of Y".
type stratum struct {
	ev      *Endorsement
	evs     *Series
	conds   []part
	adds    []part
	compare Comparators

	feeds       []*stratum
	index, low  int // of Tarjan's algorithm; index 0 is "not visited"
	onStack     bool
	selfFeeding bool
	dead        bool // dropped
}

// part is one element of a condition or an addition; element nil is a condition on the environment alone.
type part struct {
	env     claim.Environment
	element *claim.Element
	class   classKey
	node    *stratum
}

// classKey is the shape of a part: environment, element id and code points. Whether one part could meet another is
// decided by shape first; sets have few shapes, however many relations they have.
type classKey struct {
	env    claim.Environment
	key    claim.ID
	none   bool // no element: a condition on the environment alone
	points compare.Points
	ext    string // extension code points
}

// classes are parts by element id and shape. Conditions without an element are in a list of their own.
type classes struct {
	byKey map[claim.ID]map[classKey][]part
	bare  map[classKey][]part
}

// maxComparisons bounds the work of one stratification; sets made by reasonable people need a fraction of it.
const maxComparisons = 20_000_000

func classOf(env *claim.Environment, e *claim.Element) classKey {
	if e == nil {
		return classKey{env: *env, none: true}
	}
	k := classKey{env: *env, key: e.Key, points: compare.PointsOf(&e.Values)}
	if len(e.Values.Ext) > 0 {
		var s strings.Builder
		for _, x := range e.Values.Ext {
			s.WriteString(strconv.FormatInt(x.Key, 10) + ",")
		}
		k.ext = s.String()
	}
	return k
}

// couldMeet reports whether a part of shape a could meet a condition of shape c. Where the condition's profile has
// algorithms of its own, code points need not agree.
func (c classKey) couldMeet(a classKey, profile Comparators) bool {
	if !c.env.Contains(a.env) {
		return false
	}
	return c.none || c.key == a.key && (profile != nil || c.points&^a.points == 0 && (c.ext == "" || a.ext != ""))
}

func newStratum(r relation) *stratum {
	n := &stratum{}
	add := func(list *[]part, env *claim.Environment, elements []claim.Element) {
		for i := range elements {
			*list = append(*list, part{*env, &elements[i], classOf(env, &elements[i]), n})
		}
	}
	switch r := r.(type) {
	case *Endorsement:
		n.ev, n.compare = r, r.Compare
		for i := range r.Conditions {
			c := &r.Conditions[i]
			add(&n.conds, &c.Environment, c.Elements)
			if len(c.Elements) == 0 {
				n.conds = append(n.conds, part{c.Environment, nil, classOf(&c.Environment, nil), n})
			}
		}
		for i := range r.Additions {
			add(&n.adds, &r.Additions[i].Environment, r.Additions[i].Elements)
		}
	case *Series:
		n.evs, n.compare = r, r.Compare
		add(&n.conds, &r.Environment, r.Common)
		for i := range r.Items {
			add(&n.conds, &r.Environment, r.Items[i].Condition)
			add(&n.adds, &r.Items[i].Addition.Environment, r.Items[i].Addition.Elements)
		}
	default:
		return nil
	}
	return n
}

func (c *classes) add(p part) {
	if p.element == nil {
		if c.bare == nil {
			c.bare = map[classKey][]part{}
		}
		c.bare[p.class] = append(c.bare[p.class], p)
		return
	}
	if c.byKey == nil {
		c.byKey = map[claim.ID]map[classKey][]part{}
	}
	m := c.byKey[p.class.key]
	if m == nil {
		m = map[classKey][]part{}
		c.byKey[p.class.key] = m
	}
	m[p.class] = append(m[p.class], p)
}

// needed reports whether an addition of this shape could meet some condition among the needs.
func (c *classes) needed(a part) bool {
	for k := range c.bare {
		if k.couldMeet(a.class, nil) {
			return true
		}
	}
	for k, members := range c.byKey[a.class.key] {
		if k.couldMeet(a.class, members[0].node.compare) {
			return true
		}
	}
	return false
}

// feeders calls yield for every addition whose shape could meet the condition.
func (c *classes) feeders(cond part, yield func(part)) {
	each := func(m map[classKey][]part) {
		for k, members := range m {
			if cond.class.couldMeet(k, cond.node.compare) {
				for _, p := range members {
					yield(p)
				}
			}
		}
	}
	if cond.element != nil {
		each(c.byKey[cond.class.key])
		return
	}
	for _, m := range c.byKey {
		each(m)
	}
}

// add takes relations in, or refuses them all with class malformed.
func (s *strata) add(rels []relation) error {
	var fresh []*stratum
	series := s.series
	for _, r := range rels {
		if n := newStratum(r); n != nil {
			fresh = append(fresh, n)
			if n.evs != nil {
				series++
			}
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	next := strata{nodes: append(s.nodes, fresh...), by: s.by, dead: s.dead, adds: s.adds, needs: s.needs, series: series, ranked: s.ranked, evs: s.evs}
	entangled := false
	for _, n := range fresh {
		for _, a := range n.adds {
			entangled = entangled || s.needs.needed(a)
			next.adds.add(a)
		}
	}
	for _, n := range fresh {
		if n.evs == nil || entangled {
			continue
		}
		for _, c := range n.conds {
			next.adds.feeders(c, func(part) { entangled = true })
			next.needs.add(c)
		}
	}
	if entangled {
		if err := next.rank(); err != nil {
			s.rebuild()
			return err
		}
	}
	*s = next
	if s.by == nil {
		s.by = map[*Source][]*stratum{}
	}
	for _, n := range fresh {
		s.by[n.source()] = append(s.by[n.source()], n)
	}
	return nil
}

func (n *stratum) source() *Source {
	if n.ev != nil {
		return n.ev.Source
	}
	return n.evs.Source
}

// rebuild makes the indexes anew from the nodes that still count.
func (s *strata) rebuild() {
	next := strata{by: s.by}
	for _, n := range s.nodes {
		if n.dead {
			continue
		}
		next.nodes = append(next.nodes, n)
		for _, a := range n.adds {
			next.adds.add(a)
		}
		if n.evs != nil {
			next.series++
		}
	}
	// The set was admitted, and taking relations away closes no circle.
	_ = next.rank()
	*s = next
}

// drop takes what src said out. The indexes forget it later: until then they see connections that are not there, which
// costs time and decides nothing.
func (s *strata) drop(src *Source) {
	for _, n := range s.by[src] {
		n.dead = true
		s.dead++
	}
	delete(s.by, src)
	if s.dead > 256+len(s.nodes)/2 {
		s.rebuild()
	}
}

func (s *strata) ranks() (map[*Series]int, map[*Endorsement]int) { return s.ranked, s.evs }

// rank builds the graph backwards from the series, and gives each strongly connected component its place.
func (s *strata) rank() error {
	s.needs, s.ranked, s.evs = classes{}, map[*Series]int{}, map[*Endorsement]int{}
	var work []*stratum
	seen := map[*stratum]bool{}
	visit := func(n *stratum) {
		if !seen[n] {
			seen[n] = true
			n.feeds, n.index, n.selfFeeding = nil, 0, false
			work = append(work, n)
		}
	}
	for _, n := range s.nodes {
		if n.evs != nil && !n.dead {
			visit(n)
		}
	}
	comparisons := 0
	for i := 0; i < len(work); i++ {
		y := work[i]
		for _, c := range y.conds {
			s.needs.add(c)
			s.adds.feeders(c, func(a part) {
				if comparisons++; comparisons > maxComparisons || a.node.dead {
					return
				}
				if c.element != nil && !compare.Element(c.element, a.element, y.compare) {
					return
				}
				visit(a.node)
				a.node.feeds = append(a.node.feeds, y)
				y.selfFeeding = y.selfFeeding || a.node == y
			})
			if comparisons > maxComparisons {
				return fault.New(fault.Malformed, "the conditional endorsements refer to each other in too many ways to be ordered")
			}
		}
	}
	t := tarjan{ranked: s.ranked, evs: s.evs}
	for _, n := range work {
		if n.index == 0 {
			if err := t.run(n); err != nil {
				return err
			}
		}
	}
	// Components come out with what they feed before themselves; ranks count the other way.
	for r := range s.ranked {
		s.ranked[r] = t.components - s.ranked[r]
	}
	for r := range s.evs {
		s.evs[r] = t.components - s.evs[r]
	}
	return nil
}

// tarjan finds strongly connected components, without recursion: chains of statements may be long.
type tarjan struct {
	counter, components int
	stack               []*stratum
	ranked              map[*Series]int
	evs                 map[*Endorsement]int
}

func (t *tarjan) run(root *stratum) error {
	type frame struct {
		n    *stratum
		next int
	}
	open := func(n *stratum) {
		t.counter++
		n.index, n.low, n.onStack = t.counter, t.counter, true
		t.stack = append(t.stack, n)
	}
	open(root)
	for frames := []frame{{n: root}}; len(frames) > 0; {
		f := &frames[len(frames)-1]
		if f.next < len(f.n.feeds) {
			y := f.n.feeds[f.next]
			f.next++
			switch {
			case y.index == 0:
				open(y)
				frames = append(frames, frame{n: y})
			case y.onStack:
				f.n.low = min(f.n.low, y.index)
			}
			continue
		}
		n := f.n
		if frames = frames[:len(frames)-1]; len(frames) > 0 {
			p := frames[len(frames)-1].n
			p.low = min(p.low, n.low)
		}
		if n.low == n.index {
			if err := t.close(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// close takes the component of n off the stack. A series in a circle has no place in any order.
func (t *tarjan) close(n *stratum) error {
	t.components++
	var circle *Series
	size := 0
	for {
		m := t.stack[len(t.stack)-1]
		t.stack = t.stack[:len(t.stack)-1]
		m.onStack = false
		size++
		if m.evs != nil {
			t.ranked[m.evs] = t.components
			circle = m.evs
		} else {
			t.evs[m.ev] = t.components
		}
		if m == n {
			break
		}
	}
	if circle != nil && (size > 1 || n.selfFeeding) {
		return fault.New(fault.Malformed, "the conditional endorsement series of %q about %s depends on its own result over %d statements, so no order of evaluation exists",
			circle.Source.Signer, circle.Environment, size)
	}
	return nil
}

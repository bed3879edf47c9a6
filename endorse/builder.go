package endorse

import (
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
)

// Config is what a [Builder] needs to know.
type Config struct {
	// Time is the clock against which statements are admitted; zero is refused. A relation is tested again against the
	// clock of each appraisal, so that a set may outlive a statement. [Builder.SetTime] moves it.
	Time time.Time
	// Anchors are the keys and certificates that may vouch, each for what its scope allows. With none, nothing but what
	// the operator says (Local, Assert) can be admitted.
	Anchors []*Anchor
	// Profiles are the CoRIM profiles that are understood; a manifest of any other profile is refused.
	Profiles corim.Registry
	// Forms are the statements of other forms than CoRIM that are understood.
	Forms []Form
	// RequireActivation demands that every CoMID is activated by a concise tag list (CoTL) of an anchored signer.
	RequireActivation bool
}

// Builder admits statements one by one. It is safe for concurrent use.
type Builder struct {
	mu   sync.Mutex
	cfg  Config
	seed maphash.Seed

	segments []*segment
	pending  []relation
	dropped  map[*Source]bool
	shared   bool // dropped is part of a snapshot
	local    []*Reference
	snapshot *Set // of the current state; nil after a change
	ledger   ledger
	strata   strata
	basis    [32]byte
	builds   builds

	signers     *signers
	relax       []corim.Relaxation // everything that any anchor tolerates
	comparators map[string]Comparators
}

// NewBuilder checks cfg.
func NewBuilder(cfg Config) (*Builder, error) {
	if cfg.Time.IsZero() {
		return nil, fault.New(fault.Internal, "endorse.Config without a clock")
	}
	b := &Builder{seed: maphash.MakeSeed(), ledger: newLedger(), comparators: map[string]Comparators{}}
	cfg.Anchors, cfg.Profiles = slices.Clone(cfg.Anchors), maps.Clone(cfg.Profiles)
	for i, a := range cfg.Anchors {
		if err := a.check(); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(cfg.Anchors[:i], func(o *Anchor) bool { return o.Name == a.Name }) {
			return nil, fault.New(fault.Usage, "two trust anchors are called %q; what one publishes must not be taken for the other's", a.Name)
		}
		for _, r := range a.Relax {
			if !slices.Contains(b.relax, r) {
				b.relax = append(b.relax, r)
			}
		}
	}
	for id, p := range cfg.Profiles {
		b.comparators[id] = comparators(p)
	}
	var err error
	b.cfg = cfg
	b.signers, err = newSigners(cfg.Anchors)
	return b, err
}

// SetTime moves the clock for what is admitted from now on.
func (b *Builder) SetTime(t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cfg.Time = t
}

// Expectation is a reference value that the operator speaks: the claim of that name has one of these values.
type Expectation struct {
	Name   string
	Values [][]byte
}

// Local adds what the local operator expects of evidence of driver tee ("" for any), all of it together: when one
// claim differs, none of them is vouched for. The principal is how the trail names the operator.
func (b *Builder) Local(principal, tee string, expect []Expectation) error {
	if principal == "" || len(expect) == 0 {
		return fault.New(fault.Usage, "an expectation needs a principal who speaks it and at least one claim")
	}
	r := &Reference{ByName: true, TEE: tee, Source: localSource(principal)}
	for _, x := range expect {
		if x.Name == "" || len(x.Values) == 0 || slices.ContainsFunc(x.Values, func(v []byte) bool { return len(v) == 0 }) {
			return fault.New(fault.Usage, "expectation %q names no value", x.Name)
		}
		v := &claim.BytesChoice{Value: x.Values[0]}
		if len(x.Values) > 1 {
			v = &claim.BytesChoice{Set: x.Values}
		}
		r.Elements = append(r.Elements, claim.Element{Name: x.Name, Values: claim.Values{Bytes: v}})
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.local = append(slices.Clip(b.local), r)
	b.account(r.Source)
	return nil
}

func localSource(principal string) *Source {
	return &Source{Kind: "local", ID: principal, Signer: principal, Scope: "spoken by the operator",
		Authority: claim.Authority{claim.Bytes(claim.TagBytes, []byte(principal))}}
}

// Relations are relations that the caller has authenticated by itself.
type Relations struct {
	References   []*Reference
	Endorsements []*Endorsement
	Series       []*Series
	Keys         []*Keys
	Domains      []*Domain
}

// Assert adds relations for which the calling code vouches: vendor collateral whose signature it has checked, turned
// into relations. Their Source fields are set to src. Nothing about src is verified here; never pass on what a stranger
// said about himself.
func (b *Builder) Assert(src *Source, r Relations) error {
	if src == nil || src.Kind == "" || src.ID == "" || len(src.Authority) == 0 {
		return fault.New(fault.Internal, "asserted relations need a source with kind, id and authority")
	}
	rels, err := r.list(src)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.addRelations(rels); err != nil {
		return err
	}
	b.account(src)
	return nil
}

// list sets the source of every relation and refuses those that could never be matched or would match everything.
func (r *Relations) list(src *Source) ([]relation, error) {
	var out []relation
	for _, x := range r.References {
		if x.Environment.IsZero() || len(x.Elements) == 0 || x.ByName {
			return nil, fault.New(fault.Malformed, "reference value without environment or elements")
		}
		x.Source = src
		out = append(out, x)
	}
	for _, x := range r.Endorsements {
		if len(x.Conditions) == 0 || len(x.Additions) == 0 || slices.ContainsFunc(x.Conditions, zeroEnv) || slices.ContainsFunc(x.Additions, zeroEnv) {
			return nil, fault.New(fault.Malformed, "endorsement without condition, addition or environment")
		}
		x.Source = src
		out = append(out, x)
	}
	for _, x := range r.Series {
		if x.Environment.IsZero() || len(x.Items) == 0 {
			return nil, fault.New(fault.Malformed, "conditional endorsement series without environment or items")
		}
		x.Source = src
		out = append(out, x)
	}
	for _, x := range r.Keys {
		if x.Environment.IsZero() || len(x.Keys) == 0 {
			return nil, fault.New(fault.Malformed, "key triple without environment or keys")
		}
		x.Source = src
		out = append(out, x)
	}
	for _, x := range r.Domains {
		if x.Domain.IsZero() || len(x.Members) == 0 || slices.ContainsFunc(x.Members, claim.Environment.IsZero) {
			return nil, fault.New(fault.Malformed, "domain triple without domain or members")
		}
		x.Source = src
		out = append(out, x)
	}
	return out, nil
}

func zeroEnv(e claim.ECT) bool { return e.Environment.IsZero() }

// addRelations puts rels into the set, after a check that the whole stays stratified.
func (b *Builder) addRelations(rels []relation) error {
	if err := b.strata.add(rels); err != nil {
		return err
	}
	b.pending = append(b.pending, rels...)
	b.snapshot = nil
	return nil
}

// drop takes what src said out of all later snapshots.
func (b *Builder) drop(src *Source) {
	if b.shared || b.dropped == nil {
		b.dropped, b.shared = maps.Clone(b.dropped), false
		if b.dropped == nil {
			b.dropped = map[*Source]bool{}
		}
	}
	b.dropped[src] = true
	b.strata.drop(src)
	b.snapshot = nil
}

// Set returns a snapshot. It costs what has been added since the last one, not what is there.
func (b *Builder) Set() *Set {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.snapshot == nil {
		b.snapshot = b.seal()
	}
	return b.snapshot
}

// seal turns what is pending into a segment and merges small segments into their neighbours, so that their number
// stays logarithmic and every relation is moved a logarithmic number of times.
func (b *Builder) seal() *Set {
	if len(b.pending) > 0 {
		b.segments = append(slices.Clip(b.segments), buildSegment(b.seed, b.pending))
		b.pending = nil
	}
	for n := len(b.segments); n >= 2 && len(b.segments[n-2].rels) < 2*len(b.segments[n-1].rels); n = len(b.segments) {
		b.merge(n - 2)
	}
	if len(b.dropped) > 1024 && len(b.segments) > 0 {
		b.merge(0)
		b.dropped = nil
	}
	b.shared = true
	s := &Set{basis: b.basis, seed: b.seed, segments: b.segments, dropped: b.dropped, local: b.local, points: map[point]uint64{}, ok: true}
	for _, g := range b.segments {
		s.count += len(g.rels)
		for _, m := range g.masks {
			if !slices.Contains(s.masks, m) {
				s.masks = append(s.masks, m)
			}
		}
		for p, n := range g.points {
			s.points[p] += n
		}
	}
	s.ranks, s.evRanks = b.strata.ranks()
	return s
}

// merge joins the segments from i on into one, leaving out what was dropped.
func (b *Builder) merge(i int) {
	var rels []relation
	for _, g := range b.segments[i:] {
		for _, r := range g.rels {
			if !b.dropped[r.source()] {
				rels = append(rels, r)
			}
		}
	}
	b.segments = append(slices.Clone(b.segments[:i]), buildSegment(b.seed, rels))
}

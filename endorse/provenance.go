package endorse

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/provenance"
	"github.com/assay-tee/assay/provenance/intoto"
)

// builds finds verified statements about builds by what they are about. Every look-up is by digest, so that its cost
// does not depend on how many there are.
type builds struct {
	known    map[string]bool                  // by SHA-256 of the attestation
	subjects map[string][]*provenance.Verdict // builds, by "alg:hex" of a subject
	files    map[string]*provenance.Verdict   // builds, by SHA-256 of the attestation as carried
	measured map[string][]*provenance.Verdict // launch measurements, by "alg:hex" of a value
}

// strongAlgs are the digests by which an artefact is identified.
var strongAlgs = []string{"sha256", "sha384", "sha512"}

// AddProvenance makes a verified statement known. Statements admitted from then on are linked to it where they are about
// the same artefact; it never makes a reference value by itself.
func (b *Builder) AddProvenance(v *provenance.Verdict) error {
	if !v.Valid() {
		return fault.New(fault.Internal, "provenance that nobody has verified")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	x := &b.builds
	if x.known == nil {
		*x = builds{map[string]bool{}, map[string][]*provenance.Verdict{}, map[string]*provenance.Verdict{}, map[string][]*provenance.Verdict{}}
	}
	if x.known[v.Kind+v.SHA256] {
		return nil
	}
	x.known[v.Kind+v.SHA256] = true
	put := func(m map[string][]*provenance.Verdict, d intoto.Digests) {
		for _, alg := range strongAlgs {
			if h := d[alg]; h != "" {
				m[alg+":"+h] = append(m[alg+":"+h], v)
			}
		}
	}
	switch v.Kind {
	case provenance.KindBuild:
		x.files[v.SHA256] = v
		for _, s := range v.Subjects {
			put(x.subjects, s.Digest)
		}
	case provenance.KindMeasurement:
		for _, d := range v.Measurements {
			put(x.measured, d)
		}
	}
	return nil
}

// Artefacts of a [ProvenanceLink] that are not inputs of a measurement.
const (
	artefactReference = "reference"
	artefactStatement = "statement"
)

// launchPrefix begins the measurement keys of package measure/statement that hold the digest of an input file.
const launchPrefix = "launch."

// input is a file that a measurement was made from.
type input struct {
	role    string
	digests intoto.Digests
}

// links finds the builds of what tag c speaks of. All relations of a tag share one source, so a build counts only if it
// covers every reference value of the tag: otherwise a good build of one firmware would stand in the trail of another.
// The warning says when one was left out for that reason.
func (x *builds) links(m *corim.Manifest, c *corim.CoMID, statementSHA256 string) (out []ProvenanceLink, warning string) {
	if len(x.known) == 0 || len(c.Triples.Reference) == 0 {
		return nil, ""
	}
	inputs := launchInputs(c)
	counts := map[foundBuild]int{}
	var order []foundBuild
	partly := false
	for i := range c.Triples.Reference {
		seen := map[foundBuild]bool{}
		for _, k := range x.of(&c.Triples.Reference[i], inputs) {
			if seen[k] {
				continue
			}
			seen[k] = true
			if counts[k]++; counts[k] == 1 {
				order = append(order, k)
			}
		}
	}
	linked := map[*provenance.Verdict]bool{}
	add := func(v *provenance.Verdict, role string) {
		linked[v] = true
		out = append(out, linkOf(v, role))
	}
	for _, k := range order {
		if counts[k] == len(c.Triples.Reference) {
			add(k.v, k.role)
		} else {
			partly = true
		}
	}
	// What the statement's signer says it rests on. If he also says what files the values were made from, it has to be
	// the build of one of them, which the look-up above would have found.
	for _, d := range m.DependentRIMs {
		for _, t := range d.Thumbprints {
			v := x.files[hex.EncodeToString(t.Value)]
			switch {
			case t.Alg != claim.SHA256 || v == nil || linked[v]:
			case len(inputs) > 0:
				partly = true
			default:
				add(v, artefactStatement)
			}
		}
	}
	for _, v := range x.subjects["sha256:"+statementSHA256] {
		if !linked[v] {
			add(v, artefactStatement)
		}
	}
	if partly {
		warning = fmt.Sprintf("tag %s: a build is known that is not that of every value in the tag, so it is not counted; publish one tag for each artefact", tagText(c.TagIdentity))
	}
	return out, warning
}

type foundBuild struct {
	v    *provenance.Verdict
	role string
}

// of finds the builds of one reference value.
func (x *builds) of(t *corim.ValueTriple, inputs map[string][]input) (out []foundBuild) {
	for _, d := range digestsOf(t.Elements) {
		for _, v := range x.subjects[d] {
			out = append(out, foundBuild{v, artefactReference})
		}
		var from []input
		from = append(from, inputs[d]...)
		for _, mv := range x.measured[d] {
			for _, s := range mv.Subjects {
				from = append(from, input{s.Role, s.Digest})
			}
		}
		for _, in := range from {
			for _, alg := range strongAlgs {
				for _, v := range x.subjects[alg+":"+in.digests[alg]] {
					// All digests that both sides have must agree, not only the one that was looked up.
					if v.HasSubject(in.digests) {
						out = append(out, foundBuild{v, in.role})
					}
				}
			}
		}
	}
	return out
}

// launchInputs reads the series that package measure writes: measurement → files that it was made from.
func launchInputs(c *corim.CoMID) map[string][]input {
	out := map[string][]input{}
	for i := range c.Triples.Series {
		for _, item := range c.Triples.Series[i].Items {
			var files []input
			for _, e := range item.Addition {
				role, ok := strings.CutPrefix(e.Key.TextContent(), launchPrefix)
				if ok && len(e.Values.Digests) > 0 {
					files = append(files, input{role, named(e.Values.Digests)})
				}
			}
			if len(files) > 0 {
				for _, d := range digestsOf(item.Condition) {
					out[d] = append(out[d], files...)
				}
			}
		}
	}
	return out
}

func named(l []claim.Digest) intoto.Digests {
	out := intoto.Digests{}
	for _, d := range l {
		if alg := strongAlg(d); alg != "" {
			out[alg] = hex.EncodeToString(d.Value)
		}
	}
	return out
}

func strongAlg(d claim.Digest) string {
	switch {
	case d.AlgName != "":
		if slices.Contains(strongAlgs, d.AlgName) {
			return d.AlgName
		}
	case d.Alg == claim.SHA256:
		return "sha256"
	case d.Alg == claim.SHA384:
		return "sha384"
	case d.Alg == claim.SHA512:
		return "sha512"
	}
	return ""
}

// digestsOf lists the digests in elements as "alg:hex". Registers are left out: what they hold is a history.
func digestsOf(l []claim.Element) (out []string) {
	for i := range l {
		for _, d := range l[i].Values.Digests {
			if alg := strongAlg(d); alg != "" {
				out = append(out, alg+":"+hex.EncodeToString(d.Value))
			}
		}
	}
	return out
}

func linkOf(v *provenance.Verdict, role string) ProvenanceLink {
	l := ProvenanceLink{Artefact: role, Builder: v.Builder, Level: v.Level, Source: v.Source, Ref: v.Ref, Commit: v.Commit, Workflow: v.Workflow,
		Run: v.Run, Signer: v.Signer.Identity, Time: v.At(), SHA256: v.SHA256}
	if l.Signer == "" {
		l.Signer = v.Signer.Name
	}
	if len(v.Log) > 0 {
		l.Log, l.LogIndex = v.Log[0].Log, v.Log[0].Index
	}
	return l
}

package corim

import (
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
)

// CBOR tags of TCG's concise evidence (TCG DICE Concise Evidence Binding for SPDM).
const (
	TagSPDMToC         uint64 = 570
	TagConciseEvidence uint64 = 571
)

// ConciseEvidence is concise-evidence-map: Evidence in CoRIM's terms, of which nothing is authenticated by reading it.
type ConciseEvidence struct {
	ID        claim.ID // 37 or 111; zero when absent
	Profile   string
	Evidence  []ValueTriple
	Identity  []KeyTriple
	AttestKey []KeyTriple
	CoSWID    []EvidenceCoSWID
	Unknown   []UnknownTriple // dependency (2) and membership (3), whose records differ between drafts, and unknown ones
}

// EvidenceCoSWID is one record of an evidence CoSWID triple.
type EvidenceCoSWID struct {
	Environment  claim.Environment
	TagID        claim.ID
	Files        []CoSWIDFile
	AuthorizedBy claim.Authority
}

// SPDMToC is the table of contents that an SPDM responder gives in measurement block 0xFD.
type SPDMToC struct {
	Evidence []ConciseEvidence
	Locators []Locator
	Profile  string
}

// DecodeConciseEvidence reads a concise-evidence-map with or without tag 571, under o.Profile when that is set.
func DecodeConciseEvidence(b []byte, o Options) (*ConciseEvidence, error) {
	d := &decoder{opts: o, profile: o.Profile}
	r := cborx.NewReader(append([]byte(nil), b...), innerLimits)
	c := d.conciseEvidence(r)
	if err := r.Done(); err != nil {
		return nil, fault.Wrap(err, "concise evidence")
	}
	return &c, nil
}

// DecodeSPDMToC reads tag 570 and its map.
func DecodeSPDMToC(b []byte, o Options) (*SPDMToC, error) {
	d := &decoder{opts: o, profile: o.Profile}
	r := cborx.NewReader(append([]byte(nil), b...), innerLimits)
	r.Expect(TagSPDMToC)
	t := &SPDMToC{}
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch k := r.Int64(); k {
		case 0:
			d.list(r, maxTags, func() { t.Evidence = append(t.Evidence, d.conciseEvidence(r)) })
		case 1:
			d.list(r, maxTags, func() { t.Locators = append(t.Locators, d.locator(r)) })
		case 2:
			t.Profile = d.profileID(r)
		default:
			r.Fail("the table of contents has the unknown key %d", k)
		}
	}
	if r.OK() && len(t.Evidence) == 0 {
		r.Fail("the table of contents holds no evidence (0)")
	}
	if err := r.Done(); err != nil {
		return nil, fault.Wrap(err, "SPDM table of contents")
	}
	return t, nil
}

func (d *decoder) conciseEvidence(r *cborx.Reader) (c ConciseEvidence) {
	if r.Kind() == cborx.Tag {
		r.Expect(TagConciseEvidence)
	}
	triples := false
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch k := r.Int64(); k {
		case 0:
			n := r.Map()
			if triples = true; r.OK() && n == 0 {
				r.Fail("the triples map is empty")
			}
			for ; n > 0 && r.OK(); n-- {
				d.evidenceCategory(r, &c)
			}
		case 1:
			c.ID = d.choice(r, "evidence-id", mkeyTags)
		case 2:
			c.Profile = d.profileID(r)
		default:
			r.Fail("concise-evidence-map has the unknown key %d", k)
		}
	}
	if r.OK() && !triples {
		r.Fail("concise-evidence-map lacks its triples (0)")
	}
	return c
}

func (d *decoder) evidenceCategory(r *cborx.Reader, c *ConciseEvidence) {
	switch k := r.Int64(); k {
	case 0:
		d.list(r, maxTriples, func() { c.Evidence = append(c.Evidence, d.valueTriple(r)) })
	case 1:
		d.list(r, maxTriples, func() { c.Identity = append(c.Identity, d.keyTriple(r)) })
	case 4:
		d.list(r, maxTriples, func() {
			r.Tuple(2, 2)
			env := d.environment(r)
			d.list(r, maxTags, func() { c.CoSWID = append(c.CoSWID, d.evidenceCoSWID(r, env)) })
		})
	case 5:
		d.list(r, maxTriples, func() { c.AttestKey = append(c.AttestKey, d.keyTriple(r)) })
	default:
		if r.Kind() != cborx.Array {
			r.Fail("triple category %d is not a list", k)
		}
		c.Unknown = append(c.Unknown, UnknownTriple{Key: k, Raw: r.Canonical()})
	}
}

func (d *decoder) evidenceCoSWID(r *cborx.Reader, env claim.Environment) EvidenceCoSWID {
	s := EvidenceCoSWID{Environment: env}
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch k := r.Int64(); k {
		case 0:
			s.TagID = d.textOrUUID(r)
		case 1:
			s.Files = d.swFiles(r, "", nil)
		case 2:
			s.AuthorizedBy = d.keys(r)
		default:
			r.Fail("the evidence of a CoSWID has the unknown key %d", k)
		}
	}
	return s
}

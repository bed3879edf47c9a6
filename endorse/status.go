package endorse

import (
	"slices"
	"time"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/internal/fault"
)

// The elements that a status statement adds to what it speaks about. Their keys are text, so they clash with no vendor's.
const (
	// StatusUpToDate (int-range, seconds since 1970): the publisher knew of nothing newer at that time.
	StatusUpToDate = "status.up-to-date-as-of"
	// StatusSubjectTo (name): the publisher knows it to be affected by this vulnerability; one element each.
	StatusSubjectTo = "status.subject-to"
	// StatusFleet (name): "met" or "below", whether the machine reaches the level that the publisher's fleet is at.
	StatusFleet = "status.fleet-floor"
)

// MaxStatusLife bounds how long a status may hold: it is worth something because it runs out.
const MaxStatusLife = 90 * 24 * time.Hour

// Status is a short-lived statement of a publisher about something that was launched: as far as he knows it is up to
// date, or subject to vulnerabilities, or at the level of his fleet. It is an ordinary CoRIM with conditional
// endorsements, so that any verifier can read it; what it leads to is for policy to say.
type Status struct {
	ID      string // corim id and tag-id; one per subject, so that a later status supersedes an earlier one
	Profile string // of the conditions, "" for none
	// Environment and Elements are what the status is about: whatever meets them.
	Environment claim.Environment
	Elements    []claim.Element
	// AsOf is the time of the publisher's knowledge. It is also the version of the tag: a status never replaces a later one.
	AsOf     time.Time
	NotAfter time.Time
	// UpToDate says that nothing newer was known at AsOf.
	UpToDate bool
	// SubjectTo names vulnerabilities.
	SubjectTo []string
	// Fleet is the least level of the publisher's fleet, as a condition (an element with a min-svn); nil for none.
	Fleet *claim.Element
}

// Manifest is the statement, to be encoded and signed. Errors have class usage.
func (s Status) Manifest() (*corim.Manifest, error) {
	bad := func(why string) (*corim.Manifest, error) {
		return nil, fault.New(fault.Usage, "status statement: %s", why)
	}
	switch {
	case s.ID == "":
		return bad("it needs an id, one for each thing that it speaks about")
	case s.Environment.IsZero() || len(s.Elements) == 0 && s.Fleet == nil:
		return bad("it speaks about nothing in particular; name an environment and what was launched")
	case s.AsOf.Unix() <= 0:
		return bad("it needs the time as of which it holds")
	case !s.NotAfter.After(s.AsOf) || s.NotAfter.Sub(s.AsOf) > MaxStatusLife:
		return bad("it has to end after it begins, and within 90 days")
	case !s.UpToDate && len(s.SubjectTo) == 0 && s.Fleet == nil:
		return bad("it says nothing")
	case s.UpToDate && len(s.SubjectTo) > 0:
		return bad("what is subject to a vulnerability is not up to date")
	case slices.Contains(s.SubjectTo, ""):
		return bad("a vulnerability without a name")
	case s.Fleet != nil && (s.Fleet.Values.SVN == nil || !s.Fleet.Values.SVN.Min):
		return bad("the level of the fleet is given as a minimum")
	}
	name := func(key, value string) claim.Element {
		return claim.Element{Key: claim.Text(claim.TagNone, key), Values: claim.Values{Name: &value}}
	}
	var add []claim.Element
	if s.UpToDate {
		at := claim.IntOf(s.AsOf.Unix())
		add = append(add, claim.Element{Key: claim.Text(claim.TagNone, StatusUpToDate), Values: claim.Values{IntRange: &claim.IntRange{Value: &at}}})
	}
	for _, v := range s.SubjectTo {
		add = append(add, name(StatusSubjectTo, v))
	}
	var t corim.Triples
	if len(add) > 0 {
		t.Conditional = []corim.ConditionalTriple{{Conditions: []corim.ValueTriple{{Environment: s.Environment, Elements: s.Elements}},
			Endorsements: []corim.ValueTriple{{Environment: s.Environment, Elements: add}}}}
	}
	if s.Fleet != nil {
		any := *s.Fleet
		any.Values = claim.Values{SVN: &claim.SVN{Min: true}}
		t.Series = []corim.SeriesTriple{{Environment: s.Environment, Common: s.Elements, Items: []corim.SeriesItem{
			{Condition: []claim.Element{*s.Fleet}, Addition: []claim.Element{name(StatusFleet, "met")}},
			{Condition: []claim.Element{any}, Addition: []claim.Element{name(StatusFleet, "below")}}}}}
	}
	from := s.AsOf.UTC().Truncate(time.Second)
	id := claim.Text(claim.TagNone, s.ID)
	return &corim.Manifest{ID: id, Profile: s.Profile, Validity: &corim.Validity{NotBefore: &from, NotAfter: s.NotAfter.UTC().Truncate(time.Second)},
		CoMIDs: []corim.CoMID{{TagIdentity: corim.TagIdentity{TagID: id, TagVersion: uint64(s.AsOf.Unix())}, Triples: t}}}, nil
}

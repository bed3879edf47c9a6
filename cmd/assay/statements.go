package main

import (
	"time"

	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/internal/fault"
)

// localOperator is how the trail names what was given on the command line.
const localOperator = "local operator"

// admit makes the endorsement set of one run: signed statements under the anchors, unsigned ones on the operator's own
// word, and the operator's expectations. A statement that is refused ends the run with its reason; it is not passed
// over, since the operator counts on it.
func (a *app) admit(at time.Time, signers []*endorse.Anchor, signed, unsigned []string, expect []endorse.Expectation) (*endorse.Set, error) {
	b, err := endorse.NewBuilder(endorse.Config{Time: at, Anchors: signers, Profiles: profiles.All()})
	if err != nil {
		return nil, err
	}
	for _, name := range signed {
		data, err := a.read(name)
		if err != nil {
			return nil, err
		}
		if !endorse.IsSigned(data) {
			return nil, fault.New(fault.Signature, "statement %s is not signed; sign it (assay corim sign), or take its word yourself with --unsigned-statement", name)
		}
		if _, err := b.Admit(data); err != nil {
			return nil, fault.Wrap(err, "statement %s", name)
		}
	}
	for _, name := range unsigned {
		data, err := a.read(name)
		if err != nil {
			return nil, err
		}
		if _, err := b.AdmitUnsigned(data, localOperator); err != nil {
			return nil, fault.Wrap(err, "unsigned statement %s", name)
		}
	}
	if len(expect) > 0 {
		if err := b.Local(localOperator, "", expect); err != nil {
			return nil, err
		}
	}
	return b.Set(), nil
}

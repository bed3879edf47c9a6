package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/assay-tee/assay"
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/endorse"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/oak"
	"github.com/assay-tee/assay/internal/fault"
	provoak "github.com/assay-tee/assay/provenance/oak"
)

// spoken is what somebody expects, all of it together, under the name by which the trail knows him.
type spoken struct {
	by     string
	expect []endorse.Expectation
}

// oakReferences holds Oak's reference values, which the operator takes upon himself with --unsigned-statement, against the
// evidence: what they ask for and do not find is an error, what they found good the trail tells with the endorsement that
// it rests on, and what they skip nobody vouches for. It returns the other files.
func (a *app) oakReferences(ctx context.Context, v *assay.Verifier, at time.Time, files []string, endorsements [][]byte, sub assay.Submission) (rest []string, words []spoken, err error) {
	for _, name := range files {
		b, err := a.read(name)
		if err != nil {
			return nil, nil, err
		}
		if len(b) == 0 || b[0] > 0x32 { // a field number of ReferenceValues; a CoRIM begins with a tag
			rest = append(rest, name)
			continue
		}
		refs, err := provoak.ParseReferenceValues(b)
		if err != nil {
			return nil, nil, fault.Wrap(err, "reference values %s", name)
		}
		said, err := oakMeets(ctx, v, at, name, refs, endorsements, sub)
		if err != nil {
			return nil, nil, fault.Wrap(err, "reference values %s", name)
		}
		words = append(words, said...)
	}
	return rest, words, nil
}

func oakMeets(ctx context.Context, v *assay.Verifier, at time.Time, name string, refs *provoak.ReferenceValues, endorsements [][]byte, sub assay.Submission) ([]spoken, error) {
	ver, err := v.Authenticate(ctx, at, sub)
	if err != nil {
		return nil, err
	}
	if ver.TEE() != oak.Name {
		return nil, fault.New(fault.Usage, "Oak's reference values speak of Oak's evidence, not of %s", ver.TEE())
	}
	att := provoak.Attested{Claims: ver.Claims()}
	var root *evidence.Verified
	for _, p := range ver.Parts() {
		if p.Label == oak.RootLabel {
			root = p.Verified
			att.Root, att.RootTEE, att.RootProduct = root.Claims(), root.TEE(), root.Product()
		}
	}
	var ends *provoak.Endorsements
	for _, b := range endorsements {
		if _, ok := oak.EndorsementCertificates(b); !ok {
			continue
		}
		if ends != nil {
			return nil, fault.New(fault.Usage, "two files of Oak's endorsements; give the one that belongs to the evidence")
		}
		if ends, err = provoak.ParseEndorsements(b); err != nil {
			return nil, err
		}
	}
	out, err := refs.Evaluate(att, ends, at)
	if err != nil {
		return nil, err
	}
	var words []spoken
	for _, c := range out.Checks {
		by := fmt.Sprintf("%s, %s by %s", localOperator, filepath.Base(name), c.How)
		if c.Used != nil {
			by += " valid to " + c.Used.Window.NotAfter.Format(time.RFC3339)
			if c.Used.LogIndex != 0 {
				by += fmt.Sprintf(", Rekor entry %d of %s", c.Used.LogIndex, c.Used.LoggedAt.Format(time.RFC3339))
			}
		}
		for _, x := range met(c, ver, root) {
			words = append(words, spoken{by, []endorse.Expectation{x}})
		}
	}
	return words, nil
}

// met are the claims that a check has compared, with the values that it found.
func met(c provoak.Check, lead, root *evidence.Verified) (out []endorse.Expectation) {
	if c.How == provoak.Skip {
		return nil
	}
	add := func(v *evidence.Verified, name string) {
		if v == nil {
			return
		}
		for _, m := range v.Claims() {
			if m.Name != name {
				continue
			}
			value := m.Value.Bytes()
			if m.Value.Kind == claim.NodeText {
				value = []byte(m.Value.String())
			}
			if len(value) > 0 {
				out = append(out, endorse.Expectation{Name: name, Values: [][]byte{value}})
			}
		}
	}
	switch c.Name {
	case "tcb":
	case provoak.Stage0:
		add(root, "measurement")
		add(root, "mr_td")
	case provoak.Kernel:
		add(lead, provoak.Kernel)
		add(lead, provoak.KernelSetupData)
	default:
		add(lead, c.Name)
	}
	return out
}

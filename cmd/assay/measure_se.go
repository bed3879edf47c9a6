package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
	"github.com/assay-tee/assay/corim/profiles"
	"github.com/assay-tee/assay/evidence/secex"
	"github.com/assay-tee/assay/internal/fault"
)

// newMeasureSeCmd reads the tags of a built image: they depend on keys and tweaks that are random per build, so they
// cannot be recomputed from kernel and initrd.
func newMeasureSeCmd(a *app) *cobra.Command {
	var o measureOut
	c := &cobra.Command{
		Use:   "se IMAGE",
		Short: "Take the reference value of an IBM Secure Execution image from its header",
		Long: `Prints the tags of the image's header (PLD, ALD, TLD and the header's own tag), or makes reference values (CoRIM) of
them. They are random per build and cannot be predicted from kernel, initrd and command line: who built the image has to
say which header is his.`,
		Example: "  assay measure se image.img --format corim --key publisher.key -o image.corim",
		Args:    cobra.ExactArgs(1),
		RunE: runE(func(_ *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			img, err := a.read(args[0])
			if err != nil {
				return err
			}
			h, _, err := secex.FindHeader(img)
			if err != nil {
				return err
			}
			return a.output(o.out, 0o644, func(w io.Writer) error { return a.writeSE(w, &o, h) })
		}),
	}
	o.flags(c.Flags())
	return c
}

func (a *app) writeSE(w io.Writer, o *measureOut, h *secex.Header) error {
	switch o.format {
	case "hex":
		_, err := fmt.Fprintf(w, "%x\n", h.Tags[:])
		return err
	case "json":
		return writeJSON(w, claim.Object{
			{Name: "image_hdr_tags", Value: claim.H(h.Tags[:])}, {Name: "pld", Value: claim.H(h.Tags.PLD())}, {Name: "ald", Value: claim.H(h.Tags.ALD())},
			{Name: "tld", Value: claim.H(h.Tags.TLD())}, {Name: "tag", Value: claim.H(h.Tags.Tag())}, {Name: "pcf", Value: claim.S(fmt.Sprintf("%#016x", h.Control))},
		})
	case "corim":
		m, err := seManifest(corimCreateFlags{id: o.id, tagID: o.tagID, version: o.version, entity: o.name}, h)
		if err != nil {
			return err
		}
		if o.validFor > 0 {
			now := a.now().UTC().Truncate(time.Second)
			m.Validity = &corim.Validity{NotBefore: &now, NotAfter: now.Add(o.validFor)}
		}
		b, err := corim.Encode(m, corim.Options{Profiles: profiles.All()})
		if err != nil {
			return err
		}
		return o.writeSigned(w, b)
	}
	return fault.New(fault.Usage, "--format %s is not made of an SE image; hex, json or corim", o.format)
}

// seManifest says that an image with this header is a good one. Its four tags are one value: they identify an image
// together, never apart.
func seManifest(f corimCreateFlags, h *secex.Header) (*corim.Manifest, error) {
	m, err := newManifest(f)
	if err != nil {
		return nil, err
	}
	m.CoMIDs[0].Triples.Reference = []corim.ValueTriple{{Environment: secex.Environment(), Elements: []claim.Element{
		{Key: secex.TagsKey, Values: claim.Values{Raw: &claim.Raw{Value: h.Tags[:]}}},
	}}}
	return m, nil
}

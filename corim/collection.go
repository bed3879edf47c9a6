package corim

import (
	"strings"

	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
)

// Collection is a CMW collection of manifests (draft-ietf-rats-corim section 4.3.1, draft-ietf-rats-msg-wrap). Nothing in
// it is signed by the collection itself.
type Collection struct {
	Type    string // "tag:…:corim"
	Members []CollectionMember
}

// CollectionMember is one manifest under its label: the integer 0 for the base entry, or text, usually a tag-id.
type CollectionMember struct {
	Label    string // "" for the base entry
	Type     string // media type, when the entry has one instead of a content-format
	Format   uint64 // content-format, when Type is ""
	Manifest *Manifest
}

// DecodeCollection reads a collection in CBOR. Errors are as of [Decode].
func DecodeCollection(b []byte, o Options) (*Collection, error) {
	r := cborx.NewReader(append([]byte(nil), b...), outerLimits)
	c := &Collection{}
	for n := r.Map(); n > 0 && r.OK(); n-- {
		label := ""
		if r.Kind() == cborx.Text {
			if label = r.Text(); label == "" {
				r.Fail("an entry with an empty label")
			}
		} else if l := r.Int64(); r.OK() && l != 0 {
			r.Fail("an entry with the label %d; the base entry has 0, all others have tag-ids", l)
		}
		if label == "__cmwc_t" {
			if c.Type = r.Text(); r.OK() && (!strings.HasPrefix(c.Type, "tag:") || !strings.HasSuffix(c.Type, ":corim") || strings.ContainsAny(c.Type, "{} ")) {
				r.Fail("the collection type %q is not that of a collection of CoRIMs", c.Type)
			}
			continue
		}
		m := CollectionMember{Label: label}
		r.Tuple(2, 2)
		if r.Kind() == cborx.Text {
			m.Type = r.Text()
		} else {
			m.Format = r.Uint()
		}
		content := r.Bytes()
		if !r.OK() {
			break
		}
		var err error
		if m.Manifest, err = Decode(content, o); err != nil {
			return nil, fault.Wrap(err, "collection entry %q", label)
		}
		c.Members = append(c.Members, m)
	}
	if r.OK() && (c.Type == "" || len(c.Members) == 0) {
		r.Fail("a collection lacks its type or has no entries")
	}
	if err := r.Done(); err != nil {
		return nil, fault.Wrap(err, "collection")
	}
	return c, nil
}

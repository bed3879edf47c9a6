package corim

import (
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
)

// CoTS is concise-ta-stores, a list of trust anchor stores (draft-ietf-rats-concise-ta-stores section 3).
type CoTS struct {
	Stores []TAStore
	Raw    []byte // the list as carried; nil when made here
}

// TAStore is concise-ta-store-map: keys, and the environments and purposes that they may be used for.
type TAStore struct {
	Language     string
	Identity     *TagIdentity
	Environments []TAEnvironment // empty: any environment
	Purposes     []string        // empty: any purpose
	PermClaims   [][]byte        // encoded claims that the keys may vouch for; empty: any
	ExclClaims   [][]byte        // encoded claims that they must not vouch for
	Anchors      []TrustAnchor
	CAs          [][]byte // DER certificates that are not trusted by themselves
}

// TAEnvironment is environment-group-list-map: exactly one member is set.
type TAEnvironment struct {
	Environment claim.Environment
	SWID        []byte // abbreviated-swid-tag, core deterministic
	NamedStore  string
}

// TrustAnchor is trust-anchor. Format: 0 certificate, 1 TrustAnchorInfo (RFC 5914), 2 SubjectPublicKeyInfo; Data is DER.
type TrustAnchor struct {
	Format int64
	Data   []byte
}

func (d *decoder) cots(b []byte) (*CoTS, error) {
	r := cborx.NewReader(b, innerLimits)
	c := &CoTS{Raw: b}
	d.list(r, maxTags, func() { c.Stores = append(c.Stores, d.taStore(r)) })
	if err := r.Done(); err != nil {
		return nil, fault.Wrap(err, "cots")
	}
	return c, nil
}

func (d *decoder) taStore(r *cborx.Reader) (s TAStore) {
	seen := 0
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch k := r.Int64(); k {
		case 0:
			s.Language = r.Text()
		case 1:
			id := d.tagIdentity(r)
			s.Identity = &id
		case 2:
			for n := r.Array(); n > 0 && r.OK(); n-- {
				s.Environments = append(s.Environments, d.taEnvironment(r))
			}
			seen |= 1
		case 3:
			d.list(r, 64, func() { s.Purposes = append(s.Purposes, r.Text()) })
		case 4:
			d.list(r, 1024, func() { s.PermClaims = append(s.PermClaims, r.Canonical()) })
		case 5:
			d.list(r, 1024, func() { s.ExclClaims = append(s.ExclClaims, r.Canonical()) })
		case 6:
			d.taKeys(r, &s)
			seen |= 2
		default:
			r.Fail("a trust anchor store has the unknown key %d", k)
		}
	}
	if r.OK() && seen != 3 {
		r.Fail("a trust anchor store lacks its environments (2) or keys (6)")
	}
	return s
}

func (d *decoder) taEnvironment(r *cborx.Reader) (e TAEnvironment) {
	if n := r.Map(); r.OK() && n != 1 {
		r.Fail("an environment of a trust anchor store has %d members; it has exactly one", n)
	}
	switch k := r.Int64(); k {
	case 0:
		e.Environment = d.environment(r)
	case 1:
		if r.Kind() != cborx.Map {
			r.Fail("an abbreviated SWID tag is a map")
		}
		e.SWID = r.Canonical()
	case 2:
		if e.NamedStore = r.Text(); e.NamedStore == "" {
			r.Fail("a named trust anchor store without a name")
		}
	default:
		r.Fail("an environment of a trust anchor store has the unknown key %d", k)
	}
	return e
}

func (d *decoder) taKeys(r *cborx.Reader, s *TAStore) {
	for n := r.Map(); n > 0 && r.OK(); n-- {
		switch k := r.Int64(); k {
		case 0:
			d.list(r, maxTags, func() {
				r.Tuple(2, 2)
				a := TrustAnchor{Format: r.Int64(), Data: r.Bytes()}
				if a.Format < 0 || a.Format > 2 {
					r.FailAs(fault.Unsupported, "a trust anchor of format %d; 0, 1 and 2 are known", a.Format)
				}
				s.Anchors = append(s.Anchors, a)
			})
		case 1:
			d.list(r, maxTags, func() { s.CAs = append(s.CAs, r.Bytes()) })
		default:
			r.Fail("the keys of a trust anchor store have the unknown key %d", k)
		}
	}
	if r.OK() && len(s.Anchors) == 0 {
		r.Fail("a trust anchor store holds no trust anchors")
	}
}

// EncodeCoTS writes a list of trust anchor stores without its tag: Raw as carried when there is one, else the stores,
// core deterministic.
func EncodeCoTS(c *CoTS) ([]byte, error) {
	if c.Raw != nil {
		return c.Raw, nil
	}
	if len(c.Stores) == 0 {
		return nil, fault.New(fault.Usage, "a CoTS without stores")
	}
	return listOf(nil, c.Stores, appendTAStore), nil
}

func appendTAStore(b []byte, s TAStore) []byte {
	var e, k cborx.MapEncoder
	if s.Language != "" {
		e.Put(0, cborx.AppendText(nil, s.Language))
	}
	if s.Identity != nil {
		e.Put(1, appendTagIdentity(nil, *s.Identity))
	}
	e.Put(2, listOf(nil, s.Environments, func(b []byte, t TAEnvironment) []byte {
		b = cborx.AppendMap(b, 1)
		switch {
		case t.SWID != nil:
			return append(cborx.AppendUint(b, 1), t.SWID...)
		case t.NamedStore != "":
			return cborx.AppendText(cborx.AppendUint(b, 2), t.NamedStore)
		}
		return appendEnvironment(cborx.AppendUint(b, 0), t.Environment)
	}))
	raw := func(b, x []byte) []byte { return append(b, x...) }
	if len(s.Purposes) > 0 {
		e.Put(3, listOf(nil, s.Purposes, cborx.AppendText))
	}
	if len(s.PermClaims) > 0 {
		e.Put(4, listOf(nil, s.PermClaims, raw))
	}
	if len(s.ExclClaims) > 0 {
		e.Put(5, listOf(nil, s.ExclClaims, raw))
	}
	k.Put(0, listOf(nil, s.Anchors, func(b []byte, a TrustAnchor) []byte {
		return cborx.AppendBytes(cborx.AppendInt(cborx.AppendArray(b, 2), a.Format), a.Data)
	}))
	if len(s.CAs) > 0 {
		k.Put(1, listOf(nil, s.CAs, cborx.AppendBytes))
	}
	e.Put(6, k.Append(nil))
	return e.Append(b)
}

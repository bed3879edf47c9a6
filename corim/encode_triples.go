package corim

import (
	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/fault"
)

// listOf writes an array of the encodings of all xs.
func listOf[T any](b []byte, xs []T, one func([]byte, T) []byte) []byte {
	b = cborx.AppendArray(b, len(xs))
	for _, x := range xs {
		b = one(b, x)
	}
	return b
}

func appendTriples(b []byte, t *Triples) ([]byte, error) {
	var e cborx.MapEncoder
	put := func(key int64, n int, enc func() []byte) {
		if n > 0 {
			e.Put(key, enc())
		}
	}
	put(0, len(t.Reference), func() []byte { return listOf(nil, t.Reference, appendValueTriple) })
	put(1, len(t.Endorsed), func() []byte { return listOf(nil, t.Endorsed, appendValueTriple) })
	put(2, len(t.Identity), func() []byte { return listOf(nil, t.Identity, appendKeyTriple) })
	put(3, len(t.AttestKey), func() []byte { return listOf(nil, t.AttestKey, appendKeyTriple) })
	put(4, len(t.Dependency), func() []byte { return listOf(nil, t.Dependency, appendDomain) })
	put(5, len(t.Membership), func() []byte { return listOf(nil, t.Membership, appendDomain) })
	put(6, len(t.CoSWID), func() []byte {
		return listOf(nil, t.CoSWID, func(b []byte, c CoSWIDTriple) []byte {
			return listOf(appendEnvironment(cborx.AppendArray(b, 2), c.Environment), c.TagIDs, appendID)
		})
	})
	put(8, len(t.Series), func() []byte { return listOf(nil, t.Series, appendSeries) })
	put(10, len(t.Conditional), func() []byte {
		return listOf(nil, t.Conditional, func(b []byte, c ConditionalTriple) []byte {
			b = listOf(cborx.AppendArray(b, 2), c.Conditions, appendValueTriple)
			return listOf(b, c.Endorsements, appendValueTriple)
		})
	})
	for _, u := range t.Unknown {
		if err := cborx.Check(u.Raw, innerLimits); err != nil {
			return nil, fault.Wrap(err, "triple category %d", u.Key)
		}
		e.Put(u.Key, u.Raw)
	}
	return e.Append(b), nil
}

func appendID(b []byte, id claim.ID) []byte { return id.AppendCBOR(b) }

func appendValueTriple(b []byte, v ValueTriple) []byte {
	return listOf(appendEnvironment(cborx.AppendArray(b, 2), v.Environment), v.Elements, appendMeasurement)
}

func appendKeyTriple(b []byte, k KeyTriple) []byte {
	n := 2
	if !k.MKey.IsZero() || len(k.AuthorizedBy) > 0 {
		n = 3
	}
	b = listOf(appendEnvironment(cborx.AppendArray(b, n), k.Environment), k.Keys, appendID)
	if n == 2 {
		return b
	}
	var e cborx.MapEncoder
	if !k.MKey.IsZero() {
		e.Put(0, k.MKey.AppendCBOR(nil))
	}
	if len(k.AuthorizedBy) > 0 {
		e.Put(1, listOf(nil, k.AuthorizedBy, appendID))
	}
	return e.Append(b)
}

func appendDomain(b []byte, t DomainTriple) []byte {
	return listOf(appendEnvironment(cborx.AppendArray(b, 2), t.Domain), t.Members, appendEnvironment)
}

func appendSeries(b []byte, s SeriesTriple) []byte {
	b = cborx.AppendArray(b, 2)
	n := 2
	if len(s.AuthorizedBy) > 0 {
		n = 3
	}
	b = appendEnvironment(cborx.AppendArray(b, n), s.Environment)
	b = listOf(b, s.Common, appendMeasurement)
	if n == 3 {
		b = listOf(b, s.AuthorizedBy, appendID)
	}
	return listOf(b, s.Items, func(b []byte, i SeriesItem) []byte {
		b = listOf(cborx.AppendArray(b, 2), i.Condition, appendMeasurement)
		return listOf(b, i.Addition, appendMeasurement)
	})
}

func appendEnvironment(b []byte, env claim.Environment) []byte {
	var e, c cborx.MapEncoder
	if !env.Class.ID.IsZero() {
		c.Put(0, env.Class.ID.AppendCBOR(nil))
	}
	if env.Class.Vendor.Set {
		c.Put(1, cborx.AppendText(nil, env.Class.Vendor.V))
	}
	if env.Class.Model.Set {
		c.Put(2, cborx.AppendText(nil, env.Class.Model.V))
	}
	if env.Class.Layer.Set {
		c.Put(3, cborx.AppendUint(nil, env.Class.Layer.V))
	}
	if env.Class.Index.Set {
		c.Put(4, cborx.AppendUint(nil, env.Class.Index.V))
	}
	if c.Len() > 0 {
		e.Put(0, c.Append(nil))
	}
	if !env.Instance.IsZero() {
		e.Put(1, env.Instance.AppendCBOR(nil))
	}
	if !env.Group.IsZero() {
		e.Put(2, env.Group.AppendCBOR(nil))
	}
	return e.Append(b)
}

func appendMeasurement(b []byte, el claim.Element) []byte {
	var e cborx.MapEncoder
	if !el.Key.IsZero() {
		e.Put(0, el.Key.AppendCBOR(nil))
	}
	e.Put(1, AppendValues(nil, el.Values))
	if len(el.AuthorizedBy) > 0 {
		e.Put(2, listOf(nil, el.AuthorizedBy, appendID))
	}
	return e.Append(b)
}

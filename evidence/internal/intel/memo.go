package intel

import (
	"bytes"
	"sync/atomic"

	"github.com/assay-tee/assay/claim"
)

// memo keeps the last list of elements that was made from some bytes. Elements of platform, TDX module and QE are the same
// for every quote of a machine until its firmware changes; making them again would cost more than everything else that
// is not a signature. A hit means exactly these bytes, and elements are read-only, so nothing can be mixed up.
type memo struct{ p atomic.Pointer[memoised] }

type memoised struct {
	from []byte
	list []claim.Element
}

func (m *memo) get(from []byte, make func() []claim.Element) []claim.Element {
	if k := m.p.Load(); k != nil && bytes.Equal(k.from, from) {
		return k.list
	}
	list := make()
	m.p.Store(&memoised{bytes.Clone(from), list})
	return list
}

// ModuleElements returns the elements of the TDX module, made once for the bytes that they are made from.
func (r *Result) ModuleElements(from []byte, make func() []claim.Element) []claim.Element {
	return r.Chain.module.get(from, make)
}

package intel

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"sync"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/dcap"
	"github.com/assay-tee/assay/internal/fault"
)

// maxTrusts bounds the sets of anchors that are kept prepared; a server has one or two.
const maxTrusts = 16

// trust is a set of anchors as far as it concerns Intel's TEEs.
type trust struct {
	id    [32]byte
	roots []*x509.Certificate
	facts map[*x509.Certificate]root
}

// root is what results say about an anchor.
type root struct {
	sha                [32]byte
	builtin, simulated bool
}

// trusts keeps prepared sets of anchors.
type trusts struct {
	intel *x509.Certificate
	mu    sync.Mutex
	byID  map[[32]byte]*trust
}

func newTrusts() *trusts {
	return &trusts{intel: dcap.IntelRoot(), byID: map[[32]byte]*trust{}}
}

func (ts *trusts) get(a *evidence.Anchors) (*trust, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	id := a.ID()
	if t, ok := ts.byID[id]; ok {
		return t, nil
	}
	t := &trust{id: id, facts: map[*x509.Certificate]root{}}
	if a.UseBuiltin() {
		t.add(ts.intel, true)
	}
	for _, c := range a.Roots() {
		if k, ok := c.PublicKey.(*ecdsa.PublicKey); ok && k.Curve == elliptic.P256() && c.Subject.CommonName == dcap.NameRoot {
			t.add(c, false)
		}
	}
	if len(t.roots) == 0 {
		return nil, fault.New(fault.Signature, "no hardware root of Intel is trusted here: the configured anchors are of other vendors")
	}
	if len(ts.byID) >= maxTrusts {
		clear(ts.byID)
	}
	ts.byID[id] = t
	return t, nil
}

func (t *trust) add(c *x509.Certificate, builtin bool) {
	for _, r := range t.roots {
		if r.Equal(c) {
			return
		}
	}
	t.roots = append(t.roots, c)
	t.facts[c] = root{sha256.Sum256(c.Raw), builtin, evidence.IsSimulated(c)}
}

package scitt

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"time"

	"github.com/assay-tee/assay/internal/cborx"
	"github.com/assay-tee/assay/internal/cosex"
	"github.com/assay-tee/assay/internal/fault"
)

// Verifiable data structures (IANA COSE Verifiable Data Structure Algorithms).
const (
	vdsRFC9162 int64 = 1
	vdsCCF     int64 = 2
)

// Service is a transparency service that is believed.
type Service struct {
	Issuer string             // 15/1 of its receipts; "" for a service whose receipts name none
	Keys   []crypto.PublicKey // its receipt keys; certificates rotate while keys stay
	Leaf   LeafRule
	// TrustTime lets the service's receipts say when a statement existed.
	TrustTime bool
}

// LeafRule says what an RFC9162_SHA256 service puts into a leaf; RFC 9942 leaves it to the service.
type LeafRule uint8

// The rules.
const (
	StatementSHA256 LeafRule = iota // SHA-256 of the statement as received
	ClearedSHA256                   // SHA-256 of the statement with its unprotected header emptied
)

// Receipt is a proof that a service has recorded a statement.
type Receipt struct {
	Issuer   string
	Subject  string
	IssuedAt time.Time
	VDS      int64
	TxID     string // of a CCF ledger
	Size     uint64 // of the tree, RFC9162_SHA256
	Index    uint64
	Root     [32]byte // that the proof leads to

	kid    []byte
	sign1  *cosex.Sign1
	proofs [][]byte
}

// ParseReceipt reads a receipt of inclusion. Errors are malformed or unsupported.
func ParseReceipt(b []byte) (*Receipt, error) {
	s, err := cosex.Parse(b, cosex.Options{Limits: limits, Understood: understood})
	if err != nil {
		return nil, fault.Wrap(err, "receipt")
	}
	r := &Receipt{sign1: s}
	return r, fault.Wrap(r.read(), "receipt")
}

func (r *Receipt) read() error {
	s := r.sign1
	if !s.Detached {
		return fault.New(fault.Malformed, "the root is attached; it has to be computed, so that it is not there to be believed")
	}
	if _, loose := s.Unprotected.Get(labelVDS); loose {
		return fault.New(fault.Malformed, "the data structure (395) is not protected")
	}
	v, ok := s.Protected.Get(labelVDS)
	if !ok {
		return fault.New(fault.Malformed, "no data structure (395)")
	}
	x := cborx.Checked(v)
	if r.VDS = x.Int64(); !x.OK() {
		return fault.New(fault.Malformed, "the data structure (395) is no integer")
	}
	if r.VDS != vdsRFC9162 && r.VDS != vdsCCF {
		return fault.New(fault.Unsupported, "data structure %d", r.VDS)
	}
	if v, ok := s.Protected.Get(cosex.LabelCWTClaims); ok {
		c, err := readCWT(v)
		if err != nil {
			return err
		}
		r.Issuer, r.Subject, r.IssuedAt = c.iss, c.sub, c.iat
	}
	if v, ok := s.Protected.Get(cosex.LabelKeyID); ok {
		x := cborx.Checked(v)
		if r.kid = x.Bytes(); !x.OK() {
			return fault.New(fault.Malformed, "kid is no bytes")
		}
	}
	for _, p := range s.Protected {
		if !p.IsText || p.Name != "ccf.v1" {
			continue
		}
		x := cborx.Checked(p.Value)
		for n := x.Map(); n > 0 && x.OK(); n-- {
			if x.Kind() == cborx.Text && x.Text() == "txid" {
				r.TxID = x.Text()
				continue
			}
			x.Skip()
		}
		if err := x.Done(); err != nil {
			return fault.Wrap(err, "ccf.v1")
		}
	}
	return r.readProofs()
}

func (r *Receipt) readProofs() error {
	v, ok := r.sign1.Unprotected.Get(labelProofs)
	if !ok {
		return fault.New(fault.Malformed, "no proofs (396)")
	}
	x := cborx.Checked(v)
	for n := x.Map(); n > 0 && x.OK(); n-- {
		if k := x.Int64(); k != -1 {
			x.Skip() // consistency proofs are the monitor's matter
			continue
		}
		m := x.Array()
		if x.OK() && (m == 0 || m > maxReceipts) {
			return fault.New(fault.Malformed, "%d inclusion proofs", m)
		}
		for ; m > 0 && x.OK(); m-- {
			r.proofs = append(r.proofs, x.Bytes())
		}
	}
	if err := x.Done(); err != nil {
		return fault.Wrap(err, "proofs")
	}
	if len(r.proofs) == 0 {
		return fault.New(fault.Unsupported, "no inclusion proof")
	}
	return nil
}

// verify judges the receipt about s. What it is about is looked at before who signed it, so that a good receipt of
// another statement is called that (binding).
func (r *Receipt) verify(s *Statement, services []Service) (*Service, error) {
	var firstErr error
	for i := range services {
		v := &services[i]
		roots, err := r.roots(s, v.Leaf)
		if err == nil {
			err = r.signedBy(v, roots)
		}
		if err == nil {
			return v, nil
		}
		// A service that the receipt does not name says nothing about it.
		if firstErr == nil || r.Issuer != "" && v.Issuer == r.Issuer {
			firstErr = err
		}
	}
	if firstErr == nil {
		firstErr = fault.New(fault.Usage, "no transparency service is configured")
	}
	return nil, firstErr
}

func (r *Receipt) signedBy(v *Service, roots [][32]byte) error {
	if v.Issuer != r.Issuer {
		return fault.New(fault.Signature, "issued by %q, which is not a service that is believed", r.Issuer)
	}
	var last error
	for _, k := range v.Keys {
		id := keyID(k)
		// The kid leads to the key. Of a CCF ledger it is the key's own digest; elsewhere it is a name, and every
		// configured key of the service is tried.
		if r.VDS == vdsCCF && string(r.kid) != id {
			continue
		}
		for _, root := range roots {
			if last = r.sign1.VerifyDetached(k, nil, root[:]); last == nil {
				r.Root = root
				return nil
			}
		}
	}
	if last == nil {
		last = fault.New(fault.Signature, "its key %q is not one of the service's", r.kid)
	}
	return last
}

// roots computes the root of every proof.
func (r *Receipt) roots(s *Statement, rule LeafRule) ([][32]byte, error) {
	var out [][32]byte
	for _, p := range r.proofs {
		var root [32]byte
		var err error
		if r.VDS == vdsCCF {
			root, err = ccfRoot(p, sha256.Sum256(s.cleared))
		} else {
			entry := sha256.Sum256(s.raw)
			if rule == ClearedSHA256 {
				entry = sha256.Sum256(s.cleared)
			}
			root, err = r.rfc9162Root(p, entry[:])
		}
		if err != nil {
			return nil, err
		}
		out = append(out, root)
	}
	return out, nil
}

// rfc9162Root follows RFC 9162 section 2.1.3.2: the proof is [size, index, path].
func (r *Receipt) rfc9162Root(proof, entry []byte) (root [32]byte, err error) {
	x := cborx.NewReader(proof, limits)
	if x.OK() && x.Kind() != cborx.Array {
		return root, fault.New(fault.Unsupported, "a proof of another form than data structure 1 has")
	}
	x.Tuple(3, 3)
	size, index := x.Uint(), x.Uint()
	n := x.Array()
	if x.OK() && (n > maxPath || size == 0 || index >= size) {
		return root, fault.New(fault.Malformed, "leaf %d of a tree of %d with a path of %d", index, size, n)
	}
	root = sha256.Sum256(append([]byte{0}, entry...))
	fn, sn := index, size-1
	if !x.OK() {
		return root, x.Err()
	}
	for ; n > 0 && x.OK(); n-- {
		h := x.Bytes()
		if x.OK() && len(h) != 32 {
			return root, fault.New(fault.Malformed, "a hash of %d bytes in the path", len(h))
		}
		if sn == 0 {
			return root, fault.New(fault.Malformed, "the path is longer than the tree is high")
		}
		if fn&1 == 1 || fn == sn {
			root = node(h, root[:])
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			root = node(root[:], h)
		}
		fn, sn = fn>>1, sn>>1
	}
	if err := x.Done(); err != nil {
		return root, err
	}
	if sn != 0 {
		return root, fault.New(fault.Malformed, "the path is shorter than the tree is high")
	}
	r.Size, r.Index = size, index
	return root, nil
}

func node(l, r []byte) [32]byte {
	return sha256.Sum256(bytes.Join([][]byte{{1}, l, r}, nil))
}

// ccfRoot follows draft-ietf-scitt-receipts-ccf-profile. Nothing separates leaves from nodes there, so every size is
// checked.
func ccfRoot(proof []byte, dataHash [32]byte) (root [32]byte, err error) {
	x := cborx.NewReader(proof, limits)
	if x.OK() && x.Kind() != cborx.Map {
		return root, fault.New(fault.Unsupported, "a proof of another form than data structure 2 has")
	}
	var leaf, path []byte
	for n := x.Map(); n > 0 && x.OK(); n-- {
		switch k := x.Int64(); k {
		case 1:
			leaf = x.Raw()
		case 2:
			path = x.Raw()
		default:
			x.Fail("a CCF proof has no member %d", k)
		}
	}
	if err := x.Done(); err != nil {
		return root, err
	}
	if leaf == nil || path == nil {
		return root, fault.New(fault.Malformed, "a CCF proof without leaf or path")
	}
	l := cborx.Checked(leaf)
	l.Tuple(3, 3)
	tx, evidence, data := l.Bytes(), l.Text(), l.Bytes()
	if err := l.Done(); err != nil {
		return root, err
	}
	if len(tx) != 32 || len(data) != 32 || len(evidence) < 1 || len(evidence) > 1024 {
		return root, fault.New(fault.Malformed, "a CCF leaf of %d, %d and %d bytes", len(tx), len(evidence), len(data))
	}
	if !bytes.Equal(data, dataHash[:]) {
		return root, fault.New(fault.Binding, "the receipt is about another statement")
	}
	e := sha256.Sum256([]byte(evidence))
	root = sha256.Sum256(bytes.Join([][]byte{tx, e[:], data}, nil))
	p := cborx.Checked(path)
	n := p.Array()
	if p.OK() && (n == 0 || n > maxPath) {
		return root, fault.New(fault.Malformed, "a CCF path of %d", n)
	}
	for ; n > 0 && p.OK(); n-- {
		p.Tuple(2, 2)
		left, h := p.Bool(), p.Bytes()
		if p.OK() && len(h) != 32 {
			return root, fault.New(fault.Malformed, "a hash of %d bytes in the path", len(h))
		}
		if left {
			root = sha256.Sum256(bytes.Join([][]byte{h, root[:]}, nil))
		} else {
			root = sha256.Sum256(bytes.Join([][]byte{root[:], h}, nil))
		}
	}
	return root, p.Done()
}

package intel

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"hash/maphash"
	"sync/atomic"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/dcap"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/lru"
)

// DefaultCacheBytes is the memory for caches when the configuration names none.
const DefaultCacheBytes = 96 << 20

// Config configures a [Verifier].
type Config struct {
	// CacheBytes bounds the memory for verified chains, QE reports and collateral. Zero means DefaultCacheBytes, a
	// negative value switches the caches off.
	CacheBytes int
}

// Verifier authenticates quotes. It is safe for concurrent use; its caches only save work.
type Verifier struct {
	tee      dcap.TEE
	trusts   *trusts
	chains   *lru.Cache[[32]byte, *Chain]
	qes      *lru.Cache[[32]byte, *QE]
	libs     *lru.Cache[uint64, *library]
	prepared *lru.Cache[prepKey, *prepared]
	seed     maphash.Seed
	last     atomic.Pointer[library] // the operator's collateral is mostly the same from request to request
}

// New makes a verifier for quotes of one TEE.
func New(tee dcap.TEE, cfg Config) *Verifier {
	size := cfg.CacheBytes
	switch {
	case size == 0:
		size = DefaultCacheBytes
	case size < 0:
		size = 4 // bytes: nothing fits
	}
	quarter := lru.Config{MaxEntries: 1 << 17, MaxBytes: int64(size / 4)}
	return &Verifier{tee: tee, trusts: newTrusts(), seed: maphash.MakeSeed(),
		chains: lru.New[[32]byte, *Chain](quarter), qes: lru.New[[32]byte, *QE](quarter),
		libs: lru.New[uint64, *library](quarter), prepared: lru.New[prepKey, *prepared](quarter)}
}

// QE is an authentic QE report with the attestation key that it names. It is immutable and shared.
type QE struct {
	Key       *ecdsa.PublicKey // the attestation key
	Authority claim.Authority  // forms of the attestation key, then those of the PCK and its issuers
	ect       claim.ECT
}

// Result is an authentic quote, evaluated against authentic collateral.
type Result struct {
	Quote      dcap.Quote // over a private copy of the bytes
	Chain      *Chain
	QE         *QE
	Evaluation dcap.Evaluation
	Bound      evidence.Bound
	Window     evidence.Window
	p          *prepared
}

// session is one authentication: what was sent, and what it is judged by.
type session struct {
	Result
	env   evidence.Env
	trust *trust
	hints [][]byte
}

func (s *session) given() [][]byte {
	if s.env.Collateral == nil {
		return nil
	}
	return s.env.Collateral.Given()
}

// Authenticate runs the checklist (section 14) on a quote. Hints are certificates that came with it; they count only if
// they chain to an anchor. A TCB status is a fact in the result, except Revoked, which is class revoked, and a TCB that
// no level matches, which is class unsupported. That the binding does not hold is reported last: it says "authentic, but".
func (v *Verifier) Authenticate(ctx context.Context, quote []byte, hints [][]byte, env evidence.Env) (*Result, error) {
	if err := env.Check(); err != nil {
		return nil, err
	}
	q, err := dcap.ParseQuote(quote)
	if err != nil {
		return nil, err
	}
	if q.TEE != v.tee {
		return nil, fault.New(fault.Unsupported, "a quote of %s was given to the driver of %s", q.TEE, v.tee)
	}
	if q, err = dcap.ParseQuote(bytes.Clone(quote)); err != nil {
		return nil, err
	}
	s := &session{Result: Result{Quote: q}, env: env, hints: hints}
	if s.trust, err = v.trusts.get(env.Anchors); err != nil {
		return nil, err
	}
	var bindErr error
	if s.Bound, bindErr = env.Binding.Check("REPORT_DATA", q.Body[reportDataAt(q.TEE):][:64]); bindErr != nil && !fault.Is(bindErr, fault.Binding) {
		return nil, bindErr
	}
	if err := v.signatures(ctx, s); err != nil {
		return nil, err
	}
	if s.p, err = v.prepare(ctx, s); err != nil {
		return nil, err
	}
	if err := s.revocation(); err != nil {
		return nil, err
	}
	if err := s.evaluate(); err != nil {
		return nil, err
	}
	if bindErr != nil {
		return nil, bindErr
	}
	w := s.p.window.Intersect(s.Chain.Window)
	s.Window = evidence.Window{NotBefore: w.From, NotAfter: w.Until}
	return &s.Result, nil
}

func reportDataAt(tee dcap.TEE) int {
	if tee == dcap.TDX {
		return 520
	}
	return 320
}

// signatures is steps 3, 4 and 6: chain, quote, binding of the attestation key, QE report. The quote signature covers
// the nonce and is checked each time; what stands behind it is kept by the bytes that it was verified from.
func (v *Verifier) signatures(ctx context.Context, s *session) error {
	var err error
	if s.Chain, err = v.chainOf(ctx, s); err != nil {
		return err
	}
	if err := s.Chain.CheckTime(s.env.Time); err != nil {
		// Documents of another platform stay wrong at any time: that is the more useful thing to say.
		if _, other := v.library(s.given()).chooseTCB(s.Quote.TEE, &s.Chain.PCK, newHorizon(s.env.Time)); fault.Is(other, fault.Binding) {
			return other
		}
		return err
	}
	q := &s.Quote
	id := digest(s.Chain.id[:], q.QEReport, q.QESignature, q.AttestationKey, q.QEAuthData)
	qe, known := v.qes.Get(id)
	if !known {
		if qe, err = newQE(q, s.Chain); err != nil {
			return err
		}
	}
	if err := q.VerifyBody(qe.Key); err != nil {
		return err
	}
	if !known {
		// Its signature comes last, so that what is kept has been used by a quote.
		if err := q.VerifyQE(s.Chain.Key); err != nil {
			return err
		}
		v.qes.Put(id, qe, int64(8<<10))
	}
	s.QE = qe
	return nil
}

// newQE reads the attestation key and checks that the QE report names it; the report's own signature is the caller's.
func newQE(q *dcap.Quote, c *Chain) (*QE, error) {
	if err := q.VerifyBinding(); err != nil {
		return nil, err
	}
	ak, err := dcap.ParseKey(q.AttestationKey)
	if err != nil {
		return nil, fault.Wrap(err, "attestation key")
	}
	a, err := claim.KeyAuthority(ak)
	if err != nil {
		return nil, fault.New(fault.Internal, "attestation key: %w", err)
	}
	qe := &QE{Key: ak, Authority: append(a, c.Authority...)}
	qe.ect = qeECT(q.QE(), c)
	return qe, nil
}

// revocation is checked per request, also when the collateral is known: the same lists serve many PCK certificates.
func (s *session) revocation() error {
	switch {
	case s.p.rootCRL.Lists(s.Chain.Issuer):
		return revoked(s.Chain.Issuer, "the root CRL")
	case s.p.pckCRL.Lists(s.Chain.Leaf):
		return revoked(s.Chain.Leaf, "the CRL of "+s.Chain.Issuer.Subject.CommonName)
	}
	return nil
}

// evaluate is steps 8 to 11.
func (s *session) evaluate() error {
	p := dcap.Platform{PCK: &s.Chain.PCK, QE: s.Quote.QE()}
	if s.Quote.TEE == dcap.TDX {
		td := s.Quote.TD()
		p.TD = &td
	}
	var err error
	if s.Evaluation, err = dcap.Evaluate(p, s.p.tcb, s.p.id); err != nil {
		return err
	}
	if s.Evaluation.Status == dcap.Revoked {
		return fault.New(fault.Revoked, "Intel has revoked this TCB (evaluation number %d, advisories %v)", s.p.evaluationNumber, s.Evaluation.Advisories)
	}
	return nil
}

// library returns the decoded form of blobs. It is found by a hash and then compared byte by byte, so that a hit means
// exactly these bytes.
func (v *Verifier) library(blobs [][]byte) *library {
	if l := v.last.Load(); l != nil && l.same(blobs) {
		return l
	}
	var h maphash.Hash
	h.SetSeed(v.seed)
	var n [8]byte
	for _, b := range blobs {
		for i := range n {
			n[i] = byte(len(b) >> (8 * i))
		}
		h.Write(n[:])
		h.Write(b)
	}
	key := h.Sum64()
	l, ok := v.libs.Get(key)
	if !ok || !l.same(blobs) {
		l = readLibrary(blobs)
		v.libs.Put(key, l, int64(l.size()))
	}
	v.last.Store(l)
	return l
}

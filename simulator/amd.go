package simulator

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"sync"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
)

// AMDConfig says what [NewAMD] makes.
type AMDConfig struct {
	// Clock gives the time at which certificates and lists are issued. nil is time.Now.
	Clock func() time.Time
	// Products are the product lines wanted; nil is Milan alone. Each costs two RSA keys, with VLEK three.
	Products []Product
	// VLEK asks for an ASVK per product, so that VLEK certificates can be issued.
	VLEK bool
	// KeyBits is the size of the RSA keys. 0 is 4096, which AMD uses and which takes seconds to generate; tests take 2048.
	KeyBits int
}

// AMD is AMD's key hierarchy for one process: per product line an ARK, an ASK and perhaps an ASVK, and chips made on
// demand. It is safe for concurrent use.
type AMD struct {
	clock func() time.Time
	lines map[Product]*authority

	mu        sync.Mutex
	chips     map[chipKey]*Chip
	providers map[providerKey]*signer
	revoked   map[Product][]int64
}

// authority is the CA of one product line.
type authority struct {
	ark, ask, asvk *ca // asvk is nil unless asked for
}

// ca is an RSA key with its certificate.
type ca struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

type chipKey struct {
	product Product
	id      [64]byte
}

// NewAMD makes keys and certificates. Keys always come from the system's random source: roots that could be made again
// from a seed could be trusted by accident.
func NewAMD(cfg AMDConfig) (*AMD, error) {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if len(cfg.Products) == 0 {
		cfg.Products = []Product{Milan}
	}
	if cfg.KeyBits == 0 {
		cfg.KeyBits = 4096
	}
	a := &AMD{clock: cfg.Clock, lines: map[Product]*authority{}, chips: map[chipKey]*Chip{}, providers: map[providerKey]*signer{}, revoked: map[Product][]int64{}}
	roles := 2
	if cfg.VLEK {
		roles = 3
	}
	for _, p := range cfg.Products {
		if _, ok := p.line(); !ok {
			return nil, fault.New(fault.Usage, "no product line %q can be simulated; there are %v", p, Products())
		}
		a.lines[p] = nil
	}
	keys, err := generateRSA(len(a.lines)*roles, cfg.KeyBits)
	if err != nil {
		return nil, err
	}
	for p := range a.lines {
		if a.lines[p], err = newAuthority(p, keys[:roles], cfg.Clock()); err != nil {
			return nil, err
		}
		keys = keys[roles:]
	}
	return a, nil
}

// generateRSA makes n keys, at the same time as far as there are processors.
func generateRSA(n, bits int) ([]*rsa.PrivateKey, error) {
	keys, errs := make([]*rsa.PrivateKey, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() { keys[i], errs[i] = rsa.GenerateKey(rand.Reader, bits) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, fault.New(fault.Usage, "RSA keys of %d bits: %w", bits, err)
		}
	}
	return keys, nil
}

// Anchors is what the operator of a Verifier would have to configure to believe in a: the ARKs with their ASKs and
// ASVKs, and the admission by its unsafe name. Beside them the built-in roots stay in force.
func (a *AMD) Anchors() evidence.AnchorsConfig {
	cfg := evidence.AnchorsConfig{AllowSimulatorUnsafe: true}
	for _, p := range a.Products() {
		l := a.lines[p]
		cfg.Roots = append(cfg.Roots, l.ark.cert, l.ask.cert)
		if l.asvk != nil {
			cfg.Roots = append(cfg.Roots, l.asvk.cert)
		}
	}
	return cfg
}

// Products returns the product lines of a in their usual order.
func (a *AMD) Products() []Product {
	return slices.DeleteFunc(slices.Clone(Products()), func(p Product) bool { return a.lines[p] == nil })
}

// ARK returns the root certificate of p; nil when p was not asked for.
func (a *AMD) ARK(p Product) *x509.Certificate { return a.line(p).ark.certificate() }

// ASK returns the certificate that VCEKs of p are issued under.
func (a *AMD) ASK(p Product) *x509.Certificate { return a.line(p).ask.certificate() }

// ASVK returns the certificate that VLEKs of p are issued under; nil without AMDConfig.VLEK.
func (a *AMD) ASVK(p Product) *x509.Certificate { return a.line(p).asvk.certificate() }

func (a *AMD) line(p Product) *authority {
	if l := a.lines[p]; l != nil {
		return l
	}
	return &authority{}
}

func (c *ca) certificate() *x509.Certificate {
	if c == nil {
		return nil
	}
	return c.cert
}

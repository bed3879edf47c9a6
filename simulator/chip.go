package simulator

import (
	"crypto/rand"
	"crypto/x509"
	"sync"

	"github.com/assay-tee/assay/internal/fault"
)

// Chip is one processor: an id, a firmware level, and a VCEK per TCB.
type Chip struct {
	Product Product
	ID      [64]byte // CHIP_ID; of Turin the last 56 bytes are zero
	TCB     TCB      // of the firmware that runs

	amd *AMD
	mu  sync.Mutex
	vek map[TCB]*signer
}

// NewChip makes a processor of p with a random id and a firmware as real machines have it.
func (a *AMD) NewChip(p Product) (*Chip, error) {
	l, _ := p.line()
	var id [64]byte
	rand.Read(id[:l.hwidSize])
	return a.ChipWithID(p, id)
}

// ChipWithID returns the processor of p with that id; asked again, the same.
func (a *AMD) ChipWithID(p Product, id [64]byte) (*Chip, error) {
	if a.lines[p] == nil {
		return nil, fault.New(fault.Usage, "the simulator was not asked for %s", p)
	}
	l, _ := p.line()
	if [64]byte(append(append([]byte(nil), id[:l.hwidSize]...), make([]byte, 64-l.hwidSize)...)) != id {
		return nil, fault.New(fault.Usage, "a chip id of %s has %d bytes", p, l.hwidSize)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	k := chipKey{p, id}
	if a.chips[k] == nil {
		a.chips[k] = &Chip{Product: p, ID: id, TCB: l.tcb, amd: a, vek: map[TCB]*signer{}}
	}
	return a.chips[k], nil
}

// HWID returns the bytes of the id that certificates and the KDS use: 64, on Turin 8.
func (c *Chip) HWID() []byte {
	l, _ := c.Product.line()
	return c.ID[:l.hwidSize]
}

// VCEK mints the certificate of the chip's key at t: another at each call, over the same key, as the KDS does.
func (c *Chip) VCEK(t TCB) (*x509.Certificate, error) {
	der, err := c.VCEKWith(t, VEKOptions{})
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// VCEKWith is VCEK with changes. It returns DER, which may be such that no parser takes it.
func (c *Chip) VCEKWith(t TCB, o VEKOptions) ([]byte, error) {
	s, err := c.signer(t)
	if err != nil {
		return nil, err
	}
	return s.issue("SEV-VCEK", vekExtensions(c.Product, false, t, c.HWID(), ""), c.amd.lines[c.Product].ask, c.amd.clock(), vcekYears, o)
}

func (c *Chip) signer(t TCB) (*signer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.vek[t]; s != nil {
		return s, nil
	}
	s, err := newSigner()
	if err == nil {
		c.vek[t] = s
	}
	return s, err
}

// providerKey names a VLEK: one provider and one TCB of a product line.
type providerKey struct {
	product Product
	csp     string
	tcb     TCB
}

// VLEK issues the certificate of a provider's key. csp is the provider's name as cspID gives it, for example
// "CN=cc-us-east-2.amazonaws.com".
func (a *AMD) VLEK(p Product, csp string, t TCB) (*x509.Certificate, error) {
	der, err := a.VLEKWith(p, csp, t, VEKOptions{})
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// VLEKWith is VLEK with changes. It returns DER, which may be such that no parser takes it.
func (a *AMD) VLEKWith(p Product, csp string, t TCB, o VEKOptions) ([]byte, error) {
	asvk := a.line(p).asvk
	if asvk == nil {
		return nil, fault.New(fault.Usage, "the simulator was not asked for VLEKs of %s", p)
	}
	if len(csp) == 0 || len(csp) > 127 {
		return nil, fault.New(fault.Usage, "cspID of %d characters; 1 to 127 are possible", len(csp))
	}
	s, err := a.provider(providerKey{p, csp, t})
	if err != nil {
		return nil, err
	}
	return s.issue("SEV-VLEK", vekExtensions(p, true, t, nil, csp), asvk, a.clock(), vlekYears, o)
}

func (a *AMD) provider(k providerKey) (*signer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.providers[k]; s != nil {
		return s, nil
	}
	s, err := newSigner()
	if err == nil {
		a.providers[k] = s
	}
	return s, err
}

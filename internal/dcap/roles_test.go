package dcap_test

import (
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/dcap"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator/intel"
)

func must[T any](tb testing.TB) func(T, error) T {
	return func(v T, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

// A certificate of the right root is not enough: its name gives it its role.
func TestRoles(t *testing.T) {
	w := must[*intel.World](t)(intel.New(intel.Config{}))
	roots := []*x509.Certificate{w.Root.Cert}
	other := must[*intel.Authority](t)(w.Issue(intel.CertOptions{CommonName: "Intel SGX Something", By: w.Root, Years: 1}))
	if _, err := dcap.BuildSigner(w.Signing.Cert, roots); err != nil {
		t.Error(err)
	}
	if err := dcap.VerifyCA(w.Platform.Cert, roots); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"signer of another name": second(dcap.BuildSigner(other.Cert, roots)),
		"a CA as signer":         second(dcap.BuildSigner(w.Platform.Cert, roots)),
		"signer of another root": second(dcap.BuildSigner(w.Signing.Cert, []*x509.Certificate{dcap.IntelRoot()})),
		"a signer as CA":         dcap.VerifyCA(w.Signing.Cert, roots),
		"the root as CA":         dcap.VerifyCA(w.Root.Cert, roots),
		"a CA of another root":   dcap.VerifyCA(w.Platform.Cert, []*x509.Certificate{dcap.IntelRoot()}),
		"no roots":               dcap.VerifyCA(w.Platform.Cert, nil),
	} {
		if !fault.Is(err, fault.Signature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// Evaluate trusts its caller for signatures, and for nothing else: documents of another platform are refused.
func TestEvaluateComparesThePlatform(t *testing.T) {
	w := must[*intel.World](t)(intel.New(intel.Config{Clock: func() time.Time { return time.Unix(1.8e9, 0) }}))
	m := must[*intel.Machine](t)(w.NewMachine(intel.MachineConfig{}))
	pck := must[dcap.PCK](t)(dcap.ParsePCK(m.PCK.Cert))
	info := must[*dcap.TCBInfo](t)(dcap.ParseTCBInfo(must[[]byte](t)(w.TCBInfo(m.CurrentTCBInfo(false)))))
	id := must[*dcap.Identity](t)(dcap.ParseIdentity(must[[]byte](t)(w.Identity(intel.Identity{}))))
	q := must[dcap.Quote](t)(dcap.ParseQuote(must[[]byte](t)(m.EnclaveQuote(intel.Enclave{}, intel.QuoteOptions{}))))
	for name, tc := range map[string]struct {
		change func(p *dcap.PCK)
		want   error
	}{
		"as it is":        {func(*dcap.PCK) {}, nil},
		"another FMSPC":   {func(p *dcap.PCK) { p.FMSPC[0]++ }, dcap.ErrTCBInfoMismatch},
		"another PCE-ID":  {func(p *dcap.PCK) { p.PCEID[1]++ }, dcap.ErrTCBInfoMismatch},
		"nothing reached": {func(p *dcap.PCK) { p.Components = [16]uint8{} }, nil}, // the lowest level is OutOfDate
	} {
		p := pck
		tc.change(&p)
		if _, err := dcap.Evaluate(dcap.Platform{PCK: &p, QE: q.QE()}, info, id); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

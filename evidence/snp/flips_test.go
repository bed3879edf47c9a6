package snp_test

import (
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/snp"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator"
)

// realOrSimulated is one real report with its VCEK where vectors are at hand, else a simulated one.
func realOrSimulated(t *testing.T) (guest, evidence.Env) {
	t.Helper()
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		return newGuest(t, simulator.Genoa, nil, simulator.VEKOptions{}), env(t)
	}
	read := func(name string) []byte { return must[[]byte](t)(os.ReadFile(filepath.Join(dir, "snp", name))) }
	return guest{read("reports/genoa-v5-6d1ceffae6ad.bin"), read("veks/genoa-vcek-b6563a6c7767.der")},
		evidence.Env{Time: time.Date(2026, 7, 15, 0, 0, 0, 0, time.UTC), Binding: evidence.UnboundUnsafe(), Anchors: evidence.BuiltinAnchors()}
}

// eachBit calls f for each bit of b from byte from to byte to, with that bit changed, on all processors.
func eachBit(b []byte, from, to int, f func(changed []byte, at int, bit uint)) {
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			c := slices.Clone(b)
			for i := from + w; i < to; i += workers {
				for bit := range uint(8) {
					c[i] ^= 1 << bit
					f(c, i, bit)
					c[i] ^= 1 << bit
				}
			}
		})
	}
	wg.Wait()
}

// Each change of one bit in the signed part, the signature and the unsigned rest is refused; as bound evidence too,
// where it must not read as a mere mismatch of the nonce.
func TestEachBitOfTheReport(t *testing.T) {
	g, e := realOrSimulated(t)
	d := newDriver(t)
	v := check(t, d, g.evidence(), e, "")
	e.Binding = must[evidence.Binding](t)(evidence.ExpectExact(v.Binding().Value))
	unsupported := [][2]int{{0x000, 0x004}, {0x034, 0x038}, {0x048, 0x049}, {0x188, 0x18A}} // version, algorithm, signing key, processor
	counts := map[fault.Class]int{}
	var mu sync.Mutex
	eachBit(g.report, 0, snp.ReportSize, func(changed []byte, at int, bit uint) {
		ev := g.evidence()
		ev.Data = changed
		_, err := d.Authenticate(context.Background(), ev, e)
		class := fault.ClassOf(err)
		mu.Lock()
		defer mu.Unlock()
		counts[class]++
		isUnsupported := slices.ContainsFunc(unsupported, func(s [2]int) bool { return s[0] <= at && at < s[1] })
		if err == nil || class != fault.Signature && class != fault.Malformed && !(class == fault.Unsupported && isUnsupported) {
			t.Errorf("bit %d of byte 0x%03X: class %v, %v", bit, at, class, err)
		}
	})
	t.Logf("refusals: %v", counts)
}

func TestEachBitOfTheVCEK(t *testing.T) {
	g, e := realOrSimulated(t)
	d := newDriver(t)
	check(t, d, g.evidence(), e, "")
	counts := map[fault.Class]int{}
	var mu sync.Mutex
	eachBit(g.vek, 0, len(g.vek), func(changed []byte, at int, bit uint) {
		_, err := d.Authenticate(context.Background(), evidence.Evidence{Data: g.report, Endorsements: [][]byte{slices.Clone(changed)}}, e)
		class := fault.ClassOf(err)
		mu.Lock()
		defer mu.Unlock()
		counts[class]++
		if err == nil || !slices.Contains([]fault.Class{fault.Signature, fault.Malformed}, class) {
			t.Errorf("bit %d of byte %d: class %v, %v", bit, at, class, err)
		}
	})
	t.Logf("refusals: %v", counts)
}

// The same for the intermediate, when one has to be supplied.
func TestEachByteOfASuppliedASK(t *testing.T) {
	w := amd(t)
	g := newGuest(t, simulator.Milan, nil, simulator.VEKOptions{})
	e := env(t)
	e.Anchors = anchors(t, evidence.AnchorsConfig{Roots: []*x509.Certificate{w.ARK(simulator.Milan)}, OnlyThese: true, AllowSimulatorUnsafe: true})
	ask := w.ASK(simulator.Milan).Raw
	d := newDriver(t)
	with := func(ask []byte) evidence.Evidence {
		return evidence.Evidence{Data: g.report, Endorsements: [][]byte{g.vek, ask}}
	}
	check(t, d, with(ask), e, "")
	for i := range ask {
		changed := slices.Clone(ask)
		changed[i] ^= 1 << (i % 8)
		if _, err := d.Authenticate(context.Background(), with(changed), e); err == nil || fault.Is(err, fault.Internal) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

package collateral_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/assay-tee/assay/collateral"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator"
)

// counter is an origin that counts questions and answers with a number.
type counter struct {
	asked atomic.Int64
	fail  atomic.Bool
	body  func(n int64) []byte
}

func (c *counter) Given() [][]byte { return nil }
func (c *counter) Get(context.Context, evidence.Request) (evidence.Response, error) {
	n := c.asked.Add(1)
	if c.fail.Load() {
		return evidence.Response{}, fault.New(fault.Unavailable, "not now")
	}
	if c.body != nil {
		return evidence.Response{Body: c.body(n)}, nil
	}
	return evidence.Response{Body: fmt.Appendf(nil, "answer %d", n)}, nil
}

func newCache(t *testing.T, cfg collateral.CacheConfig) *collateral.Cache {
	t.Helper()
	c, err := collateral.NewCache(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func request(i int) evidence.Request {
	return evidence.Request{Service: "s", Path: fmt.Sprintf("/p/%d", i)}
}

func body(t *testing.T, c *collateral.Cache, req evidence.Request) string {
	t.Helper()
	r, err := c.Get(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	return string(r.Body)
}

func TestCacheAsksOnce(t *testing.T) {
	now := start
	for name, dir := range map[string]string{"memory": "", "disk": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			o := &counter{}
			c := newCache(t, collateral.CacheConfig{Origin: o, Dir: dir, Clock: func() time.Time { return now }})
			for range 3 {
				if got := body(t, c, request(1)); got != "answer 1" {
					t.Error(got)
				}
			}
			if o.asked.Load() != 1 {
				t.Errorf("asked %d times", o.asked.Load())
			}
			again := newCache(t, collateral.CacheConfig{Origin: o, Dir: dir, Clock: func() time.Time { return now }})
			want := "answer 2"
			if dir != "" {
				want = "answer 1"
			}
			if got := body(t, again, request(1)); got != want {
				t.Errorf("after a restart: %s, want %s", got, want)
			}
		})
	}
}

func TestCacheKeepsNoFailure(t *testing.T) {
	o := &counter{}
	o.fail.Store(true)
	c := newCache(t, collateral.CacheConfig{Origin: o, Dir: t.TempDir()})
	for range 2 {
		if _, err := c.Get(context.Background(), request(1)); !fault.Is(err, fault.Unavailable) {
			t.Error(err)
		}
	}
	o.fail.Store(false)
	if got := body(t, c, request(1)); got != "answer 3" {
		t.Errorf("%s: a failure was kept", got)
	}
	empty := &counter{body: func(int64) []byte { return nil }}
	c = newCache(t, collateral.CacheConfig{Origin: empty})
	body(t, c, request(1))
	body(t, c, request(1))
	if empty.asked.Load() != 2 {
		t.Error("an empty answer was kept")
	}
}

func TestAnswersGrowOld(t *testing.T) {
	amd, err := simulator.NewAMD(simulator.AMDConfig{Clock: func() time.Time { return start }, KeyBits: 2048})
	if err != nil {
		t.Fatal(err)
	}
	chip, err := amd.NewChip(simulator.Milan)
	if err != nil {
		t.Fatal(err)
	}
	cert := func(end time.Duration) func(int64) []byte {
		return func(int64) []byte {
			der, err := chip.VCEKWith(chip.TCB, simulator.VEKOptions{NotAfter: start.Add(end)})
			if err != nil {
				t.Error(err)
			}
			return der
		}
	}
	crl := func(next time.Duration) func(int64) []byte {
		return func(int64) []byte {
			der, err := amd.CRL(simulator.Milan, simulator.CRLOptions{NextUpdate: start.Add(next)})
			if err != nil {
				t.Error(err)
			}
			return der
		}
	}
	const day = 24 * time.Hour
	for _, tc := range []struct {
		name string
		body func(int64) []byte
		age  time.Duration // at which the origin is asked again
	}{
		{"certificate", cert(365 * day), 30 * day},
		{"certificate that ends soon", cert(2 * day), 2 * day},
		{"list", crl(180 * day), day},
		{"list that ends soon", crl(time.Hour), time.Hour},
		{"anything else", nil, day},
	} {
		for _, dir := range []string{"", t.TempDir()} {
			now := start
			o := &counter{body: tc.body}
			get := func() {
				body(t, newCache(t, collateral.CacheConfig{Origin: o, Dir: dir, Clock: func() time.Time { return now }}), request(1))
			}
			if dir == "" {
				c := newCache(t, collateral.CacheConfig{Origin: o, Clock: func() time.Time { return now }})
				get = func() { body(t, c, request(1)) }
			}
			get()
			now = start.Add(tc.age - time.Second)
			get()
			if o.asked.Load() != 1 {
				t.Errorf("%s (%q): asked again before its time", tc.name, dir)
			}
			now = start.Add(tc.age)
			get()
			if o.asked.Load() != 2 {
				t.Errorf("%s (%q): not asked again at its time", tc.name, dir)
			}
		}
	}
}

func TestAnOldAnswerIsBetterThanNone(t *testing.T) {
	now := start
	o := &counter{}
	c := newCache(t, collateral.CacheConfig{Origin: o, Clock: func() time.Time { return now }})
	body(t, c, request(1))
	now = start.Add(48 * time.Hour)
	o.fail.Store(true)
	if got := body(t, c, request(1)); got != "answer 1" {
		t.Error(got)
	}
	if o.asked.Load() != 2 {
		t.Error("the origin was not asked again")
	}
	c.Forget(request(1))
	if _, err := c.Get(context.Background(), request(1)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("forgotten: %v", err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	dir := t.TempDir()
	o := &counter{}
	c := newCache(t, collateral.CacheConfig{Origin: o, Dir: dir, MaxEntries: 5, MaxDirEntries: 7})
	for i := range 50 {
		body(t, c, request(i))
	}
	files := func() int {
		m, err := filepath.Glob(filepath.Join(dir, "s", "p", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(m)
	}
	if n := files(); n != 7 {
		t.Errorf("%d files, 7 allowed", n)
	}
	newCache(t, collateral.CacheConfig{Origin: o, Dir: dir, MaxDirEntries: 7}).Get(context.Background(), request(100))
	if n := files(); n != 7 {
		t.Errorf("after a restart %d files, 7 allowed", n)
	}
	c.Forget(request(0))
	body(t, c, request(200))
	if n := files(); n != 7 {
		t.Errorf("%d files; a place that became free was not used", n)
	}
	small := newCache(t, collateral.CacheConfig{Origin: o, MaxBytes: 64})
	before := o.asked.Load()
	for range 2 {
		for i := range 20 {
			body(t, small, request(i))
		}
	}
	if n := o.asked.Load() - before; n < 30 {
		t.Errorf("asked %d times of 40: more was kept than 64 bytes", n)
	}
}

func TestAFailingDiskFailsNoRequest(t *testing.T) {
	dir := t.TempDir()
	o := &counter{}
	c := newCache(t, collateral.CacheConfig{Origin: o, Dir: dir})
	if err := os.WriteFile(filepath.Join(dir, "s"), []byte("in the way"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := body(t, c, request(1)); got != "answer 1" {
		t.Error(got)
	}
	if _, err := collateral.NewCache(collateral.CacheConfig{}); !fault.Is(err, fault.Usage) {
		t.Errorf("no origin: %v", err)
	}
	if _, err := collateral.NewCache(collateral.CacheConfig{Origin: o, Dir: filepath.Join(dir, "s")}); !fault.Is(err, fault.Usage) {
		t.Errorf("a file as directory: %v", err)
	}
}

// Equal questions at the same time are asked once; who gives up does not disturb the others.
func TestEqualQuestionsAreAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		o := source{get: func(ctx context.Context, _ evidence.Request) (evidence.Response, error) {
			asked.Add(1)
			select {
			case <-ctx.Done():
				return evidence.Response{}, ctx.Err()
			case <-time.After(5 * time.Second):
				return evidence.Response{Body: []byte("x")}, nil
			}
		}}
		c, err := collateral.NewCache(collateral.CacheConfig{Origin: o})
		if err != nil {
			t.Fatal(err)
		}
		impatient, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		var left error
		wg.Go(func() { _, left = c.Get(impatient, request(1)) })
		synctest.Wait()
		for range 100 {
			wg.Go(func() {
				if r, err := c.Get(context.Background(), request(1)); err != nil || string(r.Body) != "x" {
					t.Errorf("%q, %v", r.Body, err)
				}
			})
		}
		wg.Wait()
		if !fault.Is(left, fault.Unavailable) || !errors.Is(left, context.DeadlineExceeded) {
			t.Errorf("who gave up got %v", left)
		}
		if asked.Load() != 1 {
			t.Errorf("asked %d times", asked.Load())
		}
	})
}

// An origin that never answers does not hold its callers for ever.
func TestFetchTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := source{get: func(ctx context.Context, _ evidence.Request) (evidence.Response, error) {
			<-ctx.Done()
			return evidence.Response{}, ctx.Err()
		}}
		c, err := collateral.NewCache(collateral.CacheConfig{Origin: o, FetchTimeout: 3 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := c.Get(context.Background(), request(1)); !fault.Is(err, fault.Unavailable) {
			t.Error(err)
		}
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

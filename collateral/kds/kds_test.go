package kds_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-tee/assay/collateral/kds"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/httpx"
	"github.com/assay-tee/assay/simulator"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time          { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) advance(d time.Duration) { c.mu.Lock(); c.t = c.t.Add(d); c.mu.Unlock() }

type setup struct {
	client *kds.Client
	kds    *simulator.KDS
	clock  *clock
	vcek   evidence.Request
	chip   *simulator.Chip
	amd    *simulator.AMD
}

func newSetup(t *testing.T, cfg kds.Config) setup {
	t.Helper()
	c := &clock{t: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	a, err := simulator.NewAMD(simulator.AMDConfig{Clock: c.now, Products: []simulator.Product{simulator.Turin}, KeyBits: 2048})
	if err != nil {
		t.Fatal(err)
	}
	chip, err := a.NewChip(simulator.Turin)
	if err != nil {
		t.Fatal(err)
	}
	service := a.KDS()
	srv := httptest.NewServer(service)
	t.Cleanup(srv.Close)
	cfg.BaseURL, cfg.Clock = srv.URL, c.now
	client, err := kds.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return setup{client, service, c, evidence.Request{Service: kds.Service,
		Path: "/vcek/v1/Turin/" + hex.EncodeToString(chip.HWID()) + "?fmcSPL=1&blSPL=1&teeSPL=1&snpSPL=4&ucodeSPL=81"}, chip, a}
}

func TestGet(t *testing.T) {
	s := newSetup(t, kds.Config{})
	for _, path := range []string{s.vcek.Path, "/vcek/v1/Turin/cert_chain", "/vcek/v1/Turin/crl"} {
		r, err := s.client.Get(context.Background(), evidence.Request{Service: kds.Service, Path: path})
		if err != nil || len(r.Body) == 0 {
			t.Errorf("%s: %d bytes, %v", path, len(r.Body), err)
		}
	}
	if s.client.Given() != nil {
		t.Error("the client was given nothing")
	}
}

func TestWhatCannotBeHadIsUnavailable(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault simulator.KDSFault
		says  string
	}{
		{"too many requests", simulator.KDSTooMany, "try again in 10s"},
		{"no answer", simulator.KDSHangs, "deadline"},
		{"an answer without end", simulator.KDSOversize, "more than 65536 bytes"},
		{"an answer that is nothing", simulator.KDSGarbage, "not a certificate"},
		{"another chip", simulator.KDSWrongChip, "another chip or TCB"},
		{"another TCB", simulator.KDSWrongTCB, "another chip or TCB"},
		{"a redirect to another host", simulator.KDSRedirects, "another host"},
		{"an error of the service", simulator.KDSBroken, "status 500"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSetup(t, kds.Config{Timeout: 300 * time.Millisecond})
			s.kds.Fail(tc.fault)
			if _, err := s.client.Get(context.Background(), s.vcek); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), tc.says) && !strings.Contains(err.Error(), "Timeout") {
				t.Errorf("class %v: %v", fault.ClassOf(err), err)
			}
			if n := len(s.kds.Requests()); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
	s := newSetup(t, kds.Config{})
	other := evidence.Request{Service: kds.Service, Path: strings.Replace(s.vcek.Path, hex.EncodeToString(s.chip.HWID()), "0102030405060708", 1)}
	if _, err := s.client.Get(context.Background(), other); !fault.Is(err, fault.Unavailable) {
		t.Errorf("unknown chip: %v", err)
	}
	if _, err := s.client.Get(context.Background(), evidence.Request{Service: "intel-pcs", Path: "/x"}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("another service: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.client.Get(ctx, s.vcek); !fault.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// After a 429 nothing is asked until the time that the service named, or longer each time when it names none.
func TestRefusalsAreHonoured(t *testing.T) {
	for _, tc := range []struct {
		name, header string
		want         []time.Duration
	}{
		{"no header", "", []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second}},
		{"seconds", "33", []time.Duration{33 * time.Second, 33 * time.Second}},
		{"zero is at least a second", "0", []time.Duration{time.Second}},
		{"at most five minutes", "86400", []time.Duration{5 * time.Minute}},
		{"nonsense", "soon", []time.Duration{10 * time.Second}},
		{"date", "Tue, 24 Nov 2026 12:00:50 GMT", []time.Duration{50 * time.Second}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSetup(t, kds.Config{Burst: 100})
			s.kds.FailAlways(simulator.KDSTooMany)
			s.kds.RetryAfter(tc.header)
			for i, want := range tc.want {
				_, err := s.client.Get(context.Background(), s.vcek)
				if after, ok := httpx.RetryAfter(err); !ok || after != want || !fault.Is(err, fault.Unavailable) {
					t.Fatalf("refusal %d: try again in %v, want %v: %v", i+1, after, want, err)
				}
				s.clock.advance(want - time.Millisecond)
				if _, err := s.client.Get(context.Background(), s.vcek); !fault.Is(err, fault.Unavailable) {
					t.Fatal(err)
				}
				if n := len(s.kds.Requests()); n != i+1 {
					t.Fatalf("%d requests after %d refusals: the client came back too early", n, i+1)
				}
				s.clock.advance(time.Millisecond)
			}
			s.kds.FailAlways(simulator.KDSWorks)
			if _, err := s.client.Get(context.Background(), s.vcek); err != nil {
				t.Errorf("after the wait: %v", err)
			}
		})
	}
}

// A service that does not answer is left alone for a while, so that it does not hold up every verification.
func TestASilentServiceIsLeftAlone(t *testing.T) {
	s := newSetup(t, kds.Config{Timeout: 50 * time.Millisecond})
	crl := evidence.Request{Service: kds.Service, Path: "/vcek/v1/Turin/crl"}
	s.kds.FailAlways(simulator.KDSHangs)
	for i, wait := range []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second} {
		if _, err := s.client.Get(context.Background(), crl); !fault.Is(err, fault.Unavailable) {
			t.Fatal(err)
		}
		s.clock.advance(wait - time.Millisecond)
		_, err := s.client.Get(context.Background(), crl)
		if after, ok := httpx.RetryAfter(err); !ok || after != time.Millisecond || !fault.Is(err, fault.Unavailable) {
			t.Errorf("failure %d: try again in %v: %v", i+1, after, err)
		}
		if n := len(s.kds.Requests()); n != i+1 {
			t.Fatalf("%d requests after %d failures", n, i+1)
		}
		s.clock.advance(time.Millisecond)
	}
	s.kds.FailAlways(simulator.KDSWorks)
	for range 2 {
		if _, err := s.client.Get(context.Background(), crl); err != nil {
			t.Errorf("after the wait: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	s.kds.Fail(simulator.KDSHangs)
	if _, err := s.client.Get(ctx, crl); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
	if _, err := s.client.Get(context.Background(), crl); err != nil {
		t.Errorf("after a caller gave up: %v", err)
	}
}

func TestPace(t *testing.T) {
	s := newSetup(t, kds.Config{})
	get := func() error { _, err := s.client.Get(context.Background(), s.vcek); return err }
	for i := range 4 {
		if err := get(); err != nil {
			t.Fatalf("request %d of the burst: %v", i+1, err)
		}
	}
	err := get()
	if after, ok := httpx.RetryAfter(err); !ok || after != 10*time.Second || !fault.Is(err, fault.Unavailable) {
		t.Errorf("beyond the burst: try again in %v: %v", after, err)
	}
	if _, err := s.client.Get(context.Background(), evidence.Request{Service: kds.Service, Path: "/vcek/v1/Turin/crl"}); err != nil {
		t.Errorf("lists are not counted: %v", err)
	}
	s.clock.advance(10 * time.Second)
	if err := get(); err != nil {
		t.Errorf("ten seconds later: %v", err)
	}
	if err := get(); !fault.Is(err, fault.Unavailable) {
		t.Errorf("and at once again: %v", err)
	}
}

func TestWaitingForATurn(t *testing.T) {
	s := newSetup(t, kds.Config{Interval: 50 * time.Millisecond, Burst: 1, MaxWait: time.Second})
	for range 2 {
		if _, err := s.client.Get(context.Background(), s.vcek); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := s.client.Get(ctx, s.vcek); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a turn after the deadline: %v", err)
	}
}

func TestConfig(t *testing.T) {
	for _, u := range []string{"ftp://kds.example", "kds.example", "https://", "https://kds.example?x=1", "http://[::1"} {
		if _, err := kds.New(kds.Config{BaseURL: u}); !fault.Is(err, fault.Usage) {
			t.Errorf("%q: %v", u, err)
		}
	}
	var asked string
	c, err := kds.New(kds.Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		asked = r.URL.String()
		return nil, errors.New("no network here")
	})})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(context.Background(), evidence.Request{Service: kds.Service, Path: "/vcek/v1/Milan/crl"}); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
	if asked != "https://kdsintf.amd.com/vcek/v1/Milan/crl" {
		t.Errorf("asked %s", asked)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Real answers of AMD's service pass the check of their own request and of no other.
func TestCheckAnswerOnRecordedOnes(t *testing.T) {
	dir := os.Getenv("ASSAY_VECTORS")
	if dir == "" {
		t.Skip("ASSAY_VECTORS is not set: recorded answers are not at hand")
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, "snp", "kds", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	body := read("genoa-vcek-20260618.der")
	const path = "/vcek/v1/Genoa/1af1aa6c1f56037a05849a59b8815cf909583f9ba9ef2f053218c437f33ba183e4e415b039b37f8205250ad15f8b88a0a3add9f4c081c0779a48ed2214378e44?blSPL=10&teeSPL=0&snpSPL=23&ucodeSPL=84"
	if !bytes.Contains(read("genoa-vcek-20260618.der.http.json"), []byte(path)) {
		t.Fatal("the recorded request is another")
	}
	for _, tc := range []struct {
		name, path string
		ok         bool
	}{
		{"its own", path, true},
		{"another TCB", strings.Replace(path, "snpSPL=23", "snpSPL=22", 1), false},
		{"another chip", strings.Replace(path, "1af1", "1af2", 1), false},
		{"an FMC that it has not", path + "&fmcSPL=0", false},
		{"a chain", "/vcek/v1/Genoa/cert_chain", false},
		{"a list", "/vcek/v1/Genoa/crl", false},
	} {
		d, err := kds.ParsePath(tc.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := kds.CheckAnswer(d, body); (err == nil) != tc.ok || err != nil && !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	chain, err := kds.ParsePath("/vcek/v1/Genoa/cert_chain")
	if err != nil {
		t.Fatal(err)
	}
	if err := kds.CheckAnswer(chain, read("genoa-cert_chain-20260629.pem")); err != nil {
		t.Error(err)
	}
}

package server_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/protocol/native"
	"github.com/assay-tee/assay/release"
	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/simulator"
)

// guestSource is a simulated SNP guest on the native wire.
type guestSource struct{ *simulator.Guest }

func (guestSource) TEE() string { return "snp" }

func (g guestSource) Evidence(_ context.Context, rd [64]byte, _ []byte) (native.Item, []native.Item, error) {
	ev, err := g.Guest.Evidence(rd)
	return native.NewItem("application/octet-stream", ev.Data), []native.Item{native.NewItem(native.TypeAux, ev.Aux)}, err
}

// losing loses the first n replies to a release, after the broker has sent them.
type losing struct{ n int }

func (l *losing) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && strings.HasSuffix(r.URL.Path, "/release") && l.n > 0 {
		l.n--
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return nil, errors.New("connection reset")
	}
	return resp, err
}

func TestNativeClient(t *testing.T) {
	w := newWorld(t, nil)
	w.put("default/key/1", "", "the secret")
	w.put("default/key/2", "?one_shot=true", "once")
	w.ticket(`{"resource":"default/key/2"}`)
	for _, kind := range []string{"P-256", "P-384", "P-521", "RSA"} {
		c, err := native.NewClient(native.ClientConfig{URL: w.http.URL, Source: guestSource{w.guest(simulator.GuestConfig{Measurement: good})}, KeyKind: kind})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Get(t.Context(), "default/key/1"); err != nil || string(got) != "the secret" {
			t.Errorf("%s: %q %v", kind, got, err)
		}
		if ear, err := c.Verify(t.Context()); err != nil || strings.Count(ear, ".") != 2 {
			t.Errorf("%s: %q %v", kind, ear, err)
		}
	}
	src := guestSource{w.guest(simulator.GuestConfig{Measurement: good})}
	c, err := native.NewClient(native.ClientConfig{URL: w.http.URL, Source: src, HTTP: &http.Client{Transport: &losing{n: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(t.Context(), "default/key/2"); err != nil || string(got) != "once" {
		t.Errorf("two replies lost: %q %v", got, err)
	}
	again, err := native.NewClient(native.ClientConfig{URL: w.http.URL, Source: src, HTTP: &http.Client{Transport: &losing{n: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Get(t.Context(), "default/key/1"); err != nil || string(got) != "the secret" {
		t.Errorf("the reply with a secret that needs no ticket lost: %q %v", got, err)
	}
	_, err = c.Get(t.Context(), "default/key/2")
	var r *native.Refusal
	if !fault.Is(err, fault.Spent) || !errors.As(err, &r) || r.Reason != "ticket_used" || r.Request == "" {
		t.Errorf("a second boot: %v", err)
	}
	if _, _, err := c.AddSecret(t.Context(), "default/key/1"); !fault.Is(err, fault.Unsupported) {
		t.Errorf("add-secret for SNP: %v", err)
	}
	if c, err = native.NewClient(native.ClientConfig{URL: w.http.URL, Source: guestSource{w.guest(simulator.GuestConfig{Measurement: bad})}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), "default/key/1"); !fault.Is(err, fault.Denied) {
		t.Error(err)
	}
	if _, err := native.NewClient(native.ClientConfig{URL: "nonsense", Source: src}); !fault.Is(err, fault.Usage) {
		t.Error(err)
	}
}

// TestNativeCrashBetweenReservationAndReply: at each point where the process can die, the guest that sends its request again
// gets its one release, and nobody else gets another.
func TestNativeCrashBetweenReservationAndReply(t *testing.T) {
	for _, at := range []release.Point{release.AfterReserve, release.AfterOpen, release.AfterWrap, release.AfterDeliver} {
		t.Run(string(at), func(t *testing.T) {
			var died atomic.Bool
			w := newWorld(t, func(c *server.Config) {
				c.Reached = func(p release.Point) {
					if p == at && died.CompareAndSwap(false, true) {
						panic(http.ErrAbortHandler)
					}
				}
			})
			w.put("default/key/1", "?one_shot=true", "once")
			w.ticket(`{"resource":"default/key/1"}`)
			c, err := native.NewClient(native.ClientConfig{URL: w.http.URL, Source: guestSource{w.guest(simulator.GuestConfig{Measurement: good})}})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.Get(t.Context(), "default/key/1"); err != nil || string(got) != "once" || !died.Load() {
				t.Fatalf("%q %v, died %t", got, err, died.Load())
			}
			if _, err := c.Get(t.Context(), "default/key/1"); !fault.Is(err, fault.Spent) {
				t.Errorf("a second boot: %v", err)
			}
			_, log := w.call("GET", "/v1/log?limit=1000", "")
			if n := strings.Count(string(log), `"kind":"release"`); n != 1 {
				t.Errorf("%d releases in the log", n)
			}
		})
	}
}

package server_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/simulator"
)

// fixedCerts is a machine whose host hands out the same certificates each time, as hosts do.
type fixedCerts struct {
	g     *simulator.Guest
	first evidence.Evidence
}

func (f fixedCerts) TEE() string { return "snp" }

func (f fixedCerts) Evidence(_ context.Context, reportData []byte) (evidence.Evidence, error) {
	var rd [64]byte
	copy(rd[:], reportData)
	report, err := f.g.Report(rd)
	ev := f.first
	ev.Data = report
	return ev, err
}

// BenchmarkHandshake is auth, attest and fetch over HTTP, guest and broker on the same processors.
func BenchmarkHandshake(b *testing.B) {
	w := newWorld(b, nil)
	w.put("default/key/1", "", "the secret")
	g := w.guest(simulator.GuestConfig{Measurement: good})
	first, err := g.Evidence([64]byte{})
	if err != nil {
		b.Fatal(err)
	}
	at := fixedCerts{g, first}
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 200
	b.SetParallelism(50)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c, err := rcar.NewClient(rcar.ClientConfig{URL: w.http.URL, Source: source{at}})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := c.Attest(b.Context()); err != nil {
				b.Fatal(err)
			}
			if _, err := c.Get(b.Context(), "default/key/1", ""); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handshakes/s")
}

package server_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/server"
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

// BenchmarkHandshake is auth, attest and fetch over HTTP, guests and broker on the same processors. Half of what it
// measures is the guests' own work: hardware, key generation, decryption.
func BenchmarkHandshake(b *testing.B) {
	w := newWorld(b, func(c *server.Config) { c.Limits.UnfinishedPerAddress = 1 << 20 })
	w.put("default/key/1", "", "the secret")
	g := w.guest(simulator.GuestConfig{Measurement: good})
	first, err := g.Evidence([64]byte{})
	if err != nil {
		b.Fatal(err)
	}
	at := fixedCerts{g, first}
	transport := &http.Transport{MaxIdleConnsPerHost: 200}
	defer transport.CloseIdleConnections()
	for _, clients := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			var mu sync.Mutex
			var took []time.Duration
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range clients {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						start := time.Now()
						c, err := rcar.NewClient(rcar.ClientConfig{URL: w.http.URL, Source: source{at}, HTTP: &http.Client{Transport: transport}})
						if err == nil {
							_, err = c.Attest(b.Context())
						}
						if err == nil {
							_, err = c.Get(b.Context(), "default/key/1", "")
						}
						if err != nil {
							b.Error(err)
							return
						}
						mu.Lock()
						took = append(took, time.Since(start))
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handshakes/s")
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

package server_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assay-tee/assay/protocol/rcar"
	"github.com/assay-tee/assay/server"
	"github.com/assay-tee/assay/simulator"
)

// listen serves w's configuration on a listener of its own, with the bounds on connections.
func (w *world) listen() string {
	w.t.Helper()
	srv, err := server.New(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		srv.Shutdown(ctx) // connections that a test left half open do not end
		<-done
	})
	return l.Addr().String()
}

// TestSlowClientsAndBigBodies: strangers who send bodies without end, or stop in the middle, cost a bounded amount of
// memory, and others are served meanwhile.
func TestSlowClientsAndBigBodies(t *testing.T) {
	w := newWorld(t, func(c *server.Config) { c.Limits.BodyBytes = 8 << 20 })
	w.put("default/key/1", "", "the secret")
	addr := w.listen()
	half := bytes.Repeat([]byte(" "), 1<<20)
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range 64 { // 128 MiB are announced, 64 MiB are sent
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		fmt.Fprintf(c, "POST /kbs/v0/attest HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", 2<<20)
		c.SetWriteDeadline(time.Now().Add(2 * time.Second))
		c.Write(half) // the server may have stopped reading
	}
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	if before.HeapInuse > 128<<20 {
		t.Errorf("%d MiB in use", before.HeapInuse>>20)
	}
	// From the same address: its share of the budget is used up, small bodies are refused with the right class. Others
	// have shares of their own (the test's other server stands for them).
	c := w.client(simulator.GuestConfig{Measurement: good})
	if _, err := c.Attest(t.Context()); err != nil {
		t.Error(err)
	}
	resp, err := http.Get("http://" + addr + "/healthz")
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("%v %v", resp, err)
	}
}

func TestBodiesOverTheLimit(t *testing.T) {
	w := newWorld(t, nil)
	for path, size := range map[string]int{"/kbs/v0/auth": rcar.MaxAuthBody + 1, "/kbs/v0/attest": rcar.MaxAttestBody + 1} {
		for _, chunked := range []bool{false, true} {
			var body io.Reader = strings.NewReader(strings.Repeat("x", size))
			if chunked {
				body = io.MultiReader(body)
			}
			resp, err := http.Post(w.http.URL+path, "application/json", body)
			if err != nil {
				t.Fatal(err)
			}
			out, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != 401 || !strings.Contains(string(out), `"class":"malformed"`) {
				t.Errorf("%s: %d %s", path, resp.StatusCode, out)
			}
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	w := newWorld(t, func(c *server.Config) { c.Limits.ConnectionsPerAddress = 8 })
	addr := w.listen()
	var conns []net.Conn
	for range 8 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		if n, err := c.Read(make([]byte, 12)); n == 0 {
			t.Fatal(err)
		}
	}
	over, err := net.Dial("tcp", addr)
	if err == nil {
		over.SetReadDeadline(time.Now().Add(5 * time.Second))
		fmt.Fprintf(over, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		if n, err := over.Read(make([]byte, 12)); n != 0 {
			t.Errorf("a ninth connection was served: %v", err)
		}
		over.Close()
	}
	for _, c := range conns {
		c.Close()
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if resp, err := http.Get("http://" + addr + "/healthz"); err == nil {
			resp.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("places are not given back")
		}
	}
}

// TestTenThousandUnfinishedSessions: they are bounded, and guests that finish are served all the same.
func TestTenThousandUnfinishedSessions(t *testing.T) {
	w := newWorld(t, func(c *server.Config) { c.Limits.UnfinishedPerAddress = 500 })
	w.put("default/key/1", "", "the secret")
	var ok, refused atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 250 {
				resp, err := http.Post(w.http.URL+"/kbs/v0/auth", "application/json", strings.NewReader(authBody))
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode == 200 {
					ok.Add(1)
				} else {
					refused.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if ok.Load() != 500 || refused.Load() != 1500 {
		t.Errorf("%d begun, %d refused", ok.Load(), refused.Load())
	}
	w.clock.add(6 * time.Minute)
	c := w.client(simulator.GuestConfig{Measurement: good})
	for range 70 { // each call frees a few places
		if _, err := c.Attest(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHostilePaths(t *testing.T) {
	w := newWorld(t, nil)
	w.put("default/key/1", "", "the secret")
	c := w.client(simulator.GuestConfig{Measurement: good})
	if _, err := c.Attest(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{
		"/kbs/v0/resource/default/key/../key/1", "/kbs/v0/resource/./default/key/1", "/kbs/v0/resource/default/key/%2e%2e%2fkey%2f1",
		"/kbs/v0/resource/default/key/1%00", "/kbs/v0/resource/default/key/1/..", "/kbs/v0/resource//default/key/1", "/kbs/v0/resource/default%5ckey/x/1",
		"/kbs/v0/resource/" + strings.Repeat("a", 5000) + "/b/c", "/kbs/v0/resource/default/key/.1",
	} {
		status, out := w.callAs("", "GET", p, "")
		if status == 200 || strings.Contains(string(out), "ciphertext") {
			t.Errorf("%s: %d %s", p, status, out)
		}
	}
}

package httpx_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/internal/httpx"
)

func TestGet(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "stolen") }))
	defer other.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/small", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 100)) })
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 101)) })
	mux.HandleFunc("/missing", http.NotFound)
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/small", http.StatusFound) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "begins")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	c := httpx.New(httpx.Config{MaxBytes: 100, Timeout: 200 * time.Millisecond})
	for _, tc := range []struct {
		path   string
		status int // 0: unavailable
	}{
		{"/small", 200}, {"/missing", 404}, {"/moved", 200}, {"/large", 0}, {"/loop", 0}, {"/away", 0}, {"/slow", 0},
	} {
		r, err := c.Get(context.Background(), srv.URL+tc.path)
		switch {
		case tc.status == 0 && !fault.Is(err, fault.Unavailable):
			t.Errorf("%s: class %v: %v", tc.path, fault.ClassOf(err), err)
		case tc.status != 0 && (err != nil || r.Status != tc.status):
			t.Errorf("%s: %v, %v", tc.path, r, err)
		}
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"7": 7 * time.Second, "0": 0, "Tue, 24 Nov 2026 12:01:00 GMT": time.Minute, "Tue, 24 Nov 2026 11:00:00 GMT": 0,
		"": -1, "-1": -1, "soon": -1, "99999999999": -1,
	} {
		got, ok := httpx.ParseRetryAfter(http.Header{"Retry-After": {v}}, now)
		if want < 0 && ok || want >= 0 && (!ok || got != want) {
			t.Errorf("%q: %v, %v", v, got, ok)
		}
	}
}

package crldp_test

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-tee/assay/collateral/crldp"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/internal/fault"
	"github.com/assay-tee/assay/simulator/ultravisor"
)

func TestGet(t *testing.T) {
	pki, err := ultravisor.NewPKI(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	lists, err := pki.Lists()
	if err != nil {
		t.Fatal(err)
	}
	der := lists[0].Raw
	var asked atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("/m/https/www.ibm.com/der.crl", func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); w.Write(der) })
	mux.HandleFunc("/m/http/crl3.digicert.com/pem.crl", func(w http.ResponseWriter, _ *http.Request) {
		w.Write(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
	})
	mux.HandleFunc("/m/https/www.ibm.com/page.crl", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>sign in</html>")) })
	mux.HandleFunc("/m/https/www.ibm.com/large.crl", func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 1<<20+1)) })
	mux.HandleFunc("/m/https/evil.example/x.crl", func(w http.ResponseWriter, _ *http.Request) { t.Error("a stranger's host was asked") })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for name, tc := range map[string]struct {
		service, path string
		want          fault.Class // 0: the list
	}{
		"DER":              {"crldp", "/https/www.ibm.com/der.crl", 0},
		"PEM":              {"crldp", "/http/crl3.digicert.com/pem.crl", 0},
		"missing":          {"crldp", "/https/www.ibm.com/none.crl", fault.Unavailable},
		"a page":           {"crldp", "/https/www.ibm.com/page.crl", fault.Unavailable},
		"too large":        {"crldp", "/https/www.ibm.com/large.crl", fault.Unavailable},
		"unknown host":     {"crldp", "/https/evil.example/x.crl", fault.Unavailable},
		"host with a port": {"crldp", "/https/www.ibm.com:8443/der.crl", fault.Unavailable},
		"other scheme":     {"crldp", "/file/www.ibm.com/der.crl", fault.Malformed},
		"query":            {"crldp", "/https/www.ibm.com/der.crl?x", fault.Malformed},
		"no path":          {"crldp", "/https/www.ibm.com", fault.Malformed},
		"other service":    {"amd-kds", "/vcek/v1/Milan/crl", fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := crldp.New(crldp.Config{MirrorURL: srv.URL + "/m/"})
			if err != nil {
				t.Fatal(err)
			}
			r, err := c.Get(context.Background(), evidence.Request{Service: tc.service, Path: tc.path})
			if tc.want == 0 {
				if err != nil || !cmp.Equal(r.Body, der) {
					t.Errorf("%d bytes, %v", len(r.Body), err)
				}
				return
			}
			if !fault.Is(err, tc.want) {
				t.Errorf("class %v, want %v: %v", fault.ClassOf(err), tc.want, err)
			}
		})
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
}

// A host that does not answer is left alone for a while, so that it holds up one question and not all.
func TestSilentHostIsLeftAlone(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	url := srv.URL
	srv.Close()
	now := time.Unix(1e9, 0)
	c, err := crldp.New(crldp.Config{MirrorURL: url, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	req := evidence.Request{Service: crldp.Service, Path: "/https/www.ibm.com/a.crl"}
	for i, want := range []string{"refused", "a moment ago"} {
		if _, err := c.Get(context.Background(), req); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), want) {
			t.Errorf("question %d: %v", i, err)
		}
	}
	now = now.Add(11 * time.Second)
	if _, err := c.Get(context.Background(), req); !strings.Contains(err.Error(), "refused") {
		t.Errorf("after the pause: %v", err)
	}
}

func TestMirrorAddress(t *testing.T) {
	for _, bad := range []string{"ftp://x", "https://", "https://x?y", "%"} {
		if _, err := crldp.New(crldp.Config{MirrorURL: bad}); !fault.Is(err, fault.Usage) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

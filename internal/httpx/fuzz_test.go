package httpx_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/assay-tee/assay/internal/httpx"
)

// What a header says is never a time before now.
func FuzzParseRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Fri, 31 Dec 1999 23:59:59 GMT")
	f.Fuzz(func(t *testing.T, v string) {
		if d, ok := httpx.ParseRetryAfter(http.Header{"Retry-After": {v}}, time.Unix(1e9, 0)); ok && d < 0 {
			t.Errorf("%q: %v", v, d)
		}
	})
}

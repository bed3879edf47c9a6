package oak_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/evidence"
	"github.com/assay-tee/assay/evidence/oak"
)

// unprotected is the header that every certificate carries and no signature covers.
var unprotected = append([]byte{0xa1, 0x04, 0x52}, "AsymmetricECDSA256"...)

// without drops the claims that may be missing when a certificate is dropped.
func without(o claim.Object, names ...string) string {
	var out claim.Object
	for _, m := range o {
		if !slices.Contains(names, m.Name) {
			out = append(out, m)
		}
	}
	b, err := json.Marshal(out)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// Each change of one bit is refused, but for two kinds that docs/trust.md lists: the unprotected header of a certificate,
// and a field number that turns an application certificate into a field that nobody knows, which is to leave it out. No
// other claim changes by either.
func TestEachBit(t *testing.T) {
	ev, env := containers(t, nil).evidence(), simulated(t)
	if os.Getenv("ASSAY_VECTORS") != "" {
		ev = evidence.Evidence{Data: vector(t, "genoa_oc_evidence.binarypb"), Endorsements: [][]byte{vector(t, "genoa_oc_endorsements.binarypb")}}
		env = unbound(mid)
	}
	d := newDriver(t, oak.Config{})
	good := check(t, d, ev, env, "")
	want := without(good.Claims(), "application_keys", "unknown_fields")
	var headers [][2]int
	for at := 0; ; {
		i := bytes.Index(ev.Data[at:], unprotected)
		if i < 0 {
			break
		}
		headers = append(headers, [2]int{at + i, at + i + len(unprotected)})
		at += i + 1
	}
	workers := runtime.GOMAXPROCS(0)
	step := 1
	if testing.Short() {
		step = 13
	}
	var mu sync.Mutex
	kinds := map[string]int{}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			c := slices.Clone(ev.Data)
			for i := w; i < len(c); i += workers * step {
				for bit := range 8 {
					c[i] ^= 1 << bit
					v, err := d.Authenticate(context.Background(), evidence.Evidence{Data: c, Endorsements: ev.Endorsements}, env)
					c[i] ^= 1 << bit
					kind := "refused"
					switch {
					case err != nil:
					case slices.ContainsFunc(headers, func(h [2]int) bool { return i >= h[0] && i < h[1] }):
						kind = "unprotected header"
					case slices.Contains(v.Notes(), "unknown_fields"):
						kind = "left out"
					default:
						t.Errorf("bit %d of byte %d: accepted", bit, i)
					}
					if err == nil {
						if got := without(v.Claims(), "application_keys", "unknown_fields"); got != want {
							t.Errorf("bit %d of byte %d: other claims:\n%s\n%s", bit, i, got, want)
						}
					}
					mu.Lock()
					kinds[kind]++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	t.Log(kinds)
	if kinds["unprotected header"] == 0 || kinds["refused"] < 9*kinds["unprotected header"] {
		t.Errorf("the test looks in the wrong place: %v", kinds)
	}
}

package endorse

import (
	"fmt"
	"sync"
	"testing"

	"github.com/assay-tee/assay/claim"
	"github.com/assay-tee/assay/corim"
)

// Statements are admitted while others are appraised against snapshots. The race detector has the last word.
func TestConcurrentAdmission(t *testing.T) {
	k := newKey(t)
	b := newBuilder(t, Config{Anchors: []*Anchor{anchor("a", k)}})
	const n = 64
	docs := make([][]byte, n)
	for i := range docs {
		docs[i] = sign(t, manifest(fmt.Sprint("m", i), comid(fmt.Sprint("t", i), 0, measured(byte(i)))), k, corim.SignOptions{})
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := w; i < n; i += 4 {
				if _, err := b.Admit(docs[i]); err != nil {
					t.Error(err)
				}
				e := measured(byte(i))
				var sel Selection
				if b.Set().Select(&class, []*claim.Element{&e}, &sel); len(sel.References) != 1 {
					t.Errorf("statement %d is not in the snapshot after it was admitted", i)
				}
			}
		})
	}
	wg.Wait()
	if got := b.Set().Len(); got != n {
		t.Errorf("%d statements, want %d", got, n)
	}
}
